"""PostgreSQL on several hosts: which is used, what comes of one that is silent, and what a standby must have."""

import asyncio
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import pytest

from farebox.core.accounts import Account
from farebox.core.commands import Charge, Command, Payer, TopUp
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.state import BatchState, Decision, reads
from farebox.storage.figures import FigureStore
from farebox.storage.interface import CommitUnknown, StoreUnavailable
from farebox.storage.postgres import PostgresConnector
from farebox.storage.postgres.batch import SMALL_BATCH_TRANSFERS_MAX
from farebox.storage.postgres.hosts import Hosts, single_host_urls
from farebox.storage.postgres.limits import PostgresLimits
from farebox.storage.records import ApiKey, Merchant
from farebox.storage.stores import Stores
from tests.storage.engines import opened_postgres
from tests.support.postgres import PostgresServer
from tests.support.proxy import Proxy

NOW: Final = 1_700_000_000_000_000
MERCHANT: Final = 1 << 50
UNIT: Final = 1_000_000
FUNDS: Final = 1_000 * UNIT
CONNECTIONS: Final = 4
POLLS_MAX: Final = 500
POLL_PAUSE_S: Final = 0.02
SHORT: Final = PostgresLimits(connect_timeout_ms=2000, command_timeout_ms=500, commit_timeout_ms=500)
"""Those of stores that give up soon."""


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """A primary whose COMMIT waits for its standby."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """The standby that the primary waits for."""
    with primary.standby() as server:
        primary.wait_for_standby()
        yield server


@pytest.fixture
async def database(primary: PostgresServer, standby: PostgresServer) -> str:
    """The URL of a database with a funded merchant."""
    url = primary.create_database()
    await Stores.over(PostgresConnector(url)).connector.migrate(NOW)
    async with opened_postgres(url) as stores:
        await stores.merchants.create(
            Merchant(MERCHANT, "Acme", NOW),
            Account(MERCHANT, "USD"),
            ApiKey(1, 1, bytes(32), "fb…", NOW, MERCHANT),
        )
        await stores.prices.add(Price(1, "image", UNIT, NOW), NOW)
        assert (await _run(stores, TopUp(MERCHANT, FUNDS, "first")))[0].is_ok
    return url


async def _run(stores: Stores, *commands: Command) -> list[Outcome]:
    decision = await stores.connector.transact(reads(commands, NOW), lambda state: decide(state, commands, NOW))
    return decision.outcomes


def _charge(key: str) -> Charge:
    return Charge(Payer(MERCHANT), "image", 1, key)


def _on(url: str, hosts: str) -> str:
    """Return a database's URL with other hosts."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{hosts}").geturl()


def _address(server: PostgresServer) -> str:
    return f"127.0.0.1:{server.port}"


async def _port_of(stores: Stores) -> int:
    found = await stores.connector.fetch("SELECT current_setting('port')::int")
    port: int = found[0][0]
    return port


async def _connected(stores: Stores, count: int) -> None:
    """Let the store have so many connections, and none in use."""
    await asyncio.gather(*[stores.connector.fetch("SELECT pg_sleep(0.1)") for _ in range(count)])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/db", ["postgresql://h/db"]),
        ("postgresql:///db?host=a,b", ["postgresql:///db?host=a,b"]),
        (
            "postgresql://u:p%2C@a,b:6000/db",
            [
                "postgresql://u:p%2C@a/db?target_session_attrs=read-write",
                "postgresql://u:p%2C@b:6000/db?target_session_attrs=read-write",
            ],
        ),
        (
            "postgresql://[::1]:6000,b/db?sslmode=require&target_session_attrs=any",
            [
                "postgresql://[::1]:6000/db?sslmode=require&target_session_attrs=any",
                "postgresql://b/db?sslmode=require&target_session_attrs=any",
            ],
        ),
    ],
)
def test_hosts_are_told_apart_and_asked_for_writes(url: str, expected: list[str]) -> None:
    assert expected == single_host_urls(url)


@pytest.mark.parametrize("is_standby_first", [False, True])
async def test_the_host_that_takes_writes_is_used(
    database: str, primary: PostgresServer, standby: PostgresServer, is_standby_first: bool
) -> None:
    hosts = [_address(primary), _address(standby)]
    if is_standby_first:
        hosts.reverse()
    async with opened_postgres(_on(database, ",".join(hosts))) as stores:
        assert primary.port == await _port_of(stores)
        assert (await _run(stores, _charge("a")))[0].is_ok
        async with stores.connector.snapshot() as snapshot:
            assert 2 == len([transfer async for chunk in snapshot.transfers(MERCHANT) for transfer in chunk])


async def test_how_far_a_standby_is_behind_is_told(
    database: str, primary: PostgresServer, standby: PostgresServer
) -> None:
    async with opened_postgres(database) as stores:
        figures = FigureStore(stores.connector)
        standby._execute("SELECT pg_wal_replay_pause()")
        try:
            await _run(stores, _charge("a"))
            (found,) = await figures.standbys()
            assert "standby" == found.name
            assert found.lag_bytes > 0
        finally:
            standby._execute("SELECT pg_wal_replay_resume()")
        for _ in range(POLLS_MAX):
            (found,) = await figures.standbys()
            if found.lag_bytes == 0:
                break
            await asyncio.sleep(POLL_PAUSE_S)
        assert 0 == found.lag_bytes


async def test_a_standby_alone_serves_reads_and_refuses_charges(
    database: str, primary: PostgresServer, standby: PostgresServer
) -> None:
    async with opened_postgres(database) as stores:
        # A COMMIT waits until the standby has the log on its disk, not until it shows what stands there.
        await _run(stores, _charge("a"))
    async with opened_postgres(_on(database, _address(standby))) as stores:
        account = await stores.accounts.find(MERCHANT)
        assert account is not None
        assert account.wallet in (FUNDS, FUNDS - UNIT)
        with pytest.raises(StoreUnavailable, match="read-only"):
            await _run(stores, _charge("b"))


async def test_a_host_that_is_silent_does_not_keep_the_others_from_being_tried(
    database: str, primary: PostgresServer
) -> None:
    async with Proxy(database) as dark:
        dark.stall()
        async with opened_postgres(_on(database, f"{dark.address},{_address(primary)}"), SHORT) as stores:
            assert (await _run(stores, _charge("a")))[0].is_ok
            assert primary.port == await _port_of(stores)


async def test_many_that_meet_a_silent_host_at_once_all_come_to_the_next(
    database: str, primary: PostgresServer
) -> None:
    async with Proxy(database) as dark:
        dark.stall()
        hosts = Hosts(_on(database, f"{dark.address},{_address(primary)}"), SHORT.connect_timeout_ms)
        connections = await asyncio.gather(*[hosts.connect() for _ in range(CONNECTIONS)])
        assert [str(primary.port)] * CONNECTIONS == [await each.fetchval("SHOW port") for each in connections]
        # The next connection begins at the host that took these.
        assert hosts._urls[0].startswith(_on(database, _address(primary)))
        for each in connections:
            await each.close()


async def test_all_hosts_are_named_when_none_lets_us_in(database: str, standby: PostgresServer) -> None:
    async with Proxy(database) as dark:
        dark.stall()
        stores = Stores.over(PostgresConnector(_on(database, f"{dark.address},{_address(standby)}"), SHORT))
        with pytest.raises(StoreUnavailable) as raised:
            await stores.connector.open()
        assert f"{dark.address}: TimeoutError; {_address(standby)}: None of the hosts match" in str(raised.value)


async def test_when_one_connection_fell_silent_those_made_before_are_not_tried(database: str) -> None:
    async with Proxy(database) as network, opened_postgres(network.url, SHORT) as stores:
        await _connected(stores, CONNECTIONS)
        network.stall_old()
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await _run(stores, _charge("a"))
        for number in range(CONNECTIONS):
            assert (await _run(stores, _charge(f"k{number}")))[0].is_ok


@pytest.mark.parametrize("count", [1, SMALL_BATCH_TRANSFERS_MAX + 1], ids=["small", "COPY"])
async def test_a_batch_that_meets_silence_while_it_is_written_changes_nothing(database: str, count: int) -> None:
    commands = [_charge(f"k{number}") for number in range(count)]
    async with Proxy(database) as network, opened_postgres(network.url, SHORT) as stores:

        def fall_silent(state: BatchState) -> Decision:
            network.stall_old()
            return decide(state, commands, NOW)

        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await stores.connector.transact(reads(commands, NOW), fall_silent)
        network.cut_all()
        assert [False] * count == [outcome.is_replay for outcome in await _run(stores, *commands)]


async def test_when_one_commit_got_no_answer_those_made_before_are_not_tried(database: str) -> None:
    async with Proxy(database) as network, opened_postgres(network.url, SHORT) as stores:
        await _connected(stores, CONNECTIONS)
        network.stalls_at_commit = True
        with pytest.raises(CommitUnknown, match=r"no answer in 0\.5 seconds"):
            await _run(stores, _charge("a"))
        for _ in range(CONNECTIONS):
            assert (await _run(stores, _charge("a")))[0].is_ok


async def test_a_charge_that_the_standby_may_lack_is_not_told_as_done(
    database: str, primary: PostgresServer, standby: PostgresServer
) -> None:
    """A primary that crashed while COMMIT waited for the standby shows a charge that the standby never heard of."""
    standby.kill()
    try:
        async with opened_postgres(database, SHORT) as stores:
            with pytest.raises(CommitUnknown):
                await _run(stores, _charge("a"))
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(primary.start)
        async with opened_postgres(database, SHORT) as stores:
            account = await stores.accounts.find(MERCHANT)
            assert account is not None
            assert FUNDS - UNIT == account.wallet
            with pytest.raises(CommitUnknown):
                await _run(stores, _charge("a"))
    finally:
        await asyncio.to_thread(standby.start)
    await asyncio.to_thread(primary.wait_for_standby)
    async with opened_postgres(database, SHORT) as stores:
        assert (await _run(stores, _charge("a")))[0].is_replay
