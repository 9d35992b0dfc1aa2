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

from farebox.alerts.addresses import InvalidAddress, one_line
from farebox.alerts.messages import InvalidSender, LowBalance, MailSettings, low_balance_message
from farebox.alerts.smtp import PermanentFailure, TransientFailure, Transport
from farebox.core import ids
from farebox.core.accounts import Account
from farebox.storage.interface import NotFound, StorageError, Store
from farebox.storage.rows import MailState, OutboxMail

SENDING_MAX: Final = 10
"""How many mails are on their way at once, and so how many are claimed at once: none waits while its lease runs."""

SEND_SECONDS_MAX: Final = 120.0
"""How long one mail may take in all, however slowly the mail server answers."""

LEASE_SECONDS: Final = 600
"""Longer than SEND_SECONDS_MAX by enough to write down what became of a mail while the database comes back."""

POLL_SECONDS: Final = 1.0
"""How often to look for mails that other processes owe, and for a database that is away."""

STOP_SECONDS_MAX: Final = 5.0
"""How long a stop waits for mails that are on their way; what is not through by then is due again at once."""

BACKOFF_SECONDS_MIN: Final = 60
BACKOFF_SECONDS_MAX: Final = 3_600
ATTEMPTS_MAX: Final = 78
"""Seven attempts in the first hour, then one an hour: three days before a mail is given up."""

_BACKOFF_DOUBLINGS_MAX: Final = 6
_ERROR_CHARS_MAX: Final = 500
_MICROS_PER_SECOND: Final = 1_000_000

_log = logging.getLogger("farebox.alerts")


def backoff_seconds(attempts: int) -> int:
    """Tell how long to wait after this many failed attempts: a minute, doubled each time, up to an hour."""
    return min(BACKOFF_SECONDS_MIN << min(attempts - 1, _BACKOFF_DOUBLINGS_MAX), BACKOFF_SECONDS_MAX)


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
        poll_seconds: float = POLL_SECONDS,
        stop_seconds_max: float = STOP_SECONDS_MAX,
    ) -> None:
        """Prepare.

        Args:
            store: whose outbox it is.
            transport: takes each mail to its recipient.
            settings: what the mails say of the operator.
            now: tells the time, microseconds since 1970.
            describe_runway: says how long an account lasts, in words; None if it does not burn.
            send_seconds_max: how long one mail may take in all; well below LEASE_SECONDS.
            poll_seconds: how often to look for mails that are due.
            stop_seconds_max: how long a stop waits for mails that are on their way.
        """
        self._store = store
        self._transport = transport
        self._settings = settings
        self._now = now
        self._describe_runway = describe_runway
        self._send_seconds_max = send_seconds_max
        self._poll_seconds = poll_seconds
        self._stop_seconds_max = stop_seconds_max
        self._is_store_away = False

    async def run(self) -> None:
        """Send what falls due, until cancelled; a database or mail server that is away is waited for.

        A mail that takes long holds up one of SENDING_MAX places, and nothing else.
        """
        sending: set[asyncio.Task[None]] = set()
        try:
            while True:
                pause = await self._start_due(sending)
                await self._wait(sending, pause)
        finally:
            await self._stop(sending)

    async def run_once(self) -> int:
        """Send what is due now, SENDING_MAX mails at most; return how many were tried, 0 when nothing is due.

        Raises:
            StoreUnavailable: the outbox can't be read.
        """
        mails, lease_until = await self._claim(SENDING_MAX)
        async with asyncio.TaskGroup() as group:
            for mail in mails:
                group.create_task(self._deliver(mail, lease_until))
        return len(mails)

    async def _start_due(self, sending: set[asyncio.Task[None]]) -> float:
        """Start as many due mails as there are free places; return the seconds until it is worth to look again."""
        try:
            if len(sending) < SENDING_MAX:
                mails, lease_until = await self._claim(SENDING_MAX - len(sending))
                for mail in mails:
                    task = asyncio.create_task(self._deliver(mail, lease_until), name="mail")
                    sending.add(task)
                    task.add_done_callback(sending.discard)
            due_at = await self._store.next_mail_at()
        except StorageError as error:
            # Said once, not at each poll: an outage may last for hours.
            if not self._is_store_away:
                _log.warning("the outbox can't be read, mails wait: %s", error)
            self._is_store_away = True
            return self._poll_seconds
        except Exception:
            _log.exception("looking for mails failed")
            return self._poll_seconds
        if self._is_store_away:
            _log.info("the outbox can be read again")
            self._is_store_away = False
        until_due = self._poll_seconds if due_at is None else (due_at - self._now()) / _MICROS_PER_SECOND
        return until_due if 0 < until_due < self._poll_seconds else self._poll_seconds

    async def _wait(self, sending: set[asyncio.Task[None]], pause: float) -> None:
        """Wait for a place to become free, or for the pause to end."""
        if sending:
            await asyncio.wait(sending, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(pause)

    async def _stop(self, sending: set[asyncio.Task[None]]) -> None:
        """Let mails on their way come through for a moment, then give the rest back."""
        tasks = list(sending)
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=self._stop_seconds_max)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim(self, limit: int) -> tuple[list[OutboxMail], int]:
        """Lease mails that are due, `limit` at most; return them and until when they are leased."""
        now = self._now()
        lease_until = now + LEASE_SECONDS * _MICROS_PER_SECOND
        due_at = await self._store.next_mail_at()
        if due_at is None or due_at > now:
            # Claiming writes, so an idle dispatcher doesn't: it would hold up charges once a second in each process.
            return [], lease_until
        return list(await self._store.claim_mails(now, lease_until=lease_until, limit=limit)), lease_until

    async def _deliver(self, mail: OutboxMail, lease_until: int) -> None:
        """Send one mail and settle it; whatever goes wrong with it is its own affair."""
        settled: OutboxMail | None = None
        try:
            settled = await self._attempt(mail)
            await self._settle(settled, lease_until)
        except asyncio.CancelledError:
            # What was not sent is given back, so that the next process need not wait for the lease to end.
            reason = "the server was stopped while this mail was on its way"
            given_back = replace(mail, next_attempt_at=self._now(), last_error=reason)
            await self._settle(settled or given_back, retry_until=0)
            raise
        except Exception:
            _log.exception("%s to %s was tried, and that can't be written down", _name(mail), mail.email)

    async def _attempt(self, mail: OutboxMail) -> OutboxMail:
        """Write and send one mail; return what is to be written down."""
        try:
            async with asyncio.timeout(self._send_seconds_max):
                message = await self._compose(mail)
                await self._transport.send(message, mail.email)
        except (TransientFailure, InvalidSender) as error:
            return self._failed(mail, str(error))
        except (PermanentFailure, InvalidAddress) as error:
            return self._failed(mail, str(error), is_permanent=True)
        except TimeoutError:
            return self._failed(mail, "the mail server took too long")
        except StorageError as error:
            return self._failed(mail, f"what the mail has to say can't be read: {error}")
        except Exception as error:
            _log.exception("%s to %s failed in a way nobody foresaw", _name(mail), mail.email)
            return self._failed(mail, f"{type(error).__name__}: {error}")
        _log.info("%s was sent to %s", _name(mail), mail.email)
        return replace(mail, state=MailState.SENT, sent_at=self._now(), last_error=None)

    async def _compose(self, mail: OutboxMail) -> EmailMessage:
        """Write the mail, with the balance and runway of now: a mail that was held up must not tell old news."""
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
            _log.exception("%s goes without a runway", _name(mail))
            runway = None
        subject = LowBalance(mail=mail, merchant=merchant, account=account, transfer=transfer, runway=runway)
        return low_balance_message(subject, self._settings)

    async def _settle(self, mail: OutboxMail, retry_until: int) -> None:
        """Write down what became of a mail; while the lease holds, wait for a database that is away.

        A mail that was sent and can't be written down is sent again when its lease ends.
        """
        while True:
            try:
                await self._store.settle_mail(mail)
            except NotFound:
                _log.warning("%s to %s is no longer in the outbox", _name(mail), mail.email)
                return
            except StorageError as error:
                if self._now() >= retry_until:
                    _log.warning("what became of %s to %s can't be written down: %s", _name(mail), mail.email, error)
                    return
                await asyncio.sleep(self._poll_seconds)
            else:
                return

    def _failed(self, mail: OutboxMail, reason: str, *, is_permanent: bool = False) -> OutboxMail:
        """Write down a failure and when to try again; after ATTEMPTS_MAX the mail is given up."""
        # What a mail server says is put into a table and shown on terminals: one line, no control characters.
        text = one_line(reason)[:_ERROR_CHARS_MAX]
        is_over = is_permanent or mail.attempts >= ATTEMPTS_MAX
        wait = backoff_seconds(mail.attempts)
        if is_over:
            _log.error("%s to %s is given up after attempt %d: %s", _name(mail), mail.email, mail.attempts, text)
        else:
            _log.warning("%s to %s waits %d seconds, not sent: %s", _name(mail), mail.email, wait, text)
        return replace(
            mail,
            state=MailState.GIVEN_UP if is_over else MailState.WAITING,
            next_attempt_at=self._now() + wait * _MICROS_PER_SECOND,
            last_error=text,
        )


def _name(mail: OutboxMail) -> str:
    return ids.book_id(ids.ALERT, merchant_id=mail.alert.merchant_id, seq=mail.alert.number)
