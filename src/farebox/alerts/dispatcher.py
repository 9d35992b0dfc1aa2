"""The dispatcher: takes owed mails out of the outbox, sends them, and writes down what became of each.

Every server process runs one. A claimed mail is leased: nobody else takes it until the lease ends, and if its claimer
dies it is due again then. Which mails are owed was decided with the charge; here they are only delivered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Final

from msgspec.structs import replace

from farebox.alerts.messages import LowBalance, MailSettings, low_balance_message
from farebox.alerts.smtp import PermanentFailure, TransientFailure, Transport
from farebox.core.accounts import Account
from farebox.storage.interface import StorageError, Store
from farebox.storage.rows import MailState, OutboxMail

CLAIM_MAILS_MAX: Final = 20
SENDING_MAX: Final = 5
SEND_SECONDS_MAX: Final = 120
"""How long one mail may take in all, however slowly the mail server answers."""

LEASE_SECONDS: Final = 900
"""Longer than sending CLAIM_MAILS_MAX mails, SENDING_MAX at once, can take, so that no mail is claimed twice."""

POLL_SECONDS: Final = 1.0
BACKOFF_SECONDS_MIN: Final = 60
BACKOFF_SECONDS_MAX: Final = 3_600
ATTEMPTS_MAX: Final = 78
"""Six attempts in the first hour, then hourly: three days in all before a mail is given up."""

_ERROR_CHARS_MAX: Final = 500
_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.alerts")


def backoff_seconds(attempts: int) -> int:
    """Tell how long to wait after this many failed attempts: a minute, doubled each time, up to an hour."""
    return min(BACKOFF_SECONDS_MIN << min(attempts - 1, 10), BACKOFF_SECONDS_MAX)


class Dispatcher:
    """Sends the mails of one store's outbox through one transport."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        settings: MailSettings,
        *,
        now: Callable[[], int],
        describe_runway: Callable[[Account, int], Awaitable[str | None]],
        send_seconds_max: float = SEND_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            store: whose outbox it is.
            transport: takes each mail to its recipient.
            settings: what the mails say of the operator.
            now: tells the time, microseconds since 1970.
            describe_runway: says how long an account lasts, in words; None if it does not burn.
            send_seconds_max: how long one mail may take in all.
        """
        self._store = store
        self._transport = transport
        self._settings = settings
        self._now = now
        self._describe_runway = describe_runway
        self._send_seconds_max = send_seconds_max

    async def run(self) -> None:
        """Send what falls due, until cancelled; a database or mail server that is away is waited for."""
        while True:
            try:
                claimed = await self.run_once()
            except StorageError as error:
                _log.warning("the outbox can't be read now: %s", error)
                claimed = 0
            except Exception:
                _log.exception("a round of mails failed")
                claimed = 0
            if claimed < CLAIM_MAILS_MAX:
                await asyncio.sleep(POLL_SECONDS)

    async def run_once(self) -> int:
        """Claim and send what is due now, CLAIM_MAILS_MAX at most; return how many were claimed."""
        now = self._now()
        due = await self._store.next_mail_at()
        if due is None or due > now:
            return 0
        lease_until = now + LEASE_SECONDS * _MICROS_PER_SECOND
        mails = await self._store.claim_mails(now, lease_until=lease_until, limit=CLAIM_MAILS_MAX)
        places = asyncio.Semaphore(SENDING_MAX)
        await asyncio.gather(*[self._deliver(mail, places) for mail in mails])
        return len(mails)

    async def _deliver(self, mail: OutboxMail, places: asyncio.Semaphore) -> None:
        """Send one mail and settle it; whatever goes wrong with it is its own affair."""
        async with places:
            try:
                message = await self._message(mail)
                async with asyncio.timeout(self._send_seconds_max):
                    await self._transport.send(message, mail.email)
            except PermanentFailure as error:
                settled = _failed(mail, MailState.GIVEN_UP, str(error), self._now())
            except TransientFailure as error:
                settled = _failed(mail, MailState.WAITING, str(error), self._now())
            except TimeoutError:
                settled = _failed(mail, MailState.WAITING, "the mail server took too long", self._now())
            except StorageError:
                raise
            except Exception as error:
                _log.exception("the mail to %s can't be written", mail.email)
                settled = _failed(mail, MailState.WAITING, f"{type(error).__name__}: {error}", self._now())
            else:
                settled = replace(mail, state=MailState.SENT, sent_at=self._now(), last_error=None)
                _log.info("told %s: %s", mail.email, message["Subject"])
        await self._store.settle_mail(settled)

    async def _message(self, mail: OutboxMail) -> EmailMessage:
        """Write the mail, with the balance and runway of now: a mail that was held up must not tell old news."""
        merchant_id = mail.alert.merchant_id
        merchant = await self._store.merchant(merchant_id)
        account = await self._store.account(merchant_id)
        if merchant is None or account is None:
            raise LookupError(f"the alert's merchant {merchant_id} is gone")
        seq = mail.alert.transfer_seq
        transfer = None if seq is None else (await self._store.transfers_at(merchant_id, [seq])).get(seq)
        subject = LowBalance(
            mail=mail,
            merchant=merchant,
            currency=account.currency,
            available=account.available,
            transfer=transfer,
            runway=await self._describe_runway(account, self._now()),
        )
        return low_balance_message(subject, self._settings)


def _failed(mail: OutboxMail, state: MailState, reason: str, now: int) -> OutboxMail:
    """Write down a failure and when to try again; after ATTEMPTS_MAX the mail is given up."""
    if mail.attempts >= ATTEMPTS_MAX:
        state = MailState.GIVEN_UP
    _log.warning("the mail to %s was not sent: %s", mail.email, reason)
    wait = backoff_seconds(mail.attempts) * _MICROS_PER_SECOND
    return replace(mail, state=state, next_attempt_at=now + wait, last_error=reason[:_ERROR_CHARS_MAX])
