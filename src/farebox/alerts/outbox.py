"""The alerts' outbox as a bag of mails: one for each alert and registered user."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from email.message import EmailMessage

from farebox.alerts.messages import LowBalance, MailSettings, low_balance_message
from farebox.core import ids
from farebox.core.accounts import Account
from farebox.storage.interface import StorageError, Store
from farebox.storage.rows import OutboxMail

_log = logging.getLogger("farebox.alerts")


class Outbox:
    """The alert mails of one store."""

    def __init__(
        self,
        store: Store,
        settings: MailSettings,
        *,
        now: Callable[[], int],
        describe_runway: Callable[[Account, int], Awaitable[str | None]],
    ) -> None:
        """Prepare.

        Args:
            store: whose outbox it is.
            settings: what the mails say of the operator.
            now: tells the time, microseconds since 1970.
            describe_runway: says how long an account lasts, in words; None if it does not burn.
        """
        self._store = store
        self._settings = settings
        self._now = now
        self._describe_runway = describe_runway

    async def next_at(self) -> int | None:
        """When the next mail falls due."""
        return await self._store.next_mail_at()

    async def claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[OutboxMail]:
        """Take mails that are due."""
        return await self._store.claim_mails(now, lease_until=lease_until, limit=limit)

    async def settle(self, mail: OutboxMail) -> None:
        """Write what became of a claimed mail."""
        await self._store.settle_mail(mail)

    def name(self, mail: OutboxMail) -> str:
        """Name a mail by its alert."""
        return ids.book_id(ids.ALERT, merchant_id=mail.alert.merchant_id, seq=mail.alert.number)

    async def compose(self, mail: OutboxMail) -> EmailMessage:
        """Write the mail, with the balance and runway of now."""
        merchant_id = mail.alert.merchant_id
        merchant = await self._store.merchant(merchant_id)
        account = await self._store.account(merchant_id)
        if merchant is None or account is None:
            raise LookupError(f"the alert's merchant {merchant_id} is gone")
        seq = mail.alert.transfer_seq
        transfer = None if seq is None else (await self._store.transfers_at(merchant_id, [seq]))[seq]
        try:
            runway = await self._describe_runway(account, self._now())
        except StorageError:
            raise
        except Exception:
            # The warning matters more than the forecast in it.
            _log.exception("%s goes without a runway", self.name(mail))
            runway = None
        subject = LowBalance(mail=mail, merchant=merchant, account=account, transfer=transfer, runway=runway)
        return low_balance_message(subject, self._settings)
