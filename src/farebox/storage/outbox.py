"""The outbox: alerts that fired, and a mail owed to each user for each.

Batches write both; those about credit that ends are written by themselves.
"""

from collections.abc import Sequence

from farebox.core.credit.grants import Grant
from farebox.core.state import Alert, AlertKind
from farebox.storage import rows
from farebox.storage.interface import Fetch
from farebox.storage.records import OutboxMail
from farebox.storage.subject import SubjectStore


class OutboxStore(SubjectStore):
    """The alerts and mails of one database."""

    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        """List a merchant's alerts, newest first."""
        return [Alert(*row) for row in await self._rows("alerts", merchant_id, limit)]

    async def list(self, *, merchant_id: int | None, limit: int) -> Sequence[OutboxMail]:
        """List the mails of one merchant or of all with None, newest first."""
        if merchant_id is None:
            found = await self._rows("all_mails", limit)
        else:
            found = await self._rows("merchant_mails", merchant_id, limit)
        return [rows.mail_from_row(row) for row in found]

    async def ending_grants(self, now: int, *, until: int, lasting: int, limit: int) -> Sequence[Grant]:
        """List grants whose credit ends after `now` and by `until`, and was not told of; the soonest first.

        Grants of which nothing is left are not in it, nor those that last less than `lasting` microseconds in all, nor
        those of merchants without a user.
        """
        return [rows.grant_from_row(row) for row in await self._rows("ending_grants", now, until, lasting, limit)]

    async def tell_of_end(self, grant: Grant, now: int) -> None:
        """Owe every registered user a mail that a grant's credit ends; once, however many processes ask for it at once.

        The account's row is locked meanwhile, as by a batch that tells something.
        """

        async def write(fetch: Fetch) -> None:
            ((*row,),) = await fetch(self._sql["lock_account"], grant.merchant_id)
            if await fetch(self._sql["told_of_grant"], grant.merchant_id, grant.transfer_seq):
                return
            account = rows.account_from_row(row)
            number = account.alerts_count + 1
            alert = Alert(
                grant.merchant_id, number, None, account.posted, now, grant.transfer_seq, AlertKind.CREDIT_ENDS
            )
            await fetch(self._sql["set_alerts_count"], grant.merchant_id, number)
            await fetch(self._sql["insert_alert"], *rows.alert_to_row(alert))
            await fetch(self._sql["insert_mails"], grant.merchant_id, number, now)

        await self._connector.run_in_transaction(write)

    async def claim(self, now: int, *, lease_until: int, limit: int, after: int = 0) -> Sequence[OutboxMail]:
        """Take mails that are due: nobody else gets them until `lease_until`, when they are due again unless settled.

        Counts the attempt. Each mail is given to one claimer only, however many claim at once. Merchants take turns,
        the first being the one that comes after merchant `after`: each has had one mail before any has two.
        """
        return [rows.mail_from_row(row) for row in await self._write("claim_mails", now, lease_until, limit, after)]

    async def is_told_anew(self, mail: OutboxMail) -> bool:
        """Tell whether there is a newer mail to the user that tells the same: of this threshold, or of none left."""
        alert = mail.alert
        same = (alert.kind, alert.threshold)
        return await self._row("newer_mail", alert.merchant_id, alert.number, mail.user_id, *same) is not None

    async def settle(self, mail: OutboxMail) -> None:
        """Write what became of a claimed mail: state, attempts, next attempt, last error and time.

        Raises:
            NotFound: no such mail.
        """
        values = (mail.state, mail.attempts, mail.next_attempt_at, mail.sent_at, mail.last_error)
        alert = mail.alert
        await self._change(
            "settle_mail", alert.merchant_id, alert.number, mail.user_id, *values, missing="no such mail"
        )

    async def retry(self, now: int) -> int:
        """Make every mail that is neither sent nor withdrawn due now, those given up included; return how many."""
        return len(await self._write("retry_mails", now))

    async def next_due_at(self) -> int | None:
        """When the next mail falls due, or None if none waits."""
        row = await self._row("next_mail_at")
        return None if row is None else row[0]
