"""Which database this process works on: each new connection must lead to the same one, with all that was committed.

A server that was started from an earlier backup, a primary that was demoted and came back, or another server behind the
same address would take charges just as well. They are told by the server's own identifiers and timeline, and by what
this process has committed last.
"""

from typing import Final

import asyncpg
from msgspec import Struct

from farebox.storage import sql
from farebox.storage.interface import StoreReplaced, StoreUnavailable
from farebox.storage.last_committed import LastCommitted
from farebox.storage.postgres.errors import translated
from farebox.storage.postgres.pool import Connection

_SQL: Final = sql.statements("postgres")


class _Seen(Struct, frozen=True):
    """A database as a connection showed it."""

    system: int | None
    """The server's system identifier, if it tells it: some hosted ones don't."""
    database: int
    timeline: str | None
    """In hexadecimal digits, as many as sort alike; a standby has none of its own."""


class DatabaseIdentity:
    """The database that this process met first, and what it has committed to it since."""

    def __init__(self, last_committed: LastCommitted) -> None:
        """Know none yet: the first that is checked is the one."""
        self._last_committed = last_committed
        self._known: _Seen | None = None

    @property
    def timeline(self) -> str | None:
        """The newest timeline that was met."""
        return self._known.timeline if self._known is not None else None

    def forget(self) -> None:
        """Take the next one that is checked for the first."""
        self._known = None

    async def check(self, connection: Connection) -> None:
        """See that a connection leads to the database that is known, or to a promoted standby of it.

        Raises:
            StoreReplaced: it leads elsewhere, or to an earlier state.
            StoreUnavailable: it leads to a standby that lacks what was committed last.
        """
        with translated():
            seen = await _look_at(connection)
            known = self._known
            if known is not None:
                self._compare(seen, known)
                await self._see_commits(connection, is_standby=seen.timeline is None)
        # Others may have looked meanwhile, at what was promoted since.
        timeline = max(filter(None, (seen.timeline, self.timeline)), default=None)
        self._known = _Seen(seen.system, seen.database, timeline)

    def _compare(self, seen: _Seen, known: _Seen) -> None:
        if (seen.system, seen.database) != (known.system, known.database):
            raise StoreReplaced(
                "PostgreSQL: this is another database than the one before; restart Farebox to work on it"
            )
        if seen.timeline is not None and known.timeline is not None and seen.timeline < known.timeline:
            raise StoreReplaced(
                f"PostgreSQL: this server is on timeline {int(seen.timeline, 16)}, another one was promoted to "
                f"{int(known.timeline, 16)}: it is out of date, and must not take writes"
            )

    async def _see_commits(self, connection: Connection, *, is_standby: bool) -> None:
        transfers = self._last_committed.transfers
        columns = (
            [transfer.merchant_id for transfer in transfers],
            [transfer.seq for transfer in transfers],
            [transfer.hash for transfer in transfers],
        )
        if await _fetch_value(connection, _SQL["committed_transfers"], *columns) != len(transfers):
            if is_standby:
                raise StoreUnavailable("PostgreSQL: this standby lacks what was committed last")
            raise StoreReplaced(
                "PostgreSQL: the database went back to an earlier time: what was committed last is gone; "
                "restart Farebox to go on from there"
            )


async def _look_at(connection: Connection) -> _Seen:
    try:
        system = await _fetch_value(connection, _SQL["system_identifier"])
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError):
        system = None
    database, is_standby, timeline = (await connection.fetch(_SQL["database"]))[0]
    return _Seen(system, database, None if is_standby else timeline)


async def _fetch_value(connection: Connection, statement: str, *values: object) -> int:
    found = await connection.fetch(statement, *values)
    value: int = found[0][0]
    return value
