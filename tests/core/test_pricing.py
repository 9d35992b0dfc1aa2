"""What requests cost: cases that were worked out by hand."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from farebox.core.pricing.costs import cost
from farebox.core.pricing.rules import Direction, Line, Rates, Rule, Step, Tier, Tiers

MILLION: Final = 10**6
TOKENS: Final = (Line("in", 150_000, MILLION), Line("out", 600_000, MILLION))
LOW: Final = (Line("in", 1_250_000, MILLION), Line("out", 10_000_000, MILLION))
HIGH: Final = (Line("in", 2_500_000, MILLION), Line("out", 15_000_000, MILLION))
CACHED: Final = (
    Line("fresh", 2_500_000, MILLION),
    Line("cached", 1_250_000, MILLION),
    Line("out", 10_000_000, MILLION),
)
DEAR_FROM_200_001: Final = Rates(LOW, tiers=Tiers(("in",), (Tier(200_001, HIGH),)))
MEMORY: Final = Rates((Line("mb-ms", 166_667, 10_000 * 1024 * 1000), Line("requests", 200_000, MILLION)))
GRADUATED: Final = Rates((Line("unit", 0, steps=(Step(1, 0), Step(1_001, 1_500_000, 1_000), Step(5_000_000, 600, 1))),))


@pytest.mark.parametrize(
    ("rates", "quantities", "amount"),
    [
        (Rates(TOKENS), {"in": 3, "out": 7}, 5),
        (Rates(CACHED), {"fresh": 1_000, "cached": 9_000, "out": 500}, 18_750),
        (DEAR_FROM_200_001, {"in": 200_000, "out": 1_000}, 260_000),
        (DEAR_FROM_200_001, {"in": 200_001, "out": 1_000}, 515_003),
        (Rates((Line("s", 40_000, 3_600, at_least=10),)), {"s": 7}, 112),
        (Rates((Line("s", 40_000, 3_600, at_least=10),)), {"s": 11}, 123),
        (Rates((Line("s", 8_500, 60, block=6, at_least=30),)), {"s": 61}, 9_350),
        (Rates((Line("pixels", 25_000, 2**20, block=2**20),)), {"pixels": 1_300 * 1_100}, 50_000),
        (Rates((Line("results", 1_000, included=10),), base=5_000), {"results": 25}, 20_000),
        (Rates((Line("unit", 8 * MILLION, 7 * MILLION),)), {"unit": MILLION}, 1_142_858),
        (MEMORY, {"mb-ms": 512 * 137, "requests": 1}, 2),
        (GRADUATED, {"unit": 1_500}, 750_000),
        (Rates((Line("unit", 1),), minimum=500), {"unit": 3}, 500),
        (Rates(TOKENS), {}, 0),
    ],
)
def test_cases_worked_out_by_hand(rates: Rates, quantities: Mapping[str, int], amount: int) -> None:
    assert cost(Rule(rates), rates, quantities, {}).amount == amount


@pytest.mark.parametrize(
    ("rates", "quantities", "half_up", "down"),
    [
        (DEAR_FROM_200_001, {"in": 200_001, "out": 1_000}, 515_003, 515_002),
        (Rates((Line("unit", 8 * MILLION, 7 * MILLION),)), {"unit": MILLION}, 1_142_857, 1_142_857),
        (MEMORY, {"mb-ms": 512 * 137, "requests": 1}, 1, 1),
    ],
)
def test_other_roundings(rates: Rates, quantities: Mapping[str, int], half_up: int, down: int) -> None:
    asked: dict[str, Any] = {"rates": rates, "quantities": quantities, "counts": {}}
    assert cost(Rule(rates, direction=Direction.HALF_UP), **asked).amount == half_up
    assert cost(Rule(rates, direction=Direction.DOWN), **asked).amount == down


def test_a_count_goes_on_over_the_border_of_a_step() -> None:
    # 49 units up to number 4,999,999 at 1.50 per 1,000, and 51 from there on at 0.0006.
    assert cost(Rule(GRADUATED), GRADUATED, {"unit": 100}, {"unit": 4_999_950}).amount == 49 * 1_500 + 51 * 600
