"""GET /healthz: whether this process can do its work, for load balancers."""

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from farebox.service.operator.health import HealthCheck


def health_handler(health_check: HealthCheck) -> HTTPRouteHandler:
    """Make the handler of GET /healthz: 200 if all is well, else 503."""

    @get("/healthz", include_in_schema=False)
    async def healthz() -> Response[bytes]:
        health = await health_check.check()
        return Response(
            msgspec.json.encode(health),
            media_type="application/json",
            status_code=200 if health.is_ok else 503,
            headers={"Cache-Control": "no-store"},
        )

    return healthz
