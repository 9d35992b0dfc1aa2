"""The Idempotency-Key header: how a caller names a request, so that making it again makes nothing more.

What moves a merchant's money has its key for ever, in the book; there the header stands for the body's
`idempotencyKey`. What support makes has it for as long as repeats are kept, and callers are told apart by their keys.
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.types import Scope

from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.repeats import RequestKey
from farebox.web.decoding import BodyDecoder
from farebox.web.envelope import ApiError

HEADER: Final = "Idempotency-Key"

_FIELD: Final = "idempotency_key"
_NAME: Final = HEADER.lower().encode()
_FINGERPRINT_BYTES: Final = 16


def header_key(scope: Scope) -> str | None:
    """Read the header; None if it is not there.

    Raises:
        ApiError: it is given twice.
        InvalidInput: it is no idempotency key.
    """
    values = [value for name, value in scope["headers"] if name == _NAME]
    if not values:
        return None
    if len(values) > 1:
        raise ApiError(400, "malformed_request", f"The header {HEADER} is given more than once")
    return inputs.idempotency_key(HEADER, values[0].decode("latin-1"))


def request_key(scope: Scope, body: Struct, *, key_id: int) -> RequestKey | None:
    """Name a request by its header, what it asks for, and the API key that asks; None if it has no such header.

    Raises:
        ApiError, InvalidInput: as `header_key`.
    """
    text = header_key(scope)
    if text is None:
        return None
    # The decoded body is what was asked for, and not its bytes: their spaces and order are no part of it.
    asked = b"%b %b\n%b" % (scope["method"].encode(), scope["path"].encode(), msgspec.json.encode(body))
    return RequestKey(key_id, text, blake2b(asked, digest_size=_FINGERPRINT_BYTES).digest())


class NamedBodyDecoder:
    """Decodes a body whose `idempotencyKey` may stand in the header instead."""

    def __init__(self, kind: type[Struct]) -> None:
        """Decode to this type, which has the field."""
        self._kind = kind
        fields = msgspec.structs.fields(kind)
        optional = msgspec.defstruct(
            kind.__name__,
            [
                (field.name, field.type | UnsetType, UNSET)
                if field.name == _FIELD
                else (field.name, field.type)
                if field.required
                else (field.name, field.type, field.default)
                for field in fields
            ],
            rename={field.name: field.encode_name for field in fields},
            forbid_unknown_fields=True,
            omit_defaults=kind.__struct_config__.omit_defaults,
            kw_only=True,
        )
        self._decoder: BodyDecoder[Any] = BodyDecoder(optional)

    def decode(self, body: bytes, key: str) -> Any:
        """Decode one object, named by the header `key`.

        Raises:
            ApiError: as `BodyDecoder.decode`.
            InvalidInput: the body has another key than the header.
        """
        values = msgspec.structs.asdict(self._decoder.decode(body))
        if values[_FIELD] not in (UNSET, key):
            raise InvalidInput("idempotencyKey", f"the header {HEADER} has another one; give one, or both alike")
        return self._kind(**{**values, _FIELD: key})


def takes_key(kind: type[Struct]) -> bool:
    """Tell whether a body has an `idempotencyKey`."""
    return _FIELD in kind.__struct_fields__
