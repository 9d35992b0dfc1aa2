"""Figures of the whole ledger for monitoring: each costs the same, however much there is in the ledger."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from farebox.core.thresholds import Threshold
from farebox.storage.destination_records import Channel
from farebox.storage.subject import SubjectStore

ENDS_ROWS: Final = 500
"""Among so many that are due first, and as many that are due last, the oldest is looked for."""

WAITING_MAX: Final = 10_000
"""How far deliveries that wait are counted."""

OPEN_HOLDS_MAX: Final = 100_000
"""How far open holds are counted."""

_THRESHOLDS: Final = msgspec.json.Decoder(tuple[Threshold, ...])


class Waiting(Struct, frozen=True):
    """What waits for a channel: how many, counted to WAITING_MAX, and when the oldest happened."""

    count: int
    oldest_at: int | None


class OpenHoldFigures(Struct, frozen=True):
    """The open holds: how many, counted to OPEN_HOLDS_MAX, when the oldest was made, and when the first one ends."""

    count: int
    oldest_at: int | None
    first_end_at: int | None


class LastVerification(Struct, frozen=True):
    """When the last verification of the whole ledger ended, and how many problems it found."""

    finished_at: int
    problems: int


class Standby(Struct, frozen=True):
    """A standby of the database's server, and how far it is behind."""

    name: str
    lag_micros: int
    lag_bytes: int


class RiskRow(Struct, frozen=True):
    """What tells whether a merchant's balance is at risk."""

    merchant_id: int
    is_closed: bool
    is_below_threshold: bool
    is_exhausted: bool
    """Whether nothing can be spent any more, of one that had money."""


class FigureStore(SubjectStore):
    """The figures of one database."""

    async def waiting(self, channel: Channel) -> Waiting:
        """Tell what alerts owe by a channel."""
        ((oldest_at,),) = await self._rows("oldest_event", channel, ENDS_ROWS)
        ((count,),) = await self._rows("waiting_events", channel, WAITING_MAX)
        return Waiting(count, oldest_at)

    async def waiting_account_mails(self) -> Waiting:
        """Tell which account mails are owed."""
        ((oldest_at,),) = await self._rows("oldest_account_mail", ENDS_ROWS)
        ((count,),) = await self._rows("waiting_account_mails", WAITING_MAX)
        return Waiting(count, oldest_at)

    async def open_holds(self) -> OpenHoldFigures:
        """Tell how many holds are open, and how old they are."""
        ((count, first_end_at),) = await self._rows("open_holds_figures", OPEN_HOLDS_MAX)
        ((oldest_at,),) = await self._rows("oldest_hold", ENDS_ROWS)
        return OpenHoldFigures(count, oldest_at, first_end_at)

    async def last_verification(self) -> LastVerification | None:
        """Read the last verification that ended; None if none has."""
        row = await self._row("last_verification")
        return None if row is None else LastVerification(*row)

    async def standbys(self) -> Sequence[Standby]:
        """List the standbys that the database's server shows."""
        return [Standby(*row) for row in await self._rows("replication")]

    async def risks(self, after: int, limit: int) -> Sequence[RiskRow]:
        """Tell which of the merchants above `after`, in order, are at risk."""
        return [
            RiskRow(
                merchant_id=merchant_id,
                is_closed=closed_at is not None,
                is_below_threshold=seq > 0
                and any(wallet + held < each.amount for each in _THRESHOLDS.decode(thresholds)),
                is_exhausted=seq > 0 and wallet + credit_limit <= 0,
            )
            for merchant_id, wallet, held, credit_limit, seq, closed_at, thresholds in await self._rows(
                "accounts_after", after, limit
            )
        ]
