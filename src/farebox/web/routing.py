"""Paths beside the API's plain ones: how a path is matched, and what answers each method of it."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from farebox.web.envelope import ApiError, method_not_allowed

Handler = Callable[[Request], Awaitable[Response]]

_SLASHES: Final = re.compile("//+")


def plain_path(path: str) -> str:
    """Write a path with one slash where there are several, and none at its end."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"


def exact_route(path: str, app: ASGIApp) -> Route:
    """Make a route to an application that does all methods of a path itself."""
    route = Route(path, endpoint=app)
    # Starlette ends its pattern with a dollar, which lets a path through that has a line break more.
    route.path_regex = re.compile(route.path_regex.pattern.removesuffix("$") + r"\Z")
    return route


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request for a path that there is not.

    Raises:
        ApiError: 404.
    """
    raise no_such_path()


def no_such_path() -> ApiError:
    """Say that nothing is at this path."""
    return ApiError(404, "not_found", "Not Found; /openapi.json lists what there is")


class Resource:
    """One path, as an ASGI application: the handler of each method, with OPTIONS and wrong methods done for all."""

    def __init__(self, *, get: Handler | None = None, post: Handler | None = None, is_head: bool = True) -> None:
        """Name the handlers; `is_head` lets the one for GET answer HEAD as well."""
        handlers = {"GET": get, "HEAD": get if is_head else None, "POST": post}
        self._handlers = {method: handler for method, handler in handlers.items() if handler is not None}
        self._allowed = ", ".join(sorted({*self._handlers, "OPTIONS"}))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            ApiError: 405.
        """
        handler = self._handlers.get(scope["method"])
        if handler is not None:
            response = await handler(Request(scope, receive))
        elif scope["method"] == "OPTIONS":
            response = Response(status_code=204, headers={"Allow": self._allowed})
        else:
            raise method_not_allowed(self._allowed.encode())
        await response(scope, receive, send)
