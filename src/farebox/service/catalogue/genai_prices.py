"""genai-prices' data (prices/data.json): providers, each with models, whose prices are for a million tokens and so on.

A model becomes the request type `provider/model`, and one more for each variant, such as `provider/model:batch`. Dates
at which prices begin become versions that start then; hours of the day become windows. A tier of the list is for
requests of more input tokens than it says. What the list leaves to its program is as in that: two models are billed for
10 seconds at least.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

from msgspec import Struct

from farebox.core.prices import REQUESTS
from farebox.core.pricing.rules import Rates, Rule, Window
from farebox.service.catalogue.lines import MILLION, Component, NumberReader, priced_rates, priced_rule
from farebox.service.catalogue.listed import Inexpressible, Listed, Offer, Reason
from farebox.service.errors import InvalidInput
from farebox.service.plain_values import shown

_UNITS: Final = (
    ("_mtok", "", MILLION),
    ("_hours", "_seconds", 3600),
    ("_kcount", "", 1000),
    ("_kpages", "_pages", 1000),
    ("_gpixels", "_pixels", 10**9),
    ("_mchars", "_characters", MILLION),
)
"""How a price's key ends, how the component's name ends instead, and how many units the price is for."""

_AT_LEAST: Final = {("groq", "whisper-large-v3"): 10, ("groq", "whisper-large-v3-turbo"): 10}
"""Models whose seconds of audio are billed as so many at least; the list's program knows, and the list does not."""

_BEHIND_AT: Final = frozenset({"route"})
"""Conditions whose value is a place, and stands behind an @; that of any other stands behind a colon."""

_DAY_MINUTES: Final = 24 * 60
_EVERY_DAY: Final = tuple(range(7))
_MINUTE: Final = timedelta(minutes=1)

_PricesByKey = Mapping[str, object]


class _Priced(Struct, frozen=True):
    """Prices and when they hold: from a date on, or between two minutes of a day."""

    prices: _PricesByKey
    starts: date | None = None
    minutes: tuple[int, int] | None = None

    def holds(self, day: date, minute: int) -> bool:
        if self.starts is not None:
            return day >= self.starts
        if self.minutes is None:
            return True
        start, end = self.minutes
        # As the list's program has it, the end may be before the start, and equal ends are no time at all.
        return start <= minute < end if start <= end else minute >= start or minute < end


def read_genai_prices(values: object, *, at: int, reads_fractions: bool = False) -> Iterator[Listed]:
    """Read the list, given as plain values with numbers as text.

    Args:
        values: what the file says.
        at: when the import starts, in micros since 1970; what began before that is told as of then.
        reads_fractions: whether rests are read as fractions.

    Raises:
        InvalidInput: it is no such list.
    """
    if not isinstance(values, list) or not all(isinstance(item, Mapping) and "models" in item for item in values):
        raise InvalidInput("FILE", "this is not genai-prices' data, which is a list of providers with models")
    numbers = NumberReader(reads_fractions=reads_fractions)
    from_day = datetime.fromtimestamp(at // MILLION, UTC).date()
    for provider in values:
        models = provider["models"]
        for model in models if isinstance(models, list) else []:
            if not isinstance(model, Mapping):
                raise InvalidInput("FILE", f"a model of {shown(provider.get('id'))} is no object")
            yield from _read_model(str(provider.get("id")), model, from_day, numbers)


def _read_model(provider: str, model: Mapping[str, object], from_day: date, numbers: NumberReader) -> Iterator[Listed]:
    entry = f"{provider}/{model.get('id')}"
    at_least = _AT_LEAST.get((provider, str(model.get("id"))), 0)
    try:
        ordinary = _priced(model.get("prices"))
        variants = _variants(model.get("price_variants"))
    except Inexpressible as error:
        yield Listed(entry, entry, None, error.problem)
        return
    yield from _versions(entry, entry, ordinary, (), from_day, numbers, at_least)
    for ending, overrides in variants.items():
        yield from _versions(entry + ending, entry, ordinary, overrides, from_day, numbers, at_least)


def _versions(
    request_type: str,
    entry: str,
    ordinary: Sequence[_Priced],
    overrides: Sequence[_Priced],
    from_day: date,
    numbers: NumberReader,
    at_least: int,
) -> Iterator[Listed]:
    """Make a type's versions: one as of the day, and one at each later date at which its prices become others."""
    starts = sorted({some.starts for some in (*ordinary, *overrides) if some.starts is not None})
    before: Offer | None = None
    for day in [from_day, *(start for start in starts if start > from_day)]:
        starts_at = None if day == from_day else _midnight(day)
        if overrides and not any(variant.holds(day, 0) for variant in overrides if variant.minutes is None):
            continue
        remarks: list[str] = []
        try:
            rule = _rule(ordinary, overrides, day, numbers, remarks, at_least)
        except Inexpressible as error:
            yield Listed(request_type, entry, None, error.problem, starts_at)
            continue
        offer = Offer(rule=rule)
        if offer != before:
            yield Listed(request_type, entry, offer, None, starts_at, tuple(dict.fromkeys(remarks)))
        before = offer


def _rule(
    ordinary: Sequence[_Priced],
    overrides: Sequence[_Priced],
    day: date,
    numbers: NumberReader,
    remarks: list[str],
    at_least: int,
) -> Rule:
    """Make the rule of one day: what holds for most of it, and windows for the rest."""
    borders = {0, _DAY_MINUTES, *(border for some in (*ordinary, *overrides) for border in some.minutes or ())}
    stretches: dict[str, list[tuple[int, int]]] = {}
    told: dict[str, _PricesByKey] = {}
    for start, end in pairwise(sorted(borders)):
        prices = _in_force(ordinary, overrides, day, start)
        key = repr(sorted(prices.items(), key=lambda item: item[0]))
        told[key] = prices
        mine = stretches.setdefault(key, [])
        if mine and mine[-1][1] == start:
            mine[-1] = (mine[-1][0], end)
        else:
            mine.append((start, end))
    usual = max(stretches, key=lambda key: sum(end - start for start, end in stretches[key]))
    names = {key for prices in told.values() for key in prices}
    if any(prices.keys() != names for prices in told.values()):
        raise Inexpressible(Reason.HOURS, "hours in which other things have a price")
    rates = {key: _rates(prices, numbers, remarks, at_least) for key, prices in told.items()}
    windows = [
        Window(_EVERY_DAY, start, end, rates[key])
        for key, times in stretches.items()
        if key != usual
        for start, end in times
    ]
    return priced_rule(rates[usual], "UTC", sorted(windows, key=lambda window: window.start_minute))


def _in_force(ordinary: Sequence[_Priced], overrides: Sequence[_Priced], day: date, minute: int) -> dict[str, object]:
    """Tell the prices of a minute: the last of those that hold, and over them the first variant's that has one."""
    holding = [some for some in ordinary if some.holds(day, minute)] or ordinary[:1]
    prices = {key: price for key, price in holding[-1].prices.items() if price is not None}
    over: dict[str, object] = {}
    for variant in overrides:
        if variant.holds(day, minute):
            over = {**{key: price for key, price in variant.prices.items() if price is not None}, **over}
    return {**prices, **over}


def _rates(prices: _PricesByKey, numbers: NumberReader, remarks: list[str], at_least: int) -> Rates:
    base = Fraction(0)
    flat: dict[Component, Fraction] = {}
    above: dict[Component, list[tuple[int, Fraction]]] = {}
    for key, value in sorted(prices.items(), key=lambda item: _place(item[0])):
        component, per = _component(key, at_least)
        if isinstance(value, Mapping):
            above[component] = _read_tiers(key, value, per, numbers, remarks)
        price = numbers.price(key, value.get("base") if isinstance(value, Mapping) else value, remarks) / per
        if component.name == REQUESTS:
            if component in above:
                raise Inexpressible(Reason.TIERS, "a fee for requests that has tiers")
            base = price
        else:
            flat[component] = price
    starts = sorted({start for tiers in above.values() for start, _ in tiers})
    tiers = [
        (start + 1, {component: _reached(above.get(component, []), start, price) for component, price in flat.items()})
        for start in starts
    ]
    return priced_rates(flat, base, tiers, [component for component in flat if component.is_input])


def _reached(tiers: Sequence[tuple[int, Fraction]], start: int, price: Fraction) -> Fraction:
    for begin, dearer in tiers:
        if begin <= start:
            price = dearer
    return price


def _read_tiers(
    key: str, value: Mapping[str, object], per: int, numbers: NumberReader, remarks: list[str]
) -> list[tuple[int, Fraction]]:
    tiers = value.get("tiers")
    if not isinstance(tiers, list) or not all(isinstance(tier, Mapping) for tier in tiers):
        raise Inexpressible(Reason.MALFORMED, f"{key} has no list of tiers")
    found = []
    for tier in tiers:
        start = str(tier.get("start"))
        if not (start.isdecimal() and start.isascii()) or len(start) > 12:
            raise Inexpressible(Reason.MALFORMED, f"{key} has a tier that starts at {start[:20]!r}")
        found.append((int(start), numbers.price(key, tier.get("price"), remarks) / per))
    return sorted(found, key=lambda tier: tier[0])


def _place(key: str) -> tuple[int, str]:
    """Put input before what is read of a cache, that before output, and all else behind."""
    starts = ("input_mtok", "cache_read_mtok", "cache_", "input_", "output_mtok", "output_")
    return next((place for place, start in enumerate(starts) if key.startswith(start)), len(starts)), key


def _component(key: str, at_least: int) -> tuple[Component, int]:
    for ending, instead, per in _UNITS:
        if key.endswith(ending):
            name = key.removesuffix(ending) + instead
            is_token = ending == "_mtok"
            is_input = is_token and name.startswith(("input", "cache"))
            seconds = at_least if instead == "_seconds" else 0
            return Component(name, per, is_token=is_token, is_input=is_input, at_least=seconds), per
    raise Inexpressible(Reason.UNKNOWN_MEMBER, key)


def _priced(value: object) -> list[_Priced]:
    """Read a model's prices: an object of them, or a list of such with constraints."""
    if isinstance(value, Mapping):
        return [_Priced(value)]
    if not isinstance(value, list) or not value:
        raise Inexpressible(Reason.NO_PRICE, "none is named")
    return [_constrained(item) for item in value]


def _variants(value: object) -> dict[str, list[_Priced]]:
    """Group variants by how the request type that they become ends."""
    if value is None:
        return {}
    if not isinstance(value, list):
        raise Inexpressible(Reason.MALFORMED, "price_variants is no list")
    groups: dict[str, tuple[Mapping[str, object], list[_Priced]]] = {}
    for item in value:
        when = item.get("when") if isinstance(item, Mapping) else None
        if not isinstance(when, Mapping) or not when:
            raise Inexpressible(Reason.MALFORMED, "a variant that does not say when")
        ending = "".join(f"{'@' if name in _BEHIND_AT else ':'}{text}" for name, text in sorted(when.items()))
        known, variants = groups.setdefault(ending, (when, []))
        if known != when:
            raise Inexpressible(Reason.TWICE, f"variants of two kinds are called {ending[1:]}")
        variants.append(_constrained(item))
    return {ending: variants for ending, (_, variants) in groups.items()}


def _constrained(item: object) -> _Priced:
    prices = item.get("prices") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(prices, Mapping):
        raise Inexpressible(Reason.MALFORMED, "prices that are no object")
    constraint = item.get("constraint")
    if constraint is None:
        return _Priced(prices)
    if not isinstance(constraint, Mapping):
        raise Inexpressible(Reason.MALFORMED, "a constraint that is no object")
    try:
        if "start_date" in constraint:
            return _Priced(prices, starts=date.fromisoformat(str(constraint["start_date"])))
        start, end = (_minute(str(constraint[name])) for name in ("start_time", "end_time"))
    except (KeyError, ValueError) as error:
        raise Inexpressible(Reason.HOURS, "a constraint that is neither a date nor two times") from error
    return _Priced(prices, minutes=(start, end))


def _minute(text: str) -> int:
    """Read a time of day, in UTC, as the minute of the day."""
    moment = time.fromisoformat(text)
    if moment.second or moment.microsecond:
        raise Inexpressible(Reason.HOURS, f"{text}, which is no whole minute")
    ahead = (moment.utcoffset() or timedelta(0)) // _MINUTE
    return (moment.hour * 60 + moment.minute - ahead) % _DAY_MINUTES


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * MILLION
