"""How an API endpoint runs: the key, then the body; methods, errors and CORS are done alike for all."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from farebox.core.outcomes import Code
from farebox.service.errors import Forbidden, InvalidInput, InvalidKey, Refused
from farebox.service.people.api_keys import ParsedKey
from farebox.web.api_route import Answer, ApiRequest, Route, Stream
from farebox.web.body import read_body
from farebox.web.cors import Cors
from farebox.web.decoding import BodyDecoder, decode_query
from farebox.web.envelope import (
    INTERNAL_ERROR_MESSAGE,
    ApiError,
    Headers,
    answer_headers,
    api_error,
    error_body,
    error_headers,
    method_not_allowed,
    stream_headers,
)
from farebox.web.idempotency import NamedBodyDecoder, header_key, takes_key
from farebox.web.key_check import KeyCheck, api_key
from farebox.web.long_answers import while_allowed
from farebox.web.rate_limits import Limits
from farebox.web.watch import HEADER, OK, watched

_NOT_MODIFIED: Final = int(HTTPStatus.NOT_MODIFIED)
"""As a number: to look a name up in an enumeration costs every answer more than to compare it."""


class _Reply(Struct, frozen=True):
    status: int
    body: bytes | AsyncIterator[bytes]
    headers: Headers
    outcome: str = OK
    """What the request came to: `ok`, or the error's stable name."""


class _Operation:
    """One method of one path: the key is checked, then the input is read, then the handler runs."""

    def __init__(self, route: Route, key_check: KeyCheck) -> None:
        self.route = route
        self._key_check = key_check
        self._handle = _with_input(route)
        # A key of another kind is looked up at once, to tell a good one from a bad one.
        self._kinds_checked_later = route.keys if route.is_key_checked_later else frozenset()

    async def answer(self, scope: Scope, receive: Receive, key: ParsedKey | None) -> Answer | Stream:
        """Check the key and let the handler answer.

        Raises:
            InvalidKey, Forbidden: before anything else that may be wrong with the request.
        """
        if key is None:
            raise InvalidKey
        if key.kind not in self._kinds_checked_later:
            support = await self._key_check.authorize(scope, key, self.route)
            return await self._handle(ApiRequest(scope, receive, key, support))
        try:
            return await self._handle(ApiRequest(scope, receive, key))
        except (ApiError, InvalidInput, Refused) as error:
            # The fault was found without looking the key up. The ledger does that ahead of its refusals, but never
            # meets a charge whose merchant can't be one.
            if not isinstance(error, Refused) or error.outcome.code is Code.MERCHANT_NOT_FOUND:
                await self._key_check.authorize(scope, key, self.route)
            raise

    def while_key_is_good(self, scope: Scope, key: ParsedKey, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Go on with a long answer as long as the key opens something."""
        return while_allowed(pieces, lambda: self._key_check.authorize(scope, key, self.route))


class Endpoint:
    """One path of the API, as an ASGI application: what it does for each method, and what all paths do alike."""

    def __init__(self, routes: Sequence[Route], key_check: KeyCheck, cors: Cors, limits: Limits) -> None:
        """Serve the routes of one path; a GET answers HEAD as well."""
        operations = {route.method: _Operation(route, key_check) for route in routes}
        self._path = routes[0].path
        self._operations = {"HEAD": operations["GET"], **operations} if "GET" in operations else operations
        self._allowed = ", ".join(sorted({*self._operations, "OPTIONS"})).encode()
        self._key_check = key_check
        self._cors = cors
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = watched(scope)
        request.route = self._path
        reply = await self._reply(scope, receive)
        request.status, request.outcome = reply.status, reply.outcome
        reply.headers.append((HEADER, request.request_id.encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        if isinstance(reply.body, bytes):
            await send({"type": "http.response.body", "body": reply.body, "more_body": False})
            return
        try:
            async for piece in reply.body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (InvalidKey, Forbidden):
            # Its reader sees that the answer has no end.
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _reply(self, scope: Scope, receive: Receive) -> _Reply:
        method = scope["method"]
        headers = self._cors.headers(scope)
        operation = self._operations.get(method)
        if operation is None:
            if method == "OPTIONS":
                return _Reply(
                    204, b"", [(b"allow", self._allowed), *self._cors.preflight_headers(scope, self._allowed)]
                )
            return _error(method_not_allowed(self._allowed), headers)
        key = api_key(scope)
        try:
            self._limits.admit(scope, key)
            if key is not None and key.is_imported:
                key = await self._key_check.located(key)
            answer = await operation.answer(scope, receive, key)
        except Exception as error:
            # Its traceback holds this frame, which holds it: the connection would stay until a collection of garbage.
            cause = api_error(error).with_traceback(None)
            self._limits.record_refusal(scope, key, cause)
            if operation.route.hides_outages and cause.status >= 500:
                cause = ApiError(500, cause.code, INTERNAL_ERROR_MESSAGE, cause.headers)
            return _error(cause, headers)
        self._limits.record_success(key)
        if type(answer) is Stream:
            # What lines of charges came to is told to the end: they are done.
            pieces = answer.pieces
            if key is not None and operation.route.method == "GET":
                pieces = operation.while_key_is_good(scope, key, pieces)
            return _Reply(200, pieces, stream_headers([*answer.headers, *headers]))
        if answer.status == _NOT_MODIFIED:
            return _Reply(answer.status, b"", stream_headers([*answer.headers, *headers]))
        return _Reply(answer.status, answer.body, answer_headers(answer.body, [*answer.headers, *headers]))


def _with_input(route: Route) -> Callable[[ApiRequest], Awaitable[Answer | Stream]]:
    """Make a route's handler one that reads and decodes what it takes beside the request."""
    handler, query = route.handler, route.query
    if route.body is not None:
        decoder = BodyDecoder(route.body)
        named_decoder = NamedBodyDecoder(route.body) if takes_key(route.body) else None

        async def handle_body(request: ApiRequest) -> Answer | Stream:
            body = await read_body(request.scope, request.receive, route.body_bytes_max)
            if named_decoder is not None:
                key = header_key(request.scope)
                if key is not None:
                    return await handler(request, named_decoder.decode(body, key))
            return await handler(request, decoder.decode(body))

        return handle_body
    if query is not None:

        async def handle_query(request: ApiRequest) -> Answer | Stream:
            return await handler(request, decode_query(request.scope, query))

        return handle_query
    return handler


def _error(error: ApiError, headers: Headers) -> _Reply:
    body = error_body(error.status, error.message)
    return _Reply(error.status, body, error_headers(error, body, headers), error.code)
