"""Hold expiry: gives the money of holds back whose time is over, whoever else is doing the same."""

import asyncio
import logging
from typing import Final

from farebox.core.commands import ExpireHold
from farebox.core.outcomes import Outcome
from farebox.service.clock import Clock
from farebox.service.errors import ServiceError
from farebox.service.ledger.committer import Committer
from farebox.storage.interface import StorageError, Store

SWEEP_SECONDS: Final = 0.5
SWEEP_HOLDS_MAX: Final = 500

_log = logging.getLogger("farebox.expiry")


class Expiry:
    """Sweeps due holds. Several processes may sweep at once: under the account's lock one expires a hold, once."""

    def __init__(self, store: Store, committer: Committer, clock: Clock) -> None:
        """Sweep this store through this committer."""
        self._store = store
        self._committer = committer
        self._clock = clock

    async def sweep(self) -> int:
        """Expire what is due now, SWEEP_HOLDS_MAX at most; return how many holds were expired."""
        holds = await self._store.due_holds(self._clock.now(), SWEEP_HOLDS_MAX)
        results = await self._committer.submit_all([ExpireHold(hold.merchant_id, hold.seq) for hold in holds])
        return sum(isinstance(result, Outcome) and result.is_ok for result in results)

    async def run(self) -> None:
        """Sweep until cancelled; a database that is away is waited for."""
        while True:
            try:
                expired = await self.sweep()
            except (StorageError, ServiceError) as error:
                _log.warning("no sweep of holds this time: %s", error)
                expired = 0
            except Exception:
                _log.exception("a sweep of holds failed")
                expired = 0
            # At once again only while it helps: holds that can't be expired now must not keep the database busy.
            if expired < SWEEP_HOLDS_MAX:
                await asyncio.sleep(SWEEP_SECONDS)
