"""Clients that leave, or take their time: the application is told, what was asked is answered, nobody else waits."""

import asyncio
import gc
from typing import Final

import pytest
from starlette.types import Message, Receive, Scope, Send

from farebox.http.connection import PARSED_BYTES_AT_ONCE, Connection
from farebox.http.exchange import BODY_BYTES_AHEAD
from tests.http.applications import GET, Echo, Waiting, answer, get, piece, post, start
from tests.support.wire import TIMEOUT_S, calling, serving, until

READ_BYTES_MAX: Final = 256 * 1024
"""How much the loop reads at once."""

MEGABYTE: Final = 1_000_000


class Listening:
    """Keeps all messages that it receives until the client is gone, and what it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        while not self.messages or self.messages[-1]["type"] == "http.request":
            self.messages.append(await receive())
        # It is told so as often as it asks, and what it sends then goes nowhere.
        assert {"type": "http.disconnect"} == await receive() == self.messages[-1]
        await answer(send, b"too late")


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("length", range(1, len(GET), 5))
async def test_a_client_that_leaves_within_the_head_asks_nothing(length: int, is_reset: bool) -> None:
    echo = Echo()
    async with serving(echo) as listener:
        async with calling(listener) as caller:
            await caller.send(GET[:length])
            await until(lambda: listener.count == 1)
            if is_reset:
                caller.reset()
        await until(lambda: listener.count == 0)
    assert [] == echo.scopes


@pytest.mark.parametrize("how", ["close", "reset", "half"])
@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_application_hears_of_a_client_that_leaves_within_the_body(how: str, is_chunked: bool) -> None:
    app = Listening()
    body = post(b"hello")[:-3]
    if is_chunked:
        body = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
    async with serving(app) as listener:
        async with calling(listener) as caller:
            await caller.send(body)
            await until(lambda: app.messages)
            if how == "reset":
                caller.reset()
            elif how == "half":
                caller.end_sending()
                assert b"too late" == (await caller.answer("POST")).body
                assert b"" == await caller.rest()
        await until(lambda: listener.count == 0)
    assert [{"type": "http.request", "body": b"he", "more_body": True}, {"type": "http.disconnect"}] == app.messages


@pytest.mark.parametrize("is_reset", [False, True])
async def test_an_application_hears_of_a_client_that_leaves_after_its_request(is_reset: bool) -> None:
    app = Listening()
    async with serving(app) as listener:
        async with calling(listener) as caller:
            await caller.send(post(b"hello"))
            await until(lambda: app.messages)
            if is_reset:
                caller.reset()
        await until(lambda: listener.count == 0)
    whole = {"type": "http.request", "body": b"hello", "more_body": False}
    assert [whole, {"type": "http.disconnect"}] == app.messages


async def test_a_client_that_closes_its_side_gets_the_whole_answer_to_all_that_it_asked() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        if scope["path"] == "/three":
            # The end is seen once no request waits for its turn.
            heard.append(await receive())
        await send(start())
        for number in range(50):
            await send(piece(b"%d " % number))
            await asyncio.sleep(0)
        await send(piece(scope["path"].encode(), is_last=True))

    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(get(b"/one") + get(b"/two") + get(b"/three"))
        caller.end_sending()
        answers = [await caller.answer() for _ in range(3)]
        assert b"" == await caller.rest()
    counted = b"".join(b"%d " % number for number in range(50))
    assert [counted + path for path in (b"/one", b"/two", b"/three")] == [each.body for each in answers]
    asked: Message = {"type": "http.request", "body": b"", "more_body": False}
    assert [asked, asked, asked, {"type": "http.disconnect"}] == heard


async def test_a_long_answer_to_a_client_that_has_left_is_heard_of_and_goes_nowhere() -> None:
    ended: list[Message] = []
    sent = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        listening = asyncio.ensure_future(receive())
        for _ in range(200):
            await send(piece(b"x" * 100_000))
            sent.set()
            await asyncio.sleep(0)
        await send(piece(b"", is_last=True))
        ended.append(await listening)

    async with serving(app) as listener:
        async with calling(listener) as caller:
            await caller.send(GET)
            await sent.wait()
            caller.reset()
        await until(lambda: ended)
        await until(lambda: listener.count == 0)
    assert [{"type": "http.disconnect"}] == ended


async def test_an_application_waits_for_a_client_that_reads_slowly_and_others_are_served() -> None:
    sent, size, pieces = 0, 50_000, 400

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        if scope["path"] == "/other":
            await answer(send, b"other")
            return
        await send(start())
        for _ in range(pieces):
            await send(piece(b"x" * size))
            sent += size
        await send(piece(b"", is_last=True))

    async with serving(app) as listener, calling(listener, receive_bytes=65_536) as slow:
        await slow.send(GET)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        # The system's buffers have it, but for a little that the loop holds.
        assert sent < 8 * MEGABYTE
        for _ in range(20):
            async with calling(listener) as other:
                await other.send(get(b"/other"))
                assert b"other" == (await other.answer()).body
        assert before == sent
        assert size * pieces == len((await slow.answer()).body)
        assert size * pieces == sent


async def test_an_answer_that_nobody_reads_ends_with_its_client() -> None:
    app = Waiting(then=_endless)
    app.may_go.set()
    async with serving(app) as listener:
        async with calling(listener, receive_bytes=65_536) as caller:
            await caller.send(GET)
            await until(lambda: app.asked)
            await asyncio.sleep(0.1)
            caller.reset()
        await until(lambda: listener.count == 0)
        await until(lambda: app.answered)


async def _endless(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start())
    listening = asyncio.ensure_future(receive())
    while not listening.done():
        await send(piece(b"x" * 100_000))
        await asyncio.sleep(0)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_is_received_no_further_ahead_than_there_is_room_for(is_chunked: bool) -> None:
    """What the application has not asked for stays in the client's and the system's buffers."""
    may_read = asyncio.Event()
    most, received = 0, 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most, received
        await may_read.wait()
        is_whole = False
        while not is_whole:
            message = await receive()
            most = max(most, len(message["body"]))
            received += len(message["body"])
            is_whole = not message["more_body"]
            await asyncio.sleep(0.001)
        await answer(send, b"read")

    body = b"x" * 10 * MEGABYTE
    request = post(body)
    if is_chunked:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        request = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    async with serving(app) as listener, calling(listener) as caller:
        sending = asyncio.create_task(caller.send(request))
        await asyncio.sleep(0.1)
        may_read.set()
        assert b"read" == (await caller.answer("POST")).body
        await sending
    assert len(body) == received
    assert most <= BODY_BYTES_AHEAD + READ_BYTES_MAX


async def test_of_many_requests_at_once_few_are_there_before_their_turn() -> None:
    app = Waiting()
    many = 20_000
    async with serving(app) as listener, calling(listener) as caller, asyncio.timeout(TIMEOUT_S):
        sending = asyncio.create_task(caller.send(GET * many))
        await until(lambda: app.asked)
        await asyncio.sleep(0.05)
        (connection,) = listener._connections
        assert len(connection._waiting) <= PARSED_BYTES_AT_ONCE / len(GET)
        caller.reset()
        sending.cancel()
        await asyncio.wait([sending])
        app.may_go.set()
        await until(lambda: listener.count == 0)


async def test_a_connection_that_is_gone_leaves_nothing_behind_that_only_a_collection_of_garbage_finds() -> None:
    async with serving(Echo()) as listener:
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                async with calling(listener) as caller:
                    await caller.send(post(b"hello"))
                    assert 200 == (await caller.answer("POST")).status
            await until(lambda: listener.count == 0)
            await asyncio.sleep(0.01)
            assert len([each for each in gc.get_objects() if type(each) is Connection]) <= 1
        finally:
            gc.enable()
