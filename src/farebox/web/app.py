"""The application: the API's paths, its description, health, and the envelope for whatever else goes wrong there."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.types import ASGIApp, Receive, Scope, Send

from farebox.services import Services
from farebox.web.api import routes
from farebox.web.body_timeout import BodyTimeouts
from farebox.web.client_address import Addresses
from farebox.web.docs import docs_handlers
from farebox.web.endpoint import Endpoint
from farebox.web.envelope import ApiError, api_error, error_body, error_headers, method_not_allowed, path_is_api
from farebox.web.health import health_handler
from farebox.web.openapi import document
from farebox.web.pages import render
from farebox.web.pages.assets import asset_handler
from farebox.web.pages.forms import Form
from farebox.web.pages.house import AccessControl, PageRequest, error_page
from farebox.web.pages.live import Live
from farebox.web.pages.table import page_routes
from farebox.web.rate_limits import Limits
from farebox.web.security import Cors

_BODILESS: Final = frozenset({"GET", "HEAD"})
"""Nobody reads the bodies of these, if there are any."""

_HTTP_ERROR_CODES: Final = {404: "not_found", 413: "payload_too_large"}


def create_app(
    services: Services,
    addresses: Addresses,
    *,
    limits: Limits,
    cors_origins: tuple[str, ...],
    lifespan: Callable[[Litestar], AbstractAsyncContextManager[None]],
    live: Live,
) -> ASGIApp:
    """Put the application together.

    Args:
        services: what the API and the pages are built on.
        addresses: tells where requests come from.
        limits: how much of it anyone may have.
        cors_origins: the browsers' origins that may read the API.
        lifespan: opens the store and starts the workers, and ends them.
        live: what pages follow; to be closed as soon as the process is told to stop.
    """
    cors = Cors(cors_origins)
    table = routes(services, addresses)
    endpoints = {
        route.path: Endpoint({other.method: other.handler for other in table if other.path == route.path}, cors, limits)
        for route in table
    }
    gate = AccessControl(services, addresses, time.monotonic)
    description = msgspec.json.encode(document(table))

    @get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response[bytes]:
        return Response(description, media_type="application/json")

    litestar = Litestar(
        route_handlers=[
            *[endpoint.route_handler(path) for path, endpoint in endpoints.items() if "{" in path],
            health_handler(services.health),
            openapi,
            *docs_handlers(),
            asset_handler(),
            *gate.handlers(page_routes(gate, live)),
        ],
        lifespan=[lifespan],
        exception_handlers={Exception: partial(_to_response, cors, services, addresses)},
        openapi_config=None,
        # Logging is set up once, by the command line, for every process alike.
        logging_config=None,
    )
    return _Front({path: endpoint for path, endpoint in endpoints.items() if "{" not in path}, litestar)


class _Front:
    """Serves the API's plain paths itself and hands the rest to Litestar: a quarter less work per charge.

    Whoever answers, a body that does not come is not waited for.
    """

    def __init__(self, endpoints: dict[str, Endpoint], rest: ASGIApp) -> None:
        self._endpoints = endpoints
        self._rest = rest
        self._patience = BodyTimeouts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp | None = None
        if scope["type"] == ScopeType.HTTP:
            app = self._endpoints.get(scope["path"])
            if scope["method"] not in _BODILESS:
                receive = self._patience.reader(receive)
        await (app or self._rest)(scope, receive, send)


def _to_response(
    cors: Cors, services: Services, addresses: Addresses, request: Request[Any, Any, Any], error: Exception
) -> Response[Any]:
    """Answer what was raised outside an endpoint: in the envelope under /api/, else as a page, or in a line of text."""
    if isinstance(error, MethodNotAllowedException):
        cause = method_not_allowed((error.headers or {}).get("allow", "").encode())
    elif isinstance(error, HTTPException):
        code = _HTTP_ERROR_CODES.get(error.status_code, "http_error")
        cause = ApiError(error.status_code, code, f"{error.detail}; /openapi.json lists what there is")
    else:
        cause = api_error(error)
    if not path_is_api(request.scope):
        if "text/html" in request.headers.get("accept", ""):
            return error_page(PageRequest(request, services, addresses, Form()), cause)
        headers = {name.decode(): value.decode() for name, value in cause.headers}
        return Response(
            cause.message.encode(),
            status_code=cause.status,
            headers={**render.HEADERS, **headers},
            media_type="text/plain",
        )
    body = error_body(cause.status, cause.message)
    headers = {name.decode(): value.decode() for name, value in error_headers(cause, body, cors.headers(request.scope))}
    return Response(body, status_code=cause.status, headers=headers, media_type="application/json")
