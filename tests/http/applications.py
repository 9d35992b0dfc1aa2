"""Small applications that tests serve."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

GET: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body: bytes, *lines: bytes, path: bytes = b"/") -> bytes:
    """Compose a request with a body of known length."""
    head = b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: x", b"Content-Length: %d" % len(body), *lines])
    return head + b"\r\n\r\n" + body


def get(path: bytes = b"/", *lines: bytes) -> bytes:
    """Compose a request without a body."""
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: x", *lines, b"", b""])


async def body_of(receive: Receive) -> bytes:
    """Receive a request's whole body.

    Raises:
        EOFError: The client left before.
    """
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise EOFError
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def answer(send: Send, body: bytes = b"", status: int = 200) -> None:
    """Answer with a body of known length."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def sending(*messages: Message) -> ASGIApp:
    """Make an application that sends these messages to whatever it is asked."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    """Compose an answer's head."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body: bytes, *, is_last: bool = False) -> Message:
    """Compose a piece of an answer's body."""
    return {"type": "http.response.body", "body": body, "more_body": not is_last}


class Echo:
    """Answers with what it was asked, and keeps it."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        body = await body_of(receive)
        self.bodies.append(body)
        given = {name: scope[name] for name in ("method", "path", "http_version", "scheme")}
        given |= {name: scope[name].decode() for name in ("raw_path", "query_string")}
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        shown: dict[str, Any] = {**given, "headers": headers, "body": body.decode("latin-1")}
        await answer(send, json.dumps(shown).encode())


class Waiting:
    """Answers once it is let go, and keeps what it then hears or what went wrong."""

    def __init__(self, then: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None) -> None:
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.heard: list[Message] = []
        self.may_go = asyncio.Event()
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        await self.may_go.wait()
        if self._then is not None:
            await self._then(scope, receive, send)
        else:
            await answer(send, scope["path"].encode())
            self.heard.append(await receive())
        self.answered.append(scope["path"])
