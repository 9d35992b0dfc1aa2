"""Charges for requests of an ASGI application: Starlette, FastAPI, Litestar, or any other.

    charging = Charging("https://farebox.example", key=SERVICE_KEY, routes=ROUTES)
    app.add_middleware(AsgiMiddleware, charging=charging)   # Starlette, FastAPI
    app = AsgiMiddleware(app, charging)                     # around any application

A request is held for before it is handled. It is charged if it succeeds, by what was delivered.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from farebox_client.middleware.charge_steps import FIRST_EXTENSION
from farebox_client.middleware.charging import Charging
from farebox_client.middleware.refusals import Refusal, Refused
from farebox_client.middleware.request_charge import CURRENT, SCOPE_KEY, RequestCharge
from farebox_client.middleware.routes import WEBSOCKET, RoutePrice

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]
"""Frameworks have types of their own for what an application is called with."""

_KEY_HEADER: Final = b"x-api-key"
_POLICY_VIOLATION: Final = 1008
_OK: Final = 200
_FORBIDDEN: Final = 403
_LAST: Final = frozenset({"http.disconnect", "websocket.disconnect"})
_PIECES: Final = frozenset({"http.response.body", "http.response.zerocopysend", "websocket.http.response.body"})
_WHOLE: Final = frozenset({"http.response.pathsend", "websocket.close"})


class HandlerBlocksLoop(RuntimeError):
    """A handler that isn't asynchronous can't wait on the event loop: make it asynchronous, or run it in a thread."""


class AsgiMiddleware:
    """Charges for what passes through it."""

    def __init__(self, app: App, charging: Charging) -> None:
        """Be before `app`; a framework may make several, which share `charging`."""
        self._app = app
        self._charging = charging

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one connection, or the application's lifespan."""
        if scope["type"] == "lifespan":
            await self._app(scope, self._at_both_ends(receive), send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        CURRENT.set(None)
        method = scope["method"] if scope["type"] == "http" else WEBSOCKET
        api_keys = [value.decode("latin-1") for name, value in scope["headers"] if name == _KEY_HEADER]
        try:
            charge = await self._charging.admit(method, _path(scope), api_keys)
        except Refused as refused:
            if scope["type"] == "websocket":
                await receive()
            await _refuse(scope, send, refused.refusal)
            return
        if charge is None:
            await self._app(scope, receive, send)
            return
        await _Exchange(self._charging, charge, receive, send).run(self._app, scope)

    def _at_both_ends(self, receive: Receive) -> Receive:
        """Start before the application starts, and take what is owed before it ends: its own clients are open then."""

        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._charging.start()
            elif message["type"] == "lifespan.shutdown":
                await self._charging.aclose()
            return message

        return received


class _Exchange:
    """One request and its answer, or one web socket: what passes is told to its charge."""

    def __init__(self, charging: Charging, charge: RequestCharge, receive: Receive, send: Send) -> None:
        self._charging = charging
        self._charge = charge
        self._receive = receive
        self._send = send
        # One message is read ahead, so that a client is seen to leave though the application doesn't look.
        self._inbox: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self._is_taken = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._extending: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None

    async def run(self, app: App, scope: Scope) -> None:
        """Let the application handle it, and take or give back what it came to."""
        charge = self._charge
        scope[SCOPE_KEY] = charge
        CURRENT.set(charge)
        charge.ask, charge.ask_and_wait = self._ask, self._waiting(asyncio.get_running_loop())
        self._watching = asyncio.create_task(self._watch())
        if charge.hold is not None:
            self._extending = asyncio.create_task(self._extend())
        try:
            await app(scope, self._received, self._sent)
        except asyncio.CancelledError:
            self._leave()
            raise
        except Exception:
            await self._settle()
            if charge.untold_refusal is None:
                raise
        else:
            await self._settle()
        if charge.untold_refusal is not None:
            await _refuse(scope, self._send, charge.untold_refusal)

    def _finish(self) -> "asyncio.Task[None] | None":
        """Let what it came to be taken or given back; the application may still run, and hear from its client."""
        if self._extending is not None:
            self._extending.cancel()
        if self._end is None and self._charge.is_open:
            self._end = self._charging.end(self._charge)
        return self._end

    def _leave(self) -> "asyncio.Task[None] | None":
        """Stop all that is done beside the application."""
        if self._watching is not None:
            self._watching.cancel()
        return self._finish()

    async def _settle(self) -> None:
        end = self._leave()
        if end is not None:
            await asyncio.shield(end)

    async def _extend(self) -> None:
        share: float | None = FIRST_EXTENSION
        while share is not None:
            await asyncio.sleep(share * self._charging.hold_for)
            share = await self._charging.extend(self._charge)

    # Asked by the handler

    async def _ask(self, price: RoutePrice) -> None:
        charge = self._charge
        try:
            await self._charging.open(charge, price)
        except Refused as refused:
            charge.refusal = refused.refusal
            raise
        if charge.hold is not None:
            self._extending = asyncio.create_task(self._extend())

    def _waiting(self, loop: asyncio.AbstractEventLoop) -> Callable[[RoutePrice], None]:
        def ask_and_wait(price: RoutePrice) -> None:
            if loop is _running_loop():
                raise HandlerBlocksLoop(HandlerBlocksLoop.__doc__)
            asyncio.run_coroutine_threadsafe(self._ask(price), loop).result()

        return ask_and_wait

    # From the client

    async def _watch(self) -> None:
        while True:
            try:
                message: Message | Exception = await self._receive()
            except Exception as error:
                message = error
            is_last = isinstance(message, Exception) or message["type"] in _LAST
            if is_last:
                self._charge.left()
            self._is_taken.clear()
            self._inbox.put_nowait(message)
            if is_last:
                return
            if not _is_all_there(message):
                await self._is_taken.wait()

    async def _received(self) -> Message:
        message = await self._inbox.get()
        self._is_taken.set()
        if isinstance(message, Exception):
            self._inbox.put_nowait(message)
            raise message
        if message["type"] in _LAST:
            # It is true for ever.
            self._inbox.put_nowait(message)
        return message

    # To the client

    async def _sent(self, message: Message) -> None:
        charge = self._charge
        if charge.untold_refusal is not None:
            return
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            charge.answered(message["status"])
        elif kind == "websocket.accept":
            charge.answered(_OK)
        elif kind == "websocket.close" and not charge.has_answered:
            charge.answered(_FORBIDDEN)
        is_last = kind in _WHOLE or (kind in _PIECES and not message.get("more_body", False))
        is_piece = is_last or kind == "websocket.send" or (kind in _PIECES and message.get("body", True))
        if is_piece:
            self._charging.book.expect(charge, is_last=is_last)
        try:
            await self._send(message)
        except OSError:
            charge.left()
            raise
        if is_last:
            charge.completed()
            self._finish()
        elif is_piece:
            charge.delivered()


def _is_all_there(message: Message | Exception) -> bool:
    """Tell whether all of a request has come: what comes next is its client's leaving, whether it was read or not."""
    return not isinstance(message, Exception) and message["type"] == "http.request" and not message.get("more_body")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _path(scope: Scope) -> str:
    """Return the path below that at which the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in refusal.headers]
    kind = "http.response"
    if scope["type"] == "websocket":
        kind = "websocket.http.response"
        if kind not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.message})
            return
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else refusal.body})
