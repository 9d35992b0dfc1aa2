"""Applications that are measured beside Farebox itself: the ceiling, and Farebox without one of its savings each."""

import os
import secrets
from typing import Any, Final

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.serve import start_and_end
from farebox import server
from farebox.bootstrap import Farebox
from farebox.service.ledger.committer import CommitterLimits
from farebox.web import app as farebox_app
from farebox.web.envelope import Headers, answer_headers, success_body

FAREBOX: Final = "farebox.server:web_app"
CEILING: Final = "benchmarks.apps:ceiling"
THROUGH_ROUTER: Final = "benchmarks.apps:through_router"
DEFAULT_COLLECTOR: Final = "benchmarks.apps:default_collector"
SINGLE_COMMITS: Final = "benchmarks.apps:single_commits"
METRICS: Final = "benchmarks.apps:metrics"
TRACES: Final = "benchmarks.apps:traces"

_FRONT: Final = farebox_app._Front

_BALANCE: Final = success_body(b'"9999999.9915"')
_CHARGE: Final = success_body(
    b'{"transferId":"xfer_38G5Y5PRREHFT0000012J","cost":"0.0085","balance":"9999999.9915","available":"9999999.9915"}'
)
_ANSWERS: Final[dict[str, tuple[bytes, Headers]]] = {
    "GET": (_BALANCE, answer_headers(_BALANCE, [])),
    "POST": (_CHARGE, answer_headers(_CHARGE, [])),
}


def ceiling() -> ASGIApp:
    """Make an application that reads a request and gives the same answer to all, as large as Farebox's would be."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await start_and_end(receive, send)
            return
        body, headers = _ANSWERS[scope["method"]]
        if scope["method"] == "POST":
            await receive()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    return answer


def through_router() -> ASGIApp:
    """Make Farebox's application with every path behind the router, none ahead of it."""
    farebox_app._Front = _behind_router  # type: ignore[assignment,misc]  # It is called in the class's place.
    return server.web_app()


def default_collector() -> ASGIApp:
    """Make Farebox's application under the garbage collector's own settings."""
    server._settle_garbage_collector = lambda: None
    return server.web_app()


def single_commits() -> ASGIApp:
    """Make Farebox's application with a transaction for each command."""
    limits = CommitterLimits(batch_commands_max=1)
    return server.web_app(lambda settings: Farebox.build(settings, committer_limits=limits))


def metrics() -> ASGIApp:
    """Make Farebox's application as it is when its metrics are read."""
    os.environ["FAREBOX_METRICS_TOKEN"] = secrets.token_hex(32)
    return server.web_app()


def traces() -> ASGIApp:
    """Make Farebox's own application, which tells of one request of a hundred; nobody takes what it tells."""
    os.environ["FAREBOX_TRACING"] = "on"
    return server.web_app()


def _behind_router(endpoints: dict[str, Any], rest: Any, *others: Any) -> ASGIApp:
    rest.app.routes[:0] = [Route(path, endpoint) for path, endpoint in endpoints.items()]
    return _FRONT({}, rest, *others)
