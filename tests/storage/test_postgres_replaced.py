"""PostgreSQL that another server, an earlier backup or an old primary takes the place of: nothing is promised on it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest

from farebox.core.accounts import Account
from farebox.core.commands import Command, TopUp
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.state import reads
from farebox.storage.interface import StoreReplaced, StoreUnavailable
from farebox.storage.postgres import PostgresConnector
from farebox.storage.records import ApiKey, Merchant
from farebox.storage.stores import Stores
from tests.storage.engines import opened_postgres
from tests.support.postgres import PostgresServer

NOW: Final = 1_700_000_000_000_000
MERCHANT: Final = 1 << 50
OTHER: Final = 2 << 50
UNIT: Final = 1_000_000


async def top_up(stores: Stores, reference: str, *, merchant_id: int = MERCHANT) -> Outcome:
    commands: list[Command] = [TopUp(merchant_id, UNIT, reference)]
    decision = await stores.connector.transact(reads(commands, NOW), lambda state: decide(state, commands, NOW))
    return decision.outcomes[0]


async def prepare(url: str) -> None:
    """Make a ledger of two merchants."""
    await PostgresConnector(url).migrate(NOW)
    async with opened_postgres(url) as stores:
        for number, merchant_id in enumerate((MERCHANT, OTHER), start=1):
            key = ApiKey(number, 1, bytes([number]) * 32, "fb…", NOW, merchant_id)
            await stores.merchants.create(Merchant(merchant_id, "Acme", NOW), Account(merchant_id, "USD"), key)
            assert (await top_up(stores, "first", merchant_id=merchant_id)).is_ok


def base_backup(server: PostgresServer, name: str = "backup") -> Path:
    """Copy the running server's data beside it."""
    folder = server.folder / name
    server.shell(f"pg_basebackup --pgdata='{folder}' --dbname='{server.url('postgres')}' --checkpoint=fast")
    return folder


def put_back(server: PostgresServer, backup: Path) -> None:
    """Stop the server and start it again on a backup's data."""
    server.stop("immediate")
    data = server.folder / "data"
    server.shell(f"rm -rf '{data}'; cp -a '{backup}' '{data}'")
    server.start()


def recover_to_new_timeline(server: PostgresServer, backup: Path) -> None:
    """Put a backup back as its manual says, so that the server begins a timeline of its own."""
    server.shell(
        f"touch '{backup}/recovery.signal'; echo \"restore_command = 'false'\" >>'{backup}/postgresql.auto.conf'"
    )
    put_back(server, backup)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def database(server: PostgresServer) -> str:
    url = server.create_database()
    await prepare(url)
    return url


async def see_refused(stores: Stores, match: str) -> None:
    """See that whatever is asked of the database is refused, and goes on being."""
    # The first connections may be found to be cut.
    for number in range(3):
        for merchant_id in (OTHER, MERCHANT):
            with pytest.raises(StoreUnavailable):
                await top_up(stores, f"late {number}", merchant_id=merchant_id)
    with pytest.raises(StoreReplaced, match=match):
        await stores.connector.check()
    with pytest.raises(StoreReplaced, match=match):
        await stores.connector.check_writable()
    with pytest.raises(StoreReplaced, match=match):
        await stores.accounts.find(MERCHANT)
    with pytest.raises(StoreReplaced, match=match):
        async with stores.connector.snapshot():
            pass


async def top_up_until_taken(stores: Stores, reference: str) -> None:
    """Top up again and again, until a connection leads to a server that takes it."""
    async with asyncio.timeout(60):
        while True:
            with suppress(StoreUnavailable):
                assert (await top_up(stores, reference)).is_ok
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("restore", [put_back, recover_to_new_timeline], ids=lambda restore: restore.__name__)
async def test_a_server_restored_from_an_earlier_backup_is_noticed(
    database: str, server: PostgresServer, restore: Callable[[PostgresServer, Path], None]
) -> None:
    backup = base_backup(server, restore.__name__)
    async with opened_postgres(database) as stores:
        assert (await top_up(stores, "after the backup")).is_ok
        restore(server, backup)
        await see_refused(stores, "went back to an earlier time")
    # To start again is to go on from there.
    async with opened_postgres(database) as stores:
        assert (await top_up(stores, "after the restart")).is_ok


async def test_a_process_that_committed_nothing_notices_by_what_it_has_seen(
    database: str, server: PostgresServer
) -> None:
    backup = base_backup(server, "for_idlers")
    async with opened_postgres(database) as stores, opened_postgres(database) as idle:
        assert (await top_up(stores, "after the backup")).is_ok
        # As a server does every second.
        await idle.connector.check()
        put_back(server, backup)
        await see_refused(idle, "went back to an earlier time")


@pytest.mark.parametrize("way", ["stopped", "killed", "restored", "restored on a new timeline"])
async def test_a_server_that_comes_back_with_all_that_was_committed_is_the_same(
    database: str, server: PostgresServer, way: str
) -> None:
    async with opened_postgres(database) as stores:
        assert (await top_up(stores, "before")).is_ok
        if way.startswith("restored"):
            backup = base_backup(server, f"of_now_{len(way)}")
            (put_back if way == "restored" else recover_to_new_timeline)(server, backup)
        else:
            (server.stop if way == "stopped" else server.kill)()
            server.start()
        await top_up_until_taken(stores, "after")
        await stores.connector.check()


async def test_another_server_at_the_same_address_is_noticed(database: str, server: PostgresServer) -> None:
    async with opened_postgres(database) as stores:
        assert (await top_up(stores, "before")).is_ok
        server.stop()
        stranger = PostgresServer(original=server)
        stranger.port, stranger._admin_url = server.port, server._admin_url
        with stranger:
            stranger._execute(f"CREATE DATABASE {_name(database)} TEMPLATE template0")
            await prepare(database)
            await see_refused(stores, "another database")
        server.start()
        # The right one is back.
        await top_up_until_taken(stores, "after")


async def test_a_database_made_anew_under_the_same_name_is_noticed(database: str, server: PostgresServer) -> None:
    async with opened_postgres(database) as stores:
        assert (await top_up(stores, "before")).is_ok
        server.drop_database(database)
        server._execute(f"CREATE DATABASE {_name(database)} TEMPLATE template0")
        await prepare(database)
        await see_refused(stores, "another database")


async def test_tables_that_were_restored_under_open_connections_are_noticed(
    database: str, server: PostgresServer
) -> None:
    async with opened_postgres(database) as stores:
        dump = server.folder / "dump"
        server.shell(f"pg_dump --format=custom --file='{dump}' '{database}'")
        assert (await top_up(stores, "after the dump")).is_ok
        server.shell(f"pg_restore --clean --single-transaction --dbname='{database}' '{dump}'")
        # A merchant whose book went back is noticed; then no other's is served either.
        with pytest.raises(StoreUnavailable):
            await top_up(stores, "late")
        await see_refused(stores, "went back to an earlier time")


async def test_a_primary_that_was_replaced_by_its_standby_and_came_back_is_not_written_to() -> None:
    with PostgresServer() as primary:
        database = primary.create_database()
        await prepare(database)
        with primary.standby() as standby:
            primary.wait_for_standby()
            both = _with_hosts(database, f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}")
            async with opened_postgres(both) as stores:
                assert (await top_up(stores, "before")).is_ok
                primary.kill()
                standby.promote()
                await top_up_until_taken(stores, "promoted")
                # The old primary comes back as if nothing had been, and would not wait for a standby any more.
                standby.kill()
                primary.shell(f"echo \"synchronous_standby_names = ''\" >>'{primary.folder}/data/postgresql.auto.conf'")
                primary.start()
                for _ in range(3):
                    with pytest.raises(StoreUnavailable):
                        await top_up(stores, "late", merchant_id=OTHER)
                with pytest.raises(StoreUnavailable, match="must not take writes"):
                    await stores.connector.check()
                # With its successor back, that one is used.
                standby.start()
                await top_up_until_taken(stores, "both are there")
                assert standby.port == (await stores.connector.fetch("SELECT current_setting('port')::int"))[0][0]


async def test_a_role_that_may_not_ask_who_the_server_is_is_served(database: str, server: PostgresServer) -> None:
    server._execute(f"GRANT ALL ON DATABASE {_name(database)} TO public")
    connection = await asyncpg.connect(database)
    await connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public")
    await connection.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    await connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
    await connection.close()
    parts = urlsplit(database)
    plain = parts._replace(netloc=f"plain:plain@{parts.netloc.rpartition('@')[2]}").geturl()
    async with opened_postgres(plain) as stores:
        assert (await top_up(stores, "plain")).is_ok
        await stores.connector.check()


def _name(url: str) -> str:
    return urlsplit(url).path.lstrip("/")


def _with_hosts(url: str, hosts: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{hosts}").geturl()
