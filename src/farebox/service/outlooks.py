"""Each merchant's prospects, worked out behind the charges' backs, so that the console can sort many merchants by them.

A merchant whose book moved is looked at again after MOVED_SECONDS, any other after OLD_SECONDS, since a runway changes
with the time alone. The balance that counts is the account's; prospects say when it is likely to be used up.
"""

import asyncio
import logging
from typing import Final

from farebox.service.clock import Clock
from farebox.service.forecast import read_runway
from farebox.storage.interface import StorageError, Store
from farebox.storage.office import Office
from farebox.storage.rows import Outlook

MOVED_SECONDS: Final = 60
OLD_SECONDS: Final = 6 * 3600
LOOK_SECONDS: Final = 5.0
"""How often to look for merchants whose prospects are stale."""

BATCH_MERCHANTS: Final = 50
PAUSE_SECONDS: Final = 0.02
"""How long to leave the database to others after each merchant."""

_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.outlooks")


class Outlooks:
    """Keeps merchants' prospects up to date."""

    def __init__(self, store: Store, office: Office, clock: Clock) -> None:
        """Read from this store and write to this office."""
        self._store = store
        self._office = office
        self._clock = clock

    async def run(self) -> None:
        """Work out what is stale, until cancelled; a database that is away is waited for."""
        while True:
            try:
                while await self.run_once():
                    pass
            except StorageError as error:
                _log.warning("merchants' prospects wait: %s", error)
            except Exception:
                _log.exception("merchants' prospects can't be worked out")
            await asyncio.sleep(LOOK_SECONDS)

    async def run_once(self) -> int:
        """Work out the prospects of some merchants whose own are stale; return of how many.

        Raises:
            StorageError: the database is away.
        """
        now = self._clock.now()
        stale = await self._office.stale_outlooks(
            -1,
            moved_before=now - MOVED_SECONDS * _MICROS_PER_SECOND,
            old_before=now - OLD_SECONDS * _MICROS_PER_SECOND,
            limit=BATCH_MERCHANTS,
        )
        found = []
        for merchant_id in stale:
            account = await self._store.account(merchant_id)
            if account is not None:
                runway = await read_runway(self._store, account, now)
                until, burn = (None, None) if runway is None else (runway.until, runway.burn_per_day)
                found.append(Outlook(merchant_id, account.seq, account.available, account.last_at, until, burn, now))
            await asyncio.sleep(PAUSE_SECONDS)
        if found:
            await self._office.put_outlooks(found)
        return len(found)
