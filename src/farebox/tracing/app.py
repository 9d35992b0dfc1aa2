"""The application, with a span around each request that is traced."""

import re
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import Any, Final

from opentelemetry.trace import Status, StatusCode
from starlette.types import ASGIApp, Receive, Scope, Send

from farebox.tracing.traces import CURRENT, RequestTrace, Traces

_API: Final = "/api/"
_GATE: Final = "/gate/"
_PUBLIC_ID: Final = re.compile(r"/[a-z]+_[^/]*")
_ROUTE_CHARS_MAX: Final = 100


class TracedApp:
    """Passes requests to an application, and tells of those that are traced."""

    def __init__(self, app: ASGIApp, traces: Traces) -> None:
        """Trace this application's requests."""
        self._app = app
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = self._traces.begin(scope["method"], scope["headers"])
        if trace is None:
            await self._app(scope, receive, send)
            return
        await self._traced(trace, scope, receive, send)

    async def _traced(self, trace: RequestTrace, scope: Scope, receive: Receive, send: Send) -> None:
        method, route = scope["method"], _route(scope["path"])
        status = 0
        trace.attributes["http.request.method"] = method

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = CURRENT.set(trace)
        try:
            await self._app(scope, receive, noting)
        finally:
            CURRENT.reset(token)
            if status:
                trace.attributes["http.response.status_code"] = status
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR or not status:
                trace.status = Status(StatusCode.ERROR)
            # A path that leads nowhere is a stranger's own text.
            if route and status != HTTPStatus.NOT_FOUND:
                trace.name = f"{method} {route}"
                trace.attributes["http.route"] = route
            self._traces.end(trace)


def _route(path: str) -> str:
    """Name a path of the API without the ids in it; pages' paths, which may hold what opens something, not at all."""
    if path.startswith(_API):
        return _PUBLIC_ID.sub("/{id}", path)[:_ROUTE_CHARS_MAX]
    return _GATE if path.startswith(_GATE) else ""
