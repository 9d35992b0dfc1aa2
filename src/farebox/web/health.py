"""GET /healthz: whether this process lives; GET /readyz: whether it would take a charge now. For load balancers."""

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farebox.service.operator.health import HealthCheck
from farebox.web.routing import Resource, exact_route


def health_routes(health_check: HealthCheck) -> list[Route]:
    """Make the routes: /healthz is 200 as long as it is answered, /readyz is 503 when a charge would be refused."""

    async def healthz(_: Request) -> Response:
        return _json(await health_check.check(), 200)

    async def readyz(_: Request) -> Response:
        readiness = await health_check.readiness()
        return _json(readiness, 200 if readiness.is_ready else 503)

    return [
        exact_route("/healthz", Resource(get=healthz, is_head=False)),
        exact_route("/readyz", Resource(get=readyz, is_head=False)),
    ]


def _json(content: Struct, status: int) -> Response:
    return Response(
        msgspec.json.encode(content), status, headers={"Cache-Control": "no-store"}, media_type="application/json"
    )
