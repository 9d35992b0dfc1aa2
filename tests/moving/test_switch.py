"""A ledger moves to PostgreSQL under a real server that is charged at: no charge is lost, and none is made in both."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from farebox.core.commands import Charge, Payer
from farebox.storage.interface import StorageError
from farebox.storage.ledger_move import MoveState
from tests.e2e.traffic import Traffic, check_books
from tests.moving.parts import at
from tests.support.ledger import do
from tests.support.server import Server, open_farebox, seed
from tests.support.wire import Client

PAID: Final = "1000000"
PAID_MICROS: Final = 1_000_000_000_000
IMAGE_MICROS: Final = 10_000
EARLIER: Final = 20_000
"""How many charges there are before, so that there is something to copy."""

REPEATED: Final = 2_000
"""How many of the last charges are repeated after the move."""

FROZEN_SECONDS_MAX: Final = 60
WATCHED_SECONDS: Final = 10
"""Each process looks once a second whether its ledger is still its own; this is far more."""

DEADLINE_S: Final = 120


async def start(database_url: str, *words: str) -> asyncio.subprocess.Process:
    """Start a command beside the server."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "farebox", *words),
        env={**os.environ, "FAREBOX_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def until_half_copied(url: str) -> None:
    """Wait until a copy has some rows, and is not whole."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        database = at(url)
        with suppress(StorageError):
            await database.open()
            row = await database.move_row()
            if row is not None and row.state == MoveState.UNFINISHED and row.rows_done:
                await database.close()
                return
        await database.close()
        await asyncio.sleep(0.02)
    raise AssertionError("the copy did not begin")


async def test_a_served_ledger_moves_though_the_copy_is_killed_on_the_way(tmp_path: Path, postgres_url: str) -> None:
    source_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(source_url) as farebox:
        seeds = await seed(farebox, balance=PAID)
        for first in range(0, EARLIER, 1_000):
            numbers = range(first, first + 1_000)
            charges = [Charge(Payer(seeds.merchant_id), "image", 1, f"earlier-{number}") for number in numbers]
            await do(farebox.stores, *charges, now=farebox.clock.now())
    with Server(source_url, workers=2) as server:
        traffic = Traffic([server], seeds)
        is_over = asyncio.Event()
        keys = itertools.takewhile(lambda _: not is_over.is_set(), (f"k{number}" for number in itertools.count()))
        running = asyncio.create_task(traffic.charge_once(keys))
        await traffic.reached(200)
        killed = await start(source_url, "copy", "--to", postgres_url, "--switch")
        await until_half_copied(postgres_url)
        killed.kill()
        await killed.wait()
        await traffic.reached(len(traffic.acknowledged) + 200)
        assert {} == traffic.troubles
        again = await start(source_url, "copy", "--to", postgres_url, "--switch", "--json")
        out, error = await again.communicate()
        assert 0 == again.returncode, error.decode()
        is_over.set()
        await running
        copied = json.loads(out)
        assert copied["isSwitched"]
        assert copied["frozenSeconds"] < FROZEN_SECONDS_MAX
        # The old server charges nothing any more, and soon no process of it shows a balance that may not be true.
        client = Client(server.port, seeds.service_key)
        late = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "late"}
        status, headers, _ = await client.send("POST", "/api/charges", json.dumps(late).encode())
        assert (503, "database_replaced") == (status, headers["x-error-code"])
        assert int(headers["retry-after"]) > 0
        await client.close()
        reader = Client(server.port, seeds.merchant_key)
        async with asyncio.timeout(WATCHED_SECONDS):
            while 500 != (await reader.send("GET", "/api/balance"))[0]:
                await asyncio.sleep(0.1)
        await reader.close()
    acknowledged = traffic.acknowledged
    with Server(postgres_url) as server:
        moved = Traffic([server], seeds)
        await moved.charge_until_answered(list(traffic.answers)[-REPEATED:])
        repeated = moved.acknowledged
    assert {key: answer.transfer_id for key, answer in repeated.items() if answer.is_replay}.items() >= {
        key: answer.transfer_id for key, answer in acknowledged.items() if key in repeated
    }.items()
    async with open_farebox(postgres_url) as farebox:
        account = await farebox.stores.accounts.find(seeds.merchant_id)
        assert account is not None
        charged = account.seq - 1
        async with farebox.stores.connector.snapshot() as snapshot:
            made = {transfer.id async for chunk in snapshot.transfers(seeds.merchant_id) for transfer in chunk}
        assert {answer.transfer_id for answer in acknowledged.values()} <= made
        await check_books(farebox, seeds, charged=charged, balance_micros=PAID_MICROS - charged * IMAGE_MICROS)
    assert set(traffic.troubles) <= {(503, "database_replaced"), (503, "unavailable")}
