"""Deliveries: alerts, and what is owed of each to users by mail, and to destinations by webhook and chat.

Batches write both. So do those who watch something that no command causes, such as given credit that ends: by `tell`,
which writes an alert and its deliveries as a batch does, with the account locked.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from farebox.core.accounts import Account
from farebox.core.alerts import Alert, AlertKind, written_facts
from farebox.core.credit.grants import Grant
from farebox.storage import rows
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.records import Delivery
from farebox.storage.sql import NamedStatements
from farebox.storage.subject import SubjectStore

Facts = Mapping[str, Any]
"""What an alert tells beside the balances, by name: amounts in micros, times in microseconds since 1970."""


async def write_alert(fetch: Fetch, statements: NamedStatements, alert: Alert) -> None:
    """Write the next alert of a book and owe it to those who want it, as a batch does; the account is locked."""
    await fetch(statements["set_alerts_count"], alert.merchant_id, alert.number)
    await fetch(statements["insert_alert"], *rows.alert_to_row(alert))
    await fetch(statements["owe_deliveries"], alert.merchant_id, alert.number)


class DeliveryStore(SubjectStore):
    """The alerts and deliveries of one database."""

    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        """List a merchant's alerts, newest first."""
        return [rows.alert_from_row(row) for row in await self._rows("alerts", merchant_id, limit)]

    async def alert(self, merchant_id: int, number: int) -> Alert:
        """Read one of a merchant's alerts.

        Raises:
            NotFound: there is none of this number.
        """
        row = await self._row("alert", merchant_id, number)
        if row is None:
            raise NotFound(f"no alert {number} of the merchant {merchant_id}")
        return rows.alert_from_row(row)

    async def shown_alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        """List a merchant's alerts, but for those that are the operator's affair, newest first."""
        return [rows.alert_from_row(row) for row in await self._rows("shown_alerts", merchant_id, limit)]

    async def last_low_alert(self, merchant_id: int, threshold: int) -> Alert | None:
        """Find a merchant's newest alert of a threshold."""
        row = await self._row("last_low_alert", merchant_id, threshold)
        return None if row is None else rows.alert_from_row(row)

    async def alert_mails(self, alert: Alert) -> Sequence[Delivery]:
        """List the mails that an alert owes."""
        return [rows.delivery_from_row(row) for row in await self._rows("alert_mails", alert.merchant_id, alert.number)]

    async def mails(self, *, merchant_id: int | None, limit: int) -> Sequence[Delivery]:
        """List the mails that the alerts of one merchant owe, or those of all with None, newest first."""
        if merchant_id is None:
            found = await self._rows("all_mails", limit)
        else:
            found = await self._rows("merchant_mails", merchant_id, limit)
        return [rows.delivery_from_row(row) for row in found]

    async def oldest_waiting(self) -> Mapping[int, int]:
        """Tell since when the oldest of what each channel owes waits; mails about accounts go as channel 0."""
        return {row[0]: row[1] for row in await self._rows("oldest_waiting")}

    async def tell(
        self,
        merchant_id: int,
        kind: AlertKind,
        now: int,
        due: Callable[[Fetch, Account], Awaitable[Facts | None]],
        *,
        transfer_seq: int | None = None,
    ) -> Alert | None:
        """Tell something that no batch causes, once, however many processes ask for it at once.

        The account's row is locked meanwhile, as by a batch. `due` is given the transaction and the account: it looks
        whether this is still to be told, writes down that it was, and returns the facts; or None, and nothing is told.

        Args:
            merchant_id: whose account it is about.
            kind: what is told.
            now: microseconds since 1970.
            due: decides, within the transaction.
            transfer_seq: the transfer that it is about, if there is one.

        Returns:
            The alert that was written; None if there was nothing to tell.

        Raises:
            NotFound: no such merchant.
        """

        async def write(fetch: Fetch) -> Alert | None:
            locked = await fetch(self._sql["lock_account"], merchant_id)
            if not locked:
                raise NotFound(f"no merchant {merchant_id}")
            account = rows.account_from_row(locked[0])
            facts = await due(fetch, account)
            if facts is None:
                return None
            number = account.alerts_count + 1
            alert = Alert(
                *(merchant_id, number, None, account.posted, now, transfer_seq, kind),
                facts=written_facts(account, facts),
            )
            await write_alert(fetch, self._sql, alert)
            return alert

        return await self._connector.run_in_transaction(write)

    async def ending_grants(self, now: int, *, until: int, lasting: int, limit: int) -> Sequence[Grant]:
        """List grants whose credit ends after `now` and by `until`, and was not told of; the soonest first.

        Grants of which nothing is left are not in it, nor those that last less than `lasting` microseconds in all, nor
        those of merchants of whom nobody is to be told.
        """
        return [rows.grant_from_row(row) for row in await self._rows("ending_grants", now, until, lasting, limit)]

    async def tell_of_end(self, grant: Grant, now: int) -> None:
        """Tell that a grant's credit ends; once, however many processes ask for it at once."""

        async def due(fetch: Fetch, _: Account) -> Facts | None:
            if await fetch(self._sql["told_of_grant"], grant.merchant_id, grant.transfer_seq):
                return None
            return {"grant": grant.number, "left": grant.left, "expires_at": grant.expires_at}

        await self.tell(grant.merchant_id, AlertKind.CREDIT_ENDS, now, due, transfer_seq=grant.transfer_seq)

    async def claim_mails(self, now: int, *, lease_until: int, limit: int, after: int = 0) -> Sequence[Delivery]:
        """Take mails that are due: nobody else gets them until `lease_until`, when they are due again unless settled.

        Counts the attempt. Each mail is given to one claimer only, however many claim at once. Merchants take turns,
        the first being the one that comes after merchant `after`: each has had one mail before any has two.
        """
        return [rows.delivery_from_row(row) for row in await self._write("claim_mails", now, lease_until, limit, after)]

    async def is_told_anew(self, delivery: Delivery) -> bool:
        """Tell whether a newer one to the same recipient tells the same: of this threshold, or of none left."""
        merchant_id, number, *recipient = delivery.key
        same = (delivery.alert.kind, delivery.alert.threshold)
        return await self._row("newer_delivery", merchant_id, number, *recipient, *same) is not None

    async def settle(self, delivery: Delivery) -> None:
        """Write what became of a claimed delivery: state, attempts, next attempt, last error and time.

        Raises:
            NotFound: no such delivery, or its recipient was deleted: what a mail server said of them is not to be kept.
        """
        attempted = (delivery.state, delivery.attempts, delivery.next_attempt_at)
        outcome = (*attempted, delivery.sent_at, delivery.last_error, delivery.email)
        await self._change("settle_delivery", *delivery.key, *outcome, missing="no such delivery")

    async def retry_mails(self, now: int) -> int:
        """Make every mail that is neither sent nor withdrawn due now, those given up included; return how many."""
        return len(await self._write("retry_mails", now))

    async def next_mail_at(self) -> int | None:
        """When the next mail falls due, or None if none waits."""
        row = await self._row("next_mail_at")
        return None if row is None else row[0]
