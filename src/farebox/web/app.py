"""The application: the API's paths, its description, health, and answers to errors outside of endpoints."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Final

import msgspec
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from farebox.http.exchange import WHOLE_BODY
from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.services import Services
from farebox.web.api import routes
from farebox.web.api_route import Route as ApiRoute
from farebox.web.body_timeout import BodyTimeouts
from farebox.web.client_address import Addresses
from farebox.web.cors import Cors
from farebox.web.docs import docs_routes
from farebox.web.endpoint import Endpoint
from farebox.web.envelope import api_error, error_body, error_headers, path_is_api
from farebox.web.gate.app import GATE_PREFIX, GateApp
from farebox.web.health import health_routes
from farebox.web.key_check import KeyCheck
from farebox.web.metrics import Answer, metrics_route
from farebox.web.openapi import document
from farebox.web.pages import render
from farebox.web.pages.access import AccessControl
from farebox.web.pages.assets import asset_route
from farebox.web.pages.forms import Form
from farebox.web.pages.live import Live
from farebox.web.pages.request import PageRequest
from farebox.web.pages.table import page_routes
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.rate_limits import Limits
from farebox.web.routing import Resource, exact_route, not_found, plain_path
from farebox.web.watch import RequestWatch

_BODILESS: Final = frozenset({"GET", "HEAD"})
"""Nobody reads the bodies of these, if there are any."""


def create_app(
    services: Services,
    addresses: Addresses,
    *,
    limits: Limits,
    throttle: SignInThrottle,
    cors_origins: tuple[str, ...],
    lifespan: Callable[[object], AbstractAsyncContextManager[Mapping[str, object]]],
    live: Live,
    http_limits: HttpLimits = HTTP_LIMITS,
    gate: GateApp | None = None,
    watch: RequestWatch | None = None,
    metrics: tuple[Answer, tuple[str, ...]] | None = None,
) -> ASGIApp:
    """Put the application together.

    Args:
        services: what the API and the pages are built on.
        addresses: tells where requests come from.
        limits: how much of the API each key and address may have.
        throttle: how often each address and account may try to sign in.
        cors_origins: the browsers' origins that may read the API.
        lifespan: opens the database and starts the workers, and ends them; it gives the application's state.
        live: what pages follow; to be closed as soon as the process is told to stop.
        http_limits: what connections may have.
        gate: answers under /gate/; without one nothing does.
        watch: is told what requests came to.
        metrics: what writes the metrics and the tokens for them, if they are to be read here.
    """
    cors = Cors(cors_origins)
    table = routes(services, http_limits, limits.checked_keys)
    key_check = KeyCheck(services.queries, addresses)
    endpoints = {
        route.path: Endpoint([other for other in table if other.path == route.path], key_check, cors, limits)
        for route in table
    }
    access = AccessControl(services, addresses)
    router = Router(
        [
            *[exact_route(path, endpoint) for path, endpoint in endpoints.items() if "{" in path],
            *health_routes(services.health),
            *([] if metrics is None else [metrics_route(*metrics)]),
            _description_route(table),
            *docs_routes(),
            asset_route(),
            *access.routes(page_routes(throttle, live)),
        ],
        redirect_slashes=False,
        default=not_found,
        lifespan=lifespan,
    )

    async def answer_error(http: Request, error: Exception) -> Response:
        return _error_response(PageRequest(http, services, addresses, Form()), cors, error)

    return _Front(
        {path: endpoint for path, endpoint in endpoints.items() if "{" not in path},
        ExceptionMiddleware(router, {Exception: answer_error}),
        BodyTimeouts(http_limits),
        gate,
        watch or RequestWatch(addresses),
    )


def _description_route(table: list[ApiRoute]) -> Route:
    """Make the route to the API's description, as JSON; it is written when it is first asked for, beside the loop."""

    @cache
    def description() -> bytes:
        return msgspec.json.encode(document(table))

    async def openapi(_: Request) -> Response:
        return Response(await asyncio.to_thread(description), media_type="application/json")

    return exact_route("/openapi.json", Resource(get=openapi, is_head=False))


class _Front:
    """Serves the API's plain paths and the gate's itself, a quarter less work per charge; the router has the rest.

    A body that does not come is waited for by neither.
    """

    def __init__(
        self,
        endpoints: dict[str, Endpoint],
        rest: ASGIApp,
        timeouts: BodyTimeouts,
        gate: GateApp | None,
        watch: RequestWatch,
    ) -> None:
        self._endpoints = endpoints
        self._rest = rest
        self._timeouts = timeouts
        self._gate = gate
        self._watch = watch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        request = self._watch.begin(scope)
        app: ASGIApp | None = self._endpoints.get(scope["path"])
        if scope["method"] not in _BODILESS and WHOLE_BODY not in scope.get("extensions", ()):
            receive = self._timeouts.reader(receive)
        if app is None:
            send = self._watch.sender(request, send)
            if self._gate is not None and scope["path"].startswith(GATE_PREFIX):
                app = self._gate
            else:
                app = self._rest
                scope["path"] = plain_path(scope["path"])
        try:
            await app(scope, receive, send)
        finally:
            self._watch.end(scope, request)


def _error_response(request: PageRequest, cors: Cors, error: Exception) -> Response:
    """Answer what was raised outside an endpoint: in the envelope under /api/, else as a page, or in a line of text."""
    scope = request.http.scope
    is_api = path_is_api(scope)
    if not is_api and "text/html" in request.http.headers.get("accept", ""):
        return request.error(error)
    cause = api_error(error)
    if is_api:
        body = error_body(cause.status, cause.message)
        headers = {name.decode(): value.decode() for name, value in error_headers(cause, body, cors.headers(scope))}
        return Response(body, cause.status, headers)
    headers = {name.decode(): value.decode() for name, value in cause.headers}
    return Response(cause.message, cause.status, {**render.HEADERS, **headers}, "text/plain")
