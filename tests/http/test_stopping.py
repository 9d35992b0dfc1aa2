"""How a server ends what was begun on its connections, and how an application starts and ends."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
from starlette.types import Message, Receive, Scope, Send

from farebox.http.lifespan import Lifespan, StartFailed
from tests.http.applications import GET, Waiting, answer, get, piece, post, start
from tests.support.wire import TIMEOUT_S, Caller, calling, serving, until

COMPLETE: Final[Message] = {"type": "lifespan.startup.complete"}


async def test_a_request_under_way_is_answered_with_the_word_that_the_connection_ends() -> None:
    app = Waiting()
    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(get(b"/under-way") + get(b"/behind"))
        await until(lambda: app.asked)
        listener.stop()
        listener.close_idle()
        app.may_go.set()
        told = await caller.answer()
        assert (b"/under-way", True, b"") == (told.body, told.is_last, await caller.rest())
    assert ["/under-way"] == app.asked


async def test_a_body_that_still_comes_is_waited_for() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while len(body) < 5:
            body += (await receive())["body"]
        await answer(send, body)

    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(post(b"hello")[:-3])
        listener.stop()
        listener.close_idle()
        await caller.send(b"llo")
        told = await caller.answer("POST")
        assert (b"hello", True, b"") == (told.body, told.is_last, await caller.rest())


async def test_a_connection_that_is_idle_ends_with_its_next_answer_or_when_it_is_closed() -> None:
    app = Waiting()
    app.may_go.set()
    async with serving(app) as listener, calling(listener) as asking, calling(listener) as silent:
        for caller in (asking, silent):
            await caller.send(GET)
            assert not (await caller.answer()).is_last
        listener.stop()
        await asking.send(GET + GET)
        told = await asking.answer()
        assert (200, True, b"") == (told.status, told.is_last, await asking.rest())
        assert 1 == listener.count
        listener.close_idle()
        assert b"" == await silent.rest()
        await until(lambda: listener.count == 0)


async def test_an_answer_that_was_begun_before_ends_whole() -> None:
    may_go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(piece(b"he"))
        await may_go.wait()
        await send(piece(b"llo", is_last=True))

    async with serving(app) as listener, calling(listener) as caller:
        await caller.send(GET)
        receiving = asyncio.create_task(caller.answer())
        await asyncio.sleep(0.02)
        listener.stop()
        listener.close_idle()
        may_go.set()
        assert b"hello" == (await receiving).body
        # It did not say that the connection ends. The next one does.
        await caller.send(GET)
        told = await caller.answer()
        assert (b"hello", True, b"") == (told.body, told.is_last, await caller.rest())


async def test_nobody_is_accepted_any_more_and_who_was_accepted_is_answered() -> None:
    app = Waiting()
    app.may_go.set()
    async with serving(app) as listener:
        with socket.create_connection(listener.address) as connection:
            connection.setblocking(False)
            # It is accepted in the same turn of the loop as the stop, and there only after it.
            listener._accept()
            listener.stop()
            caller = Caller(connection)
            await caller.send(GET)
            assert (await caller.answer()).is_last
        with pytest.raises(OSError, match="failed"):
            async with calling(listener):
                pass


# An application's start and end.


async def _lives(run: Callable[[Scope, Receive, Send], Awaitable[None]]) -> Lifespan:
    lifespan = Lifespan(run)
    async with asyncio.timeout(TIMEOUT_S):
        await lifespan.start()
    return lifespan


async def test_an_application_starts_and_ends_and_what_it_leaves_is_there() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "lifespan" == scope["type"]
        assert {"type": "lifespan.startup"} == await receive()
        scope["state"]["left"] = 1
        await send(COMPLETE)
        assert {"type": "lifespan.shutdown"} == await receive()
        ended.append("yes")
        await send({"type": "lifespan.shutdown.complete"})

    lifespan = await _lives(app)
    assert {"left": 1} == lifespan.state
    assert [] == ended
    await lifespan.end()
    assert ["yes"] == ended


async def test_a_start_that_fails_is_told_of_in_the_applications_words() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ValueError

    with pytest.raises(StartFailed, match=r"^no database$"):
        await _lives(app)


async def test_a_start_that_raises_is_told_of_by_what_was_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("no database")

    with pytest.raises(StartFailed, match=r"^ValueError: no database$"):
        await _lives(app)


async def test_a_start_without_an_answer_is_none() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    with pytest.raises(StartFailed, match="does not answer"):
        await _lives(app)


@pytest.mark.parametrize("is_raising", [False, True])
async def test_an_end_waits_for_nobody_who_has_ended(is_raising: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        if is_raising:
            raise ValueError("spoilt")

    lifespan = await _lives(app)
    async with asyncio.timeout(TIMEOUT_S):
        if is_raising:
            with pytest.raises(ValueError, match="spoilt"):
                await lifespan.end()
        else:
            await lifespan.end()
