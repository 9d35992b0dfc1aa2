"""Answers as they go over the wire: whole ones, those that can't be, and what the connection does after them."""

import asyncio
from typing import Final

import h11
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.http.applications import GET, Echo, answer, body_of, get, piece, post, sending, start
from tests.support.wire import Answer, calling, serving, until

WHOLE = sending(start((b"content-length", b"5"), (b"x-a", b"b")), piece(b"hello", is_last=True))
PIECES = sending(start(), piece(b"he"), piece(b""), piece(b"llo"), piece(b"", is_last=True))
HEAD = GET.replace(b"GET", b"HEAD")
CHUNKED: Final = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _asked(app: ASGIApp, request: bytes, method: str = "GET") -> tuple[Answer, bytes]:
    """Ask for one answer and then for another; return the first, and whatever comes behind it until the end."""
    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(request)
        first = await caller.answer(method)
        if not first.is_last:
            await caller.send(get(b"/", b"Connection: close"))
        return first, await caller.rest()


@pytest.mark.parametrize("app", [WHOLE, PIECES])
@pytest.mark.parametrize("request_", [GET, HEAD])
async def test_an_answer_is_whole_and_the_connection_goes_on(app: ASGIApp, request_: bytes) -> None:
    first, behind = await _asked(app, request_, request_.partition(b" ")[0].decode())
    assert (200, b"" if request_ == HEAD else b"hello") == (first.status, first.body)
    assert behind.startswith(b"HTTP/1.1 200 OK\r\n")
    assert behind.endswith(b"hello" if app is WHOLE else b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_has_none_whatever_its_headers_say(status: int) -> None:
    first, behind = await _asked(
        sending(start((b"content-length", b"7"), status=status), piece(b"", is_last=True)), GET
    )
    assert (status, b"") == (first.status, first.body)
    # RFC 9110, section 8.6: none with 204; with 304 it is that of the answer that is not sent.
    assert (None if status == 204 else "7") == first.headers.get("content-length")
    assert "transfer-encoding" not in first.headers
    assert behind.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("app", [WHOLE, PIECES])
async def test_http_1_0_gets_its_answer_and_the_end(app: ASGIApp) -> None:
    first, behind = await _asked(app, b"GET / HTTP/1.0\r\n\r\n")
    assert (b"hello", True, b"") == (first.body, first.is_last, behind)
    assert "transfer-encoding" not in first.headers


async def test_http_1_0_may_keep_a_connection_whose_answers_have_lengths() -> None:
    kept = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    first, behind = await _asked(WHOLE, kept)
    assert (b"hello", "keep-alive") == (first.body, first.headers["connection"])
    assert behind.endswith(b"hello")
    first, behind = await _asked(PIECES, kept)
    assert (b"hello", True, b"") == (first.body, first.is_last, behind)


@pytest.mark.parametrize("line", [b"Connection: close", b"Connection: keep-alive, Close", b"connection:CLOSE"])
async def test_a_client_that_wants_the_end_has_it_and_is_told(line: bytes) -> None:
    first, behind = await _asked(WHOLE, get(b"/", line) + GET)
    assert (b"hello", True, b"") == (first.body, first.is_last, behind)


async def test_an_application_that_wants_the_end_has_it() -> None:
    app = sending(start((b"content-length", b"5"), (b"connection", b"close")), piece(b"hello", is_last=True))
    first, behind = await _asked(app, GET + GET)
    assert ("close", b"hello", b"") == (first.headers["connection"], first.body, behind)


async def test_how_a_body_is_sent_is_for_the_server_to_say() -> None:
    first, _ = await _asked(sending(start((b"transfer-encoding", b"chunked")), piece(b"hello", is_last=True)), GET)
    assert ("chunked", b"hello") == (first.headers["transfer-encoding"], first.body)


async def _cut(app: ASGIApp, request: bytes = GET) -> bytes:
    """Return all that comes of an answer until the end of its connection, and of what was asked behind it."""
    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(request + GET)
        return await caller.rest()


async def _raise(*_: object) -> None:
    raise ValueError


async def _return(*_: object) -> None:
    pass


def _then_raise(app: ASGIApp) -> ASGIApp:
    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        raise ValueError

    return raising


@pytest.mark.parametrize(
    "app",
    [
        _raise,
        _return,
        _then_raise(sending(start((b"content-length", b"5")))),
        sending(start((b"content-length", b"5"))),
        sending(piece(b"hello", is_last=True)),
        sending(start(), start()),
        sending(start((b"x-a", b"b\r\nset-cookie: c"))),
        sending(start((b"x-a", b"b\nc"))),
        sending(start((b"x-a", b"b\rc"))),
        sending(start((b"x-a", b"b\0c"))),
        sending(start((b"x-a\r\nb", b"c"))),
        sending(start((b"content-length", b"-5")), piece(b"", is_last=True)),
        sending(start((b"content-length", b"five")), piece(b"", is_last=True)),
        sending(start((b"content-length", b"5"), (b"content-length", b"6")), piece(b"", is_last=True)),
        sending(start((b"content-length", b"4")), piece(b"hello", is_last=True)),
        sending(start(status=101), piece(b"", is_last=True)),
        sending(start(status=100), piece(b"", is_last=True)),
    ],
)
async def test_what_is_no_answer_is_told_as_the_servers_fault_and_the_connection_ends(app: ASGIApp) -> None:
    received = await _cut(app)
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert b"HTTP/1.1 500 Internal Server Error" == lines[0]
    assert {b"connection: close", b"content-length: 0"} <= set(lines)
    assert b"" == body


@pytest.mark.parametrize(
    ("app", "behind_head"),
    [
        (sending(start((b"content-length", b"5")), piece(b"he"), piece(b"llo!", is_last=True)), b"he"),
        (sending(start((b"content-length", b"5")), piece(b"he", is_last=True)), b"he"),
        (sending(start((b"content-length", b"5")), piece(b"he")), b"he"),
        (_then_raise(sending(start((b"content-length", b"5")), piece(b"he"))), b"he"),
        (sending(start(), piece(b"he")), b"2\r\nhe\r\n"),
        (_then_raise(sending(start(), piece(b"he"))), b"2\r\nhe\r\n"),
        (sending(start(), piece(b"he"), start()), b"2\r\nhe\r\n"),
    ],
)
async def test_an_answer_that_breaks_off_is_seen_to_and_nothing_comes_behind_it(
    app: ASGIApp, behind_head: bytes
) -> None:
    received = await _cut(app)
    assert behind_head == received.partition(b"\r\n\r\n")[2]
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    parser.receive_data(received)
    parser.receive_data(b"")
    with pytest.raises(h11.RemoteProtocolError):
        _ = [parser.next_event() for _ in range(5)]


async def test_an_answer_to_http_1_0_that_breaks_off_does_not_end_as_a_whole_one_does() -> None:
    async with serving(sending(start(), piece(b"he"))) as listener, calling(listener) as caller:
        await caller.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await caller.rest()


async def test_an_application_may_answer_otherwise_when_its_first_answer_is_refused() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError):
            await send(start((b"content-length", b"2"), (b"x-a", b"\n")))
        await send(start(status=500))
        await send(piece(b"hello", is_last=True))

    first, behind = await _asked(app, GET)
    assert (500, b"hello") == (first.status, first.body)
    assert behind


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_client_that_waits_to_be_told_to_go_on_is_told_once(is_chunked: bool) -> None:
    how = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: 5"
    async with serving(Echo()) as listener, calling(listener) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n%b\r\n\r\n" % how)
        receiving = asyncio.create_task(caller.answer("POST"))
        while not caller.came:
            await asyncio.sleep(0.001)
        await caller.send(b"5\r\nhello\r\n0\r\n\r\n" if is_chunked else b"hello", pieces=3)
        told = await receiving
    assert [100] == caller.came
    assert b'"body": "hello"' in told.body
    assert not told.is_last


@pytest.mark.parametrize(
    "request_",
    [
        post(b"hello", b"Expect: 100-continue"),
        post(b"", b"Expect: 100-continue"),
        get(b"/", b"Expect: 100-continue"),
        # RFC 9110, section 10.1.1: HTTP/1.0 knows of no such word.
        post(b"hello", b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_nobody_is_told_to_go_on_who_has_sent_all(request_: bytes) -> None:
    async with serving(Echo()) as listener, calling(listener) as caller:
        await caller.send(request_)
        assert 200 == (await caller.answer()).status
    assert [] == caller.came


async def test_a_client_of_http_1_0_is_never_told_to_go_on() -> None:
    request = post(b"hello", b"Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    async with serving(Echo()) as listener, calling(listener) as caller:
        await caller.send(request[:-5])
        await asyncio.sleep(0.02)
        await caller.send(request[-5:])
        assert 200 == (await caller.answer()).status
    assert [] == caller.came


async def test_a_client_that_waits_and_is_answered_instead_knows_that_the_connection_ends() -> None:
    """It may send its body or not: what it sends next could be either."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no", 413)

    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 30\r\n\r\n")
        told = await caller.answer("POST")
        await caller.send(GET)
        assert (413, b"no", True, b"") == (told.status, told.body, told.is_last, await caller.rest())
    assert [] == caller.came


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0, h2c"])
@pytest.mark.parametrize("body", [b"", b"hello" * 5_000])
@pytest.mark.parametrize("pieces", [1, 7])
async def test_an_offer_of_another_protocol_is_a_plain_request_with_its_body_and_the_connection_goes_on(
    protocol: bytes, body: bytes, pieces: int
) -> None:
    echo = Echo()
    request = post(
        body, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABkAAQ"
    )
    async with serving(echo) as listener, calling(listener) as caller:
        await caller.send(request + GET + request + GET, pieces=pieces)
        told = [await caller.answer(method) for method in ("POST", "GET", "POST", "GET")]
        assert [(200, False)] * 4 == [(each.status, each.is_last) for each in told]
    assert [body, b"", body, b""] == echo.bodies
    assert (b"upgrade", protocol) in echo.scopes[0]["headers"]


async def test_a_tunnel_is_refused() -> None:
    echo = Echo()
    for target in (b"example.com:443", b"/x"):
        async with serving(echo) as listener, calling(listener) as caller:
            await caller.send(b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\n" % target + GET)
            told = await caller.answer()
            assert (400, b"", b"") == (told.status, told.body, await caller.rest())
    assert [] == echo.scopes


async def test_an_answer_that_comes_before_the_body_is_not_lost_to_the_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b"no" * 50_000, 403)

    body = b"x" * 3_000_000
    async with serving(app) as listener, calling(listener) as caller:
        sending_ = asyncio.create_task(caller.send(post(body)))
        told = await caller.answer("POST")
        await sending_
        caller.end_sending()
        assert (403, 100_000, b"") == (told.status, len(told.body), await caller.rest())


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, scope["method"].encode(), 403)


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize(
    ("start_", "end"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300005\r\n\r\n", b"x" * 300_005),
        (CHUNKED, b"5\r\nhello\r\n%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (300_000, b"x" * 300_000)),
    ],
)
async def test_the_next_request_is_answered_behind_a_body_that_was_not_wanted(
    start_: bytes, end: bytes, is_paused: bool
) -> None:
    may_answer = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_answer.wait()
        await _refuse(scope, receive, send)

    async with serving(app) as listener, calling(listener) as caller:
        # Of a body for which there is no room, the rest is not even read before the answer.
        cut = len(end) - 5 if is_paused else 3
        sending_ = asyncio.create_task(caller.send(start_ + end[:cut]))
        await asyncio.sleep(0.05)
        may_answer.set()
        told = await caller.answer("POST")
        await sending_
        assert (b"POST", False) == (told.body, told.is_last)
        await caller.send(end[cut:-2])
        await caller.send(end[-2:] + GET + GET)
        assert [b"GET", b"GET"] == [(await caller.answer()).body for _ in range(2)]
        await until(lambda: not listener._ending)


@pytest.mark.parametrize(("rest", "is_left"), [(b"5\r\nhello", True), (b"5\r\nhelloGET / HTTP/1.1\r\n", False)])
async def test_a_body_that_was_not_wanted_and_never_ends_is_followed_by_nothing(rest: bytes, is_left: bool) -> None:
    """Nor is it by a refusal if it is none: nobody has asked for one."""
    async with serving(_refuse) as listener, calling(listener) as caller:
        await caller.send(CHUNKED)
        assert b"POST" == (await caller.answer("POST")).body
        await caller.send(rest)
        if is_left:
            caller.end_sending()
        assert b"" == await caller.rest()
        if not is_left:
            # Who still sends is not cut off, so that the answer is not lost.
            assert 1 == listener.count
            caller.end_sending()
        await until(lambda: listener.count == 0)


async def test_requests_behind_one_that_takes_long_are_answered_in_their_turn() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await body_of(receive)
        await asyncio.sleep(0.02 if scope["path"] == "/slow" else 0)
        await answer(send, scope["path"].encode() + body)

    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(post(b"1", path=b"/slow") + post(b"2", path=b"/quick") + post(b"3", path=b"/slow")[:-1])
        await caller.send(b"3" + get(b"/end"))
        assert [b"/slow1", b"/quick2", b"/slow3", b"/end"] == [(await caller.answer()).body for _ in range(4)]
