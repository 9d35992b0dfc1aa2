"""A cost in words: what each line came to, exactly, and how the sum was rounded."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.pricing.costs import cost
from farebox.core.pricing.rules import Rule
from farebox.presenters.pricing.cost_words import CostLine, CostWords, cost_words, exact_amount
from farebox.service.price_texts import read_rule

INPUT = {"name": "input", "amount": "0.15", "per": 1_000_000}
OUTPUT = {"name": "output", "amount": "0.60", "per": 1_000_000}
DEAR = {"by": ["input"], "from": [{"from": 200_001, "lines": [INPUT | {"amount": "0.30"}]}]}


def _words(rule: Rule, currency: str = "USD", **quantities: int) -> CostWords:
    return cost_words(rule, rule.rates, cost(rule, rule.rates, quantities, {}), quantities, currency)


def _rule(*lines: dict[str, Any], **members: Any) -> Rule:
    return read_rule("rule", {"lines": list(lines)} | members)


def test_each_line_and_the_rounding_of_the_sum() -> None:
    assert CostWords(
        "0.000005",
        (CostLine("input", 3, 3, "0.00000045"), CostLine("output", 7, 7, "0.0000042")),
        ("0.00000465 exactly, rounded up to 0.000005",),
    ) == _words(_rule(INPUT, OUTPUT), input=3, output=7)


@pytest.mark.parametrize(
    ("rule", "quantity", "amount", "notes"),
    [
        (_rule(INPUT), 1_000_000, "0.15", ()),
        (_rule(INPUT, base="0.005"), 1_000_000, "0.155", ("0.005 for the request",)),
        (_rule(INPUT, minimum="0.01"), 1_000, "0.01", ("0.01 is the least that a request costs",)),
        (_rule(INPUT, minimum="0.01"), 1_000_000, "0.15", ()),
        (_rule(INPUT, tiers=DEAR), 200_000, "0.03", ()),
        (_rule(INPUT, tiers=DEAR), 200_010, "0.060003", ("above 200,000 input",)),
        (
            _rule(INPUT, rounding={"step": "0.01", "direction": "down"}),
            1_000,
            "0.00",
            ("0.00015 exactly, rounded down to 0.00",),
        ),
    ],
)
def test_what_else_there_is_to_know(rule: Rule, quantity: int, amount: str, notes: tuple[str, ...]) -> None:
    words = _words(rule, input=quantity)
    assert (amount, notes) == (words.amount, words.notes)


def test_units_that_are_charged_stand_beside_the_quantity() -> None:
    (line,) = _words(_rule(INPUT | {"block": 6, "atLeast": 30}), input=31).lines
    assert (31, 36) == (line.quantity, line.units)


def test_amounts_have_the_decimals_of_the_currency() -> None:
    assert "1,250" == _words(_rule({"name": "input", "amount": "1250"}), "JPY", input=1).amount


@given(st.integers(0, 10**20), st.integers(1, 10**15))
def test_an_exact_amount_is_exact_or_cut(numerator: int, denominator: int) -> None:
    text = exact_amount(numerator, denominator, "USD").replace(",", "")
    value, written = Fraction(numerator, denominator * 10**6), Fraction(text.rstrip("…"))
    assert 0 <= value - written < Fraction(1, 10**15)
    assert (value == written) == (not text.endswith("…"))
