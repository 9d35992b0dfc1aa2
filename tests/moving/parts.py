"""Databases to copy between, rows for every column of every table, and a copy that is killed at any of its steps."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from farebox.moving.copier import Copied, Copier, CopyLimits, Faults, ledger_faults
from farebox.moving.database import Database
from farebox.moving.databases import database_at, open_source, open_target
from farebox.moving.tables import BOOLEAN, BYTES, INTEGER, MADE_BY_INIT, CopiedTable, Row
from farebox.storage.interface import Connector

NOW: Final = 1_700_000_000_000_000
SMALL: Final = CopyLimits(stretch_rows=3, round_changes=4, last_changes=1)
LARGE_NUMBER: Final = (1 << 62) + 1
TEXT: Final = 'it\'s "Ärger" \\ 漢字 🙂,\n{}'

SHORT: Final = bytes(range(8))

VALUES: Final[dict[str, dict[str, Any]]] = {
    "account": {
        "currency": "EUR",
        "wallet": 0,
        "held": 0,
        "revenue": 9,
        "funding": -LARGE_NUMBER,
        "adjustments": LARGE_NUMBER - 2,
        "promotions": -7,
        "given": 0,
        "owed": 0,
        "thresholds": '[["5", false]]',
    },
    "transfer": {
        "quantity": 2,
        "unit_price": 3,
        "amount": 5,
        "uncollected": 1,
        "kind": 1,
        "seq": 9,
        "refers_to": 8,
        "content": SHORT,
    },
    "hold": {"amount": 5, "captured": 5, "state": 2},
    "login": {"realm": 2, "roles": 7},
    "staff_key": {"kind": 3, "roles": 7},
    "merchant_user": {"role": 3},
    "alert": {"kind": 1, "threshold": 9, "posted": 8, "refused": None},
    "repeat": {"fingerprint": bytes(range(16))},
    "letter": {"state": 2},
    "lone_move": {},
    "approval": {
        "kind": 4,
        "content": SHORT,
        "state": 2,
        "requested_people": "1",
        "decided_people": "2",
        "requested_by": "a",
    },
    "credit_grant": {
        "state": 3,
        "fingerprint": SHORT,
        "remaining": 0,
        "starts_at": 1,
        "expires_at": 2,
        "types": '["x"]',
    },
    "delivery": {"channel": 1, "state": 2},
    "delivery_attempt": {"channel": 1},
    "destination": {"channel": 2, "state": 3},
    "period_count": {"period_unit": "day"},
    "key_budget": {"unit": 4},
    "shortfall": {"amount": 5, "owed": 4},
    "report_choice": {"kind": 2, "week_start": 7, "has_statement": 1},
    "report": {"kind": 2, "has_statement": 1},
    "runway_episode": {"days": 90},
}
"""What a row has where the schema allows less than any value of the column's kind."""


OTHERS: Final[dict[str, dict[str, Any]]] = {"alert": {"number": 2, "kind": 2, "threshold": None, "refused": 5}}
"""What a second row has, for columns that no one row can have."""


def rows_of(table: CopiedTable) -> list[Row]:
    """Make rows in which each column is set, as far as it can be to what it would not be by default."""
    usual = {INTEGER: 1, BYTES: bytes(range(32)), BOOLEAN: True}
    row = {
        column: NOW + 123_456 if column == "at" or column.endswith("_at") else usual.get(kind, TEXT)
        for column, kind in zip(table.columns, table.kinds, strict=True)
    }
    row |= VALUES.get(table.name, {})
    made = [row, {**row, **OTHERS[table.name]}] if table.name in OTHERS else [row]
    return [tuple(each[column] for column in table.columns) for each in made]


def at(url: str) -> Database:
    """Name the database of a URL."""
    return database_at(url, Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else None)


@asynccontextmanager
async def opened(source_url: str, target_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Lend a ledger and the database to copy it into."""
    source, target = at(source_url), at(target_url)
    try:
        await open_source(source)
        await open_target(target, NOW)
        yield source, target
    finally:
        await source.close()
        await target.close()


async def copied(
    source_url: str,
    target_url: str,
    *,
    is_finished: bool = True,
    is_switched: bool = False,
    faults: Faults = ledger_faults,
    wrap: Callable[[Database], Database] = lambda database: database,
) -> Copied:
    """Copy a ledger, a few rows at a time."""
    async with opened(source_url, target_url) as (source, target):
        copier = Copier(wrap(source), wrap(target), lambda: NOW, limits=SMALL, faults=faults)
        return await copier.run(is_finished=is_finished, is_switched=is_switched)


async def no_faults(_: Connector, __: Callable[[int], None]) -> AsyncIterator[str]:
    """Find nothing wrong with rows that are no ledger."""
    found: tuple[str, ...] = ()
    for fault in found:
        yield fault


async def all_rows(database: Database) -> dict[str, list[Row]]:
    """Read every row of every table."""
    return {table.name: await database.rows_after(table, None, 1 << 30) for table in await database.tables()}


async def fill(database: Database) -> None:
    """Put a row into each table, with each column set; the references between tables are checked at the end."""
    async with database.writing():
        tables = await database.tables()
        constraints = await database.drop_constraints(tables)
        for table in tables:
            if table.name in MADE_BY_INIT:
                await database.delete(table, [table.key_of(row) for row in await database.rows_after(table, None, 9)])
            await database.insert(table, rows_of(table))
        await database.restore_constraints(constraints)
        await database.finish(constraints)


class Killed(Exception):
    """The process is no more."""


class Fuse:
    """Burns down with each call of either database, and kills at its end."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def burn(self) -> None:
        self.calls -= 1
        if self.calls < 0:
            raise Killed


class Mortal:
    """A database that dies with its process, before a call or after it."""

    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._database = database
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._database, name)
        if not callable(attribute) or name == "connector":
            return attribute
        if name in ("reading", "writing", "frozen"):
            return lambda: self._transaction(attribute())

        async def call(*values: Any) -> Any:
            self._fuse.burn()
            return await attribute(*values)

        return call

    @asynccontextmanager
    async def _transaction(self, transaction: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        self._fuse.burn()
        async with transaction:
            yield
            self._fuse.burn()
        self._fuse.burn()


def names(tables: Sequence[CopiedTable]) -> set[str]:
    """Name tables with their columns."""
    return {f"{table.name}.{column}" for table in tables for column in table.columns}
