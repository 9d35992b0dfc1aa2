"""Cross-origin reading of the API, by browsers from the origins that the operator allows."""

from typing import Final

from starlette.types import Scope

from farebox.web.envelope import Headers

PREFLIGHT_SECONDS: Final = 600


class Cors:
    """Cross-origin reading of the API by browsers, from the origins that the operator allows; `*` allows all.

    Keys travel in a header of their own, never in cookies, so no credentials are allowed and none are needed.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        """Allow these origins, each such as https://dashboard.example."""
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_open = b"*" in self._origins

    def headers(self, scope: Scope) -> Headers:
        """Return the headers that let the asking page read the answer, if it may."""
        if not self._origins:
            return []
        for name, value in scope["headers"]:
            if name == b"origin":
                return self._allow(value)
        return [] if self._is_open else [(b"vary", b"origin")]

    def preflight_headers(self, scope: Scope, methods: bytes) -> Headers:
        """Return the headers that answer a browser's question before it sends the request itself."""
        allowed = self.headers(scope)
        if not any(name == b"access-control-allow-origin" for name, _ in allowed):
            return allowed
        return [
            *allowed,
            (b"access-control-allow-methods", methods),
            (b"access-control-allow-headers", b"x-api-key, content-type, idempotency-key"),
            (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        ]

    def _allow(self, origin: bytes) -> Headers:
        exposed = (b"access-control-expose-headers", b"X-Error-Code, Idempotent-Replay, Retry-After, X-Request-Id")
        if self._is_open:
            return [(b"access-control-allow-origin", b"*"), exposed]
        if origin in self._origins:
            return [(b"access-control-allow-origin", origin), (b"vary", b"origin"), exposed]
        return [(b"vary", b"origin")]
