"""The runway: how long a balance lasts at the burn that a merchant's own past foretells.

The spending of each hour of the last WINDOW_DAYS, less refunds, comes from the usage that is rolled up, and from the
book where it is not yet. From that burn_model.py learns the burn ahead, and how far such forecasts went wrong
for this merchant. The runway is the time until what can be spent, the credit limit included, is burned; its likely
range holds it four times of five. See docs/decisions/0036-the-runway-is-learnt.md and docs/explanation/forecast.md.

Given credit counts until it ends: lots are spent in their order, and what an ending one still has by then is lost.
Credit for certain request types is not counted on, as the burn does not tell how much of it they are.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.service.clock import Clock
from farebox.service.insight.burn_model import DAY, DAYS_AHEAD, HOUR, BurnCurve, BurnCurves, BurnModel, learn
from farebox.service.insight.lots import LOTS_MAX, NO_GIVEN_CREDIT, GivenCredit, Lot, given_credit_of
from farebox.storage.stores import Stores

WINDOW_DAYS: Final = 84
"""How many past days are learnt from: twelve weeks."""

IDLE_DAYS: Final = 14
"""After so many days without spending a merchant's past tells nothing: what was before is forgotten."""

MODELS_MAX: Final = 500
"""How many merchants' models a process keeps: some megabytes."""

RUNWAY_DAYS_MAX: Final = 365
"""What lasts longer is "over a year" to everybody: weeks of burn tell nothing of what comes after."""

RUNWAY_MAX: Final = DAYS_AHEAD * DAY
"""No time further ahead is worked out, which would leave the years that can be written."""


_DAY_HOURS: Final = DAY // HOUR
_WEEK_DAYS: Final = 7

Losses = tuple[tuple[int, int], ...]
"""When given credit ends unspent, microseconds since 1970, the soonest first, and how much of it, in micros."""


class Runway(Struct, frozen=True):
    """How long the money lasts as of `now`; times are microseconds since 1970.

    `until` is when it is likely to be used up. It is between `until_low` and `until_high` four times of five; none is
    after `now` + RUNWAY_MAX. `burn_per_day` is what a day of the next week burns on average, in micros. At each of the
    three paces `losses` are what ends unspent before then. `curves` are the burn ahead, None if it is taken to be even.
    """

    now: int
    until: int
    until_low: int
    until_high: int
    burn_per_day: int
    losses: Losses = ()
    losses_low: Losses = ()
    losses_high: Losses = ()
    curves: BurnCurves | None = None

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

    Money that is used up has a runway of no length if there is a burn. `sample_days` is how many full days were learnt
    from, or in how many nothing was spent; it is 0 if there is none yet.
    """

    state: RunwayState
    runway: Runway | None = None
    sample_days: int = 0
    given: GivenCredit = NO_GIVEN_CREDIT
    """What of the wallet was given: when it ends, and what of it is not counted on."""


def runway_of(model: BurnModel, *, spendable: int, now: int, lots: Sequence[Lot] = ()) -> Runway:
    """Compute the runway from what was learnt of the burn.

    Args:
        model: learnt from the hours before `now`.
        spendable: micros that can be spent, the credit limit included; nothing lasts no time.
        now: microseconds since 1970.
        lots: what that is made of, in the order of spending, if some of it ends.
    """
    curves = model.curves(now)
    made_of = lots or (Lot(spendable),)
    until, losses = _spent(made_of, curves.usual, now)
    until_low, losses_low = _spent(made_of, curves.fast, now)
    until_high, losses_high = _spent(made_of, curves.slow, now)
    burn_per_day = max(curves.usual.days[_WEEK_DAYS - 1] // _WEEK_DAYS, 1)
    return Runway(
        now=now,
        until=until,
        until_low=min(until_low, until),
        until_high=max(until_high, until),
        burn_per_day=burn_per_day,
        losses=losses,
        losses_low=losses_low,
        losses_high=losses_high,
        curves=curves,
    )


def even_burn(runway: Runway, spendable: int) -> int:
    """Tell the even burn, micros a day, at which so much lasts as long as a runway says; lists go on with it.

    Where credit ends unspent, or nothing is left, it is the runway's own.
    """
    if spendable <= 0 or runway.until <= runway.now or runway.losses:
        return runway.burn_per_day
    return max(spendable * DAY // (runway.until - runway.now), 1)


def runway_at(burn_per_day: int, *, spendable: int, now: int) -> Runway:
    """Compute a runway from an even burn, micros a day."""
    until = now + min(max(spendable, 0) * DAY // burn_per_day, RUNWAY_MAX)
    return Runway(now=now, until=until, until_low=until, until_high=until, burn_per_day=burn_per_day)


def until_at(runway: Runway, until: int) -> Runway:
    """Let a runway end at a time, if that is before its own end."""
    until = min(until, runway.until)
    return Runway(now=runway.now, until=until, until_low=until, until_high=until, burn_per_day=runway.burn_per_day)


def spendable_of(account: Account) -> int:
    """Tell what can be spent, in micros: what is available, and the credit limit; nothing while money is owed."""
    return 0 if account.owed else account.available + account.credit_limit


def spending_history(by_hour: Mapping[int, int], end: int) -> tuple[int, list[int]]:
    """Line up what was spent hour by hour, from the first hour that tells anything of the burn to come.

    Args:
        by_hour: micros spent in an hour, less what was refunded, by the hour's number since 1970, UTC.
        end: the hour after the last that counts.

    Returns:
        The first hour's number, and the micros of each hour from it on, the oldest first. Nothing if there was none in
        the last IDLE_DAYS.
    """
    first = following = end
    for hour in sorted((hour for hour, micros in by_hour.items() if micros > 0 and hour < end), reverse=True):
        if following - hour > IDLE_DAYS * _DAY_HOURS:
            break
        first = following = hour
    return first, [by_hour.get(hour, 0) for hour in range(first, end)]


class BurnModels:
    """The models of merchants that were read last. What an hour taught changes with the next one, and not before."""

    def __init__(self, *, models_max: int = MODELS_MAX) -> None:
        """Keep so many."""
        self._models_max = models_max
        self._models: dict[int, tuple[int, BurnModel]] = {}

    def find(self, merchant_id: int, hour: int) -> BurnModel | None:
        """Return what was learnt of a merchant in this hour, if it was asked for."""
        learnt_in, model = self._models.get(merchant_id, (None, None))
        return model if learnt_in == hour else None

    def keep(self, merchant_id: int, hour: int, model: BurnModel) -> None:
        """Keep what was learnt; the model that was learnt first goes if there are too many."""
        self._models.pop(merchant_id, None)
        self._models[merchant_id] = (hour, model)
        if len(self._models) > self._models_max:
            del self._models[next(iter(self._models))]


class RunwayReader:
    """Reads accounts' runways as of now."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Read these stores."""
        self._stores = stores
        self._clock = clock

    async def read(self, account: Account) -> Runway | None:
        """Tell how long an account lasts; see `read_forecast`."""
        return (await read_forecast(self._stores, account, self._clock.now())).runway


async def read_forecast(stores: Stores, account: Account, now: int, models: BurnModels | None = None) -> Forecast:
    """Read what a merchant spent hour by hour and tell how long its money lasts, as of `now`, microseconds since 1970.

    It takes one query, of the hours that are rolled up and the transfers that are not yet, unless
    `models` have what this hour taught; one more for a merchant that was given credit, and one or two where no runway
    can be told.

    Raises:
        StoreUnavailable: the database can't be read.
    """
    if account.seq == 0:
        return Forecast(RunwayState.NEVER_TOPPED_UP)
    this_hour = now // HOUR
    model = None if models is None else models.find(account.merchant_id, this_hour)
    is_spending = False
    if model is None:
        by_hour = await stores.usage.spent_by_hour(
            account.merchant_id, first_hour=this_hour - WINDOW_DAYS * _DAY_HOURS, last_hour=this_hour
        )
        first_hour, spent = spending_history(by_hour, this_hour)
        is_spending = bool(spent) or by_hour.get(this_hour, 0) > 0
        model = learn(spent, first_hour)
        if model is not None and models is not None:
            models.keep(account.merchant_id, this_hour, model)
    spendable = spendable_of(account)
    if spendable <= 0:
        if await _is_never_topped_up(stores, account):
            return Forecast(RunwayState.NEVER_TOPPED_UP)
        runway = None if model is None else runway_of(model, spendable=0, now=now)
        return Forecast(RunwayState.USED_UP, runway, 0 if model is None else model.days)
    given = NO_GIVEN_CREDIT
    if account.given:
        given = given_credit_of(account, await stores.grants.open(account.merchant_id, LOTS_MAX), now)
    if model is not None:
        runway = runway_of(model, spendable=spendable, now=now, lots=given.lots)
        return Forecast(RunwayState.KNOWN, runway, model.days, given)
    if await _is_never_topped_up(stores, account):
        return Forecast(RunwayState.NEVER_TOPPED_UP)
    age = now - (await stores.transfers.at(account.merchant_id, [1]))[1].committed_at
    if is_spending or age < HOUR:
        return Forecast(RunwayState.TOO_EARLY, None, 0, given)
    return Forecast(RunwayState.NOTHING_SPENT, None, min(age // DAY, IDLE_DAYS), given)


async def _is_never_topped_up(stores: Stores, account: Account) -> bool:
    """Tell whether no money ever came in; a book whose top-ups were all taken back had some."""
    if account.funding or account.adjustments or account.grants_count:
        return False
    return not await stores.transfers.funding_after(account.merchant_id, 1)


def _spent(lots: Sequence[Lot], curve: BurnCurve, now: int) -> tuple[int, Losses]:
    """Spend lots one after another: tell when all are used up, and what an ending one still had at its end.

    Divisions are rounded down to the microsecond: money is never told to last longer than it does.
    """
    after = burned = 0
    losses = []
    for lot in lots:
        amount = max(lot.amount, 0)
        duration = curve.duration_of(burned + amount)
        spent_after = RUNWAY_MAX if duration is None else max(duration, after)
        ends_after = spent_after if lot.expires_at is None else lot.expires_at - now
        if ends_after < spent_after:
            spent_after = max(after, ends_after)
            used = min(max(curve.burned_after(spent_after) - burned, 0), amount)
            losses.append((now + ends_after, amount - used))
            amount = used
        burned += amount
        after = spent_after
    until = now + min(after, RUNWAY_MAX)
    return until, tuple(sorted((when, amount) for when, amount in losses if now < when <= until and amount > 0))
