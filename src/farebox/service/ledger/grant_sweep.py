"""Grants of credit that are due: those whose time has come start, and of those whose time is over, what is left ends.

Every command on a merchant's book settles its due grants before it is decided, so nobody can spend what is over. This
is for the books that nothing comes for.
"""

from typing import Final

from farebox.core.commands import SettleGrants
from farebox.core.outcomes import Outcome
from farebox.service.clock import Clock
from farebox.service.ledger.committer import Committer
from farebox.storage.grants import GrantStore

SWEEP_GRANTS_MAX: Final = 500


class GrantSweep:
    """Settles due grants. Several processes may do so at once: under the account's lock one settles a grant, once."""

    def __init__(
        self, grants: GrantStore, committer: Committer, clock: Clock, *, sweep_grants_max: int = SWEEP_GRANTS_MAX
    ) -> None:
        """Settle these grants through this committer, looking at so many at a time."""
        self._grants = grants
        self._committer = committer
        self._clock = clock
        self._sweep_grants_max = sweep_grants_max

    async def sweep(self) -> int:
        """Settle the books of `sweep_grants_max` grants that are due now; return how many of those were settled.

        A book is settled as a whole, whatever number of its grants was seen.
        """
        due = await self._grants.due(self._clock.now(), self._sweep_grants_max)
        merchants = list(dict.fromkeys(due))
        results = await self._committer.submit_all([SettleGrants(merchant_id) for merchant_id in merchants])
        settled = {
            merchant_id
            for merchant_id, result in zip(merchants, results, strict=True)
            if isinstance(result, Outcome) and result.is_ok
        }
        return sum(merchant_id in settled for merchant_id in due)

    async def settle_due(self) -> float | None:
        """Sweep once; return 0 seconds if more may be due, else None for the usual pause.

        Again at once only while it helps: grants that can't be settled now must not keep the database busy.
        """
        return None if await self.sweep() < self._sweep_grants_max else 0.0
