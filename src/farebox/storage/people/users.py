"""Users: who is registered on merchants' accounts, and what they may do there.

An address stands for its mailbox, in whatever case it is written; it is kept as it was typed.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import astuple

from farebox.core.audit_log import AuditEntry
from farebox.core.joining import alert_on_joining
from farebox.storage import rows
from farebox.storage.columns import USER
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.outgoing.deliveries import write_alert
from farebox.storage.records import AccountMail, Login, Membership, Repeat, Role, User
from farebox.storage.subject import SubjectStore

_LOGIN_AT: Final = len(USER.columns)


class LastOwner(NotFound):
    """The account would be left without an owner; nothing was changed."""


class UserStore(SubjectStore):
    """The users of merchants' accounts in one database."""

    async def add(self, user: User, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None) -> None:
        """Register a user on a merchant's account: who is registered gets its alerts.

        On an account that is below a threshold, or used up, the user is owed a mail that says so.

        Raises:
            AlreadyExists: the address is registered there already.
            NotFound: no such merchant.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            await self._join(fetch, user)

        await self._connector.run_in_transaction(write, audit_entry)

    async def list(self, merchant_id: int) -> Sequence[User]:
        """List the users of a merchant's account, oldest first."""
        return [User(*row) for row in await self._rows("users", merchant_id)]

    async def with_logins(self, merchant_id: int) -> Sequence[tuple[User, Login | None]]:
        """List the users of a merchant's account with what each signs in by, oldest first."""
        return [
            (User(*row[:_LOGIN_AT]), None if row[_LOGIN_AT] is None else Login(*row[_LOGIN_AT:]))
            for row in await self._rows("users_with_logins", merchant_id)
        ]

    async def memberships(self, email: str) -> Sequence[Membership]:
        """List the merchants on whose account an address is registered, by name."""
        return [Membership(*row) for row in await self._rows("memberships", mailbox_of(email))]

    async def find(self, merchant_id: int, email: str) -> User | None:
        """Find an address on a merchant's account; None if it is not registered there."""
        row = await self._row("user_of_mailbox", merchant_id, mailbox_of(email))
        return None if row is None else User(*row)

    async def role(self, merchant_id: int, email: str) -> Role | None:
        """Tell what an address may do on a merchant's account; None if it is not registered there."""
        row = await self._row("role", merchant_id, mailbox_of(email))
        return None if row is None else Role(row[0])

    async def invite(
        self,
        user: User,
        *,
        account_mail: AccountMail | None,
        login: Login | None,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Register a user as `add` does, with the login and the invitation that they may need.

        Raises:
            AlreadyExists: the address is registered there already, or can sign in already though a login is given.
            NotFound: no such merchant.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            await self._join(fetch, user)
            if login is not None:
                await fetch(self._sql["insert_login"], *rows.login_to_row(login))
            if account_mail is not None:
                await fetch(self._sql["insert_account_mail"], *astuple(account_mail))

        await self._connector.run_in_transaction(write, audit_entry)

    async def at(self, merchant_id: int, user_id: int) -> User | None:
        """Read one user of a merchant's account; None if they are not registered there."""
        row = await self._row("user_at", merchant_id, user_id)
        return None if row is None else User(*row)

    async def stop_mails(
        self, merchant_id: int, user_id: int, kinds: int, audit_entry: AuditEntry | None = None
    ) -> bool:
        """Mail a user no alerts of these kinds any more; False, with nothing written, if none was to be mailed."""

        async def write(fetch: Fetch) -> None:
            if not await fetch(self._sql["stop_mails"], merchant_id, user_id, kinds):
                raise NotFound("no such mails are owed to this user")

        try:
            await self._connector.run_in_transaction(write, audit_entry)
        except NotFound:
            return False
        return True

    async def set_role(
        self, merchant_id: int, email: str, role: Role, *, is_owner_needed: bool, audit_entry: AuditEntry | None = None
    ) -> None:
        """Change what an address may do on a merchant's account.

        Raises:
            NotFound: no such address there.
            LastOwner: no owner would be left, and one is needed.
        """

        async def write(fetch: Fetch) -> None:
            if is_owner_needed and role != Role.OWNER:
                await self._ensure_other_owner(fetch, merchant_id, email)
            if not await fetch(self._sql["set_role"], merchant_id, mailbox_of(email), role):
                raise NotFound(f"no user {email}")

        await self._connector.run_in_transaction(write, audit_entry)

    async def set_mail_kinds(
        self, merchant_id: int, email: str, kinds: int, audit_entry: AuditEntry | None = None
    ) -> None:
        """Write which kinds of alerts, as bits, an address is mailed about a merchant.

        Raises:
            NotFound: no such address there.
        """
        await self._change(
            "set_mail_kinds",
            *(merchant_id, mailbox_of(email), kinds),
            missing=f"no user {email}",
            audit_entry=audit_entry,
        )

    async def remove(
        self,
        merchant_id: int,
        email: str,
        *,
        is_owner_needed: bool,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Take an address off a merchant's account, with its destinations; what they are owed is sent no more.

        Raises:
            NotFound: no such address there.
            LastOwner: no owner would be left, and one is needed.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if is_owner_needed:
                await self._ensure_other_owner(fetch, merchant_id, email)
            await fetch(self._sql["delete_destinations_of_user"], merchant_id, mailbox_of(email))
            if not await fetch(self._sql["remove_user"], merchant_id, mailbox_of(email)):
                raise NotFound(f"no user {email}")
            await fetch(self._sql["remove_report_choices"], merchant_id, mailbox_of(email))

        await self._connector.run_in_transaction(write, audit_entry)

    async def _join(self, fetch: Fetch, user: User) -> None:
        """Register a user, and owe a mail about how the account stands.

        Its row is locked: a batch that tells everybody comes either before, and is seen here, or after, and sees the
        user.
        """
        await fetch(self._sql["insert_user"], *rows.user_to_row(user))
        ((*row,),) = await fetch(self._sql["lock_account"], user.merchant_id)
        alert = alert_on_joining(rows.account_from_row(row), user.user_id, user.created_at)
        if alert is not None:
            await write_alert(fetch, self._sql, alert)

    async def _ensure_other_owner(self, fetch: Fetch, merchant_id: int, email: str) -> None:
        users = await fetch(self._sql["lock_users"], merchant_id)
        owners = {mailbox for mailbox, role in users if role == Role.OWNER}
        if owners == {mailbox_of(email)}:
            raise LastOwner("the account would have no owner")
