"""Whether this process can do its work, for load balancers and people."""

from collections.abc import Awaitable, Callable

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct


class Health(Struct, rename="camel"):
    """This process: its version, its engine, and how much work waits."""

    status: str
    version: str
    engine: str
    waiting_commands: int
    committed_batches: int
    committed_commands: int


def health_handler(check: Callable[[], Awaitable[Health]]) -> HTTPRouteHandler:
    """Make the handler of GET /healthz: 200 if `check` says "ok", else 503."""

    @get("/healthz", include_in_schema=False)
    async def healthz() -> Response[bytes]:
        health = await check()
        return Response(
            msgspec.json.encode(health),
            media_type="application/json",
            status_code=200 if health.status == "ok" else 503,
            headers={"Cache-Control": "no-store"},
        )

    return healthz
