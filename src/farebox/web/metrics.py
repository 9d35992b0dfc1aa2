"""GET /metrics: the server's metrics for those who show its token; without a token there is no such path."""

import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.web.envelope import ApiError
from farebox.web.routing import Resource, exact_route

Answer = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Writes the metrics as a header Accept asks for; returns them and their media type."""


def metrics_route(answer: Answer, token: str) -> Route:
    """Make the route."""

    async def metrics(request: Request) -> Response:
        if not is_shown(request.headers.get("authorization", ""), token):
            raise ApiError(
                401, "invalid_token", "Show the token of FAREBOX_METRICS_TOKEN", [(b"www-authenticate", b"Bearer")]
            )
        content, media_type = await answer(request.headers.get("accept", ""))
        return Response(content, headers={"Cache-Control": "no-store", "Content-Type": media_type})

    return exact_route("/metrics", Resource(get=metrics, is_head=False))


def is_shown(authorization: str, token: str) -> bool:
    """Tell whether a header shows the token; how long that takes tells nothing about it."""
    scheme, _, shown = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode())
