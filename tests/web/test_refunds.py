"""Refunds over the client: what a charge or capture took goes back, in whole or in part, and never more than that."""

import asyncio
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.accounts import KIND_NAMES, KIND_WORDS
from farebox.core.commands import KeyKind
from farebox.service.operator.verifier import Verifier
from farebox.service.people import api_keys
from tests.support.app_client import AppClient, Reply
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUNDS: Final = "/api/refunds"

_numbers = iter(range(10**9))


def _key() -> str:
    return f"key-{next(_numbers)}"


async def _charged(client: AppClient, seeds: Seeds, amount: str = "10") -> str:
    """Charge an amount and return the transfer's id."""
    content = {"merchant": seeds.merchant, "type": "call", "amount": amount, "idempotencyKey": _key()}
    reply = await client.post("/api/charges", seeds.service_key, content)
    return str(reply.data["transferId"])


async def _held(client: AppClient, seeds: Seeds, amount: str = "10") -> dict[str, Any]:
    content = {"merchant": seeds.merchant, "type": "call", "amount": amount, "idempotencyKey": _key()}
    data = (await client.post("/api/holds", seeds.service_key, content)).data
    assert isinstance(data, dict)
    return data


async def _captured(client: AppClient, seeds: Seeds, amount: str, part: str) -> str:
    """Hold an amount, capture a part of it and return the capture's transfer."""
    path = f"/api/holds/{(await _held(client, seeds, amount))['holdId']}/capture"
    reply = await client.post(path, seeds.service_key, {"idempotencyKey": _key(), "amount": part})
    return str(reply.data["transferId"])


async def _refund(
    client: AppClient, seeds: Seeds, transfer_id: str, *, by: str | None = None, **fields: object
) -> Reply:
    content = {"transferId": transfer_id, "idempotencyKey": _key(), **fields}
    return await client.post(REFUNDS, by or seeds.service_key, content)


async def _balance(client: AppClient, seeds: Seeds) -> str:
    return str((await client.get("/api/balance", seeds.merchant_key)).data)


async def _audit(client: AppClient, seeds: Seeds) -> list[dict[str, Any]]:
    reply = await client.get(f"/api/admin/audit?merchant={seeds.merchant}", seeds.support_key)
    return list(reply.data["entries"])


async def test_refund_gives_back_all_that_was_charged(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds, "10")
    reply = await _refund(client, seeds, charged)
    assert {
        "transferId": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=3),
        "refersTo": charged,
        "amount": "10.00",
        "balance": "100.00",
        "available": "100.00",
    } == reply.data
    assert "100.00" == await _balance(client, seeds)


async def test_several_refunds_give_back_up_to_what_was_charged_and_no_more(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds, "10")
    for amount, available in (("2.50", "92.50"), ("0.000001", "92.500001"), ("7", "99.500001")):
        reply = await _refund(client, seeds, charged, amount=amount)
        assert (200, charged, available) == (reply.status, reply.data["refersTo"], reply.data["available"])
    for amount in ("0.50", "10"):
        refused = await _refund(client, seeds, charged, amount=amount)
        assert (409, "refund_exceeds_transfer") == (refused.status, refused.code)
        assert f"Only 0.499999 USD of {charged} is left" in refused.message
    # Without an amount it is what is left.
    rest = await _refund(client, seeds, charged)
    assert ("0.499999", "100.00") == (rest.data["amount"], rest.data["available"])
    for fields in ({}, {"amount": "0.000001"}):
        refused = await _refund(client, seeds, charged, **fields)
        assert (409, "refund_exceeds_transfer") == (refused.status, refused.code)
    assert "100.00" == await _balance(client, seeds)
    assert [] == [fault async for fault in Verifier(farebox.stores.connector).faults(seeds.merchant_id)]


async def test_refund_of_a_capture_gives_back_what_was_captured_and_not_what_was_held(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox)
    captured = await _captured(client, seeds, "10", "4")
    refused = await _refund(client, seeds, captured, amount="4.01")
    assert (409, "refund_exceeds_transfer") == (refused.status, refused.code)
    part = await _refund(client, seeds, captured, amount="1")
    assert ("1.00", "97.00") == (part.data["amount"], part.data["available"])
    rest = await _refund(client, seeds, captured)
    assert ("3.00", "100.00") == (rest.data["amount"], rest.data["available"])


async def test_refunds_at_once_give_back_no_more_than_was_charged(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds, "10")
    replies = await asyncio.gather(*[_refund(client, seeds, charged, amount="3") for _ in range(8)])
    assert [200] * 3 + [409] * 5 == sorted(reply.status for reply in replies)
    assert "99.00" == await _balance(client, seeds)


async def test_refund_leaves_what_is_held_alone(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds, "10")
    await _held(client, seeds, "5")
    reply = await _refund(client, seeds, charged)
    assert ("100.00", "95.00") == (reply.data["balance"], reply.data["available"])


async def test_only_charges_and_captures_can_be_refunded(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    path = f"/api/admin/merchants/{seeds.merchant}"
    top_up = (await client.post(f"{path}/topups", seeds.support_key, {"amount": "1", "reference": "T"})).data
    adjustments = [
        (
            await client.post(
                f"{path}/adjustments", seeds.support_key, {"amount": amount, "reference": amount, "reason": "r"}
            )
        ).data
        for amount in ("2", "-2")
    ]
    reversal = {"transferId": top_up["transferId"], "reference": "V", "reason": "r"}
    reversed_ = (await client.post(f"{path}/reversals", seeds.support_key, reversal)).data
    held = await _held(client, seeds, "1")
    releases = f"/api/holds/{held['holdId']}/release"
    released = (await client.post(releases, seeds.service_key, {"idempotencyKey": _key()})).data
    refund = (await _refund(client, seeds, await _charged(client, seeds))).data
    before = await _balance(client, seeds)
    for data, word in (
        (top_up, "top_up"),
        *[(data, "adjustment") for data in adjustments],
        (reversed_, "top_up_reversal"),
        (held, "hold"),
        (released, "release"),
        (refund, "refund"),
    ):
        reply = await _refund(client, seeds, data["transferId"])
        assert (409, "transfer_not_refundable") == (reply.status, reply.code), word
        assert KIND_NAMES[{name: kind for kind, name in KIND_WORDS.items()}[word]] in reply.message
    assert before == await _balance(client, seeds)


async def test_same_refund_again_is_the_first_answer(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds, "10")
    for fields in ({"amount": "4", "reference": "R"}, {}):
        key = _key()
        first = await _refund(client, seeds, charged, idempotencyKey=key, **fields)
        assert (200, None) == (first.status, first.header("idempotent-replay"))
        # The note is a remark, not content. Nothing is left to give back the second time, and nothing has to be.
        for again in (
            await _refund(client, seeds, charged, idempotencyKey=key, **fields),
            await _refund(client, seeds, charged, idempotencyKey=key, note="blurred", **fields),
        ):
            assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    assert "100.00" == await _balance(client, seeds)


async def test_other_refund_under_the_same_key_is_a_409(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    key, charged, other = _key(), await _charged(client, seeds), await _charged(client, seeds)
    first = await _refund(client, seeds, charged, idempotencyKey=key, amount="1")
    for transfer_id, fields in (
        (charged, {}),
        (charged, {"amount": "2"}),
        (charged, {"amount": "1", "reference": "R"}),
        (other, {"amount": "1"}),
    ):
        reply = await _refund(client, seeds, transfer_id, idempotencyKey=key, **fields)
        assert (409, "idempotency_conflict") == (reply.status, reply.code)
        assert first.data["transferId"] in reply.message
    assert "81.00" == await _balance(client, seeds)


async def test_refused_refund_is_not_remembered(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    key, charged = _key(), await _charged(client, seeds)
    assert 409 == (await _refund(client, seeds, charged, idempotencyKey=key, amount="11")).status
    reply = await _refund(client, seeds, charged, idempotencyKey=key, amount="10")
    assert (200, None) == (reply.status, reply.header("idempotent-replay"))


# Audience


async def test_services_refund_is_in_the_book_and_not_in_the_audit_log(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    assert 200 == (await _refund(client, seeds, await _charged(client, seeds), note="blurred")).status
    assert [] == await _audit(client, seeds)


async def test_supports_refund_is_in_the_audit_log_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    key, charged = _key(), await _charged(client, seeds)
    fields: dict[str, Any] = {"by": seeds.support_key, "idempotencyKey": key, "reference": "T-9", "note": "blurred"}
    assert 409 == (await _refund(client, seeds, charged, **{**fields, "amount": "11"})).status
    first = await _refund(client, seeds, charged, **fields)
    again = await _refund(client, seeds, charged, **fields)
    assert (200, "true", first.body) == (first.status, again.header("idempotent-replay"), again.body)
    (entry,) = await _audit(client, seeds)
    key_ids = {
        ids.public_id(ids.KEY, key.key_id) for key in await farebox.services.merchants.keys(None) if key.name == "ann"
    }
    assert entry.pop("keyId") in key_ids
    assert entry.pop("at")
    assert {
        "person": "ann",
        "address": "127.0.0.1",
        "action": "refund",
        "merchantId": seeds.merchant,
        "subject": first.data["transferId"],
        "detail": "refund of 10.00 USD, T-9, blurred",
        "sentence": "ann, by the key “ann”, refunded 10.00 USD, T-9, blurred",
    } == entry


async def test_service_and_support_share_a_charges_rest_and_its_keys(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    key, charged = _key(), await _charged(client, seeds)
    first = await _refund(client, seeds, charged, amount="6", idempotencyKey=key)
    again = await _refund(client, seeds, charged, by=seeds.support_key, amount="6", idempotencyKey=key)
    assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    refused = await _refund(client, seeds, charged, by=seeds.support_key, amount="5")
    assert (409, "refund_exceeds_transfer") == (refused.status, refused.code)
    assert "4.00" == (await _refund(client, seeds, charged, by=seeds.support_key)).data["amount"]


async def test_merchant_can_not_refund_itself(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds)
    closed = [
        await farebox.services.merchants.create_key(KeyKind.SERVICE, name="s"),
        await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="p"),
    ]
    for key in closed:
        await farebox.services.merchants.revoke_key(key.key.key_id)
    unknown = [api_keys.make_key(KeyKind.SERVICE), api_keys.make_key(KeyKind.SUPPORT)]
    good = {"transferId": charged, "idempotencyKey": _key()}
    for body in (good, b"{", {}):
        reply = await client.post(REFUNDS, seeds.merchant_key, body)
        assert (403, "forbidden") == (reply.status, reply.code)
        for text in (None, "x", *unknown, *[key.text for key in closed]):
            reply = await client.post(REFUNDS, text, body)
            assert (401, "invalid_api_key") == (reply.status, reply.code)
    assert "90.00" == await _balance(client, seeds)


async def test_frozen_merchant_is_refunded(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    charged = await _charged(client, seeds)
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    assert "100.00" == (await _refund(client, seeds, charged)).data["available"]


# Which transfer, and how much


async def test_transfer_that_is_none_is_a_404(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    charged = await _charged(client, seeds)
    digits = charged.removeprefix(ids.TRANSFER)
    for unknown in (
        *("", "x", "xfer_", "xfer_" + "0" * 21, "xfer_" + "Z" * 21, "x" * 5000, "é", "\u0000", seeds.merchant),
        *(digits, "hold_" + digits, charged.lower(), charged + "0", charged[:-1], charged[:-1] + "U", charged + "\n"),
        ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=0),
        ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=999),
        ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=ids.SEQ_MAX),
        ids.book_id(ids.TRANSFER, merchant_id=other.merchant_id, seq=2),
        ids.book_id(ids.TRANSFER, merchant_id=ids.NUMBER_MAX, seq=2),
    ):
        for by in (seeds.service_key, seeds.support_key):
            reply = await _refund(client, seeds, unknown, by=by)
            assert (404, "transfer_not_found") == (reply.status, reply.code), unknown
    assert "90.00" == await _balance(client, seeds)


async def test_refund_goes_to_the_merchant_whose_charge_it_was(farebox: Farebox, client: AppClient) -> None:
    one, other = await seed(farebox), await seed(farebox)
    first, second = await _charged(client, one, "10"), await _charged(client, other, "20")
    # Both are the second transfer of their book.
    assert first[-8:] == second[-8:]
    assert 200 == (await _refund(client, one, second)).status
    assert ("90.00", "100.00") == (await _balance(client, one), await _balance(client, other))


@pytest.mark.parametrize("amount", ["0", "-1", "1e1", "", "1.0000001", 1, True, [], "1000000000000.000001"])
async def test_refunded_amount_is_a_decimal_of_more_than_0(farebox: Farebox, client: AppClient, amount: object) -> None:
    seeds = await seed(farebox)
    reply = await _refund(client, seeds, await _charged(client, seeds), amount=amount)
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith("amount: ")
    assert "90.00" == await _balance(client, seeds)


@pytest.mark.parametrize(
    ("fields", "status", "code", "word"),
    [
        ({"idempotencyKey": ""}, 422, "invalid_value", "idempotencyKey"),
        ({"idempotencyKey": None}, 422, "invalid_value", "idempotencyKey"),
        ({"reference": " a"}, 422, "invalid_value", "reference"),
        ({"note": "a\nb"}, 422, "invalid_value", "note"),
        ({"note": "n" * 501}, 422, "invalid_value", "note"),
        ({"transferId": 5}, 422, "invalid_value", "transferId"),
        ({"merchant": "m"}, 400, "malformed_request", "merchant"),
    ],
)
async def test_refund_is_read_with_care_before_its_transfer_is_looked_for(
    farebox: Farebox, client: AppClient, fields: dict[str, object], status: int, code: str, word: str
) -> None:
    seeds = await seed(farebox)
    for transfer_id in (await _charged(client, seeds), "xfer_x"):
        content = {"transferId": transfer_id, "idempotencyKey": _key(), **fields}
        reply = await client.post(REFUNDS, seeds.service_key, content)
        assert (status, code) == (reply.status, reply.code)
        assert word in reply.message
    assert "90.00" == await _balance(client, seeds)


async def test_refund_beyond_what_is_kept_exact_is_a_422(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="1")
    charged = await _charged(client, seeds, "1")
    for number in range(4):
        content = {"amount": "1000000000000", "reference": f"R{number}"}
        path = f"/api/admin/merchants/{seeds.merchant}/topups"
        reply = await client.post(path, seeds.support_key, content)
        assert reply.status == (200 if number < 3 else 422)
    content = {"amount": "1000000000000", "reference": "A", "reason": "r"}
    assert (
        200
        == (await client.post(f"/api/admin/merchants/{seeds.merchant}/adjustments", seeds.support_key, content)).status
    )
    refused = await _refund(client, seeds, charged)
    assert (422, "balance_limit_exceeded") == (refused.status, refused.code)
