"""Forms: what was typed, read with limits, kept when something is wrong, and what was wrong beside its field."""

from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from starlette.requests import ClientDisconnect, Request

from farebox.service.errors import Conflict, InvalidInput, Missing, Refused, ServiceError
from farebox.web.envelope import ApiError

FORM_BYTES_MAX: Final = 64 * 1024
FIELDS_MAX: Final = 100

_URLENCODED: Final = "application/x-www-form-urlencoded"
_SECRET: Final = "password"  # noqa: S105 - how fields that hold one are named.


class Form:
    """A form as it was typed, field by field, and the faults of its fields.

    `errors` has a message for each field; the one under "" is about the whole.
    """

    def __init__(self, values: dict[str, list[str]] | None = None) -> None:
        """Take the fields; none for a form that nobody has filled in yet."""
        self._values = values or {}
        self.errors: dict[str, str] = {}

    def text(self, name: str) -> str:
        """Return what a field holds, without spaces around it; empty if it is missing."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Return what a field holds to the letter, as passwords are taken; empty if it is missing."""
        values = self._values.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """Return what all fields of a name hold, without those that are empty."""
        return [text for value in self._values.get(name, []) if (text := value.strip())]

    def __contains__(self, name: str) -> bool:
        """Tell whether a field was sent, as a box that was ticked is."""
        return name in self._values

    def shown(self, name: str, default: str = "") -> str:
        """Return what a field shows: what was typed, or else a default; a password is never shown again."""
        if _SECRET in name:
            return ""
        return self.raw(name) if name in self._values else default

    def fail(self, error: ServiceError, names: dict[str, str] | None = None) -> None:
        """Write what was wrong beside its field; `names` maps the service's names of fields to the form's.

        Raises:
            ServiceError: it is no mistake in what was typed.
        """
        if isinstance(error, InvalidInput):
            field = (names or {}).get(error.field, error.field)
            self.errors[field if field in self._values else ""] = _sentence(error.message)
        elif isinstance(error, Refused | Conflict | Missing):
            self.errors[""] = _sentence(error.message)
        else:
            raise error


async def read_form(request: Request) -> Form:
    """Read a posted form.

    Raises:
        ApiError: it is too large or no form, or its sender went away.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != _URLENCODED:
        raise ApiError(415, "unsupported_media_type", "This is not a form of this page")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > FORM_BYTES_MAX:
                raise ApiError(413, "payload_too_large", f"A form has {FORM_BYTES_MAX} bytes at most")
    except ClientDisconnect as error:
        raise ApiError(400, "malformed", "The form ended early; load the page again") from error
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


def _sentence(text: str) -> str:
    """Write a message as a sentence."""
    return text[:1].upper() + text[1:]
