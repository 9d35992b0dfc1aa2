"""Usage put into bars: one for each hour or day, request types upon one another within it."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.core.money import divide_rounding_half_up
from farebox.service.insight.usage import UsageLine, sum_of_quantities
from farebox.service.languages import ENGLISH, Language, gettext_noop
from farebox.web.charts.svg import clean
from farebox.web.charts.times import HOUR, local, midnight

TYPES_MAX: Final = 8
"""How many request types are named; the rest share one bar and one colour."""

COLOURS: Final = 12
"""How many colours there are for types, t1 to t12."""

OTHER_COLOUR: Final = "t-other"

OTHER: Final = gettext_noop("other types")


class UsageType(Struct, frozen=True):
    """What a request type came to altogether. `cost` and `refunded` are micros, `share` is percent of what is left.

    `css` is the class of its colour, by its name alone.
    """

    css: str
    name: str
    requests: int
    cost: int
    refunded: int
    share: int
    quantities: Mapping[str, int] = {}
    """The sums by component, where the price is a rule."""


class Segment(Struct, frozen=True):
    """One request type, or all others, within one bar."""

    type_index: int
    starts_at: int
    requests: int
    cost: int
    refunded: int

    @property
    def net(self) -> int:
        """The cost less refunds; nothing, if more was refunded than spent."""
        return max(self.cost - self.refunded, 0)


class Bars(Struct, frozen=True):
    """The bars of a chart: `count` of them, the first one at `start`; those that are empty have no segments."""

    start: int
    count: int
    segments: dict[int, list[Segment]]
    """By the bar's index, types in the order of `usage_types`."""


def colours(names: Sequence[str]) -> dict[str, str]:
    """Give each request type a colour by its place among all that were ever priced, the first that was priced first.

    New types come last, and prices are never deleted, so a type keeps its colour whatever else is charged, or is not.
    """
    return {name: f"t{index % COLOURS + 1}" for index, name in enumerate(dict.fromkeys(names))}


def usage_types(buckets: Sequence[UsageLine], names: Sequence[str] = (), spoken: Language = ENGLISH) -> list[UsageType]:
    """Sum usage up by type, the costliest first; those beyond TYPES_MAX become one, which comes last.

    Args:
        buckets: what there is of each type in each hour or day.
        names: all request types, in the order in which they were first priced.
        spoken: the reader's language.
    """
    ordered = _sums(buckets)
    by_name = colours([*names, *sorted(name for name, _ in ordered)])
    named = [(by_name[name], clean(name), sums) for name, sums in ordered[:TYPES_MAX]]
    if rest := [sums for _, sums in ordered[TYPES_MAX:]]:
        named.append((OTHER_COLOUR, spoken.gettext(OTHER), [sum(values) for values in zip(*rest, strict=True)]))
    # Of the types that are put together, the units are not the same.
    quantities = {
        clean(name): sum_of_quantities(*(line.quantities for line in buckets if line.request_type == name))
        for name, _ in ordered[:TYPES_MAX]
    }
    total = sum(max(cost - refunded, 0) for _, _, (_, cost, refunded) in named)
    return [
        UsageType(
            css,
            name,
            requests,
            cost,
            refunded,
            divide_rounding_half_up(100 * max(cost - refunded, 0), total) if total else 0,
            quantities.get(name, {}),
        )
        for css, name, (requests, cost, refunded) in named
    ]


def group_into_bars(
    buckets: Sequence[UsageLine],
    *,
    zone: ZoneInfo,
    by: Literal["hour", "day"],
    first: date | None,
    last: date | None,
) -> Bars:
    """Put usage into bars. A day is a bar however many hours it has; an hour is one of sixty minutes."""
    starts = [line.starts_at for line in buckets]
    if not starts and (first is None or last is None):
        return Bars(0, 0, {})
    first_day = local(min(starts), zone).date() if first is None else first
    last_day = local(max(starts), zone).date() if last is None else last
    start, end = midnight(first_day, zone), midnight(last_day + timedelta(days=1), zone)
    count = (last_day - first_day).days + 1 if by == "day" else -(-(end - start) // HOUR)
    type_indexes = {name: index for index, (name, _) in enumerate(_sums(buckets)[:TYPES_MAX])}
    bars: dict[int, dict[int, Segment]] = {}
    for line in buckets:
        at = line.starts_at
        index = (local(at, zone).date() - first_day).days if by == "day" else (at - start) // HOUR
        if 0 <= index < count:
            segments = bars.setdefault(index, {})
            type_index = type_indexes.get(line.request_type, TYPES_MAX)
            before = segments.get(type_index, Segment(type_index, at, 0, 0, 0))
            segments[type_index] = Segment(
                type_index,
                min(before.starts_at, at),
                before.requests + line.requests,
                before.cost + line.cost,
                before.refunded + line.refunded,
            )
    return Bars(
        start, count, {index: [segment for _, segment in sorted(by_type.items())] for index, by_type in bars.items()}
    )


def _sums(buckets: Sequence[UsageLine]) -> list[tuple[str, list[int]]]:
    """Sum requests, cost and refunds up by type, the costliest first."""
    by_type: dict[str, list[int]] = {}
    for line in buckets:
        sums = by_type.setdefault(line.request_type, [0, 0, 0])
        for index, value in enumerate((line.requests, line.cost, line.refunded)):
            sums[index] += value
    return sorted(by_type.items(), key=lambda item: (item[1][2] - item[1][1], item[0]))
