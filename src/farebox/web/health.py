"""GET /healthz: whether this process can do its work, for load balancers."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.service.operator.health import HealthCheck
from farebox.web.routing import Resource, exact_route


def health_route(health_check: HealthCheck) -> Route:
    """Make the route of GET /healthz: 200 if all is well, else 503."""

    async def healthz(_: Request) -> Response:
        health = await health_check.check()
        return Response(
            msgspec.json.encode(health),
            status_code=200 if health.is_ok else 503,
            headers={"Cache-Control": "no-store"},
            media_type="application/json",
        )

    return exact_route("/healthz", Resource(get=healthz, is_head=False))
