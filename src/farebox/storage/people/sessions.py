"""Sessions: browsers that are signed in."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import astuple

from farebox.storage.interface import Fetch, NotFound
from farebox.storage.records import Login, Session
from farebox.storage.subject import SubjectStore

NO_DIGEST: Final = b""
"""The digest of no session."""


class SessionStore(SubjectStore):
    """The sessions of one database."""

    async def add(self, session: Session, password_hash: str | None) -> None:
        """Add a session, write when its login signed in, and remove the sessions that are over.

        Raises:
            NotFound: the login is closed, or its password is another by now.
        """

        async def add(fetch: Fetch) -> None:
            # First, so that a change of the password either sees this session, and ends it, or is seen here.
            if not await fetch(self._sql["sign_in"], session.login_id, session.created_at, password_hash):
                raise NotFound("no such login")
            await fetch(self._sql["end_old_sessions"], session.created_at)
            await fetch(self._sql["insert_session"], *astuple(session))

        await self._connector.run_in_transaction(add)

    async def find(self, digest: bytes, now: int) -> tuple[Session, Login] | None:
        """Read a session that has not ended, of a login that is not closed."""
        row = await self._row("session", digest, now)
        if row is None:
            return None
        session = Session(*row)
        # Not by a join: its plan, once made of tables that were empty, would walk all sessions.
        login = await self._row("login", session.login_id)
        found = None if login is None else Login(*login)
        return None if found is None or found.disabled_at is not None else (session, found)

    async def list(self, login_id: int, now: int) -> Sequence[Session]:
        """List a login's sessions that have not ended, the last seen first."""
        return [Session(*row) for row in await self._rows("sessions", login_id, now)]

    async def touch(self, digest: bytes, *, seen_at: int, expires_at: int) -> None:
        """Write when a session was last seen and when it now ends."""
        await self._write("touch_session", digest, seen_at, expires_at)

    async def end(self, digest: bytes) -> None:
        """End a session."""
        await self._write("end_session", digest)

    async def end_others(self, login_id: int, *, keep: bytes | None = None) -> None:
        """End a login's sessions, but the one whose digest is `keep`."""
        await self._write("end_sessions", login_id, keep or NO_DIGEST)
