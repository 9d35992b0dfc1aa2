"""Captures above holds, charges after the fact, top-ups taken back on spent money: by the API and on the pages."""

import io
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.service.operator.verifier import Verifier
from farebox.service.people.users import Role
from farebox.service.statements.check import check_statement
from farebox.storage.records import Realm
from farebox_client import statement as offline
from tests.support.app_client import AppClient, Reply
from tests.support.server import Seeds, give_credit, seed
from tests.web.console.visitor import Visitor, kept, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORTFALLS: Final = "/api/admin/shortfalls"


async def _charge(client: AppClient, seeds: Seeds, key: str, amount: str, **fields: object) -> Reply:
    content = {"merchant": seeds.merchant, "type": "call", "idempotencyKey": key, "amount": amount, **fields}
    return await client.post("/api/charges", seeds.service_key, content)


async def _hold(client: AppClient, seeds: Seeds, **fields: object) -> str:
    content = {"merchant": seeds.merchant, "idempotencyKey": "hold", **fields}
    reply = await client.post("/api/holds", seeds.service_key, content)
    assert 200 == reply.status, reply.body
    return str(reply.data["holdId"])


async def _capture(client: AppClient, seeds: Seeds, hold: str, **fields: object) -> Reply:
    content = {"idempotencyKey": "capture", **fields}
    return await client.post(f"/api/holds/{hold}/capture", seeds.service_key, content)


async def _reverse(client: AppClient, seeds: Seeds, reference: str = "BACK-1", **fields: object) -> Reply:
    content = {"transferId": _transfer(seeds, 1), "reference": reference, "reason": "bounced", **fields}
    return await client.post(f"/api/admin/merchants/{seeds.merchant}/reversals", seeds.support_key, content)


def _transfer(seeds: Seeds, seq: int) -> str:
    return ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=seq)


async def _listed(client: AppClient, seeds: Seeds) -> list[dict[str, Any]]:
    reply = await client.get(f"{SHORTFALLS}?merchant={seeds.merchant}", seeds.support_key)
    assert 200 == reply.status
    return list(reply.data["shortfalls"])


async def _faults(farebox: Farebox, seeds: Seeds) -> list[str]:
    return [fault.text async for fault in Verifier(farebox.stores.connector).faults(seeds.merchant_id)]


async def _statement_faults(client: AppClient, seeds: Seeds, path: Path) -> list[str]:
    """Check the merchant's whole statement, by the program and by the script that needs nothing of it."""
    reply = await client.get("/api/transfers?format=jsonl", seeds.merchant_key)
    path.write_bytes(reply.body)
    assert offline.verify(str(path)).startswith("Clean")
    return [fault.text for fault in check_statement(io.BytesIO(reply.body)).faults]


# Above.


async def test_a_capture_above_its_hold_charges_the_rest(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold = await _hold(client, seeds, type="image", quantity=300)
    refused = await _capture(client, seeds, hold, quantity=500)
    assert (422, "capture_exceeds_hold") == (refused.status, refused.code)
    reply = await _capture(client, seeds, hold, quantity=500, above="charge")
    assert {
        "holdId": hold,
        "transferId": _transfer(seeds, 3),
        "quantity": 500,
        "captured": "3.00",
        "released": "0.00",
        "balance": "95.00",
        "available": "95.00",
        "above": {"transferId": _transfer(seeds, 4), "charged": "2.00", "uncollected": None},
    } == reply.data
    again = await _capture(client, seeds, hold, quantity=500, above="charge")
    assert (reply.data, "true") == (again.data, again.header("idempotent-replay"))
    usage = await client.get("/api/usage?by=day", seeds.merchant_key)
    assert [("image", 500, "5.00")] == [(line["type"], line["count"], line["cost"]) for line in usage.data["lines"]]
    assert [] == await _faults(farebox, seeds)


async def test_a_capture_that_is_not_covered_is_refused_or_leaves_the_rest_uncollected(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox, balance="4")
    hold = await _hold(client, seeds, type="call", amount="3")
    refused = await _capture(client, seeds, hold, amount="6", above="charge")
    assert (402, "insufficient_balance") == (refused.status, refused.code)
    reply = await _capture(client, seeds, hold, amount="6", above="uncollected")
    assert {"transferId": _transfer(seeds, 4), "charged": "1.00", "uncollected": "2.00"} == reply.data["above"]
    assert "0.00" == reply.data["available"]
    (line,) = await _listed(client, seeds)
    assert ("charge", "call", "1.00", "2.00", "0.00") == tuple(
        line[name] for name in ("kind", "type", "amount", "uncollected", "owed")
    )
    assert _transfer(seeds, 2) == line["refersTo"]
    assert [] == await _faults(farebox, seeds)


async def test_a_charge_after_the_fact_takes_what_there_is(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="4")
    assert 402 == (await _charge(client, seeds, "first", "5")).status
    reply = await _charge(client, seeds, "second", "5", above="uncollected")
    assert ("4.00", "0.00", "1.00") == (reply.data["cost"], reply.data["available"], reply.data["uncollected"])
    batch = {"charges": [{"merchant": seeds.merchant, "type": "image", "idempotencyKey": "b", "above": "uncollected"}]}
    (outcome,) = (await client.post("/api/charges/batch", seeds.service_key, batch)).data["outcomes"]
    assert ("0.00", "0.01") == (outcome["data"]["cost"], outcome["data"]["uncollected"])
    whole = await _charge(client, await seed(farebox), "whole", "5", above="uncollected")
    assert (200, False) == (whole.status, "uncollected" in whole.data)
    assert [] == await _faults(farebox, seeds)


@pytest.mark.parametrize("above", ["charge", "all", "", None, 1])
async def test_a_charge_says_nothing_else_by_above(farebox: Farebox, client: AppClient, above: object) -> None:
    seeds = await seed(farebox)
    assert (await _charge(client, seeds, "charge", "5", above=above)).status in (400, 422)


async def test_shortfalls_come_in_pages_and_as_csv(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None)
    for number in range(3):
        fields = {"above": "uncollected", "reference": f"=job {number}"}
        assert 200 == (await _charge(client, seeds, f"charge-{number}", "5", **fields)).status
    first = await client.get(f"{SHORTFALLS}?merchant={seeds.merchant}&limit=2", seeds.support_key)
    cursor = first.data["nextCursor"]
    rest = await client.get(f"{SHORTFALLS}?merchant={seeds.merchant}&cursor={cursor}", seeds.support_key)
    pages = [*first.data["shortfalls"], *rest.data["shortfalls"]]
    assert ([3, 2, 1], None) == ([int(line["transferId"][-1]) for line in pages], rest.data["nextCursor"])
    everybody = await client.get(f"{SHORTFALLS}?limit=3", seeds.support_key)
    assert pages == everybody.data["shortfalls"]
    following = await client.get(f"{SHORTFALLS}?cursor={everybody.data['nextCursor']}", seeds.support_key)
    assert seeds.merchant not in {line["merchantId"] for line in following.data["shortfalls"]}
    reply = await client.get(f"{SHORTFALLS}?merchant={seeds.merchant}&format=csv", seeds.support_key)
    header, *lines = reply.body.decode().splitlines()
    assert header.startswith("transferId,merchantId,committedAt,kind,type,currency,amount,uncollected,owed,")
    assert lines[0].endswith(",charge,call,USD,0.00,5.00,0.00,,'=job 2")
    assert 422 == (await client.get(f"{SHORTFALLS}?cursor=x", seeds.support_key)).status


# Money that is owed.


async def test_a_top_up_that_was_spent_is_taken_back_and_owed(
    farebox: Farebox, client: AppClient, tmp_path: Path
) -> None:
    seeds = await seed(farebox, balance="10")
    assert 200 == (await _charge(client, seeds, "spent", "7")).status
    refused = await _reverse(client, seeds)
    assert (402, "insufficient_balance") == (refused.status, refused.code)
    reply = await _reverse(client, seeds, owed=True)
    assert ("3.00", "7.00", "0.00") == tuple(reply.data[name] for name in ("amount", "owed", "available"))
    again = await _reverse(client, seeds, owed=True)
    assert (reply.data, "true") == (again.data, again.header("idempotent-replay"))
    await give_credit(farebox, seeds.merchant_id, "20")
    refused = await _charge(client, seeds, "refused", "1")
    assert (402, "money_owed") == (refused.status, refused.code)
    assert f"7.00 USD is owed for the top-up {_transfer(seeds, 1)}" in str(refused.message)
    account = (await client.get("/api/account", seeds.merchant_key)).data
    assert ("7.00", "20.00") == (account["owed"], account["available"])
    (line,) = await _listed(client, seeds)
    assert ("top_up_reversal", "7.00", "7.00") == (line["kind"], line["uncollected"], line["owed"])
    top_up = {"amount": "10", "reference": "INV-2"}
    path = f"/api/admin/merchants/{seeds.merchant}/topups"
    assert 200 == (await client.post(path, seeds.support_key, top_up)).status
    account = (await client.get("/api/account", seeds.merchant_key)).data
    assert ("0.00", "23.00") == (account["owed"], account["available"])
    assert 200 == (await _charge(client, seeds, "charge", "1")).status
    assert ["0.00"] == [line["owed"] for line in await _listed(client, seeds)]
    assert [] == await _faults(farebox, seeds)
    assert [] == await _statement_faults(client, seeds, tmp_path / "statement.jsonl")


async def test_the_pages_say_what_is_owed_and_why(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="10")
    await farebox.services.merchants.add_user(seeds.merchant_id, "olga@example.com", role=Role.VIEWER)
    olga = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "olga@example.com", "Olga")
    sam = await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam-owed@farebox.example", "Sam")
    assert 200 == (await _charge(client, seeds, "spent", "7")).status
    root = f"/support/merchants/{seeds.merchant}"
    url, form = f"{root}/transfers/{_transfer(seeds, 1)}", {"amount": "", "reference": "BACK", "reason": "bounced"}
    refused = await sam.wrong(f"{url}/take-back", **form)
    assert "BACK" == kept(refused, "reference")
    assert "Insufficient balance: 10.00 USD needed" in refused.body.decode()
    preview = await sam.post(f"{url}/take-back", **form, owed="yes")
    assert 200 == preview.status
    assert "7.00 USD, which was spent already" in preview.body.decode()
    assert "the merchant can spend nothing" in preview.body.decode()
    await sam.done(f"{url}/take-back/confirm", **{**form, "amount": "10.00"}, owed="yes")
    assert "owes 7.00 USD for the top-up , taken back when the money was spent already" in await sam.page(root)
    assert "owes money" in await sam.page("/support?sort=age")
    preview = await sam.post(f"{root}/top-up", amount="9", reference="INV-2", note="")
    assert "Balance 0.00 → 2.00 USD Pays first 7.00 USD, which is all that is owed" in words(preview)
    preview = await sam.post(f"{root}/transfers/{_transfer(seeds, 2)}/refund", amount="3", once=f"1-{'a' * 32}")
    assert "Balance 0.00 → 0.00 USD Pays first 3.00 USD; 4.00 USD stays owed" in words(preview)
    page = await sam.page(f"{root}/transfers/{_transfer(seeds, 3)}")
    assert "Owed 7.00 USD more was due and spent already" in page
    # All of it counts as taken back, so there is nothing left to take.
    assert "Take this top-up back" not in await sam.page(url)
    overview = await olga.page(f"/accounts/{seeds.merchant}")
    assert "You owe 7.00 USD for the top-up , which was taken back when the money was spent already." in overview
    assert "Requests are refused until that is paid: the next top-up pays it first." in overview
    for page in (await sam.page("/support/shortfalls"), await sam.page(f"{root}/shortfalls")):
        assert "Top-up taken back BACK BACK" in page
        assert "3.00 USD 7.00 USD 7.00 USD" in page
    for path in ("/support/shortfalls.csv", f"{root}/shortfalls.csv"):
        assert ",top_up_reversal,,USD,3.00,7.00,7.00," in (await sam.get(path)).body.decode()
    assert "Nothing that was due is missing." in await sam.page(
        f"/support/merchants/{(await seed(farebox)).merchant}/shortfalls"
    )


async def test_pages_explain_what_was_left_uncollected(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="0.05")
    await farebox.services.merchants.add_user(seeds.merchant_id, "ulla@example.com", role=Role.VIEWER)
    ulla = await Visitor.sign_in(farebox, client, Realm.MERCHANT, "ulla@example.com", "Ulla")
    hold = await _hold(client, seeds, type="image", quantity=3)
    assert 200 == (await _capture(client, seeds, hold, quantity=9, above="uncollected")).status
    page = await ulla.page(f"/accounts/{seeds.merchant}/statement/{_transfer(seeds, 4)}")
    assert "Uncollected 0.04 USD more was due, and was not there to be taken" in page
    assert "6 x 0.01 = 0.06" in page


@pytest.mark.parametrize(
    ("held", "done", "charged", "pricing"),
    [
        (8, 14, "2.40", "calls=6;at=%;held=calls:8"),
        (8, 30, "4.00", "calls=22;at=%;held=calls:8"),
        (60, 55, None, "calls=55;at=%"),
    ],
)
async def test_quantities_above_a_hold_are_priced_counted_and_verified(
    farebox: Farebox, client: AppClient, tmp_path: Path, held: int, done: int, charged: str | None, pricing: str
) -> None:
    seeds = await seed(farebox)
    steps = [{"from": 1, "amount": "1"}, {"from": 11, "amount": "0.1"}]
    rule = {"lines": [{"name": "calls", "graduated": steps}], "period": {"unit": "month", "zone": "UTC"}}
    price = {"type": "counted", "rule": rule}
    path = f"/api/admin/merchants/{seeds.merchant}/prices"
    assert 200 == (await client.post(path, seeds.support_key, price)).status
    hold = await _hold(client, seeds, type="counted", quantities={"calls": held})
    reply = await _capture(client, seeds, hold, quantities={"calls": done}, above="charge")
    assert charged == reply.data.get("above", {"charged": None})["charged"]
    (newest, *_) = (await client.get("/api/transfers?limit=9", seeds.merchant_key)).data["transfers"]
    if charged is not None:
        start, end = pricing.split("%")
        assert newest["pricing"].startswith(start)
        assert newest["pricing"].endswith(end)
    (line,) = (await client.get("/api/usage?by=day&type=counted", seeds.merchant_key)).data["lines"]
    assert {"calls": done} == line["quantities"]
    assert [] == await _faults(farebox, seeds)
    assert [] == await _statement_faults(client, seeds, tmp_path / "statement.jsonl")
