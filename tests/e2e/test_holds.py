"""Holds between two server processes on one PostgreSQL: they end in time, and once, whoever asks and where."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.accounts import Kind
from farebox.core.holds import Hold, HoldState
from farebox.core.transfers import Transfer
from tests.support.postgres import Databases
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import Client

RACES: Final = 100
EXPIRY_RACES: Final = 60
HOLD_MICROS: Final = 1_000_000
SWEPT_WITHIN_MICROS: Final = 1_000_000


@dataclass(frozen=True)
class Answer:
    status: int
    code: str | None
    data: dict[str, Any] | None


@dataclass(frozen=True)
class Site:
    database_url: str
    servers: tuple[Server, Server]

    @asynccontextmanager
    async def merchant(self) -> AsyncIterator[tuple[Farebox, Seeds, tuple[Client, Client]]]:
        """Add a merchant, and one client of each server that charges it."""
        async with open_farebox(self.database_url) as farebox:
            seeds = await seed(farebox, balance="1000")
            one, other = (Client(server.port, seeds.service_key) for server in self.servers)
            try:
                yield farebox, seeds, (one, other)
            finally:
                await one.close()
                await other.close()

    def verify(self) -> None:
        """Replay the whole ledger."""
        done = subprocess.run(
            [sys.executable, "-m", "farebox", "verify"],
            env={**os.environ, "FAREBOX_DATABASE_URL": self.database_url},
            capture_output=True,
            check=False,
            text=True,
        )
        assert 0 == done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(postgres_server: Databases) -> Iterator[Site]:
    async def prepare(database_url: str) -> None:
        async with open_farebox(database_url):
            pass

    with postgres_server.database() as database_url:
        asyncio.run(prepare(database_url))
        with Server(database_url) as one, Server(database_url) as other:
            yield Site(database_url, (one, other))


async def _post(client: Client, path: str, **content: object) -> Answer:
    status, headers, body = await client.send("POST", path, json.dumps(content).encode())
    return Answer(status, headers.get("x-error-code"), json.loads(body)["data"])


async def _hold(client: Client, seeds: Seeds, key: str, **fields: object) -> str:
    content = {"merchant": seeds.merchant, "type": "call", "amount": "1", "idempotencyKey": key, **fields}
    answer = await _post(client, "/api/holds", **content)
    assert answer.data is not None
    return str(answer.data["holdId"])


async def _book(farebox: Farebox, seeds: Seeds) -> tuple[dict[str, Hold], dict[int, list[Transfer]]]:
    """Read all of the merchant's holds by id, and what ended each of them."""
    holds: dict[str, Hold] = {}
    endings: dict[int, list[Transfer]] = {}
    async with farebox.stores.connector.snapshot() as snapshot:
        for hold in await snapshot.holds(seeds.merchant_id):
            holds[hold.id] = hold
            endings[hold.seq] = []
        async for page in snapshot.transfers(seeds.merchant_id):
            for transfer in page:
                if transfer.refers_to is not None:
                    endings[transfer.refers_to].append(transfer)
    return holds, endings


async def test_hold_is_given_back_once_within_a_second_of_its_time(site: Site) -> None:
    async with site.merchant() as (farebox, seeds, (one, other)):
        for number in range(20):
            await _hold((one, other)[number % 2], seeds, f"h{number}", ttlSeconds=1)
        deadline = time.monotonic() + 30
        while (account := await farebox.stores.accounts.find(seeds.merchant_id)) is None or account.held:
            assert time.monotonic() < deadline, "holds are still held long after their time"
            await asyncio.sleep(0.05)
        # The second sweeper has had its turn as well before the book is read.
        await asyncio.sleep(1)
        holds, endings = await _book(farebox, seeds)
        assert 20 == len(holds)
        for hold in holds.values():
            assert HoldState.EXPIRED == hold.state
            (ending,) = endings[hold.seq]
            assert (Kind.EXPIRE, HOLD_MICROS) == (ending.kind, ending.amount)
            assert 0 <= ending.committed_at - hold.expires_at < SWEPT_WITHIN_MICROS
        for hold_id in holds:
            late = await _post(one, f"/api/holds/{hold_id}/capture", idempotencyKey=f"late-{hold_id}")
            assert (409, "hold_expired") == (late.status, late.code)
    site.verify()


async def test_of_capture_and_release_at_once_exactly_one_wins(site: Site) -> None:
    async with site.merchant() as (farebox, seeds, (one, other)):
        winners: Counter[str] = Counter()
        for number in range(RACES):
            hold_id = await _hold(one, seeds, f"h{number}")
            capture, release = await asyncio.gather(
                _post((one, other)[number % 2], f"/api/holds/{hold_id}/capture", idempotencyKey=f"c{number}"),
                _post((other, one)[number % 2], f"/api/holds/{hold_id}/release", idempotencyKey=f"r{number}"),
            )
            outcome = (capture.status, capture.code, release.status, release.code)
            if capture.status == 200:
                assert (200, None, 409, "hold_already_captured") == outcome
                winners["capture"] += 1
            else:
                assert (409, "hold_already_released", 200, None) == outcome
                winners["release"] += 1
        assert RACES == winners.total()
        account = await farebox.stores.accounts.find(seeds.merchant_id)
        assert account is not None
        assert (0, winners["capture"] * HOLD_MICROS) == (account.held, account.revenue)
        _, endings = await _book(farebox, seeds)
        assert [1] * RACES == [len(found) for found in endings.values()]
    site.verify()


async def test_of_captures_and_expiry_at_once_exactly_one_wins(site: Site) -> None:
    async with site.merchant() as (farebox, seeds, _):
        answers: dict[str, list[Answer]] = {}

        async def race(number: int) -> None:
            # Half of them ask before the hold's time is over, the other half after it, and none by much.
            offset = 0.3 * (2 * number / (EXPIRY_RACES - 1) - 1)
            clients = [Client(server.port, seeds.service_key) for server in site.servers]
            hold_id = await _hold(clients[0], seeds, f"h{number}", ttlSeconds=1)
            await asyncio.sleep(1 + offset)
            answers[hold_id] = await asyncio.gather(
                *[
                    _post(client, f"/api/holds/{hold_id}/capture", idempotencyKey=f"c{number}-{place}")
                    for place, client in enumerate(clients)
                ]
            )
            for client in clients:
                await client.close()

        await asyncio.gather(*[race(number) for number in range(EXPIRY_RACES)])
        await asyncio.sleep(2)
        holds, endings = await _book(farebox, seeds)
        states = Counter(hold.state for hold in holds.values())
        assert {HoldState.CAPTURED, HoldState.EXPIRED} == set(states), "not all ended, or there was no race"
        for hold_id, hold in holds.items():
            statuses = sorted((answer.status, answer.code) for answer in answers[hold_id])
            captured = hold.state == HoldState.CAPTURED
            loser = (409, "hold_already_captured" if captured else "hold_expired")
            assert statuses == ([(200, None), loser] if captured else [loser, loser])
            (ending,) = endings[hold.seq]
            assert ending.kind == (Kind.CAPTURE if captured else Kind.EXPIRE)
        account = await farebox.stores.accounts.find(seeds.merchant_id)
        assert account is not None
        assert (0, states[HoldState.CAPTURED] * HOLD_MICROS) == (account.held, account.revenue)
    site.verify()
