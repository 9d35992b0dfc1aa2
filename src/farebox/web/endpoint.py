"""How an API endpoint runs: methods, bodies, errors and CORS are done alike for all."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from farebox.core.outcomes import Code
from farebox.web.envelope import (
    ApiError,
    Headers,
    answer_headers,
    api_error,
    error_body,
    error_headers,
    method_not_allowed,
    stream_headers,
)
from farebox.web.rate_limits import Limits
from farebox.web.security import Cors, api_key

BODY_BYTES_MAX: Final = 64 * 1024

_LENGTH_DIGITS_MAX: Final = 19
_FIELDS_MAX: Final = 50

_T = TypeVar("_T", bound=Struct)


class Answer(Struct, frozen=True, gc=False):
    """A success: the whole envelope, its status and any further headers."""

    body: bytes
    headers: Headers = []
    status: int = 200


class Stream(Struct, frozen=True):
    """A success of any length, sent piece by piece as it is made; not JSON, so without an envelope."""

    pieces: AsyncIterator[bytes]
    headers: Headers


Handler = Callable[[Scope, Receive], Awaitable[Answer | Stream]]


class _Reply(Struct, frozen=True):
    status: int
    body: bytes | AsyncIterator[bytes]
    headers: Headers


class Endpoint:
    """One path of the API, as an ASGI application: the handler of each method, and what all paths do alike."""

    def __init__(self, methods: dict[str, Handler], cors: Cors, limits: Limits) -> None:
        """Name the handler for each method (a GET answers HEAD as well), the origins that may read, and the limits."""
        self._methods = {"HEAD": methods["GET"], **methods} if "GET" in methods else methods
        self._allowed = ", ".join(sorted({*self._methods, "OPTIONS"})).encode()
        self._cors = cors
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        reply = await self._reply(scope, receive)
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        if isinstance(reply.body, bytes):
            await send({"type": "http.response.body", "body": reply.body, "more_body": False})
            return
        async for piece in reply.body:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _reply(self, scope: Scope, receive: Receive) -> _Reply:
        method = scope["method"]
        headers = self._cors.headers(scope)
        handler = self._methods.get(method)
        if handler is None:
            if method == "OPTIONS":
                return _Reply(
                    204, b"", [(b"allow", self._allowed), *self._cors.preflight_headers(scope, self._allowed)]
                )
            return _error(method_not_allowed(self._allowed), headers)
        key = api_key(scope)
        try:
            self._limits.admit(scope, key)
            answer = await handler(scope, receive)
        except Exception as error:
            # Its traceback holds this frame, which holds it: the connection would stay until a collection of garbage.
            cause = api_error(error).with_traceback(None)
            if cause.code == Code.INVALID_API_KEY:
                self._limits.failed(scope, key)
            elif isinstance(cause.code, Code):
                # The ledger's own refusals come after the look-up of the key, which was good then.
                self._limits.passed(key)
            return _error(cause, headers)
        self._limits.passed(key)
        if isinstance(answer, Stream):
            return _Reply(200, answer.pieces, stream_headers([*answer.headers, *headers]))
        return _Reply(answer.status, answer.body, answer_headers(answer.body, [*answer.headers, *headers]))


def _error(error: ApiError, headers: Headers) -> _Reply:
    body = error_body(error.status, error.message)
    return _Reply(error.status, body, error_headers(error, body, headers))


def media_type(content_type: bytes) -> bytes:
    """Return a Content-Type header's type, without its parameters."""
    return content_type.split(b";", 1)[0].strip().lower()


async def read_body(scope: Scope, receive: Receive, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read a JSON request's body.

    Raises:
        ApiError: 415 for another content type, 413 for more than `bytes_max`, 400 if the caller went away.
    """
    for name, value in scope["headers"]:
        if name == b"content-type" and media_type(value) != b"application/json":
            raise ApiError(415, "unsupported_media_type", "Send the body as Content-Type: application/json")
        if (
            name == b"content-length"
            and value.isdigit()
            and (len(value) > _LENGTH_DIGITS_MAX or int(value) > bytes_max)
        ):
            raise _too_large(bytes_max)
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        if len(body) > bytes_max:
            raise _too_large(bytes_max)
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise ApiError(400, "malformed_request", "The body ended early")
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    return body


def decode_query(scope: Scope, kind: type[_T]) -> _T:
    """Read the query's parameters, strictly: no unknown or repeated ones, none whose value is of another type.

    Raises:
        ApiError: 400 for what is no such query, 422 for a parameter whose value is of the wrong type.
    """
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise ApiError(400, "malformed_request", f"The query can't be read: {error}") from error
    try:
        return msgspec.convert(_without_repetition(pairs, "parameter"), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _shape_error(str(error)) from error


class BodyDecoder(Generic[_T]):
    """Decodes a JSON object, strictly: no unknown or repeated fields, no value of another type."""

    def __init__(self, kind: type[_T]) -> None:
        """Decode to this type, a Struct."""
        self._decoder = msgspec.json.Decoder(kind)
        fields = msgspec.structs.fields(kind)
        self._required_count = sum(field.required for field in fields)
        self._optional_names = [b'"%b":' % field.encode_name.encode() for field in fields if not field.required]

    def decode(self, body: bytes) -> _T:
        """Decode one object.

        Raises:
            ApiError: 400 for what is no such object, 422 for a field whose value is of the wrong type.
        """
        try:
            decoded = self._decoder.decode(body)
            if self._may_repeat(body):
                _REPETITION_DECODER.decode(body.decode())
        except msgspec.ValidationError as error:
            raise _shape_error(str(error)) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ApiError(400, "malformed_request", f"The body is not valid JSON: {error}") from error
        return decoded

    def _may_repeat(self, body: bytes) -> bool:
        """Tell from the bytes of a good object whether a field may be given twice.

        Where nothing is escaped and no space stands before a colon, a quote and a colon end a name and stand nowhere
        else. So no name is given twice if there are as many as there are names: all that are required, and the others
        that are seen. Otherwise the object is decoded with care, which takes ten times as long.
        """
        if b"\\" in body or b" :" in body or b"\n:" in body or b"\t:" in body or b"\r:" in body:
            return True
        unexplained = body.count(b'":') - self._required_count
        if unexplained:
            for name in self._optional_names:
                if name in body:
                    unexplained -= 1
        return unexplained != 0


def _without_repetition(pairs: list[tuple[str, Any]], word: str = "field") -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        repeated = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise ApiError(400, "malformed_request", f"The {word} {repeated!r} is given more than once")
    return fields


_REPETITION_DECODER: Final = json.JSONDecoder(object_pairs_hook=_without_repetition)


def _shape_error(message: str) -> ApiError:
    """Tell a body of the wrong shape (400) from a field with a value of the wrong type (422)."""
    text, _, place = message.partition(" - at `$.")
    if place:
        return ApiError(422, "invalid_value", f"{place.rstrip('`')}: {text}")
    return ApiError(400, "malformed_request", text)


def _too_large(bytes_max: int) -> ApiError:
    return ApiError(413, "payload_too_large", f"The body may have {bytes_max} bytes at most")
