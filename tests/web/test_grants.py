"""Given credit by the API: support gives, lists and ends it, and a merchant reads what it was given."""

import asyncio
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.service.inputs import format_time
from tests.support.app_client import AppClient, Reply
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAR: Final = "2100-01-01T00:00:00Z"
DAY: Final = 86_400_000_000


def _path(seeds: Seeds, rest: str = "") -> str:
    return f"/api/admin/merchants/{seeds.merchant}/grants{rest}"


async def _give(client: AppClient, seeds: Seeds, reference: str = "W-1", amount: str = "20", **more: object) -> Reply:
    body = {"amount": amount, "reference": reference, "reason": "for trying it out", **more}
    return await client.post(_path(seeds), seeds.support_key, body)


async def _account(client: AppClient, seeds: Seeds) -> dict[str, Any]:
    data = (await client.get("/api/account", seeds.merchant_key)).data
    assert isinstance(data, dict)
    return data


async def _charge(client: AppClient, seeds: Seeds, quantity: int, key: str = "charge") -> Reply:
    body = {"merchant": seeds.merchant, "type": "image", "quantity": quantity, "idempotencyKey": key}
    return await client.post("/api/charges", seeds.service_key, body)


async def test_credit_is_given_once_and_told_apart_but_in_the_balance(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    expires = format_time(farebox.clock.now() + 30 * DAY)
    reply = await _give(client, seeds, expiresAt=expires, types=["image", "audio"], priority=3)
    assert 200 == reply.status
    grant = reply.data
    assert {
        "merchantId": seeds.merchant,
        "state": "open",
        "amount": "20.00",
        "left": "20.00",
        "priority": 3,
        "expiresAt": expires,
        "endedAt": None,
        "types": ["audio", "image"],
        "reference": "W-1",
        "reason": "for trying it out",
    } == {name: grant[name] for name in grant if name not in ("grantId", "startsAt", "transferId")}
    again = await _give(client, seeds, expiresAt=expires, types=["audio", "image", "audio"], priority=3)
    assert (200, "true", grant) == (again.status, again.header("idempotent-replay"), again.data)
    other = await _give(client, seeds, amount="21", expiresAt=expires)
    assert (409, "idempotency_conflict") == (other.status, other.code)
    assert "120.00" == (await client.get("/api/balance", seeds.merchant_key)).data
    account = await _account(client, seeds)
    assert ("120.00", "100.00", "20.00") == (account["available"], account["paid"], account["given"])
    assert [
        {"grantId": grant["grantId"], "amount": "20.00", "expiresAt": expires, "types": ["audio", "image"]}
    ] == account["ending"]
    assert {"grants": [grant], "nextCursor": None} == (await client.get("/api/grants", seeds.merchant_key)).data
    assert {"grants": [grant], "nextCursor": None} == (await client.get(_path(seeds), seeds.support_key)).data


async def test_given_credit_is_spent_first_and_the_statement_says_so(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    await _give(client, seeds, amount="4")
    assert 200 == (await _charge(client, seeds, 500)).status
    account = await _account(client, seeds)
    assert ("99.00", "99.00", "0.00") == (account["available"], account["paid"], account["given"])
    lines = (await client.get("/api/transfers", seeds.merchant_key)).data["transfers"]
    assert ["1:4000000", "1:4000000", None] == [line.get("given") for line in lines]
    assert ["charge", "grant", "top_up"] == [line["kind"] for line in lines]


async def test_a_grant_is_ended_once_and_what_was_spent_stays_spent(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    grant_id = (await _give(client, seeds)).data["grantId"]
    await _charge(client, seeds, 500)
    end, body = _path(seeds, f"/{grant_id}/end"), {"reason": "given by mistake"}
    reply = await client.post(end, seeds.support_key, body)
    assert 200 == reply.status
    assert ("ended", "20.00", "0.00", "15.00") == tuple(
        reply.data[name] for name in ("state", "amount", "left", "takenBack")
    )
    assert reply.data["endTransferId"].startswith("xfer_")
    again = await client.post(end, seeds.support_key, body)
    assert (200, "true", reply.data) == (again.status, again.header("idempotent-replay"), again.data)
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_a_grant_that_waits_shows_and_may_never_start(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    starts = format_time(farebox.clock.now() + 3 * DAY)
    grant = (await _give(client, seeds, startsAt=starts)).data
    assert ("waiting", "0.00", starts, None) == tuple(
        grant[name] for name in ("state", "left", "startsAt", "transferId")
    )
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data
    reply = await client.post(_path(seeds, f"/{grant['grantId']}/end"), seeds.support_key, {"reason": "no"})
    assert ("ended", "0.00", None) == tuple(reply.data[name] for name in ("state", "takenBack", "endTransferId"))


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"amount": "0"}, 422, "invalid_value"),
        ({"amount": "1.001"}, 422, "amount_too_fine"),
        ({"reference": ""}, 422, "invalid_value"),
        ({"reason": " "}, 422, "invalid_value"),
        ({"expiresAt": "soon"}, 422, "invalid_value"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, 422, "grant_times_out_of_bounds"),
        ({"startsAt": FAR}, 422, "grant_times_out_of_bounds"),
        ({"types": []}, 422, "invalid_value"),
        ({"types": [f"t{number}" for number in range(51)]}, 422, "invalid_value"),
        ({"types": ["no type"]}, 422, "invalid_value"),
        ({"priority": 101}, 422, "invalid_value"),
        ({"priority": -1}, 422, "invalid_value"),
        ({"priority": "1"}, 422, "invalid_value"),
        ({"note": "x"}, 400, "malformed_request"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_gives_nothing(
    farebox: Farebox, client: AppClient, fields: dict[str, object], status: int, code: str
) -> None:
    seeds = await seed(farebox)
    body = {"amount": "20", "reference": "W-1", "reason": "r", **fields}
    reply = await client.post(_path(seeds), seeds.support_key, body)
    assert (status, code) == (reply.status, reply.code)
    assert "100.00" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_a_grant_that_is_not_there_or_anothers_is_not_found(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    grant_id = (await _give(client, seeds)).data["grantId"]
    nobodys = ids.book_id(ids.GRANT, merchant_id=seeds.merchant_id, seq=9)
    for owner, named in ((other, grant_id), (seeds, nobodys), (seeds, "grant_x"), (seeds, "xfer_1")):
        reply = await client.post(_path(owner, f"/{named}/end"), seeds.support_key, {"reason": "r"})
        assert (404, "grant_not_found") == (reply.status, reply.code), named
    assert "120.00" == (await client.get("/api/balance", seeds.merchant_key)).data


async def test_grants_are_listed_newest_first_in_pages(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for number in range(5):
        await _give(client, seeds, reference=f"W-{number}", amount="1")
    seen, cursor, pages = [], "", 0
    while pages < 4:
        page = (await client.get(f"/api/grants?limit=2{cursor}", seeds.merchant_key)).data
        seen += [grant["reference"] for grant in page["grants"]]
        pages += 1
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert (["W-4", "W-3", "W-2", "W-1", "W-0"], 3) == (seen, pages)
    wrong = await client.get("/api/grants?cursor=grant_x", seeds.merchant_key)
    assert (422, "invalid_value") == (wrong.status, wrong.code)


async def test_one_reference_asked_for_at_once_is_one_grant(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    replies = await asyncio.gather(*(_give(client, seeds) for _ in range(20)))
    assert {200} == {reply.status for reply in replies}
    assert 1 == len({reply.data["grantId"] for reply in replies})
    assert "120.00" == (await client.get("/api/balance", seeds.merchant_key)).data
