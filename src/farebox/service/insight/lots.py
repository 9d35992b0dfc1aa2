"""The lots that a wallet is made of, for forecasts and pages: what is spent first, and what ends when."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.core.credit.grants import Grant

LOTS_MAX: Final = 1_000
"""How many open grants of a merchant are looked at; what further ones have is not counted on."""


class Lot(Struct, frozen=True):
    """A part of what can be spent, in micros, and when it ends, microseconds since 1970."""

    amount: int
    expires_at: int | None = None


class GivenCredit(Struct, frozen=True):
    """What of a wallet was given, as a forecast counts on it.

    `lots` are all that can be counted on, paid money and the credit limit too, in the order of spending; none if
    nothing was given. `ending` are the grants that end, the soonest first. `restricted` micros pay for certain request
    types alone.
    """

    lots: tuple[Lot, ...] = ()
    ending: tuple[Grant, ...] = ()
    restricted: int = 0

    @property
    def is_ending_counted(self) -> bool:
        """Whether anything that is counted on ends."""
        return any(grant.types is None for grant in self.ending)


NO_GIVEN_CREDIT: Final = GivenCredit()


def given_credit_of(account: Account, grants: Sequence[Grant], now: int) -> GivenCredit:
    """Tell what an account's money is made of, given its open grants in the order of spending.

    Paid money is spent where a grant of its priority without an end would be, after that; the credit limit last of all.
    """
    left = [grant for grant in grants if grant.left and (grant.expires_at is None or grant.expires_at > now)]
    counted = [grant for grant in left if grant.types is None]
    before = [Lot(grant.left, grant.expires_at) for grant in counted if grant.priority <= 0]
    after = [Lot(grant.left, grant.expires_at) for grant in counted if grant.priority > 0]
    lots = (*before, Lot(max(account.paid, 0)), *after, Lot(account.credit_limit + min(account.paid, 0)))
    ending = sorted(
        (grant for grant in left if grant.expires_at is not None),
        key=lambda grant: (grant.expires_at or 0, grant.number),
    )
    return GivenCredit(lots, tuple(ending), sum(grant.left for grant in left) - sum(grant.left for grant in counted))
