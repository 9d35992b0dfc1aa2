"""Bytes over a socket: what no HTTP client would send, and requests of many clients at once."""

import asyncio
import contextlib
import socket
from typing import Final

TIMEOUT_S: Final = 30


def exchange(port: int, request_line: bytes, *header_lines: bytes, body: bytes = b"") -> bytes:
    """Send a request on a connection of its own and return all that comes back until the server closes it."""
    head = b"\r\n".join([request_line, b"Host: 127.0.0.1", b"Connection: close", *header_lines, b"", b""])
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        connection.sendall(head + body)
        return read_all(connection)


def end_sending(connection: socket.socket) -> None:
    """Say that no more comes, unless the other side has closed already."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side closes."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


class Client:
    """One client's connection to a server, made when it is needed, kept, and made anew after it broke."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key.encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send a request and return its answer: status, headers and body.

        Raises:
            OSError, EOFError: There was no answer, or not all of it.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S * 2):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nx-api-key: ".encode()
                writer.write(head + self._key + b"\r\n\r\n" + body)
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
                headers = dict(line.split(": ", 1) for line in lines)
                return int(first.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
