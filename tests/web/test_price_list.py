"""The list of prices is data for services and merchants: it has a version, and is not sent again while that holds."""

from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.service.price_texts import write_rule
from tests.support.app_client import AppClient, Reply
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICES: Final = "/api/prices"
SOON: Final = "2090-01-01T00:00:00.000000Z"
LATER: Final = "2091-01-01T00:00:00.000000Z"
TOKENS: Final = Rule(Rates((Line("input", 150_000, 10**6), Line("output", 600_000, 10**6))))

_numbers = iter(range(10**9))


def _type() -> str:
    """Name a request type that no other test has a price for."""
    return f"listed-{next(_numbers)}"


async def _list(client: AppClient, key: str, query: str = "") -> dict[str, Any]:
    reply = await client.get(PRICES + query, key)
    assert 200 == reply.status
    assert reply.header("etag") == f'"{reply.data["version"]}"'
    data: dict[str, Any] = reply.data
    return data


async def _asked_again(client: AppClient, seeds: Seeds, *tags: str) -> Reply:
    return await client.get(PRICES, seeds.merchant_key, [("if-none-match", tag) for tag in tags])


async def test_a_rule_is_given_as_data(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    await farebox.services.prices.set(name, rule=TOKENS)
    prices = (await _list(client, seeds.merchant_key))["prices"]
    found = next(price for price in prices if price["type"] == name)
    assert (None, write_rule(TOKENS)) == (found["unitPrice"], found["rule"])


async def test_a_service_reads_the_defaults_and_any_merchants_prices(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    await farebox.services.prices.set(name, "1")
    await farebox.services.prices.set(name, "0.5", merchant_id=seeds.merchant_id)
    defaults = await _list(client, seeds.service_key)
    theirs = await _list(client, seeds.service_key, f"?merchant={seeds.merchant}")
    assert (None, "USD") == (defaults["currency"], theirs["currency"])
    for prices, unit_price, is_own in ((defaults, "1.00", False), (theirs, "0.50", True)):
        found = next(price for price in prices["prices"] if price["type"] == name)
        assert (unit_price, is_own) == (found["unitPrice"], found["isOwn"])
    assert (
        theirs
        == await _list(client, seeds.merchant_key)
        == await _list(client, seeds.merchant_key, f"?merchant={seeds.merchant}")
    )
    assert theirs["version"] != defaults["version"]


async def test_whose_prices_may_be_read(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    refused = await client.get(f"{PRICES}?merchant={other.merchant}", seeds.merchant_key)
    assert (403, "forbidden") == (refused.status, refused.code)
    assert 403 == (await client.get(PRICES, seeds.support_key)).status
    unknown = await client.get(f"{PRICES}?merchant=mer_0000000000001", seeds.service_key)
    assert (404, "merchant_not_found") == (unknown.status, unknown.code)
    malformed = await client.get(f"{PRICES}?merchant=Northwind", seeds.service_key)
    assert (422, "invalid_value") == (malformed.status, malformed.code)


async def test_a_version_that_holds_is_not_sent_again(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    tag = f'"{(await _list(client, seeds.merchant_key))["version"]}"'
    for tags in ([tag], [f"W/{tag}"], [f'"another", {tag}'], ['"another"', tag], ["*"]):
        again = await _asked_again(client, seeds, *tags)
        assert (304, b"", tag) == (again.status, again.body, again.header("etag"))
    assert 200 == (await _asked_again(client, seeds, '"another"')).status
    assert 200 == (await _asked_again(client, seeds, tag.strip('"'))).status
    # A key that opens nothing is told so, whatever it has.
    assert 401 == (await client.get(PRICES, "fbm_nobody", [("if-none-match", "*")])).status


async def test_every_change_makes_another_version(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    prices = farebox.services.prices
    versions = [(await _list(client, seeds.merchant_key))["version"]]
    await prices.set(name, "1")
    versions.append((await _list(client, seeds.merchant_key))["version"])
    await prices.set(name, rule=TOKENS, merchant_id=seeds.merchant_id)
    versions.append((await _list(client, seeds.merchant_key))["version"])
    await prices.end(name, merchant_id=seeds.merchant_id)
    assert versions[1] == (await _list(client, seeds.merchant_key))["version"]
    await prices.end(name)
    assert versions[0] == (await _list(client, seeds.merchant_key))["version"]
    assert 3 == len(set(versions))


async def test_the_next_change_that_is_known_is_told(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    assert (await _list(client, seeds.merchant_key))["changesAt"] is None
    await farebox.services.prices.set(name, "2", merchant_id=seeds.merchant_id, starts=LATER)
    before = await _list(client, seeds.merchant_key)
    sooner = await farebox.services.prices.set(name, "1", merchant_id=seeds.merchant_id, starts=SOON)
    after = await _list(client, seeds.merchant_key)
    assert (LATER, SOON) == (before["changesAt"], after["changesAt"])
    assert before["version"] != after["version"]
    await farebox.services.prices.withdraw(sooner.price_id, merchant_id=seeds.merchant_id)
    assert before == await _list(client, seeds.merchant_key)
