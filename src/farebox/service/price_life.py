"""The life of a price: which version of a type is in force when, and what requests will meet from when on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import groupby

from msgspec import Struct

from farebox.core.outcomes import Code, Outcome
from farebox.core.prices import Price, in_force


class PriceState(StrEnum):
    """What a version is at some time, to others of the same prices: the defaults, or a merchant's own."""

    TO_COME = "to_come"
    IN_FORCE = "in_force"
    PAST = "past"
    """A later version has started."""
    WITHDRAWN = "withdrawn"


class PriceChange(Struct, frozen=True):
    """A time from which a merchant's requests of a type meet another price, or none."""

    at: int
    request_type: str
    price: Price | None
    is_retired: bool = False
    """Whether there is none because the type is retired."""


def price_state(price: Price, versions: Iterable[Price], now: int) -> PriceState:
    """Tell what a version is now, beside all versions of its type."""
    if price.withdrawn_at is not None:
        return PriceState.WITHDRAWN
    if price.starts_at > now:
        return PriceState.TO_COME
    is_followed = any(
        other.withdrawn_at is None and price.starts_at < other.starts_at <= now
        for other in versions
        if other.request_type == price.request_type
    )
    return PriceState.PAST if is_followed else PriceState.IN_FORCE


def by_type(versions: Iterable[Price]) -> Mapping[str, Sequence[Price]]:
    """Group versions that were not withdrawn by their type, each group by start."""
    valid = (price for price in versions if price.withdrawn_at is None)
    ordered = sorted(valid, key=lambda price: (price.request_type, price.starts_at))
    return {name: list(group) for name, group in groupby(ordered, key=lambda price: price.request_type)}


def met_at(versions: Sequence[Price], request_type: str, at: int) -> Price | Outcome:
    """Tell what a request meets at a time, of one type's versions by start: the defaults', and a merchant's own."""
    started = {price.merchant_id is None: price for price in versions if price.starts_at <= at}
    return in_force(started.get(False), started.get(True), request_type)


def following(price: Price, versions: Iterable[Price]) -> Price | None:
    """Find the version that starts after this one, of all versions of its type, and was not withdrawn."""
    later = (other for other in versions if other.withdrawn_at is None and other.starts_at > price.starts_at)
    return min(later, key=lambda other: other.starts_at, default=None)


class PriceLife(Struct, frozen=True):
    """What a merchant's requests meet now, by type, and what changes, by time."""

    in_force: Sequence[Price]
    to_come: Sequence[PriceChange]
    ended: Sequence[PriceChange]
    """Types that had a price and have none now, and since when."""

    @property
    def changes_at(self) -> int | None:
        """When the first change comes that is known."""
        return self.to_come[0].at if self.to_come else None


def life_of(versions: Iterable[Price], now: int) -> PriceLife:
    """Tell what the versions that a merchant may meet come to."""
    in_force: list[Price] = []
    to_come: list[PriceChange] = []
    ended: list[PriceChange] = []
    for request_type, group in by_type(versions).items():
        met = met_at(group, request_type, now)
        to_come += _changes(group, request_type, now)
        if isinstance(met, Price):
            in_force.append(met)
            continue
        is_retired = met.code is Code.TYPE_RETIRED
        ends = [price for price in group if price.starts_at <= now and (price.merchant_id is None) == is_retired]
        if ends:
            ended.append(PriceChange(ends[-1].starts_at, request_type, None, is_retired))
    return PriceLife(in_force, sorted(to_come, key=lambda change: (change.at, change.request_type)), ended)


def _changes(versions: Sequence[Price], request_type: str, now: int) -> Iterator[PriceChange]:
    """Tell when requests of a type meet another price than before; a default behind an own price makes no change."""
    before = met_at(versions, request_type, now)
    for at in sorted({price.starts_at for price in versions if price.starts_at > now}):
        met = met_at(versions, request_type, at)
        if met != before:
            price = met if isinstance(met, Price) else None
            is_retired = isinstance(met, Outcome) and met.code is Code.TYPE_RETIRED
            yield PriceChange(at, request_type, price, is_retired)
        before = met
