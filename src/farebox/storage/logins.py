"""Logins: who may sign in, at which realm, with which password and one-time codes."""

from collections.abc import Sequence

from farebox.core.audit_log import AuditEntry
from farebox.core.staff_roles import StaffRole
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.records import Login, Realm
from farebox.storage.rows import login_to_row
from farebox.storage.sessions import NO_DIGEST
from farebox.storage.subject import SubjectStore

_MISSING = "no such login"


class LinkGone(NotFound):
    """The account mail's link was used or is too old; nothing was changed."""


class LastAdministrator(NotFound):
    """No administrator who can sign in would be left; nothing was changed."""


class LoginStore(SubjectStore):
    """The logins of one database."""

    async def add(self, login: Login, audit_entry: AuditEntry | None = None) -> None:
        """Add somebody who may sign in.

        Raises:
            AlreadyExists: the address can sign in there already.
        """
        await self._write("insert_login", *login_to_row(login), audit_entry=audit_entry)

    async def get(self, login_id: int) -> Login | None:
        """Read one login."""
        row = await self._row("login", login_id)
        return None if row is None else Login(*row)

    async def find(self, realm: Realm, email: str) -> Login | None:
        """Look a login up by its address, in whatever case that is written."""
        row = await self._row("find_login", realm, mailbox_of(email))
        return None if row is None else Login(*row)

    async def list(self, realm: Realm) -> Sequence[Login]:
        """List a realm's logins by address."""
        return [Login(*row) for row in await self._rows("logins", realm)]

    async def set_password(self, login_id: int, password_hash: str, *, at: int, keep: bytes | None = None) -> None:
        """Write a login's password; end its links, and its sessions but the one whose digest is `keep`.

        Raises:
            NotFound: no such login, or it is closed.
        """

        async def write(fetch: Fetch) -> None:
            await self._set_password(fetch, login_id, password_hash, at=at, keep=keep)

        await self._connector.run_in_transaction(write)

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
            await self._set_password(fetch, login_id, password_hash, at=at, keep=None)
            return login_id

        return await self._connector.run_in_transaction(use)

    async def set_totp_seed(
        self, login_id: int, seed: bytes | None, *, used_step: int = 0, audit_entry: AuditEntry | None = None
    ) -> None:
        """Ask a login for one-time codes made of this seed from now on, or for none; codes up to a step are used up.

        Raises:
            NotFound: no such login.
        """
        await self._change("set_totp_seed", login_id, seed, used_step, missing=_MISSING, audit_entry=audit_entry)

    async def use_totp_step(self, login_id: int, step: int) -> bool:
        """Use a one-time code up; False if it, or a later one, was used before."""
        return bool(await self._write("use_totp_step", login_id, step))

    async def set_disabled(self, login_id: int, at: int | None, audit_entry: AuditEntry | None = None) -> None:
        """Close a login, which ends its sessions and links, or open it again with None.

        Raises:
            NotFound: no such login.
            LastAdministrator: no administrator would be left.
        """

        async def write(fetch: Fetch) -> None:
            if at is not None:
                await self._ensure_other_administrator(fetch, login_id)
            if not await fetch(self._sql["set_disabled"], login_id, at):
                raise NotFound(_MISSING)
            await fetch(self._sql["end_sessions"], login_id, NO_DIGEST)
            if at is not None:
                await fetch(self._sql["end_links"], login_id, at)

        await self._connector.run_in_transaction(write, audit_entry)

    async def set_roles(self, login_id: int, roles: StaffRole, audit_entry: AuditEntry | None = None) -> None:
        """Change what one of the staff may do.

        Raises:
            NotFound: no such login.
            LastAdministrator: no administrator would be left.
        """

        async def write(fetch: Fetch) -> None:
            if not roles & StaffRole.ADMINISTRATOR:
                await self._ensure_other_administrator(fetch, login_id)
            if not await fetch(self._sql["set_staff_roles"], login_id, roles):
                raise NotFound(_MISSING)

        await self._connector.run_in_transaction(write, audit_entry)

    async def _ensure_other_administrator(self, fetch: Fetch, login_id: int) -> None:
        staff = [Login(*row) for row in await fetch(self._sql["lock_logins"], Realm.SUPPORT)]
        administrators = {login.login_id for login in staff if _can_administer(login)}
        if administrators == {login_id}:
            raise LastAdministrator("no administrator would be left")

    async def _set_password(
        self, fetch: Fetch, login_id: int, password_hash: str, *, at: int, keep: bytes | None
    ) -> None:
        if not await fetch(self._sql["set_password"], login_id, password_hash):
            raise NotFound("no such login, or it is closed")
        await fetch(self._sql["end_sessions"], login_id, keep or NO_DIGEST)
        await fetch(self._sql["end_links"], login_id, at)


def _can_administer(login: Login) -> bool:
    """Tell whether an administrator can sign in: one who was invited and chose no password yet can't."""
    is_administrator = bool(login.roles & StaffRole.ADMINISTRATOR)
    return is_administrator and login.disabled_at is None and login.password_hash is not None
