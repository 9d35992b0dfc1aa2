"""Made-up rules of prices: any that may be, with each of their parts, and not only such as somebody would have."""

from typing import Final

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

NAMES: Final = ("input", "output", "cached", "requests", "gb-s", "a.b_c", "0")
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")

amounts = st.integers(0, AMOUNT_MICROS_MAX) | st.integers(0, 10**7) | st.just(0)
pers = st.sampled_from((1, 60, 1_000, 10**6, 2**20, PER_MAX)) | st.integers(1, PER_MAX)
numbers = st.integers(0, QUANTITY_MAX) | st.integers(0, 100)
starts = st.integers(2, 10**15) | st.integers(2, 100)


@st.composite
def lines(draw: st.DrawFn, name: str) -> Line:
    included, block, at_least = draw(numbers), draw(pers), draw(numbers)
    if draw(st.booleans()):
        return Line(name, draw(amounts), draw(pers), included, block, at_least)
    borders = draw(st.lists(starts, max_size=4, unique=True).map(sorted))
    first = Step(included + 1, draw(amounts), draw(pers))
    steps = (Step(start, draw(amounts), draw(pers)) for start in borders if start > included + 1)
    return Line(name, 0, 1, included, block, at_least, (first, *steps))


@st.composite
def sets_of_lines(draw: st.DrawFn, *, at_least: int = 1) -> tuple[Line, ...]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=at_least, max_size=4, unique=True))
    return tuple(draw(lines(name)) for name in names)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    base = draw(amounts)
    own = draw(sets_of_lines(at_least=0 if base else 1))
    tiers = None
    if draw(st.booleans()):
        borders = draw(st.lists(st.just(1) | starts, min_size=1, max_size=3, unique=True).map(sorted))
        further = tuple(Tier(start, draw(sets_of_lines())) for start in borders)
        names = {line.name for line in own} | {line.name for tier in further for line in tier.lines}
        by = draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=3, unique=True))
        tiers = Tiers(tuple(by), further)
    return Rates(own, base, draw(amounts), tiers)


@st.composite
def windows(draw: st.DrawFn) -> Windows:
    """Windows that lie one after the other within the day, so that they stay apart on any days."""
    times = draw(st.lists(st.integers(0, 1440), min_size=2, max_size=6, unique=True).map(sorted))
    days = st.lists(st.integers(0, 6), min_size=1, unique=True).map(lambda found: tuple(sorted(found)))
    pairs = zip(times[::2], times[1::2], strict=False)
    return Windows(draw(st.sampled_from(ZONES)), tuple(Window(draw(days), *pair, draw(rates())) for pair in pairs))


periods = st.builds(Period, st.sampled_from(PeriodUnit), st.sampled_from(ZONES), st.booleans())
rules = st.builds(
    Rule,
    rates(),
    st.none() | windows(),
    st.none() | periods,
    st.just(1) | st.integers(1, AMOUNT_MICROS_MAX),
    st.sampled_from(Direction),
)
