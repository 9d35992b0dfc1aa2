"""Reads of balances (coalesced), accounts and alerts, and the look-up of API keys."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.core.alerts import Alert
from farebox.core.commands import KeyKind
from farebox.core.state import KeyRecord
from farebox.service.clock import Clock
from farebox.service.errors import Forbidden, InvalidKey, translated, unknown_merchant
from farebox.service.insight.forecast import BurnModels, Forecast, read_forecast
from farebox.service.insight.history import History, HistoryReader
from farebox.service.people.api_keys import ParsedKey
from farebox.service.people.imported_keys import ImportedKeys
from farebox.storage.interface import Connector
from farebox.storage.records import Delivery, DeliveryState, Merchant
from farebox.storage.stores import Stores

_MAILS_AN_ALERT: Final = 100
"""How many mails are looked at for each alert."""

_log = logging.getLogger("farebox.queries")


class AccountView(Struct, frozen=True):
    """What a merchant may know of its own account."""

    merchant: Merchant
    account: Account
    forecast: Forecast


class AlertWithMails(Struct, frozen=True):
    """An alert, and the mails about it."""

    alert: Alert
    mails: Sequence[Delivery]


class Undelivered(Struct, frozen=True):
    """Users whose newest alert mail has not reached them, because something failed: each one's mail, with the reason.

    `is_nobody_told` if that is all of the users who were to be told.
    """

    mails: Sequence[Delivery]
    is_nobody_told: bool


class Balances:
    """Reads of available balances; those of the same moment become one query, which joins key and account.

    A read begins after its request came, so it is never stale. While one query runs, the next ones gather.
    """

    def __init__(self, connector: Connector, clock: Clock) -> None:
        """Read from this database."""
        self._connector = connector
        self._clock = clock
        self._waiting: list[tuple[ParsedKey, asyncio.Future[int | None]]] = []
        self._reader: asyncio.Task[None] | None = None

    async def available(self, key: ParsedKey) -> int | None:
        """Return the available micros behind a merchant's key, or None if the key opens nothing.

        Raises:
            Unavailable: the database can't be read.
        """
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="balances")
        return await future

    async def _read(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._answer(batch)
        finally:
            self._reader = None

    async def _answer(self, batch: list[tuple[ParsedKey, asyncio.Future[int | None]]]) -> None:
        keys = {(key.merchant_id or 0, key.digest) for key, _ in batch}
        try:
            with translated():
                found = await self._connector.balances(list(keys), self._clock.now())
        except Exception as error:
            _log.warning("%d balances can't be read: %s", len(batch), error)
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
        else:
            for key, future in batch:
                if not future.done():
                    future.set_result(found.get(key.digest))


class Queries:
    """Reads of accounts and books. Every method may raise Unavailable."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Read from these stores."""
        self._stores = stores
        self._clock = clock
        self._models = BurnModels()
        self._history = HistoryReader(stores.transfers, clock)
        self._imported_keys = ImportedKeys(stores.api_keys)

    async def located(self, key: ParsedKey) -> ParsedKey:
        """Return a key with its merchant, which the text of an imported one does not name.

        Raises:
            InvalidKey: no merchant has it.
        """
        return await self._imported_keys.located(key)

    async def authorize(self, key: ParsedKey, kinds: frozenset[KeyKind]) -> KeyRecord:
        """Look a key up and tell whether it may do what these kinds may.

        Raises:
            InvalidKey: unknown, revoked or expired; nothing tells these apart.
            Forbidden: a good key of another kind.
        """
        with translated():
            record = await self._stores.api_keys.authenticate(key.merchant_id, key.digest)
        if record is None or not record.is_valid_at(self._clock.now()):
            raise InvalidKey
        if record.kind not in kinds:
            raise Forbidden
        return record

    async def account(self, merchant_id: int) -> Account | None:
        """Read an account as of now; None if there is no such merchant."""
        with translated():
            return await self._stores.accounts.find(merchant_id)

    async def history(self, account: Account) -> History:
        """Read how a balance came to be what it is, over the last days."""
        return await self._history.read(account)

    async def alerts(self, merchant_id: int, limit: int) -> list[AlertWithMails]:
        """List a merchant's latest alerts, newest first, and who was mailed; without those of the operator's affair."""
        with translated():
            alerts = await self._stores.deliveries.shown_alerts(merchant_id, limit)
            mails = await self._stores.deliveries.mails(merchant_id=merchant_id, limit=limit * _MAILS_AN_ALERT)
        return [
            AlertWithMails(alert, [mail for mail in mails if mail.alert.number == alert.number]) for alert in alerts
        ]

    async def last_low_alert(self, merchant_id: int, threshold: int) -> AlertWithMails | None:
        """Find a merchant's newest alert of a threshold, and who was mailed."""
        with translated():
            alert = await self._stores.deliveries.last_low_alert(merchant_id, threshold)
            return None if alert is None else AlertWithMails(alert, await self._stores.deliveries.alert_mails(alert))

    async def undelivered(self, merchant_id: int) -> Undelivered | None:
        """Tell which users can't be mailed, those who are still registered; None if all can."""
        with translated():
            users = {user.user_id for user in await self._stores.users.list(merchant_id)}
            mails = await self._stores.deliveries.mails(merchant_id=merchant_id, limit=_MAILS_AN_ALERT)
        newest: dict[int, Delivery] = {}
        for mail in mails:
            if mail.recipient_id in users and mail.state != DeliveryState.WITHDRAWN:
                newest.setdefault(mail.recipient_id, mail)
        failing = [mail for mail in newest.values() if mail.state != DeliveryState.SENT and mail.last_error is not None]
        return Undelivered(failing, is_nobody_told=len(failing) == len(newest)) if failing else None

    async def account_view(self, merchant_id: int) -> AccountView:
        """Read a merchant, its account as of now and its runway.

        Raises:
            UnknownMerchant: no such merchant.
        """
        with translated():
            merchant = await self._stores.merchants.find(merchant_id)
            account = await self._stores.accounts.find(merchant_id)
            if merchant is None or account is None:
                raise unknown_merchant(merchant_id)
            now = self._clock.now()
            forecast = await read_forecast(self._stores, account, now, self._models)
            return AccountView(merchant, account, forecast)
