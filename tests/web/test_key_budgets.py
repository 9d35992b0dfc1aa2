"""Budgets and names of API keys, and usage by key: by the API, and on the pages of a merchant and of support."""

from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.presenters.audit_words import audit_words
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

USAGE: Final = "/api/usage/keys"


async def _made(client: AppClient, seeds: Seeds, name: str | None = None) -> tuple[str, str]:
    """Make a key; return its text and its id."""
    reply = await client.post(f"/api/admin/merchants/{seeds.merchant}/keys", seeds.support_key, {"name": name})
    assert (200, name) == (reply.status, reply.data["key"]["name"])
    assert reply.data["key"]["budget"] is None
    return reply.data["apiKey"], reply.data["key"]["keyId"]


async def _charge(client: AppClient, seeds: Seeds, key: str, name: str, quantity: int = 1) -> Any:
    content = {"merchant": key, "type": "image", "quantity": 50 * quantity, "idempotencyKey": name}
    return await client.post("/api/charges", seeds.service_key, content)


async def _set(client: AppClient, seeds: Seeds, key_id: str, **limits: str) -> Any:
    return await client.post(f"/api/admin/keys/{key_id}/budget", seeds.support_key, limits)


async def test_a_key_beyond_its_budget_is_refused_and_another_is_not(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    text, key_id = await _made(client, seeds, "batch jobs")
    reply = await _set(client, seeds, key_id, day="2.00", total="1000", timeZone="Europe/Berlin")
    assert 200 == reply.status
    assert "Europe/Berlin" == reply.data["budget"]["timeZone"]
    day, total = reply.data["budget"]["limits"]
    assert ("day", "2.00", "0.00", "2.00") == (day["per"], day["amount"], day["spent"], day["left"])
    assert ("total", "1000.00", None) == (total["per"], total["amount"], total["startsAnewAt"])
    assert 200 == (await _charge(client, seeds, text, "one", 3)).status
    refused = await _charge(client, seeds, text, "two", 2)
    assert (402, "key_budget_exceeded") == (refused.status, refused.code)
    assert f"0.50 left of 2.00 USD per day; it starts anew at {day['startsAnewAt'][:19]}Z" in refused.message
    assert 200 == (await _charge(client, seeds, seeds.merchant_key, "two", 2)).status
    listed = await client.get(f"/api/admin/merchants/{seeds.merchant}/keys", seeds.support_key)
    assert [None, "0.50"] == [key["budget"] and key["budget"]["limits"][0]["left"] for key in listed.data["keys"]]
    assert (await _set(client, seeds, key_id)).data["budget"] is None
    assert 200 == (await _charge(client, seeds, text, "three", 9)).status


async def test_a_budget_that_makes_no_sense_is_refused(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    _, key_id = await _made(client, seeds)
    for limits in (
        {"day": "-1"},
        {"day": "0.001"},
        {"week": "x"},
        {"month": "1", "timeZone": "Nowhere"},
    ):
        assert 422 == (await _set(client, seeds, key_id, **limits)).status, limits
    staff = await client.get("/api/admin/keys", seeds.support_key)
    assert 409 == (await _set(client, seeds, staff.data["keys"][0]["keyId"], day="1")).status
    assert 404 == (await _set(client, seeds, "key_7ZZZZZZZZZZZZ", day="1")).status


async def test_keys_are_renamed_by_support(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    _, key_id = await _made(client, seeds)
    for name in ("nightly", None):
        reply = await client.post(f"/api/admin/keys/{key_id}/rename", seeds.support_key, {"name": name})
        assert (200, name) == (reply.status, reply.data["name"])
    staff = (await client.get("/api/admin/keys", seeds.support_key)).data["keys"][0]["keyId"]
    assert 422 == (await client.post(f"/api/admin/keys/{staff}/rename", seeds.support_key, {"name": None})).status


async def test_usage_is_told_by_key_to_the_last_charge(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    text, key_id = await _made(client, seeds, "=batch")
    await _charge(client, seeds, text, "one", 3)
    await _charge(client, seeds, text, "two", 1)
    content = {"merchant": seeds.merchant, "type": "image", "quantity": 250, "idempotencyKey": "by-id"}
    assert 200 == (await client.post("/api/charges", seeds.service_key, content)).status
    reply = await client.get(USAGE, seeds.merchant_key)
    assert [(None, None, 250, "2.50"), (key_id, "=batch", 200, "2.00")] == [
        (line["keyId"], line["keyName"], line["count"], line["cost"]) for line in reply.data["lines"]
    ]
    support = await client.get(f"/api/admin/merchants/{seeds.merchant}/usage/keys?key={key_id}", seeds.support_key)
    assert [key_id] == [line["keyId"] for line in support.data["lines"]]
    table = (await client.get(f"{USAGE}?format=csv&by=hour", seeds.merchant_key)).body.decode().splitlines()
    assert "startsAt,keyId,keyName,type,count,cost,refunded" == table[0]
    assert table[2].endswith(f",{key_id},'=batch,image,200,2.00,0.00")
    assert 422 == (await client.get(f"{USAGE}?key=mine", seeds.merchant_key)).status


async def test_an_owner_sets_a_budget_having_seen_what_it_comes_to(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    text, key_id = await _made(client, seeds)
    await _charge(client, seeds, text, "one", 3)
    await farebox.services.merchants.add_user(seeds.merchant_id, "olga@example.com", role=Role.OWNER)
    olga = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "olga@example.com", "Olga")
    root = f"/accounts/{seeds.merchant}/keys"
    page = await olga.page(root)
    assert "Usage by key" in page
    assert "The key's name is saved." in await olga.done(f"{root}/{key_id}/name", name="batch jobs")
    assert "batch jobs" in await olga.page(root)
    preview = words(await olga.post(f"{root}/{key_id}/budget", day="1.00", month="50", zone="UTC"))
    assert "A day 1.00 USD; 1.50 USD is spent already, 0.00 USD is left" in preview
    assert 200 == (await _charge(client, seeds, text, "two")).status
    await olga.done(f"{root}/{key_id}/budget", day="1.00", month="50", zone="UTC", is_sure="yes")
    assert 402 == (await _charge(client, seeds, text, "three")).status
    assert "of 1.00 USD a day left" in await olga.page(root)
    assert "batch jobs,image,200,2.00" in (await olga.get(f"{root}/usage.csv")).body.decode()
    await olga.wrong(f"{root}/{key_id}/budget", day="much", zone="UTC")
    await olga.wrong(f"{root}/{key_id}/budget", day="1", zone="Nowhere")
    await olga.done(f"{root}/{key_id}/budget", zone="UTC", is_sure="yes")
    assert 200 == (await _charge(client, seeds, text, "three")).status
    entries, _ = await farebox.services.audit_log.page(merchant_id=seeds.merchant_id, cursor=None, limit=9)
    told = [audit_words(entry, None) for entry in entries]
    assert told[1].endswith(" to 1.00 per day, 50.00 USD per month (UTC)")
    assert told[0].startswith("took the budget of a key of the merchant's “batch jobs” (fbm_…")
    assert told[2].endswith(") “batch jobs”")


async def test_support_sets_a_budget_in_the_console(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    _, key_id = await _made(client, seeds, "batch jobs")
    sam = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam-budgets@farebox.example", "Sam")
    root = f"/support/merchants/{seeds.merchant}/keys"
    assert "Nothing was used in the last 30 days." in await sam.page(root)
    await sam.done(f"{root}/{key_id}/budget", week="7", is_sure="yes")
    assert "7.00 of 7.00 USD a week left" in await sam.page(root)
    assert "batch jobs" in await sam.page(f"{root}/{key_id}")
    await sam.done(f"{root}/{key_id}/name", name="")
    assert "batch jobs" not in await sam.page(f"{root}/{key_id}")
    assert 200 == (await sam.get(f"{root}/usage.csv")).status
