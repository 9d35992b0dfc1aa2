"""What a connection may take: of a head's size and time, of idle time, and how many there are."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from farebox.http.connection import HEADERS_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX
from farebox.http.limits import HTTP_LIMITS
from farebox.http.listener import ACCEPTED_AT_ONCE, Listener
from tests.http.applications import GET, Echo, Waiting, answer, get, post
from tests.support.wire import Caller, calling, serving, turns, until

SHORT: Final = msgspec.structs.replace(HTTP_LIMITS, head_seconds=1, unwanted_seconds=1)
TOO_LATE_S: Final = 4
"""By when what has a second's time is over: seconds that have begun are not counted, and the machine may be busy."""


def _lines(count: int, bytes_count: int) -> list[bytes]:
    """Make so many headers that have so many bytes together, with the host."""
    rest = bytes_count - len(b"hostx") - count * len(b"a")
    size, more = divmod(rest, count)
    return [b"A: " + b"v" * (size + (number < more)) for number in range(count)]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/" + b"a" * (TARGET_BYTES_MAX - 1)), 200),
        (get(b"/" + b"a" * TARGET_BYTES_MAX), 414),
        (get(b"http://x/" + b"a" * (TARGET_BYTES_MAX - 9)), 200),
        (get(b"http://x/" + b"a" * (TARGET_BYTES_MAX - 8)), 414),
        (get(b"/", *[b"A: b"] * (HEADERS_MAX - 1)), 200),
        (get(b"/", *[b"A: b"] * HEADERS_MAX), 431),
        (get(b"/", *_lines(99, HEADERS_BYTES_MAX)), 200),
        (get(b"/", *_lines(99, HEADERS_BYTES_MAX + 1)), 431),
        (get(b"/", *_lines(1, HEADERS_BYTES_MAX)), 200),
        (get(b"/", *_lines(1, HEADERS_BYTES_MAX + 1)), 431),
        (get(b"/", b"A" * HEADERS_BYTES_MAX + b": b"), 431),
    ],
)
@pytest.mark.parametrize("pieces", [1, 5])
async def test_a_head_has_a_size_and_what_is_larger_is_refused(request_: bytes, status: int, pieces: int) -> None:
    async with serving(Echo()) as listener, calling(listener) as caller:
        await caller.send(request_ + GET, pieces=pieces)
        told = await caller.answer()
        assert status == told.status
        assert 200 == (await caller.answer()).status if status == 200 else b"" == await caller.rest()


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: ", b"b"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"a"),
        (b"GET /", b"a"),
        (b"GET http://", b"a"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=", b"b"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: ", b"b"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"a"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"A: b\r\n"),
    ],
)
async def test_a_line_without_an_end_ends(begun: bytes, more: bytes) -> None:
    sent = 0
    async with serving(Echo()) as listener, calling(listener) as caller:
        await caller.send(begun)
        receiving = asyncio.create_task(caller.rest())
        while not receiving.done():
            await caller.send(more * 20_000)
            sent += 20_000 * len(more)
            assert sent < 500_000
        received = await receiving
    assert b" 200 " not in received


async def test_an_idle_connection_is_closed_in_time() -> None:
    async with serving(Echo(), SHORT) as listener, calling(listener) as unused, calling(listener) as used:
        await used.send(GET)
        assert 200 == (await used.answer()).status
        await until(lambda: listener.count == 2)
        async with asyncio.timeout(TOO_LATE_S):
            assert [b"", b""] == [await unused.rest(), await used.rest()]
        await until(lambda: listener.count == 0)


@pytest.mark.parametrize("before", [b"", GET])
@pytest.mark.parametrize("more", [b"b", b"\r\n"])
async def test_a_head_that_trickles_in_is_closed_in_time(before: bytes, more: bytes) -> None:
    begun = b"GET / HTTP/1.1\r\nHost: x\r\nA: " if more == b"b" else b""
    async with serving(Echo(), SHORT) as listener, calling(listener) as caller:
        await caller.send(before + begun)
        if before:
            await caller.answer()
        closed = asyncio.create_task(caller.rest())
        async with asyncio.timeout(TOO_LATE_S):
            while not closed.done():
                await _try_to_send(caller, more)
                await asyncio.sleep(0.05)
        assert b"" == closed.result()


async def _try_to_send(caller: Caller, data: bytes) -> None:
    try:
        await caller.send(data)
    except OSError:
        await asyncio.sleep(0)


async def test_a_connection_is_not_idle_while_it_is_answered() -> None:
    app = Waiting()
    async with serving(app, SHORT) as listener, calling(listener) as caller:
        await caller.send(GET)
        await asyncio.sleep(2.5)
        app.may_go.set()
        assert 200 == (await caller.answer()).status


async def test_what_comes_after_a_refusal_is_thrown_away_for_a_while_only() -> None:
    async with serving(Echo(), SHORT) as listener, calling(listener) as caller:
        await caller.send(b"garbage\r\n\r\n")
        assert 400 == (await caller.answer()).status
        async with asyncio.timeout(TOO_LATE_S):
            while listener.count:
                await _try_to_send(caller, b"x" * 1_000)
                await asyncio.sleep(0.01)


async def test_a_body_that_was_not_wanted_is_thrown_away_for_a_while_only() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, status=413)

    async with serving(refuse, SHORT) as listener, calling(listener) as caller:
        await caller.send(post(b"x" * 10_000_000)[:-9_000_000])
        assert 413 == (await caller.answer("POST")).status
        async with asyncio.timeout(TOO_LATE_S):
            while listener.count:
                await _try_to_send(caller, b"x" * 1_000)
                await asyncio.sleep(0.01)


async def test_connections_beyond_the_most_wait_and_are_accepted_later() -> None:
    app = Waiting()
    async with serving(app, connections_max=3) as listener:
        callers: list[Caller] = []
        asking = [asyncio.create_task(_ask(listener, callers)) for _ in range(10)]
        await until(lambda: len(app.asked) == 3)
        await asyncio.sleep(0.05)
        assert (3, 3) == (len(app.asked), listener.count)
        app.may_go.set()
        assert [200] * 10 == await asyncio.gather(*asking)
    assert 10 == len(app.asked)


async def _ask(listener: Listener, callers: list[Caller]) -> int:
    async with calling(listener) as caller:
        callers.append(caller)
        await caller.send(GET)
        return (await caller.answer()).status


async def test_a_connection_that_is_gone_before_it_is_taken_does_not_count() -> None:
    async with serving(Echo(), connections_max=2) as listener:
        for _ in range(50):
            for _ in range(5):
                async with calling(listener) as caller:
                    caller.reset()
            assert 200 == await _ask(listener, [])
        await until(lambda: listener.count == 0)


class Refusing:
    """A listening socket whose system has no more room for files, so many times."""

    def __init__(self, listening: socket.socket, errors: Iterator[OSError]) -> None:
        self._listening = listening
        self._errors = errors

    def accept(self) -> tuple[socket.socket, Any]:
        if (error := next(self._errors, None)) is not None:
            raise error
        return self._listening.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)


async def test_accepting_goes_on_after_errors(caplog: pytest.LogCaptureFixture) -> None:
    errors = iter(
        [
            ConnectionAbortedError(errno.ECONNABORTED, "gone"),
            OSError(errno.EMFILE, "Too many open files"),
            OSError(errno.ENFILE, "Too many open files in system"),
        ]
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        listener = Listener(Echo(), Refusing(listening, errors), HTTP_LIMITS)  # type: ignore[arg-type]
        listener.start()
        try:
            assert [200] * 5 == await asyncio.gather(*[_ask(listener, []) for _ in range(5)])
        finally:
            listener.stop()
            listener.close_idle()
        await until(lambda: listener.count == 0)
    assert 2 == caplog.text.count("no connection can be accepted for now")


async def test_more_connections_at_once_than_are_accepted_in_a_turn_are_all_served() -> None:
    async with serving(Echo()) as listener:
        count = ACCEPTED_AT_ONCE * 3
        assert [200] * count == await asyncio.gather(*[_ask(listener, []) for _ in range(count)])


async def test_a_body_that_trickles_in_is_for_the_application_to_time() -> None:
    async with serving(Echo(), SHORT) as listener, calling(listener) as caller:
        request = post(b"0123456789" * 3)
        await caller.send(request[:-30])
        for at in range(-30, 0):
            await caller.send(request[at : at + 1 or None])
            await asyncio.sleep(0.08)
        assert 200 == (await caller.answer("POST")).status


@pytest.mark.parametrize("turns_between", range(8))
async def test_a_connection_that_is_being_accepted_counts_once_before_long(turns_between: int) -> None:
    app = Waiting()
    async with serving(app, connections_max=4) as listener:
        callers: list[Caller] = []
        try:
            for turns_after in (0, turns_between, 0):
                connection = socket.create_connection(listener.address)
                connection.setblocking(False)
                callers.append(Caller(connection))
                if turns_after:
                    listener._accept()
                    await turns(turns_after)
            listener._accept()
            for caller in callers:
                await caller.send(GET)
            async with asyncio.timeout(2):
                await until(lambda: len(app.asked) == len(callers))
        finally:
            app.may_go.set()
            for caller in callers:
                caller.connection.close()


async def test_the_time_of_a_head_begins_with_its_first_byte() -> None:
    async with serving(Echo()) as listener, calling(listener) as caller:
        await until(lambda: listener.count == 1)
        listener.ticks += HTTP_LIMITS.head_seconds - 2
        await caller.send(GET[:20])
        listener.ticks += HTTP_LIMITS.head_seconds - 2
        before = listener.ticks
        await until(lambda: listener.ticks > before)
        await caller.send(GET[20:])
        assert 200 == (await caller.answer()).status
