"""Which database this process works on: each new connection must lead to the same one, with all that was committed.

A server that was started from an earlier backup, a primary that was demoted and came back, or another server behind the
same address would take charges just as well. They are told by the server's own identifiers and timeline, and by what
this process has committed last.
"""

from collections.abc import Callable
from typing import Final

import asyncpg
from msgspec import Struct

from farebox.storage import sql
from farebox.storage.interface import StoreReplaced, StoreUnavailable
from farebox.storage.last_committed import LastCommitted
from farebox.storage.postgres.errors import translated
from farebox.storage.postgres.pool import Connection

_SQL: Final = sql.statements("postgres")
_WENT_BACK: Final = (
    "PostgreSQL: the database went back to an earlier time, and what was committed last is gone; restart Farebox to go "
    "on from there"
)


class _Seen(Struct, frozen=True):
    """A database as a connection showed it."""

    system: int | None
    """The server's system identifier, if it tells it: some hosted ones don't."""
    database: int
    timeline: str | None
    """In hexadecimal digits, as many as sort alike; a standby has none of its own."""
    log_bytes: int
    """How far the server's log was safe on its disk, since the server was made: no crash takes that back."""


class DatabaseIdentity:
    """The database that this process met first, and what it has committed to it since."""

    def __init__(self, last_committed: LastCommitted, shaped: Callable[[str], str]) -> None:
        """Know none yet: the first that is checked is the one. `shaped` writes a statement as the database takes it."""
        self._last_committed = last_committed
        self._shaped = shaped
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
        # As it is before the look: others may look meanwhile, and see more.
        known = self._known
        with translated():
            seen = await _look_at(connection)
            if known is not None:
                _compare(seen, known)
                await self._see_commits(connection, is_standby=seen.timeline is None)
        self._known = seen if self._known is None else _newer(seen, self._known)

    async def _see_commits(self, connection: Connection, *, is_standby: bool) -> None:
        transfers = self._last_committed.transfers
        if not transfers:
            return
        columns = (
            [transfer.merchant_id for transfer in transfers],
            [transfer.seq for transfer in transfers],
            [transfer.hash for transfer in transfers],
        )
        if await _fetch_value(connection, self._shaped(_SQL["committed_transfers"]), *columns) != len(transfers):
            if is_standby:
                raise StoreUnavailable("PostgreSQL: this standby lacks what was committed last")
            raise StoreReplaced(_WENT_BACK)


async def _look_at(connection: Connection) -> _Seen:
    try:
        system = await _fetch_value(connection, _SQL["system_identifier"])
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError):
        system = None
    database, timeline, log_bytes = (await connection.fetch(_SQL["database"]))[0]
    return _Seen(system, database, timeline, log_bytes or 0)


def _compare(seen: _Seen, known: _Seen) -> None:
    if (seen.system, seen.database) != (known.system, known.database):
        raise StoreReplaced("PostgreSQL: this is another database than the one before; restart Farebox to work on it")
    if seen.timeline is None or known.timeline is None:
        return
    if seen.timeline < known.timeline:
        raise StoreReplaced(
            f"PostgreSQL: this server is on timeline {int(seen.timeline, 16)}, another one was promoted to "
            f"{int(known.timeline, 16)}: it is out of date, and must not take writes"
        )
    if seen.timeline == known.timeline and seen.log_bytes < known.log_bytes:
        raise StoreReplaced(_WENT_BACK)


def _newer(one: _Seen, other: _Seen) -> _Seen:
    return max(one, other, key=lambda seen: (seen.timeline or "", seen.log_bytes))


async def _fetch_value(connection: Connection, statement: str, *values: object) -> int:
    found = await connection.fetch(statement, *values)
    value: int = found[0][0]
    return value
