"""Random price rules, and requests that they price."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final
from zoneinfo import available_timezones

from hypothesis import strategies as st

from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.pricing.rules import (
    PER_MAX,
    QUANTITY_MAX,
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

DAY_MINUTES: Final = 24 * 60

LINE_NAMES: Final = ("input", "output", "cached", "requests", "gb-s", "a.b_c", "0")

ODD_ZONES: Final = (
    "Africa/Cairo",
    "America/Havana",
    "America/Santiago",
    "America/Scoresbysund",
    "America/St_Johns",
    "Antarctica/Casey",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
)
"""Zones whose clocks were set forward or back over midnight, by half an hour, or by a whole day."""

_FIRST: Final = int(datetime(1973, 1, 1, tzinfo=UTC).timestamp()) * 10**6
_LAST: Final = int(datetime(2060, 1, 1, tzinfo=UTC).timestamp()) * 10**6


@dataclass(frozen=True)
class Sizes:
    """How large the numbers of a rule and a request become."""

    amounts: st.SearchStrategy[int]
    pers: st.SearchStrategy[int]
    blocks: st.SearchStrategy[int]
    quantities: st.SearchStrategy[int]
    counts: st.SearchStrategy[int]
    steps: st.SearchStrategy[int]


SMALL: Final = Sizes(
    amounts=st.integers(0, 20) | st.integers(0, 10**6),
    pers=st.integers(1, 12) | st.just(1_000),
    blocks=st.just(1) | st.integers(1, 7),
    quantities=st.integers(0, 60),
    counts=st.integers(0, 90),
    steps=st.just(1) | st.integers(1, 1_000),
)
"""Units that can be gone through one by one; every border of a rule is met often."""

WIDE: Final = Sizes(
    amounts=st.integers(0, 10**7) | st.integers(0, AMOUNT_MICROS_MAX),
    pers=st.sampled_from((1, 60, 1_000, 10**6, 2**20, PER_MAX)) | st.integers(1, PER_MAX),
    blocks=st.sampled_from((1, 6, 2**20)) | st.integers(1, PER_MAX),
    quantities=st.integers(0, 10**6) | st.integers(0, QUANTITY_MAX),
    counts=st.integers(0, 10**15),
    steps=st.sampled_from((1, 10_000)) | st.integers(1, AMOUNT_MICROS_MAX),
)
"""Any numbers that a rule and a request may have."""

PLAIN: Final = Sizes(
    amounts=st.integers(0, 10**6),
    pers=st.sampled_from((1, 7, 60, 1_000, 10**6)),
    blocks=st.sampled_from((1, 6, 1_000)),
    quantities=st.integers(0, 10**5),
    counts=st.integers(0, 10**6),
    steps=st.sampled_from((1, 100, 10_000)),
)
"""Such as a server meets: what a request costs stays far below the largest amount."""


def zones() -> st.SearchStrategy[str]:
    """Make names of zones that the IANA publishes, which the machine's own is none of."""
    return st.sampled_from(("UTC", "Europe/Berlin", *ODD_ZONES)) | st.sampled_from(
        sorted(available_timezones() - {"localtime"})
    )


def times() -> st.SearchStrategy[int]:
    """Make microseconds since 1970, of years in which every zone is whole minutes away from UTC."""
    return st.integers(_FIRST, _LAST)


def periods() -> st.SearchStrategy[Period]:
    return st.builds(Period, st.sampled_from(PeriodUnit), zones(), st.booleans())


@st.composite
def windows(draw: st.DrawFn, rates: st.SearchStrategy[Rates]) -> Windows:
    """Make windows none of which overlaps another: each weekday has the hours of one of two lists, or none."""
    groups: list[int] = draw(st.lists(st.integers(0, 2), min_size=7, max_size=7))
    parts = []
    for group in (1, 2):
        days = tuple(day for day in range(7) if groups[day] == group)
        borders: set[int] = draw(st.sets(st.integers(0, DAY_MINUTES), max_size=5))
        for start, end in pairwise(sorted(borders)):
            is_there: bool = draw(st.booleans())
            if days and is_there:
                parts.append(Window(days, start, end, draw(rates)))
    whole_week = Window(tuple(range(7)), 0, DAY_MINUTES, draw(rates))
    return Windows(draw(zones()), tuple(parts) or (whole_week,))


def flat_rates() -> st.SearchStrategy[Rates]:
    return st.builds(lambda amount: Rates((Line("units", amount),)), st.integers(0, 10**6))


@st.composite
def lines(draw: st.DrawFn, name: str, sizes: Sizes = SMALL) -> Line:
    included: int = draw(st.just(0) | sizes.quantities)
    at_least: int = draw(st.just(0) | sizes.quantities)
    block: int = draw(sizes.blocks)
    amount: int = draw(sizes.amounts)
    per: int = draw(sizes.pers)
    is_graduated: bool = draw(st.booleans())
    if not is_graduated:
        return Line(name, amount, per, included, block, at_least)
    gaps: list[int] = draw(st.lists(sizes.quantities, max_size=3))
    steps = [Step(included + 1, amount, per)]
    for gap in gaps:
        step_amount: int = draw(sizes.amounts)
        step_per: int = draw(sizes.pers)
        steps.append(Step(steps[-1].start + gap + 1, step_amount, step_per))
    return Line(name, 0, 1, included, block, at_least, tuple(steps))


@st.composite
def sets_of_lines(draw: st.DrawFn, sizes: Sizes = SMALL, *, lines_min: int = 1) -> tuple[Line, ...]:
    names: list[str] = draw(st.lists(st.sampled_from(LINE_NAMES), min_size=lines_min, max_size=4, unique=True))
    # Lines that charge every unit alike are summed up by a shorter way, which no other line may stand in.
    are_alike: bool = draw(st.booleans())
    if are_alike:
        return tuple([Line(name, draw(sizes.amounts), draw(sizes.pers)) for name in names])
    return tuple([draw(lines(name, sizes)) for name in names])


@st.composite
def rates(draw: st.DrawFn, sizes: Sizes = SMALL) -> Rates:
    base: int = draw(st.just(0) | sizes.amounts)
    minimum: int = draw(st.just(0) | sizes.amounts)
    own: tuple[Line, ...] = draw(sets_of_lines(sizes, lines_min=0 if base else 1))
    starts: set[int] = draw(st.sets(sizes.quantities.map(lambda quantity: quantity + 1), max_size=3))
    if not starts:
        return Rates(own, base, minimum)
    tiers = tuple([Tier(start, draw(sets_of_lines(sizes))) for start in sorted(starts)])
    names = sorted({line.name for line in own} | {line.name for tier in tiers for line in tier.lines})
    by: list[str] = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return Rates(own, base, minimum, Tiers(tuple(by), tiers))


def rules(sizes: Sizes = SMALL, *, with_windows: bool = True) -> st.SearchStrategy[Rule]:
    return st.builds(
        Rule,
        rates(sizes),
        st.none() | windows(rates(sizes)) if with_windows else st.none(),
        st.none() | periods(),
        sizes.steps,
        st.sampled_from(Direction),
    )


@dataclass(frozen=True)
class Request:
    """A rule without windows, and what a request of it names."""

    rule: Rule
    quantities: dict[str, int]
    counts: dict[str, int]

    @property
    def rates(self) -> Rates:
        return self.rule.rates


@st.composite
def requests(draw: st.DrawFn, sizes: Sizes = SMALL) -> Request:
    rule: Rule = draw(rules(sizes, with_windows=False))
    quantities: dict[str, int] = draw(quantities_of(rule, sizes.quantities))
    counts: dict[str, int] = draw(quantities_of(rule, sizes.counts)) if rule.period is not None else {}
    return Request(rule, quantities, counts)


def quantities_of(rule: Rule, numbers: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, int]]:
    """Name some of a rule's quantities."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(rule.names, numbers))
