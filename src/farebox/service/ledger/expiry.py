"""Hold expiry: gives back the money of holds whose time is over."""

from typing import Final

from farebox.core.commands import ExpireHold
from farebox.core.outcomes import Outcome
from farebox.service.clock import Clock
from farebox.service.ledger.committer import Committer
from farebox.storage.holds import HoldStore

SWEEP_SECONDS: Final = 0.5
SWEEP_HOLDS_MAX: Final = 500


class Expiry:
    """Sweeps due holds. Several processes may sweep at once: under the account's lock one expires a hold, once."""

    def __init__(
        self, holds: HoldStore, committer: Committer, clock: Clock, *, sweep_holds_max: int = SWEEP_HOLDS_MAX
    ) -> None:
        """Sweep these holds through this committer, so many at a time."""
        self._holds = holds
        self._committer = committer
        self._clock = clock
        self._sweep_holds_max = sweep_holds_max

    async def sweep(self) -> int:
        """Expire what is due now, `sweep_holds_max` at most; return how many holds were expired."""
        holds = await self._holds.due(self._clock.now(), self._sweep_holds_max)
        results = await self._committer.submit_all([ExpireHold(hold.merchant_id, hold.seq) for hold in holds])
        return sum(isinstance(result, Outcome) and result.is_ok for result in results)

    async def expire_due(self) -> float | None:
        """Sweep once; return 0 seconds if more may be due, else None for the usual pause.

        Again at once only while it helps: holds that can't be expired now must not keep the database busy.
        """
        return None if await self.sweep() < self._sweep_holds_max else 0.0
