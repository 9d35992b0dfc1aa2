"""Logins: who may sign in, at which realm, with which password and one-time codes."""

from collections.abc import Sequence

from msgspec.structs import astuple, replace

from farebox.core.audit_log import AuditEntry
from farebox.core.batch.approval_rules import mails_to_others
from farebox.core.people import COMMAND_LINE, People, account_people, are_others, write_people
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.makers import people_of
from farebox.storage.people.sessions import NO_DIGEST
from farebox.storage.records import COMMAND_LINE_MAKER, AccountMail, Login, Maker, Realm, Repeat
from farebox.storage.rows import approval_mail_to_row, login_to_row, untold_staff
from farebox.storage.subject import SubjectStore

_MISSING = "no such login"
_NO_OPEN_LOGIN = "no such login, or it is closed"


class LinkGone(NotFound):
    """The account mail's link was used or is too old; nothing was changed."""


class LastAdministrator(NotFound):
    """No administrator who can sign in would be left; nothing was changed."""


class SamePerson(NotFound):
    """No other person than the account counts as would confirm it; nothing was changed."""


class AlreadySo(NotFound):
    """The login is as it would be; nothing was changed."""


class ChangedMeanwhile(NotFound):
    """Somebody else changed the login at this moment; nothing was changed."""


class LoginClosed(NotFound):
    """The login is closed; nothing was changed."""


class LoginStore(SubjectStore):
    """The logins of one database."""

    async def add(self, login: Login, audit_entry: AuditEntry | None = None) -> None:
        """Add somebody who may sign in.

        Raises:
            AlreadyExists: the address can sign in there already.
        """
        await self._write("insert_login", *login_to_row(login), audit_entry=audit_entry)

    async def invite(
        self,
        login: Login,
        account_mail: AccountMail,
        *,
        maker: Maker,
        is_staff_told: bool,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Add one of the staff, and owe the mail that invites.

        The account counts as those who invited it, besides, until another person confirms it; one that the command line
        adds is a person of its own at once. If `is_staff_told`, those who may confirm it are owed a mail.

        Raises:
            AlreadyExists: the address can sign in there already.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            people = await people_of(fetch, self._sql, maker) - {COMMAND_LINE}
            await fetch(self._sql["insert_login"], *login_to_row(replace(login, counts_as=write_people(people))))
            await fetch(self._sql["insert_account_mail"], *astuple(account_mail))
            if people and is_staff_told:
                await self._tell_staff(fetch, login, people | {login.login_id})

        await self._connector.run_in_transaction(write, audit_entry)

    async def confirm(
        self, login_id: int, *, maker: Maker, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Let one of the staff be a person of its own.

        Raises:
            NotFound: no such staff account.
            LoginClosed: it is closed.
            AlreadySo: it was one already.
            SamePerson: the maker counts as a person whom the account counts as; nothing was changed.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            rows = await fetch(self._sql["lock_counts_as"], login_id)
            if not rows:
                raise NotFound(_MISSING)
            ((counts_as, disabled_at),) = rows
            if disabled_at is not None:
                raise LoginClosed("the login is closed")
            if not counts_as:
                raise AlreadySo("it is a person of its own")
            people = await people_of(fetch, self._sql, maker)
            if maker != COMMAND_LINE_MAKER and not are_others(people, account_people(login_id, counts_as)):
                raise SamePerson("another person has to confirm it")
            await fetch(self._sql["confirm_login"], login_id)

        await self._connector.run_in_transaction(write, audit_entry)

    async def people(self, maker: Maker) -> People:
        """Tell whom a staff account, a support key or the command line counts as."""
        return await people_of(self._connector.fetch, self._sql, maker)

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

    async def change_password(
        self, login_id: int, password_hash: str, *, before: str | None, at: int, keep: bytes | None = None
    ) -> None:
        """Write a login's password in place of `before`; end its links, and its sessions but the one of digest `keep`.

        Raises:
            ChangedMeanwhile: it has another one.
            NotFound: no such login, or it is closed.
        """

        async def write(fetch: Fetch) -> None:
            if await fetch(self._sql["change_password"], login_id, password_hash, before):
                await self._end_ways_in(fetch, login_id, at=at, keep=keep)
                return
            rows = await fetch(self._sql["login"], login_id)
            if not rows or Login(*rows[0]).disabled_at is not None:
                raise NotFound(_NO_OPEN_LOGIN)
            raise ChangedMeanwhile("its password was changed")

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
            if not await fetch(self._sql["set_password"], login_id, password_hash):
                raise NotFound(_NO_OPEN_LOGIN)
            await self._end_ways_in(fetch, login_id, at=at, keep=None)
            return login_id

        return await self._connector.run_in_transaction(use)

    async def set_totp_seed(self, login_id: int, seed: bytes, *, used_step: int = 0) -> None:
        """Ask a login for one-time codes made of this seed from now on; codes up to a step are used up.

        Raises:
            NotFound: no such login.
        """
        await self._change("set_totp_seed", login_id, seed, used_step, missing=_MISSING)

    async def totp_seeds(self, after: int, count: int) -> Sequence[tuple[int, bytes]]:
        """List the seeds of one-time codes, each with its login, that come after a login."""
        return [(login_id, seed) for login_id, seed in await self._rows("totp_seeds_page", after, count)]

    async def replace_totp_seed(self, login_id: int, seed: bytes, *, before: bytes) -> bool:
        """Write a seed in place of one that stands for the same codes; False if that is another by now."""
        return bool(await self._write("replace_totp_seed", login_id, seed, before))

    async def remove_totp_seed(
        self, login_id: int, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Ask a login for no one-time codes any more.

        Raises:
            NotFound: no such login.
            AlreadySo: it is asked for none.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if not await fetch(self._sql["remove_totp_seed"], login_id):
                raise await self._unchanged(fetch, login_id)

        await self._connector.run_in_transaction(write, audit_entry)

    async def set_language(self, login_id: int, language: str) -> None:
        """Speak to a login in this language from now on.

        Raises:
            NotFound: no such login.
        """
        await self._change("set_language", login_id, language, missing=_MISSING)

    async def set_mail_kinds(self, login_id: int, kinds: int, audit_entry: AuditEntry | None = None) -> None:
        """Write which kinds of alerts, as bits, one of the staff is warned of.

        Raises:
            NotFound: no such login, or it is none of the staff's.
        """
        await self._change("set_login_mail_kinds", login_id, kinds, missing=_MISSING, audit_entry=audit_entry)

    async def stop_mails(self, login_id: int, kinds: int, audit_entry: AuditEntry | None = None) -> bool:
        """Warn one of the staff of these kinds of alerts no more; False, and nothing is written, if they were not."""

        try:
            await self._change("stop_login_mails", login_id, kinds, missing=_MISSING, audit_entry=audit_entry)
        except NotFound:
            return False
        return True

    async def signing_seed(self) -> bytes:
        """Read the database's random seed of what links in mails are signed with.

        Raises:
            NotFound: it has none.
        """
        row = await self._row("signing_seed")
        if row is None:
            raise NotFound("the database has no seed for links")
        return bytes(row[0])

    async def use_totp_step(self, login_id: int, step: int) -> bool:
        """Use a one-time code up; False if it, or a later one, was used before."""
        return bool(await self._write("use_totp_step", login_id, step))

    async def set_disabled(
        self, login_id: int, at: int | None, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Close a login, which ends its sessions and links, or open it again with None.

        Raises:
            NotFound: no such login.
            AlreadySo: it was closed, or open, already.
            LastAdministrator: no administrator would be left.
        """

        async def write(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            if at is None:
                changed = await fetch(self._sql["reopen_login"], login_id)
            else:
                await self._ensure_other_administrator(fetch, login_id)
                changed = await fetch(self._sql["close_login"], login_id, at)
            if not changed:
                raise await self._unchanged(fetch, login_id)
            await fetch(self._sql["end_sessions"], login_id, NO_DIGEST)
            if at is not None:
                await fetch(self._sql["end_links"], login_id, at)

        await self._connector.run_in_transaction(write, audit_entry)

    async def set_roles(
        self, login_id: int, roles: StaffRole, audit_entry: AuditEntry | None = None, *, before: int | None = None
    ) -> None:
        """Change what one of the staff may do: from `before`, if that is given.

        Raises:
            NotFound: no such login.
            AlreadySo: it may do just that already.
            ChangedMeanwhile: it may do something else than `before`.
            LastAdministrator: no administrator would be left.
        """

        async def write(fetch: Fetch) -> None:
            if not roles & StaffRole.ADMINISTRATOR:
                await self._ensure_other_administrator(fetch, login_id)
            rows = await fetch(self._sql["lock_roles"], login_id)
            if not rows:
                raise NotFound(_MISSING)
            if rows[0][0] == roles:
                raise AlreadySo("it has these roles")
            if before not in (None, rows[0][0]):
                raise ChangedMeanwhile("its roles were changed")
            await fetch(self._sql["set_staff_roles"], login_id, roles)

        await self._connector.run_in_transaction(write, audit_entry)

    async def _ensure_other_administrator(self, fetch: Fetch, login_id: int) -> None:
        staff = [Login(*row) for row in await fetch(self._sql["lock_logins"], Realm.SUPPORT)]
        administrators = {login.login_id for login in staff if _can_administer(login)}
        if administrators == {login_id}:
            raise LastAdministrator("no administrator would be left")

    async def _unchanged(self, fetch: Fetch, login_id: int) -> NotFound:
        """Say why a login was not changed: it is as it would be, or not there."""
        return AlreadySo("it is so already") if await fetch(self._sql["login"], login_id) else NotFound(_MISSING)

    async def _tell_staff(self, fetch: Fetch, login: Login, people: People) -> None:
        """Owe a mail to all who may confirm an account that counts as these people."""
        told = await fetch(self._sql["untaken_approval_mails"])
        staff = untold_staff(await fetch(self._sql["open_staff"], EVERY_ROLE), told)
        for mail in mails_to_others(staff, people, number=login.login_id, now=login.created_at):
            await fetch(self._sql["insert_staff_mail"], *approval_mail_to_row(mail))

    async def _end_ways_in(self, fetch: Fetch, login_id: int, *, at: int, keep: bytes | None) -> None:
        await fetch(self._sql["end_sessions"], login_id, keep or NO_DIGEST)
        await fetch(self._sql["end_links"], login_id, at)


def _can_administer(login: Login) -> bool:
    """Tell whether an administrator can sign in: one who was invited and chose no password yet can't."""
    is_administrator = bool(login.roles & StaffRole.ADMINISTRATOR)
    return is_administrator and login.disabled_at is None and login.password_hash is not None
