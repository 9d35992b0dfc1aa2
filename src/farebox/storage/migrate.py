"""Which migrations a database has had, which it lacks, and when a program and a database don't fit each other."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import Struct

from farebox.storage.interface import SchemaMismatch, SchemaMissing

Write = tuple[str, tuple[Any, ...]]
"""A statement that writes, with PostgreSQL's parameters, and their values."""


class DataStep(Struct, frozen=True):
    """A part of a migration that SQL can't do: `plan` makes statements of what `reads` select, and of the time.

    The migration's script says where it comes, by a line that is DATA_STEP_LINE. It is done in the migration's own
    transaction.
    """

    reads: tuple[str, ...]
    plan: Callable[[Sequence[Sequence[Sequence[Any]]], int], Iterable[Write]]


DATA_STEP_LINE = "-- Here comes the data step.\n"

MIGRATION_TABLE = """
CREATE TABLE IF NOT EXISTS farebox_migration (
    name TEXT PRIMARY KEY,
    applied_at BIGINT NOT NULL
)
"""


def pending(known: Sequence[str], applied: Sequence[str]) -> list[str]:
    """Name the migrations to apply, in order.

    Args:
        known: this program's migrations.
        applied: those the database has had.

    Raises:
        SchemaMismatch: the database has had one that this program does not know: it is newer.
    """
    newer = sorted(set(applied) - set(known))
    if newer:
        raise SchemaMismatch(
            f"the database is newer than this program: it has {newer[-1]}, this program ends at {known[-1]}; "
            "run a newer Farebox"
        )
    return [name for name in known if name not in applied]


def check_current(known: Sequence[str], applied: Sequence[str]) -> None:
    """Refuse a database that lacks a migration or has one too many.

    Raises:
        SchemaMissing: there is no schema at all.
        SchemaMismatch: saying what to do.
    """
    missing = pending(known, applied)
    if not applied:
        raise SchemaMissing("the database has no Farebox schema yet; run: farebox init")
    if missing:
        raise SchemaMismatch(f"the database is older than this program: it lacks {missing[0]}; run: farebox init")
