"""What this process committed last, to notice a database that went back to an earlier time.

A backup that is put in place of a database under a running server knows nothing of what was acknowledged since. What a
process has committed itself must be in whatever it finds later, or nothing more is acknowledged.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from farebox.core.accounts import Account
from farebox.core.state import Decision
from farebox.core.transfers import Transfer
from farebox.storage.interface import StoreReplaced

ACCOUNTS_MAX: Final = 10_000
"""How many accounts a process remembers, those that it changed last."""

TRANSFERS_MAX: Final = 32
"""How many transfers a process remembers, one of each batch: more than it has connections. Of so many batches, at least
one stands in the database's log behind every batch that was acknowledged before them."""


class LastCommitted:
    """The accounts that this process changed last, as they were then, and one transfer of each of its last batches."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._accounts: dict[int, Account] = {}
        self._transfers: deque[Transfer] = deque(maxlen=TRANSFERS_MAX)

    def forget(self) -> None:
        """Remember nothing any more."""
        self._accounts.clear()
        self._transfers.clear()

    @property
    def transfers(self) -> list[Transfer]:
        """One transfer of each of the last batches."""
        return list(self._transfers)

    def note(self, decision: Decision) -> None:
        """Remember a batch that was committed."""
        known = self._accounts
        for account in decision.accounts:
            # One that is remembered anew goes to the end of the line.
            known.pop(account.merchant_id, None)
            known[account.merchant_id] = account
        while len(known) > ACCOUNTS_MAX:
            del known[next(iter(known))]
        if decision.transfers:
            self._transfers.append(decision.transfers[-1])

    def check(self, merchant_ids: Iterable[int], accounts: Mapping[int, Account]) -> None:
        """See that these merchants' accounts, read under lock, are no older than they are remembered.

        Raises:
            StoreReplaced: one is older, or gone.
        """
        if self.is_ahead_of(merchant_ids, accounts):
            raise StoreReplaced("the database went back to an earlier time: what was committed to it is gone")

    def is_ahead_of(self, merchant_ids: Iterable[int], accounts: Mapping[int, Account]) -> bool:
        """Whether one of these merchants' accounts is older than it is remembered, or gone."""
        for merchant_id in merchant_ids:
            known = self._accounts.get(merchant_id)
            if known is not None:
                account = accounts.get(merchant_id)
                if account is None or account.seq < known.seq or _differs(account, known):
                    return True
        return False


def _differs(account: Account, known: Account) -> bool:
    return account.seq == known.seq and account.last_hash != known.last_hash
