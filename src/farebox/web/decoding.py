"""How bodies and queries are decoded: strictly, without unknown or repeated fields, or values of another type."""

import json
import re
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.types import Scope

from farebox.web.envelope import ApiError

_FIELDS_MAX: Final = 50
_SPACED: Final = re.compile(rb"[ \t\n\r]:")
_ENCODER: Final = msgspec.json.Encoder()

_T = TypeVar("_T", bound=Struct)


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
    """Decodes a JSON object, strictly: no unknown or repeated fields, no value of another type.

    That no name stands twice is told by a second look at the body, which takes ten times as long as to decode it. A
    type that is written without its defaults, as those of charges are, is spared most of these looks.
    """

    def __init__(self, kind: type[_T]) -> None:
        """Decode to this type, a Struct."""
        self._decoder = msgspec.json.Decoder(kind)
        self._is_counted = kind.__struct_config__.omit_defaults

    def decode(self, body: bytes) -> _T:
        """Decode one object.

        Raises:
            ApiError: 400 for what is no such object, 422 for a field whose value is of the wrong type.
        """
        try:
            decoded = self._decoder.decode(body)
            if not self._is_counted or _may_repeat(body, decoded):
                _REPETITION_DECODER.decode(body.decode())
        except msgspec.ValidationError as error:
            raise _shape_error(str(error)) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ApiError(400, "malformed_request", f"The body is not valid JSON: {error}") from error
        return decoded


def _may_repeat(body: bytes, decoded: Struct) -> bool:
    """Tell whether a good object may have a name twice, in itself or in an object that it holds.

    Each name in the body is followed by a colon. The decoded object is written again, without its defaults: if
    nothing is escaped, a quote and a colon stand there behind each name, once, and nowhere else. So a body that has no
    more colons than that has none to spare for a name that stands twice. Where texts have colons too, or what is at its
    default is named, there are more; most of these are told by the quotes.
    """
    if b"\\" in body:
        return True
    names = _ENCODER.encode(decoded).count(b'":')
    return body.count(b":") != names and (_SPACED.search(body) is not None or body.count(b'":') != names)


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
