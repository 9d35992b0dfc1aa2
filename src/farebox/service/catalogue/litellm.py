"""litellm's price file (model_prices_and_context_window.json): one object per model, whose members are prices.

An entry becomes one request type per way in which it is processed and region in which it is: `gpt-9`, `gpt-9:batch`,
`gpt-9@eu`, `gpt-9@eu:batch`. A type's line takes the price of its own processing and number of tokens where the
file has one, else the ordinary one; so no request costs less than the file says for it. What the file leaves to
litellm's program is as in that: `above` includes the threshold for one provider, and cached tokens cost half for
another.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Final

from msgspec import Struct

from farebox.core.pricing.rules import Rule
from farebox.service.catalogue import litellm_members
from farebox.service.catalogue.decimals import read_exact
from farebox.service.catalogue.lines import Component, NumberReader, priced_rates, priced_rule
from farebox.service.catalogue.listed import Inexpressible, Listed, Offer, Problem, Reason
from farebox.service.catalogue.litellm_hours import off_peak_windows
from farebox.service.catalogue.litellm_members import (
    CACHE_READ,
    INPUT,
    ORDER,
    OUTPUT,
    QUERY,
    REASONING,
    REQUEST,
    RESULTS,
    PricedMember,
    read_member,
)
from farebox.service.errors import InvalidInput

_SAMPLE: Final = "sample_spec"
"""The first entry of the file, which explains the members."""

_THRESHOLDS_INCLUDED: Final = frozenset({"xai"})
"""Providers whose dearer price begins with the threshold itself; the file says `above` for all alike."""

_CACHED_AT_HALF: Final = frozenset({"fireworks_ai"})
"""Providers whose cached tokens cost half of others where the file has no price for them."""

_FACTOR_MAX: Final = 1000
_FACTOR_DENOMINATOR_MAX: Final = 10_000
_SIZES: Final = ("low", "medium", "high")
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])([A-Z])", re.ASCII)

_Prices = dict[Component, Fraction]


class _Entry(Struct, frozen=True):
    """An entry's prices, by processing and number of tokens that they are above."""

    provider: str
    prices: Mapping[tuple[str, int], _Prices]
    tiers: tuple[tuple[int, _Prices], ...]
    """Whole sets of prices from so many tokens (or results) on, where the entry has a table of them."""
    tiers_by: tuple[Component, ...]
    off_peak: object
    regions: Mapping[str, Fraction]
    fast: Fraction | None
    remarks: tuple[str, ...]


def read_litellm(values: object, *, reads_fractions: bool = False) -> Iterator[Listed]:
    """Read a price file, given as plain values with numbers as text.

    Raises:
        InvalidInput: it is no such file.
    """
    if not isinstance(values, Mapping):
        raise InvalidInput("FILE", "this is not litellm's price file, which is an object with a member for each model")
    numbers = NumberReader(reads_fractions=reads_fractions)
    for name, members in values.items():
        if name == _SAMPLE:
            continue
        if not isinstance(members, Mapping):
            yield _problem(name, name, Problem(Reason.MALFORMED, "the entry is no object"))
            continue
        try:
            entry = _read_entry(members, numbers)
        except Inexpressible as error:
            yield _problem(name, name, error.problem)
            continue
        yield from _types(name, entry, numbers)


def _problem(request_type: str, entry: str, problem: Problem) -> Listed:
    return Listed(request_type, entry, None, problem)


def _types(name: str, entry: _Entry, numbers: NumberReader) -> Iterator[Listed]:
    """Make the request types of an entry: each processing in each region."""
    processings = [("", "", Fraction(1))]
    if entry.fast is not None:
        processings.append(("", "fast", entry.fast))
    processings += [
        (key, key, Fraction(1)) for key in dict.fromkeys(processing for processing, _ in entry.prices) if key
    ]
    for region, uplift in {"": Fraction(1), **entry.regions}.items():
        for processing, ending, dearer in processings:
            request_type = f"{name}{f'@{region}' if region else ''}{f':{ending}' if ending else ''}"
            remarks = list(entry.remarks)
            try:
                rule = _rule(entry, processing, uplift * dearer, numbers, remarks)
            except Inexpressible as error:
                yield _problem(request_type, name, error.problem)
            else:
                yield Listed(request_type, name, Offer(rule=rule), remarks=tuple(dict.fromkeys(remarks)))


def _rule(entry: _Entry, processing: str, uplift: Fraction, numbers: NumberReader, remarks: list[str]) -> Rule:
    prices = _own_or_ordinary(entry, processing, 0, entry.prices.get(("", 0), {}))
    tiers = list(entry.tiers)
    if entry.tiers and processing:
        raise Inexpressible(Reason.TIERS, f"a table of tiers beside prices for {processing}")
    dearer = prices
    for above in sorted({above for some, above in entry.prices if above and some in {"", processing}}):
        dearer = _own_or_ordinary(entry, processing, above, dearer)
        tiers.append((above if entry.provider in _THRESHOLDS_INCLUDED else above + 1, dearer))
    every_component = sorted(
        {component for _, some in [(0, prices), *tiers] for component in some},
        key=lambda component: (ORDER.get(component.name, len(ORDER)), component.name),
    )
    fee = prices.get(REQUEST, Fraction(0))
    rates = priced_rates(
        _times(prices, every_component, uplift),
        fee,
        [(start, _times(some, every_component, uplift)) for start, some in tiers],
        entry.tiers_by or [component for component in every_component if component.is_input],
    )
    if entry.off_peak is None:
        return priced_rule(rates, "UTC", ())
    if processing or tiers:
        raise Inexpressible(Reason.HOURS, "off-peak hours beside tiers or another processing")
    zone, windows = off_peak_windows(
        entry.off_peak,
        lambda cheaper: priced_rates(_times({**prices, **cheaper}, every_component, uplift), fee, (), ()),
        numbers,
        remarks,
    )
    return priced_rule(rates, zone, windows)


def _own_or_ordinary(entry: _Entry, processing: str, above: int, below: _Prices) -> _Prices:
    """Take each component's price of this processing above a threshold, else the ordinary one there, else below it."""
    ordinary = entry.prices.get(("", above), {})
    own = entry.prices.get((processing, above), {})
    prices = {**below, **ordinary, **own}
    if processing and OUTPUT in own and REASONING in prices and REASONING not in own:
        # Reasoning is output; where its own price is not told for this processing, it is as dear as other output.
        prices[REASONING] = own[OUTPUT]
    return prices


def _times(prices: Mapping[Component, Fraction], every_component: Iterable[Component], uplift: Fraction) -> _Prices:
    """Put the prices in one order, each token's price so many times as high; the fee of a request is no line."""
    return {
        component: _price(component, prices) * (uplift if component.is_token else 1)
        for component in every_component
        if component != REQUEST
    }


def _price(component: Component, prices: Mapping[Component, Fraction]) -> Fraction:
    """Tell what a component costs that has a price above some threshold: without one, what other such tokens cost."""
    price = prices.get(component)
    if price is None and component.is_token:
        price = prices.get(INPUT if component.is_input else OUTPUT)
    if price is None:
        raise Inexpressible(Reason.TIERS, f"a number of tokens at which {component.name} has no price")
    return price


def _read_entry(members: Mapping[str, object], numbers: NumberReader) -> _Entry:
    remarks: list[str] = []
    prices: dict[tuple[str, int], _Prices] = {}
    unknown: list[str] = []
    for name, value in members.items():
        if "cost" not in name or name in litellm_members.IN_OTHER_UNITS or value is None or isinstance(value, bool):
            continue
        if isinstance(value, Mapping):
            _put(prices, _read_parts(name, value, numbers, remarks))
        elif (member := read_member(name)) is not None:
            _put(prices, [(member, numbers.price(name, value, remarks))])
        elif read_exact(value) != 0:
            unknown.append(name)
    if unknown:
        raise Inexpressible(Reason.UNKNOWN_MEMBER, ", ".join(unknown))
    provider = str(members.get("litellm_provider"))
    if provider in _CACHED_AT_HALF:
        _put_half_for_cached(prices, remarks)
    tiers, tiers_by = _read_tiers(members.get("tiered_pricing"), prices, numbers, remarks)
    if not prices:
        in_units = [name for name in members if name in litellm_members.IN_OTHER_UNITS]
        raise Inexpressible(Reason.NO_PRICE, f"none in money, but {in_units[0]}" if in_units else "none is named")
    if "search_free_requests" in members:
        remarks.append("the searches that several models have free together are charged from the first on")
    extra = members.get("provider_specific_entry")
    extra = extra if isinstance(extra, Mapping) else {}
    if any("free" in name for name in extra):
        remarks.append("what is free of a request's images is charged")
    regions = {
        region: _factor(members[name])
        for name, region in litellm_members.REGIONS.items()
        if members.get(name) is not None
    }
    if "us" in extra:
        regions["us"] = _factor(extra["us"])
    return _Entry(
        provider,
        prices,
        tiers,
        tiers_by,
        members.get("off_peak_pricing"),
        regions,
        _factor(extra["fast"]) if "fast" in extra else None,
        tuple(remarks),
    )


def _put(prices: dict[tuple[str, int], _Prices], found: list[tuple[PricedMember, Fraction]]) -> None:
    for member, price in found:
        component = member.component
        if prices.setdefault((member.processing, member.above), {}).setdefault(component, price) != price:
            raise Inexpressible(Reason.TWICE, f"two members say what {component.name} costs, and not the same")


def _read_parts(
    name: str, parts: Mapping[str, object], numbers: NumberReader, remarks: list[str]
) -> list[tuple[PricedMember, Fraction]]:
    """Read a member that is an object of prices: searches by how much they look at, or units of several sorts."""
    found = {part: numbers.price(f"{name}.{part}", value, remarks) for part, value in parts.items()}
    if name == "search_context_cost_per_query":
        sizes = {part.removeprefix("search_context_size_"): price for part, price in found.items()}
        if sizes.keys() - set(_SIZES):
            raise Inexpressible(Reason.UNKNOWN_MEMBER, f"{name} of {', '.join(sorted(sizes.keys() - set(_SIZES)))}")
        if len(set(sizes.values())) == 1:
            return [(PricedMember(Component("web_searches")), next(iter(sizes.values())))]
        return [(PricedMember(Component(f"web_searches_{size}")), sizes[size]) for size in _SIZES if size in sizes]
    if name == "guardrail_cost_per_unit":
        return [(PricedMember(Component(_CAPITAL.sub(r"_\1", part).lower())), price) for part, price in found.items()]
    raise Inexpressible(Reason.UNKNOWN_MEMBER, name)


def _put_half_for_cached(prices: dict[tuple[str, int], _Prices], remarks: list[str]) -> None:
    ordinary = prices.get(("", 0), {})
    if INPUT in ordinary and CACHE_READ not in ordinary:
        ordinary[CACHE_READ] = ordinary[INPUT] / 2
        remarks.append("cached tokens cost half of others, as litellm's program has it for this provider")


def _read_tiers(
    value: object, prices: dict[tuple[str, int], _Prices], numbers: NumberReader, remarks: list[str]
) -> tuple[tuple[tuple[int, _Prices], ...], tuple[Component, ...]]:
    """Read a table of tiers, the first of which becomes the ordinary prices.

    All of a request's tokens cost what one tier says; a component that it leaves out costs what its input or output
    does.
    """
    if value is None:
        return (), ()
    if not isinstance(value, list) or not value or not all(isinstance(tier, Mapping) for tier in value):
        raise Inexpressible(Reason.MALFORMED, "tiered_pricing is no list of objects")
    is_by_results = all("max_results_range" in tier for tier in value)
    ranges = [_range(tier.get("max_results_range" if is_by_results else "range")) for tier in value]
    # The range of tokens is (from, to], that of results [from, to].
    gap = 1 if is_by_results else 0
    if ranges[0][0] > gap or any(end + gap != start for (_, end), (start, _) in pairwise(ranges)):
        raise Inexpressible(Reason.TIERS, "ranges that leave a gap, or overlap")
    read: list[_Prices] = []
    for tier in value:
        found: dict[tuple[str, int], _Prices] = {}
        for name, price in tier.items():
            if name in {"range", "max_results_range"}:
                continue
            member = read_member(name)
            if member is None or member.processing or member.above:
                raise Inexpressible(Reason.UNKNOWN_MEMBER, f"tiered_pricing {name}")
            _put(found, [(member, numbers.price(f"tiered_pricing {name}", price, remarks))])
        read.append(found.get(("", 0), {}))
    ordinary = prices.setdefault(("", 0), {})
    if len(prices) > 1:
        raise Inexpressible(Reason.TIERS, "a table of tiers beside prices above thresholds, or for another processing")
    every_component = dict.fromkeys(component for tier in read for component in tier)
    completed = [{component: _price(component, tier) for component in every_component} for tier in read]
    ordinary |= completed[0]
    if is_by_results:
        for tier in (ordinary, *completed):
            tier.setdefault(RESULTS, Fraction(0))
        if every_component.keys() != {QUERY}:
            raise Inexpressible(Reason.TIERS, "tiers by results for other than queries")
    starts = [start + 1 - gap for start, _ in ranges[1:]]
    tiers = tuple((start, {**ordinary, **tier}) for start, tier in zip(starts, completed[1:], strict=True))
    return tiers, (RESULTS,) if is_by_results else ()


def _range(value: object) -> tuple[int, int]:
    borders = [_whole(border) for border in value] if isinstance(value, list) else []
    match borders:
        case [int(start), int(end)] if 0 <= start < end:
            return start, end
        case _:
            raise Inexpressible(Reason.TIERS, "a tier whose range is no two whole numbers")


def _whole(value: object) -> int | None:
    number = read_exact(value)
    return int(number) if number is not None and number.denominator == 1 else None


def _factor(value: object) -> Fraction:
    """Read how many times as much something costs."""
    factor = read_exact(value)
    if factor is None or not 0 < factor <= _FACTOR_MAX or factor.denominator > _FACTOR_DENOMINATOR_MAX:
        raise Inexpressible(Reason.MALFORMED, f"{str(value)[:40]!r} is no multiplier")
    return factor
