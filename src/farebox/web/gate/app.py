"""The gate as an ASGI application beside the API's: plain dispatch, since every request to an API waits for it."""

import logging
from typing import Final

from starlette.types import Receive, Scope, Send

from farebox.core.outcomes import Code
from farebox.service.errors import InvalidKey
from farebox.service.gate.errors import Misconfigured
from farebox.service.gate.gate import Admission, Gate
from farebox.service.gate.rules import GateRoute, Matcher, Passage
from farebox.service.gate.tokens import BadToken
from farebox.service.ledger.queries import Queries
from farebox.service.people.api_keys import ParsedKey, parse_key
from farebox.web.api_route import MERCHANT
from farebox.web.envelope import RETRY_AFTER, ApiError, Headers, api_error
from farebox.web.gate.dialects import (
    DIALECTS,
    ENVOY,
    ENVOY_PREFIX,
    KEY_HEADER,
    REFUSAL_HEADER,
    REFUSED_PATH,
    SECRET_HEADER,
    Asked,
    Dialect,
    Reply,
    Told,
    error_reply,
)
from farebox.web.gate.refusals import gate_error
from farebox.web.rate_limits import Limits
from farebox.web.watch import watched

GATE_PREFIX: Final = "/gate/"
"""What the paths of the gate begin with."""

_PUBLIC: Final = Admission()
_FORBIDDEN: Final = ApiError(403, Code.FORBIDDEN, "The gate answers those alone who know its secret")
_NOT_ASKED: Final = ApiError(503, "unavailable", "The gate could not be asked; try again shortly", [RETRY_AFTER])
_NOT_FOUND: Final = ApiError(404, "not_found", "Not Found; docs/reference/gate.md lists what there is")

_log = logging.getLogger("farebox.gate")


class GateApp:
    """Answers what proxies ask."""

    def __init__(self, gate: Gate, matcher: Matcher, queries: Queries, limits: Limits) -> None:
        """Answer by these rules.

        Args:
            gate: decides and charges.
            matcher: finds the rule for a request.
            queries: looks up keys of other kinds, to tell a good one from a bad one.
            limits: counts the requests and bad keys of clients, as the API does.
        """
        self._gate = gate
        self._matcher = matcher
        self._queries = queries
        self._limits = limits
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ask."""
        reply = await self._answer(scope)
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": False})

    async def _answer(self, scope: Scope) -> Reply:
        told = Told(scope)
        if not self._gate.signer.is_secret(told.only(SECRET_HEADER) or b""):
            return error_reply(_FORBIDDEN)
        raw_path: bytes = scope["raw_path"]
        if raw_path == REFUSED_PATH:
            watched(scope).route = REFUSED_PATH.decode()
            return error_reply(self._refused(told))
        dialect = DIALECTS.get(raw_path) or (ENVOY if raw_path.startswith(ENVOY_PREFIX + b"/") else None)
        if dialect is None:
            return error_reply(_NOT_FOUND)
        path = (ENVOY_PREFIX if dialect is ENVOY else raw_path).decode()
        watched(scope).route = path
        try:
            admission = await self._admit(scope, told, dialect)
        except Exception as error:
            # Its traceback holds this frame, which holds it: the connection would stay until a collection of garbage.
            return dialect.refusal(self._cause(error, path).with_traceback(None), self._gate.signer)
        return Reply(200, b"", _passed(admission))

    async def _admit(self, scope: Scope, told: Told, dialect: Dialect) -> Admission:
        asked = dialect.asked(scope, told)
        route = self._matcher.match(asked.method, asked.target)
        if route.passage is Passage.PUBLIC:
            return _PUBLIC
        text = (told.only(KEY_HEADER) or b"").decode("latin-1")
        key = parse_key(text)
        self._limits.admit(scope, key)
        try:
            if key is not None and key.is_imported:
                key = await self._queries.located(key)
            admission = await self._checked(route, asked, key, text)
        except Exception as error:
            cause = api_error(error)
            self._limits.record_refusal(scope, key, cause)
            raise cause from None
        self._limits.record_success(key)
        return admission

    async def _checked(self, route: GateRoute, asked: Asked, key: ParsedKey | None, text: str) -> Admission:
        if key is None:
            raise InvalidKey
        if key.merchant_id is None:
            # It tells whether the key is good; what comes of it is a refusal in any case.
            await self._queries.authorize(key, MERCHANT)
        return await self._gate.admit(route, key, text, asked.request_id)

    def _refused(self, told: Told) -> ApiError:
        """Read the refusal that a proxy hands back."""
        try:
            refusal = self._gate.signer.read_refusal((told.only(REFUSAL_HEADER) or b"").decode("latin-1"))
        except BadToken:
            return _NOT_ASKED
        headers = [(name.encode(), value.encode()) for name, value in refusal.headers]
        return ApiError(refusal.status, refusal.code, refusal.message, headers)

    def _cause(self, error: Exception, path: str) -> ApiError:
        """Turn what was raised into an answer; `path` is where the proxy asked."""
        if isinstance(error, Misconfigured):
            self._log_once(f"a proxy is set up wrongly at {path}: {error.message}")
        return gate_error(error)

    def _log_once(self, text: str) -> None:
        """Log a fault once, not for each request that meets it. There are few, whatever clients send."""
        if text not in self._logged:
            self._logged.add(text)
            _log.warning("%s", text)


def _passed(admission: Admission) -> Headers:
    """Tell a proxy what let a request through; each header is always there."""
    return [
        (b"content-length", b"0"),
        (b"cache-control", b"no-store"),
        (b"x-merchant-id", admission.merchant.encode()),
        (b"x-transfer-id", admission.transfer.encode()),
        (b"x-hold-id", admission.hold.encode()),
        (b"x-gate-token", admission.token.encode()),
    ]
