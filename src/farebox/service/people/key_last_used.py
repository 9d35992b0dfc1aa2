"""When each API key was last used, to the minute or so: noted in memory, written down once in a while.

A use costs the charge path one entry in a set. What a killed process had not written down yet is lost: such a key seems
unused for up to WRITE_SECONDS longer than it was.
"""

from typing import Final

from farebox.service.clock import Clock
from farebox.service.people.api_keys import ParsedKey
from farebox.storage.api_keys import ApiKeyStore

WRITE_SECONDS: Final = 30.0
KEYS_MAX: Final = 10_000
"""How many keys are noted between two writings; the uses of others go unnoted."""

_BATCH_KEYS: Final = 200


class LastUsed:
    """Notes the use of API keys."""

    def __init__(self, api_keys: ApiKeyStore, clock: Clock) -> None:
        """Write to this store."""
        self._api_keys = api_keys
        self._clock = clock
        self._noted: set[tuple[int | None, bytes]] = set()

    def note(self, key: ParsedKey) -> None:
        """Note that a key opened something."""
        if len(self._noted) < KEYS_MAX:
            self._noted.add((key.merchant_id, key.digest))

    async def write(self) -> None:
        """Write down what was noted.

        Raises:
            StorageError: the database is away; what was noted is kept.
        """
        now = self._clock.now()
        while self._noted:
            batch = [self._noted.pop() for _ in range(min(_BATCH_KEYS, len(self._noted)))]
            try:
                await self._api_keys.note_use(batch, now)
            except BaseException:
                self._noted.update(batch)
                raise
