"""Which shard of a Citus database a merchant's rows are in, and how a batch's statements name it.

Citus spreads tables over servers by the hash of a row's merchant. A batch stays within one shard, so that one server
locks, reads, writes and commits it, in one phase. What tells Citus the shard is a list of merchants that all are in it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from msgspec import Struct

from farebox.storage import sql
from farebox.storage.interface import StorageError
from farebox.storage.postgres.pool import Connection

ROUTED_MERCHANTS_KEPT: Final = 1 << 17
"""Of how many merchants the hash is remembered: it takes some microseconds to make."""

_SQL: Final = sql.statements("citus")
CLAIMS: Final = {sql.statements("postgres")["claim_mails"]: _SQL["lease_mails"]}
"""Statements that claim in all shards, and what leases it in one of them."""
_WORD: Final = (1 << 32) - 1


class Shape(Struct, frozen=True):
    """A statement as Citus takes it; `names_shard` tells that the batch's merchants are its last parameter."""

    text: str
    names_shard: bool


def _shapes() -> dict[str, Shape]:
    """Tell by each statement of PostgreSQL's that Citus takes in another shape what that is."""
    plain = sql.statements("postgres")
    return {
        plain[name]: Shape(_SQL[name], sql.parameters_count(_SQL[name]) > sql.parameters_count(plain[name]))
        for name in plain
        if plain[name] != _SQL[name]
    }


_SHAPES: Final = _shapes()
_Key = TypeVar("_Key", bound=tuple[Any, ...])


@lru_cache(ROUTED_MERCHANTS_KEPT)
def hash_of(merchant_id: int) -> int:
    """Hash a merchant's number as PostgreSQL's hashint8 does, to a whole number of 32 bits with a sign."""
    high = merchant_id >> 32 & _WORD
    hashed = _mixed((merchant_id & _WORD) ^ (high if merchant_id >= 0 else ~high & _WORD))
    return hashed - (1 << 32) if hashed >> 31 else hashed


def _mixed(word: int) -> int:
    """Mix one word as PostgreSQL's hash_bytes_uint32 does, which is the end of Bob Jenkins's lookup3."""
    b = c = 0x9E37_79B9 + 4 + 3_923_095
    a = (b + word) & _WORD
    c = ((c ^ b) - _rotated(b, 14)) & _WORD
    a = ((a ^ c) - _rotated(c, 11)) & _WORD
    b = ((b ^ a) - _rotated(a, 25)) & _WORD
    c = ((c ^ b) - _rotated(b, 16)) & _WORD
    a = ((a ^ c) - _rotated(c, 4)) & _WORD
    b = ((b ^ a) - _rotated(a, 14)) & _WORD
    return ((c ^ b) - _rotated(b, 24)) & _WORD


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _WORD


class ShardMap:
    """The shards of the ledger's tables, which all are divided alike: each has the hashes from its first one on."""

    def __init__(self, first_hashes: Iterable[int]) -> None:
        """Take the least hash of each shard."""
        self._first_hashes = sorted(first_hashes)

    def shard_of(self, merchant_id: int) -> int:
        """Tell the place of the merchant's shard among all, from 0 on."""
        return bisect_right(self._first_hashes, hash_of(merchant_id)) - 1

    def grouped(self, keys: Iterable[_Key]) -> list[list[_Key]]:
        """Sort keys, each with its merchant first, by shard."""
        groups: dict[int, list[_Key]] = {}
        for key in keys:
            groups.setdefault(self.shard_of(key[0]), []).append(key)
        return list(groups.values())


async def read_shard_map(connection: Connection) -> ShardMap | None:
    """Read how the ledger's tables are divided; None on a plain PostgreSQL, or where they are not."""
    if await connection.fetchval("SELECT to_regclass('pg_catalog.pg_dist_shard')") is None:
        return None
    found: list[Any] = await connection.fetch(_SQL["shards"])
    return ShardMap(row[0] for row in found) if found else None


def within_shard(connection: Connection, merchant_ids: Sequence[int]) -> Connection:
    """Let what is done for merchants of one shard use a connection as on a plain PostgreSQL."""
    return cast("Connection", ShardedConnection(connection, merchant_ids))


class ShardedConnection:
    """A connection whose statements go in the shape that Citus takes, and name the shard of these merchants."""

    def __init__(self, connection: Connection, merchant_ids: Sequence[int]) -> None:
        """Lend a connection to what is done for merchants of one shard."""
        self._connection = connection
        self._merchant_ids = merchant_ids

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        """Run a statement; one that takes rows as columns has to write them all.

        Raises:
            StorageError: it did not.
        """
        shape = _SHAPES.get(statement)
        if shape is None or not shape.names_shard:
            return list(await self._connection.fetch(shaped(statement), *values))
        if shape.text.startswith("INSERT"):
            await self._insert(shape.text, values)
            return []
        return list(await self._connection.fetch(shape.text, *values, self._merchant_ids))

    async def execute(self, statement: str, *values: Any) -> str:
        """Run a statement that takes one row's values, and return what the server says of it."""
        return await self._connection.execute(shaped(statement), *values)

    async def copy_records_to_table(
        self, table: str, *, records: Iterable[tuple[Any, ...]], columns: Sequence[str] = ()
    ) -> None:
        """Insert rows, all columns of them: a COPY would make Citus commit in two phases."""
        await self._insert(_SQL[f"insert_into_{table}"], tuple(zip(*records, strict=True)))

    async def _insert(self, text: str, columns: Sequence[Any]) -> None:
        status = await self._connection.execute(text, *columns, self._merchant_ids)
        written = int(status.rpartition(" ")[2])
        if written != len(columns[0]):
            raise StorageError(f"Citus wrote {written} of {len(columns[0])} rows")


async def owe_deliveries(connection: Connection, alerts: Iterable[tuple[int, int]]) -> None:
    """Owe alerts of a batch, by merchant and number, to those who want them.

    One statement that reads and writes them would go to each shard, as destinations are copied to all servers.
    """
    owed = [tuple(row) for alert in alerts for row in await connection.fetch(_SQL["owed_deliveries"], *alert)]
    if owed:
        await connection.copy_records_to_table("delivery", records=owed)


async def claim(connection: Connection, shards: ShardMap, lease: str, *values: Any) -> list[Any]:
    """Take mails that are due, as `claim_mails` does: they are found in all shards, and leased shard by shard.

    What another claimer takes at this moment is waited for, and then due no more.
    """
    now, until, limit, after = values
    found: list[Any] = await connection.fetch(_SQL["due_mails"], now, limit, after)
    claimed: list[Any] = []
    for group in shards.grouped(tuple(row) for row in found):
        columns = tuple(zip(*group, strict=True))
        claimed += await connection.fetch(lease, *columns, now, until)
    return claimed


def shaped(statement: str) -> str:
    """Write a statement in the shape that Citus takes, if it names no shard."""
    shape = _SHAPES.get(statement)
    return statement if shape is None or shape.names_shard else shape.text
