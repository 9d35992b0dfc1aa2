"""Quotes tell what a charge would cost, and what services work out in their own process is charged."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Step, Tier, Tiers, Window, Windows
from farebox_client.prices import PriceRule
from tests.support.app_client import AppClient, Reply
from tests.support.effort import examples
from tests.support.postgres import Databases
from tests.support.price_rules import PLAIN, quantities_of, rules
from tests.support.server import Seeds, open_farebox, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUOTES: Final = "/api/quotes"
MILLION: Final = 10**6
TOKENS: Final = Rates((Line("input", 150_000, MILLION), Line("output", 600_000, MILLION)))
EVERY_DAY: Final = tuple(range(7))

_numbers = iter(range(10**9))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgres"])
async def farebox(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Farebox]:
    """Farebox's parts over an empty ledger on each engine in turn, running."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'farebox.db'}"
        if request.param == "postgres":
            server: Databases = request.getfixturevalue("postgres_server")
            url = stack.enter_context(server.database())
        async with open_farebox(url) as farebox:
            yield farebox


async def _priced(farebox: Farebox, rule: Rule | None = None, unit_price: str | None = None) -> str:
    """Set the default price of a new request type."""
    name = f"quoted-{next(_numbers)}"
    await farebox.services.prices.set(name, unit_price, rule=rule)
    return name


async def _quote(client: AppClient, seeds: Seeds, name: str, **more: Any) -> Reply:
    return await client.post(QUOTES, seeds.service_key, {"type": name, "merchant": seeds.merchant, **more})


async def _charge(client: AppClient, seeds: Seeds, name: str, **more: Any) -> Reply:
    content = {"merchant": seeds.merchant, "type": name, "idempotencyKey": f"quoted-{next(_numbers)}", **more}
    return await client.post("/api/charges", seeds.service_key, content)


async def test_a_quote_tells_the_cost_line_by_line(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    name = await _priced(farebox, Rule(TOKENS))
    versions = await farebox.services.prices.list(None)
    quoted = (await _quote(client, seeds, name, quantities={"input": 3, "output": 7})).data
    version = next(version for version in versions if version.request_type == name)
    assert quoted.pop("at")
    assert {
        "type": name,
        "priceId": ids.public_id(ids.PRICE, version.price_id),
        "isOwn": False,
        "currency": "USD",
        "amount": "0.000005",
        "exact": "93/20000000",
        "lines": [
            {"name": "input", "quantity": 3, "units": 3, "exact": "9/20000000"},
            {"name": "output", "quantity": 7, "units": 7, "exact": "21/5000000"},
        ],
        "base": "0.00",
        "minimum": "0.00",
        "rounding": {"step": "0.000001", "direction": "up"},
        "tier": None,
        "window": None,
        "period": None,
    } == quoted
    assert "0.000005" == (await _charge(client, seeds, name, quantities={"input": 3, "output": 7})).data["cost"]


async def test_a_quote_moves_nothing_and_counts_nothing(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="0.01")
    rates = Rates((Line("units", 1_000, included=10),))
    name = await _priced(farebox, Rule(rates, period=Period(PeriodUnit.MONTH, "UTC")))
    for _ in range(3):
        assert "0.00" == (await _quote(client, seeds, name, quantities={"units": 10})).data["amount"]
    # The cost of what there is no balance for is told as well.
    assert "990.00" == (await _quote(client, seeds, name, quantities={"units": 990_010})).data["amount"]
    assert "0.01" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_a_quote_goes_on_from_the_units_counted(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    steps = (Step(11, 1_000), Step(21, 100))
    rule = Rule(Rates((Line("units", 0, included=10, steps=steps),)), period=Period(PeriodUnit.MONTH, "UTC"))
    name = await _priced(farebox, rule)
    asked = {"quantities": {"units": 15}}
    assert "0.005" == (await _quote(client, seeds, name, **asked)).data["amount"]
    assert "0.005" == (await _charge(client, seeds, name, **asked)).data["cost"]
    quoted = (await _quote(client, seeds, name, **asked)).data
    assert ("0.006", {"units": 15}) == (quoted["amount"], quoted["period"]["before"])
    month = datetime.fromisoformat(quoted["at"]).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert month == datetime.fromisoformat(quoted["period"]["startsAt"])
    assert "0.006" == (await _charge(client, seeds, name, **asked)).data["cost"]
    # Another merchant has counts of its own, and without one nothing is counted.
    assert {} == (await _quote(client, other, name, **asked)).data["period"]["before"]
    default = await client.post(QUOTES, seeds.service_key, {"type": name, **asked})
    assert ("0.005", None, {}) == (default.data["amount"], default.data["currency"], default.data["period"]["before"])


async def test_a_quote_names_the_tier_and_window_and_what_is_added_to_lines(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox)
    at = datetime.now(UTC) - timedelta(hours=3)
    dear = Rates((Line("pages", 10_000),), 5_000, 20_000, Tiers(("pages",), (Tier(3, (Line("pages", 9_999, 2),)),)))
    whole_day = Window(EVERY_DAY, 0, 24 * 60, dear)
    rule = Rule(Rates((Line("pages", 1),)), Windows("Asia/Kathmandu", (whole_day,)), step=10_000)
    name = await _priced(farebox, rule)
    quoted = (await _quote(client, seeds, name, quantity=4, requestedAt=at.isoformat())).data
    assert (1, 1, "0.005", "0.02") == tuple(quoted[member] for member in ("tier", "window", "base", "minimum"))
    # 5,000 + 4 x 4,999.5 micros, up to whole cents.
    assert ("0.03", "12499/500000") == (quoted["amount"], quoted["exact"])
    assert {"step": "0.01", "direction": "up"} == quoted["rounding"]
    assert at == datetime.fromisoformat(quoted["at"])
    least = (await _quote(client, seeds, name, quantity=1)).data
    assert (None, "0.02", "1/50") == (least["tier"], least["amount"], least["exact"])


async def test_prices_without_a_rule_are_quoted_too(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    image = (await _quote(client, seeds, "image", quantity=4)).data
    assert ("0.04", "1/25") == (image["amount"], image["exact"])
    assert [{"name": "requests", "quantity": 4, "units": 4, "exact": "1/25"}] == image["lines"]
    call = (await _quote(client, seeds, "call", amount="1.25")).data
    assert ("1.25", "5/4", []) == (call["amount"], call["exact"], call["lines"])


async def test_a_merchants_own_price_is_quoted_to_it_alone(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    name = await _priced(farebox, unit_price="1")
    await farebox.services.prices.set(name, "0.5", merchant_id=seeds.merchant_id)
    mine, theirs = [(await _quote(client, asked, name)).data for asked in (seeds, other)]
    assert ("0.50", True, "1.00", False) == (mine["amount"], mine["isOwn"], theirs["amount"], theirs["isOwn"])
    by_key = await client.post(QUOTES, seeds.service_key, {"type": name, "merchant": seeds.merchant_key})
    assert "0.50" == by_key.data["amount"]
    for key in (seeds.merchant_key, seeds.support_key):
        named = await client.post(QUOTES, key, {"type": name, "merchant": seeds.merchant})
        assert "0.50" == named.data["amount"]
    assert "0.50" == (await client.post(QUOTES, seeds.merchant_key, {"type": name})).data["amount"]
    assert "1.00" == (await client.post(QUOTES, seeds.support_key, {"type": name})).data["amount"]
    refused = await client.post(QUOTES, seeds.merchant_key, {"type": name, "merchant": other.merchant})
    assert (403, "forbidden") == (refused.status, refused.code)


@pytest.mark.parametrize(
    ("more", "status", "code", "words"),
    [
        ({"type": "no-such-type"}, 422, "unknown_type", "no-such-type"),
        ({"quantities": {"tokens": 1}}, 422, "unknown_quantity", "input, output"),
        ({"quantity": 1}, 422, "quantities_required", "input, output"),
        ({}, 422, "quantities_required", "input, output"),
        ({"quantity": 1, "quantities": {"input": 1}}, 422, "invalid_value", "quantities"),
        ({"quantities": {"input": -1}}, 422, "invalid_value", "quantities.input"),
        ({"quantities": {"input": 10**12 + 1}}, 422, "invalid_value", "quantities.input"),
        ({"quantities": {"input": 1.5}}, 422, "invalid_value", "quantities"),
        ({"quantities": {}}, 422, "invalid_value", "quantities"),
        ({"amount": "1", "quantities": {"input": 1}}, 422, "amount_not_allowed", "quantities"),
        ({"quantities": {"input": 1}, "requestedAt": "2020-01-01T00:00:00Z"}, 422, "requested_at_out_of_bounds", "24"),
        ({"quantities": {"input": 1}, "requestedAt": "yesterday"}, 422, "invalid_value", "requestedAt"),
        ({"merchant": "mer_00000000000001"}, 404, "merchant_not_found", ""),
        ({"merchant": "Northwind"}, 404, "merchant_not_found", ""),
        ({"idempotencyKey": "one"}, 400, "malformed_request", "idempotencyKey"),
    ],
)
async def test_what_a_charge_would_refuse_is_not_quoted(
    farebox: Farebox, client: AppClient, more: Mapping[str, Any], status: int, code: str, words: str
) -> None:
    seeds = await seed(farebox)
    name = await _priced(farebox, Rule(TOKENS))
    refused = await _quote(client, seeds, name, **more)
    assert (status, code) == (refused.status, refused.code)
    assert words in refused.message


async def test_a_cost_that_no_charge_may_have_is_not_quoted(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    name = await _priced(farebox, Rule(Rates((Line("units", 10**6),))))
    assert "1000000000000.00" == (await _quote(client, seeds, name, quantities={"units": 10**12})).data["amount"]
    name = await _priced(farebox, Rule(Rates((Line("units", 10**6 + 1),))))
    dear = await _quote(client, seeds, name, quantities={"units": 10**12})
    assert (422, "amount_too_large") == (dear.status, dear.code)
    name = await _priced(farebox, Rule(Rates((Line("units", 10**7),))))
    beyond = await _quote(client, seeds, name, quantities={"units": 10**12})
    assert (422, "cost_too_large") == (beyond.status, beyond.code)
    assert "units" in beyond.message


@examples(25)
@given(rule=rules(PLAIN), data=st.data())
async def test_a_service_works_out_what_it_is_charged(
    farebox: Farebox, client: AppClient, rule: Rule, data: st.DataObject
) -> None:
    """Over random rules: read by `GET /api/prices`, worked out locally, quoted, and charged, all come to the same."""
    seeds = await seed(farebox, balance="1000000000000")
    name = await _priced(farebox, rule)
    prices = (await client.get(f"/api/prices?merchant={seeds.merchant}", seeds.service_key)).data["prices"]
    local = PriceRule.of_price(next(price for price in prices if price["type"] == name))
    counts = dict.fromkeys(local.names, 0)
    # Two requests of the same moment, so of one period: the second goes on from the units of the first.
    at = datetime.now(UTC)
    for _ in range(2):
        asked: dict[str, Any] = {"requestedAt": at.isoformat()}
        quantities = data.draw(quantities_of(rule, PLAIN.quantities).filter(bool)) if local.names else {}
        if quantities:
            asked["quantities"] = quantities
        cost = local.cost(quantities, at=at, counts=counts)
        quoted = (await _quote(client, seeds, name, **asked)).data
        charged = await _charge(client, seeds, name, **asked)
        assert cost.amount == Decimal(quoted["amount"]) == Decimal(charged.data["cost"])
        assert cost.exact == Fraction(quoted["exact"])
        assert [(line.name, line.units, line.exact) for line in cost.lines] == [
            (line["name"], line["units"], Fraction(line["exact"])) for line in quoted["lines"]
        ]
        assert (cost.tier, cost.window) == (quoted["tier"], quoted["window"])
        for line, units in cost.units.items():
            counts[line] += units
