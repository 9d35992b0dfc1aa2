"""Connections of the asynchronous client: which are kept, and what is known when one fails."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from farebox_client import Unreachable
from farebox_client import transport as transports
from farebox_client.transport import Answer, HttpTransport

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """A server that answers as it is told; it counts its connections, and notes what came over them."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connections = 0
        self.open = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.open -= 1


@contextlib.asynccontextmanager
async def listening(talk: Talk, context: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
    """Listen on a free port."""
    listener = Listener(talk)
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, ssl=context)
    listener.port = server.sockets[0].getsockname()[1]
    try:
        yield listener
    finally:
        server.close()
        await _eventually(lambda: listener.open == 0)


@contextlib.asynccontextmanager
async def connected(
    listener: Listener, *, scheme: str = "http", connections: int = 100
) -> AsyncIterator[HttpTransport]:
    """Send to a listener."""
    transport = HttpTransport(f"{scheme}://127.0.0.1:{listener.port}", connections=connections)
    try:
        yield transport
    finally:
        await transport.close()


async def ask(transport: HttpTransport, *, body: bytes | None = None, timeout: float = 5) -> Answer:
    method = "GET" if body is None else "POST"
    return await transport.send(method, "/api/balance?x=1", body, {"x-api-key": "k"}, timeout=timeout)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read a request's head, and its body if it has one."""
    head = await reader.readuntil(b"\r\n\r\n")
    _, found, rest = head.lower().partition(b"content-length: ")
    return head + (await reader.readexactly(int(rest.split(b"\r")[0])) if found else b"")


def answering(*answers: bytes) -> Talk:
    """Answer each request of a connection by the next of these, and close it after the last."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await read_request(reader)
            writer.write(answer)

    return talk


async def _eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_request_is_sent_as_it_is_asked_and_the_connection_is_kept() -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await read_request(reader))
            writer.write(b"HTTP/1.1 200 Fine\r\nX-Name: Value\r\nContent-Length: 2\r\n\r\nok")

    async with listening(talk) as listener, connected(listener) as transport:
        answers = [await ask(transport), await ask(transport, body=b"{}"), await ask(transport)]
    assert [Answer(200, {"x-name": "Value", "content-length": "2"}, b"ok")] * 3 == answers
    host = b"host: 127.0.0.1:%d\r\nx-api-key: k\r\n" % listener.port
    assert [
        b"GET /api/balance?x=1 HTTP/1.1\r\n" + host + b"\r\n",
        b"POST /api/balance?x=1 HTTP/1.1\r\n" + host + b"content-length: 2\r\n\r\n{}",
        b"GET /api/balance?x=1 HTTP/1.1\r\n" + host + b"\r\n",
    ] == [head.replace(b"Host:", b"host:") for head in heads]
    assert 1 == listener.connections


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
    ids=["length", "chunks", "informational", "until the end", "old"],
)
async def test_an_answer_is_read_however_it_is_framed_and_in_pieces(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for place in range(len(answer)):
            writer.write(answer[place : place + 1])
            await asyncio.sleep(0)

    async with listening(talk) as listener, connected(listener) as transport:
        for _ in range(2):
            read = await ask(transport)
            assert (200, b"ok") == (read.status, read.content)
            await _eventually(lambda: listener.open == 0)
    assert 2 == listener.connections


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000,
    ],
)
async def test_of_what_is_no_answer_nobody_knows_what_became_of_the_request(answer: bytes) -> None:
    async with listening(answering(answer)) as listener, connected(listener) as transport:
        with pytest.raises(Unreachable, match=r"the connection was lost: \w+") as lost:
            await ask(transport)
    assert not lost.value.is_known


async def test_what_comes_after_an_answer_is_not_taken_for_the_next_one() -> None:
    """A server that answers twice, or tells that it is about to close, must not be heard as answering what follows."""
    late = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK if late.is_set() else OK + b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        if late.is_set():
            await asyncio.sleep(0.05)
            writer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with listening(talk) as listener, connected(listener) as transport:
        assert 200 == (await ask(transport)).status
        late.set()
        assert 200 == (await ask(transport)).status
        await asyncio.sleep(0.15)
        assert 200 == (await ask(transport)).status
    assert 3 == listener.connections


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with listening(answering(OK)) as listener, connected(listener) as transport:
        for _ in range(3):
            assert b"ok" == (await ask(transport)).content
            await _eventually(lambda: listener.open == 0)
    assert 3 == listener.connections


async def test_a_connection_that_idled_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_IDLE_MAX_S", 0.02)
    async with listening(answering(OK, OK, OK)) as listener, connected(listener) as transport:
        await ask(transport)
        await ask(transport)
        await asyncio.sleep(0.05)
        await ask(transport)
    assert 2 == listener.connections


async def test_a_request_beyond_the_most_connections_waits_for_one() -> None:
    most = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while True:
            await read_request(reader)
            most = max(most, listener.open)
            await asyncio.sleep(0.005)
            writer.write(OK)

    async with listening(talk) as listener, connected(listener, connections=3) as transport:
        answers = await asyncio.gather(*[ask(transport) for _ in range(20)])
    assert [200] * 20 == [answer.status for answer in answers]
    assert (3, 3) == (listener.connections, most)


async def test_a_request_that_got_no_connection_in_time_was_not_sent() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(talk) as listener, connected(listener, connections=1) as transport:
        first = asyncio.ensure_future(ask(transport, timeout=1))
        await asyncio.sleep(0)
        with pytest.raises(Unreachable, match=r"no connection: none within 0\.1 s") as lost:
            await ask(transport, timeout=0.2)
        with pytest.raises(Unreachable, match="no answer within 1 s") as late:
            await first
    assert (True, False) == (lost.value.is_known, late.value.is_known)


async def test_an_answer_that_trickles_does_not_last() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with listening(talk) as listener, connected(listener) as transport:
        with pytest.raises(Unreachable, match=r"no answer within 0\.3 s") as lost:
            await ask(transport, timeout=0.3)
        await _eventually(lambda: listener.open == 0)
    assert not lost.value.is_known


async def test_the_connection_of_a_request_that_is_cancelled_is_nobody_elses() -> None:
    numbers = iter(range(10))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            number = next(numbers)
            await asyncio.sleep(0.05)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number)

    async with listening(talk) as listener, connected(listener) as transport:
        task = asyncio.ensure_future(ask(transport))
        await _eventually(lambda: listener.open == 1)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert b"1" == (await ask(transport)).content
    assert 2 == listener.connections


async def test_an_early_refusal_is_read_though_the_body_was_not() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)

    async with listening(talk) as listener, connected(listener) as transport:
        assert 413 == (await ask(transport, body=b"x" * 20_000_000)).status


async def test_https_goes_by_the_certificates_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with listening(answering(OK, OK), context) as listener, connected(listener, scheme="https") as transport:
        answers = [await ask(transport), await ask(transport)]
    assert [b"ok"] * 2 == [answer.content for answer in answers]
    assert 1 == listener.connections


async def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_request(reader))
        writer.write(OK)

    async with listening(talk) as listener:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.port}")
        transport = HttpTransport("http://farebox.example:8000")
        try:
            answer = await ask(transport, body=b"{}")
        finally:
            await transport.close()
    assert b"ok" == answer.content
    assert heads[0].startswith(b"POST http://farebox.example:8000/api/balance?x=1 HTTP/1.1\r\n")
