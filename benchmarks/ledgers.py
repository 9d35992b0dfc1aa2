"""Ledgers to measure on, one engine each: made durable, asked whether they are, and verified in the end."""

import contextlib
import resource
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import asyncpg
import psutil
from msgspec import Struct

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core.money import format_amount
from farebox.service.clock import Clock
from farebox.service.operator.verifier import Verifier
from farebox.storage.sqlite import SqliteConnector
from tests.support.postgres import PostgresServer

EngineName = Literal["sqlite", "postgres"]
ENGINES: Final[tuple[EngineName, ...]] = ("sqlite", "postgres")

_SYNCHRONOUS_FULL: Final = 2


class NotDurable(Exception):
    """The engine answers before the disk does, so what is measured is not what is promised."""


class WrongLedger(Exception):
    """The ledger is not what its clients were told, so nothing measured on it counts."""


class Engine(Struct, frozen=True):
    """An engine ready to make ledgers. `pid` is its own first process, None if it is embedded."""

    name: EngineName
    create: Callable[[], str]
    """Makes an empty database and returns its URL."""

    folder: Path
    """Below it lie the files of a run that are to be on its disk."""


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
    processor_seconds: float


@contextlib.contextmanager
def engine(name: EngineName, folder: Path) -> Iterator[Engine]:
    """Have an engine at hand, its files below `folder` if it is embedded."""
    if name == "postgres":
        with PostgresServer(durable=True) as server:
            yield Engine(name, server.create_database, folder)
    else:
        yield Engine(name, lambda: f"sqlite:///{Path(tempfile.mkdtemp(dir=folder)) / 'farebox.db'}", folder)


def sqlite_path(url: str) -> Path | None:
    """Tell which file a database is in, None if it is PostgreSQL's."""
    return Settings.of(database_url=url).database_url.sqlite_path


class StoppedClock:
    """A clock that stands still, to make a ledger with a past."""

    def __init__(self, now: int) -> None:
        """Stand at `now`, microseconds since 1970."""
        self._now = now

    def now(self) -> int:
        """Tell the time."""
        return self._now


@contextlib.asynccontextmanager
async def opened(url: str, *, clock: Clock | None = None) -> AsyncIterator[Farebox]:
    """Open Farebox's parts over a database, with its schema; by the system's clock, or another."""
    farebox = Farebox.build(Settings.of(database_url=url), clock=clock)
    await farebox.stores.connector.migrate(farebox.clock.now())
    async with farebox.running():
        yield farebox


async def facts(farebox: Farebox) -> Facts:
    """Ask an open ledger what it runs on.

    Raises:
        NotDurable: a COMMIT does not wait for the disk.
    """
    connector = farebox.stores.connector
    if isinstance(connector, SqliteConnector):
        # These settings belong to a connection, so they are asked of the one that commits.
        writer = connector._writer
        settings = {} if writer is None else {name: writer.pragma(name) for name in ("journal_mode", "synchronous")}
        if settings != {"journal_mode": "wal", "synchronous": _SYNCHRONOUS_FULL}:
            raise NotDurable(f"{connector.engine}: {settings}")
        return Facts(connector.engine, "journal_mode=WAL, synchronous=FULL", None)
    connection = await asyncpg.connect(farebox.settings.database_url)
    try:
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")}
        # The process that serves a connection is a child of the server's first one, as long as the connection lasts.
        first_pid = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).ppid()
    finally:
        await connection.close()
    if set(settings.values()) != {"on"}:
        raise NotDurable(f"{connector.engine}: {settings}")
    durability = ", ".join(f"{name}={value}" for name, value in settings.items())
    return Facts(connector.engine, durability, first_pid)


async def verify(farebox: Farebox) -> Verified:
    """Replay every book of a ledger, as `farebox verify` does, and sum up what was charged.

    Once all books have replayed without a fault, each account's revenue is the sum of its charges. The workload moves
    money in three ways: each merchant is topped up once, some were given credit, all else is charges.

    Raises:
        WrongLedger: a book has a fault.
    """
    audit = Verifier(farebox.stores.connector)
    started, processor_started = time.perf_counter(), _processor_seconds()
    faults = [fault async for fault in audit.faults(None)]
    seconds, processor_seconds = time.perf_counter() - started, _processor_seconds() - processor_started
    if faults:
        raise WrongLedger(f"{len(faults)} faults: {faults[:5]}")
    charged = grants = 0
    async with farebox.stores.connector.snapshot() as snapshot:
        for merchant_id in await snapshot.merchant_ids():
            account = await snapshot.account(merchant_id)
            if account is not None:
                charged += account.revenue
                grants += account.grants_count
    return Verified(
        transfers=audit.transfers_count,
        charges=audit.transfers_count - audit.merchants_count - grants,
        charged_micros=charged,
        seconds=seconds,
        processor_seconds=processor_seconds,
    )


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


def _processor_seconds() -> float:
    """Sum up what this process and those that it started and waited for have spent."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
