"""What the console shows: merchants in an order or by search, mails owed, and how much there is."""

from collections.abc import Iterable, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.core import audit_log, ids
from farebox.core.accounts import Account
from farebox.core.audit_log import Action
from farebox.core.permissions import Operation
from farebox.core.transfers import Transfer
from farebox.service import parsing
from farebox.service.clock import Clock
from farebox.service.errors import Missing, translated
from farebox.service.insight.burn_model import DAY
from farebox.service.insight.forecast import Runway, runway_at, spendable_of, until_at
from farebox.service.insight.runway_words import days_left
from farebox.service.people.api_keys import Principal
from farebox.storage.records import (
    AccountMail,
    Counts,
    Delivery,
    DeliveryState,
    MailServerPause,
    Merchant,
    MerchantOrder,
    Purpose,
    RunwaySnapshot,
)
from farebox.storage.stores import Stores

__all__ = [
    "AccountMail",
    "ConsoleQueries",
    "Delivery",
    "DeliveryState",
    "MailServerPause",
    "MerchantOrder",
    "MerchantRow",
    "Purpose",
]

SOON_DAYS: Final = 7
"""Those whose money is used up, or will be within so many days, come first."""

RETURNS_MAX: Final = 50
"""How many refunds or reversals of one transfer are read: the newest."""

OUTBOX_ROWS_MAX: Final = 1_000
"""How many mails, and how many account mails, are looked at: the newest."""


class MerchantRow(Struct, frozen=True):
    """A merchant in a list, its account as of now, and its runway snapshot."""

    merchant: Merchant
    account: Account
    runway_snapshot: RunwaySnapshot | None

    def runway(self, now: int) -> Runway | None:
        """Tell how long the money of now lasts at the burn last worked out; None if nothing is being spent."""
        snapshot = self.runway_snapshot
        if snapshot is None or not snapshot.burn_per_day:
            return None
        runway = runway_at(snapshot.burn_per_day, spendable=spendable_of(self.account), now=now)
        if not self.account.given or snapshot.runs_out_at is None:
            return runway
        # Credit that ends is not counted on after its end: what was worked out with that goes on with what came or went
        # beyond the burn since.
        burnt = snapshot.burn_per_day * (now - snapshot.computed_at) // DAY
        beyond = self.account.available - (snapshot.available - burnt)
        until = snapshot.runs_out_at + beyond * DAY // snapshot.burn_per_day
        return until_at(runway, max(until, now))


class Returns(Struct, frozen=True):
    """The newest refunds or reversals of a transfer, and how much of it is left to give back, in micros."""

    transfers: Sequence[Transfer]
    left: int


class Outgoing(Struct, frozen=True):
    """The newest mails and account mails that were owed, newest first."""

    mails: Sequence[Delivery]
    account_mails: Sequence[AccountMail]


class ConsoleQueries:
    """Reads for the console. Every method may raise Unavailable and, if it writes, FateUnknown."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Read from these."""
        self._stores = stores
        self._clock = clock

    def now(self) -> int:
        """Tell the time, microseconds since 1970."""
        return self._clock.now()

    async def merchants(self, order: MerchantOrder, *, limit: int, offset: int) -> list[MerchantRow]:
        """List merchants in an order. Those that spend nothing never run out, and are not in RUNS_OUT."""
        with translated():
            return await self._rows(await self._stores.merchants.in_order(order, limit=limit, offset=offset))

    async def soon(self, limit: int, zone: ZoneInfo, *, beside: Sequence[MerchantRow] = ()) -> list[MerchantRow]:
        """List those whose money is used up or runs out within SOON_DAYS on a calendar of the zone, the soonest first.

        Who they are is told by the money of now, so a charge or a top-up counts at once. The merchants `beside` them on
        the page may have been read a moment later; each is looked at, so that no two rows contradict each other.
        """
        now = self._clock.now()
        listed = await self.merchants(MerchantOrder.RUNS_OUT, limit=limit, offset=0)
        soon: dict[int, tuple[int, MerchantRow]] = {}
        for row in (*listed, *beside):
            runway = row.runway(now)
            if runway is None:
                continue
            days = days_left(runway, runway.until, zone)
            if days is not None and days <= SOON_DAYS:
                soon[row.merchant.merchant_id] = (runway.until, row)
        ordered = sorted(soon.items(), key=lambda item: (item[1][0], item[0]))
        return [row for _, (_, row) in ordered[:limit]]

    async def search(self, text: str, *, limit: int, offset: int) -> list[MerchantRow]:
        """List merchants whose name or people's addresses hold a text, newest first."""
        with translated():
            return await self._rows(await self._stores.merchants.search(text, limit=limit, offset=offset))

    async def with_tag(self, tag: str, *, limit: int, offset: int) -> list[MerchantRow]:
        """List merchants that have a tag, newest first."""
        with translated():
            return await self._rows(await self._stores.merchants.with_tag(tag, limit=limit, offset=offset))

    async def merchants_of(self, merchant_ids: Iterable[int]) -> dict[int, MerchantRow]:
        """Read these merchants, by their numbers; one that is gone is absent."""
        with translated():
            rows = await self._rows(sorted(set(merchant_ids)))
        return {row.merchant.merchant_id: row for row in rows}

    async def names(self, merchant_ids: Iterable[int | None]) -> dict[int, str]:
        """Look merchants' names up; one that is gone goes by its id."""
        wanted = sorted({merchant_id for merchant_id in merchant_ids if merchant_id is not None})
        with translated():
            names = await self._stores.merchants.names(wanted)
        return {merchant_id: ids.public_id(ids.MERCHANT, merchant_id) for merchant_id in wanted} | dict(names)

    async def transfer(self, merchant_id: int, text: str) -> tuple[Transfer, Transfer | None]:
        """Read a transfer of a merchant's by its id, and the one that it refers to.

        Raises:
            Missing: the merchant has none of this id.
        """
        try:
            owner, seq = parsing.parse_book_id(ids.TRANSFER, text)
        except parsing.InvalidId as error:
            raise Missing("no transfer has this id") from error
        with translated():
            found = await self._stores.transfers.at(merchant_id, [seq]) if owner == merchant_id else {}
            if seq not in found:
                raise Missing("no transfer has this id")
            refers_to = found[seq].refers_to
            others = {} if refers_to is None else await self._stores.transfers.at(merchant_id, [refers_to])
        return found[seq], None if refers_to is None else others.get(refers_to)

    async def returns(self, transfer: Transfer) -> Returns:
        """Read what was given back of a transfer, and how much of it is left."""
        transfers = self._stores.transfers
        with translated():
            newest = await transfers.returns_of(transfer.merchant_id, transfer.seq, RETURNS_MAX)
            returned = await transfers.returned_of(transfer.merchant_id, transfer.seq)
        return Returns(newest, transfer.amount - returned)

    async def outgoing(self, merchant_id: int | None = None) -> Outgoing:
        """List the newest mails, of one merchant or of all with None, and account mails."""
        with translated():
            mails = await self._stores.deliveries.mails(merchant_id=merchant_id, limit=OUTBOX_ROWS_MAX)
            return Outgoing(mails, await self._stores.account_mails.list(OUTBOX_ROWS_MAX))

    async def mails(self, merchant_id: int | None, limit: int) -> list[Delivery | AccountMail]:
        """List the newest mails of both kinds, of one merchant or of all with None, newest first."""
        outgoing = await self.outgoing(merchant_id)
        alerts: list[tuple[int, Delivery | AccountMail]] = [(mail.alert.fired_at, mail) for mail in outgoing.mails]
        accounts = [
            (mail.created_at, mail) for mail in outgoing.account_mails if merchant_id in (None, mail.merchant_id)
        ]
        newest_first = sorted((*alerts, *accounts), key=lambda mail: mail[0], reverse=True)
        return [mail for _, mail in newest_first[:limit]]

    async def mail_server_pause(self, server: str) -> MailServerPause | None:
        """Tell until when the mail server is given up, and why; None if it took the last mail."""
        with translated():
            return await self._stores.mail_servers.find(server)

    async def retry(self, *, principal: Principal) -> int:
        """Make every mail and account mail that is not sent due now, by a server that works; return how many.

        Raises:
            Forbidden: this principal only reads.
        """
        principal.ensure_may(Operation.RUN_SERVER)
        now = self._clock.now()
        with translated():
            await self._stores.mail_servers.resume_all()
            count = await self._stores.deliveries.retry_mails(now) + await self._stores.account_mails.retry(now)
            await self._stores.audit_log.append(
                audit_log.audit_entry(
                    principal.actor(), merchant_id=None, at=now, action=Action.RETRY_MAILS, detail=str(count)
                )
            )
        return count

    async def counts(self) -> Counts:
        """Count what is there."""
        with translated():
            return await self._stores.merchants.counts()

    async def note_look(self, merchant_id: int, *, principal: Principal) -> None:
        """Write down that somebody looks at a merchant's account as its people see it."""
        subject = ids.public_id(ids.MERCHANT, merchant_id)
        audit_entry = audit_log.audit_entry(
            principal.actor(),
            merchant_id=merchant_id,
            at=self._clock.now(),
            action=Action.LOOK_AS_MERCHANT,
            subject=subject,
        )
        with translated():
            await self._stores.audit_log.append(audit_entry)

    async def _rows(self, merchant_ids: Sequence[int]) -> list[MerchantRow]:
        return [MerchantRow(*parts) for parts in await self._stores.merchants.with_accounts(merchant_ids)]
