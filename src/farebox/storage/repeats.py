"""Repeats: what requests made, by the idempotency keys that their callers gave them."""

from farebox.storage.interface import Fetch
from farebox.storage.records import REPEATS_KEPT_MICROS, Repeat
from farebox.storage.subject import SubjectStore


class RepeatStore(SubjectStore):
    """What requests made, in one database."""

    async def claim(self, repeat: Repeat) -> None:
        """Use an idempotency key up for what makes nothing in a transaction of its own.

        Raises:
            Repeated: it was used.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)

        await self._connector.run_in_transaction(write)

    async def find(self, key_id: int, idempotency_key: str, now: int) -> Repeat | None:
        """Read what a request made, unless it is too long ago."""
        row = await self._row("find_repeat", key_id, idempotency_key, now - REPEATS_KEPT_MICROS)
        return None if row is None else Repeat(*row)

    async def forget(self, now: int) -> None:
        """Remove what is too long ago to be repeated."""
        await self._write("forget_repeats", now - REPEATS_KEPT_MICROS)
