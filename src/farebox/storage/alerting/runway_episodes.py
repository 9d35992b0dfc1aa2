"""Thresholds in days left: which there are, which of them the money is near, and what was told of them."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from farebox.core.accounts import Account
from farebox.core.alerting.runway_thresholds import RunwayEpisode, look, told
from farebox.core.alerts import Alert, AlertKind
from farebox.core.audit_log import AuditEntry
from farebox.storage.interface import Connector, Fetch, NotFound
from farebox.storage.outgoing.deliveries import DeliveryStore, Facts
from farebox.storage.records import Merchant
from farebox.storage.subject import SubjectStore


class RunwayLook(Struct, frozen=True):
    """What one look at a merchant's runway saw: when the money is used up, or None, and the facts to tell of it.

    `arrived_seq` is the last transfer that brought money; 0 if there is none. Times are microseconds since 1970.
    """

    merchant_id: int
    now: int
    until: int | None
    arrived_seq: int = 0
    facts: tuple[tuple[str, Any], ...] = ()


class RunwayEpisodeStore(SubjectStore):
    """The thresholds in days of one database's merchants."""

    def __init__(self, connector: Connector) -> None:
        """Keep them in this database, with the alerts about them."""
        super().__init__(connector)
        self._deliveries = DeliveryStore(connector)

    async def list(self, merchant_id: int) -> Sequence[RunwayEpisode]:
        """List the thresholds that a merchant's money is near, ascending."""
        return [RunwayEpisode(*row) for row in await self._rows("runway_episodes", merchant_id)]

    async def set_thresholds(
        self, merchant_id: int, days: Sequence[int], audit_entry: AuditEntry | None = None
    ) -> None:
        """Replace the days left that a merchant is warned below, ascending; its runway is worked out anew soon.

        Raises:
            NotFound: no such merchant.
        """

        async def write(fetch: Fetch) -> None:
            # As tell_of does, so that a threshold that is removed is told of before or not at all.
            await fetch(self._sql["lock_account"], merchant_id)
            text = ",".join(str(item) for item in days)
            if not await fetch(self._sql["set_runway_thresholds"], merchant_id, text):
                raise NotFound(f"no merchant {merchant_id}")
            await fetch(self._sql["delete_runway_episodes_but"], merchant_id, list(days))
            await fetch(self._sql["forget_runway_snapshot"], merchant_id)

        await self._connector.run_in_transaction(write, audit_entry)

    async def tell_of(self, seen: RunwayLook) -> Alert | None:
        """Write what a look at a merchant's runway comes to, and tell of the thresholds that it is due to tell of.

        Once for each episode, however many processes look at once: what is known is read again with the account locked.
        """

        async def due(fetch: Fetch, account: Account) -> Facts | None:
            (row,) = await fetch(self._sql["merchant"], seen.merchant_id)
            episodes = [RunwayEpisode(*item) for item in await fetch(self._sql["runway_episodes"], seen.merchant_id)]
            known, days = look(
                seen.merchant_id,
                Merchant(*row).runway_days,
                episodes,
                until=seen.until,
                now=seen.now,
                arrived_seq=seen.arrived_seq,
            )
            number = account.alerts_count + 1
            kept = told(known, days, alert_number=number, seq=account.seq)
            if kept != episodes:
                await fetch(self._sql["delete_runway_episodes"], seen.merchant_id)
                for episode in kept:
                    await fetch(self._sql["insert_runway_episode"], *astuple(episode))
            return {"days": days[0], **dict(seen.facts)} if days else None

        return await self._deliveries.tell(seen.merchant_id, AlertKind.RUNWAY_SHORT, seen.now, due)
