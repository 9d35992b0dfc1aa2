"""Deleting a person who was a user of merchants: what is kept of them goes, and no book is touched.

Rows that tell of what was done stay, and name nobody: mails of alerts, and the audit log.
"""

from msgspec import Struct

from farebox.core.audit_log import AuditEntry
from farebox.storage.interface import AlreadyExists, Fetch
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.subject import SubjectStore


class StillRegistered(AlreadyExists):
    """They are a user of an account still; nothing was changed."""


class KeptOfPerson(Struct, frozen=True):
    """How many rows are kept of a person."""

    logins: int
    sessions: int
    report_choices: int
    account_mails: int
    alert_mails: int
    audit_entries: int
    staff_logins: int
    """Whether the address is of the operator's staff as well, whose doings are not forgotten."""

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing that could go."""
        rows = (self.logins, self.sessions, self.report_choices, self.account_mails, self.alert_mails)
        return not any(rows) and (self.staff_logins > 0 or not self.audit_entries)


class ErasureStore(SubjectStore):
    """People in one database, and the rows that are kept of each."""

    async def kept(self, email: str) -> KeptOfPerson:
        """Count what is kept of a person, by any address that reaches the same mailbox."""
        (row,) = await self._rows("kept_of_person", await self._spellings(self._connector.fetch, email))
        return KeptOfPerson(*row)

    async def delete(self, email: str, audit_entry: AuditEntry | None = None) -> KeptOfPerson:
        """Delete a person, who must be a user of no account, and return what was kept until then.

        Raises:
            StillRegistered: they are a user of an account.
        """
        kept: list[KeptOfPerson] = []

        async def write(fetch: Fetch) -> None:
            ((memberships,),) = await fetch(self._sql["count_memberships"], mailbox_of(email))
            if memberships:
                raise StillRegistered("they are a user of an account")
            spellings = await self._spellings(fetch, email)
            ((*row,),) = await fetch(self._sql["kept_of_person"], spellings)
            kept[:] = [KeptOfPerson(*row)]
            for (login_id,) in await fetch(self._sql["logins_of_person"], spellings):
                await fetch(self._sql["delete_sessions_of"], login_id)
                await fetch(self._sql["delete_reports_of"], login_id)
                await fetch(self._sql["delete_report_choices_of"], login_id)
                await fetch(self._sql["delete_account_mails_of"], login_id)
                await fetch(self._sql["delete_login"], login_id)
            await fetch(self._sql["forget_recipient"], spellings)
            if not kept[0].staff_logins:
                for spelling in spellings:
                    await fetch(self._sql["forget_in_details"], spellings, spelling)
                await fetch(self._sql["forget_in_audit_log"], spellings)

        await self._connector.run_in_transaction(write, audit_entry)
        return kept[0]

    async def _spellings(self, fetch: Fetch, email: str) -> list[str]:
        """List the ways in which an address was written, wherever it is kept: all that reach the same mailbox.

        The longest comes first: it may hold another one.
        """
        mailbox = mailbox_of(email)
        written = {text for (text,) in await fetch(self._sql["written_addresses"]) if mailbox_of(text) == mailbox}
        return sorted(written | {email, mailbox}, key=lambda text: (-len(text), text))
