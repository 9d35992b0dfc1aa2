"""The runway: how long a balance lasts at the recent burn, read from the book itself.

A book's transfers are numbered without gaps and their times never go backwards, so the last transfer before a moment is
found by binary search over seq. Burn between two moments is the posted balance at the first, less that at the second,
plus what came in from outside between them (top-ups and credits, less reversals and debits). The burn of each of the
last DAYS_MAX days of 24 hours makes a sample; the runway is the available balance divided by the sample's median, its
likely range by the upper and lower quartile. See docs/decisions/0007-burn-from-the-book.md.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.money import divide_rounding_half_up
from farebox.core.transfers import Transfer
from farebox.storage.interface import Store

DAYS_MAX: Final = 14
"""How many past days make the sample."""

RUNWAY_DAYS_MAX: Final = 3_650
"""A runway of ten years or more is given as this many days."""

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR


class Runway(Struct, frozen=True):
    """How long the available balance lasts: whole days, rounded down. `until` is microseconds since 1970.

    `days` is at the median burn of a recent day, `days_low` and `days_high` at its upper and lower quartile.
    `burn_per_day` is the median, in micros.
    """

    days: int
    days_low: int
    days_high: int
    until: int
    burn_per_day: int


def runway_of(burns: Sequence[int], *, available: int, now: int) -> Runway | None:
    """Compute the runway from a sample of daily burns, in micros; None if on a usual day nothing is spent."""
    if not burns:
        return None
    ordered = sorted(max(burn, 0) for burn in burns)
    count = len(ordered)
    low, median, high = ordered[(count - 1) // 4], ordered[count // 2], ordered[3 * count // 4]
    if median == 0:
        return None
    spendable = max(available, 0)
    return Runway(
        days=_days(spendable, median),
        days_low=_days(spendable, high),
        days_high=_days(spendable, low),
        # Rounded down to the microsecond: money is never said to last longer than it does.
        until=now + min(spendable * _DAY // median, RUNWAY_DAYS_MAX * _DAY),
        burn_per_day=median,
    )


def in_words(runway: Runway | None) -> str | None:
    """Say a runway as a person would: "about 5 days, likely 4 to 7"; None if there is none."""
    if runway is None:
        return None
    if runway.days >= RUNWAY_DAYS_MAX:
        return "for years"
    unit = "day" if runway.days == 1 else "days"
    about = "less than a day" if runway.days == 0 else f"about {runway.days} {unit}"
    if runway.days_low == runway.days_high:
        return about
    high = "more" if runway.days_high >= RUNWAY_DAYS_MAX else str(runway.days_high)
    return f"{about}, likely {runway.days_low} {'or' if high == 'more' else 'to'} {high}"


async def read_runway(store: Store, account: Account, now: int) -> Runway | None:
    """Read the recent burn from a book and compute its runway; a few dozen point look-ups, however long the book."""
    return runway_of(await _burns(store, account, now), available=account.available, now=now)


async def _burns(store: Store, account: Account, now: int) -> list[int]:
    """Measure the burn of each full day behind now, newest first; a younger book's hours stand for one day."""
    first = (await store.transfers_at(account.merchant_id, [1])).get(1)
    if first is None:
        return []
    age = now - first.committed_at
    days = min(age // _DAY, DAYS_MAX)
    if days == 0:
        moments = [now, first.committed_at - 1] if age >= _HOUR else []
    else:
        moments = [now - day * _DAY for day in range(days + 1)]
    if not moments:
        return []
    seqs = await _last_seqs(store, account, moments)
    found = await store.transfers_at(account.merchant_id, sorted({seq for seq in seqs if seq}))
    posted = [found[seq].posted_after if seq else 0 for seq in seqs]
    funding = await store.funding_after(account.merchant_id, seqs[-1] + 1)
    burns = [
        posted[index + 1] - posted[index] + _came_in(funding, after=seqs[index + 1], last=seqs[index])
        for index in range(len(moments) - 1)
    ]
    return burns if days else [divide_rounding_half_up(burns[0] * _DAY, age)]


def _came_in(funding: Sequence[Transfer], *, after: int, last: int) -> int:
    return sum(EFFECTS[Kind(item.kind)].wallet * item.amount for item in funding if after < item.seq <= last)


async def _last_seqs(store: Store, account: Account, moments: Sequence[int]) -> list[int]:
    """Find the last seq at or before each moment, 0 if none: one binary search for all, a query a step."""
    low = [0] * len(moments)
    high = [account.seq] * len(moments)
    while any(lower < upper for lower, upper in zip(low, high, strict=True)):
        middle = [(lower + upper + 1) // 2 for lower, upper in zip(low, high, strict=True)]
        found = await store.transfers_at(account.merchant_id, sorted(set(middle)))
        for index, moment in enumerate(moments):
            if low[index] == high[index]:
                continue
            if found[middle[index]].committed_at <= moment:
                low[index] = middle[index]
            else:
                high[index] = middle[index] - 1
    return low


def _days(spendable: int, burn: int) -> int:
    return RUNWAY_DAYS_MAX if burn == 0 else min(spendable // burn, RUNWAY_DAYS_MAX)
