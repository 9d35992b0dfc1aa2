"""Whether a copy is what it is of: every row of every table, in the order of their keys."""

from collections.abc import Callable, Sequence

from farebox.moving.database import Database
from farebox.moving.tables import CopiedTable, Row
from farebox.storage.interface import StorageError


async def compare_all(
    source: Database,
    target: Database,
    tables: Sequence[CopiedTable],
    stretch_rows: int,
    on_progress: Callable[[int], None] = lambda _: None,
) -> str | None:
    """Say what differs first, or None if all rows are equal; both databases read one moment."""
    done = 0
    for table in tables:
        after: Row | None = None
        while True:
            ours = await source.rows_after(table, after, stretch_rows)
            theirs = await target.rows_after(table, after, stretch_rows)
            if ours != theirs:
                return _difference(table, ours, theirs)
            done += len(ours)
            on_progress(done)
            if len(ours) < stretch_rows:
                break
            after = table.key_of(ours[-1])
    return None


async def compare_keys(target: Database, changed: Sequence[tuple[CopiedTable, list[Row], list[Row]]]) -> None:
    """See that the rows with some keys are what they were read as, and that no other has one of these keys.

    Raises:
        StorageError: they are not.
    """
    for table, keys, rows in changed:
        theirs = await target.rows_of(table, keys)
        order = table.key_of
        if sorted(rows, key=order) != sorted(theirs, key=order):
            raise StorageError(f"rows of {table.name} are not what was just written")


def _difference(table: CopiedTable, ours: Sequence[Row], theirs: Sequence[Row]) -> str:
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            key = min(table.key_of(one), table.key_of(other))
            return f"the row {table.written_key(key)} of {table.name} differs, or is missing in one of the two"
    return f"{table.name} has more rows in one of the two"
