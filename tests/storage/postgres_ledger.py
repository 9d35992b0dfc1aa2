"""A ledger on PostgreSQL with two funded merchants, and ways to spoil what a store does with it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from farebox.core.accounts import Account
from farebox.core.commands import Charge, Command, Payer, TopUp
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.state import reads
from farebox.storage.postgres import PostgresConnector
from farebox.storage.postgres.limits import LIMITS, PostgresLimits
from farebox.storage.records import ApiKey, Merchant
from farebox.storage.stores import Stores
from tests.storage.engines import opened_postgres

NOW: Final = 1_700_000_000_000_000
MERCHANT: Final = 1 << 50
UNIT: Final = 1_000_000
FUNDS: Final = 1_000_000 * UNIT

SLOW_COMMIT: Final = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(20); RETURN NEW; END $$;
CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON transfer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION dawdle();
"""
FAILING_COMMIT: Final = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'lost a race' USING ERRCODE = '40001'; END $$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON transfer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION fail();
"""

KILL: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = $1"

CATALOG: Final = (
    "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default"
    " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "SELECT relname, relkind::text, reloptions::text FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
)
"""What a database says of its own schema."""


@asynccontextmanager
async def ledger(url: str, *, through: str | None = None, limits: PostgresLimits = LIMITS) -> AsyncIterator[Stores]:
    """Make the schema and two funded merchants, and lend stores, `through` another URL and with other limits."""
    await Stores.over(PostgresConnector(url)).connector.migrate(NOW)
    async with opened_postgres(url) as stores:
        for number in range(2):
            merchant_id = MERCHANT + number
            await stores.merchants.create(
                Merchant(merchant_id, "Acme", NOW),
                Account(merchant_id, "USD"),
                ApiKey(number, 1, number.to_bytes(32, "big"), "fb…", NOW, merchant_id),
            )
            assert (await run(stores, TopUp(merchant_id, FUNDS, "first")))[0].is_ok
        await stores.prices.add(Price(1, "image", UNIT, NOW), NOW)
        if through is None and limits is LIMITS:
            yield stores
            return
    async with opened_postgres(through or url, limits) as stores:
        yield stores


async def run(stores: Stores, *commands: Command) -> list[Outcome]:
    decision = await stores.connector.transact(reads(commands, NOW), lambda state: decide(state, commands, NOW))
    return decision.outcomes


def charge(key: str, merchant_id: int = MERCHANT) -> Charge:
    return Charge(Payer(merchant_id), "image", 1, key)


async def wallet(stores: Stores, merchant_id: int = MERCHANT) -> int:
    account = await stores.accounts.find(merchant_id)
    assert account is not None
    return account.wallet


@asynccontextmanager
async def stranger(url: str, **settings: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of somebody else's."""
    connection = await asyncpg.connect(url, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    deadline = time.monotonic() + 10
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def is_waiting_for_a_lock(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    found = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    return bool(found)


def kill_sessions(url: str) -> None:
    """Kill every other session of the database; also from within `decide`, which can't await."""

    async def kill() -> None:
        async with stranger(url) as connection:
            await connection.fetch(KILL, urlsplit(url).path.lstrip("/"))

    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, kill()).result()


@asynccontextmanager
async def planning_session(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection with the store's own settings, to a database whose planner knows every table as empty."""
    await Stores.over(PostgresConnector(url)).connector.migrate(NOW)
    async with stranger(url, **LIMITS.session()) as connection:
        await connection.execute("VACUUM ANALYZE")
        yield connection


class Wire:
    """A connection to the server that passes everything on, until a statement comes that it is told to spoil."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.spoiled: bytes | None = None
        self.is_passed_on = True
        self.is_reply_lost = False
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    @property
    def url(self) -> str:
        assert self._listener is not None
        port = self._listener.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        return f"postgresql://{login}@127.0.0.1:{port}{self._parts.path}"

    async def __aenter__(self) -> "Wire":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there, back = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        is_spoiled = asyncio.Event()

        async def replies() -> None:
            while data := await there.read(1 << 16):
                if is_spoiled.is_set():
                    if self.is_reply_lost:
                        break
                    await self.go_on.wait()
                writer.write(data)
            writer.close()

        answering = asyncio.create_task(replies())
        try:
            while data := await reader.read(1 << 16):
                if self.spoiled is not None and self.spoiled in data:
                    self.spoiled = None
                    is_spoiled.set()
                    self.reached.set()
                    if not self.is_passed_on:
                        continue
                back.write(data)
        except ConnectionError:
            pass
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            for end in (writer, back):
                end.close()
