"""What requests cost by random rules: two models that were written independently agree, and what must hold does."""

from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core.pricing.costs import Cost, CostTooLarge, cost, round_to_step
from farebox.core.pricing.rules import PRODUCT_MAX, Direction, Line, Rates, Rule, Step
from tests.support.price_models import decimal_cost, fraction_cost
from tests.support.price_rules import SMALL, WIDE, Request, lines, requests

BIG: Final = 10**18


def exact(asked: Cost) -> Fraction:
    return Fraction(asked.numerator, asked.denominator)


def agree(request: Request) -> None:
    arguments: tuple[Any, ...] = (request.rule, request.rates, request.quantities, request.counts)
    model = fraction_cost(*arguments)
    if model.is_too_large:
        event("too large")
        with pytest.raises(CostTooLarge):
            cost(*arguments)
        return
    told = cost(*arguments)
    assert (model.amount, model.exact, model.units) == (told.amount, exact(told), told.units)
    assert model.tier == (None if told.tier is None else told.tier + 1)
    assert model.lines == {line.name: Fraction(line.numerator, line.denominator) for line in told.lines}
    assert decimal_cost(*arguments) == told.amount


@given(requests(SMALL))
def test_two_models_agree_where_units_are_few(request: Request) -> None:
    agree(request)


@given(requests(WIDE))
def test_two_models_agree_on_any_rule(request: Request) -> None:
    agree(request)


@given(requests(SMALL), st.data())
def test_more_of_a_quantity_never_costs_less_by_the_same_lines(request: Request, data: st.DataObject) -> None:
    rates = replace(request.rates, tiers=None)
    assume(rates.lines)
    name = data.draw(st.sampled_from([line.name for line in rates.lines]))
    more = {**request.quantities, name: request.quantities.get(name, 0) + data.draw(st.integers(1, 50))}
    less_cost = cost(request.rule, rates, request.quantities, request.counts)
    more_cost = cost(request.rule, rates, more, request.counts)
    assert exact(less_cost) <= exact(more_cost)
    assert less_cost.amount <= more_cost.amount


@given(requests(SMALL), st.sampled_from(["amount", "base", "minimum"]), st.integers(1, 1_000))
def test_a_dearer_rule_never_costs_less(request: Request, member: str, more: int) -> None:
    rates = replace(request.rates, tiers=None)
    if member == "amount":
        dearer = replace(rates, lines=tuple(_dearer(line, more) for line in rates.lines))
    else:
        dearer = replace(rates, **{member: getattr(rates, member) + more})
    asked = (request.quantities, request.counts)
    assert cost(request.rule, rates, *asked).amount <= cost(request.rule, dearer, *asked).amount


def _dearer(line: Line, more: int) -> Line:
    steps = tuple(replace(step, amount=step.amount + more) for step in line.steps)
    return replace(line, amount=line.amount + more, steps=steps)


@given(lines("units", SMALL), st.integers(0, 90), st.integers(0, 20), st.integers(0, 20))
def test_two_charges_of_a_period_cost_what_one_of_all_their_units_does(
    line: Line, before: int, first: int, second: int
) -> None:
    """As long as each is of whole blocks and reaches the least quantity: what these add is paid by each charge."""
    rates = Rates((line,))
    rule = Rule(rates)
    one, two = (_whole_blocks(line, blocks) for blocks in (first, second))
    together = cost(rule, rates, {"units": one + two}, {"units": before})
    parts = [
        cost(rule, rates, {"units": one}, {"units": before}),
        cost(rule, rates, {"units": two}, {"units": before + one}),
    ]
    assert exact(together) == sum(map(exact, parts))
    assert together.units["units"] == sum(part.units["units"] for part in parts)
    # Rounded up, parts cost a step more at most.
    assert 0 <= sum(part.amount for part in parts) - together.amount <= 1


def _whole_blocks(line: Line, blocks: int) -> int:
    least = -(-line.at_least // line.block)
    return (least + blocks) * line.block if blocks else 0


@given(
    st.integers(0, BIG),
    st.integers(1, BIG),
    st.integers(1, BIG),
    st.sampled_from(Direction),
)
def test_rounding_goes_to_the_step_that_its_direction_names(
    numerator: int, denominator: int, step: int, direction: Direction
) -> None:
    amount = Fraction(numerator, denominator)
    rounded = round_to_step(numerator, denominator, step, direction)
    assert 0 == rounded % step
    match direction:
        case Direction.UP:
            assert amount <= rounded < amount + step
        case Direction.DOWN:
            assert amount - step < rounded <= amount
        case Direction.HALF_UP:
            assert amount - Fraction(step, 2) < rounded <= amount + Fraction(step, 2)


@given(st.integers(0, BIG), st.integers(1, BIG), st.sampled_from(Direction))
def test_a_whole_number_of_steps_is_not_rounded(count: int, step: int, direction: Direction) -> None:
    assert count * step == round_to_step(count * step, 1, step, direction)
    assert count * step == round_to_step(count * step * 7, 7, step, direction)


def asked(line: Line, quantity: int, before: int = 0) -> int:
    rates = Rates((line,))
    return cost(Rule(rates), rates, {"units": quantity}, {"units": before}).amount


def test_a_line_is_exact_up_to_the_bound_and_refused_beyond_it() -> None:
    at_bound = Line("units", 9 * 10**6)
    assert PRODUCT_MAX == asked(at_bound, 10**12)
    with pytest.raises(CostTooLarge, match="units"):
        asked(replace(at_bound, amount=9 * 10**6 + 1), 10**12)
    assert 9 * 10**6 == asked(replace(at_bound, per=10**12), 10**12)


def test_free_units_do_not_count_towards_the_bound() -> None:
    line = Line("units", 9 * 10**18, included=10**12 - 1)
    assert PRODUCT_MAX == asked(line, 10**12)
    with pytest.raises(CostTooLarge):
        asked(replace(line, included=10**12 - 2), 10**12)
    assert 0 == asked(replace(line, included=10**12), 10**12)


def test_units_that_blocks_and_the_least_quantity_add_count_towards_the_bound() -> None:
    with pytest.raises(CostTooLarge):
        asked(Line("units", 9 * 10**6, block=10**12 - 1), 10**12)
    with pytest.raises(CostTooLarge):
        asked(Line("units", 9 * 10**6 + 1, at_least=10**12), 1)


def test_the_bound_is_that_of_each_step() -> None:
    line = Line("units", 0, steps=(Step(1, 9 * 10**18), Step(2, 9 * 10**18)))
    assert 2 * PRODUCT_MAX == asked(line, 2)
    with pytest.raises(CostTooLarge):
        asked(line, 3)
