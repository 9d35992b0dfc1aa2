"""Who signs in, their sessions and account mails, and what they may do where: written once, for both engines.

Times are microseconds since 1970, from the caller. Every method may raise StoreUnavailable, having changed nothing, and
CommitUnknown if it writes.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from farebox.core.audit_log import AuditEntry
from farebox.storage import sql
from farebox.storage.interface import Fetch, NotFound, Runner
from farebox.storage.rows import AccountMail, Login, Membership, Realm, Role, Session, User

_NO_DIGEST: Final = b""


class LinkGone(NotFound):
    """The account_mail's link was used or is too old; nothing was changed."""


class LastOwner(NotFound):
    """The account would be left without an owner; nothing was changed."""


class People:
    """The people of one database."""

    def __init__(self, runner: Runner) -> None:
        """Keep them in this database."""
        self._runner = runner
        self._sql = sql.shared_statements(runner.dialect)

    async def add_login(self, login: Login, audit_entry: AuditEntry | None = None) -> None:
        """Add somebody who may sign in.

        Raises:
            AlreadyExists: the address can sign in there already.
        """

        async def add(fetch: Fetch) -> None:
            await fetch(self._sql["insert_login"], *msgspec.structs.astuple(login))

        await self._runner.run_in_transaction(add, audit_entry)

    async def login(self, login_id: int) -> Login | None:
        """Read one login."""
        found = await self._runner.fetch(self._sql["login"], login_id)
        return Login(*found[0]) if found else None

    async def find_login(self, realm: Realm, email: str) -> Login | None:
        """Look a login up by its address."""
        found = await self._runner.fetch(self._sql["find_login"], realm, email)
        return Login(*found[0]) if found else None

    async def logins(self, realm: Realm) -> Sequence[Login]:
        """List a realm's logins by address."""
        return [Login(*row) for row in await self._runner.fetch(self._sql["logins"], realm)]

    async def set_password(self, login_id: int, password_hash: str, *, at: int, keep: bytes | None = None) -> None:
        """Write a login's password; end its links, and its sessions but the one whose digest is `keep`.

        Raises:
            NotFound: no such login, or it is closed.
        """

        async def write(fetch: Fetch) -> None:
            if not await fetch(self._sql["set_password"], login_id, password_hash):
                raise NotFound("no such login")
            await fetch(self._sql["end_sessions"], login_id, keep or _NO_DIGEST)
            await fetch(self._sql["end_links"], login_id, at)

        await self._runner.run_in_transaction(write)

    async def use_link(self, account_mail_id: int, password_hash: str, at: int) -> int:
        """Use a link up to set its login's password; end the login's sessions and other links. Returns the login.

        Raises:
            LinkGone: it was used or is too old.
            NotFound: its login is closed.
        """

        async def use(fetch: Fetch) -> int:
            used = await fetch(self._sql["use_link"], account_mail_id, at)
            if not used:
                raise LinkGone("the link was used or is too old")
            login_id: int = used[0][0]
            if not await fetch(self._sql["set_password"], login_id, password_hash):
                raise NotFound("the login is closed")
            await fetch(self._sql["end_sessions"], login_id, _NO_DIGEST)
            await fetch(self._sql["end_links"], login_id, at)
            return login_id

        return await self._runner.run_in_transaction(use)

    async def set_code_seed(
        self, login_id: int, seed: bytes | None, *, used_step: int = 0, audit_entry: AuditEntry | None = None
    ) -> None:
        """Ask a login for one-time codes made of this seed from now on, or for none; codes up to a step are used up.

        Raises:
            NotFound: no such login.
        """
        await self._change("set_code_seed", login_id, seed, used_step, audit_entry=audit_entry)

    async def use_code_step(self, login_id: int, step: int) -> bool:
        """Use a one-time code up; False if it, or a later one, was used before."""

        async def use(fetch: Fetch) -> bool:
            return bool(await fetch(self._sql["use_code_step"], login_id, step))

        return await self._runner.run_in_transaction(use)

    async def set_disabled(self, login_id: int, at: int | None, audit_entry: AuditEntry | None = None) -> None:
        """Close a login, which ends its sessions and links, or open it again with None.

        Raises:
            NotFound: no such login.
        """

        async def write(fetch: Fetch) -> None:
            if not await fetch(self._sql["set_disabled"], login_id, at):
                raise NotFound("no such login")
            await fetch(self._sql["end_sessions"], login_id, _NO_DIGEST)
            if at is not None:
                await fetch(self._sql["end_links"], login_id, at)

        await self._runner.run_in_transaction(write, audit_entry)

    async def add_session(self, session: Session, password_hash: str | None) -> None:
        """Add a session, write when its login signed in, and remove the sessions that are over.

        Raises:
            NotFound: the login is closed, or its password is another by now.
        """

        async def add(fetch: Fetch) -> None:
            # First, so that a change of the password either sees this session, and ends it, or is seen here.
            if not await fetch(self._sql["sign_in"], session.login_id, session.created_at, password_hash):
                raise NotFound("no such login")
            await fetch(self._sql["end_old_sessions"], session.created_at)
            await fetch(self._sql["insert_session"], *msgspec.structs.astuple(session))

        await self._runner.run_in_transaction(add)

    async def session(self, digest: bytes, now: int) -> tuple[Session, Login] | None:
        """Read a session that has not ended, of a login that is not closed."""
        found = await self._runner.fetch(self._sql["session"], digest, now)
        if not found:
            return None
        session = Session(*found[0])
        # Not by a join: its plan, once made of tables that were empty, would walk all sessions.
        login = await self.login(session.login_id)
        return None if login is None or login.disabled_at is not None else (session, login)

    async def sessions(self, login_id: int, now: int) -> Sequence[Session]:
        """List a login's sessions that have not ended, the last seen first."""
        return [Session(*row) for row in await self._runner.fetch(self._sql["sessions"], login_id, now)]

    async def touch_session(self, digest: bytes, *, seen_at: int, expires_at: int) -> None:
        """Write when a session was last seen and when it now ends."""
        await self._run("touch_session", digest, seen_at, expires_at)

    async def end_session(self, digest: bytes) -> None:
        """End a session."""
        await self._run("end_session", digest)

    async def end_sessions(self, login_id: int, *, keep: bytes | None = None) -> None:
        """End a login's sessions, but the one whose digest is `keep`."""
        await self._run("end_sessions", login_id, keep or _NO_DIGEST)

    async def add_account_mail(
        self, account_mail: AccountMail, login: Login | None = None, audit_entry: AuditEntry | None = None
    ) -> None:
        """Owe somebody an account mail, and add the login that it goes to if one is given.

        Raises:
            AlreadyExists: the login's address can sign in there already.
        """

        async def add(fetch: Fetch) -> None:
            if login is not None:
                await fetch(self._sql["insert_login"], *msgspec.structs.astuple(login))
            await fetch(self._sql["insert_account_mail"], *msgspec.structs.astuple(account_mail))

        await self._runner.run_in_transaction(add, audit_entry)

    async def account_mail(self, account_mail_id: int) -> AccountMail | None:
        """Read one account mail."""
        found = await self._runner.fetch(self._sql["account_mail"], account_mail_id)
        return AccountMail(*found[0]) if found else None

    async def account_mails(self, limit: int) -> Sequence[AccountMail]:
        """List the account mails, newest first."""
        return [AccountMail(*row) for row in await self._runner.fetch(self._sql["account_mails"], limit)]

    async def account_mails_since(self, login_id: int, since: int) -> int:
        """Count the account mails to a login since a time."""
        found = await self._runner.fetch(self._sql["account_mails_since"], login_id, since)
        count: int = found[0][0]
        return count

    async def claim_account_mails(self, now: int, *, lease_until: int, limit: int) -> Sequence[AccountMail]:
        """Take account mails that are due: nobody else gets them until `lease_until`. Counts the attempt."""

        async def claim(fetch: Fetch) -> Sequence[AccountMail]:
            due = await fetch(self._sql["due_account_mails"], now, limit)
            # One by one, in the same order by all claimers: a join over both would walk every mail there ever was.
            claimed = [
                await fetch(self._sql["claim_account_mail"], number, now, lease_until)
                for number in sorted(row[0] for row in due)
            ]
            return [AccountMail(*row) for found in claimed for row in found]

        return await self._runner.run_in_transaction(claim)

    async def settle_account_mail(self, account_mail: AccountMail) -> None:
        """Write what became of a claimed account_mail: its state, next attempt, last error and time of sending.

        Raises:
            NotFound: it is gone.
        """
        values = (account_mail.state, account_mail.next_attempt_at, account_mail.sent_at, account_mail.last_error)
        await self._change("settle_account_mail", account_mail.account_mail_id, *values)

    async def retry_account_mails(self, now: int) -> int:
        """Make every account mail that is not sent and whose link is still good due now; return how many."""

        async def retry(fetch: Fetch) -> int:
            return len(await fetch(self._sql["retry_account_mails"], now))

        return await self._runner.run_in_transaction(retry)

    async def next_account_mail_at(self) -> int | None:
        """When the next account mail falls due, or None if none waits."""
        found = await self._runner.fetch(self._sql["next_account_mail_at"])
        at: int | None = found[0][0]
        return at

    async def memberships(self, email: str) -> Sequence[Membership]:
        """List the merchants on whose account an address is registered, by name."""
        return [Membership(*row) for row in await self._runner.fetch(self._sql["memberships"], email)]

    async def role(self, merchant_id: int, email: str) -> Role | None:
        """Tell what an address may do on a merchant's account; None if it is not registered there."""
        found = await self._runner.fetch(self._sql["membership"], merchant_id, email)
        return Role(found[0][0]) if found else None

    async def invite(
        self,
        user: User,
        *,
        account_mail: AccountMail | None,
        login: Login | None,
        audit_entry: AuditEntry | None = None,
    ) -> None:
        """Register a person on a merchant's account, with their login and invitation if they need one.

        Raises:
            AlreadyExists: the address is registered there already, or can sign in already though a login is given.
            NotFound: no such merchant.
        """

        async def write(fetch: Fetch) -> None:
            await fetch(self._sql["insert_user"], *msgspec.structs.astuple(user))
            if login is not None:
                await fetch(self._sql["insert_login"], *msgspec.structs.astuple(login))
            if account_mail is not None:
                await fetch(self._sql["insert_account_mail"], *msgspec.structs.astuple(account_mail))

        await self._runner.run_in_transaction(write, audit_entry)

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
            if not await fetch(self._sql["set_role"], merchant_id, email, role):
                raise NotFound(f"no user {email}")

        await self._runner.run_in_transaction(write, audit_entry)

    async def remove(
        self, merchant_id: int, email: str, *, is_owner_needed: bool, audit_entry: AuditEntry | None = None
    ) -> None:
        """Take a person off a merchant's account; mails already on their way still go.

        Raises:
            NotFound: no such address there.
            LastOwner: no owner would be left, and one is needed.
        """

        async def write(fetch: Fetch) -> None:
            if is_owner_needed:
                await self._ensure_other_owner(fetch, merchant_id, email)
            if not await fetch(self._sql["remove_user"], merchant_id, email):
                raise NotFound(f"no user {email}")

        await self._runner.run_in_transaction(write, audit_entry)

    async def _ensure_other_owner(self, fetch: Fetch, merchant_id: int, email: str) -> None:
        found = await fetch(self._sql["lock_users"], merchant_id)
        owners = {address for _, address, role in found if role == Role.OWNER}
        if owners == {email}:
            raise LastOwner("the account would have no owner")

    async def _run(self, name: str, *values: object) -> None:
        async def run(fetch: Fetch) -> None:
            await fetch(self._sql[name], *values)

        await self._runner.run_in_transaction(run)

    async def _change(self, name: str, *values: object, audit_entry: AuditEntry | None = None) -> None:
        """Run a statement that returns what it changed; NotFound if that is nothing."""

        async def change(fetch: Fetch) -> None:
            if not await fetch(self._sql[name], *values):
                raise NotFound("no such row")

        await self._runner.run_in_transaction(change, audit_entry)
