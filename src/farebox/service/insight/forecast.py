"""The runway: how long a balance lasts at the recent burn, read from the book itself.

The last transfer before a moment is found by binary search over seq. Burn between two moments is the posted balance at
the first, less that at the second, plus what came in from outside between them (top-ups and credits, less reversals and
debits); refunds lessen it. The burn of each of the last DAYS_MAX days of 24 hours makes a sample, from the first day on
which anything was burned. The runway is what can be spent, the credit limit included, divided by the sample's median,
its likely range by the upper and lower quartile. See docs/decisions/0007-burn-from-the-book.md.

Given credit counts until it ends: lots are spent in their order, and what an ending one still has by then is lost.
Credit for certain request types is not counted on, as the burn does not tell how much of it they are.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.money import divide_rounding_half_up
from farebox.core.transfers import Transfer
from farebox.service.clock import Clock
from farebox.service.insight.lots import LOTS_MAX, NO_GIVEN_CREDIT, GivenCredit, Lot, given_credit_of
from farebox.service.statements.seek import last_transfers
from farebox.storage.grants import GrantStore
from farebox.storage.transfers import TransferStore

DAYS_MAX: Final = 14
"""How many past days make the sample."""

RUNWAY_DAYS_MAX: Final = 365
"""What lasts longer is "over a year" to everybody: two weeks of burn tell nothing of what comes after."""

HOUR: Final = 3_600_000_000
DAY: Final = 24 * HOUR
RUNWAY_MAX: Final = (RUNWAY_DAYS_MAX + 1) * DAY
"""No time further ahead is worked out, which would leave the years that can be written."""


Losses = tuple[tuple[int, int], ...]
"""When given credit ends unspent, microseconds since 1970, the soonest first, and how much of it, in micros."""


class Runway(Struct, frozen=True):
    """How long the money lasts as of `now`; times are microseconds since 1970.

    `until` is when it is used up at the burn of a usual day, `until_low` and `until_high` at the upper and lower
    quartile of recent days; none is after `now` + RUNWAY_MAX. `burn_per_day` is what a usual day burns, in micros. At
    each of the three paces `losses` are what ends unspent before then.
    """

    now: int
    until: int
    until_low: int
    until_high: int
    burn_per_day: int
    losses: Losses = ()
    losses_low: Losses = ()
    losses_high: Losses = ()

    def whole_days(self, until: int) -> int | None:
        """Count the days of 24 hours until one of the runway's ends, rounded down; None if it is over a year."""
        days = (until - self.now) // DAY
        return days if days <= RUNWAY_DAYS_MAX else None


class RunwayState(StrEnum):
    """How much is known of an account's runway; programs read these words."""

    KNOWN = "known"
    USED_UP = "used_up"
    NEVER_TOPPED_UP = "never_topped_up"
    TOO_EARLY = "too_early_to_tell"
    NOTHING_SPENT = "nothing_spent"


class Forecast(Struct, frozen=True):
    """How long an account's money lasts; `runway` is None unless the state is KNOWN or USED_UP.

    Money that is used up has a runway of no length if there is a burn. `sample_days` is how many full days were looked
    at; it is 0 if the book is younger than one.
    """

    state: RunwayState
    runway: Runway | None = None
    sample_days: int = 0
    given: GivenCredit = NO_GIVEN_CREDIT
    """What of the wallet was given: when it ends, and what of it is not counted on."""


def runway_of(burns: Sequence[int], *, spendable: int, now: int, lots: Sequence[Lot] = ()) -> Runway | None:
    """Compute the runway from the burn of recent days.

    The usual burn is the median, of two middle ones the higher. If most days are idle, so that the median is 0, it is
    the mean, rounded half up. Idle days at the start, before the merchant began to spend, do not count.

    Args:
        burns: micros, the newest day first; a day on which more was refunded than spent counts as idle.
        spendable: micros that can be spent, the credit limit included; nothing lasts no time.
        now: microseconds since 1970.
        lots: what that is made of, in the order of spending, if some of it ends.

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
    made_of = lots or (Lot(spendable),)
    until, losses = _spent(made_of, usual, now)
    until_low, losses_low = _spent(made_of, max(high, usual), now)
    until_high, losses_high = _spent(made_of, low, now)
    return Runway(now, until, until_low, until_high, usual, losses, losses_low, losses_high)


def runway_at(burn_per_day: int, *, spendable: int, now: int) -> Runway:
    """Compute a runway from the burn of a usual day alone."""
    until, _ = _spent((Lot(spendable),), burn_per_day, now)
    return Runway(now=now, until=until, until_low=until, until_high=until, burn_per_day=burn_per_day)


def until_at(runway: Runway, until: int) -> Runway:
    """Let a runway end at a time, if that is before its own end."""
    until = min(until, runway.until)
    return Runway(now=runway.now, until=until, until_low=until, until_high=until, burn_per_day=runway.burn_per_day)


def spendable_of(account: Account) -> int:
    """Tell what can be spent, in micros: what is available, and the credit limit; nothing while money is owed."""
    return 0 if account.owed else account.available + account.credit_limit


def daily_burns(ends: Sequence[Transfer | None], funding: Sequence[Transfer]) -> list[int]:
    """Compute the burn of each day, in micros, the newest first.

    Args:
        ends: the last transfer at each end of a day, newest first, so one more than there are days; None before the
            book's first transfer.
        funding: all top-ups, reversals, adjustments, grants and ends of grants after the last of `ends`.
    """
    posted = [0 if end is None else end.posted_after for end in ends]
    seqs = [0 if end is None else end.seq for end in ends]
    return [
        posted[index + 1] - posted[index] + _came_in(funding, after=seqs[index + 1], last=seqs[index])
        for index in range(len(ends) - 1)
    ]


class RunwayReader:
    """Reads accounts' runways as of now."""

    def __init__(self, transfers: TransferStore, grants: GrantStore, clock: Clock) -> None:
        """Read these books, and what was given."""
        self._transfers = transfers
        self._grants = grants
        self._clock = clock

    async def read(self, account: Account) -> Runway | None:
        """Read the recent burn from a book and compute its runway; see `read_forecast`."""
        return (await read_forecast(self._transfers, self._grants, account, self._clock.now())).runway


async def read_forecast(transfers: TransferStore, grants: GrantStore, account: Account, now: int) -> Forecast:
    """Read the recent burn from a book and tell how long its money lasts, as of `now` in microseconds since 1970.

    It takes at most three queries and one for each doubling of the book's length, each a few point look-ups: 22 for a
    book of a million transfers; one more for a merchant that was given credit. The book only grows, so what is read is
    of one piece without a transaction.

    Raises:
        StoreUnavailable: the database can't be read.
    """
    first = (await transfers.at(account.merchant_id, [1])).get(1)
    if first is None:
        return Forecast(RunwayState.NEVER_TOPPED_UP)
    spendable, age = spendable_of(account), now - first.committed_at
    days = max(min(age // DAY, DAYS_MAX), 0)
    burns = await _read_burns(transfers, account, now, age=age, days=days)
    given = NO_GIVEN_CREDIT
    if account.given:
        given = given_credit_of(account, await grants.open(account.merchant_id, LOTS_MAX), now)
    runway = runway_of(burns, spendable=spendable, now=now, lots=given.lots)
    if spendable <= 0:
        state = RunwayState.NEVER_TOPPED_UP if await _is_never_topped_up(transfers, account) else RunwayState.USED_UP
        return Forecast(state, runway if state is RunwayState.USED_UP else None, days)
    if runway is not None:
        return Forecast(RunwayState.KNOWN, runway, days, given)
    if await _is_never_topped_up(transfers, account):
        return Forecast(RunwayState.NEVER_TOPPED_UP)
    return Forecast(RunwayState.TOO_EARLY if age < HOUR else RunwayState.NOTHING_SPENT, None, days, given)


async def _read_burns(transfers: TransferStore, account: Account, now: int, *, age: int, days: int) -> list[int]:
    """Measure the burn of each of the full days behind now; the hours of a book that is younger stand for a day."""
    if days > 0:
        moments = [now - day * DAY for day in range(days + 1)]
    elif age >= HOUR:
        moments = [now, now - age - 1]
    else:
        return []
    ends = await last_transfers(transfers, account, moments)
    oldest_seq = 0 if ends[-1] is None else ends[-1].seq
    burns = daily_burns(ends, await transfers.funding_after(account.merchant_id, oldest_seq + 1))
    return burns if days > 0 else [divide_rounding_half_up(burns[0] * DAY, age)]


async def _is_never_topped_up(transfers: TransferStore, account: Account) -> bool:
    """Tell whether no money ever came in; a book whose top-ups were all taken back had some."""
    if account.funding or account.adjustments or account.grants_count:
        return False
    return not await transfers.funding_after(account.merchant_id, 1)


def _came_in(funding: Sequence[Transfer], *, after: int, last: int) -> int:
    return sum(EFFECTS[Kind(item.kind)].wallet * item.amount for item in funding if after < item.seq <= last)


def _spent(lots: Sequence[Lot], burn: int, now: int) -> tuple[int, Losses]:
    """Spend lots one after another: tell when all are used up, and what an ending one still had at its end.

    Divisions are rounded down to the microsecond: money is never told to last longer than it does.
    """
    at, losses = now, []
    for lot in lots:
        spent_at = at + (RUNWAY_MAX if burn == 0 else max(lot.amount, 0) * DAY // burn)
        ends_at = spent_at if lot.expires_at is None else lot.expires_at
        if ends_at < spent_at:
            spent_at = max(at, ends_at)
            losses.append((ends_at, lot.amount - burn * (spent_at - at) // DAY))
        at = spent_at
    until = min(at, now + RUNWAY_MAX)
    return until, tuple(sorted((when, amount) for when, amount in losses if now < when <= until and amount > 0))
