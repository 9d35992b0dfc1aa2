"""Texts from outside, checked: every one that reaches the ledger went through here.

All of it may raise InvalidInput, with the name that the caller has for the text and what would be right.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from farebox.core import ids
from farebox.core.alerting.runway_thresholds import DAYS_LEFT_MAX, RUNWAY_THRESHOLDS_MAX
from farebox.core.commands import (
    IDEMPOTENCY_KEY_CHARS_MAX,
    NOTE_CHARS_MAX,
    REFERENCE_CHARS_MAX,
    REQUEST_TYPE_CHARS_MAX,
)
from farebox.core.currencies import fits_minor_unit, too_fine
from farebox.core.holds import TTL_SECONDS_MAX
from farebox.core.prices import QUANTITY_MAX
from farebox.core.pricing.rules import LINES_MAX
from farebox.core.pricing.rules import QUANTITY_MAX as LINE_QUANTITY_MAX
from farebox.core.thresholds import THRESHOLDS_MAX, is_allowed, out_of_reach
from farebox.service import parsing
from farebox.service.errors import InvalidInput
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.months import Month

NAME_CHARS_MAX: Final = 200
TAGS_MAX: Final = 20
TAG_CHARS_MAX: Final = 40
OVERLAP_SECONDS_MAX: Final = 90 * 24 * 3600
_EMAIL_CHARS_MAX: Final = 254
_ENCODED_WORD: Final = "=?"
"""What an encoded word of a mail's header begins with (RFC 2047, section 2)."""

_NAMES_KEPT: Final = 4_096
_MICROS_PER_SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REQUEST_TYPE_SIGNS: Final = ". _ - / @ : + * ~ ( ) [ ]"
REQUEST_TYPE_PATTERN: Final = rf"[A-Za-z0-9][A-Za-z0-9._/@:+*~()\[\]-]{{0,{REQUEST_TYPE_CHARS_MAX - 1}}}"
"""As models are named in lists of prices, but nothing that a CSV, a URL's query or a shell gives another meaning: no
comma, semicolon, quote, space, `?`, `#`, `%`, `&` or `=`."""

_REQUEST_TYPE: Final = re.compile(REQUEST_TYPE_PATTERN, re.ASCII)
LINE_NAME_PATTERN: Final = "[a-z0-9][a-z0-9._-]{0,63}"
_LINE_NAME: Final = re.compile(LINE_NAME_PATTERN, re.ASCII)
_IDEMPOTENCY_KEY: Final = re.compile(rf"[\x21-\x7e]{{1,{IDEMPOTENCY_KEY_CHARS_MAX}}}", re.ASCII)
_SEED: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH: Final = re.compile(r"\d{4}-\d{2}", re.ASCII)
_DAYS: Final = re.compile(r"\d{1,4}", re.ASCII)
_FIRST_YEAR: Final = 1971
_LAST_YEAR: Final = 2199
_RFC3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:[Zz]|[+-]\d{2}:[0-5]\d)", re.ASCII
)
_ID_WORDS: Final = {
    ids.MERCHANT: "a merchant",
    ids.KEY: "a key",
    ids.APPROVAL: "an approval",
    ids.PRICE: "a price",
    ids.NOTE: "a note",
    ids.DESTINATION: "a destination",
}


def amount(field: str, text: str, *, is_zero_allowed: bool = False) -> int:
    """Read an amount of money, in micros."""
    try:
        return parsing.parse_amount(text) if is_zero_allowed else parsing.parse_positive_amount(text)
    except parsing.InvalidAmount as error:
        raise InvalidInput(field, str(error)) from error


def _signed_amount(field: str, text: str) -> int:
    """Read an amount that may have a minus, in micros."""
    sign = -1 if text.startswith("-") else 1
    return sign * amount(field, text.removeprefix("-"), is_zero_allowed=True)


def quantity(field: str, value: int) -> int:
    """Check a number of requests."""
    if not 1 <= value <= QUANTITY_MAX:
        raise InvalidInput(field, f"a quantity is a whole number from 1 to {QUANTITY_MAX}")
    return value


def quantities(
    field: str, values: Mapping[str, object] | None, *, is_quantity_named: bool = False
) -> tuple[tuple[str, int], ...] | None:
    """Check how much was used, by the lines of a price, and sort it by name."""
    if values is None:
        return None
    if is_quantity_named:
        raise InvalidInput(field, "name quantities, or a quantity where a price has one line, not both")
    if not values or len(values) > LINES_MAX:
        raise InvalidInput(field, f"name 1 to {LINES_MAX} quantities, such as input and output")
    checked = []
    for name, value in values.items():
        line_name(field, name)
        # A truth value is a whole number to Python, but to nobody who writes JSON.
        if type(value) is not int or not 0 <= value <= LINE_QUANTITY_MAX:
            raise InvalidInput(f"{field}.{name}", f"a quantity is a whole number from 0 to {LINE_QUANTITY_MAX:,}")
        checked.append((name, value))
    checked.sort()
    return tuple(checked)


@lru_cache(maxsize=_NAMES_KEPT)
def line_name(field: str, text: str) -> str:
    """Check the name of a price's line; those that are good are kept, as nearly all charges name the same few."""
    if not _LINE_NAME.fullmatch(text):
        raise InvalidInput(
            field,
            f"{text[:40]!r} is no name of a line; write 1 to 64 of a-z, 0-9, dot, dash and underscore, "
            "beginning with a letter or digit",
        )
    return text


def ttl_seconds(field: str, value: int) -> int:
    """Check how long a hold lasts."""
    if not 1 <= value <= TTL_SECONDS_MAX:
        raise InvalidInput(field, f"a hold lasts from 1 to {TTL_SECONDS_MAX} seconds")
    return value


def overlap_seconds(field: str, value: int) -> int:
    """Check how long a rotated key goes on beside its successor."""
    if not 0 <= value <= OVERLAP_SECONDS_MAX:
        raise InvalidInput(
            field,
            f"a rotated key goes on for {OVERLAP_SECONDS_MAX // 86_400} days ({OVERLAP_SECONDS_MAX:,} seconds) at most",
        )
    return value


@lru_cache(maxsize=_NAMES_KEPT)
def request_type(field: str, text: str) -> str:
    """Check the name of a request type; those that are good are kept, too."""
    if not _REQUEST_TYPE.fullmatch(text):
        raise InvalidInput(
            field,
            f"a request type is 1 to {REQUEST_TYPE_CHARS_MAX} of A-Z, a-z, 0-9 and {_REQUEST_TYPE_SIGNS}, "
            "and starts with a letter or digit",
        )
    return text


def idempotency_key(field: str, text: str) -> str:
    """Check a caller's idempotency key: visible ASCII without spaces, which keep Farebox's own keys apart."""
    if not _IDEMPOTENCY_KEY.fullmatch(text):
        raise InvalidInput(
            field, f"an idempotency key is 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters without spaces"
        )
    return text


def reference(field: str, text: str) -> str:
    """Check a reference: an invoice or payment number, one line."""
    return _line(field, text, REFERENCE_CHARS_MAX)


def note(field: str, text: str) -> str:
    """Check a note or reason: one line."""
    return _line(field, text, NOTE_CHARS_MAX)


def name(field: str, text: str) -> str:
    """Check a merchant's, service's or person's name: one line."""
    return _line(field, text, NAME_CHARS_MAX)


def tag(field: str, text: str) -> str:
    """Check a merchant's tag and write it in lower case: one line without a comma."""
    if "," in text:
        raise InvalidInput(field, f"{text!r} has a comma, which stands between tags")
    return _line(field, text.lower(), TAG_CHARS_MAX)


def tags(field: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Check a merchant's tags and sort them, each once."""
    checked = sorted({tag(field, text) for text in texts})
    if len(checked) > TAGS_MAX:
        raise InvalidInput(field, f"a merchant may have {TAGS_MAX} tags at most")
    return tuple(checked)


def email(field: str, text: str) -> str:
    """Check an e-mail address and return it in the form in which it is shown; no look-up on the network."""
    if _ENCODED_WORD in text:
        # Headers can't hold it as it is: whoever had such an address would never get a mail.
        raise InvalidInput(field, f"{text[:_EMAIL_CHARS_MAX]!r} can't be written to: it has {_ENCODED_WORD} in it")
    import email_validator

    try:
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError as error:
        raise InvalidInput(field, f"{text[:_EMAIL_CHARS_MAX]!r} is not an e-mail address: {error}") from error


def mailbox(email: str) -> str:
    """Name the mailbox that an address reaches: those of one person are equal, however they are written."""
    return mailbox_of(email)


def seed(field: str, text: str) -> bytes:
    """Read the seed of one-time codes, in hexadecimal digits."""
    if not _SEED.fullmatch(text):
        raise InvalidInput(field, "this is no seed of one-time codes")
    return bytes.fromhex(text)


def currency(field: str, text: str) -> str:
    """Check the currency of a new merchant: a code of ISO 4217 that is in use, for money.

    Codes without a minor unit are none that a balance could be kept in: metals, units of account between banks, "no
    currency" and the code for tests. Units that prices are agreed in, such as Chile's CLF, have one.
    """
    exponents = _currency_exponents()
    if text not in exponents:
        raise InvalidInput(field, f"{text[:8]!r} is not a currency in use, by ISO 4217; write one such as USD")
    if exponents[text] is None:
        raise InvalidInput(field, f"{text} is a code of ISO 4217, but of no money; write a currency such as USD")
    return text


@cache
def _currency_exponents() -> dict[str, int | None]:
    """Read the currencies in use, and how many digits the minor unit of each has; a look at each code takes a while."""
    from iso4217 import Currency

    return {currency.code: currency.exponent for currency in Currency}


def credit_limit(field: str, text: str, currency: str) -> int:
    """Read how far below zero a new merchant may spend, in micros: as fine as its currency, and no finer."""
    micros = amount(field, text, is_zero_allowed=True)
    if not fits_minor_unit(micros, currency):
        raise InvalidInput(field, too_fine(micros, currency))
    return micros


def thresholds(field: str, texts: list[str], *, credit_limit: int | None = None, currency: str = "") -> tuple[int, ...]:
    """Read the amounts to be warned below, in micros, ascending; negative ones reach down to the credit limit.

    With None for a credit limit that is not known here, the ledger checks what it allows.
    """
    if len(texts) > THRESHOLDS_MAX:
        raise InvalidInput(field, f"a merchant may have {THRESHOLDS_MAX} thresholds at most")
    amounts = tuple(sorted({_signed_amount(field, text) for text in texts}))
    if credit_limit is not None:
        for threshold in amounts:
            if not is_allowed(threshold, credit_limit):
                raise InvalidInput(field, out_of_reach(threshold, credit_limit, currency))
    return amounts


def runway_thresholds(field: str, days: Sequence[int]) -> tuple[int, ...]:
    """Check the days left to be warned below and sort them, each once."""
    checked = sorted(set(days))
    if len(days) > RUNWAY_THRESHOLDS_MAX:
        raise InvalidInput(field, f"a merchant may have {RUNWAY_THRESHOLDS_MAX} thresholds in days left at most")
    for item in checked:
        if not 1 <= item <= DAYS_LEFT_MAX:
            raise InvalidInput(field, f"{item} is not between 1 and {DAYS_LEFT_MAX} days, such as 7")
    return tuple(checked)


def typed_days(field: str, text: str) -> int:
    """Read a number of days left as people type it.

    Raises:
        InvalidInput: it is none, or not between 1 and DAYS_LEFT_MAX.
    """
    if not _DAYS.fullmatch(text.strip()):
        raise InvalidInput(field, f"{text[:20]!r} is no number of days; write whole days, such as 7")
    return runway_thresholds(field, [int(text)])[0]


def time(field: str, text: str) -> int:
    """Read a time in RFC 3339, with its offset, as microseconds since 1970."""
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError(text)
        # In UTC, where it may fall outside the years that can be written.
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(field, f"{text[:40]!r} is not a time; write one such as 2026-01-31T12:00:00Z") from error
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * _MICROS_PER_SECOND + since.microseconds


def day(field: str, text: str) -> date:
    """Read a day, such as 2026-01-31, from 1971 to 2199."""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError(text)
        found = date.fromisoformat(text)
        if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise ValueError(text)
    except ValueError as error:
        raise InvalidInput(field, f"{text[:40]!r} is not a day; write one such as 2026-01-31") from error
    return found


def month(field: str, text: str) -> Month:
    """Read a month, such as 2026-11, from 1971 to 2199."""
    try:
        if not _MONTH.fullmatch(text):
            raise ValueError(text)
        found = date.fromisoformat(f"{text}-01")
        if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise ValueError(text)
    except ValueError as error:
        raise InvalidInput(field, f"{text[:40]!r} is not a month; write one such as 2026-11") from error
    return Month(found.year, found.month)


def time_zone(field: str, text: str) -> ZoneInfo:
    """Read the name of an IANA time zone."""
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(field, f"{text[:40]!r} is not a time zone; write one such as Europe/Berlin") from error


def format_time(micros: int) -> str:
    """Write microseconds since 1970 as a time in RFC 3339, in UTC."""
    seconds, fraction = divmod(micros, _MICROS_PER_SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


def public_id(field: str, prefix: str, text: str) -> int:
    """Read a merchant's or key's id."""
    try:
        return parsing.parse_public_id(prefix, text)
    except parsing.InvalidId as error:
        raise InvalidInput(
            field, f"{text[:40]!r} is not {_ID_WORDS[prefix]} id; one looks like {prefix}01K9ABCDEFGHJ"
        ) from error


def event_id(field: str, text: str) -> tuple[int, int]:
    """Read the merchant's number and the alert's within its book out of an event's id."""
    try:
        return parsing.parse_book_id(ids.ALERT, text)
    except parsing.InvalidId as error:
        raise InvalidInput(field, f"{text[:40]!r} is not an event's id; one begins with {ids.ALERT}") from error


def _line(field: str, text: str, chars_max: int) -> str:
    """Check one line of text: something to see, no control characters, surrogates or line breaks of any kind."""
    wrong = None
    if not text or text.isspace():
        wrong = "this is empty"
    elif len(text) > chars_max:
        wrong = f"this has {len(text):,} characters"
    elif not text.isprintable():
        wrong = "this has a line break, a tab or another character that can't be seen"
    elif text != text.strip():
        wrong = "this has spaces at its ends"
    if wrong is not None:
        raise InvalidInput(field, f"{wrong}; write one line of 1 to {chars_max} characters")
    return text
