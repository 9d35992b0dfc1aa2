"""The tests' own PostgreSQL: it starts wherever it comes from, keeps what was committed, and leaves nothing behind."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.postgres import PostgresError, PostgresServer, find_programs, wheel_programs


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


async def _store(url: str, number: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS number (value bigint NOT NULL)")
        await connection.execute("INSERT INTO number VALUES ($1)", number)
    finally:
        await connection.close()


async def _stored(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row["value"] for row in await connection.fetch("SELECT value FROM number ORDER BY value")]
    finally:
        await connection.close()


async def _setting(url: str, name: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SELECT current_setting($1)", name))
    finally:
        await connection.close()


async def test_each_test_gets_an_empty_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert 0 == await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    finally:
        await connection.close()


async def test_databases_are_apart_and_are_dropped(server: PostgresServer) -> None:
    with server.database() as first, server.database() as second:
        await _store(first, 1)
        await _store(second, 2)
        assert [1] == await _stored(first)
        assert [2] == await _stored(second)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(first)


async def test_a_database_in_use_is_dropped_all_the_same(server: PostgresServer) -> None:
    url = server.create_database()
    connection = await asyncpg.connect(url)
    server.drop_database(url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(url)
    connection.terminate()


@pytest.mark.parametrize("end", ["fast", "immediate", "kill"])
async def test_what_was_committed_is_there_after_a_restart_on_the_same_url(server: PostgresServer, end: str) -> None:
    with server.database() as url:
        await _store(url, 1)
        idle = await asyncpg.connect(url)
        match end:
            case "fast":
                server.stop("fast")
            case "immediate":
                server.stop("immediate")
            case _:
                server.kill()
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(url)
        server.start()
        await _store(url, 2)
        assert [1, 2] == await _stored(url)
        idle.terminate()


async def test_settings_and_durability_reach_the_server() -> None:
    with PostgresServer(settings={"deadlock_timeout": "250ms"}) as server:
        url = server.url("postgres")
        assert "250ms" == await _setting(url, "deadlock_timeout")
        assert "off" == await _setting(url, "fsync")
        server.stop()
        server.start(durable=True)
        assert "on" == await _setting(url, "fsync")
        assert "on" == await _setting(url, "synchronous_commit")


async def test_the_wheel_brings_a_server_that_runs() -> None:
    with PostgresServer(programs=wheel_programs()) as server, server.database() as url:
        await _store(url, 1)
        assert [1] == await _stored(url)


async def test_a_stranger_on_this_machine_is_not_let_in(server: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgresql://farebox:guess@127.0.0.1:{server.port}/postgres")


def test_misuse_is_named(server: PostgresServer) -> None:
    with pytest.raises(PostgresError, match="running already"):
        server.start()
    with pytest.raises(PostgresError, match="not running"):
        PostgresServer().stop()
    with pytest.raises(PostgresError, match="did not start"), PostgresServer(settings={"no_such_setting": "1"}):
        pass


def test_a_chosen_folder_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAREBOX_TEST_POSTGRES_BIN", str(tmp_path))
    assert tmp_path == find_programs.__wrapped__()


async def test_nothing_is_left_if_the_tests_are_killed() -> None:
    program = (
        "import time\n"
        "from tests.support.postgres import PostgresServer\n"
        "server = PostgresServer()\n"
        "server.start()\n"
        "print(server.port, server._folder, flush=True)\n"
        "time.sleep(60)\n"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ,
    )
    with tests:
        assert tests.stdout is not None
        port, folder = tests.stdout.readline().split()
        tests.kill()
    deadline = time.monotonic() + 10
    while Path(folder).exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(port))
