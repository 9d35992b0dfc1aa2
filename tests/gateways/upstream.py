"""The API behind the proxies: it does what the header X-Do asks for, and writes down each request that reached it.

`python -m tests.gateways.upstream PORT FILE` serves on 127.0.0.1 until it is stopped. The file takes one line of JSON
for each request, once it is over.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

HANG_S: Final = 60.0
"""How long a request hangs that is to hang; every proxy has given up by then."""
STREAM_PAUSE_S: Final = 0.15
STREAM_PARTS: Final = 4
BODY_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True)
class Request:
    """What the API was asked, as it came over the wire."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def task(self) -> str:
        """What the client wants to see done."""
        return self.headers.get("x-do", "answer")


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """Read a whole request; None when the connection ends before there is one."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        name = name.lower()
        # A header that comes twice is shown whole, so that a test sees both.
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    body = b""
    try:
        if headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(min(int(headers.get("content-length", "0")), BODY_BYTES_MAX))
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        return None
    return Request(method, target, headers, body)


class Upstream:
    """The API; each of its connections is kept for further requests.

    Args:
        log: Takes a line for each request.
    """

    def __init__(self, log: TextIOWrapper) -> None:
        self._log = log

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        try:
            while (request := await _read(reader)) is not None:
                began = time.monotonic()
                answer = asyncio.ensure_future(self._answer(request, reader, writer, began))
                # Nothing comes while an answer is due, unless the proxy has hung up.
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)
                if not answer.done():
                    answer.cancel()
                await asyncio.gather(answer, return_exceptions=True)
                if answer.cancelled() or answer.exception() is not None:
                    self._note(request, None, time.monotonic() - began)
                    return
        finally:
            writer.transport.abort() if writer.is_closing() else writer.close()

    def _note(self, request: Request, status: int | None, seconds: float) -> None:
        names = ("x-request-id", "x-merchant-id", "x-transfer-id", "x-hold-id", "x-client")
        line: dict[str, Any] = {name: request.headers.get(name) for name in names}
        line |= {"method": request.method, "target": request.target, "status": status, "seconds": round(seconds, 3)}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, began: float
    ) -> None:
        """Answer, and write that down before the last byte is on its way: a client who has it finds the line.

        Raises:
            ConnectionError: the proxy has hung up already, and takes no answer.
        """
        task, _, argument = request.task.partition("=")
        if task == "hang":
            await asyncio.sleep(HANG_S)
        if task == "slow":
            await asyncio.sleep(float(argument))
        if reader.at_eof():
            raise ConnectionError
        if task == "stream":
            await self._stream(writer)
            self._note(request, 200, time.monotonic() - began)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return
        status = int(argument) if task == "fail" else 200
        told = {
            "method": request.method,
            "target": request.target,
            "headers": dict(request.headers),
            "body": request.body.decode("latin-1"),
        }
        content = json.dumps(told).encode()
        head = f"HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        self._note(request, status, time.monotonic() - began)
        writer.write(head.encode() + (b"" if request.method == "HEAD" else content))
        await writer.drain()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(STREAM_PARTS):
            part = f"data: {number}\n\n".encode()
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            await asyncio.sleep(STREAM_PAUSE_S)


async def main(port: int, file: Path) -> None:
    """Serve on this port until cancelled."""
    with file.open("a") as log:
        server = await asyncio.start_server(Upstream(log).serve, "127.0.0.1", port, backlog=1024)
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
