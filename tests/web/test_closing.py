"""Closing, tagging and noting about merchants: by the API, and on the pages of both sides."""

import json
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.money import format_amount
from farebox.core.staff_roles import StaffRole
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from tests.support.app_client import AppClient, Reply
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADMIN: Final = "/api/admin/merchants"
GONE: Final = {"reason": "gone"}


async def _post(client: AppClient, seeds: Seeds, path: str, content: object) -> Reply:
    return await client.post(f"{ADMIN}/{seeds.merchant}/{path}", seeds.support_key, content)


async def _pay_out(client: AppClient, seeds: Seeds) -> None:
    content = {"amount": "-100", "reference": "closing", "reason": "paid out"}
    assert 200 == (await _post(client, seeds, "adjustments", content)).status


async def _charge(client: AppClient, seeds: Seeds, merchant: str, key: str) -> Reply:
    content = {"merchant": merchant, "type": "image", "idempotencyKey": key}
    return await client.post("/api/charges", seeds.service_key, content)


async def test_a_merchant_is_closed_and_opened_again(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    full = await _post(client, seeds, "close", GONE)
    assert (409, "merchant_not_empty") == (full.status, full.code)
    assert "100.00 USD are left" in full.message
    await _pay_out(client, seeds)
    closed = await _post(client, seeds, "close", GONE)
    assert (200, None) == (closed.status, closed.header("idempotent-replay"))
    assert closed.data["closedAt"] is not None
    again = await _post(client, seeds, "close", GONE)
    assert ("true", closed.data["closedAt"]) == (again.header("idempotent-replay"), again.data["closedAt"])
    # Its keys open nothing, whoever shows them.
    for path in ("/api/balance", "/api/account", "/api/refusals"):
        assert (401, "invalid_api_key") == ((reply := await client.get(path, seeds.merchant_key)).status, reply.code)
    for number, merchant in enumerate((seeds.merchant, seeds.merchant_key)):
        reply = await _charge(client, seeds, merchant, f"closed-{number}")
        assert (403, "merchant_closed") == (reply.status, reply.code)
    for path, content in (
        ("topups", {"amount": "1", "reference": "T"}),
        ("adjustments", {"amount": "1", "reference": "A", "reason": "r"}),
        ("freeze", b""),
        ("keys", {}),
    ):
        reply = await _post(client, seeds, path, content)
        assert (403, "merchant_closed") == (reply.status, reply.code), path
    await farebox.refusal_counts.write()
    refusals = await client.get(f"{ADMIN}/{seeds.merchant}/refusals", seeds.support_key)
    assert [("merchant_closed", 2)] == [(line["reason"], line["count"]) for line in refusals.data["lines"]]
    opened = await _post(client, seeds, "reopen", {"reason": "came back"})
    assert (200, None) == (opened.status, opened.data["closedAt"])
    assert 200 == (await client.get("/api/balance", seeds.merchant_key)).status
    assert 200 == (await _post(client, seeds, "topups", {"amount": "1", "reference": "T"})).status
    assert 200 == (await _charge(client, seeds, seeds.merchant, "open")).status


async def test_what_is_left_may_be_finer_than_the_currency(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    content = {"merchant": seeds.merchant, "type": "call", "amount": "0.123456", "idempotencyKey": "fine"}
    assert 200 == (await client.post("/api/charges", seeds.service_key, content)).status
    rest = {"reference": "closing", "reason": "written off"}
    fine = await _post(client, seeds, "adjustments", {**rest, "amount": "-1.876544"})
    assert (422, "amount_too_fine") == (fine.status, fine.code)
    assert 200 == (await _post(client, seeds, "adjustments", {**rest, "amount": "-99.876544"})).status
    assert 200 == (await _post(client, seeds, "close", GONE)).status


async def test_merchants_are_listed_by_state_and_tag_and_as_csv(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    tag = f"tag {seeds.merchant}".lower()
    for one in (seeds, other):
        change: dict[str, Any] = {"tags": [tag.upper(), "eu"]}
        body = await client.send("PATCH", f"{ADMIN}/{one.merchant}", key=one.support_key, **_json(change))
        assert ["eu", tag] == body.data["tags"]
    await _pay_out(client, other)
    assert 200 == (await _post(client, other, "close", GONE)).status

    async def listed(query: str) -> list[str]:
        reply = await client.get(f"{ADMIN}?tag={tag.replace(' ', '%20')}&{query}", seeds.support_key)
        return [item["merchantId"] for item in reply.data["merchants"]]

    assert [seeds.merchant, other.merchant] == await listed("limit=9")
    assert [seeds.merchant] == await listed("closed=false")
    assert [other.merchant] == await listed("closed=true")
    reply = await client.get(f"{ADMIN}?format=csv&tag={tag.replace(' ', '%20')}", seeds.support_key)
    header, first, second = reply.body.decode().splitlines()
    assert header.endswith(",tags,createdAt,lastTransferAt,closedAt")
    assert f'{seeds.merchant},Northwind Imaging,active,USD,100.00,0.00,100.00,0.00,0.00,0.00,"eu, {tag}",' in first
    assert second.startswith(f"{other.merchant},Northwind Imaging,closed,USD,0.00,")
    assert 3 <= len((await client.get(f"{ADMIN}?format=csv", seeds.support_key)).body.decode().splitlines())
    for query in ("closed=maybe", "tag=a,b", "format=csv&cursor=mer_7ZZZZZZZZZZZZ"):
        assert 422 == (await client.get(f"{ADMIN}?{query}", seeds.support_key)).status, query


def _json(content: object) -> dict[str, Any]:
    return {"headers": (("content-type", "application/json"),), "body": json.dumps(content).encode()}


async def test_notes_come_in_pages_newest_first(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for number in range(3):
        assert 200 == (await _post(client, seeds, "notes", {"text": f"note {number}"})).status
    path = f"{ADMIN}/{seeds.merchant}/notes?limit=2"
    first = await client.get(path, seeds.support_key)
    assert ["note 2", "note 1"] == [note["text"] for note in first.data["notes"]]
    second = await client.get(f"{path}&cursor={first.data['nextCursor']}", seeds.support_key)
    assert (["note 0"], None) == ([note["text"] for note in second.data["notes"]], second.data["nextCursor"])
    assert 422 == (await _post(client, seeds, "notes", {"text": " "})).status
    wrong = await client.get(f"{path}&cursor=x", seeds.support_key)
    assert (422, "cursor: 'x' is not a note id; one looks like note_01K9ABCDEFGHJ") == (wrong.status, wrong.message)


async def test_support_settles_the_rest_and_an_administrator_closes(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.merchants.add_user(seeds.merchant_id, "cleo@example.com", role=Role.OWNER)
    cleo = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "cleo@example.com", "Cleo")
    support = await Visitor.sign_in(
        farebox, client, Realm.SUPPORT, "mover@farebox.example", "Mover", roles=StaffRole.SUPPORT
    )
    admin = await Visitor.sign_in(
        farebox, client, Realm.SUPPORT, "setup@farebox.example", "Setup", roles=StaffRole.ADMINISTRATOR
    )
    root = f"/support/merchants/{seeds.merchant}"
    page = await support.page(f"{root}/close")
    assert "Close Northwind Imaging? Paid money that is left 100.00 USD: it is settled by an adjustment first" in page
    assert "1 that works opens nothing from then on" in page or "1 that works open nothing from then on" in page
    assert "1 can still sign in and read the statement" in page
    assert "Settle 100.00 USD" in page
    assert 403 == (await support.post(f"{root}/close", reason="gone")).status
    settle = {"sign": "take", "amount": "100.00", "reference": "closing", "reason": "Paid out on closing"}
    asked = words(await support.post(f"{root}/adjust", **settle))
    assert "Take away 100.00 USD" in asked
    assert "The adjustment is in the ledger." in await support.done(f"{root}/adjust/confirm", **settle)
    assert "An administrator closes it." in await support.page(f"{root}/close")
    done = await admin.done(f"{root}/close", reason="moved away")
    assert "The merchant is closed" in done
    assert "Northwind Imaging is closed since" in done
    assert "closed the merchant: moved away" in done
    assert "Northwind" in await admin.page("/support?sort=closed")
    assert seeds.merchant not in (await admin.get("/support?sort=age")).body.decode()
    assert "Closed Nothing of it can be changed" in await admin.page(f"{root}/settings")
    assert "Your account is closed since" in await cleo.page(f"/accounts/{seeds.merchant}")
    assert "Adjustment closing" in await cleo.page(f"/accounts/{seeds.merchant}/statement")
    assert "Open Northwind Imaging again?" in await admin.page(f"{root}/close")
    assert "The merchant is open again." in await admin.done(f"{root}/reopen", reason="came back")


async def test_the_console_finds_merchants_by_tag_and_keeps_notes(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    sam = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam-tags@farebox.example", "Sam")
    root = f"/support/merchants/{seeds.merchant}"
    assert "Nothing was noted about this merchant yet." in await sam.page(f"{root}/notes")
    assert "The tags are saved." in await sam.done(f"{root}/tags", tags=" Key account,EU ,, ")
    assert "#eu #key account" in await sam.page(root)
    assert seeds.merchant in (await sam.get("/support?tag=KEY%20account")).body.decode()
    assert "No merchant has this tag." in await sam.page("/support?tag=nobody")
    for wrong in ("a,b", "%00", "x" * 41):
        assert "No merchant has this tag." in await sam.page(f"/support?tag={wrong}")
        assert 422 == (await sam.get(f"/support/merchants.csv?tag={wrong}")).status
    assert seeds.merchant in (await sam.get("/support/merchants.csv?tag=eu")).body.decode()
    assert "It is noted." in await sam.done(f"{root}/notes", text="pays by the quarter")
    for page in (root, f"{root}/notes"):
        assert "Sam pays by the quarter" in await sam.page(page)


async def test_given_credit_ends_with_the_closing(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await _pay_out(client, seeds)
    gift = await _post(client, seeds, "grants", {"amount": "5", "reference": "G", "reason": "trial"})
    assert 200 == gift.status
    closed = await _post(client, seeds, "close", GONE)
    assert ("0.00", "0.00") == (closed.data["available"], closed.data["posted"])
    _, account = await farebox.services.merchants.get(seeds.merchant_id)
    assert "0.00" == format_amount(account.given)
