"""Prices by rules on pages: typed, previewed, shown to staff and merchants, ended and withdrawn."""

import html
import json
import re
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.prices import Price
from farebox.service.people.users import Realm, Role
from farebox.service.price_texts import read_rule
from farebox.web.pages.paging import TYPES_SHOWN_MAX
from tests.support.app_client import AppClient
from tests.support.server import seed
from tests.web.console.visitor import FORM, Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULE: Final[dict[str, Any]] = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000},
        {"name": "output", "amount": "0.60", "per": 1_000_000},
    ],
    "tiers": {
        "by": ["input"],
        "from": [{"from": 200_001, "lines": [{"name": "input", "amount": "0.30", "per": 1_000_000}]}],
    },
}
TYPE: Final = "azure/gpt-5.1@eu:batch"
IN_WORDS: Final = "0.15 per 1,000,000 input 0.60 per 1,000,000 output above 200,000 input 0.30 per 1,000,000 input"


async def _fragment(visitor: Visitor, path: str, **fields: str) -> str:
    """Ask for a preview as the page does while somebody types."""
    form = {"csrf_token": visitor.csrf_token, **fields}
    body = "&".join(f"{name}={_quoted(text)}" for name, text in form.items()).encode()
    headers = [visitor.cookie, FORM, ("hx-request", "true")]
    reply = await visitor.client.send("POST", path, headers=headers, body=body)
    assert 200 == reply.status
    assert "<html" not in reply.body.decode()
    return words(reply)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


@pytest.mark.parametrize("rule", [json.dumps(RULE), json.dumps(RULE, indent=2)])
async def test_a_rule_is_set_and_shown_in_words(farebox: Farebox, sam: Visitor, client: AppClient, rule: str) -> None:
    seeds = await seed(farebox)
    form = {"type": TYPE, "unit_price": "", "rule": rule, "starts": "", "is_new": "yes"}
    assert "The price is saved." in await sam.done("/support/prices", **form)
    assert f"{TYPE} {IN_WORDS} now since" in await sam.page("/support/prices")
    assert f"{TYPE} {IN_WORDS} the default" in await sam.page(f"/support/merchants/{seeds.merchant}/prices")
    email = f"{seeds.merchant.lower()}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.VIEWER)
    viewer = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
    assert f"{TYPE} {IN_WORDS}" in await viewer.page(f"/accounts/{seeds.merchant}/prices")


async def test_a_new_type_is_asked_about_with_its_rule_in_words(sam: Visitor) -> None:
    rule = json.dumps(RULE, indent=2)
    asked = await sam.post("/support/prices", type="new-model", unit_price="", rule=rule, starts="")
    assert "Price 0.15 per 1,000,000 input, 0.60 per 1,000,000 output; above 200,000 input: 0.30 per" in words(asked)
    (kept,) = re.findall(r'<input type="hidden" name="rule" value="([^"]*)">', asked.body.decode())
    assert rule == html.unescape(kept)


@pytest.mark.parametrize("path", ["/support/prices/preview", "/support/merchants/{merchant}/prices/preview"])
async def test_a_preview_tells_what_the_rule_says_and_a_sample_costs(farebox: Farebox, sam: Visitor, path: str) -> None:
    path = path.format(merchant=(await seed(farebox)).merchant)
    rule = json.dumps(RULE)
    shown = await _fragment(sam, path, rule=rule, sample="1,000 input + 350 output")
    assert f"{IN_WORDS} 1,000 input + 350 output would cost 0.00036 now" in shown
    assert "input 1,000 1,000 0.00015 output 350 350 0.00021" in shown
    shown = await _fragment(sam, path, rule=rule, sample="3 input, 7 output")
    assert "3 input + 7 output would cost 0.000005 now" in shown
    assert "0.00000465 exactly, rounded up to 0.000005" in shown
    assert "1,000 input + 1,000 output would cost 0.00075 now" in await _fragment(sam, path, rule=rule)
    assert "" == await _fragment(sam, path, rule="", sample="3 input")


@pytest.mark.parametrize(
    ("rule", "sample", "message"),
    [
        ('{"lines": [{"name": "input"}]}', "", "rule.lines[0].amount: this is missing; write an amount"),
        ("{", "", "this is no JSON"),
        (json.dumps(RULE), "3 images", "'images' is no line of the rule; there are input and output"),
        (json.dumps(RULE), "three", "'three' is no quantity; write some such as 1000 input, 350 output"),
        (json.dumps(RULE), "10000000000000 input", "a quantity is at most 1,000,000,000,000"),
        (
            '{"lines": [{"name": "input", "amount": "1000000000000"}]}',
            "1000 input",
            "So much of input is more than can be priced exactly at once.",
        ),
    ],
)
async def test_a_preview_says_what_is_wrong(sam: Visitor, rule: str, sample: str, message: str) -> None:
    assert message in await _fragment(sam, "/support/prices/preview", rule=rule, sample=sample)


async def test_a_preview_tells_of_the_window_that_holds_now(sam: Visitor) -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    always = {"days": days, "from": "00:00", "until": "24:00", "lines": [{"name": "input", "amount": "2"}]}
    rule = {"lines": [{"name": "input", "amount": "1"}], "windows": {"zone": "UTC", "windows": [always]}}
    shown = await _fragment(sam, "/support/prices/preview", rule=json.dumps(rule), sample="3 input")
    assert "3 input would cost 6.00 now" in shown
    assert shown.endswith("every day all day (UTC)")


async def test_without_scripts_a_preview_is_the_page_with_what_was_typed(sam: Visitor) -> None:
    reply = await sam.post("/support/prices/preview", type=TYPE, rule=json.dumps(RULE), sample="3 input", starts="")
    assert (200, True) == (reply.status, "3 input would cost 0.000001 now" in words(reply))
    (typed,) = re.findall(r"<textarea[^>]*>\n([^<]*)</textarea>", reply.body.decode())
    assert RULE == json.loads(html.unescape(typed))
    assert f'value="{TYPE}"' in reply.body.decode()


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"unit_price": "1", "is_variable": "on"}, "unit_price"), ({"unit_price": "1", "rule": json.dumps(RULE)}, "rule")],
)
async def test_a_price_is_one_of_three(sam: Visitor, fields: dict[str, str], field: str) -> None:
    reply = await sam.wrong("/support/prices", **{"type": "image", "unit_price": "", "starts": "", **fields})
    assert "A price is one of three: a unit price, variable, or a rule; leave the others empty" in words(reply)
    assert f'id="{field}-note">A price is one' in reply.body.decode()


async def test_a_version_to_come_is_withdrawn_after_a_question(farebox: Farebox, sam: Visitor) -> None:
    prices = farebox.services.prices
    await prices.set("withdrawable", "1")
    rule = read_rule("rule", RULE)
    coming = await prices.set("withdrawable", rule=rule, starts="2099-01-01T00:00:00Z")
    price_id = ids.public_id(ids.PRICE, coming.price_id)
    asked = await sam.page(f"/support/prices/withdraw?price={price_id}")
    assert "Withdraw this price of withdrawable? Price 0.15 per 1,000,000 input, 0.60" in asked
    assert (
        "It was to start 1 Jan 2099, 00:00:00 (UTC) From then on what it costs before goes on: 1.00 a request" in asked
    )
    assert "The price is withdrawn, and never starts." in await sam.done("/support/prices/withdraw", price=price_id)
    assert "withdrawn; it was to start 1 Jan 2099" in await sam.page("/support/prices")
    assert "/support/prices?flash=price_was_withdrawn" == await _sent_on(
        sam, f"/support/prices/withdraw?price={price_id}"
    )
    assert "That price was withdrawn already." in await sam.done("/support/prices/withdraw", price=price_id)
    started = ids.public_id(ids.PRICE, (await prices.set("withdrawable", "2")).price_id)
    assert "/support/prices?flash=price_has_started" == await _sent_on(sam, f"/support/prices/withdraw?price={started}")
    for name in ("x", "price_0000000000001", ""):
        assert "/support/prices" == await _sent_on(sam, f"/support/prices/withdraw?price={name}")
    reply = await sam.wrong("/support/prices/withdraw", price=started)
    assert "has started: what was charged stays explained by it" in words(reply)


async def _sent_on(visitor: Visitor, path: str) -> str:
    reply = await visitor.get(path)
    assert 303 == reply.status
    return reply.header("location") or ""


async def test_what_goes_on_when_a_version_is_withdrawn_is_told(farebox: Farebox, sam: Visitor) -> None:
    seeds, prices = await seed(farebox), farebox.services.prices
    own_pages = f"/support/merchants/{seeds.merchant}/prices"

    async def asked(price: Price) -> str:
        pages = "/support/prices" if price.merchant_id is None else own_pages
        return await sam.page(f"{pages}/withdraw?price={ids.public_id(ids.PRICE, price.price_id)}")

    first = await prices.set("goes-on", "1", starts="2099-01-01T00:00:00Z")
    alone = await asked(first)
    assert "From then on it has no price, so its requests are refused" in alone
    assert "stays set" not in alone
    end = await prices.end("goes-on", starts="2099-02-01T00:00:00Z")
    text = await asked(end)
    assert "Withdraw this end of the price of goes-on? It was to end 1 Feb 2099" in text
    assert "From then on what it costs before goes on: 1.00 a request" in text
    assert "What follows stays set from 1 Feb 2099, 00:00:00 (UTC) on: the price ends" in await asked(first)
    again = await prices.set("goes-on", "2", starts="2099-03-01T00:00:00Z")
    assert "What follows stays set from 1 Mar 2099, 00:00:00 (UTC) on: 2.00 a request" in await asked(end)
    assert "From then on it stays retired" in await asked(again)
    own = await prices.set("goes-on", "1", merchant_id=seeds.merchant_id, starts="2099-01-01T00:00:00Z")
    assert "From then on the default goes on, if there is one" in await asked(own)


async def test_a_type_is_retired_after_a_question(farebox: Farebox, sam: Visitor) -> None:
    prices, seeds = farebox.services.prices, await seed(farebox)
    await prices.set("retiring/v1", "1")
    await prices.set("retiring/v1", "0.5", merchant_id=seeds.merchant_id)
    assert "/support/prices/end?type=retiring/v1" in (await sam.get("/support/prices")).body.decode()
    asked = await sam.page("/support/prices/end?type=retiring/v1")
    assert "Retire retiring/v1? Price now 1.00 a request From now on requests of type retiring/v1 are refused" in asked
    assert "Merchants with a price of their own 1, whose requests are refused as well" in asked
    assert "Retire retiring/v1 now" in asked
    assert "The price has ended." in await sam.done("/support/prices/end", type="retiring/v1")
    assert "retiring/v1 retired retired since" in await sam.page("/support/prices")
    assert "/support/prices?flash=price_has_ended" == await _sent_on(sam, "/support/prices/end?type=retiring/v1")
    assert "ends at" in words(await sam.wrong("/support/prices/end", type="retiring/v1"))
    assert "retiring/v1 0.50 a request type retired since" in await sam.page(
        f"/support/merchants/{seeds.merchant}/prices"
    )
    assert "/support/prices" == await _sent_on(sam, "/support/prices/end?type=a%20b")


async def test_a_price_of_its_own_for_a_retired_type_is_asked_about(farebox: Farebox, sam: Visitor) -> None:
    prices, seeds = farebox.services.prices, await seed(farebox)
    pages = f"/support/merchants/{seeds.merchant}/prices"
    await prices.set("gone/v1", "1")
    await prices.end("gone/v1")
    await prices.set("gone/v1", "3", starts="2099-06-01T00:00:00Z")
    typed = {"type": "gone/v1", "unit_price": "0.50", "starts": ""}
    asked = await sam.post(pages, **typed)
    page = words(asked)
    assert "gone/v1 is retired then: set a price all the same? Price 0.50 a request" in page
    assert "requests of type gone/v1 are refused all the same" in page
    assert [] == list(await prices.versions(seeds.merchant_id, "gone/v1"))
    assert "The price is saved." in await sam.done(pages, **typed, is_meant="yes")
    # From a new default on it counts, and nothing is asked.
    typed = {**typed, "unit_price": "0.40", "starts": "2099-07-01T00:00"}
    assert "The price is saved." in await sam.done(pages, **typed)
    assert "The price is saved." in await sam.done("/support/prices", **{**typed, "starts": ""})


async def test_a_type_is_retired_at_a_time_to_come(farebox: Farebox, sam: Visitor, client: AppClient) -> None:
    prices, seeds = farebox.services.prices, await seed(farebox)
    await prices.set("later", "1")
    await prices.set("later", "3", starts="2099-06-01T00:00:00Z")
    page = "/support/prices/end?type=later&starts="
    for typed, message in (("soon", "This is not a time"), ("2001-01-01T00:00", "A price can't end in the past")):
        reply = await sam.get(f"{page}{typed}")
        assert (422, True) == (reply.status, message in words(reply))
        assert f'value="{typed}"' in reply.body.decode()
    asked = await sam.page(f"{page}2099-01-01T00:00")
    assert (
        "Price until then 1.00 a request From 1 Jan 2099, 00:00:00 (UTC) on requests of type later are refused" in asked
    )
    assert "It starts again 1 Jun 2099, 00:00:00 (UTC), by a price that is set already: 3.00 a request" in asked
    assert "Merchants with a price of their own none" in asked
    saved = await sam.done("/support/prices/end", type="later", starts="2099-01-01T00:00:00Z")
    assert "The end of the price is saved; it can be withdrawn until then." in saved
    assert "later retired to come from 1 Jan 2099, 00:00 Withdraw" in saved
    await farebox.services.merchants.add_user(seeds.merchant_id, "later@shop.example", role=Role.VIEWER)
    viewer = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "later@shop.example")
    seen = await viewer.page(f"/accounts/{seeds.merchant}/prices")
    assert "later retired requests are refused 1 Jan 2099, 00:00:00" in seen
    assert "later 3.00 a request 1 Jun 2099, 00:00:00" in seen
    await prices.set("gone", "1", merchant_id=seeds.merchant_id)
    await prices.end("gone", merchant_id=seeds.merchant_id)
    await prices.set("gone-too", "1")
    await prices.end("gone-too")
    seen = await viewer.page(f"/accounts/{seeds.merchant}/prices")
    assert "Not offered any more" in seen
    assert re.search("gone no price refused .* gone-too retired refused", seen)


async def test_an_own_price_ends_and_the_default_is_told(farebox: Farebox, sam: Visitor) -> None:
    seeds = await seed(farebox)
    url = f"/support/merchants/{seeds.merchant}/prices"
    await farebox.services.prices.set("image", "0.5", merchant_id=seeds.merchant_id)
    asked = await sam.page(f"{url}/end?type=image")
    question = "End the merchant's own price of image? Price now 0.50 a request From now on it pays the default"
    assert question in asked
    asked = await sam.page(f"{url}/end?type=image&starts=2099-01-01T00:00")
    assert "Price until then 0.50 a request From 1 Jan 2099, 00:00:00 (UTC) on it pays the default: 0.01" in asked
    await sam.done(f"{url}/end", type="image", starts="2099-01-01T00:00")
    page = await sam.page(url)
    assert "What it will pay Request type Price, USD From " in page
    assert "image 0.01 a request 1 Jan 2099, 00:00:00" in page
    assert "image back to the default to come 1 Jan 2099, 00:00" in await sam.page(
        f"/support/merchants/{seeds.merchant}"
    )
    await sam.done(f"{url}/end", type="image")
    page = await sam.page(url)
    assert "image back to the default ended since" in page
    assert "image 0.01 a request the default" in page
    # A price that has ended is none that stands.
    assert "image 0.50" not in await sam.page(f"/support/merchants/{seeds.merchant}")
    await farebox.services.prices.set("own-alone", "0.5", merchant_id=seeds.merchant_id)
    asked = await sam.page(f"{url}/end?type=own-alone")
    assert "From now on nothing: requests of type own-alone are refused" in asked


async def test_many_types_are_shown_in_pages_and_searched(farebox: Farebox, sam: Visitor, client: AppClient) -> None:
    """The last test of this file: the others find what they set on the first page."""
    seeds = await seed(farebox)
    for number in range(TYPES_SHOWN_MAX + 1):
        await farebox.services.prices.set(f"Many/model-{number:03}", "1")
    email = f"{seeds.merchant.lower()}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.VIEWER)
    viewer = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
    for visitor, path in (
        (sam, "/support/prices"),
        (sam, f"/support/merchants/{seeds.merchant}/prices"),
        (viewer, f"/accounts/{seeds.merchant}/prices"),
    ):
        first, second = [(await visitor.get(f"{path}?q=many/&page={page}")).body.decode() for page in (0, 1)]
        rows = [set(re.findall(r'<td class="long">(Many/model-\d+)', page)) for page in (first, second)]
        assert [TYPES_SHOWN_MAX, 1] == [len(found) for found in rows]
        assert f'href="{path}?q=many/&amp;page=1">More' in first
        assert f'href="{path}?q=many/&amp;page=0">Back' in second
        assert "More" not in words(await visitor.get(f"{path}?q=many/&page=1")).split()
        (one,) = re.findall(r'<td class="long">(\S+?)</td>', (await visitor.get(f"{path}?q=MODEL-077")).body.decode())[
            :1
        ]
        assert "Many/model-077" == one
        assert "called so" in await visitor.page(f"{path}?q=nothing-like-it")
        assert 'role="search"' in (await visitor.get(path)).body.decode()
