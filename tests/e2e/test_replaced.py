"""A database that is moved, replaced, overwritten or put back under a server: nothing is acknowledged any more."""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.service.operator.database_watch import WATCH_SECONDS
from tests.e2e.traffic import Traffic, check_books
from tests.support.postgres import PostgresServer
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import Client

IMAGE_MICROS: Final = 10_000
PAID: Final = "1000000"
PAID_MICROS: Final = 1_000_000_000_000
REPLACED: Final = (503, "database_replaced")
POLLS_MAX: Final = 1_000
POLL_PAUSE_S: Final = 0.02
WORKERS: Final = 2
ROUNDS: Final = 3
"""How many looks at the file each worker has time for, once it is at rest."""


async def back_up(database_url: str, target: Path) -> None:
    """Run `farebox backup` beside the server."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farebox", "backup", str(target)),
        env={**os.environ, "FAREBOX_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await command.communicate()
    assert 0 == command.returncode, output.decode()


async def ask(server: Server, path: str, key: str = "") -> tuple[int, Any]:
    """Get a path; return status and body."""
    client = Client(server.port, key)
    status, _, body = await client.send("GET", path)
    await client.close()
    return status, json.loads(body)


async def poll(server: Server, path: str, wanted: tuple[int, Any]) -> None:
    """Ask until the answer is as wanted."""
    for _ in range(POLLS_MAX):
        if await ask(server, path) == wanted:
            return
        await asyncio.sleep(POLL_PAUSE_S)
    raise AssertionError(f"{path} was not answered with {wanted}")


async def logged(server: Server, line: str, *, workers: int = WORKERS) -> None:
    """Wait until each worker has logged a line, once."""
    for _ in range(POLLS_MAX):
        if server.log().count(line) >= workers:
            break
        await asyncio.sleep(POLL_PAUSE_S)
    assert workers == server.log().count(line)


async def charge_often(server: Server, seeds: Seeds, prefix: str) -> set[tuple[int, str | None]]:
    """Charge on connections of their own, so that every worker is met."""
    answers: set[tuple[int, str | None]] = set()
    for number in range(8 * WORKERS):
        client = Client(server.port, seeds.service_key)
        content = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": f"{prefix}-{number}"}
        status, headers, _ = await client.send("POST", "/api/charges", json.dumps(content).encode())
        answers.add((status, headers.get("x-error-code")))
        await client.close()
    return answers


def keys(is_over: asyncio.Event) -> Iterator[str]:
    """Make up keys to charge under, until it is over."""
    return itertools.takewhile(lambda _: not is_over.is_set(), (f"k{number}" for number in itertools.count()))


@asynccontextmanager
async def charged_server(tmp_path: Path) -> AsyncIterator[tuple[Server, Seeds, Traffic, Callable[[], Awaitable[None]]]]:
    """A server of two processes, in the midst of charges, and what lets it come to rest."""
    (tmp_path / "data").mkdir()
    database_url = f"sqlite:///{tmp_path / 'data' / 'farebox.db'}"
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox, balance=PAID)
    with Server(database_url, workers=WORKERS) as server:
        traffic = Traffic([server], seeds)
        is_over = asyncio.Event()
        running = asyncio.create_task(traffic.charge_once(keys(is_over)))
        await traffic.reached(200)

        async def rest() -> None:
            is_over.set()
            await running
            await asyncio.sleep(ROUNDS * WATCH_SECONDS)

        try:
            yield server, seeds, traffic, rest
        finally:
            is_over.set()
            await running


async def transfer_ids(path: Path, seeds: Seeds) -> set[str]:
    """List the transfers in a file."""
    async with open_farebox(f"sqlite:///{path}") as farebox, farebox.stores.connector.snapshot() as snapshot:
        return {transfer.id async for chunk in snapshot.transfers(seeds.merchant_id) for transfer in chunk}


def move(path: Path, _: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def rename(path: Path, _: Path) -> None:
    path.rename(path.with_suffix(".moved"))


def replace(path: Path, backup: Path) -> None:
    """Put a backup in place, beside the log of the file that was there."""
    path.rename(path.with_suffix(".moved"))
    shutil.copy(backup, path)


@pytest.mark.parametrize("disaster", [move, rename, replace], ids=lambda disaster: disaster.__name__)
async def test_no_charge_is_acknowledged_into_a_file_that_is_gone_and_all_is_well_when_it_is_back(
    tmp_path: Path, disaster: Callable[[Path, Path], None]
) -> None:
    path = tmp_path / "data" / "farebox.db"
    async with charged_server(tmp_path) as (server, seeds, traffic, _):
        backup = tmp_path / "backup.db"
        await back_up(f"sqlite:///{path}", backup)
        assert 200 == (await ask(server, "/readyz"))[0]
        disaster(path, backup)
        assert {REPLACED} == await charge_often(server, seeds, "late")
        assert (503, {"isReady": False, "reason": "database_replaced"}) == await ask(server, "/readyz")
        status, health = await ask(server, "/healthz")
        assert (200, "database replaced") == (status, health["status"])
        # A balance that was read from there would be of another time.
        assert 500 == (await ask(server, "/api/balance", seeds.merchant_key))[0]
        acknowledged = len(traffic.acknowledged)
        await logged(server, "nothing is read, charged or acknowledged any more")
        assert acknowledged == len(traffic.acknowledged)
        if disaster is move:
            path.parent.with_name("moved").rename(path.parent)
        else:
            path.with_suffix(".moved").rename(path)
        await poll(server, "/readyz", (200, {"isReady": True, "reason": None}))
        assert {(200, None)} == await charge_often(server, seeds, "back")
        await logged(server, "the database is as it was again")
    assert {REPLACED, (500, "outcome_unknown")} >= set(traffic.troubles)
    assert traffic.troubles[REPLACED]
    assert {answer.transfer_id for answer in traffic.acknowledged.values()} <= await transfer_ids(path, seeds)


def overwrite(path: Path, backup: Path) -> None:
    """Write a backup over the file, as `cp` does."""
    shutil.copyfile(backup, path)


def delete(path: Path, _: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("disaster", [overwrite, delete], ids=lambda disaster: disaster.__name__)
async def test_a_file_that_is_lost_is_not_written_to_and_its_backup_is_served_after_a_restart(
    tmp_path: Path, disaster: Callable[[Path, Path], None]
) -> None:
    path = tmp_path / "data" / "farebox.db"
    backup = tmp_path / "backup.db"
    async with charged_server(tmp_path) as (server, seeds, traffic, rest):
        before = {answer.transfer_id for answer in traffic.acknowledged.values()}
        await back_up(f"sqlite:///{path}", backup)
        content = backup.read_bytes()
        if disaster is overwrite:
            # A checkpoint writes to the file as well: none may come between a worker's look and the disaster.
            await rest()
        disaster(path, backup)
        assert {REPLACED} == await charge_often(server, seeds, "late")
        acknowledged = len(traffic.acknowledged)
        await asyncio.sleep(0.5)
        assert acknowledged == len(traffic.acknowledged)
        assert 0 == server.stop()
        # The file in place is left as it is, by the last process to close it too.
        if disaster is overwrite:
            assert content == path.read_bytes()
        for file in path.parent.iterdir():
            file.unlink()
        shutil.copyfile(backup, path)
        server.start()
        assert {(200, None)} == await charge_often(server, seeds, "again")
    found = await transfer_ids(path, seeds)
    assert before <= found
    async with open_farebox(f"sqlite:///{path}") as farebox:
        charged = len(found) - 1
        await check_books(farebox, seeds, charged=charged, balance_micros=PAID_MICROS - charged * IMAGE_MICROS)


async def test_no_charge_is_acknowledged_by_a_postgres_that_went_back_to_an_earlier_backup() -> None:
    """By no process that has committed anything: servers of one each, so that both get their share of the charges."""
    with PostgresServer() as postgres:
        database_url = postgres.create_database()
        async with open_farebox(database_url) as farebox:
            seeds = await seed(farebox, balance=PAID)
        data, backup = postgres.folder / "data", postgres.folder / "backup"
        postgres.shell(f"pg_basebackup --pgdata='{backup}' --dbname='{postgres.url('postgres')}' --checkpoint=fast")
        with Server(database_url) as one, Server(database_url) as other:
            servers = (one, other)
            traffic = Traffic(servers, seeds)
            is_over = asyncio.Event()
            running = asyncio.create_task(traffic.charge_once(keys(is_over)))
            await traffic.reached(200)
            await asyncio.to_thread(postgres.stop, "immediate")
            postgres.shell(f"mv '{data}' '{data}.away'; mv '{backup}' '{data}'")
            before = {answer.transfer_id for answer in traffic.acknowledged.values()}
            await asyncio.to_thread(postgres.start)
            for server in servers:
                await poll(server, "/readyz", (503, {"isReady": False, "reason": "database_replaced"}))
                assert {REPLACED} == await charge_often(server, seeds, "late")
                await logged(server, "nothing is read, charged or acknowledged any more", workers=1)
            is_over.set()
            await running
            assert before == {answer.transfer_id for answer in traffic.acknowledged.values()}
            # The right one comes back, with all that was acknowledged.
            await asyncio.to_thread(postgres.stop)
            postgres.shell(f"mv '{data}' '{backup}'; mv '{data}.away' '{data}'")
            await asyncio.to_thread(postgres.start)
            for server in servers:
                await poll(server, "/readyz", (200, {"isReady": True, "reason": None}))
                assert {(200, None)} == await charge_often(server, seeds, "back")
        async with open_farebox(database_url) as farebox, farebox.stores.connector.snapshot() as snapshot:
            found = {transfer.id async for chunk in snapshot.transfers(seeds.merchant_id) for transfer in chunk}
        assert before <= found
