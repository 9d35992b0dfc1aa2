"""Mail servers that take no mail at present, and until when each is given up, for all processes alike."""

from msgspec.structs import astuple

from farebox.storage.records import MailServerPause
from farebox.storage.subject import SubjectStore


class MailServerStore(SubjectStore):
    """The mail servers of one database that take no mail."""

    async def find(self, server: str) -> MailServerPause | None:
        """Read for how long a mail server is given up; None if it took the last mail."""
        row = await self._row("paused_mail_server", server)
        return None if row is None else MailServerPause(*row)

    async def pause(self, pause: MailServerPause) -> None:
        """Give a mail server up for a while."""
        await self._write("pause_mail_server", *astuple(pause))

    async def resume(self, server: str) -> None:
        """Write that a mail server takes mails again."""
        await self._write("resume_mail_server", server)

    async def resume_all(self) -> None:
        """Take it that every mail server works, so that each is tried again at once."""
        await self._write("resume_mail_servers")
