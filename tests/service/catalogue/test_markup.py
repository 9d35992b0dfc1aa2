"""A markup multiplies every amount exactly, and a filter says which names are meant."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.pricing.rules import Line, Rates, Rule, Step, Tier, Tiers, Window, Windows
from farebox.service.catalogue.amounts import marked_up
from farebox.service.catalogue.listed import Inexpressible, Offer, Reason
from farebox.service.catalogue.markup import read_filter, read_markup
from farebox.service.errors import InvalidInput
from tests.support.price_rules import WIDE, rules


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("+20 %", "6/5"),
        ("+20%", "6/5"),
        ("-5%", "19/20"),
        ("12.5%", "9/8"),
        ("0%", "1"),
        (" +0.000001 %", "1.00000001"),
    ],
)
def test_a_markup_is_a_percentage(text: str, factor: str) -> None:
    assert Fraction(factor) == read_markup("markup", text)


@pytest.mark.parametrize("text", ["", "20", "-100%", "-200%", "+-5%", "1e3%", "five%", "0.0000001%"])
def test_other_texts_are_no_markup(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_markup("markup", text)


def test_a_markup_reaches_every_amount_by_more_units_where_it_must() -> None:
    graduated = Line("units", 0, included=5, steps=(Step(6, 3), Step(100, 2, 7)))
    rates = Rates((Line("input", 15, 100), graduated), 200, 400, Tiers(("input",), (Tier(9, (Line("input", 4),)),)))
    rule = Rule(rates, Windows("UTC", (Window((0,), 0, 60, Rates((Line("input", 1),))),)))
    steps = (Step(6, 3_045, 1_000), Step(100, 203, 700))
    dearer = Rates(
        (Line("input", 15_225, 100_000), Line("units", 0, included=5, steps=steps)),
        203,
        406,
        Tiers(("input",), (Tier(9, (Line("input", 406, 100),)),)),
    )
    windows = Windows("UTC", (Window((0,), 0, 60, Rates((Line("input", 1_015, 1_000),))),))
    assert Offer(rule=Rule(dearer, windows)) == marked_up(Offer(rule=rule), read_markup("markup", "+1.5%"))


def test_a_unit_price_that_is_no_whole_micros_any_more_becomes_an_amount_for_more_requests() -> None:
    assert Offer(1200) == marked_up(Offer(1000), Fraction(6, 5))
    assert Offer(rule=Rule(Rates((Line("requests", 15, 10),)))) == marked_up(Offer(1), Fraction(3, 2))


def test_a_fee_that_would_be_no_whole_micros_is_refused() -> None:
    for rates in (Rates((), base=10), Rates((Line("input", 1),), minimum=10)):
        with pytest.raises(Inexpressible) as refused:
            marked_up(Offer(rule=Rule(rates)), Fraction(203, 200))
        assert Reason.TOO_FINE == refused.value.problem.reason


def test_a_variable_type_stays_variable() -> None:
    assert Offer() == marked_up(Offer(), Fraction(2))


@given(rules(WIDE), st.fractions(Fraction(1, 100), 10, max_denominator=1000))
def test_taking_a_markup_back_leaves_the_prices_that_were(rule: Rule, factor: Fraction) -> None:
    try:
        there = marked_up(Offer(rule=rule), factor)
        back = marked_up(there, 1 / factor)
    except Inexpressible:
        return
    assert back.rule is not None
    assert _prices(rule) == _prices(back.rule)


def _prices(rule: Rule) -> list[Fraction]:
    return [
        Fraction(amount, per)
        for rates in rule.every_rates
        for line in rates.every_line()
        for amount, per in [(line.amount, line.per), *((step.amount, step.per) for step in line.steps)]
    ]


@pytest.mark.parametrize(
    ("text", "meant", "others"),
    [
        ("gpt-*", ["gpt-9", "gpt-9@eu:batch"], ["x/gpt-9", "gpt"]),
        ("gpt-?", ["gpt-9"], ["gpt-10"]),
        ("a[b].c", ["a[b].c"], ["ab.c", "a[b]xc"]),
        ("/^gpt-[0-9]+$/", ["gpt-10"], ["gpt-x"]),
        ("/mini/", ["x-mini-y"], ["maxi"]),
    ],
)
def test_a_filter_says_which_names_are_meant(text: str, meant: list[str], others: list[str]) -> None:
    is_meant = read_filter("filter", text)
    assert [True] * len(meant) == [is_meant(name) for name in meant]
    assert [False] * len(others) == [is_meant(name) for name in others]


@pytest.mark.parametrize("text", ["", "/(/", "x" * 201])
def test_other_texts_are_no_filter(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_filter("filter", text)
