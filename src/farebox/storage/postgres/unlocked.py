"""Small batches of plain charges, decided on accounts that are not locked: read in one statement, written in another.

The second statement locks the accounts, sees that each is of the version still that was read, and writes all rows or
none. It needs no BEGIN and no COMMIT, and no lock is held while this process decides. A version is PostgreSQL's `xmin`,
which every change of a row moves. Nothing else that such a batch read can change under it: transfers are only appended,
and a key or a price that changes meanwhile counts from its own COMMIT on, which this batch may come before. A batch
that meets what an account's lock guards without a change to its row, such as budgets and grants, is one of the others.

A batch whose fate is unknown is looked up under locks. Its statement held none and may not have reached the server yet,
so the accounts are touched first: whenever it comes then, it finds other versions and writes nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from farebox.core.accounts import Kind
from farebox.core.state import BatchState, Decision, ReadSet, budgets_wanted, counted, grants_wanted
from farebox.storage import rows, sql
from farebox.storage.interface import CommitUnknown
from farebox.storage.postgres.batch import as_columns, state_from_rows
from farebox.storage.postgres.errors import translation
from farebox.storage.postgres.pool import Connection
from farebox.storage.postgres.transaction import run_to_its_end

COMMANDS_MAX: Final = 128
"""Larger batches go in by COPY, which is several round trips, so that BEGIN and COMMIT hardly matter to them."""

PASSES_MAX: Final = 256
"""How many batches are not tried at most after one that was tried in vain."""

_SQL: Final = sql.statements("postgres")
_OTHERS: Final = [name for name in Decision.__struct_fields__ if name not in ("outcomes", "accounts", "transfers")]
_READ: Final = ("merchant_ids", "staff_digests", "merchant_digests", "request_types", "merchant_types")
_NOT_READ: Final = [
    name for name in ReadSet.__struct_fields__ if name not in (*_READ, "now", "idempotency_keys", "is_lock_wanted")
]
"""What a batch may ask for that `load_unlocked` does not read."""


class Chances:
    """Tells whether to try the next batch without a lock, by how it went with those before.

    After each one in a row that was tried in vain, twice as many are not tried: so little is lost where most batches
    meet budgets or given credit, or other servers charge the same accounts.
    """

    def __init__(self) -> None:
        """Begin with hope."""
        self._passes = 0
        self._left = 0

    def are_good(self, reads: ReadSet) -> bool:
        """Whether the batch is small, asks for nothing but what charges need, and is worth the try."""
        if reads.is_lock_wanted or not 0 < len(reads.idempotency_keys) <= COMMANDS_MAX or not reads.merchant_types:
            return False
        if any(getattr(reads, name) for name in _NOT_READ):
            return False
        if self._left:
            self._left -= 1
            return False
        return True

    def learn(self, *, was_in_vain: bool) -> None:
        """Note how a try went."""
        self._passes = min(2 * self._passes + 1, PASSES_MAX) if was_in_vain else 0
        self._left = self._passes


async def load_unlocked(connection: Connection, reads: ReadSet) -> tuple[BatchState, Mapping[int, int]] | None:
    """Read what a batch needs and the versions of its accounts, or None if it needs more than is read here."""
    found: list[Any] = await connection.fetch(
        _SQL["load_unlocked"],
        reads.now,
        reads.staff_digests,
        *as_columns(reads.merchant_digests, 2),
        reads.request_types,
        *as_columns(reads.merchant_types, 2),
        *as_columns(reads.idempotency_keys, 2),
        reads.merchant_ids,
    )
    versions = {row[3][0]: row[3].pop() for row in found if row[0] == "account"}
    state = state_from_rows(found, [])
    if (
        any(account.given or account.owed for account in state.accounts.values())
        or any(transfer.kind == Kind.HOLD for transfer in state.replays.values())
        or grants_wanted(state, reads) is not None
        or budgets_wanted(state)
        or counted(state, reads.merchant_types, reads.now)
    ):
        return None
    return state, versions


def is_plain(decision: Decision) -> bool:
    """Whether a decision writes transfers and accounts alone."""
    return bool(decision.transfers) and not any(getattr(decision, name) for name in _OTHERS)


async def write_unlocked(
    connection: Connection, decision: Decision, versions: Mapping[int, int], commit_timeout_ms: int
) -> bool:
    """Write a plain decision and COMMIT, and tell whether it was done: not if an account is of another version by now.

    Nor is it if the server reports an error: that ends the statement, and its transaction with it, whatever it was.

    Raises:
        CommitUnknown: the connection broke, or no answer came in time.
        StoreUnavailable: an account was locked for too long; nothing was changed.
    """
    accounts = sorted(map(rows.account_to_row, decision.accounts))
    try:
        status = await run_to_its_end(
            connection,
            commit_timeout_ms,
            _SQL["write_unlocked"],
            *zip(*accounts, strict=True),
            *zip(*map(rows.transfer_to_row, decision.transfers), strict=True),
            [versions[row[0]] for row in accounts],
        )
    except CommitUnknown as error:
        cause = error.__cause__
        # A message that ends the session is more than an error, and may have come from a program between.
        if not isinstance(cause, asyncpg.PostgresError) or cause.severity_en != "ERROR":
            raise
        if isinstance(cause, asyncpg.LockNotAvailableError):
            raise translation(cause) from cause
        return False
    return status != "INSERT 0 0"
