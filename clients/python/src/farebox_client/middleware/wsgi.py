"""Charges for requests of a WSGI application: Flask, Django, or any other.

    charging = BlockingCharging("https://farebox.example", key=SERVICE_KEY, routes=ROUTES)
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, charging)              # Flask
    application = WsgiMiddleware(get_wsgi_application(), charging)      # Django

A request is held for before it is handled. It is charged if it succeeds, by what was delivered. A server that writes an
answer tells nobody whether it arrived: a piece counts as delivered once the server asks for what comes after it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from http.client import responses
from typing import Any, Final

from farebox_client.middleware.blocking_charging import BlockingCharging
from farebox_client.middleware.refusals import Refusal, Refused
from farebox_client.middleware.request_charge import CURRENT, SCOPE_KEY, RequestCharge
from farebox_client.middleware.routes import RoutePrice

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_KEY_HEADER: Final = "HTTP_X_API_KEY"


class WsgiMiddleware:
    """Charges for what passes through it."""

    def __init__(self, app: App, charging: BlockingCharging) -> None:
        """Be before `app`."""
        self._app = app
        self._charging = charging

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request."""
        CURRENT.set(None)
        api_keys = [environ[_KEY_HEADER]] if _KEY_HEADER in environ else []
        try:
            charge = self._charging.admit(environ["REQUEST_METHOD"], _path(environ), api_keys)
        except Refused as refused:
            return _refuse(environ, start_response, refused.refusal)
        if charge is None:
            return self._app(environ, start_response)
        return _Answer(self._charging, charge, start_response).begin(self._app, environ)


class _Answer:
    """The answer to one request, as the server takes it piece by piece: what passes is told to its charge."""

    def __init__(self, charging: BlockingCharging, charge: RequestCharge, start_response: StartResponse) -> None:
        self._charging = charging
        self._charge = charge
        self._start_response = start_response
        self._environ: Environ = {}
        self._pieces: Iterable[bytes] = ()
        self._iterator: Iterator[bytes] = iter(())
        self._has_piece_out = False
        self._has_ended = False

    def begin(self, app: App, environ: Environ) -> Iterable[bytes]:
        """Let the application handle the request; its answer may come later, as the server asks for it."""
        charge = self._charge
        self._environ = environ
        environ[SCOPE_KEY] = charge
        CURRENT.set(charge)
        charge.ask_and_wait, charge.ask = self._ask, self._ask_in_thread
        try:
            self._pieces = app(environ, self._start)
        except Exception:
            self._end()
            if charge.untold_refusal is None:
                raise
        except BaseException:
            self._end()
            raise
        if charge.untold_refusal is not None:
            self.close()
            return _refuse(environ, self._start_response, charge.untold_refusal)
        self._iterator = iter(self._pieces)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        charge = self._charge
        if self._has_piece_out:
            # The server has written the last one: it asks for more.
            charge.delivered()
        try:
            piece = next(self._iterator)
        except StopIteration:
            # It is charged when the server closes the answer, whose end has gone to the client by then.
            self._charging.book.expect(charge, is_last=True)
            charge.completed()
            raise
        except BaseException:
            self._end()
            raise
        self._has_piece_out = self._has_piece_out or bool(piece)
        if piece:
            self._charging.book.expect(charge, is_last=False)
        return piece

    def close(self) -> None:
        """Hear from the server that it needs no more: all was sent, or the client is gone."""
        if not self._has_ended:
            self._charge.left()
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._end()

    def _start(self, status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        charge = self._charge
        if charge.untold_refusal is not None:
            return lambda piece: None
        charge.answered(int(status.split(" ", 1)[0]))
        write = self._start_response(status, headers, *error)

        def written(piece: bytes) -> object:
            self._charging.book.expect(charge, is_last=False)
            result = write(piece)
            charge.delivered()
            return result

        return written

    def _end(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            if self._charge.is_open:
                self._charging.end(self._charge)

    def _ask(self, price: RoutePrice) -> None:
        try:
            self._charging.open(self._charge, price)
        except Refused as refused:
            self._charge.refusal = refused.refusal
            raise

    async def _ask_in_thread(self, price: RoutePrice) -> None:
        await asyncio.to_thread(self._ask, price)


def _path(environ: Environ) -> str:
    """Return the path below that at which the application is mounted, as text."""
    path: str = environ.get("PATH_INFO", "") or "/"
    # Servers hand bytes over as Latin-1, by the WSGI specification.
    return path.encode("latin-1").decode("utf-8", "replace")


def _refuse(environ: Environ, start_response: StartResponse, refusal: Refusal) -> list[bytes]:
    start_response(f"{refusal.status} {responses.get(refusal.status, 'Refused')}", refusal.headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [refusal.body]
