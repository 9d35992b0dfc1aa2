"""Forms: what was typed, read with limits, kept when something is wrong, and what was wrong beside its field."""

import re
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from farebox.core.outcomes import Code
from farebox.service.errors import Conflict, InvalidInput, Missing, Refused, ServiceError
from farebox.web.envelope import ApiError

FORM_BYTES_MAX: Final = 64 * 1024
FIELDS_MAX: Final = 100

_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_REFUSED_FIELDS: Final = {
    Code.IDEMPOTENCY_CONFLICT: "reference",
    Code.REFUND_EXCEEDS_TRANSFER: "amount",
    Code.REVERSAL_EXCEEDS_TOP_UP: "amount",
    Code.AMOUNT_TOO_FINE: "amount",
    Code.AMOUNT_TOO_LARGE: "amount",
    Code.BALANCE_LIMIT_EXCEEDED: "amount",
    Code.INSUFFICIENT_BALANCE: "amount",
    Code.CREDIT_LIMIT_IN_USE: "credit_limit",
}
"""The field that a refusal of the ledger is about."""

_OWN_WORD: Final = re.compile(r"[a-z]+(?=[ ,':])", re.ASCII)
_SECRETS: Final = ("password", "secret")
"""How fields are named that hold one."""


class Form:
    """A form as it was typed, field by field, and the faults of its fields.

    `errors` has a message for each field; the one under "" is about the whole.
    """

    def __init__(self, values: dict[str, list[str]] | None = None, files: dict[str, bytes] | None = None) -> None:
        """Take the fields, and the files that were picked; none for a form that nobody has filled in yet."""
        self._values = values or {}
        self._files = files or {}
        self.errors: dict[str, str] = {}

    def text(self, name: str) -> str:
        """Return what a field holds, without spaces around it; empty if it is missing."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Return what a field holds to the letter, as passwords are taken; empty if it is missing."""
        values = self._values.get(name)
        return values[0] if values else ""

    def file(self, name: str) -> bytes:
        """Return what the file of a field has; nothing if none was picked."""
        return self._files.get(name, b"")

    def all(self, name: str) -> list[str]:
        """Return what all fields of a name hold, without those that are empty."""
        return [text for value in self._values.get(name, []) if (text := value.strip())]

    def each(self, name: str) -> list[str]:
        """Return what all fields of a name hold, those that are empty too."""
        return list(self._values.get(name, []))

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the fields that were sent."""
        return iter(self._values)

    def __contains__(self, name: str) -> bool:
        """Tell whether a field was sent, as a box that was ticked is."""
        return name in self._values

    def shown(self, name: str, default: str = "") -> str:
        """Return what a field shows: what was typed, or else a default; a secret is never shown again."""
        if any(secret in name for secret in _SECRETS):
            return ""
        return self.raw(name) if name in self._values else default

    def fail(self, error: ServiceError, names: dict[str, str] | None = None) -> None:
        """Write what was wrong beside its field; `names` maps the service's names of fields to the form's.

        Raises:
            ServiceError: it is no mistake in what was typed.
        """
        if isinstance(error, InvalidInput):
            self._fault((names or {}).get(error.field, error.field), sentence(error.message))
        elif isinstance(error, Refused):
            # The ledger writes sentences, some of which begin with what somebody typed.
            field = _REFUSED_FIELDS.get(error.outcome.code, "")
            self._fault((names or {}).get(field, field), error.message)
        elif isinstance(error, Conflict | Missing):
            self._fault("", sentence(error.message))
        else:
            raise error

    def _fault(self, field: str, message: str) -> None:
        """Write a message beside its field, or above the form if it has no such field."""
        # Of several fields with one name, the error says which: amount-2.
        name = field.rpartition("-")[0] or field
        self.errors[field if name in self._values or name in self._files else ""] = message


async def read_form(request: Request, bytes_max: int = FORM_BYTES_MAX, *, is_file_taken: bool = False) -> Form:
    """Read a posted form; one that carries files too, if `is_file_taken`.

    Raises:
        ApiError: it is too large or no form, or its sender went away.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == _MULTIPART and is_file_taken:
        return await _read_multipart(request, bytes_max)
    if media != _URLENCODED:
        raise ApiError(415, "unsupported_media_type", "This is not a form of this page")
    body = bytearray()
    async for piece in _pieces(request, bytes_max):
        body += piece
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as error:
        raise ApiError(400, "malformed", "The form can't be read; load the page again") from error
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return Form(values)


async def _pieces(request: Request, bytes_max: int) -> AsyncGenerator[bytes, None]:
    """Go through a form's body as it comes.

    Raises:
        ApiError: it is too large, or its sender went away.
    """
    count = 0
    try:
        async for piece in request.stream():
            count += len(piece)
            if count > bytes_max:
                raise ApiError(413, "payload_too_large", f"A form has {bytes_max} bytes at most")
            yield piece
    except ClientDisconnect as error:
        raise ApiError(400, "malformed", "The form ended early; load the page again") from error


async def _read_multipart(request: Request, bytes_max: int) -> Form:
    pieces = _pieces(request, bytes_max)
    parser = MultiPartParser(request.headers, pieces, max_files=1, max_fields=FIELDS_MAX, max_part_size=FORM_BYTES_MAX)
    try:
        parsed = await parser.parse()
    except (MultiPartException, UnicodeDecodeError, KeyError) as error:
        raise ApiError(400, "malformed", "The form can't be read; load the page again") from error
    values: dict[str, list[str]] = {}
    files: dict[str, bytes] = {}
    for name, value in parsed.multi_items():
        if isinstance(value, str):
            values.setdefault(name, []).append(value)
        else:
            files[name] = await value.read()
            await value.close()
    return Form(values, files)


def typed_time(field: str, text: str, zone: ZoneInfo) -> str | None:
    """Write a time that was typed, in the reader's zone, as RFC 3339; None if none was.

    Raises:
        InvalidInput: the text is not a time.
    """
    if not text:
        return None
    try:
        local = datetime.fromisoformat(text)
        moment = (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(field, "this is not a time; write one such as 2027-01-31T12:00") from error
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


def sentence(text: str) -> str:
    """Write a message as a sentence; what it quotes at its beginning stays as it was typed."""
    return text[:1].upper() + text[1:] if _OWN_WORD.match(text) else text
