"""What the application is given of a request: its own head and its own body, however their bytes come."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Final

import pytest
from starlette.types import Receive, Scope, Send

from farebox.http.connection import PARSED_BYTES_AT_ONCE
from farebox.http.limits import HTTP_LIMITS
from farebox.http.listener import Listener

TIMEOUT_S: Final = 10


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the head and the body that the application was given."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
    answer = json.dumps({"path": scope["path"], "headers": headers, "body": body.decode()}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    listener = Listener(echo, listening, HTTP_LIMITS)
    listener.start()
    yield listening.getsockname()[1]
    listener.stop()
    listener.close_idle()


async def answers(port: int, *pieces: bytes, count: int) -> list[dict[str, object]]:
    """Send these pieces, each after the server saw the one before it; return what the application was given."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.05)
        read = []
        async with asyncio.timeout(TIMEOUT_S):
            for _ in range(count):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
                length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length: "))
                read.append(json.loads(await reader.readexactly(int(length.split()[1]))))
        return read
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_body_that_comes_late_is_read_although_its_head_came_with_another_request(port: int) -> None:
    both = b"GET /first HTTP/1.1\r\nHost: a\r\n\r\nPOST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"

    first, second = await answers(port, both, b"hello", count=2)

    assert ("/first", "") == (first["path"], first["body"])
    assert ("/second", "hello") == (second["path"], second["body"])


async def test_a_body_is_read_that_came_with_all_before_it_and_was_not_parsed_yet(port: int) -> None:
    post = b"POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
    get = b"GET /first HTTP/1.1\r\nHost: a\r\nA: %b\r\n\r\n"
    both = get % (b"x" * (PARSED_BYTES_AT_ONCE - len(post) - len(get % b""))) + post
    assert PARSED_BYTES_AT_ONCE == len(both)

    first, second = await answers(port, both + b"hello", count=2)

    assert ("/first", "") == (first["path"], first["body"])
    assert ("/second", "hello") == (second["path"], second["body"])


async def test_what_stands_behind_a_body_is_no_header(port: int) -> None:
    """A proxy in front looks at headers alone: a client's address or key is not to come from elsewhere."""
    body = b"2\r\nok\r\n0\r\nX-Forwarded-For: 1\r\nX-API-Key: 2\r\n\r\n"
    chunked = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body

    first, second = await answers(port, chunked + b"GET /y HTTP/1.1\r\nHost: b\r\n\r\n", count=2)

    assert [["host", "a"], ["transfer-encoding", "chunked"]] == first["headers"]
    assert "ok" == first["body"]
    assert [["host", "b"]] == second["headers"]


async def test_blanks_around_a_value_are_no_part_of_it(port: int) -> None:
    """Source: RFC 9110, section 5.5."""
    (given,) = await answers(port, b"GET / HTTP/1.1\r\nHost: a \r\nA: \t b c \t \r\nEmpty:  \r\n\r\n", count=1)

    assert [["host", "a"], ["a", "b c"], ["empty", ""]] == given["headers"]
