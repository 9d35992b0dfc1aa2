"""Callers of one process share requests: each gets its own outcome, whatever the others ask for and whatever fails."""

import asyncio
import gc
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pytest

from farebox_client import (
    AsyncFarebox,
    BatchLimits,
    Charge,
    Farebox,
    FareboxError,
    IdempotencyConflict,
    InsufficientBalance,
    InvalidApiKey,
    InvalidValue,
    MerchantNotFound,
    Unreachable,
)
from farebox_client.transport import Answer, BlockingHttpTransport, HttpTransport
from tests.client.conftest import on_each_engine
from tests.client.waiting import eventually
from tests.storage.engines import PostgresEngine
from tests.support.server import Seeds, Server, seeded

CALLERS: Final = 64


class Site:
    """A server and its merchant."""

    def __init__(self, database_url: str) -> None:
        self.seeds: Seeds = seeded(database_url)
        self.server = Server(database_url)
        self.begin()

    def begin(self) -> None:
        """Look at what is charged from now on."""
        self._begun_at = datetime.now(UTC)

    def charged(self) -> dict[str, Decimal]:
        """Tell what stands in the merchant's statement, by reference."""
        with Farebox(self.server.url, key=self.seeds.merchant_key) as merchant:
            transfers = list(merchant.transfers(kind="charge", since=self._begun_at))
        assert all(count == 1 for count in Counter(each.reference for each in transfers).values())
        return {str(each.reference): each.amount for each in transfers}


@pytest.fixture(scope="module")
def sqlite_site(sqlite_url: str) -> Iterator[Site]:
    made = Site(sqlite_url)
    with made.server:
        yield made


@pytest.fixture(scope="module")
def postgres_site(postgres_ledger: PostgresEngine) -> Iterator[Site]:
    made = Site(postgres_ledger.url)
    with made.server:
        yield made


@pytest.fixture
def site(engine_name: str, request: pytest.FixtureRequest) -> Site:
    site: Site = request.getfixturevalue(f"{engine_name}_site")
    site.begin()
    return site


class Watched:
    """Sends by HTTP, and notes how long the bodies were."""

    def __init__(self, url: str) -> None:
        self.transport = HttpTransport(url)
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.under_way = self.most_under_way = 0

    async def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
    ) -> Answer:
        self.paths.append(path)
        self.bodies.append(body or b"")
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self.transport.send(method, path, body, headers, timeout=timeout)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        await self.transport.close()


@on_each_engine
async def test_each_of_many_callers_gets_its_own_outcome(site: Site) -> None:
    seeds = site.seeds
    watched = Watched(site.server.url)
    async with AsyncFarebox(site.server.url, key=seeds.service_key, transport=watched) as farebox:

        async def ask(number: int) -> Charge | FareboxError:
            fields = [
                {"merchant": seeds.merchant, "type": "call", "amount": Decimal(number + 1) / 1000},
                {"merchant": seeds.merchant, "type": "call", "amount": "1000000"},
                {"merchant": seeds.merchant, "type": "call", "amount": "nothing"},
                {"merchant": "mer_00000000000000", "type": "image"},
                {"merchant": seeds.merchant, "type": "image", "quantity": 2, "key": "the-same"},
            ][number % 5]
            try:
                return await farebox.charge(reference=f"r{number}" if number % 5 != 4 else "same", **fields)  # type: ignore[arg-type]
            except FareboxError as error:
                return error

        told = await asyncio.gather(*[ask(number) for number in range(CALLERS)])
    for number, outcome in enumerate(told):
        kind = [Charge, InsufficientBalance, InvalidValue, MerchantNotFound, Charge][number % 5]
        assert isinstance(outcome, kind), (number, outcome)
        if number % 5 == 0:
            assert isinstance(outcome, Charge)
            assert Decimal(number + 1) / 1000 == outcome.cost
    same = [outcome for outcome in told[4::5] if isinstance(outcome, Charge)]
    assert 1 == len({outcome.transfer_id for outcome in same})
    assert [False] == [outcome.is_replay for outcome in same if not outcome.is_replay]
    expected = {f"r{number}": Decimal(number + 1) / 1000 for number in range(0, CALLERS, 5)} | {"same": Decimal("0.02")}
    assert expected == {reference: abs(amount) for reference, amount in site.charged().items()}
    assert 2 >= watched.most_under_way
    assert {"/api/charges/batch"} == set(watched.paths)
    assert 4 >= len(watched.paths)


@on_each_engine
async def test_another_use_of_a_key_is_a_conflict_of_its_own(site: Site) -> None:
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as farebox:
        first, second = await asyncio.gather(
            *[farebox.charge(merchant=site.seeds.merchant, type="image", quantity=many, key="k") for many in (1, 2)],
            return_exceptions=True,
        )
    assert isinstance(first, Charge)
    assert isinstance(second, IdempotencyConflict)


async def test_what_can_not_be_written_as_json_harms_its_caller_alone(site: Site) -> None:
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as farebox:
        charge = farebox.charge
        told = await asyncio.gather(
            charge(merchant=site.seeds.merchant, type="image"),
            charge(merchant=site.seeds.merchant, type="image", quantities={"requests": float("nan")}),  # type: ignore[dict-item]
            charge(merchant=site.seeds.merchant, type="image", reference="\ud800"),
            charge(merchant=site.seeds.merchant, type="image", reference="x" * 70_000),
            charge(merchant=site.seeds.merchant, type="image", quantity=10**30),
            return_exceptions=True,
        )
    assert [Charge, ValueError] == [type(outcome) for outcome in told[:2]]
    assert all(isinstance(outcome, FareboxError) for outcome in told[2:]), told


@on_each_engine
async def test_long_charges_are_spread_over_requests(site: Site) -> None:
    watched = Watched(site.server.url)
    limits = BatchLimits(charges_max=7, bytes_max=4_000)
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key, transport=watched, batch=limits) as farebox:
        await asyncio.gather(
            *[
                farebox.charge(
                    merchant=site.seeds.merchant, type="image", reference=f"{number}-{'x' * (20 * number % 100)}"
                )
                for number in range(CALLERS)
            ]
        )
    assert 4_000 >= max(len(body) for body in watched.bodies)
    assert 7 >= max(body.count(b'"type"') for body in watched.bodies)
    assert CALLERS == len(site.charged())


@on_each_engine
async def test_who_is_cancelled_takes_nothing_back_and_keeps_nobody(site: Site) -> None:
    async with AsyncFarebox(site.server.url, key=site.seeds.service_key) as farebox:
        tasks = [
            asyncio.create_task(farebox.charge(merchant=site.seeds.merchant, type="image", reference=f"r{number}"))
            for number in range(CALLERS)
        ]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        told = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in told[::2])
    assert all(isinstance(outcome, Charge) for outcome in told[1::2])
    assert {f"r{number}" for number in range(CALLERS)} == set(site.charged())


async def test_a_key_of_the_client_that_is_bad_is_told_to_each_caller() -> None:
    class Refusing(Watched):
        async def send(
            self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
        ) -> Answer:
            body = b'{"isSuccess":false,"statusCode":401,"errorMessage":"Invalid API key","data":null}'
            return Answer(401, {"x-error-code": "invalid_api_key"}, body)

    async with AsyncFarebox("http://x", key="k", transport=Refusing("http://x")) as farebox:
        told = await asyncio.gather(*[farebox.charge(merchant="m", type="t") for _ in range(3)], return_exceptions=True)
    assert [InvalidApiKey] * 3 == [type(outcome) for outcome in told]
    assert 3 == len({id(outcome) for outcome in told})


@on_each_engine
async def test_charges_go_on_over_a_server_that_is_killed_and_comes_back(site: Site) -> None:
    numbers = itertools.count()
    told: list[str] = []
    ends_at = time.monotonic() + 4

    async with AsyncFarebox(site.server.url, key=site.seeds.service_key, attempts=30) as farebox:

        async def caller() -> None:
            while time.monotonic() < ends_at:
                reference = f"r{next(numbers)}"
                await farebox.charge(merchant=site.seeds.merchant, type="call", amount="0.0001", reference=reference)
                told.append(reference)

        async def restart() -> None:
            for _ in range(2):
                await asyncio.sleep(0.7)
                await asyncio.to_thread(site.server.kill)
                await asyncio.to_thread(site.server.start)

        await asyncio.gather(restart(), *[caller() for _ in range(CALLERS)])
    assert len(told) == len(set(told))
    assert set(told) == set(site.charged())


async def test_who_gives_up_is_told_whether_money_may_have_moved() -> None:
    async with AsyncFarebox("http://127.0.0.1:9", key="k", attempts=2) as farebox:
        told = await asyncio.gather(
            *[farebox.charge(merchant="m", type="t", key=f"k{number}") for number in range(3)], return_exceptions=True
        )
    assert [(f"k{number}", True) for number in range(3)] == [
        (outcome.key, outcome.is_known) for outcome in told if isinstance(outcome, Unreachable)
    ]


# The connections of a loop that ends before its client is closed can't be closed.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_client_serves_one_event_loop_after_another(site: Site) -> None:
    assert 3 == len({charge.transfer_id for charge in _charges_of_loops(site)})
    gc.collect()


def _charges_of_loops(site: Site) -> list[Charge]:
    farebox = AsyncFarebox(site.server.url, key=site.seeds.service_key)

    async def leave() -> None:
        """End the loop while a charge waits."""
        task = asyncio.create_task(farebox.charge(merchant=site.seeds.merchant, type="image", reference="left"))
        await asyncio.sleep(0.001)
        assert not task.done()

    async def ask() -> Charge:
        return await farebox.charge(merchant=site.seeds.merchant, type="image")

    asyncio.run(leave())
    return [asyncio.run(ask()) for _ in range(3)]


@on_each_engine
async def test_the_end_of_a_client_waits_for_charges_under_way(site: Site) -> None:
    farebox = AsyncFarebox(site.server.url, key=site.seeds.service_key)
    tasks = [
        asyncio.create_task(farebox.charge(merchant=site.seeds.merchant, type="image", reference=f"r{number}"))
        for number in range(10)
    ]
    await asyncio.sleep(0)
    await farebox.aclose()
    assert all(task.done() for task in tasks)
    assert 10 == len(site.charged())
    with pytest.raises(RuntimeError, match="closed"):
        await farebox.charge(merchant=site.seeds.merchant, type="image")


@on_each_engine
def test_threads_share_requests_and_each_gets_its_own_outcome(site: Site) -> None:
    sizes: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self.transport = BlockingHttpTransport(site.server.url)

        def send(
            self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float
        ) -> Answer:
            sizes.append((body or b"").count(b'"type"'))
            return self.transport.send(method, path, body, headers, timeout=timeout)

        def close(self) -> None:
            self.transport.close()

    with (
        Farebox(site.server.url, key=site.seeds.service_key, transport=Counting()) as farebox,
        ThreadPoolExecutor(CALLERS) as threads,
    ):

        def ask(number: int) -> Charge | FareboxError:
            amount = "1000000" if number % 3 == 0 else f"0.{number:04}"
            try:
                return farebox.charge(merchant=site.seeds.merchant, type="call", amount=amount, reference=f"r{number}")
            except FareboxError as error:
                return error

        told = list(threads.map(ask, range(1, 257)))
    for number, outcome in enumerate(told, 1):
        if number % 3 == 0:
            assert isinstance(outcome, InsufficientBalance)
        else:
            assert isinstance(outcome, Charge)
            assert Decimal(f"0.{number:04}") == outcome.cost
    assert len([outcome for outcome in told if isinstance(outcome, Charge)]) == len(site.charged())
    assert len(sizes) < 200


@on_each_engine
def test_the_end_of_a_blocking_client_waits_for_charges_under_way(site: Site) -> None:
    farebox = Farebox(site.server.url, key=site.seeds.service_key)
    told: list[str] = []
    too_late: list[int] = []

    def charge(number: int) -> None:
        try:
            farebox.charge(merchant=site.seeds.merchant, type="image", reference=f"end-{number}")
        except RuntimeError:
            too_late.append(number)
        else:
            told.append(f"end-{number}")

    threads = [threading.Thread(target=charge, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    while not told:
        time.sleep(0.001)
    farebox.close()
    for thread in threads:
        thread.join()
    assert 8 == len(told) + len(too_late)
    assert set(told) == site.charged().keys()
    with pytest.raises(RuntimeError, match="closed"):
        farebox.charge(merchant=site.seeds.merchant, type="image")


# Python 3.12 warns of a fork beside threads, which is what this is about.
@on_each_engine
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_charges_by_itself(site: Site) -> None:
    with Farebox(site.server.url, key=site.seeds.service_key) as farebox:
        farebox.charge(merchant=site.seeds.merchant, type="image", reference="before")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                farebox.charge(merchant=site.seeds.merchant, type="image", reference="child")
                status = 0
            finally:
                os._exit(status)
        farebox.charge(merchant=site.seeds.merchant, type="image", reference="parent")
        assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert {"before", "child", "parent"} == set(site.charged())


def test_a_closed_client_leaves_no_thread(site: Site) -> None:
    with closing(Farebox(site.server.url, key=site.seeds.service_key)) as farebox:
        farebox.charge(merchant=site.seeds.merchant, type="image")
    eventually(lambda: all(thread.name != "farebox-charges" for thread in threading.enumerate()))
