"""The prices that a merchant reads are those that its next charge meets."""

from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.inputs import format_time, time
from farebox.service.people import api_keys
from tests.support.app_client import AppClient
from tests.support.clock import at
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICES: Final = "/api/prices"
SOON: Final = "2090-01-01T00:00:00.000000Z"
LATER: Final = "2091-01-01T00:00:00.000000Z"

_numbers = iter(range(10**9))


def _type() -> str:
    """Name a request type that no other test has a price for."""
    return f"type-{next(_numbers)}"


async def _prices(client: AppClient, seeds: Seeds) -> dict[str, dict[str, Any]]:
    """Read the prices in force, by type."""
    reply = await client.get(PRICES, seeds.merchant_key)
    assert (200, ["currency", "prices", "changesAt", "version"]) == (reply.status, list(reply.data))
    assert "USD" == reply.data["currency"]
    types = [price["type"] for price in reply.data["prices"]]
    assert sorted(set(types)) == types
    for price in reply.data["prices"]:
        assert ["priceId", "type", "unitPrice", "rule", "startsAt", "isOwn"] == list(price)
    return {price["type"]: price for price in reply.data["prices"]}


async def _price(client: AppClient, seeds: Seeds, name: str) -> tuple[str | None, bool]:
    """Read a type's unit price and whether it is the merchant's own."""
    price = (await _prices(client, seeds))[name]
    return price["unitPrice"], price["isOwn"]


async def _cost(client: AppClient, seeds: Seeds, name: str) -> str:
    """Charge one request and return what it took."""
    content = {"merchant": seeds.merchant, "type": name, "idempotencyKey": f"key-{next(_numbers)}"}
    return str((await client.post("/api/charges", seeds.service_key, content)).data["cost"])


async def test_price_in_force_tells_what_where_from_and_since_when(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    default = await farebox.services.prices.set(name, "0.008")
    assert {
        "priceId": ids.public_id(ids.PRICE, default.price_id),
        "type": name,
        "unitPrice": "0.008",
        "rule": None,
        "startsAt": format_time(default.starts_at),
        "isOwn": False,
    } == (await _prices(client, seeds))[name]
    assert "0.008" == await _cost(client, seeds, name)


async def test_variable_type_has_no_unit_price(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    prices = await _prices(client, seeds)
    assert (None, "0.01") == (prices["call"]["unitPrice"], prices["image"]["unitPrice"])


async def test_own_price_goes_before_the_default_however_old_it_is(farebox: Farebox, client: AppClient) -> None:
    seeds, other, name = await seed(farebox), await seed(farebox), _type()
    await farebox.services.prices.set(name, "3", merchant_id=seeds.merchant_id)
    # A type that has no default, and is nobody else's.
    assert ("3.00", True) == await _price(client, seeds, name)
    assert name not in await _prices(client, other)
    await farebox.services.prices.set(name, "5")
    assert ("3.00", True) == await _price(client, seeds, name)
    assert ("5.00", False) == await _price(client, other, name)
    assert ("3.00", "5.00") == (await _cost(client, seeds, name), await _cost(client, other, name))


async def test_newest_version_that_has_started_is_in_force(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    await farebox.services.prices.set(name, "1")
    await farebox.services.prices.set(name, "4", starts=LATER)
    await farebox.services.prices.set(name, "2")
    await farebox.services.prices.set(name, None, starts=SOON, merchant_id=seeds.merchant_id)
    await farebox.services.prices.set(name, "9", starts=LATER, merchant_id=seeds.merchant_id)
    other = await seed(farebox)
    soon, later = time("", SOON), time("", LATER)
    for moment, own, default in (
        (farebox.clock.now(), ("2.00", False), "2.00"),
        (soon - 1, ("2.00", False), "2.00"),
        (soon, (None, True), "2.00"),
        (later - 1, (None, True), "2.00"),
        (later, ("9.00", True), "4.00"),
    ):
        with at(farebox, moment):
            assert own == await _price(client, seeds, name)
            assert (default, False) == await _price(client, other, name)
            assert default == await _cost(client, other, name)
            if own[0] is not None:
                assert own[0] == await _cost(client, seeds, name)


async def test_type_whose_only_price_is_to_come_is_not_listed(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    await farebox.services.prices.set(name, "1", starts=SOON)
    assert name not in await _prices(client, seeds)
    start = time("", SOON)
    with at(farebox, start - 1):
        assert name not in await _prices(client, seeds)
    with at(farebox, start):
        assert SOON == (await _prices(client, seeds))[name]["startsAt"]


async def test_price_counts_at_once_after_it_is_set(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    path = f"/api/admin/merchants/{seeds.merchant}/prices"
    for price in ("0.50", "0.25"):
        made = await client.post(path, seeds.support_key, {"type": name, "unitPrice": price})
        assert 200 == made.status
        assert made.data["priceId"] == (await _prices(client, seeds))[name]["priceId"]
        assert price == await _cost(client, seeds, name)


async def test_currency_is_the_merchants(farebox: Farebox, client: AppClient) -> None:
    _, _, key = await farebox.services.merchants.create(name="Contoso", currency="EUR", thresholds=[], credit_limit="0")
    assert "EUR" == (await client.get(PRICES, key.text)).data["currency"]


async def test_prices_are_read_by_merchants_and_services_alone(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    assert await _prices(client, seeds)
    revoked = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await farebox.services.merchants.revoke_key(revoked.key.key_id)
    for text, status, code in (
        (seeds.support_key, 403, "forbidden"),
        *[(text, 401, "invalid_api_key") for text in (None, "x", revoked.text)],
        (api_keys.make_key(KeyKind.MERCHANT, seeds.merchant_id), 401, "invalid_api_key"),
    ):
        reply = await client.get(PRICES, text)
        assert (status, code) == (reply.status, reply.code)
