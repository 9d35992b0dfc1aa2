"""Ledgers to measure on, one engine each: made durable, asked whether they are, and verified in the end."""

import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import asyncpg
import psutil
from msgspec import Struct

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.core.replay import Replay
from farebox.storage.interface import Snapshot
from farebox.storage.sqlite import SqliteStore
from tests.support.postgres import PostgresServer

EngineName = Literal["sqlite", "postgres"]
ENGINES: Final[tuple[EngineName, ...]] = ("sqlite", "postgres")

_SYNCHRONOUS_FULL: Final = 2


class NotDurable(Exception):
    """The engine answers before the disk does, so what is measured is not what is promised."""


class WrongLedger(Exception):
    """The ledger is not what its clients were told: whatever was measured on it is worthless."""


class Engine(Struct, frozen=True):
    """An engine ready to make ledgers. `pid` is its own first process, None if it is embedded."""

    name: EngineName
    create: Callable[[], str]
    """Makes an empty database and returns its URL."""


class Facts(Struct, frozen=True):
    """What a ledger runs on: the engine's version, what makes it durable, and the engine's own first process."""

    engine: str
    durability: str
    pid: int | None


class Acknowledged(Struct):
    """What a ledger's clients were told in all: how many charges went through, and what they come to."""

    charges: int = 0
    micros: int = 0


class Verified(Struct, frozen=True):
    """A ledger replayed from its first transfer to its last without a fault."""

    transfers: int
    charges: int
    charged_micros: int
    seconds: float


@contextlib.contextmanager
def engine(name: EngineName, folder: Path) -> Iterator[Engine]:
    """Have an engine at hand, its files below `folder` if it is embedded."""
    if name == "postgres":
        with PostgresServer(durable=True) as server:
            yield Engine(name, server.create_database)
    else:
        yield Engine(name, lambda: f"sqlite:///{Path(tempfile.mkdtemp(dir=folder)) / 'farebox.db'}")


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Farebox]:
    """Open Farebox's parts over a database, with its schema."""
    farebox = Farebox.build(Settings(database_url=url))
    await farebox.store.migrate(farebox.clock.now())
    async with farebox.running(is_server=False):
        yield farebox


async def facts(farebox: Farebox) -> Facts:
    """Ask an open ledger what it runs on.

    Raises:
        NotDurable: a COMMIT does not wait for the disk.
    """
    store = farebox.store
    if isinstance(store, SqliteStore):
        # These settings belong to a connection, so they are asked of the one that commits.
        writer = store._writer
        settings = {} if writer is None else {name: writer.pragma(name) for name in ("journal_mode", "synchronous")}
        if settings != {"journal_mode": "wal", "synchronous": _SYNCHRONOUS_FULL}:
            raise NotDurable(f"{store.engine}: {settings}")
        return Facts(store.engine, "journal_mode=WAL, synchronous=FULL", None)
    connection = await asyncpg.connect(farebox.settings.database_url)
    try:
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
        # The process that serves a connection is a child of the server's first one, as long as the connection lasts.
        first_pid = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).ppid()
    finally:
        await connection.close()
    if set(settings.values()) != {"on"}:
        raise NotDurable(f"{store.engine}: {settings}")
    durability = ", ".join(f"{name}={value}" for name, value in settings.items())
    return Facts(store.engine, durability, first_pid)


async def verify(farebox: Farebox) -> Verified:
    """Replay every book of a ledger.

    Raises:
        WrongLedger: a book has a fault.
    """
    started = time.perf_counter()
    transfers = charges = charged = 0
    async with farebox.store.snapshot() as snapshot:
        for merchant_id in await snapshot.merchant_ids():
            counts = await _replay(snapshot, merchant_id)
            transfers, charges, charged = transfers + counts[0], charges + counts[1], charged + counts[2]
    return Verified(transfers, charges, charged, time.perf_counter() - started)


def compare(verified: Verified, told: Acknowledged) -> None:
    """Hold a ledger to what its clients were told.

    Raises:
        WrongLedger: they were told otherwise.
    """
    if (verified.charges, verified.charged_micros) != (told.charges, told.micros):
        raise WrongLedger(
            f"the ledger has {verified.charges} charges of {format_amount(verified.charged_micros)} in all, "
            f"clients were told of {told.charges} of {format_amount(told.micros)}"
        )


async def _replay(snapshot: Snapshot, merchant_id: int) -> tuple[int, int, int]:
    """Replay one book; return how many transfers it has, how many of them are charges, and what those come to."""
    transfers = charges = charged = 0
    replay = Replay(merchant_id)
    faults: list[Any] = []
    async for chunk in snapshot.transfers(merchant_id):
        for transfer in chunk:
            faults.extend(replay.feed(transfer))
            if transfer.kind == Kind.CHARGE:
                charges += 1
                charged += transfer.amount
        transfers += len(chunk)
    account = await snapshot.account(merchant_id)
    if account is None:
        raise WrongLedger(f"merchant {merchant_id} has no account")
    faults.extend(replay.finish(account, await snapshot.holds(merchant_id), {}))
    if faults:
        raise WrongLedger(f"merchant {merchant_id}: {faults[:5]}")
    return transfers, charges, charged
