"""Texts from outside: what is right goes through unchanged, all else is refused by name, and nothing crashes."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.core.money import AMOUNT_MICROS_MAX, format_amount
from farebox.service import inputs
from farebox.service.errors import InvalidInput

Check = Callable[[str, str], object]
TEXT_CHECKS: list[Check] = [
    *(inputs.amount, inputs.request_type, inputs.idempotency_key, inputs.reference, inputs.note, inputs.name),
    *(inputs.email, inputs.currency, inputs.time),
    lambda field, text: inputs.public_id(field, ids.MERCHANT, text),
    lambda field, text: inputs.thresholds(field, [text]),
]


def _refusal(check: Callable[..., object], *arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidInput) as raised:
        check("field", *arguments, **options)
    assert "field" == raised.value.field
    return raised.value.message


@given(st.sampled_from(TEXT_CHECKS), st.text() | st.text(alphabet="0123456789.-:TZ+ @amer_", max_size=40))
def test_any_text_is_taken_or_refused(check: Check, text: str) -> None:
    with suppress(InvalidInput):
        check("field", text)


@given(st.integers(1, AMOUNT_MICROS_MAX))
def test_amount_is_read_as_it_is_written(micros: int) -> None:
    assert micros == inputs.amount("field", format_amount(micros))


def test_zero_is_an_amount_only_where_it_makes_sense() -> None:
    assert "more than 0" in _refusal(inputs.amount, "0.00")
    assert 0 == inputs.amount("field", "0.00", is_zero_allowed=True)
    assert "such as 12.50" in _refusal(inputs.amount, "-1", is_zero_allowed=True)


@pytest.mark.parametrize("value", [1, 2, 999_999, 1_000_000])
def test_quantity_within_its_limits(value: int) -> None:
    assert value == inputs.quantity("field", value)


@pytest.mark.parametrize("value", [0, -1, 1_000_001, 10**30])
def test_quantity_outside_its_limits(value: int) -> None:
    assert "from 1 to 1000000" in _refusal(inputs.quantity, value)


@pytest.mark.parametrize(
    "text",
    [
        *("a", "0", "A", "image", "image.large", "geo-code_2", "a" * 200),
        *(
            "azure/gpt-5.1@eu:batch",
            "1024-x-1024/50-steps/bedrock/amazon.nova-canvas-v1:0",
            "fal-ai/flux-pro/v1.1-ultra",
        ),
        *("bedrock/*/1-month-commitment/cohere.command-text-v14", "deepinfra/Qwen/Qwen3-235B-A22B-Thinking-2507"),
        *("openrouter/~anthropic/claude-opus-latest", "a+b(c)[d]"),
    ],
)
def test_request_type(text: str) -> None:
    assert text == inputs.request_type("field", text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a b", "_a", "-a", ".a", "/a", "~a", "@a", "=a", "a\n", "é", "\u0661", "a" * 201),
        *(f"a{sign}b" for sign in ",;\"'?#%&=`<>\\|^{}$! \t\x00\x7f"),
    ],
)
def test_no_request_type(text: str) -> None:
    assert "1 to 200 of A-Z, a-z, 0-9 and . _ - / @ : + * ~ ( ) [ ], " in _refusal(inputs.request_type, text)


@pytest.mark.parametrize("text", ["k", "01922f6e-7c3a-7c52-9d3e-4b1f6a0c2d11", '!"#$~', "k" * 128])
def test_idempotency_key(text: str) -> None:
    assert text == inputs.idempotency_key("field", text)


@pytest.mark.parametrize("text", ["", " ", "a b", "a\t", "a\n", "\x7f", "é", "k" * 129, "expire 7", "top_up INV-1"])
def test_no_idempotency_key(text: str) -> None:
    assert "visible ASCII" in _refusal(inputs.idempotency_key, text)


@pytest.mark.parametrize(("check", "chars_max"), [(inputs.reference, 128), (inputs.note, 500), (inputs.name, 200)])
def test_line_of_text(check: Check, chars_max: int) -> None:
    for text in ("x", "Żółć & Söhne", "東京", "INV-1 (2026)", "💰", "x" * chars_max):
        assert text == check("field", text)
    for text in ("", " ", " x", "x ", "a\nb", "a\rb", "a\tb", "a\u0000b", "a\u0085b", "a\u2028b", "a\u200eb", "\ud800"):
        assert f"1 to {chars_max}" in _refusal(check, text)
    assert f"1 to {chars_max}" in _refusal(check, "x" * (chars_max + 1))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("ann@example.com", "ann@example.com"),
        ("Ann.B+c@EXAMPLE.com", "Ann.B+c@example.com"),
        ("é@example.com", "é@example.com"),
    ],
)
def test_email_in_its_normal_form(text: str, normal: str) -> None:
    assert normal == inputs.email("field", text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "a@b@c.com",
        "ann@example.com\n",
        "ann@x\r\nBcc: b@c.com",
        "a" * 300 + "@x.com",
    ],
)
def test_no_email(text: str) -> None:
    assert "is not an e-mail address" in _refusal(inputs.email, text)


def test_no_email_that_no_header_can_hold() -> None:
    assert "can't be written to" in _refusal(inputs.email, "=?utf-8?q?ann?=@example.com")


def test_a_new_merchants_currency_is_a_code_of_iso_4217_in_use_for_money() -> None:
    for text in ("USD", "EUR", "JPY", "KWD", "CLF"):
        assert text == inputs.currency("field", text)
    for text in ("", "usd", "US", "USDX", "ZZZ", "$", " USD"):
        assert "such as USD" in _refusal(inputs.currency, text)
    for text in ("XTS", "XAU", "XAG", "XPT", "XPD", "XDR", "XSU", "XUA", "XBA", "X" * 3):
        assert "of no money" in _refusal(inputs.currency, text)
    for text in ("BGN", "HRK", "ANG", "SLL", "ZWL"):
        assert "not a currency in use" in _refusal(inputs.currency, text)


@pytest.mark.parametrize(("text", "currency"), [("10.5", "JPY"), ("0.001", "USD"), ("0.0001", "KWD")])
def test_a_new_merchants_credit_limit_is_no_finer_than_its_currency(text: str, currency: str) -> None:
    with pytest.raises(InvalidInput, match="is too fine"):
        inputs.credit_limit("creditLimit", text, currency)
    assert 10_000_000 == inputs.credit_limit("creditLimit", "10", currency)


def test_thresholds_are_sorted_and_told_apart() -> None:
    assert (5_000_000, 10_000_000) == inputs.thresholds("field", ["10", "5", "5.00"])
    assert () == inputs.thresholds("field", [])
    assert "5 thresholds at most" in _refusal(inputs.thresholds, ["1", "2", "3", "4", "5", "6"])


def _thresholds(field: str, texts: list[str], credit_limit: int) -> tuple[int, ...]:
    return inputs.thresholds(field, texts, credit_limit=credit_limit, currency="EUR")


def test_negative_thresholds_reach_down_to_the_credit_limit() -> None:
    assert (-5_000_000, 0, 1_000_000) == inputs.thresholds(
        "field", ["1", "0", "-5"], credit_limit=5_000_000, currency="EUR"
    )
    assert (-6_000_000,) == inputs.thresholds("field", ["-6.00"])
    assert "more than 0" in _refusal(_thresholds, ["1", "0"], 0)
    refusal = _refusal(_thresholds, ["-5.000001"], 5_000_000)
    assert "-5.000001 is below what the credit limit of 5.00 EUR" in refusal
    assert "a threshold is -5.00 or more" in refusal


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:01Z", 1_000_000),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000_000),
        ("2026-01-31T14:00:00+02:00", 1_769_860_800_000_000),
        ("2026-01-31T12:00:00.5Z", 1_769_860_800_500_000),
        ("2026-01-31T12:00:00.000001-00:00", 1_769_860_800_000_001),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_time(text: str, micros: int) -> None:
    assert micros == inputs.time("field", text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "now",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00Z",
            "20260131T120000Z",
            "2026-W05-6T12:00:00Z",
        ),
        *("2026-02-30T12:00:00Z", "2026-01-31T25:00:00Z", "2026-01-31T12:00:00.1234567Z", "2026-01-31T12:00:00Z "),
        *(
            "2026-01-31T12:00:60Z",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+01:60",
            "\u0662026-01-31T12:00:00Z",
            "0000-01-01T00:00:00Z",
        ),
    ],
)
def test_no_time(text: str) -> None:
    assert "such as 2026-01-31T12:00:00Z" in _refusal(inputs.time, text)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 31)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_time_is_written_as_it_is_read(moment: datetime, offset_minutes: int) -> None:
    local = moment.replace(tzinfo=UTC)
    micros = inputs.time("field", f"{moment.isoformat()}Z")
    assert (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == micros
    assert micros == inputs.time("field", inputs.format_time(micros))
    sign = "-" if offset_minutes < 0 else "+"
    shifted = f"{moment.isoformat()}{sign}{abs(offset_minutes) // 60:02}:{abs(offset_minutes) % 60:02}"
    assert micros - offset_minutes * 60_000_000 == inputs.time("field", shifted)


def test_public_id_is_of_its_kind() -> None:
    assert 5 == inputs.public_id("field", ids.MERCHANT, ids.public_id(ids.MERCHANT, 5))
    assert "not a merchant id" in _refusal(inputs.public_id, ids.MERCHANT, "Northwind")
    assert "not a key id" in _refusal(inputs.public_id, ids.KEY, ids.public_id(ids.MERCHANT, 5))
