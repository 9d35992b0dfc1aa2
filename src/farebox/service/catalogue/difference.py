"""What an import of a price list would change: each request type of the list beside what holds for it so far."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.prices import Price
from farebox.service.catalogue.listed import Listed, Offer, Problem, Reason
from farebox.service.price_life import by_type


class Change(StrEnum):
    """What becomes of a request type of the list."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    LEFT_OUT = "left out"


class Difference(Struct, frozen=True):
    """A request type of the list, when its price starts, and what is in force just before."""

    listed: Listed
    change: Change
    starts_at: int
    before: Offer | None = None


def differences(listed: Iterable[Listed], versions: Iterable[Price], starts_at: int) -> list[Difference]:
    """Compare a list with the versions that there are.

    Args:
        listed: what the list says, with problems; a type may have several versions.
        versions: those of the defaults or of one merchant.
        starts_at: when what has no start of its own begins.

    Returns:
        One for each of the list, by type and start. A price that holds already when it would start is unchanged, so
        that a list that was imported changes nothing when it is imported again.
    """
    known = by_type(versions)
    ordered = sorted(listed, key=lambda item: (item.request_type, _start(item, starts_at)))
    return [
        difference
        for request_type, items in groupby(ordered, key=lambda item: item.request_type)
        for difference in _of_type(list(items), known.get(request_type, ()), starts_at)
    ]


def _start(item: Listed, starts_at: int) -> int:
    return starts_at if item.starts_at is None else item.starts_at


def _of_type(items: Sequence[Listed], versions: Sequence[Price], starts_at: int) -> list[Difference]:
    """Go through a type's versions of the list, each of which is what holds before the next."""
    found: list[Difference] = []
    offers = {version.starts_at: _offer(version) for version in versions}
    for item in items:
        start = _start(item, starts_at)
        before = _in_force(offers, start)
        problem = item.problem
        if problem is None and found and found[-1].starts_at == start:
            problem = Problem(Reason.TWICE, "the list has two prices that start at one time")
        elif problem is None and start in offers and offers[start] != item.offer:
            problem = Problem(Reason.TAKEN, "withdraw what starts at that very time, or choose another time")
        elif problem is None and start < starts_at and start not in offers:
            problem = Problem(Reason.PAST, "the list has it start before the import does")
        if item.offer is None or problem is not None:
            found.append(Difference(replace(item, offer=None, problem=problem), Change.LEFT_OUT, start, before))
        elif before == item.offer:
            found.append(Difference(item, Change.UNCHANGED, start, before))
        else:
            found.append(Difference(item, Change.NEW if before is None else Change.CHANGED, start, before))
            offers[start] = item.offer
    return found


def _in_force(offers: Mapping[int, Offer | None], start: int) -> Offer | None:
    """Tell what holds at a time, of offers by start; None if there is no price then, or it has ended."""
    started = [at for at in offers if at <= start]
    return offers[max(started)] if started else None


def _offer(version: Price) -> Offer | None:
    return None if version.is_end else Offer(version.unit_price, version.rule)
