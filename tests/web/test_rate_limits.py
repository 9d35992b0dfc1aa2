"""Rate limits: honest clients never meet them, and whoever hammers harms nobody else."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.config import Settings, SettingsError
from farebox.core.commands import KeyKind
from farebox.server import rate_limits
from farebox.service.people.api_keys import ParsedKey, parse_key
from farebox.web.client_address import Addresses, source_of
from farebox.web.envelope import ApiError
from farebox.web.rate_limits import BUCKETS_MAX, DEBT_SECONDS_MAX, Buckets, Limits
from tests.support.app_client import JSON, NO_PROXIES, AppClient, Reply, open_client
from tests.support.effort import examples
from tests.support.server import Seeds, open_farebox, seed

PROXY: Final = "127.0.0.1"
"""Where the client's requests come from."""


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
    pauses=st.lists(st.floats(0, 2, allow_subnormal=False) | st.just(0.0), max_size=120),
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
        wait = buckets.wait("x")
        # Both ways to ask agree.
        assert wait == pytest.approx(buckets.acquire("x"))
        if not wait:
            taken.append(seconds.time)
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            window = taken[last] - start
            assert last - first + 1 <= rate * (burst_seconds + window) + 0.001


@examples(100)
@given(jitters=st.lists(st.floats(0, 0.1, allow_subnormal=False), min_size=50, max_size=200))
def test_who_stays_below_the_rate_is_never_refused(jitters: list[float]) -> None:
    seconds = Seconds()
    # Not even one at a time is held up, without any burst to live on.
    buckets = Buckets(10, 0, seconds)
    for jitter in jitters:
        seconds.time += 0.1 + jitter
        assert 0 == buckets.wait("x")
        assert 0 == buckets.acquire("x")


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


def test_what_is_under_way_overdraws_a_bucket_so_far_and_no_further() -> None:
    seconds = Seconds()
    buckets = Buckets(10, 10, seconds)
    for _ in range(10_000):
        buckets.take("x")
    assert DEBT_SECONDS_MAX == pytest.approx(buckets.wait("x") - 0.1, abs=0.001)
    seconds.time += DEBT_SECONDS_MAX + 0.1
    assert 0 == buckets.wait("x")


@pytest.mark.parametrize("way", ["take", "acquire"])
def test_a_million_names_fill_no_more_than_the_table(way: str) -> None:
    buckets = Buckets(10, 5, Seconds())
    count = getattr(buckets, way)
    for number in range(1_000_000):
        count(number.to_bytes(4, "big"))
    assert BUCKETS_MAX == len(buckets)


def test_the_oldest_is_forgotten_first() -> None:
    buckets = Buckets(1, 1, Seconds(), names_max=2)
    for name in ("a", "b", "c"):
        buckets.take(name)
    assert [True, False, False] == [buckets.wait(name) == 0 for name in ("a", "b", "c")]


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
        (("10.0.0.1",), "10.0.0.1", ("6.6.6.6, 198.51.100.1:4711",), "198.51.100.1"),
        (("10.0.0.1",), "10.0.0.1", ("[2001:db8::5]:4711",), "2001:db8::5"),
        (("10.0.0.1",), "10.0.0.1", ("[2001:db8::5]",), "2001:db8::5"),
        (("10.0.0.1",), "10.0.0.1", ("6.6.6.6, 198.51.100.1:port",), "10.0.0.1"),
    ],
)
def test_a_proxy_is_believed_as_far_as_it_is_trusted(
    trusted: tuple[str, ...], client: str | None, forwarded: tuple[str, ...], expected: str | None
) -> None:
    assert expected == Addresses([ip_network(text) for text in trusted]).of(scope(client, *forwarded))


@given(values=st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=4))
def test_no_header_is_a_crash(values: list[str]) -> None:
    assert Addresses([ip_network(PROXY)]).of(scope(PROXY, *values)) is not None


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


# Through the client.


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


async def limited(farebox: Farebox, seconds: Seconds, **rates: float) -> AppClient:
    every: dict[str, Any] = {"per_merchant_key": 0.0, "per_staff_key": 0.0, "failures_per_address": 0.0, **rates}
    limits = Limits(Addresses([ip_network(PROXY)]), **every, now=seconds)
    return await open_client(farebox, limits=limits, cors_origins=("*",))


async def balance(client: AppClient, key: str | None, address: str = "198.51.100.1") -> Reply:
    return await client.get("/api/balance", key, headers=[("x-forwarded-for", address), ORIGIN])


def assert_limited(reply: Reply, seconds: int) -> None:
    assert (429, "rate_limited", str(seconds)) == (reply.status, reply.code, reply.header("retry-after"))
    assert "*" == reply.header("access-control-allow-origin")


async def test_a_key_has_its_rate_and_waits_as_long_as_it_is_told(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    client = await limited(farebox, seconds, per_merchant_key=2)
    second = await seed(farebox)
    assert [200] * 10 == [(await balance(client, seeds.merchant_key)).status for _ in range(10)]
    assert_limited(await balance(client, seeds.merchant_key), 1)
    assert_limited(await client.get("/api/account", seeds.merchant_key, [ORIGIN]), 1)
    # Other keys are not held up, and the operator's own have no limit unless one is set.
    assert 200 == (await balance(client, second.merchant_key)).status
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    for _ in range(30):
        assert 200 == (await client.post("/api/charges", seeds.service_key, charge)).status
    seconds.time += 1
    assert 200 == (await balance(client, seeds.merchant_key)).status


async def test_the_operators_own_keys_can_be_limited_too(farebox: Farebox, seeds: Seeds, seconds: Seconds) -> None:
    client = await limited(farebox, seconds, per_staff_key=1)
    statuses = [(await client.get("/api/admin/merchants", seeds.support_key)).status for _ in range(6)]
    assert [200] * 5 + [429] == statuses
    assert 200 == (await balance(client, seeds.merchant_key)).status


async def test_bad_keys_from_one_address_are_slowed_and_disturb_nobody_else(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    client = await limited(farebox, seconds, failures_per_address=1)
    assert 200 == (await balance(client, seeds.merchant_key)).status
    bad = [None, "", "x", "fbm_" + "0" * 39, seeds.merchant_key[:-1] + "~"]
    statuses = [(await balance(client, bad[number % len(bad)])).status for number in range(11)]
    assert [401] * 10 + [429] == statuses
    assert_limited(await balance(client, None), 1)
    # A key that was good a moment ago still gets through from there, and any key from elsewhere.
    assert 200 == (await balance(client, seeds.merchant_key)).status
    stranger = (await seed(farebox)).merchant_key
    assert 429 == (await balance(client, stranger)).status
    assert 200 == (await balance(client, stranger, "198.51.100.2")).status
    assert 401 == (await balance(client, None, "198.51.100.2")).status
    seconds.time += 1
    assert 401 == (await balance(client, None)).status


async def test_a_key_that_is_closed_is_no_longer_let_through_where_bad_ones_come_from(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    client = await limited(farebox, seconds, failures_per_address=1)
    assert 200 == (await balance(client, seeds.merchant_key)).status
    (key,) = await farebox.services.merchants.keys(seeds.merchant_id)
    await farebox.services.merchants.revoke_key(key.key_id)
    assert 401 == (await balance(client, seeds.merchant_key)).status
    for _ in range(9):
        await balance(client, None)
    assert 429 == (await balance(client, seeds.merchant_key)).status


async def test_addresses_that_are_made_up_do_not_multiply_the_budget(farebox: Farebox, seconds: Seconds) -> None:
    limits = Limits(Addresses(()), per_merchant_key=0, per_staff_key=0, failures_per_address=1, now=seconds)
    client = await open_client(farebox, limits=limits)
    statuses = [(await balance(client, None, f"198.51.100.{number}")).status for number in range(11)]
    assert [401] * 10 + [429] == statuses


async def test_half_a_long_address_is_one_source(farebox: Farebox, seconds: Seconds) -> None:
    client = await limited(farebox, seconds, failures_per_address=1)
    statuses = [(await balance(client, None, f"2001:db8:0:1::{number}")).status for number in range(1, 12)]
    assert [401] * 10 + [429] == statuses
    assert 401 == (await balance(client, None, "2001:db8:0:2::1")).status


async def test_the_wait_is_whole_seconds_rounded_up(farebox: Farebox, seeds: Seeds, seconds: Seconds) -> None:
    client = await limited(farebox, seconds, per_merchant_key=0.2)
    assert 200 == (await balance(client, seeds.merchant_key)).status
    assert_limited(await balance(client, seeds.merchant_key), 5)
    seconds.time += 1.5
    assert_limited(await balance(client, seeds.merchant_key), 4)


async def test_a_key_is_good_even_if_what_it_asked_for_was_refused(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    client = await limited(farebox, seconds, failures_per_address=1)
    address = ("x-forwarded-for", "198.51.100.1")
    charge = {"merchant": seeds.merchant, "type": "no-such-type", "idempotencyKey": "k"}
    assert 422 == (await client.post("/api/charges", seeds.service_key, charge, [JSON, address])).status
    assert 403 == (await balance(client, seeds.support_key)).status
    assert [401] * 10 + [429] == [(await balance(client, "x")).status for _ in range(11)]
    assert 422 == (await client.post("/api/charges", seeds.service_key, charge, [JSON, address])).status
    assert 403 == (await balance(client, seeds.support_key)).status


async def test_an_address_over_its_limit_costs_the_database_nothing(
    farebox: Farebox, seeds: Seeds, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await limited(farebox, seconds, per_merchant_key=1000, failures_per_address=1)
    for _ in range(10):
        await balance(client, None)

    async def fail(*_: object) -> None:
        raise AssertionError("the database was asked")

    before = farebox.committer.commands_count
    for store, name in ((farebox.stores.connector, "balances"), (farebox.stores.api_keys, "authenticate")):
        monkeypatch.setattr(store, name, fail)
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    for key in (seeds.merchant_key, seeds.service_key, seeds.support_key, "x", None):
        assert_limited(await balance(client, key), 1)
        reply = await client.post("/api/charges", key, charge, [JSON, ("x-forwarded-for", "198.51.100.1"), ORIGIN])
        assert_limited(reply, 1)
    assert before == farebox.committer.commands_count


async def test_what_asks_for_no_key_is_neither_counted_nor_held_up(
    farebox: Farebox, seeds: Seeds, seconds: Seconds
) -> None:
    client = await limited(farebox, seconds, per_merchant_key=1, failures_per_address=1)
    address = [("x-forwarded-for", "198.51.100.1"), ORIGIN]
    for _ in range(2):
        for _ in range(20):
            assert 404 == (await client.get("/api/nothing", seeds.merchant_key, address)).status
            assert 404 == (await client.get("/api/nothing", None, address)).status
            assert 405 == (await client.send("PUT", "/api/balance", headers=address)).status
            assert 204 == (await client.send("OPTIONS", "/api/balance", headers=address)).status
        # All the same to those who have used up what they may.
        for _ in range(11):
            await balance(client, None)
        assert_limited(await balance(client, None), 1)


async def test_an_answer_above_the_limit_is_whole(farebox: Farebox, seeds: Seeds, seconds: Seconds) -> None:
    client = await limited(farebox, seconds, per_merchant_key=1)
    for _ in range(5):
        await balance(client, seeds.merchant_key)
    # What every answer has to have is checked by the client.
    for target in ("/api/balance", "/api/account", "/api/transfers", "/api/charges"):
        method = "POST" if target == "/api/charges" else "GET"
        reply = await client.send(method, target, key=seeds.merchant_key, headers=[ORIGIN])
        assert_limited(reply, 1)
        assert "Too many requests with this API key; try again in 1 s" == reply.message
        assert "Retry-After" in (reply.header("access-control-expose-headers") or "")


def test_tables_stay_bounded_whatever_comes(seconds: Seconds) -> None:
    every: dict[str, Any] = {"per_merchant_key": 1, "per_staff_key": 1, "failures_per_address": 1}
    limits = Limits(Addresses(()), **every, now=seconds, names_max=50)
    for number in range(500):
        for kind in KeyKind:
            one = ParsedKey(kind, None, bytes([kind]) + number.to_bytes(31, "big"))
            source = scope(f"10.0.{number // 256}.{number % 256}")
            limits.admit(source, one)
            limits.record_success(one)
            limits.record_failure(source, None)
    assert {"_good": 50, "_failures": 50, "merchants": 50, "staff": 50} == _sizes(limits)


def test_keys_that_are_made_up_do_not_push_others_out(seconds: Seconds) -> None:
    limits = Limits(Addresses(()), per_merchant_key=1, per_staff_key=1, failures_per_address=1, now=seconds)
    for _ in range(10):
        limits.record_failure(scope("10.0.0.1"), None)
    for number in range(100):
        made_up = ParsedKey(KeyKind.MERCHANT, 1, number.to_bytes(32, "big"))
        with pytest.raises(ApiError, match="bad API keys"):
            limits.admit(scope("10.0.0.1"), made_up)
    assert {"_good": 0, "_failures": 1, "merchants": 0, "staff": 0} == _sizes(limits)


def _sizes(limits: Limits) -> dict[str, int]:
    found = vars(limits)
    tables = {
        "_good": found["_good"],
        "_failures": found["_failures"],
        "merchants": found["_keys"][KeyKind.MERCHANT],
        "staff": found["_keys"][KeyKind.SUPPORT],
    }
    assert found["_keys"][KeyKind.SERVICE] is tables["staff"]
    return {name: len(table) for name, table in tables.items()}


async def test_an_honest_client_meets_no_limit_by_default(farebox: Farebox, seeds: Seeds) -> None:
    """One that asks three hundred times at once, and one that has a wrong key and tries fifty times."""
    client = await open_client(farebox, limits=rate_limits(farebox, NO_PROXIES))
    replies = await asyncio.gather(*[balance(client, seeds.merchant_key) for _ in range(300)])
    assert {200} == {reply.status for reply in replies}
    assert {401} == {(await balance(client, "x")).status for _ in range(50)}


def test_too_many_is_an_error_of_the_table() -> None:
    limits = Limits(Addresses(()), per_merchant_key=0, per_staff_key=1, failures_per_address=0, now=Seconds())
    key = parse_key("fbs_" + "0" * 26)
    for _ in range(5):
        limits.admit(scope("10.0.0.1"), key)
    with pytest.raises(ApiError, match="Too many requests with this API key; try again in 1 s"):
        limits.admit(scope("10.0.0.1"), key)


# Settings.


@pytest.mark.parametrize("name", ["FAREBOX_RATE_LIMIT", "FAREBOX_RATE_LIMIT_STAFF", "FAREBOX_BAD_KEYS"])
@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "nan", "inf", "1,000", " 1", "1.", "\u0661", "9" * 400])
def test_a_rate_that_is_none_is_named(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .*write a number of requests a second"):
        Settings.load({name: text}, tmp_path)


@pytest.mark.parametrize("text", ["x", "*", "proxy", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.1 10.0.0.2", "10.0.0.1, *"])
def test_proxies_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=r"FAREBOX_TRUSTED_PROXIES: .* is neither an address nor a network"):
        Settings.load({"FAREBOX_TRUSTED_PROXIES": text}, tmp_path)


def test_settings_become_limits(tmp_path: Path) -> None:
    def limits(**values: str) -> tuple[object, ...]:
        loaded = Settings.load({f"FAREBOX_{name.upper()}": value for name, value in values.items()}, tmp_path)
        return loaded.rate_limit, loaded.rate_limit_staff, loaded.bad_keys, loaded.trusted_proxies

    assert (1000, 0, 10, ()) == limits()
    networks = (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert (0, 0.5, 20, networks) == limits(
        rate_limit="0", rate_limit_staff="0.5", bad_keys="20", trusted_proxies=" 10.0.0.0/8,, ::1 ,"
    )
