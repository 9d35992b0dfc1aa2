"""Prices that are rules, over the API: set, read, charged by, withdrawn and ended."""

from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from farebox.bootstrap import Farebox
from tests.support.app_client import AppClient, Reply
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEFAULTS: Final = "/api/admin/prices"
SOON: Final = "2090-01-01T00:00:00.000000Z"
LATER: Final = "2091-01-01T00:00:00.000000Z"
RULE: Final[dict[str, Any]] = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000},
        {"name": "output", "amount": "0.60", "per": 1_000_000},
    ]
}
EVERY_MEMBER: Final[dict[str, Any]] = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000, "included": 10, "block": 6, "atLeast": 30},
        {"name": "output", "graduated": [{"from": 1, "amount": "0.00"}, {"from": 9, "amount": "1.50", "per": 1_000}]},
    ],
    "base": "0.005",
    "minimum": "0.01",
    "tiers": {"by": ["input"], "from": [{"from": 200_001, "lines": [{"name": "input", "amount": "0.30"}]}]},
    "windows": {
        "zone": "Asia/Kathmandu",
        "windows": [{"days": ["mon", "sun"], "from": "01:00", "until": "24:00", **RULE, "base": "0.001"}],
    },
    "period": {"unit": "month", "zone": "Europe/Berlin", "refundsGiveBack": True},
    "rounding": {"step": "0.01", "direction": "half_up"},
}

_numbers = iter(range(10**9))


def _type() -> str:
    return f"azure/gpt-{next(_numbers)}@eu:batch"


async def _set(client: AppClient, seeds: Seeds, path: str = DEFAULTS, **body: Any) -> Reply:
    return await client.post(path, seeds.support_key, body)


async def _charge(client: AppClient, seeds: Seeds, name: str, **fields: Any) -> Reply:
    body = {"merchant": seeds.merchant, "type": name, "idempotencyKey": f"key-{next(_numbers)}", **fields}
    return await client.post("/api/charges", seeds.service_key, body)


def _own(seeds: Seeds) -> str:
    return f"/api/admin/merchants/{seeds.merchant}/prices"


@pytest.mark.parametrize("rule", [RULE, EVERY_MEMBER])
async def test_a_rule_is_answered_listed_and_read_as_it_was_sent(
    farebox: Farebox, client: AppClient, rule: dict[str, Any]
) -> None:
    seeds, name = await seed(farebox), _type()
    made = await _set(client, seeds, type=name, rule=rule)
    assert (200, None, rule, False) == (made.status, *(made.data[key] for key in ("unitPrice", "rule", "isVariable")))
    listed = (await client.get(DEFAULTS, seeds.support_key)).data["prices"]
    assert [made.data] == [price for price in listed if price["type"] == name]
    prices = (await client.get("/api/prices", seeds.merchant_key)).data["prices"]
    assert [rule] == [price["rule"] for price in prices if price["type"] == name]


async def test_a_charge_costs_what_the_rule_says(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    await _set(client, seeds, type=name, rule=RULE)
    for quantities, cost in (({"input": 3, "output": 7}, "0.000005"), ({"input": 1_000, "output": 350}, "0.00036")):
        assert cost == (await _charge(client, seeds, name, quantities=quantities)).data["cost"]
    await _set(client, seeds, _own(seeds), type=name, rule={"lines": [{"name": "input", "amount": "2"}]})
    assert "6.00" == (await _charge(client, seeds, name, quantities={"input": 3})).data["cost"]


async def test_a_unit_price_of_nothing_is_a_free_type(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox, balance=None), _type()
    made = await _set(client, seeds, type=name, unitPrice="0")
    assert {"lines": [{"name": "requests", "amount": "0.00"}]} == made.data["rule"]
    assert "0.00" == (await _charge(client, seeds, name)).data["cost"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "a price has a unitPrice (null if callers name the amount) or a rule"),
        ({"rule": None}, 422, "rule: Expected `object`, got `null`"),
        ({"rule": RULE, "unitPrice": "1"}, 422, "unitPrice: this stands beside a rule: a price has a unitPrice"),
        ({"rule": RULE, "unitPrice": ""}, 422, "unitPrice: this stands beside a rule"),
        ({"unitPrice": ""}, 422, "unitPrice: '' is not an amount"),
        ({"rule": []}, 422, "rule: Expected `object`, got `array`"),
        ({"rule": {}}, 422, "rule.lines: this is missing; write a list of what is charged for"),
        (
            {"rule": {"lines": [{"name": "input", "amount": 0.15}]}},
            422,
            "rule.lines[0].amount: this is a number with a point; write the amount as text",
        ),
        (
            {"rule": RULE | {"period": {"unit": "month", "zone": "Europe/Bonn"}}},
            422,
            "rule.period.zone: there is no time zone 'Europe/Bonn'",
        ),
    ],
)
async def test_what_is_wrong_with_a_price_is_named(
    farebox: Farebox, client: AppClient, body: dict[str, Any], status: int, message: str
) -> None:
    seeds, name = await seed(farebox), _type()
    for path in (DEFAULTS, _own(seeds)):
        reply = await _set(client, seeds, path, type=name, **body)
        assert (status, True) == (reply.status, message in reply.message), reply.message
    assert name not in [price["type"] for price in (await client.get(DEFAULTS, seeds.support_key)).data["prices"]]


async def test_the_document_says_that_a_price_has_a_unit_price_or_a_rule(client: AppClient) -> None:
    schema = client.document["components"]["schemas"]["PriceRequest"]
    validator = Draft202012Validator({**schema, "components": client.document["components"]})
    for body in ({"unitPrice": "1"}, {"unitPrice": None}, {"rule": RULE}, {"rule": EVERY_MEMBER, "unitPrice": None}):
        validator.validate({"type": "image", **body})
    a_float = {"lines": [{"name": "input", "amount": "1", "per": 1.5}]}
    wrong: list[dict[str, Any]] = [{}, {"rule": None}, {"rule": {}}, {"rule": a_float}]
    for body in wrong:
        assert not validator.is_valid({"type": "image", **body}), body


async def test_a_member_of_a_rule_that_is_given_twice_is_refused(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    body = b'{"type": "twice", "rule": {"lines": [], "base": "1", "base": "2"}}'
    reply = await client.send(
        "POST", DEFAULTS, key=seeds.support_key, headers=[("content-type", "application/json")], body=body
    )
    assert (400, True) == (reply.status, "'base' is given more than once" in reply.message)


async def test_two_versions_with_one_start_are_refused(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    assert 200 == (await _set(client, seeds, type=name, rule=RULE, startsAt=SOON)).status
    again = await _set(client, seeds, type=name, unitPrice="1", startsAt=SOON)
    assert (409, "conflict", True) == (again.status, again.code, f"starts at {SOON} already" in again.message)


async def test_a_version_is_withdrawn_before_it_starts_and_no_later(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    started = (await _set(client, seeds, type=name, unitPrice="1")).data["priceId"]
    coming = (await _set(client, seeds, type=name, rule=RULE, startsAt=SOON)).data
    withdrawn = await client.send("POST", f"{DEFAULTS}/{coming['priceId']}/withdraw", key=seeds.support_key)
    assert (200, False) == (withdrawn.status, withdrawn.data["isInForce"])
    assert {**coming, "state": "withdrawn", "withdrawnAt": withdrawn.data["withdrawnAt"]} == withdrawn.data
    assert withdrawn.data["withdrawnAt"] is not None
    again = await client.send("POST", f"{DEFAULTS}/{coming['priceId']}/withdraw", key=seeds.support_key)
    assert withdrawn.data == again.data
    # The time is free for another version.
    assert 200 == (await _set(client, seeds, type=name, unitPrice="2", startsAt=SOON)).status
    late = await client.send("POST", f"{DEFAULTS}/{started}/withdraw", key=seeds.support_key)
    assert (409, "conflict", True) == (late.status, late.code, "has started" in late.message)
    for path in (
        f"{DEFAULTS}/price_0000000000001/withdraw",
        f"{DEFAULTS}/x/withdraw",
        f"{_own(seeds)}/{started}/withdraw",
    ):
        reply = await client.send("POST", path, key=seeds.support_key)
        assert (404, "not_found") == (reply.status, reply.code)


async def test_the_end_of_an_own_price_is_the_default_and_the_end_of_a_default_is_the_types(
    farebox: Farebox, client: AppClient
) -> None:
    seeds, name = await seed(farebox), _type()
    for path, price in ((DEFAULTS, "1"), (_own(seeds), "2")):
        await _set(client, seeds, path, type=name, unitPrice=price)
    assert "2.00" == (await _charge(client, seeds, name)).data["cost"]
    ended = await _set(client, seeds, f"{_own(seeds)}/end", type=name)
    assert (200, True, True, None) == (ended.status, *(ended.data[key] for key in ("isEnd", "isInForce", "unitPrice")))
    assert "1.00" == (await _charge(client, seeds, name)).data["cost"]
    again = await _set(client, seeds, f"{_own(seeds)}/end", type=name)
    assert (409, "conflict", True) == (again.status, again.code, f"ends at {ended.data['startsAt']}" in again.message)
    never = await _set(client, seeds, f"{_own(seeds)}/end", type=f"{name}-never")
    assert (404, "not_found") == (never.status, never.code)
    retired = await _set(client, seeds, f"{DEFAULTS}/end", type=name)
    assert (200, True) == (retired.status, retired.data["isEnd"])
    refused = await _charge(client, seeds, name)
    assert (422, "type_retired") == (refused.status, refused.code)
    assert name not in [price["type"] for price in (await client.get("/api/prices", seeds.merchant_key)).data["prices"]]
    await _set(client, seeds, type=name, unitPrice="3")
    assert "3.00" == (await _charge(client, seeds, name)).data["cost"]


async def test_an_end_to_come_is_asked_for_once_by_its_idempotency_key(farebox: Farebox, client: AppClient) -> None:
    seeds, name = await seed(farebox), _type()
    await _set(client, seeds, type=name, unitPrice="1")
    headers = [("idempotency-key", f"key-{next(_numbers)}")]
    replies = [
        await client.post(f"{DEFAULTS}/end", seeds.support_key, {"type": name, "startsAt": LATER}, headers=headers)
        for _ in range(2)
    ]
    assert [None, "true"] == [reply.header("idempotent-replay") for reply in replies]
    assert replies[0].data == replies[1].data
    assert "1.00" == (await _charge(client, seeds, name)).data["cost"]
    # An answer that is given again tells what the version is by now.
    await client.send("POST", f"{DEFAULTS}/{replies[0].data['priceId']}/withdraw", key=seeds.support_key)
    again = await client.post(f"{DEFAULTS}/end", seeds.support_key, {"type": name, "startsAt": LATER}, headers=headers)
    assert ("true", "to_come", "withdrawn") == (
        again.header("idempotent-replay"),
        *(reply.data["state"] for reply in (replies[0], again)),
    )
    past = await _set(client, seeds, f"{DEFAULTS}/end", type=name, startsAt="2020-01-01T00:00:00Z")
    assert (422, True) == (past.status, past.message.startswith("startsAt: "))
