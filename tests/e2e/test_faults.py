"""A database that is away, full, read-only or of another version: clear answers meanwhile, the truth afterwards."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from farebox.core.commands import Charge, Payer
from tests.e2e.traffic import Traffic, check_books
from tests.support.postgres import PostgresServer
from tests.support.server import Seeds, Server, ServerError, open_farebox, seed
from tests.support.wire import Client
from tests.tidy.files import ROOT

IMAGE_MICROS: Final = 10_000
PAID_MICROS: Final = 100_000_000
POLLS_MAX: Final = 3_000
POLL_PAUSE_S: Final = 0.02
TROUBLES: Final = 50
BALANCE_FAILED: Final = b'{"isSuccess":false,"statusCode":500,"errorMessage":"Internal server error","data":null}'


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that tests may stop."""
    with PostgresServer() as server:
        yield server


async def _prepare(database_url: str) -> Seeds:
    async with open_farebox(database_url) as farebox:
        return await seed(farebox)


async def _check(database_url: str, seeds: Seeds, charged: int) -> None:
    async with open_farebox(database_url) as farebox:
        await check_books(farebox, seeds, charged=charged, balance_micros=PAID_MICROS - charged * IMAGE_MICROS)


async def _verify(database_url: str, tmp_path: Path) -> None:
    """Check the ledger as its operator would."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farebox", "verify"),
        cwd=tmp_path,
        env={**os.environ, "FAREBOX_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await command.communicate()
    assert 0 == command.returncode, output.decode()


async def _charge(server: Server, seeds: Seeds, key: str) -> tuple[int, str | None, bool]:
    """Charge once and return status, code and whether it was a replay."""
    content = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": key}
    client = Client(server.port, seeds.service_key)
    status, headers, body = await client.send("POST", "/api/charges", json.dumps(content).encode())
    await client.close()
    assert status == json.loads(body)["statusCode"]
    return status, headers.get("x-error-code"), "idempotent-replay" in headers


async def _balance(server: Server, seeds: Seeds) -> tuple[int, bytes]:
    client = Client(server.port, seeds.merchant_key)
    status, _, body = await client.send("GET", "/api/balance")
    await client.close()
    return status, body


async def _ready(server: Server) -> tuple[int, str | None]:
    """Ask whether the server is ready, and why not; that it lives it says all the time."""
    client = Client(server.port, "")
    assert 200 == (await client.send("GET", "/healthz"))[0]
    status, _, body = await client.send("GET", "/readyz")
    await client.close()
    return status, json.loads(body)["reason"]


async def _until_ready(server: Server) -> None:
    for _ in range(POLLS_MAX):
        if await _ready(server) == (200, None):
            return
        await asyncio.sleep(POLL_PAUSE_S)
    raise AssertionError("The server did not become ready.")


async def _poll_balance(server: Server, seeds: Seeds, until: Callable[[int, bytes], bool]) -> int:
    """Poll as a client does until an answer is as it should be; return how often it was asked."""
    for number in range(1, POLLS_MAX + 1):
        if until(*await _balance(server, seeds)):
            return number
        await asyncio.sleep(POLL_PAUSE_S)
    raise AssertionError("The balance did not become what was waited for.")


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
async def test_postgres_that_goes_away_under_load_costs_no_charge_and_doubles_none(
    own_postgres: PostgresServer, is_killed: bool, tmp_path: Path
) -> None:
    database_url = own_postgres.create_database()
    seeds = await _prepare(database_url)
    with Server(database_url) as one, Server(database_url) as other:
        traffic = Traffic([one, other], seeds)
        keys = [f"k{number}" for number in range(500)]
        running = asyncio.create_task(traffic.charge_until_answered(keys))
        await traffic.reached(100)
        await asyncio.to_thread(own_postgres.kill if is_killed else own_postgres.stop)
        # The contract knows one answer to trouble, and the server gives it for as long as the trouble lasts.
        await _poll_balance(one, seeds, lambda status, body: (500, BALANCE_FAILED) == (status, body))
        for server in (one, other):
            for _ in range(5):
                assert (500, BALANCE_FAILED) == await _balance(server, seeds)
            assert server.is_running()
        await asyncio.to_thread(own_postgres.start)
        await running
        await _poll_balance(one, seeds, lambda status, _: status == 200)
        assert 500 == len(traffic.acknowledged)
        assert 500 == len({answer.transfer_id for answer in traffic.answers.values()})
        assert not traffic.lost
        first = {key: answer.body for key, answer in traffic.answers.items()}
        await traffic.charge_once(keys)
        assert first == {key: answer.body for key, answer in traffic.answers.items()}
        assert all(answer.is_replay for answer in traffic.answers.values())
    await _check(database_url, seeds, 500)
    await _verify(database_url, tmp_path)


async def test_postgres_that_is_away_is_told_at_once_and_its_return_is_noticed(own_postgres: PostgresServer) -> None:
    database_url = own_postgres.create_database()
    seeds = await _prepare(database_url)
    with Server(database_url) as server:
        assert (200, None, False) == await _charge(server, seeds, "before")
        own_postgres.stop()
        try:
            for _ in range(3):
                assert (503, "unavailable", False) == await _charge(server, seeds, "meanwhile")
                assert (500, BALANCE_FAILED) == await _balance(server, seeds)
                assert (503, "database_unavailable") == await _ready(server)
        finally:
            own_postgres.start()
        await _poll_balance(server, seeds, lambda status, _: status == 200)
        await _until_ready(server)
        assert (200, None, False) == await _charge(server, seeds, "meanwhile")
        assert (200, None, True) == await _charge(server, seeds, "before")
    await _check(database_url, seeds, 2)


async def test_full_disk_is_a_503_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = await _prepare(database_url)
    with Server(database_url) as server:
        assert (200, None, False) == await _charge(server, seeds, "before")
        server.limit_file_size(1)
        for number in range(3):
            assert (503, "unavailable", False) == await _charge(server, seeds, f"full-{number}")
            status, body = await _balance(server, seeds)
            assert (200, "99.99") == (status, json.loads(body)["data"])
        assert (503, "database_unavailable") == await _ready(server)
        server.limit_file_size()
        await _until_ready(server)
        for number in range(3):
            assert (200, None, False) == await _charge(server, seeds, f"full-{number}")
        assert (200, None, True) == await _charge(server, seeds, "before")
    await _check(database_url, seeds, 4)


async def test_disk_that_fills_up_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = await _prepare(database_url)
    with Server(database_url) as server:
        traffic = Traffic([server], seeds)
        running = asyncio.create_task(traffic.charge_until_answered([f"k{number}" for number in range(600)]))
        await traffic.reached(100)
        server.limit_file_size(1)
        for _ in range(POLLS_MAX):
            if traffic.troubles.total() >= 50:
                break
            await asyncio.sleep(POLL_PAUSE_S)
        server.limit_file_size()
        await running
        assert 600 == len(traffic.acknowledged)
        assert {(503, "unavailable")} == set(traffic.troubles)
        assert not traffic.lost
    await _check(database_url, seeds, 600)
    await _verify(database_url, tmp_path)


async def test_a_disk_without_room_is_told_by_its_name_under_load_and_over_without_a_restart(tmp_path: Path) -> None:
    """What docs/how-to/when-the-disk-is-full.md promises, with SQLite's own error."""
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = await _prepare(database_url)
    folder = tmp_path / "server"
    folder.mkdir()
    environment = {"PYTHONPATH": str(ROOT)}
    with Server(database_url, program="tests.e2e.small_disk_server", folder=folder, environment=environment) as server:
        traffic = Traffic([server], seeds)
        running = asyncio.create_task(traffic.charge_until_answered([f"k{number}" for number in range(400)]))
        await traffic.reached(100)
        (folder / "FULL").touch()
        for _ in range(POLLS_MAX):
            if traffic.troubles.total() >= 50:
                break
            await asyncio.sleep(POLL_PAUSE_S)
        assert (503, "disk_full") == await _ready(server)
        assert (503, "unavailable", False) == await _charge(server, seeds, "full")
        balance = await _balance(server, seeds)
        assert balance[0] == 200
        acknowledged = len(traffic.acknowledged)
        assert balance == await _balance(server, seeds)
        (folder / "FULL").unlink()
        await _until_ready(server)
        await running
        assert acknowledged < 400 == len(traffic.acknowledged)
        assert {(503, "unavailable")} == set(traffic.troubles)
        assert not traffic.lost
        assert "database or disk is full" in server.log() or "no space left on device" in server.log()
    await _check(database_url, seeds, 400)
    await _verify(database_url, tmp_path)


async def _fill(database_url: str, seeds: Seeds, charges: int) -> None:
    """Charge so often that the table is larger than the files of PostgreSQL's own log, which are not to be limited."""
    async with open_farebox(database_url) as farebox:
        commands = [Charge(Payer(seeds.merchant_id), "image", 1, f"fill-{number}") for number in range(charges)]
        for start in range(0, charges, 1_000):
            await farebox.committer.submit_all(commands[start : start + 1_000])


async def _table_bytes(database_url: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval("SELECT pg_relation_size('transfer')"))
    finally:
        await connection.close()


def _until_trouble(traffic: Traffic, keys: list[str]) -> Iterator[str]:
    """Yield keys, and note them, until there is trouble: however fast charges are, some meet it."""
    while traffic.troubles.total() < TROUBLES:
        keys.append(f"k{len(keys)}")
        yield keys[-1]


async def _meets_trouble(traffic: Traffic) -> None:
    """Wait until the charges of `_until_trouble` end, but for those that are asked again."""
    async with asyncio.timeout(60):
        while traffic.troubles.total() < TROUBLES:
            await asyncio.sleep(POLL_PAUSE_S)


@pytest.mark.parametrize(
    ("bytes_left", "told"),
    [(4_096, ("53100", "XX000")), (0, ("XX000",))],
    ids=["a part of a page", "not a byte"],
)
async def test_a_full_disk_of_postgres_is_a_503_under_load_and_over_when_there_is_room(
    bytes_left: int, told: Sequence[str], tmp_path: Path
) -> None:
    """What docs/how-to/when-the-disk-is-full.md promises of PostgreSQL.

    A write that ends within a page is what a full disk does, and told as one by versions before 16; a file that may
    grow no more at all PostgreSQL has no name for.
    """
    with PostgresServer(log_file_mb=1, settings={"log_line_prefix": "%e "}) as postgres:
        database_url = postgres.create_database()
        seeds = await _prepare(database_url)
        await _fill(database_url, seeds, 6_000)
        with Server(database_url) as server:
            traffic = Traffic([server], seeds)
            keys: list[str] = []
            running = asyncio.create_task(traffic.charge_until_answered(_until_trouble(traffic, keys)))
            await traffic.reached(50)
            size = await _table_bytes(database_url)
            assert size > 1 << 20
            postgres.limit_file_size(size + bytes_left)
            await _meets_trouble(traffic)
            assert (503, "unavailable", False) == await _charge(server, seeds, "full")
            balance = await _balance(server, seeds)
            assert balance[0] == 200
            acknowledged = len(traffic.acknowledged)
            assert balance == await _balance(server, seeds)
            postgres.limit_file_size()
            await running
            assert acknowledged < len(keys) == len(traffic.acknowledged)
            assert {(503, "unavailable")} == set(traffic.troubles)
            assert not traffic.lost
            assert (200, None, False) == await _charge(server, seeds, "full")
        errors = [line.split()[0] for line in postgres.log().splitlines() if "could not extend file" in line]
        assert errors
        assert set(errors) <= set(told)
        await _check(database_url, seeds, 6_001 + len(keys))
        await _verify(database_url, tmp_path)


async def test_a_full_disk_of_postgres_own_log_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """PostgreSQL stops in the middle of a COMMIT, and can't start again until there is room."""
    with PostgresServer() as postgres:
        database_url = postgres.create_database()
        seeds = await _prepare(database_url)
        with Server(database_url) as server:
            traffic = Traffic([server], seeds)
            keys: list[str] = []
            running = asyncio.create_task(traffic.charge_until_answered(_until_trouble(traffic, keys)))
            await traffic.reached(100)
            # Its tables are smaller and may grow; where its log is written, the file is larger.
            await asyncio.to_thread(postgres.limit_file_size, 1_048_576)
            await _poll_balance(server, seeds, lambda status, body: (500, BALANCE_FAILED) == (status, body))
            assert server.is_running()
            await _meets_trouble(traffic)
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
            await running
            assert len(keys) == len(traffic.acknowledged) == len({it.transfer_id for it in traffic.answers.values()})
            assert set(traffic.troubles) <= {(503, "unavailable"), (500, "outcome_unknown")}
            assert not traffic.lost
        await _check(database_url, seeds, len(keys))
        await _verify(database_url, tmp_path)


async def test_read_only_file_serves_reads_and_refuses_charges(tmp_path: Path) -> None:
    path = tmp_path / "farebox.db"
    database_url = f"sqlite:///{path}"
    seeds = await _prepare(database_url)
    path.chmod(0o444)
    with Server(database_url, is_privileged=False) as server:
        for number in range(3):
            assert (503, "unavailable", False) == await _charge(server, seeds, f"k{number}")
            status, body = await _balance(server, seeds)
            assert (200, "100.00") == (status, json.loads(body)["data"])
        assert (503, "database_read_only") == await _ready(server)
        server.stop()
        # What SQLite keeps beside the file takes its mode from it.
        for file in tmp_path.iterdir():
            file.chmod(0o644)
        server.start()
        assert (200, None, False) == await _charge(server, seeds, "k0")
    await _check(database_url, seeds, 1)


def _mark_as_newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT INTO farebox_migration VALUES ('9999_from_the_future', 1)")
    connection.close()


async def test_database_of_a_newer_program_is_refused_at_the_start(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "farebox.db"
    await _prepare(f"sqlite:///{path}")
    _mark_as_newer(path)
    await _prepare(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("INSERT INTO farebox_migration VALUES ('9999_from_the_future', 1)")
    await connection.close()
    for database_url in (f"sqlite:///{path}", postgres_url):
        with pytest.raises(ServerError) as raised, Server(database_url):
            pass
        assert "the database is newer than this program" in str(raised.value)
        assert "9999_from_the_future" in str(raised.value)
        assert "Traceback" not in str(raised.value)


async def test_database_without_a_schema_is_refused_at_the_start(tmp_path: Path, postgres_url: str) -> None:
    for database_url in (f"sqlite:///{tmp_path / 'nothing.db'}", postgres_url):
        with pytest.raises(ServerError) as raised, Server(database_url):
            pass
        assert "farebox init" in str(raised.value)
        assert "Traceback" not in str(raised.value)
    assert [] == list(tmp_path.iterdir())
