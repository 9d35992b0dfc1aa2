"""Refused requests, as a merchant's key and support read them, and on the pages of both."""

from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.service.people.users import Role
from farebox.storage.records import Realm
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSALS: Final = "/api/refusals"


async def _refuse(farebox: Farebox, client: AppClient, seeds: Seeds, *, times: int = 2, **fields: object) -> None:
    for number in range(times):
        wanted = {"type": "image", "quantity": 1_000_000, **fields}
        content = {"merchant": seeds.merchant, "idempotencyKey": f"{wanted['type']}-{number}", **wanted}
        assert (await client.post("/api/charges", seeds.service_key, content)).status in (402, 422)
    await farebox.refusal_counts.write()


async def _lines(client: AppClient, seeds: Seeds, query: str = "") -> list[dict[str, Any]]:
    reply = await client.get(f"{REFUSALS}?{query}", seeds.merchant_key)
    assert (200, ["lines"]) == (reply.status, list(reply.data))
    support = await client.get(f"/api/admin/merchants/{seeds.merchant}/refusals?{query}", seeds.support_key)
    assert (200, reply.data) == (support.status, support.data)
    return list(reply.data["lines"])


async def test_a_merchant_and_support_read_what_was_refused(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    assert [] == await _lines(client, seeds)
    await _refuse(farebox, client, seeds)
    await _refuse(farebox, client, seeds, times=1, type="no-such-type", quantity=1)
    lines = await _lines(client, seeds)
    assert [
        ("image", "insufficient_balance", 2),
        ("no-such-type", "unknown_type", 1),
    ] == [(line["type"], line["reason"], line["count"]) for line in lines]
    assert {line["startsAt"][10:] for line in lines} == {"T00:00:00.000000Z"}
    assert ["image"] == [line["type"] for line in await _lines(client, seeds, "reason=insufficient_balance&by=hour")]
    assert ["no-such-type"] == [line["type"] for line in await _lines(client, seeds, "type=no-such-type")]
    assert [] == await _lines(client, other)


async def test_refusals_are_given_as_csv(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await _refuse(farebox, client, seeds, times=1, type="stray", quantity=1)
    reply = await client.get(f"{REFUSALS}?format=csv", seeds.merchant_key)
    header, line = reply.body.decode().splitlines()
    assert "startsAt,type,reason,count" == header
    assert line.endswith(",stray,unknown_type,1")
    assert "text/csv; charset=utf-8" == reply.header("content-type")


async def test_what_makes_no_sense_is_refused(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for query in ("from=x", "timeZone=Nowhere", "by=week", "format=xml", "from=2020-01-01&to=2026-01-01"):
        assert 422 == (await client.get(f"{REFUSALS}?{query}", seeds.merchant_key)).status, query
    nobody = await client.get("/api/admin/merchants/mer_7ZZZZZZZZZZZZ/refusals", seeds.support_key)
    assert (404, "merchant_not_found") == (nobody.status, nobody.code)


async def test_overview_tells_what_was_refused_today(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await farebox.services.merchants.add_user(seeds.merchant_id, "rita@example.com", role=Role.VIEWER)
    rita = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "rita@example.com", "Rita")
    root = f"/accounts/{seeds.merchant}"
    assert "refused" not in await rita.page(root)
    assert "No request was refused in these days." in await rita.page(f"{root}/refusals")
    await _refuse(farebox, client, seeds, times=1)
    assert "1 request was refused for lack of money today. Which ones" in await rita.page(root)
    await _refuse(farebox, client, seeds, times=11)
    await _refuse(farebox, client, seeds, times=3, type="no-such-type", quantity=1)
    sentence = "12 requests were refused for lack of money today, and 3 for other reasons. Which ones"
    assert sentence in await rita.page(root)
    assert sentence in await rita.page(f"{root}/now")
    page = await rita.page(f"{root}/refusals")
    assert "image lack of money 12" in page
    assert "no-such-type no such request type 3" in page
    exported = (await rita.get(f"{root}/refusals.csv")).body.decode()
    assert ["image", "no-such-type"] == [line.split(",")[1] for line in exported.splitlines()[1:]]


async def test_console_tells_what_was_refused(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    sam = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam-refusals@farebox.example", "Sam")
    root = f"/support/merchants/{seeds.merchant}"
    assert "No request was refused." in await sam.page(root)
    await _refuse(farebox, client, seeds, times=1, type="no-such-type", quantity=1)
    glance = await sam.page(root)
    assert "1 request was refused today." in glance
    assert "no-such-type no such request type 1" in glance
    assert "1 refused today" in await sam.page("/support?sort=age")
    assert "no-such-type no such request type 1" in await sam.page(f"{root}/refusals")
    assert "no-such-type,unknown_type,1" in (await sam.get(f"{root}/refusals.csv")).body.decode()
    assert 404 == (await sam.get("/support/merchants/mer_7ZZZZZZZZZZZZ/refusals.csv")).status


async def test_a_page_has_the_largest_sums_and_the_file_all(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    sam = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam-many@farebox.example", "Sam")
    for number in range(30):
        for _ in range(number + 1):
            farebox.refusal_counts.note(seeds.merchant_id, f"type-{number:02}", "insufficient_balance")  # type: ignore[arg-type]
    await farebox.refusal_counts.write()
    page = words(await sam.get(f"/support/merchants/{seeds.merchant}/refusals"))
    assert "further types lack of money" in page
    assert "465" in page
