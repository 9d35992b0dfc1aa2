"""GET /metrics: the server's metrics for those who show its token; without a token there is no such path."""

import hmac
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.web.envelope import ApiError
from farebox.web.routing import Resource, exact_route

Answer = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Writes the metrics as a header Accept asks for; returns them and their media type."""


def metrics_route(answer: Answer, tokens: Sequence[str]) -> Route:
    """Make the route, for those who show one of the tokens."""

    async def metrics(request: Request) -> Response:
        if not is_shown(request.headers.get("authorization", ""), tokens):
            raise ApiError(
                401, "invalid_token", "Show a token of FAREBOX_METRICS_TOKEN", [(b"www-authenticate", b"Bearer")]
            )
        content, media_type = await answer(request.headers.get("accept", ""))
        return Response(content, headers={"Cache-Control": "no-store", "Content-Type": media_type})

    return exact_route("/metrics", Resource(get=metrics, is_head=False))


def is_shown(authorization: str, tokens: Sequence[str]) -> bool:
    """Tell whether a header shows one of the tokens; how long that takes tells nothing about them."""
    scheme, _, shown = authorization.partition(" ")
    text = shown.strip().encode()
    are_equal = [hmac.compare_digest(text, token.encode()) for token in tokens]
    return scheme.lower() == "bearer" and any(are_equal)
