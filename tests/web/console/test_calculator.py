"""The calculator of the pages with prices: by a form that is read, or as a part of the page while somebody types."""

import re

import pytest

from farebox.bootstrap import Farebox
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Tier, Tiers, Window, Windows
from farebox.service.people.users import Realm, Role
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

MILLION = 10**6
LOW = (Line("input", 150_000, MILLION), Line("output", 600_000, MILLION))
HIGH = (Line("input", 300_000, MILLION), Line("output", 600_000, MILLION))
CHAT = Rule(Rates(LOW, tiers=Tiers(("input",), (Tier(200_001, HIGH),))))

_numbers = iter(range(10**9))


async def _priced(farebox: Farebox, rule: Rule) -> str:
    """Set the price of a type that no other test has."""
    name = f"worked-out-{next(_numbers)}"
    await farebox.services.prices.set(name, rule=rule)
    return name


async def _viewer(farebox: Farebox, client: AppClient, seeds: Seeds) -> Visitor:
    email = f"{seeds.merchant.lower()}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.VIEWER)
    return await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)


async def _part(visitor: Visitor, path: str) -> str:
    """Ask for the calculator as a script on the page does."""
    reply = await visitor.client.get(path, headers=[visitor.cookie, ("hx-request", "true")])
    assert 200 == reply.status
    assert "<html" not in reply.body.decode()
    assert 1 == reply.body.decode().count('id="calculator"')
    return words(reply)


async def test_it_works_a_sample_out_at_first(farebox: Farebox, sam: Visitor) -> None:
    name = await _priced(farebox, CHAT)
    page = await sam.page(f"/support/prices?type={name}")
    assert "1,000 input + 1,000 output would cost 0.00075 " in page
    assert "input 1,000 1,000 0.00015 output 1,000 1,000 0.0006" in page
    # The first of the types, where none is chosen.
    assert re.search(r"What would a request cost\? .* would cost", await sam.page("/support/prices"))


async def test_everybody_who_sees_prices_can_work_a_cost_out(farebox: Farebox, sam: Visitor, client: AppClient) -> None:
    seeds, name = await seed(farebox), await _priced(farebox, CHAT)
    query = f"?type={name}&of-input=1%2C000&of-output=350"
    viewer = await _viewer(farebox, client, seeds)
    places = (
        (sam, "/support/prices", ""),
        (sam, f"/support/merchants/{seeds.merchant}/prices", " USD"),
        (viewer, f"/accounts/{seeds.merchant}/prices", " USD"),
    )
    for visitor, path, currency in places:
        for shown in (await visitor.page(path + query), await _part(visitor, path + query)):
            assert f"1,000 input + 350 output would cost 0.00036{currency} Line" in shown
        body = (await visitor.get(path + query)).body.decode()
        assert f"<option selected>{name}</option>" in body
        assert 'name="of-input" type="text" inputmode="numeric" value="1,000"' in body


async def test_a_merchants_own_price_is_worked_out(farebox: Farebox, sam: Visitor, client: AppClient) -> None:
    seeds, name = await seed(farebox), await _priced(farebox, CHAT)
    await farebox.services.prices.set(name, "0.5", merchant_id=seeds.merchant_id)
    viewer = await _viewer(farebox, client, seeds)
    query = f"?type={name}&of-requests=3"
    assert "3 requests would cost 1.50 USD" in await _part(viewer, f"/accounts/{seeds.merchant}/prices{query}")
    # Quantities of another type's lines say nothing of this one.
    assert "1,000 input + 1,000 output would cost" in await _part(sam, f"/support/prices{query}")


async def test_what_the_cost_goes_by_is_told(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    peak = Rates((Line("units", 10_000),), minimum=50_000)
    always = Window(tuple(range(7)), 0, 24 * 60, peak)
    rule = Rule(
        Rates((Line("units", 1),)), Windows("Europe/Berlin", (always,)), Period(PeriodUnit.MONTH, "UTC"), step=10_000
    )
    name = await _priced(farebox, rule)
    content = {"merchant": seeds.merchant, "type": name, "quantity": 7, "idempotencyKey": "one"}
    assert 200 == (await client.post("/api/charges", seeds.service_key, content)).status
    viewer = await _viewer(farebox, client, seeds)
    shown = await _part(viewer, f"/accounts/{seeds.merchant}/prices?type={name}&of-units=2")
    assert "2 units would cost 0.05 USD" in shown
    assert "every day all day (Europe/Berlin)" in shown
    assert "goes on from 7 units counted before in this month" in shown
    assert "0.05 is the least that a request costs" in shown


async def test_what_cannot_be_worked_out_is_said_where_it_was_typed(farebox: Farebox, sam: Visitor) -> None:
    name = await _priced(farebox, CHAT)
    page = f"/support/prices?type={name}&of-output=1"
    for typed in ("a few", "-1", "1.5", "1000000000001", "1,00,"):
        reply = await sam.get(f"{page}&of-input={typed}")
        assert 200 == reply.status
        assert "Write a whole number, at most 1,000,000,000,000." in words(reply)
        assert f'value="{typed}" autocomplete="off" aria-invalid="true" aria-describedby="of-input-note"' in (
            reply.body.decode()
        )
    assert "There is no price to work out for 'none-such'." in await sam.page("/support/prices?type=none-such")
    dear = await _priced(farebox, Rule(Rates((Line("units", 10**18),))))
    assert "can be priced exactly at once" in await sam.page(f"/support/prices?type={dear}&of-units=1000000000000")


async def test_a_type_whose_callers_name_the_amount_has_nothing_to_work_out(farebox: Farebox, sam: Visitor) -> None:
    await seed(farebox)
    body = (await sam.get("/support/prices")).body.decode()
    assert "<option>image</option>" in body or "<option selected>image</option>" in body
    assert ">call</option>" not in body


async def test_a_price_of_nothing_but_a_base_has_no_quantities(farebox: Farebox, sam: Visitor) -> None:
    name = await _priced(farebox, Rule(Rates((), 20_000)))
    reply = await sam.get(f"/support/prices?type={name}")
    assert "1 request would cost 0.02 " in words(reply)
    assert "calculator-quantities" not in reply.body.decode()
