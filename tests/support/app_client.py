"""A client of the application without a socket, and the checks that every answer under /api/ has to pass."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp

from farebox.bootstrap import Farebox
from farebox.http.limits import HTTP_LIMITS, HttpLimits
from farebox.server import gate_app
from farebox.service.gate.rules import Rules
from farebox.web.app import create_app
from farebox.web.client_address import Addresses
from farebox.web.pages.live import Live
from farebox.web.pages.throttle import SignInThrottle
from farebox.web.rate_limits import Limits
from farebox.web.watch import RequestWatch

Headers = Iterable[tuple[str | bytes, str | bytes]]
JSON: Final = ("content-type", "application/json")
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv; charset=utf-8"
SUCCESSES: Final = {200, 202}
NOT_MODIFIED: Final = 304

# Several slashes count as one.
API_PATH: Final = re.compile("/+api(/.*)?\\Z", re.DOTALL)

# What no operation of the document can tell of: a path or a method that does not exist.
UNROUTED: Final = {(404, "not_found"), (405, "method_not_allowed")}


@dataclass(frozen=True)
class Reply:
    """An answer: its status, its headers as they stand, and its body."""

    status: int
    headers: list[tuple[str, str]]
    """But for X-Request-Id, which differs from answer to answer."""
    body: bytes
    request_id: str = field(default="", compare=False)

    def header(self, name: str) -> str | None:
        """Return a header that is there once or not at all."""
        found = [value for known, value in self.headers if known.lower() == name]
        assert len(found) <= 1, f"{name} is given {len(found)} times"
        return found[0] if found else None

    @property
    def code(self) -> str | None:
        """The stable name of the error, None for a success."""
        return self.header("x-error-code")

    @property
    def message(self) -> str:
        """What the caller is told."""
        return str(self.json()["errorMessage"])

    @property
    def data(self) -> Any:
        """The data of a success."""
        return self.json()["data"]

    def json(self) -> dict[str, Any]:
        """Return the envelope."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


def check_envelope(reply: Reply) -> None:
    """Check that an answer is in the envelope, to the letter."""
    envelope = reply.json()
    assert ["isSuccess", "statusCode", "errorMessage", "data"] == list(envelope)
    assert reply.status == envelope["statusCode"]
    assert (reply.status in SUCCESSES) is envelope["isSuccess"]
    assert "application/json" == reply.header("content-type")
    assert "no-store" == reply.header("cache-control")
    assert str(len(reply.body)) == reply.header("content-length")
    if envelope["isSuccess"]:
        assert envelope["errorMessage"] is None
        assert envelope["data"] is not None
        assert reply.code is None
    else:
        assert envelope["errorMessage"]
        assert isinstance(envelope["errorMessage"], str)
        assert envelope["data"] is None
        assert reply.code
        if reply.status == 503:
            assert "1" == reply.header("retry-after")
        if reply.status == 405:
            assert reply.header("allow")


def check_documented(document: Mapping[str, Any], method: str, path: str, reply: Reply) -> None:
    """Check that the OpenAPI document foretells this answer: its path, method, status and error's name."""
    found = [item for template, item in document["paths"].items() if _matches(template, path)]
    operation = found[0].get({"HEAD": "get"}.get(method, method.lower())) if found else None
    if operation is None:
        assert (reply.status, reply.code) in UNROUTED, (method, path, reply)
        return
    answer = operation["responses"].get(str(reply.status))
    assert answer is not None, (method, path, reply)
    if reply.status == NOT_MODIFIED:
        assert reply.header("etag"), (method, path, reply)
    elif reply.status in SUCCESSES:
        assert reply.header("content-type") in answer["content"], (method, path, reply)
    else:
        assert reply.code in answer["headers"]["X-Error-Code"]["schema"]["enum"], (method, path, reply)


def _matches(template: str, path: str) -> bool:
    if "{" not in template:
        return template == path
    # Several slashes count as one, and one at the end as none.
    parts, others = template.split("/"), re.sub("//+", "/", path).rstrip("/").split("/")
    return len(parts) == len(others) and all(
        part == other or (part.startswith("{") and other) for part, other in zip(parts, others, strict=True)
    )


class AppClient:
    """Sends requests to an application in process; each answer under /api/ is checked before it is returned."""

    def __init__(self, app: ASGIApp, document: Mapping[str, Any]) -> None:
        self._app = app
        self.document = document

    async def send(
        self,
        method: str,
        target: str,
        *,
        key: str | bytes | None = None,
        headers: Headers = (),
        body: bytes | Sequence[bytes] = b"",
        is_cut_short: bool = False,
    ) -> Reply:
        """Send one request, its body in one piece or several; one that is cut short ends with the client going away."""
        every = [*headers, *([] if key is None else [("x-api-key", key)])]
        reply = await call(self._app, method, target, every, [body] if isinstance(body, bytes) else body, is_cut_short)
        path = _path(target)
        if API_PATH.match(path) and reply.status != 204:
            if reply.status == NOT_MODIFIED:
                assert (b"", None) == (reply.body, reply.header("content-type"))
            elif reply.status != 200 or reply.header("content-type") not in (NDJSON, CSV):
                check_envelope(reply)
            check_documented(self.document, method, path, reply)
        return reply

    async def get(self, target: str, key: str | bytes | None = None, headers: Headers = ()) -> Reply:
        """Send a GET."""
        return await self.send("GET", target, key=key, headers=headers)

    async def post(self, target: str, key: str | bytes | None, content: object, headers: Headers = (JSON,)) -> Reply:
        """Send a POST with a JSON body, or with these very bytes."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.send("POST", target, key=key, headers=headers, body=body)


async def call(
    app: ASGIApp, method: str, target: str, headers: Headers, body: Sequence[bytes], is_cut_short: bool = False
) -> Reply:
    """Make one HTTP request of an ASGI application, as a server would."""
    raw_path, _, query = target.partition("?")
    scope: Any = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": _path(target),
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(_bytes(name).lower(), _bytes(value)) for name, value in headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in body]
    if is_cut_short:
        messages.append({"type": "http.disconnect"})
    elif messages:
        messages[-1]["more_body"] = False
    sent: list[Any] = []
    is_answered = asyncio.Event()

    async def receive() -> Any:
        await asyncio.sleep(0)
        if messages:
            return messages.pop(0)
        if is_cut_short or not body:
            return {"type": "http.disconnect"}
        # The client stays until it has the whole answer.
        await is_answered.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            is_answered.set()

    await app(scope, receive, send)
    start, *rest = sent
    named = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    (request_id,) = (value for name, value in named if name == "x-request-id")
    return Reply(
        start["status"],
        [(name, value) for name, value in named if name != "x-request-id"],
        b"".join(message.get("body", b"") for message in rest),
        request_id,
    )


def _path(target: str) -> str:
    """Return the path of a request's target as servers hand it on."""
    return unquote_to_bytes(target.partition("?")[0]).decode(errors="replace")


def _bytes(text: str | bytes) -> bytes:
    return text.encode("latin-1") if isinstance(text, str) else text


NO_PROXIES: Final = Addresses(())
NO_LIMITS: Final = Limits(NO_PROXIES, per_merchant_key=0, per_staff_key=0, failures_per_address=0)

_documents: Final[dict[HttpLimits, dict[str, Any]]] = {}
"""The description of the API by applications with these limits: all say the same, so it is asked for once."""


async def open_client(
    farebox: Farebox,
    *,
    cors_origins: tuple[str, ...] = (),
    limits: Limits = NO_LIMITS,
    throttle: SignInThrottle | None = None,
    live: Live | None = None,
    http_limits: HttpLimits = HTTP_LIMITS,
    gate_rules: Rules | None = None,
    watch: RequestWatch | None = None,
) -> AppClient:
    """Make a client of the application over these parts, which run already; without `limits` it has none."""

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[dict[str, object]]:
        yield {}

    app = create_app(
        farebox.services,
        Addresses(farebox.settings.trusted_proxies),
        limits=limits,
        throttle=throttle or SignInThrottle(),
        cors_origins=cors_origins,
        lifespan=lifespan,
        live=live or Live(),
        http_limits=http_limits,
        gate=gate_app(farebox, gate_rules, limits),
        watch=watch,
    )
    if http_limits not in _documents:
        _documents[http_limits] = (await call(app, "GET", "/openapi.json", (), [b""])).json()
    return AppClient(app, _documents[http_limits])
