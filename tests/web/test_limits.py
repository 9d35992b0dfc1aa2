"""Rate limits: honest clients never meet them, and whoever hammers harms nobody else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.service.access import ParsedKey, parse_key
from farebox.web import limits as module
from farebox.web.addresses import Addresses, InvalidNetwork, source_of
from farebox.web.envelope import ApiError
from farebox.web.limits import Buckets, Limits
from tests.support.door import Door, Reply, open_door
from tests.support.effort import examples
from tests.support.server import Seeds, open_farebox, seed

PROXY: Final = "127.0.0.1"
"""Where the door's requests come from."""


ORIGIN: Final = ("origin", "https://dashboard.example")


class Seconds:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


# Buckets.


@examples(200)
@given(
    pauses=st.lists(st.floats(0, 2, allow_subnormal=False), max_size=120),
    rate=st.sampled_from([1.0, 3.0, 10.0]),
    burst_seconds=st.sampled_from([1.0, 5.0]),
)
def test_no_window_lets_more_through_than_the_burst_and_the_rate(
    pauses: list[float], rate: float, burst_seconds: float
) -> None:
    seconds = Seconds()
    buckets = Buckets(rate, burst_seconds, seconds)
    taken: list[float] = []
    for pause in pauses:
        seconds.time += pause
        if not buckets.wait("x"):
            buckets.take("x")
            taken.append(seconds.time)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            window = taken[last] - start
            assert last - first + 1 <= rate * (burst_seconds + window) + 1


@examples(100)
@given(jitters=st.lists(st.floats(0, 0.1, allow_subnormal=False), min_size=50, max_size=200))
def test_who_stays_below_the_rate_is_never_refused(jitters: list[float]) -> None:
    seconds = Seconds()
    buckets = Buckets(10, 1, seconds)
    for jitter in jitters:
        seconds.time += 0.1 + jitter
        assert 0 == buckets.wait("x")
        buckets.take("x")


def test_a_burst_gets_through_at_once_and_the_next_after_the_time_that_is_told() -> None:
    seconds = Seconds()
    buckets = Buckets(10, 5, seconds)
    for _ in range(50):
        assert 0 == buckets.wait("x")
        buckets.take("x")
    wait = buckets.wait("x")
    assert 0 < wait <= 0.1
    assert 0 == buckets.wait("y")
    seconds.time += wait
    assert 0 == buckets.wait("x")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUCKETS_MAX", 100)
    buckets = Buckets(10, 5, Seconds())
    for number in range(1_000):
        buckets.take(str(number))
    assert 100 == len(buckets)


# Addresses.


def scope(client: str | None, *forwarded: str) -> Any:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return {"client": None if client is None else (client, 5000), "headers": headers}


@pytest.mark.parametrize(
    ("trusted", "client", "forwarded", "expected"),
    [
        ((), "203.0.113.7", ("10.9.9.9",), "203.0.113.7"),
        ((), None, (), None),
        (("10.0.0.0/8",), "203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        (("10.0.0.0/8",), "10.0.0.1", (), "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.1", ("6.6.6.6, 198.51.100.1",), "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.1", ("6.6.6.6", "198.51.100.1, 10.0.0.2"), "198.51.100.1"),
        (("10.0.0.0/8",), "10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        (("10.0.0.1", "::1"), "::1", (" 2001:db8::5 ",), "2001:db8::5"),
        (("10.0.0.1",), "::ffff:10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        (("10.0.0.1",), "10.0.0.1", ("garbage, 198.51.100.1",), "198.51.100.1"),
        (("10.0.0.1",), "10.0.0.1", ("198.51.100.1, garbage",), "10.0.0.1"),
        (("10.0.0.1",), "10.0.0.1", ("\x00\xff,,,", ""), "10.0.0.1"),
        (("10.0.0.1",), "10.0.0.1", (",".join(["10.0.0.1"] * 10_000),), "10.0.0.1"),
        (("10.0.0.1",), "a.socket", ("198.51.100.1",), "a.socket"),
    ],
)
def test_a_proxy_is_believed_as_far_as_it_is_trusted(
    trusted: tuple[str, ...], client: str | None, forwarded: tuple[str, ...], expected: str | None
) -> None:
    assert expected == Addresses(trusted).of(scope(client, *forwarded))


@given(values=st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_no_header_is_a_crash(values: list[str]) -> None:
    assert Addresses((PROXY,)).of(scope(PROXY, *values)) is not None


@pytest.mark.parametrize("text", ["x", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidNetwork, match=text.replace("*", r"\*")):
        Addresses((text,))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("a.socket", "a.socket"),
        (None, ""),
    ],
)
def test_a_subscriber_is_an_address_or_half_of_a_long_one(address: str | None, expected: str) -> None:
    assert expected == source_of(address)


# Through the door.


@pytest_asyncio.fixture
async def farebox(tmp_path: Path) -> AsyncIterator[Farebox]:
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        yield farebox


@pytest_asyncio.fixture
async def seeds(farebox: Farebox) -> Seeds:
    return await seed(farebox)


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


async def limited(farebox: Farebox, seconds: Seconds, **rates: float) -> Door:
    every = {"per_merchant_key": 0.0, "per_staff_key": 0.0, "failures_per_address": 0.0, **rates}
    limits = Limits(Addresses((PROXY,)), **every, now=seconds)
    return await open_door(farebox, limits=limits, cors_origins=("*",))


async def balance(door: Door, key: str | None, address: str = "198.51.100.1") -> Reply:
    return await door.get("/api/balance", key, headers=[("x-forwarded-for", address), ORIGIN])


def assert_limited(reply: Reply, seconds: int) -> None:
    assert (429, "rate_limited", str(seconds)) == (reply.status, reply.code, reply.header("retry-after"))
    assert "*" == reply.header("access-control-allow-origin")


async def test_a_key_has_its_rate_and_waits_as_long_as_it_is_told(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    door = await limited(farebox, seconds, per_merchant_key=2)
    second = await seed(farebox)
    assert [200] * 10 == [(await balance(door, seeds.merchant_key)).status for _ in range(10)]
    assert_limited(await balance(door, seeds.merchant_key), 1)
    assert_limited(await door.get("/api/account", seeds.merchant_key, [ORIGIN]), 1)
    # Other keys are not held up, and the operator's own have no limit unless one is set.
    assert 200 == (await balance(door, second.merchant_key)).status
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    for _ in range(30):
        assert 200 == (await door.post("/api/charges", seeds.service_key, charge)).status
    seconds.time += 1
    assert 200 == (await balance(door, seeds.merchant_key)).status


async def test_the_operators_own_keys_can_be_limited_too(farebox: Farebox, seeds: Seeds, seconds: Seconds) -> None:
    door = await limited(farebox, seconds, per_staff_key=1)
    statuses = [(await door.get("/api/admin/merchants", seeds.support_key)).status for _ in range(6)]
    assert [200] * 5 + [429] == statuses
    assert 200 == (await balance(door, seeds.merchant_key)).status


async def test_bad_keys_from_one_address_are_slowed_and_disturb_nobody_else(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    door = await limited(farebox, seconds, failures_per_address=1)
    assert 200 == (await balance(door, seeds.merchant_key)).status
    bad = [None, "", "x", "fbm_" + "0" * 39, seeds.merchant_key[:-1] + "~"]
    statuses = [(await balance(door, bad[number % len(bad)])).status for number in range(11)]
    assert [401] * 10 + [429] == statuses
    assert_limited(await balance(door, None), 1)
    # A key that was good a moment ago still gets through from there, and any key from elsewhere.
    assert 200 == (await balance(door, seeds.merchant_key)).status
    stranger = (await seed(farebox)).merchant_key
    assert 429 == (await balance(door, stranger)).status
    assert 200 == (await balance(door, stranger, "198.51.100.2")).status
    assert 401 == (await balance(door, None, "198.51.100.2")).status
    seconds.time += 1
    assert 401 == (await balance(door, None)).status


async def test_a_key_that_is_closed_is_no_longer_let_through_where_bad_ones_come_from(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    door = await limited(farebox, seconds, failures_per_address=1)
    assert 200 == (await balance(door, seeds.merchant_key)).status
    (key,) = await farebox.merchants.keys(seeds.merchant_id)
    await farebox.merchants.revoke_key(key.key_id)
    assert 401 == (await balance(door, seeds.merchant_key)).status
    for _ in range(9):
        await balance(door, None)
    assert 429 == (await balance(door, seeds.merchant_key)).status


async def test_addresses_that_are_made_up_do_not_multiply_the_budget(farebox: Farebox, seconds: Seconds) -> None:
    limits = Limits(Addresses(()), per_merchant_key=0, per_staff_key=0, failures_per_address=1, now=seconds)
    door = await open_door(farebox, limits=limits)
    statuses = [(await balance(door, None, f"198.51.100.{number}")).status for number in range(11)]
    assert [401] * 10 + [429] == statuses


async def test_half_a_long_address_is_one_source(farebox: Farebox, seconds: Seconds) -> None:
    door = await limited(farebox, seconds, failures_per_address=1)
    statuses = [(await balance(door, None, f"2001:db8:0:1::{number}")).status for number in range(1, 12)]
    assert [401] * 10 + [429] == statuses
    assert 401 == (await balance(door, None, "2001:db8:0:2::1")).status


async def test_the_wait_is_whole_seconds_rounded_up(farebox: Farebox, seeds: Seeds, seconds: Seconds) -> None:
    door = await limited(farebox, seconds, per_merchant_key=0.2)
    assert 200 == (await balance(door, seeds.merchant_key)).status
    assert_limited(await balance(door, seeds.merchant_key), 5)
    seconds.time += 1.5
    assert_limited(await balance(door, seeds.merchant_key), 4)


async def test_tables_stay_bounded_whatever_comes(monkeypatch: pytest.MonkeyPatch, seconds: Seconds) -> None:
    monkeypatch.setattr(module, "BUCKETS_MAX", 50)
    limits = Limits(Addresses(()), per_merchant_key=1, per_staff_key=1, failures_per_address=1, now=seconds)
    key = parse_key("fbs_" + "0" * 26)
    assert key is not None
    for number in range(500):
        one = ParsedKey(key.kind, None, number.to_bytes(32, "big"))
        limits.admit(scope(f"10.0.{number // 256}.{number % 256}"), one)
        limits.passed(one)
        limits.failed(scope(f"10.0.{number // 256}.{number % 256}"), None)
    assert {50} == {len(table) for table in _tables(limits)}


def _tables(limits: Limits) -> list[Any]:
    found = vars(limits)
    return [found["_good"], found["_failures"], next(iter(found["_keys"].values())) or found["_good"]][:2]


async def test_an_honest_client_meets_no_limit_by_default(farebox: Farebox, seeds: Seeds) -> None:
    """One that asks three hundred times at once, and one that has a wrong key and tries fifty times."""
    door = await open_door(farebox, limits=farebox.limits)
    replies = await asyncio.gather(*[balance(door, seeds.merchant_key) for _ in range(300)])
    assert {200} == {reply.status for reply in replies}
    assert {401} == {(await balance(door, "x")).status for _ in range(50)}


def test_too_many_is_an_error_of_the_table() -> None:
    limits = Limits(Addresses(()), per_merchant_key=0, per_staff_key=1, failures_per_address=0, now=Seconds())
    key = parse_key("fbs_" + "0" * 26)
    for _ in range(5):
        limits.admit(scope("10.0.0.1"), key)
    with pytest.raises(ApiError, match="Too many requests with this API key; try again in 1 s"):
        limits.admit(scope("10.0.0.1"), key)
