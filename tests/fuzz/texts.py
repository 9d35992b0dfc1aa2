"""Single texts: amounts, names, ids, keys, times, time zones. Each is held against a slow reading of the rule."""

import hashlib
import string
import unicodedata
from calendar import monthrange
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any, Final
from zoneinfo import available_timezones

from starlette.types import Scope

from farebox.alerts.email_address import mailbox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.money import AMOUNT_MICROS_MAX, BALANCE_MICROS_MAX, format_amount
from farebox.service import inputs, parsing
from farebox.service.errors import InvalidInput
from farebox.service.parsing import InvalidAmount, parse_amount, parse_positive_amount
from farebox.service.people import api_keys
from farebox.web import key_check
from tests.fuzz.making import Make, any_text, chars, digits, edited, joined, just, one_of, several
from tests.fuzz.target import Target

DIGITS: Final = "0123456789"
CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
PREFIXES: Final = (ids.MERCHANT, ids.PRICE, ids.USER, ids.KEY, ids.APPROVAL)
BOOK_PREFIXES: Final = (ids.TRANSFER, ids.HOLD, ids.ALERT)
SCALE: Final = Decimal(1_000_000)


def _outcome(read: Callable[[], Any], *named: type[Exception]) -> Any:
    """Return what was read, or None for what was refused by its name."""
    try:
        return read()
    except named:
        return None


# Money.

AMOUNTS: Final = one_of(
    edited(joined(digits(13), just("", "."), digits(7, at_least=0))),
    chars((*"0123456789.", "-", "+", "e", "E", "_", ",", " ", "\n", "\u0663", "\uff11"), 22),
    any_text,
)


def _amount_model(text: str) -> int | None:
    units, point, fraction = text.partition(".")
    parts = [(units, 13), (fraction, 6)] if point else [(units, 13)]
    if not all(1 <= len(part) <= most and set(part) <= set(DIGITS) for part, most in parts):
        return None
    micros = int(Decimal(text) * SCALE)
    return micros if micros <= AMOUNT_MICROS_MAX else None


def _check_amount(text: str) -> None:
    micros = _amount_model(text)
    assert micros == _outcome(lambda: parse_amount(text), InvalidAmount)
    assert micros == _outcome(lambda: inputs.amount("amount", text, is_zero_allowed=True), InvalidInput)
    assert (micros or None) == _outcome(lambda: parse_positive_amount(text), InvalidAmount)
    assert (micros or None) == _outcome(lambda: inputs.amount("amount", text), InvalidInput)
    if micros is not None:
        assert micros == parse_amount(format_amount(micros))


def _check_thresholds(texts: list[str]) -> None:
    amounts = [_signed_model(text) for text in texts]
    known = {micros for micros in amounts if micros is not None}
    right = tuple(sorted(known)) if len(texts) <= 5 and None not in amounts else None
    assert right == _outcome(lambda: inputs.thresholds("thresholds", texts), InvalidInput)
    for limit in (0, 10**6, 10**30):
        read = partial(inputs.thresholds, "thresholds", texts, credit_limit=limit, currency="USD")
        found = _outcome(read, InvalidInput)
        assert found == (right if all(micros > 0 or (limit and micros >= -limit) for micros in known) else None)


def _signed_model(text: str) -> int | None:
    micros = _amount_model(text.removeprefix("-"))
    return -micros if micros is not None and text.startswith("-") else micros


def _written_amount(random: Random) -> int:
    return random.choice((random.randint(-BALANCE_MICROS_MAX, BALANCE_MICROS_MAX), random.randint(-(10**7), 10**7)))


def _check_written_amount(micros: int) -> None:
    text = format_amount(micros)
    sign, digits_ = text[:1] == "-", text.removeprefix("-")
    units, _, fraction = digits_.partition(".")
    assert sign is (micros < 0)
    assert str(int(units)) == units
    assert 2 <= len(fraction) <= 6
    assert len(fraction) == 2 or fraction[-1] != "0"
    assert set(units + fraction) <= set(DIGITS)
    assert micros == int(Decimal(text) * SCALE)


# Names and the like.

WORDS: Final = one_of(
    edited(chars("abcxyz0189._-", 66)),
    edited(chars([chr(code) for code in range(0x20, 0x7F)], 130)),
    edited(just("INV-2026-001", "Northwind Imaging", "wire of 2 May", "Grüße", "USD", "EUR", "image.large")),
    edited(chars("0123456789abcdef", 66)),
    any_text,
)
EMAILS: Final = one_of(
    edited(
        joined(
            chars("abc.+_-'=?\u00e9\u5317", 12),
            just("@", "@", "@", "", "@@"),
            chars(("a", "b", "-", ".", "\u00e9", "xn--"), 12),
            just(".com", ".example", ".co.uk", "", ".", ".123"),
        )
    ),
    edited(just("ann@northwind.example", '"a b"@example.com', "ann@[127.0.0.1]", "Ann <ann@example.com>")),
    any_text,
)


def _is_line(text: str, chars_max: int) -> bool:
    unseen = ("C", "Z")
    is_seen = all(char == " " or unicodedata.category(char)[0] not in unseen for char in text)
    return 1 <= len(text) <= chars_max and is_seen and " " not in (text[0], text[-1])


def _is_request_type(text: str) -> bool:
    signs = "._-/@:+*~()[]"
    known = set(string.ascii_lowercase + string.ascii_uppercase + string.digits + signs)
    return 1 <= len(text) <= 200 and set(text) <= known and text[0] not in signs


def _is_seed(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _check_word(text: str) -> None:
    for check, is_right in (
        (inputs.request_type, _is_request_type(text)),
        (inputs.idempotency_key, 1 <= len(text) <= 128 and all("!" <= char <= "~" for char in text)),
        (inputs.reference, _is_line(text, 128)),
        (inputs.note, _is_line(text, 500)),
        (inputs.name, _is_line(text, 200)),
    ):
        assert (text if is_right else None) == _outcome(partial(check, "field", text), InvalidInput)
    seed = _outcome(lambda: inputs.seed("seed", text), InvalidInput)
    assert (text if _is_seed(text) else None) == (None if seed is None else seed.hex())
    currency = _outcome(lambda: inputs.currency("currency", text), InvalidInput)
    assert currency is None or (len(text) == 3 and text.isascii() and text.isupper() and currency == text)


def _check_email(text: str) -> None:
    address = _outcome(lambda: inputs.email("email", text), InvalidInput)
    if address is not None:
        assert address == inputs.email("email", address)
        assert _is_line(address, 254)
        # An address that was taken can be mailed to.
        assert mailbox(address).username


# Ids and keys.

IDS: Final = one_of(
    edited(joined(just(*PREFIXES), chars(CROCKFORD, 13, at_least=13))),
    edited(joined(just(*BOOK_PREFIXES), chars(CROCKFORD, 21, at_least=21))),
    chars((*CROCKFORD, *PREFIXES, *BOOK_PREFIXES, "I", "L", "O", "U", "a"), 24),
    any_text,
)


def _number_model(text: str) -> int | None:
    number = 0
    for char in text:
        if char not in CROCKFORD:
            return None
        number = number * 32 + CROCKFORD.index(char)
    return number if number < 2**63 else None


def _check_id(text: str) -> None:
    for prefix in PREFIXES:
        number = _number_model(text[len(prefix) :]) if text[: len(prefix)] == prefix else None
        number = number if len(text) == len(prefix) + 13 else None
        assert number == _outcome(partial(parsing.parse_public_id, prefix, text), parsing.InvalidId)
        if prefix in (ids.MERCHANT, ids.KEY, ids.APPROVAL):
            assert number == _outcome(partial(inputs.public_id, "id", prefix, text), InvalidInput)
        if number is not None:
            assert text == ids.public_id(prefix, number)
    for prefix in BOOK_PREFIXES:
        rest = text[len(prefix) :]
        pair = (_number_model(rest[:13]), _number_model(rest[13:])) if text[: len(prefix)] == prefix else (None, None)
        is_right = len(rest) == 21 and None not in pair
        found = _outcome(partial(parsing.parse_book_id, prefix, text), parsing.InvalidId)
        assert (pair if is_right else None) == found
        if found is not None:
            assert text == ids.book_id(prefix, merchant_id=found[0], seq=found[1])


IMPORTED: Final = string.ascii_lowercase + string.ascii_uppercase + string.digits + "._~+/=-"
"""Of which keys that other systems gave out are made."""

KEYS: Final = one_of(
    edited(joined(just("sk-", "key_", "fb-", "fbz_", "mer_", ""), chars(IMPORTED, 300, at_least=15))),
    edited(joined(just("fbm_"), chars("01234567", 1, at_least=1), chars(CROCKFORD, 38, at_least=38))),
    edited(joined(just("fbs_", "fbu_", "fbx_", "FBS_"), chars(CROCKFORD, 26, at_least=26))),
    lambda random: api_keys.make_key(KeyKind.MERCHANT, random.getrandbits(63)),
    IDS,
)


def _may_be_imported(text: str) -> bool:
    """Whether another system may have given a key out: it is long, and does not begin as Farebox's own texts do."""
    is_own = text.startswith(ids.MERCHANT) or (
        text[:2] == "fb" and text[2:3] in string.ascii_lowercase and text[3:4] == "_"
    )
    is_text = text[:1].isalnum() and not set(text) - {*IMPORTED}
    return is_text and 24 <= len(text) <= 255 and not is_own


def _key_model(text: str) -> tuple[KeyKind, int | None] | None:
    kind = {"fbm_": KeyKind.MERCHANT, "fbs_": KeyKind.SERVICE, "fbu_": KeyKind.SUPPORT}.get(text[:4])
    rest = text[4:]
    if _may_be_imported(text):
        return KeyKind.MERCHANT, None
    if kind is None or set(rest) - set(CROCKFORD):
        return None
    if kind != KeyKind.MERCHANT:
        return (kind, None) if len(rest) == 26 else None
    number = _number_model(rest[:13])
    return (kind, number) if len(rest) == 39 and number is not None else None


def _check_key(text: str) -> None:
    expected, key = _key_model(text), api_keys.parse_key(text)
    assert expected == (None if key is None else (key.kind, key.merchant_id))
    assert _may_be_imported(text) == (key is not None and key.is_imported)
    payer = api_keys.parse_payer(text)
    if text.startswith(ids.MERCHANT):
        number = _outcome(lambda: parsing.parse_public_id(ids.MERCHANT, text), parsing.InvalidId)
        assert (number, None) == ((None, None) if payer is None else (payer.merchant_id, payer.digest))
    elif expected is None or expected[1] is None:
        assert payer is None
    else:
        assert payer is not None
        assert (expected[1], api_keys.digest(text)) == (payer.merchant_id, payer.digest)
    if key is not None:
        sha256_digest = hashlib.sha256(text.encode()).digest()
        of_another = hashlib.blake2b(sha256_digest, digest_size=32, person=b"sha256 of a key").digest()
        assert (of_another if key.is_imported else api_keys.digest(text)) == key.digest
        assert api_keys.hint(text) == f"{text[:4]}…{text[-4:]}"


def _key_headers(random: Random) -> list[bytes]:
    return [KEYS(random).encode("utf-8", "surrogatepass") for _ in range(random.choice((0, 1, 1, 1, 1, 2)))]


def _check_key_headers(values: list[bytes]) -> None:
    scope: Any = {"headers": [(b"host", b"x"), *[(b"x-api-key", value) for value in values]]}
    typed: Scope = scope
    expected = api_keys.parse_key(values[0].decode("latin-1")) if len(values) == 1 else None
    assert expected == key_check.api_key(typed) == key_check.api_key(typed)
    assert expected is None or values[0].isascii()


# Times.


def _number(low: int, high: int, width: int) -> Make[str]:
    return lambda random: str(random.choice((low, high, random.randint(low, high)))).zfill(width)


TIMES: Final = one_of(
    edited(
        joined(
            *(
                _number(0, 9999, 4),
                just("-"),
                _number(0, 13, 2),
                just("-"),
                _number(0, 32, 2),
                just("T", "t", " ", "_"),
            ),
            *(_number(0, 24, 2), just(":"), _number(0, 60, 2), just(":"), _number(0, 61, 2)),
            one_of(just(""), joined(just("."), digits(7))),
            one_of(just("Z", "z", ""), joined(just("+", "-"), _number(0, 24, 2), just(":"), _number(0, 60, 2))),
        )
    ),
    lambda random: inputs.format_time(random.randrange(253_402_300_800_000_000)),
    any_text,
)


def _time_model(text: str) -> int | None:
    """Read a time character by character, by the calendar's own rules."""
    shape = "".join("0" if char in DIGITS else char.upper() for char in text)
    body, offset = (shape[:-1], "Z") if shape.endswith("Z") else (shape[:-6], shape[-6:])
    head, point, fraction = body.partition(".")
    if head not in ("0000-00-00T00:00:00", "0000-00-00 00:00:00") or offset not in ("Z", "+00:00", "-00:00"):
        return None
    if point and not (1 <= len(fraction) <= 6 and set(fraction) == {"0"}):
        return None
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
    micros = int(text[20 : 20 + len(fraction)].ljust(6, "0")) if point else 0
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= monthrange(year, month)[1]:
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    away = 0
    if offset != "Z":
        if int(text[-5:-3]) > 23 or int(text[-2:]) > 59:
            return None
        away = (int(text[-5:-3]) * 60 + int(text[-2:])) * 60 * (-1 if text[-6] == "-" else 1)
    seconds = ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - away
    return seconds * 1_000_000 + micros if _days(1, 1, 1) * 86_400 <= seconds < _days(10_000, 1, 1) * 86_400 else None


def _days(year: int, month: int, day: int) -> int:
    """Count days since 1970: by years and leap days, by months, by days."""
    before = year - 1
    whole = before * 365 + before // 4 - before // 100 + before // 400
    return whole + sum(monthrange(year, number)[1] for number in range(1, month)) + day - 1 - 719_162


def _check_time(text: str) -> None:
    micros = _time_model(text)
    assert micros == _outcome(lambda: inputs.time("from", text), InvalidInput)
    if micros is not None and micros >= 0:
        assert micros == inputs.time("from", inputs.format_time(micros))


DAYS: Final = one_of(
    edited(joined(_number(1969, 2201, 4), just("-"), _number(0, 13, 2), just("-"), _number(0, 32, 2))), any_text
)


def _check_day(text: str) -> None:
    is_day = "0000-00-00" == "".join("0" if char in DIGITS else char for char in text)
    if is_day:
        year, month, day = int(text[:4]), int(text[5:7]), int(text[8:])
        is_day = 1971 <= year <= 2199 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]
    found = _outcome(lambda: inputs.day("day", text), InvalidInput)
    assert (text if is_day else None) == (None if found is None else found.isoformat())


ZONES: Final = one_of(
    edited(just(*sorted(available_timezones()))),
    edited(
        just("UTC", "Europe/Berlin", "tzdata.zi", "zone.tab", "Europe", "posixrules", "../zoneinfo/UTC", "/etc/passwd")
    ),
    any_text,
)


def _check_zone(text: str) -> None:
    zone = _outcome(lambda: inputs.time_zone("timeZone", text), InvalidInput)
    assert zone is not None or text not in available_zones
    if zone is not None:
        assert text == zone.key
        for year in (1971, 2026, 2199):
            assert abs(datetime(year, 7, 1, 12, tzinfo=zone).utcoffset() or timedelta()) < timedelta(days=1)


available_zones: Final = available_timezones()


def text_targets() -> list[Target[Any]]:
    """List what reads single texts."""
    return [
        Target("amounts", AMOUNTS, _check_amount, 90),
        Target("amounts, written", _written_amount, _check_written_amount, 40),
        Target("thresholds", several(AMOUNTS, 6), _check_thresholds, 20),
        Target("names and the like", WORDS, _check_word, 80),
        Target("e-mail addresses", EMAILS, _check_email, 40),
        Target("ids", IDS, _check_id, 70),
        Target("API keys", KEYS, _check_key, 60),
        Target("API keys in headers", _key_headers, _check_key_headers, 30),
        Target("times", TIMES, _check_time, 70),
        Target("days", DAYS, _check_day, 30),
        Target("time zones", ZONES, _check_zone, 20),
    ]
