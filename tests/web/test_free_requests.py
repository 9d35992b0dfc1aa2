"""Free requests: charged, held, given back and shown as any others are, at a balance of nothing too."""

import pytest

from farebox.bootstrap import Farebox
from farebox.service.operator.verifier import Verifier
from farebox.service.people.users import Realm, Role
from tests.support.app_client import AppClient
from tests.support.server import Seeds, seed
from tests.web.console.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _free(farebox: Farebox) -> Seeds:
    seeds = await seed(farebox, balance=None)
    await farebox.services.prices.set("ping", "0", merchant_id=seeds.merchant_id)
    return seeds


async def test_every_move_of_a_free_request_goes_through_at_a_balance_of_nothing(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await _free(farebox)
    asked = {"merchant": seeds.merchant, "type": "ping"}
    charged = await client.post("/api/charges", seeds.service_key, {**asked, "idempotencyKey": "a", "quantity": 3})
    assert (200, "0.00", "0.00") == (charged.status, charged.data["cost"], charged.data["available"])
    again = await client.post("/api/charges", seeds.service_key, {**asked, "idempotencyKey": "a", "quantity": 3})
    assert (200, charged.data) == (again.status, again.data)
    holds = []
    for key in ("b", "c"):
        held = await client.post("/api/holds", seeds.service_key, {**asked, "idempotencyKey": key, "quantity": 2})
        assert (200, "0.00") == (held.status, held.data["amount"])
        holds.append(held.data["holdId"])
    captured = await client.post(
        f"/api/holds/{holds[0]}/capture", seeds.service_key, {"idempotencyKey": "d", "quantity": 1}
    )
    assert 200 == captured.status, captured
    released = await client.post(f"/api/holds/{holds[1]}/release", seeds.service_key, {"idempotencyKey": "e"})
    assert 200 == released.status, released
    batch = [{**asked, "idempotencyKey": f"f{number}"} for number in range(3)]
    sent = await client.post("/api/charges/batch", seeds.service_key, {"charges": batch})
    assert [200] * 3 == [outcome["statusCode"] for outcome in sent.data["outcomes"]]
    usage = await client.get("/api/usage", seeds.merchant_key)
    (line,) = usage.data["lines"]
    assert ("ping", 7, "0.00") == (line["type"], line["count"], line["cost"])
    verifier = Verifier(farebox.stores.connector)
    assert [] == [fault async for fault in verifier.faults(seeds.merchant_id)]


async def test_nothing_is_left_to_refund_of_a_free_request(farebox: Farebox, client: AppClient) -> None:
    seeds = await _free(farebox)
    asked = {"merchant": seeds.merchant, "type": "ping", "idempotencyKey": "a"}
    charged = await client.post("/api/charges", seeds.service_key, asked)
    refund = {"transferId": charged.data["transferId"], "idempotencyKey": "b"}
    for more in ({}, {"amount": "0.01"}):
        reply = await client.post("/api/refunds", seeds.service_key, {**refund, **more})
        assert 409 == reply.status, reply


async def test_pages_of_an_account_with_free_requests_alone(farebox: Farebox, client: AppClient) -> None:
    """There is no spend to divide by, and nothing that a balance could last for."""
    seeds = await _free(farebox)
    asked = {"merchant": seeds.merchant, "type": "ping"}
    for number in range(3):
        await client.post("/api/charges", seeds.service_key, {**asked, "idempotencyKey": f"{number}"})
    email = f"viewer-{seeds.merchant_id}@shop.example"
    await farebox.services.merchants.add_user(seeds.merchant_id, email, role=Role.VIEWER)
    viewer = await Visitor.sign_in(farebox, client, Realm.MERCHANT, email)
    for by in ("day", "hour"):
        page = await viewer.page(f"/accounts/{seeds.merchant}?by={by}")
        assert "ping" in page
        assert "Nothing was charged" in page
    assert "ping x 1" in await viewer.page(f"/accounts/{seeds.merchant}/statement")
    sam = await Visitor.sign_in(farebox, client, Realm.SUPPORT, f"sam-{seeds.merchant_id}@farebox.example", "Sam")
    assert "ping x 1" in await sam.page(f"/support/merchants/{seeds.merchant}")
