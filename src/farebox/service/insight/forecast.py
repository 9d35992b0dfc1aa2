"""The runway: how long a balance lasts at the recent burn, read from the book itself.

The last transfer before a moment is found by binary search over seq. Burn between two moments is the posted balance at
the first, less that at the second, plus what came in from outside between them (top-ups and credits, less reversals and
debits); refunds lessen it. The burn of each of the last DAYS_MAX days of 24 hours makes a sample, from the first day on
which anything was burned. The runway is the available balance divided by the sample's median, its likely range by the
upper and lower quartile. See docs/decisions/0007-burn-from-the-book.md.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.money import divide_rounding_half_up
from farebox.core.transfers import Transfer
from farebox.service.clock import Clock
from farebox.service.statements.seek import last_transfers
from farebox.storage.transfers import TransferStore

DAYS_MAX: Final = 14
"""How many past days make the sample."""

RUNWAY_DAYS_MAX: Final = 3_650
"""A runway of ten years or more is given as this many days."""

_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR


class Runway(Struct, frozen=True):
    """How long the available balance lasts: whole days, rounded down. `until` is microseconds since 1970.

    `days` is at the burn of a usual day, `days_low` and `days_high` at the upper and lower quartile of recent days.
    `burn_per_day` is what a usual day burns, in micros.
    """

    days: int
    days_low: int
    days_high: int
    until: int
    burn_per_day: int


def runway_of(burns: Sequence[int], *, available: int, now: int) -> Runway | None:
    """Compute the runway from the burn of recent days.

    The usual burn is the median, of two middle ones the higher. If most days are idle, so that the median is 0, it is
    the mean, rounded half up. Idle days at the start, before the merchant began to spend, do not count.

    Args:
        burns: micros, the newest day first; a day on which more was refunded than spent counts as idle.
        available: micros that can be spent; nothing lasts no time.
        now: microseconds since 1970.

    Returns:
        The runway, or None if nothing was burned.
    """
    spent = [max(burn, 0) for burn in burns]
    while spent and spent[-1] == 0:
        spent.pop()
    if not spent:
        return None
    ordered = sorted(spent)
    count = len(ordered)
    low, median, high = ordered[(count - 1) // 4], ordered[count // 2], ordered[3 * count // 4]
    usual = median or max(divide_rounding_half_up(sum(spent), count), 1)
    spendable = max(available, 0)
    return Runway(
        days=_days(spendable, usual),
        days_low=_days(spendable, max(high, usual)),
        days_high=_days(spendable, low),
        # Rounded down to the microsecond: money is never said to last longer than it does.
        until=now + min(spendable * _DAY // usual, RUNWAY_DAYS_MAX * _DAY),
        burn_per_day=usual,
    )


def daily_burns(ends: Sequence[Transfer | None], funding: Sequence[Transfer]) -> list[int]:
    """Compute the burn of each day, in micros, the newest first.

    Args:
        ends: the last transfer at each end of a day, newest first, so one more than there are days; None before the
            book's first transfer.
        funding: all top-ups, reversals and adjustments after the last of `ends`.
    """
    posted = [0 if end is None else end.posted_after for end in ends]
    seqs = [0 if end is None else end.seq for end in ends]
    return [
        posted[index + 1] - posted[index] + _came_in(funding, after=seqs[index + 1], last=seqs[index])
        for index in range(len(ends) - 1)
    ]


def in_words(runway: Runway | None) -> str | None:
    """Say a runway as a person would: "about 5 days, likely 4 to 7"; None if there is none."""
    if runway is None:
        return None
    low, high = runway.days_low, runway.days_high
    if low >= RUNWAY_DAYS_MAX:
        return "for years"
    about = _about(runway.days)
    is_open = high >= RUNWAY_DAYS_MAX
    if low == high or (low == 0 and is_open):
        # A range of nothing or of everything tells nothing.
        return about
    if is_open:
        return f"{about}, likely {low} {'day' if low == 1 else 'days'} or more"
    if runway.days == 0:
        return f"{about}, up to {high} at a slow pace"
    return f"{about}, likely up to {high}" if low == 0 else f"{about}, likely {low} to {high}"


class RunwayReader:
    """Reads accounts' runways as of now."""

    def __init__(self, transfers: TransferStore, clock: Clock) -> None:
        """Read these books."""
        self._transfers = transfers
        self._clock = clock

    async def read(self, account: Account) -> Runway | None:
        """Read the recent burn from a book and compute its runway; see `read_runway`."""
        return await read_runway(self._transfers, account, self._clock.now())


async def read_runway(transfers: TransferStore, account: Account, now: int) -> Runway | None:
    """Read the recent burn from a book and compute its runway, as of `now` in microseconds since 1970.

    It takes at most two queries and one for each doubling of the book's length, each a few point look-ups: 22 for a
    book of a million transfers. The book only grows, so what is read is of one piece without a transaction.

    Raises:
        StoreUnavailable: the database can't be read.
    """
    return runway_of(await _read_burns(transfers, account, now), available=account.available, now=now)


async def _read_burns(transfers: TransferStore, account: Account, now: int) -> list[int]:
    """Measure the burn of each full day behind now; the hours of a book that is younger stand for a day."""
    first = (await transfers.at(account.merchant_id, [1])).get(1)
    if first is None:
        return []
    age = now - first.committed_at
    days = min(age // _DAY, DAYS_MAX)
    if days > 0:
        moments = [now - day * _DAY for day in range(days + 1)]
    elif age >= _HOUR:
        moments = [now, first.committed_at - 1]
    else:
        return []
    ends = await last_transfers(transfers, account, moments)
    oldest_seq = 0 if ends[-1] is None else ends[-1].seq
    burns = daily_burns(ends, await transfers.funding_after(account.merchant_id, oldest_seq + 1))
    return burns if days > 0 else [divide_rounding_half_up(burns[0] * _DAY, age)]


def _came_in(funding: Sequence[Transfer], *, after: int, last: int) -> int:
    return sum(EFFECTS[Kind(item.kind)].wallet * item.amount for item in funding if after < item.seq <= last)


def _days(spendable: int, burn: int) -> int:
    """Divide, rounding down to whole days."""
    return RUNWAY_DAYS_MAX if burn == 0 else min(spendable // burn, RUNWAY_DAYS_MAX)


def _about(days: int) -> str:
    if days == 0:
        return "less than a day"
    if days >= RUNWAY_DAYS_MAX:
        return "for years"
    return "about 1 day" if days == 1 else f"about {days} days"
