"""Spending: what merchants spend at most in five minutes, and those that spent far more than is usual for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import astuple

from farebox.core.accounts import Account
from farebox.core.alerts import Alert, AlertKind
from farebox.storage.interface import Connector, Fetch
from farebox.storage.outgoing.deliveries import DeliveryStore, Facts
from farebox.storage.outgoing.staff_mails import owe_staff
from farebox.storage.records import Purpose, SpendingPeak, UnusualSpending
from farebox.storage.subject import SubjectStore


class SpendingStore(SubjectStore):
    """What the merchants of one database spend at most."""

    def __init__(self, connector: Connector) -> None:
        """Keep it in this database, with the alerts about it."""
        super().__init__(connector)
        self._deliveries = DeliveryStore(connector)

    async def peaks(self, merchant_ids: Sequence[int], *, first_day: int) -> Sequence[SpendingPeak]:
        """List what merchants spent at most in five minutes of each day from one on, in order of merchant and day."""
        rows = await self._rows("spending_peaks", list(merchant_ids), first_day)
        return [SpendingPeak(*row) for row in rows]

    async def put_peaks(self, peaks: Sequence[SpendingPeak], *, keep_days: int) -> None:
        """Write what merchants spent at most in five minutes of a day, where that is more than is written.

        Days of these merchants that are more than `keep_days` older than the latest of them are forgotten.
        """

        async def put(fetch: Fetch) -> None:
            # In one order in every process, so that two of them never wait for each other.
            for peak in sorted(peaks, key=lambda peak: (peak.merchant_id, peak.day)):
                await fetch(self._sql["put_spending_peak"], *astuple(peak))
            merchant_ids = sorted({peak.merchant_id for peak in peaks})
            await fetch(self._sql["forget_spending_peaks"], merchant_ids, max(peak.day for peak in peaks) - keep_days)

        if peaks:
            await self._connector.run_in_transaction(put)

    async def by_key(self, merchant_id: int, *, first_seq: int, last_seq: int) -> Sequence[tuple[int | None, int]]:
        """Sum up what a stretch of a book took for each API key, the largest first; it reads the whole stretch."""
        return [(row[0], row[1]) for row in await self._rows("spent_by_key", merchant_id, first_seq, last_seq)]

    async def find(self, merchant_id: int) -> UnusualSpending | None:
        """Read the last time that a merchant spent far more than is usual for it."""
        row = await self._row("unusual_spending", merchant_id)
        return None if row is None else UnusualSpending(*row)

    async def seen_since(self, at: int, *, limit: int) -> Sequence[UnusualSpending]:
        """List merchants that were seen to spend far more than is usual for them, the latest first."""
        return [UnusualSpending(*row) for row in await self._rows("unusual_spending_since", at, limit)]

    async def see(self, merchant_id: int, at: int) -> None:
        """Write that a merchant still spends far more than is usual for it."""
        await self._write("see_unusual_spending", merchant_id, at)

    async def tell(
        self, merchant_id: int, facts: Mapping[str, Any], *, key_id: int | None, now: int, quiet_since: int
    ) -> Alert | None:
        """Tell that a merchant spends far more than is usual, unless it was seen to after `quiet_since`.

        Once for each episode, however many processes see it at once. Staff who may suspend a key are warned by mail.
        """

        async def due(fetch: Fetch, account: Account) -> Facts | None:
            found = await fetch(self._sql["unusual_spending"], merchant_id)
            if found and UnusualSpending(*found[0]).seen_at >= quiet_since:
                return None
            row = UnusualSpending(merchant_id, account.alerts_count + 1, key_id, now, now)
            await fetch(self._sql["put_unusual_spending"], *astuple(row))
            await owe_staff(
                fetch, self._sql, Purpose.UNUSUAL_SPENDING, about=merchant_id, merchant_id=merchant_id, now=now
            )
            return facts

        return await self._deliveries.tell(merchant_id, AlertKind.UNUSUAL_SPENDING, now, due)
