"""Why a transfer has its amount: each component at its rate, the exact sum, the rounding, and what applied."""

from datetime import UTC
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import Kind
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.core.quotes import requoted
from farebox.core.transfers import Transfer
from farebox.presenters.pricing.charge_words import ChargeWords, charge_words, priced_of
from farebox.service.price_texts import read_rule
from farebox.service.request_words import requested
from tests.support.effort import examples
from tests.support.ledger import ANN, NOW
from tests.support.price_rules import PLAIN, Request, requests

INPUT: Final = {"name": "input", "amount": "0.15", "per": 1_000_000}
OUTPUT: Final = {"name": "output", "amount": "0.60", "per": 1_000_000}
SECONDS: Final = {"name": "seconds", "amount": "0.0085", "per": 60, "block": 6, "atLeast": 30}
CALLS: Final = {
    "name": "calls",
    "included": 1000,
    "graduated": [{"from": 1001, "amount": "1.50", "per": 1000}, {"from": 5001, "amount": "0"}],
}
MONTH: Final = {"unit": "month", "zone": "Europe/Berlin"}
NIGHT: Final = {"zone": "UTC", "windows": [{"days": ["fri"], "from": "01:00", "until": "04:00", "lines": [INPUT]}]}


def _transfer(pricing: str | None, kind: Kind = Kind.CHARGE, **fields: Any) -> Transfer:
    return Transfer(ANN, 2, kind, 0, "key", b"", 0, 0, NOW, b"", "chat", 1, None, 2, pricing=pricing, **fields)


def _words(rule: Rule, pricing: str, currency: str = "USD", kind: Kind = Kind.CHARGE) -> ChargeWords:
    words = charge_words(Price(2, "chat", None, 0, rule=rule), _transfer(pricing, kind), currency, UTC)
    assert words is not None
    return words


def _rule(*lines: dict[str, Any], **members: Any) -> Rule:
    return read_rule("rule", {"lines": list(lines)} | members)


def _lines(words: ChargeWords) -> list[str]:
    return [f"{part.text}: {part.amount}" for part in words.parts]


def test_each_component_and_the_rounding_of_the_sum() -> None:
    words = _words(_rule(INPUT, OUTPUT), "input=3,output=7")
    assert ["3 input at 0.15 per 1,000,000: 0.00000045", "7 output at 0.60 per 1,000,000: 0.0000042"] == _lines(words)
    assert ("0.00000465", "rounded up once", "0.000005", ()) == (words.exact, words.rounding, words.amount, words.notes)


@pytest.mark.parametrize(
    ("rule", "pricing", "lines", "notes"),
    [
        (_rule(SECONDS), "seconds=61", ["61 seconds, counted as 66 at 0.0085 per 60: 0.00935"], []),
        (_rule(INPUT), "", ["nothing was counted: 0.00"], []),
        (_rule(base="0.005"), "", ["for each request: 0.005"], []),
        (
            _rule(INPUT, minimum="0.01"),
            "input=1000",
            ["1,000 input at 0.15 per 1,000,000: 0.00015"],
            ["a request costs at least 0.01"],
        ),
        (
            _rule(CALLS, period=MONTH),
            f"calls=4300;before=calls:900;at={NOW}",
            ["100 calls, included each month: 0.00", "4,000 more at 1.50 per 1,000: 6.00", "200 more, free: 0.00"],
            ["900 calls had been counted before in that month (Europe/Berlin)"],
        ),
        (
            _rule(CALLS | {"block": 1000}),
            "calls=1001",
            ["1,001 calls, counted as 2,000: 1,000 of them, included: 0.00", "1,000 more at 1.50 per 1,000: 1.50"],
            [],
        ),
        (
            _rule(INPUT, tiers={"by": ["input"], "from": [{"from": 1001, "lines": [INPUT | {"amount": "0.30"}]}]}),
            "input=1100;tier=1",
            ["1,100 input at 0.30 per 1,000,000: 0.00033"],
            ["at the rates of requests above 1,000 input"],
        ),
        (
            _rule(OUTPUT, windows=NIGHT),
            f"input=1000;window=1;at={NOW - 60_000_000}",
            ["1,000 input at 0.15 per 1,000,000: 0.00015"],
            [
                "at the rates of Friday 01:00 to 04:00 (UTC)",
                "priced as of 15 Jan 2027, 07:59 UTC, as the service named it",
            ],
        ),
    ],
)
def test_what_applied_is_named(rule: Rule, pricing: str, lines: list[str], notes: list[str]) -> None:
    words = _words(rule, pricing)
    assert (lines, notes) == (_lines(words), list(words.notes))


def test_a_capture_is_priced_as_of_its_hold() -> None:
    words = _words(_rule(CALLS, period=MONTH), f"calls=1;at={NOW - 60_000_000}", kind=Kind.CAPTURE)
    assert ("priced as of 15 Jan 2027, 07:59 UTC, when it was held",) == words.notes


def test_amounts_have_the_currencys_decimals() -> None:
    words = _words(_rule(INPUT | {"amount": "15", "per": 1}), "input=3", "JPY")
    assert (["3 input at 15 each: 45"], "45") == (_lines(words), words.amount)


def test_what_was_priced_otherwise_is_not_explained() -> None:
    unit_price = Price(2, "chat", 1, 0)
    assert charge_words(unit_price, _transfer("input=3"), "USD", UTC) is None
    assert charge_words(Price(2, "chat", None, 0, rule=_rule(INPUT)), _transfer(None), "USD", UTC) is None
    dear = _rule(INPUT | {"amount": "9000000"})
    assert charge_words(Price(2, "chat", None, 0, rule=dear), _transfer(f"input={10**12}"), "USD", UTC) is None


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        (None, "chat x 1"),
        ("", "chat x 1"),
        ("requests=3", "chat x 1"),
        ("input=0,output=7", "chat: 7 output"),
        ("a=1,b=2000,c=3,d=4,e=5", "chat: 1 a, 2,000 b, 3 c, 2 more"),
    ],
)
def test_what_was_requested_in_a_few_words(pricing: str | None, expected: str) -> None:
    assert expected == requested(_transfer(pricing))


def test_what_is_explained_is_the_transfer_itself_or_what_it_refers_to() -> None:
    charge, refund = _transfer("input=3"), _transfer(None, Kind.REFUND)
    assert charge is priced_of(charge, None)
    assert charge is priced_of(refund, charge)
    assert None is priced_of(refund, refund)


def _fraction(amount: str) -> Fraction:
    return Fraction(Decimal(amount.replace(",", "")))


@examples(80)
@given(requests(PLAIN), st.just("USD"))
def test_the_components_add_up_to_the_cost(request: Request, currency: str) -> None:
    """Where decimals end they add up exactly; otherwise each is cut off after fifteen of them."""
    before = ",".join(f"{name}:{number}" for name, number in sorted(request.counts.items()) if number)
    text = ",".join(f"{name}={number}" for name, number in sorted(request.quantities.items()))
    transfer = _transfer(f"{text};before={before};at={NOW}" if before else text)
    price = Price(2, "chat", None, 0, rule=request.rule)
    quote = requoted(price, transfer)
    words = charge_words(price, transfer, currency, UTC)
    assert words is not None
    assert not isinstance(quote, Outcome)
    assert quote.cost is not None
    exact = Fraction(quote.cost.numerator, quote.cost.denominator * 10**6)
    total = max(
        sum((_fraction(part.amount.rstrip("…")) for part in words.parts), Fraction(0)),
        Fraction(request.rates.minimum, 10**6),
    )
    assert 0 <= exact - total < Fraction(len(words.parts), 10**15)
    assert Fraction(quote.amount, 10**6) == _fraction(words.amount)
    assert ("exactly" == words.rounding) is (exact == Fraction(quote.amount, 10**6))
