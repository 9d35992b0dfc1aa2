"""Many clients at once, on each kind of deployment: nothing is spent that is not there, or twice, or lost."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from tests.e2e.traffic import Traffic, check_books
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import Client

IMAGE_MICROS: Final = 10_000
DEPLOYMENTS: Final = (
    "one SQLite process",
    "two SQLite processes",
    "two servers on SQLite",
    "two servers on PostgreSQL",
)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The database of the deployment that a test's parameter names."""
    if "PostgreSQL" in request.param:
        url = request.getfixturevalue("ledger_url")
        assert isinstance(url, str)
        return url
    return f"sqlite:///{tmp_path / 'farebox.db'}"


@asynccontextmanager
async def _seeded(database_url: str, balance: str) -> AsyncIterator[tuple[Farebox, Seeds]]:
    async with open_farebox(database_url) as farebox:
        yield farebox, await seed(farebox, balance=balance)


def _servers(deployment: str, database_url: str) -> Iterator[Server]:
    if deployment.startswith("two servers"):
        yield Server(database_url)
        yield Server(database_url)
    else:
        yield Server(database_url, workers=2 if deployment.startswith("two") else 1)


@pytest.mark.parametrize(
    ("database_url", "deployment"), [(name, name) for name in DEPLOYMENTS], indirect=["database_url"]
)
async def test_as_many_charges_succeed_as_the_balance_covers(database_url: str, deployment: str) -> None:
    async with _seeded(database_url, "1.50") as (farebox, seeds):
        with ExitStack() as running:
            servers = [running.enter_context(server) for server in _servers(deployment, database_url)]
            traffic = Traffic(servers, seeds)
            keys = [f"k{number}" for number in range(256)]
            await traffic.charge_once(keys)
            first = dict(traffic.answers)
            assert not traffic.lost
            assert not traffic.troubles
            charged = traffic.acknowledged
            assert (150, 256) == (len(charged), len(first))
            assert {(402, "insufficient_balance")} == {
                (answer.status, answer.code) for answer in first.values() if answer.status != 200
            }
            assert 150 == len({answer.transfer_id for answer in charged.values()})
            assert not any(answer.is_replay for answer in charged.values())
            await check_books(farebox, seeds, charged=150, balance_micros=0)

            await traffic.charge_once(reversed(keys))
            for key, answer in traffic.answers.items():
                assert (answer.status, answer.body) == (first[key].status, first[key].body) or answer.status == 402
                assert answer.is_replay is (key in charged)
            reader = Client(servers[0].port, seeds.merchant_key)
            _, _, balance = await reader.send("GET", "/api/balance")
            await reader.close()
            assert b'{"isSuccess":true,"statusCode":200,"errorMessage":null,"data":"0.00"}' == balance
        await check_books(farebox, seeds, charged=150, balance_micros=0)


@pytest.mark.parametrize(
    ("database_url", "deployment"), [(name, name) for name in DEPLOYMENTS[1:]], indirect=["database_url"]
)
async def test_a_budget_lets_as_many_charges_through_as_it_covers(database_url: str, deployment: str) -> None:
    async with _seeded(database_url, "100") as (farebox, seeds):
        key = (await farebox.services.merchants.keys(seeds.merchant_id))[0]
        await farebox.services.key_budgets.set(key.key_id, {"day": "0.10", "total": "5"}, zone="UTC")
        with ExitStack() as running:
            servers = [running.enter_context(server) for server in _servers(deployment, database_url)]
            traffic = Traffic(servers, replace(seeds, merchant=seeds.merchant_key))
            await traffic.charge_once([f"k{number}" for number in range(40)])
        assert not traffic.lost
        refused = {(answer.status, answer.code) for answer in traffic.answers.values() if answer.status != 200}
        assert (10, {(402, "key_budget_exceeded")}) == (len(traffic.acknowledged), refused)
        budget = await farebox.services.key_budgets.of_key(await farebox.services.merchants.key(key.key_id))
        assert budget is not None
        assert [100_000, 100_000] == [limit.spent for limit in budget.limits]
        await check_books(farebox, seeds, charged=10, balance_micros=99_900_000)


@pytest.mark.parametrize(
    ("database_url", "deployment"), [(name, name) for name in DEPLOYMENTS], indirect=["database_url"]
)
async def test_same_request_from_everyone_at_once_is_one_charge(database_url: str, deployment: str) -> None:
    async with _seeded(database_url, "1.50") as (farebox, seeds):
        with ExitStack() as running:
            servers = [running.enter_context(server) for server in _servers(deployment, database_url)]
            several = [Traffic(servers, seeds) for _ in range(32)]
            await asyncio.gather(*[traffic.charge_once(["same"]) for traffic in several])
        answers = [traffic.answers["same"] for traffic in several]
        assert {200} == {answer.status for answer in answers}
        assert 1 == len({answer.body for answer in answers})
        assert 1 == sum(not answer.is_replay for answer in answers)
        await check_books(farebox, seeds, charged=1, balance_micros=1_490_000)


@pytest.mark.parametrize("database_url", ["SQLite", "PostgreSQL"], indirect=True, ids=["SQLite", "PostgreSQL"])
async def test_killed_server_has_kept_every_charge_that_it_acknowledged(database_url: str) -> None:
    async with _seeded(database_url, "100") as (farebox, seeds):
        keys = [f"k{number}" for number in range(600)]
        with Server(database_url) as server:
            acknowledged: dict[str, bytes] = {}
            for round_ in range(3):
                traffic = Traffic([server], seeds)
                running = asyncio.create_task(traffic.charge_once(keys[round_ * 200 :][:200]))
                await traffic.reached(60)
                server.kill()
                await running
                assert traffic.lost
                acknowledged |= {key: answer.body for key, answer in traffic.acknowledged.items()}
                server.start()
            settled = Traffic([server], seeds)
            await settled.charge_once(keys)
        assert 600 == len(settled.acknowledged)
        for key, body in acknowledged.items():
            assert (True, body) == (settled.answers[key].is_replay, settled.answers[key].body)
        assert len(acknowledged) <= sum(answer.is_replay for answer in settled.answers.values()) < 600
        await check_books(farebox, seeds, charged=600, balance_micros=100_000_000 - 600 * IMAGE_MICROS)


@pytest.mark.parametrize("database_url", ["SQLite", "PostgreSQL"], indirect=True, ids=["SQLite", "PostgreSQL"])
async def test_second_server_carries_on_when_the_first_is_killed(database_url: str) -> None:
    async with _seeded(database_url, "100") as (farebox, seeds):
        keys = [f"k{number}" for number in range(400)]
        with Server(database_url) as one, Server(database_url) as other:
            traffic = Traffic([one, other], seeds)
            running = asyncio.create_task(traffic.charge_until_answered(keys))
            await traffic.reached(100)
            one.kill()
            await running
        assert 400 == len(traffic.acknowledged)
        assert 400 == len({answer.transfer_id for answer in traffic.answers.values()})
        await check_books(farebox, seeds, charged=400, balance_micros=100_000_000 - 400 * IMAGE_MICROS)


async def test_server_that_is_told_to_stop_answers_what_it_accepted(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with _seeded(database_url, "100") as (farebox, seeds):
        with Server(database_url) as server:
            traffic = Traffic([server], seeds)
            running = asyncio.create_task(traffic.charge_once([f"k{number}" for number in range(400)]))
            await traffic.reached(100)
            assert 0 == await asyncio.to_thread(server.stop)
            await running
            log = server.log()
        charged = len(traffic.acknowledged)
        account = await farebox.stores.accounts.find(seeds.merchant_id)
        assert account is not None
        assert charged <= account.seq - 1
        await check_books(
            farebox, seeds, charged=account.seq - 1, balance_micros=100_000_000 - (account.seq - 1) * IMAGE_MICROS
        )
        assert "Traceback" not in log
