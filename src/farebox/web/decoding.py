"""How bodies and queries are decoded: strictly, without unknown or repeated fields, or values of another type."""

import json
import re
from collections.abc import Callable
from operator import attrgetter, ne
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
import msgspec.inspect
from msgspec import Struct
from starlette.types import Scope

from farebox.web.envelope import ApiError

_FIELDS_MAX: Final = 50
_OTHERWISE_WRITTEN: Final = re.compile(rb"\\|[ \t\n\r]:")

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
    """Decodes a JSON object, strictly: no unknown or repeated fields, no value of another type."""

    def __init__(self, kind: type[_T]) -> None:
        """Decode to this type, a Struct."""
        self._decoder = msgspec.json.Decoder(kind)
        self._names_of = _names_counter(kind)

    def decode(self, body: bytes) -> _T:
        """Decode one object.

        Raises:
            ApiError: 400 for what is no such object, 422 for a field whose value is of the wrong type.
        """
        try:
            decoded = self._decoder.decode(body)
            if self._may_repeat(body, decoded):
                _REPETITION_DECODER.decode(body.decode())
        except msgspec.ValidationError as error:
            raise _shape_error(str(error)) from error
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise ApiError(400, "malformed_request", f"The body is not valid JSON: {error}") from error
        return decoded

    def _may_repeat(self, body: bytes, decoded: _T) -> bool:
        """Tell whether a good object may have a name twice, in itself or in an object that it holds.

        Each name is followed by a colon. So none is given twice if there are no more colons than what was decoded has
        names. Where texts have colons too, a name is known by a quote and a colon, if nothing is escaped and no space
        stands between them. Otherwise the object is decoded with care, which takes ten times as long.
        """
        names = self._names_of(decoded)
        if body.count(b":") == names:
            return False
        return _OTHERWISE_WRITTEN.search(body) is not None or body.count(b'":') != names


def _names_counter(kind: type[Struct]) -> Callable[[Any], int]:
    """Make what counts the names that an object of this type surely has; a field at its default may be left out."""
    fields = msgspec.structs.fields(kind)
    required_count = sum(field.required for field in fields)
    optional = [field for field in fields if not field.required]
    defaults = [_default(field) for field in optional]
    # Twice the first one, as a single one would come without its tuple.
    values = attrgetter(*(field.name for field in optional[:1] + optional)) if optional else None
    infos = cast(msgspec.inspect.StructType, msgspec.inspect.type_info(kind)).fields
    counters = [(attrgetter(info.name), counter) for info in infos if (counter := _counter(info.type)) is not None]

    def count(decoded: Any) -> int:
        names = required_count
        if values is not None:
            names += sum(map(ne, values(decoded)[1:], defaults))
        for value_of, counter in counters:
            value = value_of(decoded)
            if value:
                names += counter(value)
        return names

    return count


def _counter(kind: msgspec.inspect.Type) -> Callable[[Any], int] | None:
    """Make what counts the names within a value of this type; None if it holds none."""
    if isinstance(kind, msgspec.inspect.Metadata):
        return _counter(kind.type)
    if isinstance(kind, msgspec.inspect.StructType):
        return _names_counter(kind.cls)
    if isinstance(kind, msgspec.inspect.ListType) and (each := _counter(kind.item_type)) is not None:
        return lambda values: sum(map(each, values))
    if isinstance(kind, _SCALARS) or (
        isinstance(kind, msgspec.inspect.UnionType) and all(_counter(part) is None for part in kind.types)
    ):
        return None
    return _names_within


_SCALARS: Final = (
    *(msgspec.inspect.NoneType, msgspec.inspect.BoolType, msgspec.inspect.IntType, msgspec.inspect.FloatType),
    *(msgspec.inspect.StrType, msgspec.inspect.LiteralType, msgspec.inspect.EnumType),
)


def _names_within(value: Any) -> int:
    """Count the names of the objects that a decoded value has within it, as far as it was decoded to plain ones."""
    if isinstance(value, dict):
        return len(value) + sum(map(_names_within, value.values()))
    return sum(map(_names_within, value)) if isinstance(value, list | tuple) else 0


def _default(field: msgspec.structs.FieldInfo) -> Any:
    is_made = field.default_factory is not msgspec.NODEFAULT
    return field.default_factory() if is_made else field.default


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
