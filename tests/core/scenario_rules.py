"""The rules of made-up histories: few, and such that every border is met often."""

from typing import Final

from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.pricing.rules import (
    Direction,
    Line,
    Period,
    PeriodUnit,
    Rates,
    Rule,
    Step,
    Tier,
    Tiers,
    Window,
    Windows,
)

_UNIT: Final = 1_000_000
_EVERY_DAY: Final = tuple(range(7))

TOKENS: Final = Rule(
    Rates(
        (Line("input", 150_000, 1_000), Line("output", 600_000, 1_000)),
        tiers=Tiers(
            ("input", "output"),
            (Tier(2_001, (Line("input", 300_007, 1_000), Line("output", 900_000, 1_000), Line("cached", 7, 1_000))),),
        ),
    ),
    windows=Windows("UTC", (Window(_EVERY_DAY, 0, 20, Rates((Line("input", 1, 1_000),), base=100, minimum=7_000)),)),
)
"""Several lines; other ones from 2,001 tokens on, and in the first 20 minutes of each day."""

CHEAPER: Final = Rule(
    Rates((Line("input", _UNIT, 1_000),), tiers=Tiers(("input",), (Tier(1_000, (Line("input", 2_000, 1_000),)),)))
)
"""A thousand tokens cost less than 999."""

STORAGE: Final = Rule(
    Rates(
        (
            Line("gb", 0, steps=(Step(1, 0), Step(11, _UNIT // 3, 7), Step(2_001, 1, 1_000))),
            Line("requests", 4, 10, included=3, block=2),
        )
    ),
    period=Period(PeriodUnit.MONTH, "Europe/Berlin", refunds_give_back=True),
)
KEPT: Final = Rule(
    Rates((Line("gb", _UNIT // 10, 3, at_least=2),)),
    period=Period(PeriodUnit.MONTH, "Europe/Berlin"),
    step=10_000,
    direction=Direction.HALF_UP,
)
CALLS: Final = Rule(
    Rates(
        (Line("requests", _UNIT, 3, included=5),),
        tiers=Tiers(("requests",), (Tier(999, (Line("requests", 1, 1_000), Line("bulk", 5))),)),
    ),
    windows=Windows(
        "Europe/Berlin", (Window(_EVERY_DAY, 23 * 60, 24 * 60, Rates((Line("requests", 9),), minimum=1_000)),)
    ),
    period=Period(PeriodUnit.DAY, "UTC"),
    direction=Direction.DOWN,
)

FREE: Final = Rule(Rates((Line("requests", 0),)))
FLAT: Final = Rule(Rates(base=_UNIT // 4), windows=Windows("UTC", (Window((0, 1, 2), 15, 1440, Rates(base=3)),)))
HUGE: Final = Rule(Rates((Line("mb", AMOUNT_MICROS_MAX, 10**12),)))

COUNTED_RULES: Final = {"storage": (STORAGE, KEPT), "seats": (KEPT,), "calls": (CALLS,)}
"""Rules with a period, by request type: those of one type have periods of one kind."""

PLAIN_RULES: Final = {"tokens": (TOKENS, CHEAPER), "ping": (FREE,), "flat": (FLAT,), "huge": (HUGE,)}
QUANTITIES: Final = (0, 1, 2, 5, 10, 999, 1_000, 1_001, 2_000, 2_001)
