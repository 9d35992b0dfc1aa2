"""Where a ledger that is copied or has moved stands, as its own database tells, and who may not serve it."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

from farebox.storage.interface import CopyUnfinished, LedgerMoved

MOVED_SQLSTATE: Final = "FB001"
MOVED_PREFIX: Final = "farebox: "
"""How the message begins by which a ledger that has moved refuses every write, on SQLite."""

MIGRATION: Final = "0024_moving"
"""Since which migration a database tells it; one that a test keeps at an earlier state does not."""

READ_STATE: Final = "SELECT state, place FROM ledger_move"


class MoveState(IntEnum):
    """What a database is in a move; the numbers are the database's."""

    COPIED = 1
    """A copy of it is made, and it goes on."""
    UNFINISHED = 2
    """It is a copy that is not whole."""
    WHOLE = 3
    """It is a copy that is whole, and has only to be opened."""
    CLOSING = 4
    """It is a copy that is whole, and waits for the ledger that it is of to be closed."""
    MOVED = 5


def moved_words(place: str) -> str:
    """Say that a ledger has moved, and what to do."""
    return f"this ledger has moved to {place}: set FAREBOX_DATABASE_URL to that and restart"


def check_served(rows: Sequence[Sequence[Any]]) -> None:
    """Refuse a database that must not be served, as READ_STATE tells.

    Raises:
        LedgerMoved: it has moved.
        CopyUnfinished: it is a copy that is not whole, or that takes the place of another ledger which goes on.
    """
    for state, place in rows:
        if state == MoveState.MOVED:
            raise LedgerMoved(moved_words(place))
        if state != MoveState.COPIED:
            raise CopyUnfinished(
                f"this database is a copy of {place} that is not finished: go on with it there, with farebox copy, or "
                "empty it"
            )
