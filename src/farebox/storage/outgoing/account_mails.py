"""Account mails, to one address each: invitations, resets, tests and approvals. The table was released as `letter`."""

from collections.abc import Sequence

from msgspec.structs import astuple

from farebox.core.audit_log import AuditEntry
from farebox.storage.interface import Fetch
from farebox.storage.records import AccountMail, Login, Repeat
from farebox.storage.rows import login_to_row
from farebox.storage.subject import SubjectStore


class AccountMailStore(SubjectStore):
    """The account mails of one database."""

    async def add(
        self,
        account_mail: AccountMail,
        login: Login | None = None,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Owe somebody an account mail, and add the login that it goes to if one is given.

        Raises:
            AlreadyExists: the login's address can sign in there already.
            NotFound: no such login.
        """

        async def add(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if login is not None:
                await fetch(self._sql["insert_login"], *login_to_row(login))
            await fetch(self._sql["insert_account_mail"], *astuple(account_mail))

        await self._connector.run_in_transaction(add, audit_entry)

    async def find(self, account_mail_id: int) -> AccountMail | None:
        """Read one account mail."""
        row = await self._row("account_mail", account_mail_id)
        return None if row is None else AccountMail(*row)

    async def list(self, limit: int) -> Sequence[AccountMail]:
        """List the account mails, newest first."""
        return [AccountMail(*row) for row in await self._rows("account_mails", limit)]

    async def count_since(self, login_id: int, since: int) -> int:
        """Count the account mails to a login since a time."""
        ((count,),) = await self._rows("account_mails_since", login_id, since)
        return int(count)

    async def claim(self, now: int, *, lease_until: int, limit: int, after: int = 0) -> Sequence[AccountMail]:
        """Take account mails that are due: nobody else gets them until `lease_until`. Counts the attempt.

        Merchants take turns as in the outbox; mails that concern no merchant have a turn together, as merchant 0.
        """
        return [AccountMail(*row) for row in await self._write("claim_account_mails", now, lease_until, limit, after)]

    async def settle(self, account_mail: AccountMail) -> None:
        """Write what became of a claimed account mail: state, attempts, next attempt, last error and time.

        Raises:
            NotFound: it is gone.
        """
        attempted = (account_mail.state, account_mail.attempts, account_mail.next_attempt_at)
        values = (account_mail.account_mail_id, *attempted, account_mail.sent_at, account_mail.last_error)
        await self._change("settle_account_mail", *values, missing="no such account mail")

    async def retry(self, now: int) -> int:
        """Make every account mail that is neither sent nor withdrawn, and not too old, due now; return how many."""
        return len(await self._write("retry_account_mails", now))

    async def next_due_at(self) -> int | None:
        """When the next account mail falls due, or None if none waits."""
        row = await self._row("next_account_mail_at")
        return None if row is None else row[0]
