"""Copies a ledger into another database while charges go on, and makes the switch.

Rows are read in the order of their keys, a stretch at a time, each in a transaction of its own: no moment has to be
held for hours. From before the first stretch on, triggers in the source note the key of every row that changes. Each
step brings the noted rows over first, as they are at that moment, as far as the copy has come to them, and then a
stretch of new ones. So the copy is at each step what the source was, up to where it has come, and a copy that was
killed anywhere goes on from there, whatever happened to the source meanwhile.
"""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.moving.comparison import compare_all, compare_keys
from farebox.moving.database import ChangedKey, Database, MoveRow
from farebox.moving.tables import MADE_BY_INIT, CopiedTable, Row, tables_to_copy
from farebox.service.operator.verifier import Verifier
from farebox.storage.interface import AlreadyExists, Connector, LedgerMoved, StorageError
from farebox.storage.ledger_move import MoveState, moved_words

Progress = Callable[[str, int, int], None]
"""Told what is done, how many rows of it are, and of how many in all."""

COPYING: Final = "Copying"
COMPARING: Final = "Comparing"
VERIFYING: Final = "Verifying"


class CopyLimits(Struct, frozen=True):
    """How much is read and written at once. A test may set others."""

    stretch_rows: int = 20_000
    round_changes: int = 20_000
    last_changes: int = 5_000
    """How many changes may be left over when the source is frozen for the last of them."""


LIMITS: Final = CopyLimits()


class Copied(Struct, frozen=True, rename="camel"):
    """What a copy came to."""

    rows: int
    tables: dict[str, int]
    is_finished: bool
    is_switched: bool
    seconds: float
    frozen_seconds: float


class Faulty(StorageError):
    """The copy, or the ledger that it is of, is not as it should be; the copy stays unfinished."""


Faults = Callable[[Connector, Callable[[int], None]], AsyncIterator[str]]
"""Tells what is wrong with a ledger, and meanwhile how many transfers were looked at."""


async def ledger_faults(connector: Connector, on_progress: Callable[[int], None]) -> AsyncIterator[str]:
    """Tell what `farebox verify` finds wrong with a ledger."""

    async def progressed() -> None:
        on_progress(verifier.transfers_count)

    verifier = Verifier(connector, on_progress=progressed)
    async for fault in verifier.faults(None):
        yield f"{ids.public_id(ids.MERCHANT, fault.merchant_id)}: {fault.text}"


class Copier:
    """One run of a copy, from wherever the last run came to."""

    def __init__(
        self,
        source: Database,
        target: Database,
        now: Callable[[], int],
        *,
        on_progress: Progress = lambda *_: None,
        limits: CopyLimits = LIMITS,
        faults: Faults = ledger_faults,
    ) -> None:
        """Copy between two databases that have the schema, and are open."""
        self._source = source
        self._target = target
        self._now = now
        self._on_progress = on_progress
        self._limits = limits
        self._faults = faults
        self._tables: list[CopiedTable] = []
        self._by_name: dict[str, CopiedTable] = {}
        self._row: MoveRow
        self._is_compared = False
        self._rows_total = 0
        self._counts: dict[str, int] = {}

    async def run(self, *, is_finished: bool, is_switched: bool) -> Copied:
        """Copy all that is missing, compare, verify; then open the target, and close the source if it is switched.

        Raises:
            AlreadyExists: the target is not empty, or belongs to another copy.
            Faulty: the two are not equal, or the ledger has faults.
        """
        started = time.monotonic()
        self._tables = tables_to_copy(await self._source.tables(), await self._target.tables())
        self._by_name = {table.name: table for table in self._tables}
        frozen_seconds = 0.0
        if await self._begin():
            self._rows_total = sum([await self._source.count(table) for table in self._tables])
            await self._copy()
            await self._check()
            while len(await self._round(self._limits.round_changes)) > self._limits.last_changes:
                self._on_progress(COPYING, self._row.rows_done, self._rows_total)
            await self._count()
            if not is_finished:
                return self._result(started, 0.0, is_finished=False, is_switched=False)
            frozen_seconds = await self._end(is_switched=is_switched)
            await self._open_target()
        else:
            await self._open_target()
            await self._count()
        return self._result(started, frozen_seconds, is_finished=True, is_switched=is_switched)

    async def _open_target(self) -> None:
        async with self._target.writing():
            await self._target.finish(self._row.constraints or "")
            await self._target.put_move_row(None)

    async def _count(self) -> None:
        """Count the target's rows: before the switch, as new servers wait for its end, and it takes seconds."""
        self._counts = {table.name: await self._target.count(table) for table in self._tables}

    def _result(self, started: float, frozen_seconds: float, *, is_finished: bool, is_switched: bool) -> Copied:
        seconds = round(time.monotonic() - started, 1)
        rows = sum(self._counts.values())
        return Copied(rows, self._counts, is_finished, is_switched, seconds, round(frozen_seconds, 3))

    async def _begin(self) -> bool:
        """Begin a copy, or find where an earlier run left it.

        Returns:
            Whether there is more to do than to open the target.
        """
        ours, theirs = await self._source.move_row(), await self._target.move_row()
        if theirs is None:
            await self._begin_target(ours)
            await self._begin_source()
            return True
        self._row = theirs
        if theirs.state in (MoveState.COPIED, MoveState.MOVED):
            raise AlreadyExists(f"{self._target.place} holds a ledger of its own, which has moved or is being copied")
        if ours is None and theirs.state == MoveState.WHOLE:
            return False
        if ours is None and theirs.state == MoveState.UNFINISHED and not theirs.rows_done:
            await self._begin_source()
        elif ours is None or ours.copy_id != theirs.copy_id:
            raise AlreadyExists(
                f"{self._target.place} holds a part of another copy, or of one that was given up: empty it"
            )
        elif ours.state == MoveState.MOVED:
            return False
        if theirs.state != MoveState.UNFINISHED:
            async with self._target.writing():
                await self._put(replace(theirs, state=MoveState.UNFINISHED))
        return True

    async def _begin_source(self) -> None:
        """Have the source note what changes from now on."""
        async with self._source.writing():
            await self._source.track(self._tables)
            await self._source.put_move_row(
                MoveRow(self._row.copy_id, MoveState.COPIED, self._target.place, self._row.started_at)
            )

    async def _begin_target(self, ours: MoveRow | None) -> None:
        """Mark an empty target as a copy that is not whole."""
        if ours is not None and ours.state == MoveState.MOVED:
            raise LedgerMoved(moved_words(ours.place))
        if ours is not None:
            raise AlreadyExists(
                f"this ledger is being copied to {ours.place}: name that with --to, or give that copy up with "
                "farebox copy --abandon"
            )
        async with self._target.writing():
            for table in self._tables:
                if table.name not in MADE_BY_INIT and await self._target.rows_after(table, None, 1):
                    raise AlreadyExists(f"{self._target.place} is not empty: its table {table.name} has rows")
            for name in MADE_BY_INIT:
                table = self._by_name[name]
                rows = await self._target.rows_after(table, None, self._limits.stretch_rows)
                await self._target.delete(table, [table.key_of(row) for row in rows])
            constraints = await self._target.drop_constraints(self._tables)
            self._row = MoveRow(
                secrets.token_hex(16),
                MoveState.UNFINISHED,
                self._source.place,
                self._now(),
                self._tables[0].name,
                constraints=constraints,
            )
            await self._target.put_move_row(self._row)
        if await self._source.move_row() is not None:
            await self._target.put_move_row(None)
            raise AlreadyExists(f"{self._target.place} is this ledger itself")

    async def _put(self, row: MoveRow) -> None:
        """Write how far the copy has come, unless another run has come further."""
        if await self._target.move_row() != self._row:
            raise AlreadyExists(f"another farebox copy works on {self._target.place}")
        await self._target.put_move_row(row)
        self._row = row

    async def _copy(self) -> None:
        """Bring all rows over that were not yet, and what changed of the others."""
        while self._row.table_name is not None:
            self._on_progress(COPYING, self._row.rows_done, self._rows_total)
            table = self._by_name[self._row.table_name]
            async with self._source.reading():
                changes = await self._source.changes(self._limits.round_changes)
                changed = await self._changed(changes)
                after = None if self._row.row_key is None else table.read_key(self._row.row_key)
                # A stretch stands beside rows as they are now, so what changed comes first, all of it.
                is_current = len(changes) < self._limits.round_changes
                rows = await self._source.rows_after(table, after, self._limits.stretch_rows) if is_current else []
            async with self._target.writing():
                await self._replace(changed)
                if rows:
                    await self._target.insert(table, rows)
                if is_current:
                    await self._put(self._further(table, rows))
            await self._forget(changes)
        self._on_progress(COPYING, self._row.rows_done, self._row.rows_done)
        async with self._target.writing():
            if await self._target.move_row() != self._row:
                raise AlreadyExists(f"another farebox copy works on {self._target.place}")
        while len(await self._round(self._limits.round_changes)) == self._limits.round_changes:
            pass

    def _further(self, table: CopiedTable, rows: Sequence[Row]) -> MoveRow:
        done = self._row.rows_done + len(rows)
        if len(rows) == self._limits.stretch_rows:
            return replace(self._row, row_key=table.written_key(table.key_of(rows[-1])), rows_done=done)
        place = self._tables.index(table) + 1
        name = self._tables[place].name if place < len(self._tables) else None
        return replace(self._row, table_name=name, row_key=None, rows_done=done)

    async def _changed(self, changes: Sequence[ChangedKey]) -> list[tuple[CopiedTable, list[Row], list[Row]]]:
        """Read what became of rows that changed, as far as the copy has come: their keys, and those that are there."""
        keys: dict[str, dict[Row, None]] = {}
        for change in changes:
            table = self._by_name[change.table_name]
            key = table.read_key(change.row_key)
            if self._is_reached(table, key):
                keys.setdefault(table.name, {})[key] = None
        return [
            (self._by_name[name], list(found), await self._source.rows_of(self._by_name[name], list(found)))
            for name, found in keys.items()
        ]

    def _is_reached(self, table: CopiedTable, key: Row) -> bool:
        """Whether the copy has come to a key: all others are yet to be read."""
        if self._row.table_name is None or table.name < self._row.table_name:
            return True
        if table.name > self._row.table_name or self._row.row_key is None:
            return False
        return key <= table.read_key(self._row.row_key)

    async def _replace(self, changed: Sequence[tuple[CopiedTable, list[Row], list[Row]]]) -> None:
        """Put rows as they are now in place of what the copy had; all old ones go first, for what must be unique."""
        for table, keys, rows in changed:
            gone = await self._target.delete(table, keys)
            self._counts[table.name] = self._counts.get(table.name, 0) + len(rows) - gone
        for table, _, rows in changed:
            if rows:
                await self._target.insert(table, rows)

    async def _round(self, limit: int) -> list[ChangedKey]:
        """Bring over what changed since the last round, once all tables are copied; compare it if all else was."""
        async with self._source.reading():
            changes = await self._source.changes(limit)
            changed = await self._changed(changes)
        async with self._target.writing():
            await self._replace(changed)
            if self._is_compared:
                await compare_keys(self._target, changed)
        await self._forget(changes)
        return changes

    async def _forget(self, changes: Sequence[ChangedKey]) -> None:
        if changes:
            async with self._source.writing():
                await self._source.forget(changes)

    async def _check(self) -> None:
        """Compare every row as of one moment, bring the references back, and verify the copy as a ledger.

        Raises:
            Faulty: it is not as it should be.
        """

        def compared(done: int) -> None:
            self._on_progress(COMPARING, done, self._row.rows_done)

        changes: list[ChangedKey] = []
        async with self._source.reading():
            changes = await self._source.changes(1 << 62)
            async with self._target.writing():
                await self._replace(await self._changed(changes))
            async with self._target.reading():
                fault = await compare_all(self._source, self._target, self._tables, self._limits.stretch_rows, compared)
        if fault is not None:
            raise Faulty(f"the copy is not what {self._source.place} is: {fault}; empty it and begin anew")
        await self._forget(changes)
        self._is_compared = True
        async with self._target.writing():
            await self._target.restore_constraints(self._row.constraints or "")
        await self._verify()

    async def _verify(self) -> None:
        connector = self._target.connector()
        await connector.open()
        try:
            transfers = await self._target.count(self._by_name["transfer"])
            faults = self._faults(connector, lambda done: self._on_progress(VERIFYING, done, transfers))
            async for fault in faults:
                raise Faulty(f"the ledger has a fault: {fault}; run: farebox verify")
        finally:
            await connector.close()

    async def _end(self, *, is_switched: bool) -> float:
        """Bring the last changes over while nobody writes, and close the source if it is switched.

        The source is closed before the target opens: a kill between the two leaves neither open, and the next run opens
        the target.

        Returns:
            For how many seconds the source took no writes.
        """
        started = time.monotonic()
        async with self._source.frozen():
            changes = await self._source.changes(1 << 62)
            changed = await self._changed(changes)
            async with self._target.writing():
                await self._replace(changed)
                await compare_keys(self._target, changed)
                await self._put(replace(self._row, state=MoveState.CLOSING if is_switched else MoveState.WHOLE))
            await self._source.untrack(self._tables)
            if is_switched:
                place = self._target.place
                await self._source.put_move_row(replace(self._row, state=MoveState.MOVED, place=place))
                await self._source.refuse_writes(self._tables, moved_words(place))
            else:
                await self._source.put_move_row(None)
        return time.monotonic() - started


async def abandon(source: Database) -> bool:
    """Give up the copy that is made of a ledger: note no changes any more. Tell whether there was one.

    Raises:
        AlreadyExists: the ledger has moved already.
    """
    row = await source.move_row()
    if row is None:
        return False
    if row.state != MoveState.COPIED:
        raise AlreadyExists(f"there is no copy to give up: this is a copy itself, or has moved to {row.place}")
    async with source.writing():
        await source.untrack(await source.tables())
        await source.put_move_row(None)
    return True
