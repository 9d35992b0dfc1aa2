"""The Idempotency-Key header: the same request again makes nothing more, and the header stands for a body's key."""

import asyncio
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.operator.verifier import Verifier
from farebox.storage.records import REPEATS_KEPT_MICROS
from tests.support.app_client import JSON, AppClient, Reply
from tests.support.clock import later
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

MERCHANTS: Final = "/api/admin/merchants"
KEYS: Final = "/api/admin/keys"
PRICES: Final = "/api/admin/prices"

MAKING: Final[dict[str, tuple[str, dict[str, Any], dict[str, Any]]]] = {
    "merchant": (MERCHANTS, {"name": "Contoso", "currency": "EUR"}, {"name": "Contoso", "currency": "CHF"}),
    "user": ("{m}/users", {"email": "eve@northwind.example"}, {"email": "mallory@northwind.example"}),
    "merchant's key": ("{m}/keys", {}, {"expires": "2100-01-01T00:00:00Z"}),
    "service's key": (KEYS, {"kind": "service", "name": "geo"}, {"kind": "support", "name": "geo"}),
    "successor": (KEYS + "/{k}/rotate", {"overlapSeconds": 60}, {"overlapSeconds": 61}),
    "price": (PRICES, {"type": "once", "unitPrice": "1"}, {"type": "once", "unitPrice": "2"}),
    "merchant's price": ("{m}/prices", {"type": "once", "unitPrice": None}, {"type": "twice", "unitPrice": None}),
}
"""Paths, what each is asked for, and something else under the same key."""

making = pytest.mark.parametrize(("path", "body", "other"), MAKING.values(), ids=MAKING)


async def _asked(farebox: Farebox, seeds: Seeds, path: str) -> str:
    """Put the merchant and a key to be rotated into a path."""
    key = await farebox.services.merchants.create_key(KeyKind.SERVICE, name="old")
    merchant = f"{MERCHANTS}/{seeds.merchant}"
    return path.replace("{m}", merchant).replace("{k}", ids.public_id(ids.KEY, key.key.key_id))


async def _post(client: AppClient, key: str, path: str, body: object, name: str | None) -> Reply:
    headers = [JSON] if name is None else [JSON, ("idempotency-key", name)]
    return await client.post(path, key, body, headers)


async def _log(client: AppClient, seeds: Seeds) -> list[object]:
    found: list[object] = (await client.get("/api/admin/audit?limit=1000", seeds.support_key)).data["entries"]
    return found


def _secret(data: dict[str, Any]) -> str | None:
    text = data.pop("apiKey", None)
    assert text is None or isinstance(text, str)
    return text


@making
async def test_the_same_request_again_makes_nothing_more(
    farebox: Farebox, client: AppClient, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    seeds = await seed(farebox)
    target = await _asked(farebox, seeds, path)
    first = await _post(client, seeds.support_key, target, body, "one")
    assert (200, None) == (first.status, first.header("idempotent-replay"))
    before = await _log(client, seeds)
    again = await _post(client, seeds.support_key, target, dict(reversed(body.items())), "one")
    assert (200, "true") == (again.status, again.header("idempotent-replay"))
    # A key's text is shown once.
    made, repeated = first.data, again.data
    assert ("apiKey" in made) is ("apiKey" in repeated)
    assert _secret(repeated) is None
    _secret(made)
    assert made == repeated
    assert before == await _log(client, seeds)
    refused = await _post(client, seeds.support_key, target, other, "one")
    assert (409, "idempotency_conflict") == (refused.status, refused.code)
    assert "was used for another request" in refused.message
    assert before == await _log(client, seeds)


@making
async def test_of_requests_at_once_one_makes_something(
    farebox: Farebox, client: AppClient, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    seeds = await seed(farebox)
    target = await _asked(farebox, seeds, path)
    before = len(await _log(client, seeds))
    replies = await asyncio.gather(*(_post(client, seeds.support_key, target, body, "at-once") for _ in range(6)))
    assert [200] * 6 == [reply.status for reply in replies]
    assert 5 == [reply.header("idempotent-replay") for reply in replies].count("true")
    secrets = [_secret(reply.data) for reply in replies]
    assert len(set(secrets) - {None}) == ("apiKey" in replies[0].data)
    assert before + 1 == len(await _log(client, seeds))


@making
async def test_another_name_another_caller_and_a_time_long_after_make_another(
    farebox: Farebox, client: AppClient, path: str, body: dict[str, Any], other: dict[str, Any]
) -> None:
    seeds = await seed(farebox)
    target = await _asked(farebox, seeds, path)
    bea = await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="bea")
    is_once = "users" in path
    """A person is registered once, whatever the request is called."""
    expected = 409 if is_once else 200
    assert 200 == (await _post(client, seeds.support_key, target, body, "one")).status
    for key, name in ((seeds.support_key, "two"), (bea.text, "one"), (seeds.support_key, None)):
        reply = await _post(client, key, target, body, name)
        assert (expected, None) == (reply.status, reply.header("idempotent-replay"))
    for seconds, is_replay in ((REPEATS_KEPT_MICROS // 10**6 - 60, True), (REPEATS_KEPT_MICROS // 10**6, False)):
        with later(farebox, seconds=seconds):
            reply = await _post(client, seeds.support_key, target, body, "one")
            assert is_replay is (reply.header("idempotent-replay") == "true")


async def test_what_was_refused_may_be_asked_for_rightly(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    path = f"{MERCHANTS}/{seeds.merchant}/users"
    assert 422 == (await _post(client, seeds.support_key, path, {"email": "nobody"}, "one")).status
    assert 200 == (await _post(client, seeds.support_key, path, {"email": "eve@northwind.example"}, "one")).status


async def test_what_was_made_and_is_gone_is_not_made_again(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    path, body = f"{MERCHANTS}/{seeds.merchant}/users", {"email": "eve@northwind.example"}
    made = await _post(client, seeds.support_key, path, body, "one")
    assert 200 == (await client.send("DELETE", f"{path}/{made.data['userId']}", key=seeds.support_key)).status
    again = await _post(client, seeds.support_key, path, body, "one")
    assert (409, "conflict") == (again.status, again.code)


async def test_a_repeat_tells_of_what_was_made_as_it_is_now(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    body = {"kind": "service", "name": "geo", "expires": "2100-01-01T00:00:00Z"}
    made = await _post(client, seeds.support_key, KEYS, body, "one")
    await client.send("POST", f"{KEYS}/{made.data['key']['keyId']}/revoke", key=seeds.support_key)
    again = await _post(client, seeds.support_key, KEYS, body, "one")
    assert again.data["key"]["revokedAt"] is not None


@pytest.mark.parametrize("name", ["a b", "", "x" * 129, "\u00e9"])
async def test_a_header_that_is_no_key_is_a_422(farebox: Farebox, client: AppClient, name: str) -> None:
    seeds = await seed(farebox)
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": "k"}
    for key, path, body in (
        (seeds.support_key, MERCHANTS, {"name": "Contoso", "currency": "EUR"}),
        (seeds.service_key, "/api/charges", charge),
    ):
        reply = await _post(client, key, path, body, name)
        assert (422, "invalid_value") == (reply.status, reply.code)
        assert reply.message.startswith("Idempotency-Key: ")


async def test_a_header_that_is_given_twice_is_a_400(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    headers = [JSON, ("idempotency-key", "one"), ("idempotency-key", "one")]
    for key, path in ((seeds.support_key, MERCHANTS), (seeds.service_key, "/api/charges")):
        reply = await client.post(path, key, {"name": "Contoso", "currency": "EUR"}, headers)
        assert (400, "malformed_request") == (reply.status, reply.code)


# Moves of money.


async def _moves(client: AppClient, seeds: Seeds) -> dict[str, tuple[str, dict[str, Any]]]:
    """Name every endpoint that moves money under a key, with a body that lacks it."""
    spend = {"merchant": seeds.merchant, "type": "image", "quantity": 2}
    charged = await client.post("/api/charges", seeds.service_key, {**spend, "idempotencyKey": "before"})
    holds = [
        (await client.post("/api/holds", seeds.service_key, {**spend, "idempotencyKey": f"h{number}"})).data["holdId"]
        for number in range(2)
    ]
    return {
        "charge": ("/api/charges", {**spend, "reference": "R"}),
        "hold": ("/api/holds", {**spend, "ttlSeconds": 60}),
        "capture": (f"/api/holds/{holds[0]}/capture", {"quantity": 1}),
        "release": (f"/api/holds/{holds[1]}/release", {}),
        "refund": ("/api/refunds", {"transferId": charged.data["transferId"], "amount": "0.01"}),
    }


async def test_the_header_stands_for_the_bodys_key_and_never_against_it(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    for name, (path, body) in (await _moves(client, seeds)).items():
        lacking = await _post(client, seeds.service_key, path, body, None)
        assert (400, "malformed_request") == (lacking.status, lacking.code), name
        both = await _post(client, seeds.service_key, path, {**body, "idempotencyKey": f"{name}-1"}, f"{name}-2")
        assert (422, "invalid_value") == (both.status, both.code), name
        assert both.message.startswith("idempotencyKey: the header Idempotency-Key has another one"), name
        first = await _post(client, seeds.service_key, path, body, f"{name}-3")
        assert (200, None) == (first.status, first.header("idempotent-replay")), name
        for again in (
            await _post(client, seeds.service_key, path, body, f"{name}-3"),
            await _post(client, seeds.service_key, path, {**body, "idempotencyKey": f"{name}-3"}, None),
            await _post(client, seeds.service_key, path, {**body, "idempotencyKey": f"{name}-3"}, f"{name}-3"),
        ):
            assert (200, "true", first.data) == (again.status, again.header("idempotent-replay"), again.data), name
        changed = await _post(client, seeds.service_key, path, {**body, "reference": "other"}, f"{name}-3")
        assert (409, "idempotency_conflict") == (changed.status, changed.code), name
    assert [] == [fault async for fault in Verifier(farebox.stores.connector).faults(seeds.merchant_id)]


async def test_a_body_beside_the_header_is_read_as_strictly(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    spend = {"merchant": seeds.merchant, "type": "image"}
    for body, status in (
        ({**spend, "note": "n"}, 400),
        ({"type": "image"}, 400),
        (b'{"merchant": "x", "merchant": "x", "type": "image"}', 400),
        ({**spend, "quantity": "1"}, 422),
        ({**spend, "idempotencyKey": None}, 422),
        (b"[]", 400),
        (b"", 400),
    ):
        assert status == (await _post(client, seeds.service_key, "/api/charges", body, "one")).status, body


@pytest.mark.parametrize("what", ["topups", "adjustments", "reversals"])
async def test_a_header_stands_for_one_move_of_support(farebox: Farebox, client: AppClient, what: str) -> None:
    seeds = await seed(farebox)
    path = f"{MERCHANTS}/{seeds.merchant}/{what}"
    body = {"reference": "R-1", "amount": "1"}
    if what != "topups":
        body["reason"] = "a reason"
    if what == "reversals":
        body["transferId"] = ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=1)
    first = await _post(client, seeds.support_key, path, body, "one")
    again = await _post(client, seeds.support_key, path, body, "one")
    assert (200, 200, first.data, "true") == (
        *(first.status, again.status, again.data),
        again.header("idempotent-replay"),
    )
    other = await _post(client, seeds.support_key, path, {**body, "reference": "R-2"}, "one")
    assert (409, "idempotency_conflict") == (other.status, other.code)
    replies = await asyncio.gather(
        *(_post(client, seeds.support_key, path, {**body, "reference": "R-3"}, "two") for _ in range(4))
    )
    assert [200] * 4 == [reply.status for reply in replies]
    assert 1 == len({reply.data["transferId"] for reply in replies})
