"""A client that keeps its connection as HTTP/1.1 has it, and takes nothing for granted: what gets no answer is lost."""

import asyncio
from contextlib import suppress
from typing import Final

TIMEOUT_S: Final = 30


class LostRequest(Exception):
    """A request was sent, and no answer came."""


class KeptClient:
    """One client's connection, which is made anew after an answer that closes it, or if it was closed before a request.

    Nothing is sent twice.
    """

    def __init__(self, port: int, key: str, *, is_kept: bool = True) -> None:
        self._port = port
        self._key = key
        self._is_kept = is_kept
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send a request and return its answer: status, headers and body.

        Raises:
            LostRequest: there was none.
        """
        if self._streams is not None and self._streams[0].at_eof():
            await self.close()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                status, headers, content = await self._exchange(*self._streams, method, path, body)
        except (OSError, EOFError) as error:
            await self.close()
            raise LostRequest(f"{method} {path}: {error!r}") from error
        if not self._is_kept or headers.get("connection") == "close":
            await self.close()
        return status, headers, content

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", "host: x", f"content-length: {len(body)}", f"x-api-key: {self._key}"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, content

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
