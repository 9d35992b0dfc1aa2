"""What a move asks of each database; one module for each engine answers it."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from farebox.moving.tables import CopiedTable, Row
from farebox.storage.interface import Connector, StoreUnavailable
from farebox.storage.ledger_move import MoveState


class BeingServed(StoreUnavailable):
    """A server, or another command, works with the ledger that was to be left alone."""


class MoveRow(Struct, frozen=True):
    """What a database tells of its own part in a move."""

    copy_id: str
    state: MoveState
    place: str
    started_at: int
    table_name: str | None = None
    row_key: str | None = None
    rows_done: int = 0
    constraints: str | None = None


class ChangedKey(Struct, frozen=True):
    """A row that changed since the copy began, and the number under which the source noted it."""

    number: int
    table_name: str
    row_key: str


class Database(Protocol):
    """One database of a move, on a connection of its own. Statements run in the transaction that is open, if one is."""

    place: str
    """What people know it by, without its password."""

    def connector(self) -> Connector:
        """Make a connector to it that is let in although it is a copy under way; not open yet."""
        ...

    async def open(self) -> None:
        """Connect."""
        ...

    async def close(self) -> None:
        """Disconnect. Safe to repeat."""
        ...

    async def keep_others_out(self) -> None:
        """Let nobody else write until it is closed.

        Raises:
            BeingServed: somebody is at work in it.
        """
        ...

    def reading(self) -> AbstractAsyncContextManager[None]:
        """See one moment within the block, however long, and hold up nobody."""
        ...

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Do all within the block, or nothing; it is durable at the end."""
        ...

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """As `writing`, while no one else writes anything."""
        ...

    async def tables(self) -> list[CopiedTable]:
        """List all tables that are copied.

        Raises:
            SchemaMismatch: one has no primary key.
            StorageError: one has a column of a kind that no other engine is known to have.
        """
        ...

    async def count(self, table: CopiedTable) -> int:
        """Count a table's rows."""
        ...

    async def rows_after(self, table: CopiedTable, key: Row | None, limit: int) -> list[Row]:
        """Read rows in the order of their keys, by the bytes of texts, behind a key or from the beginning."""
        ...

    async def rows_of(self, table: CopiedTable, keys: Sequence[Row]) -> list[Row]:
        """Read the rows with these keys; those that are not there are absent."""
        ...

    async def delete(self, table: CopiedTable, keys: Sequence[Row]) -> int:
        """Delete the rows with these keys; tell how many were there."""
        ...

    async def insert(self, table: CopiedTable, rows: Sequence[Row]) -> None:
        """Insert rows."""
        ...

    async def move_row(self) -> MoveRow | None:
        """Read the database's part in a move, if it has one."""
        ...

    async def put_move_row(self, row: MoveRow | None) -> None:
        """Write the database's part in a move in place of what was there; None takes it away."""
        ...

    async def drop_constraints(self, tables: Sequence[CopiedTable]) -> str:
        """Do without references between tables for as long as rows come in any order; tell what brings them back."""
        ...

    async def restore_constraints(self, constraints: str) -> None:
        """Bring references back, and check them; safe to repeat. Rows may still break them within a transaction.

        Raises:
            StorageError: a row refers to one that is not there.
        """
        ...

    async def finish(self, constraints: str) -> None:
        """Leave the schema as `farebox init` made it."""
        ...

    async def track(self, tables: Sequence[CopiedTable]) -> None:
        """Have the key of each row that changes noted from now on."""
        ...

    async def untrack(self, tables: Sequence[CopiedTable]) -> None:
        """Note nothing more, and forget what was noted. Safe to repeat."""
        ...

    async def changes(self, limit: int) -> list[ChangedKey]:
        """Read what was noted, the oldest first."""
        ...

    async def forget(self, changes: Sequence[ChangedKey]) -> None:
        """Forget what was noted, once the copy has it."""
        ...

    async def refuse_writes(self, tables: Sequence[CopiedTable], message: str) -> None:
        """Have the database itself refuse each write to the ledger from now on, with a message."""
        ...
