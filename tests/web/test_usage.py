"""Usage over the client: what a merchant's requests came to, by hour and day. The rules themselves: tests/service."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.commands import KeyKind
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.service.people import api_keys
from tests.support.app_client import AppClient, Reply
from tests.support.clock import at
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

USAGE: Final = "/api/usage"

_numbers = iter(range(10**9))


def _key() -> str:
    return f"key-{next(_numbers)}"


@contextmanager
def _at(farebox: Farebox, text: str) -> Iterator[None]:
    """Set the clock."""
    moment = int(datetime.fromisoformat(text).timestamp()) * 1_000_000
    with at(farebox, moment):
        yield


async def _post(client: AppClient, seeds: Seeds, path: str, **content: object) -> dict[str, Any]:
    reply = await client.post(path, seeds.service_key, {"idempotencyKey": _key(), **content})
    assert 200 == reply.status, reply
    return dict(reply.data)


async def _charge(client: AppClient, seeds: Seeds, **fields: object) -> dict[str, Any]:
    return await _post(client, seeds, "/api/charges", merchant=seeds.merchant, **{"type": "image", **fields})


async def _lines(client: AppClient, seeds: Seeds, query: str = "") -> list[tuple[str, str, int, str, str]]:
    reply = await client.get(f"{USAGE}?{query}", seeds.merchant_key)
    assert (200, ["currency", "lines"], "USD") == (reply.status, list(reply.data), reply.data["currency"])
    for line in reply.data["lines"]:
        assert ["startsAt", "type", "count", "cost", "refunded"] == list(line)
    return [tuple(line.values()) for line in reply.data["lines"]]


async def test_merchant_without_requests_has_no_usage(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    assert [] == await _lines(client, seeds)


async def test_usage_counts_quantities_costs_and_refunds_of_each_type(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    await farebox.services.prices.set("video-call", None)
    with _at(farebox, "2050-03-01T10:59:59Z"):
        charged = await _charge(client, seeds, quantity=3)
        await _charge(client, seeds, type="call", amount="2.5", quantity=2)
        await _charge(client, other, quantity=9)
    with _at(farebox, "2050-03-01T11:00:00Z"):
        await _charge(client, seeds)
        held = await _post(client, seeds, "/api/holds", merchant=seeds.merchant, type="call", amount="5", quantity=4)
        await _post(client, seeds, f"/api/holds/{held['holdId']}/capture", amount="1.234567")
    with _at(farebox, "2050-03-02T00:00:00Z"):
        await _post(client, seeds, "/api/refunds", transferId=charged["transferId"], amount="0.02")
        # Holds, releases, top-ups and refusals are no usage.
        for _ in range(2):
            held = await _post(client, seeds, "/api/holds", merchant=seeds.merchant, type="video-call", amount="5")
        await _post(client, seeds, f"/api/holds/{held['holdId']}/release")
        refused = {"merchant": seeds.merchant, "type": "image", "quantity": 1_000_000, "idempotencyKey": _key()}
        assert 402 == (await client.post("/api/charges", seeds.service_key, refused)).status
        top_up = {"amount": "1", "reference": "R"}
        path = f"/api/admin/merchants/{seeds.merchant}/topups"
        assert 200 == (await client.post(path, seeds.support_key, top_up)).status
    first, second = "2050-03-01T00:00:00.000000Z", "2050-03-02T00:00:00.000000Z"
    by_day = [
        (first, "call", 3, "3.734567", "0.00"),
        (first, "image", 4, "0.04", "0.00"),
        (second, "image", 0, "0.00", "0.02"),
    ]
    assert by_day == await _lines(client, seeds, "from=2050-03-01&to=2050-03-02")
    assert by_day[:2] == await _lines(client, seeds, "from=2050-03-01&to=2050-03-01")
    assert [by_day[0]] == await _lines(client, seeds, "from=2050-03-01&to=2050-03-02&type=call")
    assert [] == await _lines(client, seeds, "from=2050-03-01&to=2050-03-02&type=nothing")
    by_hour = [
        ("2050-03-01T10:00:00.000000Z", "call", 2, "2.50", "0.00"),
        ("2050-03-01T10:00:00.000000Z", "image", 3, "0.03", "0.00"),
        ("2050-03-01T11:00:00.000000Z", "call", 1, "1.234567", "0.00"),
        ("2050-03-01T11:00:00.000000Z", "image", 1, "0.01", "0.00"),
        (second, "image", 0, "0.00", "0.02"),
    ]
    assert by_hour == await _lines(client, seeds, "by=hour&from=2050-03-01&to=2050-03-02")
    # Summed up, it is the same.
    while await farebox.stores.usage.roll_up(seeds.merchant_id, transfers_max=4):
        pass
    assert by_day == await _lines(client, seeds, "from=2050-03-01&to=2050-03-02")
    assert by_hour == await _lines(client, seeds, "by=hour&from=2050-03-01&to=2050-03-02")


@pytest.mark.parametrize(
    ("zone", "at", "day", "starts_at"),
    [
        ("Asia/Kathmandu", "2050-03-01T18:14:59Z", "2050-03-01", "2050-02-28T18:15:00.000000Z"),
        ("Asia/Kathmandu", "2050-03-01T18:15:00Z", "2050-03-02", "2050-03-01T18:15:00.000000Z"),
        ("Asia/Kolkata", "2050-03-01T18:30:00Z", "2050-03-02", "2050-03-01T18:30:00.000000Z"),
        # Days of 23 and 25 hours.
        ("Europe/Berlin", "2050-03-27T21:59:59Z", "2050-03-27", "2050-03-26T23:00:00.000000Z"),
        ("Europe/Berlin", "2050-03-27T22:00:00Z", "2050-03-28", "2050-03-27T22:00:00.000000Z"),
        ("America/New_York", "2050-11-07T04:59:59Z", "2050-11-06", "2050-11-06T04:00:00.000000Z"),
        ("America/New_York", "2050-11-07T05:00:00Z", "2050-11-07", "2050-11-07T05:00:00.000000Z"),
        ("Australia/Lord_Howe", "2050-04-03T13:29:59Z", "2050-04-03", "2050-04-02T13:00:00.000000Z"),
        ("Australia/Lord_Howe", "2050-04-03T13:30:00Z", "2050-04-04", "2050-04-03T13:30:00.000000Z"),
    ],
)
async def test_days_are_those_of_the_time_zone(
    farebox: Farebox, client: AppClient, zone: str, at: str, day: str, starts_at: str
) -> None:
    seeds = await seed(farebox)
    with _at(farebox, at):
        await _charge(client, seeds)
        expected = [(starts_at, "image", 1, "0.01", "0.00")]
        assert expected == await _lines(client, seeds, f"timeZone={zone}&from={day}&to={day}")
        # Today is a day of that zone as well.
        assert expected == await _lines(client, seeds, f"timeZone={zone}&from={day}")
        assert expected == await _lines(client, seeds, f"timeZone={zone.replace('/', '%2F')}")


async def test_without_days_it_is_a_month_by_days_and_a_week_by_hours(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for day in ("2050-03-02", "2050-03-03", "2050-03-25", "2050-03-26", "2050-04-01"):
        with _at(farebox, f"{day}T12:00:00Z"):
            await _charge(client, seeds)
    with _at(farebox, "2050-04-01T12:30:00Z"):
        by_day, by_hour = await _lines(client, seeds), await _lines(client, seeds, "by=hour")
        earlier = await _lines(client, seeds, "to=2050-03-31")
    assert ["2050-03-03", "2050-03-25", "2050-03-26", "2050-04-01"] == [line[0][:10] for line in by_day]
    assert ["2050-03-26", "2050-04-01"] == [line[0][:10] for line in by_hour]
    assert ["2050-03-02", "2050-03-03", "2050-03-25", "2050-03-26"] == [line[0][:10] for line in earlier]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=week", "by"),
        ("by=", "by"),
        ("from=2050-02-30", "from"),
        ("from=yesterday", "from"),
        ("to=2050-2-1", "to"),
        ("to=2050-01-01T00:00:00Z", "to"),
        ("from=2050-01-02&to=2050-01-01", "from"),
        ("from=2050-01-01&to=2051-01-02", "from"),
        ("by=hour&from=2050-01-01&to=2050-02-01", "from"),
        ("timeZone=Mars", "timeZone"),
        ("timeZone=", "timeZone"),
        ("timeZone=..%2F..%2Fetc%2Fpasswd", "timeZone"),
        ("timeZone=%00", "timeZone"),
        ("timeZone=%2B01:00", "timeZone"),
        ("type=an+image", "type"),
        ("type=", "type"),
    ],
)
async def test_query_that_makes_no_sense_is_a_422_that_names_its_parameter(
    farebox: Farebox, client: AppClient, query: str, field: str
) -> None:
    seeds = await seed(farebox)
    reply = await client.get(f"{USAGE}?{query}", seeds.merchant_key)
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    "query", ["from=2050-01-01&to=2051-01-01", "by=hour&from=2050-01-01&to=2050-01-31", "by=day", "", "&"]
)
async def test_longest_times_may_be_asked_for(farebox: Farebox, client: AppClient, query: str) -> None:
    assert [] == await _lines(client, await seed(farebox), query)


@pytest.mark.parametrize(
    "query", ["first=2050-01-01", "limit=1", "by=day&by=hour", "merchant=mer_0000000000000", "%ff=1"]
)
async def test_unknown_or_repeated_parameter_is_a_400(farebox: Farebox, client: AppClient, query: str) -> None:
    seeds = await seed(farebox)
    reply = await client.get(f"{USAGE}?{query}", seeds.merchant_key)
    assert (400, "malformed_request") == (reply.status, reply.code)


async def test_merchants_alone_read_usage(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    revoked = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await farebox.services.merchants.revoke_key(revoked.key.key_id)
    unknown = api_keys.make_key(KeyKind.MERCHANT, seeds.merchant_id)

    async def ask(key: str | None) -> Reply:
        return await client.get(f"{USAGE}?by=week", key)

    for key in (seeds.service_key, seeds.support_key):
        assert (403, "forbidden") == ((await ask(key)).status, (await ask(key)).code)
    for text in (None, "x", revoked.text, unknown):
        assert (401, "invalid_api_key") == ((await ask(text)).status, (await ask(text)).code)


async def test_frozen_merchant_reads_its_usage(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await _charge(client, seeds)
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    assert [("image", 1, "0.01", "0.00")] == [line[1:] for line in await _lines(client, seeds)]


async def test_a_ruled_type_tells_the_sums_of_its_quantities(farebox: Farebox, client: AppClient) -> None:
    """Lines of other types have the members that they always had."""
    seeds = await seed(farebox)
    rule = Rule(Rates((Line("input", 150_000, 10**6), Line("output", 600_000, 10**6))))
    await farebox.services.prices.set("chat", rule=rule, merchant_id=seeds.merchant_id)
    await _charge(client, seeds)
    for named in ({"input": 3, "output": 7}, {"input": 1_000}, {"input": 0}):
        await _charge(client, seeds, type="chat", quantities=named)
    held = await _post(
        client, seeds, "/api/holds", merchant=seeds.merchant, type="chat", quantities={"input": 10, "output": 20}
    )
    await _post(client, seeds, f"/api/holds/{held['holdId']}/capture", quantities={"output": 5})
    reply = await client.get(USAGE, seeds.merchant_key)
    chat, image = reply.data["lines"]
    assert ("chat", 4, {"input": 1_003, "output": 12}) == (chat["type"], chat["count"], chat["quantities"])
    assert ["startsAt", "type", "count", "cost", "refunded"] == list(image)
