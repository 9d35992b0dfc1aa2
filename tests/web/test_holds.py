"""Holds over the client: set aside, then captured in whole or in part, released, or over by themselves.

Each test tells the balances after it, as the answer has them and as the merchant's account does.
"""

from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.service import inputs, parsing
from farebox.service.ledger.expiry import Expiry
from farebox.service.operator.verifier import Verifier
from farebox.service.people import api_keys
from tests.support.app_client import AppClient, Reply
from tests.support.clock import at, later
from tests.support.server import Seeds, seed

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLDS: Final = "/api/holds"
TTL_SECONDS_DEFAULT: Final = 900
TTL_SECONDS_MAX: Final = 604_800

_numbers = iter(range(10**9))


def _key() -> str:
    return f"key-{next(_numbers)}"


async def _hold(client: AppClient, seeds: Seeds, **fields: object) -> Reply:
    content = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": _key(), **fields}
    return await client.post(HOLDS, seeds.service_key, content)


async def _held(client: AppClient, seeds: Seeds, amount: str = "10") -> str:
    """Make a hold of this amount and return its id."""
    reply = await _hold(client, seeds, type="call", amount=amount)
    assert 200 == reply.status
    return str(reply.data["holdId"])


async def _end(client: AppClient, seeds: Seeds, hold_id: str, how: str, **fields: object) -> Reply:
    """Capture or release a hold."""
    return await client.post(f"{HOLDS}/{hold_id}/{how}", seeds.service_key, {"idempotencyKey": _key(), **fields})


async def _balances(client: AppClient, seeds: Seeds) -> tuple[str, str, str]:
    """Return what the merchant's own account shows: posted, held, available."""
    data = (await client.get("/api/account", seeds.merchant_key)).data
    return data["posted"], data["held"], data["available"]


def _expiry(farebox: Farebox) -> Expiry:
    return Expiry(farebox.stores.holds, farebox.committer, farebox.clock)


async def _check_books(farebox: Farebox, seeds: Seeds) -> None:
    assert [] == [fault async for fault in Verifier(farebox.stores.connector).faults(seeds.merchant_id)]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


# Making one


async def test_hold_sets_its_cost_aside_and_takes_nothing(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    with later(farebox, seconds=0):
        now = farebox.clock.now()
        reply = await _hold(client, seeds, quantity=250, reference="job 7")
    assert ["holdId", "transferId", "amount", "expiresAt", "balance", "available"] == list(reply.data)
    assert ("2.50", "100.00", "97.50") == tuple(reply.data[name] for name in ("amount", "balance", "available"))
    assert (seeds.merchant_id, 2) == parsing.parse_book_id(ids.HOLD, reply.data["holdId"])
    assert (seeds.merchant_id, 2) == parsing.parse_book_id(ids.TRANSFER, reply.data["transferId"])
    assert TTL_SECONDS_DEFAULT * 1_000_000 + now == _micros(reply.data["expiresAt"])
    assert ("100.00", "2.50", "97.50") == await _balances(client, seeds)
    assert "97.50" == (await client.get("/api/balance", seeds.merchant_key)).data
    await _check_books(farebox, seeds)


def _micros(text: str) -> int:
    return (_time(text) - _time("1970-01-01T00:00:00Z")) // timedelta(microseconds=1)


async def test_hold_of_a_variable_type_sets_the_named_amount_aside(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    reply = await _hold(client, seeds, type="call", amount="12.345678", quantity=3)
    assert ("12.345678", "87.654322") == (reply.data["amount"], reply.data["available"])


async def test_merchant_may_be_named_by_its_key(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    assert 200 == (await _hold(client, seeds, merchant=seeds.merchant_key)).status
    closed = await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id)
    await farebox.services.merchants.revoke_key(closed.key.key_id)
    reply = await _hold(client, seeds, merchant=closed.text)
    assert (404, "merchant_not_found") == (reply.status, reply.code)


@pytest.mark.parametrize("seconds", [1, 60, TTL_SECONDS_MAX])
async def test_hold_lasts_as_long_as_asked(farebox: Farebox, client: AppClient, seconds: int) -> None:
    seeds = await seed(farebox)
    with later(farebox, seconds=0):
        reply = await _hold(client, seeds, ttlSeconds=seconds)
        assert seconds * 1_000_000 == _micros(reply.data["expiresAt"]) - farebox.clock.now()


@pytest.mark.parametrize("seconds", [0, -1, TTL_SECONDS_MAX + 1, 2**63, 1.5, "60", True, None])
async def test_time_outside_the_limits_is_a_422(farebox: Farebox, client: AppClient, seconds: object) -> None:
    seeds = await seed(farebox)
    reply = await _hold(client, seeds, ttlSeconds=seconds)
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith("ttlSeconds: ")
    assert ("100.00", "0.00", "100.00") == await _balances(client, seeds)


REFUSED_HOLDS: Final[list[tuple[dict[str, object], int, str]]] = [
    ({"merchant": "nobody"}, 404, "merchant_not_found"),
    ({"type": "video"}, 422, "unknown_type"),
    ({"type": "call"}, 422, "amount_required"),
    ({"amount": "1"}, 422, "amount_not_allowed"),
    ({"type": "dear", "quantity": 2}, 422, "amount_too_large"),
    ({"type": "call", "amount": "100.000001"}, 402, "insufficient_balance"),
    ({"quantity": 0}, 422, "invalid_value"),
    ({"type": "call", "amount": "0"}, 422, "invalid_value"),
    ({"idempotencyKey": "a b"}, 422, "invalid_value"),
    ({"reference": ""}, 422, "invalid_value"),
    ({"note": "n"}, 400, "malformed_request"),
]


@pytest.mark.parametrize(("fields", "status", "code"), REFUSED_HOLDS)
async def test_hold_that_is_refused_sets_nothing_aside(
    farebox: Farebox, client: AppClient, fields: dict[str, object], status: int, code: str
) -> None:
    seeds = await seed(farebox)
    await farebox.services.prices.set("dear", "1000000000000", merchant_id=seeds.merchant_id)
    reply = await _hold(client, seeds, **fields)
    assert (status, code) == (reply.status, reply.code)
    assert ("100.00", "0.00", "100.00") == await _balances(client, seeds)


async def test_what_is_held_can_not_be_spent(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance="1", credit_limit="0.5")
    await _held(client, seeds, "1.20")
    content = {"merchant": seeds.merchant, "type": "call", "amount": "0.300001", "idempotencyKey": _key()}
    refused = await client.post("/api/charges", seeds.service_key, content)
    assert (402, "insufficient_balance") == (refused.status, refused.code)
    assert "0.30 can be spent" in refused.message
    assert 402 == (await _hold(client, seeds, type="call", amount="0.300001")).status
    assert 200 == (await _hold(client, seeds, type="call", amount="0.30")).status
    assert ("1.00", "1.50", "-0.50") == await _balances(client, seeds)


async def test_balances_stay_within_what_is_kept_exact(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None, credit_limit="1000000000000")
    path = f"/api/admin/merchants/{seeds.merchant}/topups"
    for number in range(4):
        content = {"amount": "1000000000000", "reference": f"R{number}"}
        assert 200 == (await client.post(path, seeds.support_key, content)).status
    for _ in range(4):
        await _held(client, seeds, "1000000000000")
    # There is credit left, but no more can be held.
    reply = await _hold(client, seeds, type="call", amount="0.01")
    assert (422, "balance_limit_exceeded") == (reply.status, reply.code)


# Capture and release


async def test_capture_takes_the_whole_hold(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds, "10")
    reply = await _end(client, seeds, hold_id, "capture")
    assert {
        "holdId": hold_id,
        "transferId": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=3),
        "quantity": 1,
        "captured": "10.00",
        "released": "0.00",
        "balance": "90.00",
        "available": "90.00",
    } == reply.data
    assert ("90.00", "0.00", "90.00") == await _balances(client, seeds)
    await _check_books(farebox, seeds)


async def test_capture_of_a_part_gives_the_rest_back_at_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    other = await _held(client, seeds, "5")
    hold_id = await _held(client, seeds, "10")
    reply = await _end(client, seeds, hold_id, "capture", amount="2.50", reference="job 7")
    assert ("2.50", "7.50", "97.50", "92.50") == tuple(
        reply.data[name] for name in ("captured", "released", "balance", "available")
    )
    assert ("97.50", "5.00", "92.50") == await _balances(client, seeds)
    assert 200 == (await _end(client, seeds, other, "release")).status
    assert ("97.50", "0.00", "97.50") == await _balances(client, seeds)
    await _check_books(farebox, seeds)


@pytest.mark.parametrize(
    ("amount", "released"), [("0.000001", "9.999999"), ("9.999999", "0.000001"), ("10.00", "0.00")]
)
async def test_capture_takes_any_part_to_the_micro(
    farebox: Farebox, client: AppClient, amount: str, released: str
) -> None:
    seeds = await seed(farebox)
    reply = await _end(client, seeds, await _held(client, seeds, "10"), "capture", amount=amount)
    assert (amount, released) == (reply.data["captured"], reply.data["released"])
    assert reply.data["balance"] == reply.data["available"] == (await _balances(client, seeds))[2]


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ({}, (5, "0.05", "0.00", "0.01")),
        ({"quantity": 5}, (5, "0.05", "0.00", "0.01")),
        ({"quantity": 3}, (3, "0.03", "0.02", "0.01")),
        ({"amount": "0.02"}, (2, "0.02", "0.03", "0.01")),
        ({"amount": "0.020001"}, (3, "0.020001", "0.029999", None)),
        ({"amount": "0.015", "quantity": 2}, (2, "0.015", "0.035", None)),
    ],
)
async def test_capture_counts_the_requests_that_were_done(
    farebox: Farebox, client: AppClient, asked: dict[str, object], answered: tuple[object, ...]
) -> None:
    seeds = await seed(farebox)
    hold_id = (await _hold(client, seeds, quantity=5)).data["holdId"]
    reply = await _end(client, seeds, hold_id, "capture", **asked)
    (line,) = (await client.get("/api/transfers?kind=capture", seeds.merchant_key)).data["transfers"]
    usage = (await client.get("/api/usage", seeds.merchant_key)).data["lines"]
    quantity, amount, released, unit_price = answered
    assert (quantity, amount, released) == tuple(reply.data[name] for name in ("quantity", "captured", "released"))
    assert (quantity, amount, unit_price) == tuple(line[name] for name in ("quantity", "amount", "unitPrice"))
    assert (unit_price is None) == (line["priceId"] is None)
    assert [("image", quantity, amount)] == [(item["type"], item["count"], item["cost"]) for item in usage]
    await _check_books(farebox, seeds)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"quantity": 6}, "capture_exceeds_hold", "6 requests are more than the 5 that were held"),
        ({"quantity": 1, "amount": "0.02"}, "capture_exceeds_hold", "0.02 is more than 1 x 0.01"),
        ({"quantity": 0}, "invalid_value", "quantity: "),
        ({"quantity": 10**30}, "invalid_value", "quantity: "),
    ],
)
async def test_capture_of_more_requests_than_were_held_is_a_422_and_leaves_the_hold(
    farebox: Farebox, client: AppClient, asked: dict[str, object], code: str, words: str
) -> None:
    seeds = await seed(farebox)
    hold_id = (await _hold(client, seeds, quantity=5)).data["holdId"]
    reply = await _end(client, seeds, hold_id, "capture", **asked)
    assert (422, code) == (reply.status, reply.code)
    assert words in reply.message
    assert ("100.00", "0.05", "99.95") == await _balances(client, seeds)


async def test_requests_without_a_unit_price_are_captured_by_their_amount(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = (await _hold(client, seeds, type="call", quantity=3, amount="9")).data["holdId"]
    reply = await _end(client, seeds, hold_id, "capture", quantity=2)
    assert (422, "amount_required") == (reply.status, reply.code)
    reply = await _end(client, seeds, hold_id, "capture", quantity=2, amount="8.50")
    assert (2, "8.50", "0.50") == tuple(reply.data[name] for name in ("quantity", "captured", "released"))


async def test_capture_at_the_price_it_was_held_at_whatever_the_price_is_now(
    farebox: Farebox, client: AppClient
) -> None:
    seeds = await seed(farebox)
    hold_id = (await _hold(client, seeds, quantity=5)).data["holdId"]
    await farebox.services.prices.set("image", "7")
    reply = await _end(client, seeds, hold_id, "capture", quantity=2)
    assert (2, "0.02", "0.03") == tuple(reply.data[name] for name in ("quantity", "captured", "released"))
    await _check_books(farebox, seeds)


async def test_capture_of_more_than_was_held_is_a_422_and_leaves_the_hold(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds, "10")
    reply = await _end(client, seeds, hold_id, "capture", amount="10.000001")
    assert (422, "capture_exceeds_hold") == (reply.status, reply.code)
    assert "10.000001 is more than the hold's 10.00" in reply.message
    assert ("100.00", "10.00", "90.00") == await _balances(client, seeds)
    assert 200 == (await _end(client, seeds, hold_id, "capture")).status


async def test_release_gives_everything_back(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds, "10")
    reply = await _end(client, seeds, hold_id, "release", reference="job 7")
    assert {
        "holdId": hold_id,
        "transferId": ids.book_id(ids.TRANSFER, merchant_id=seeds.merchant_id, seq=3),
        "released": "10.00",
        "balance": "100.00",
        "available": "100.00",
    } == reply.data
    assert ("100.00", "0.00", "100.00") == await _balances(client, seeds)
    await _check_books(farebox, seeds)


async def test_captures_beyond_what_is_kept_exact_are_a_422(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox, balance=None)
    path = f"/api/admin/merchants/{seeds.merchant}"
    for number in range(4):
        content = {"amount": "1000000000000", "reference": f"R{number}"}
        assert 200 == (await client.post(f"{path}/topups", seeds.support_key, content)).status
        assert 200 == (await _end(client, seeds, await _held(client, seeds, "1000000000000"), "capture")).status
    content = {"amount": "0.01", "reference": "A", "reason": "r"}
    assert 200 == (await client.post(f"{path}/adjustments", seeds.support_key, content)).status
    hold_id = await _held(client, seeds, "0.01")
    reply = await _end(client, seeds, hold_id, "capture")
    assert (422, "balance_limit_exceeded") == (reply.status, reply.code)
    assert 200 == (await _end(client, seeds, hold_id, "release")).status


@pytest.mark.parametrize("second", ["capture", "release"])
@pytest.mark.parametrize(
    ("first", "code"), [("capture", "hold_already_captured"), ("release", "hold_already_released")]
)
async def test_hold_ends_once(farebox: Farebox, client: AppClient, first: str, second: str, code: str) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds, "10")
    assert 200 == (await _end(client, seeds, hold_id, first)).status
    after = await _balances(client, seeds)
    reply = await _end(client, seeds, hold_id, second)
    assert (409, code) == (reply.status, reply.code)
    assert after == await _balances(client, seeds)


@pytest.mark.parametrize("how", ["capture", "release"])
async def test_capture_of_a_part_ends_the_hold_too(farebox: Farebox, client: AppClient, how: str) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds, "10")
    assert 200 == (await _end(client, seeds, hold_id, "capture", amount="1")).status
    reply = await _end(client, seeds, hold_id, how)
    assert (409, "hold_already_captured") == (reply.status, reply.code)
    assert ("99.00", "0.00", "99.00") == await _balances(client, seeds)


# Its time


@pytest.mark.parametrize("is_swept", [False, True])
@pytest.mark.parametrize("how", ["capture", "release"])
async def test_hold_past_its_time_is_over_whether_swept_or_not(
    farebox: Farebox, client: AppClient, how: str, is_swept: bool
) -> None:
    seeds = await seed(farebox)
    reply = await _hold(client, seeds, type="call", amount="10", ttlSeconds=60)
    with at(farebox, _micros(reply.data["expiresAt"])):
        if is_swept:
            while await _expiry(farebox).sweep():
                pass
        late = await _end(client, seeds, reply.data["holdId"], how)
        assert (409, "hold_expired") == (late.status, late.code)
        expected = ("100.00", "0.00", "100.00") if is_swept else ("100.00", "10.00", "90.00")
        assert expected == await _balances(client, seeds)
        await _expiry(farebox).sweep()
    assert ("100.00", "0.00", "100.00") == await _balances(client, seeds)
    await _check_books(farebox, seeds)


@pytest.mark.parametrize("how", ["capture", "release"])
async def test_hold_is_good_until_its_last_microsecond(farebox: Farebox, client: AppClient, how: str) -> None:
    seeds = await seed(farebox)
    reply = await _hold(client, seeds, type="call", amount="10", ttlSeconds=60)
    hold_id, last = reply.data["holdId"], _micros(reply.data["expiresAt"]) - 1
    with at(farebox, last):
        await _expiry(farebox).sweep()
        assert ("100.00", "10.00", "90.00") == await _balances(client, seeds)
        assert 200 == (await _end(client, seeds, hold_id, how)).status


async def test_ended_hold_is_not_expired_again(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    captured, released = await _held(client, seeds, "10"), await _held(client, seeds, "5")
    await _end(client, seeds, captured, "capture")
    await _end(client, seeds, released, "release")
    with later(farebox, seconds=TTL_SECONDS_DEFAULT):
        await _expiry(farebox).sweep()
        for hold_id, code in ((captured, "hold_already_captured"), (released, "hold_already_released")):
            assert code == (await _end(client, seeds, hold_id, "capture")).code
    assert ("90.00", "0.00", "90.00") == await _balances(client, seeds)


# Again


async def test_same_hold_again_is_the_first_answer(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    content: dict[str, Any] = {
        "merchant": seeds.merchant,
        "type": "image",
        "quantity": 5,
        "idempotencyKey": _key(),
        "reference": "R",
        "ttlSeconds": 60,
    }
    first = await client.post(HOLDS, seeds.service_key, content)
    assert first.header("idempotent-replay") is None
    hold_id = first.data["holdId"]
    # Also when it is over, one way or the other.
    for ending in (None, "capture"):
        if ending:
            assert 200 == (await _end(client, seeds, hold_id, ending)).status
        again = await client.post(HOLDS, seeds.service_key, {**content, "merchant": seeds.merchant_key})
        assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    with later(farebox, seconds=3600):
        again = await client.post(HOLDS, seeds.service_key, content)
        assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    assert ("99.95", "0.00", "99.95") == await _balances(client, seeds)


@pytest.mark.parametrize(
    "other",
    [
        *({"quantity": 2}, {"reference": "R"}, {"ttlSeconds": 60}, {"type": "call", "amount": "0.01"}),
        *({"type": "video"}, {"amount": "1"}),
    ],
)
async def test_other_hold_under_the_same_key_is_a_409(
    farebox: Farebox, client: AppClient, other: dict[str, object]
) -> None:
    seeds = await seed(farebox)
    key = _key()
    first = await _hold(client, seeds, idempotencyKey=key)
    reply = await _hold(client, seeds, idempotencyKey=key, **other)
    assert (409, "idempotency_conflict") == (reply.status, reply.code)
    assert first.data["transferId"] in reply.message
    assert ("100.00", "0.01", "99.99") == await _balances(client, seeds)


@pytest.mark.parametrize(
    ("how", "fields"),
    [("capture", {}), ("capture", {"amount": "4", "reference": "R"}), ("release", {"reference": "R"})],
)
async def test_same_ending_again_is_the_first_answer(
    farebox: Farebox, client: AppClient, how: str, fields: dict[str, object]
) -> None:
    seeds = await seed(farebox)
    hold_id, key = await _held(client, seeds, "10"), _key()
    first = await _end(client, seeds, hold_id, how, idempotencyKey=key, **fields)
    assert (200, None) == (first.status, first.header("idempotent-replay"))
    # A later hold does not show in it.
    await _held(client, seeds, "1")
    after = await _balances(client, seeds)
    with later(farebox, seconds=2 * TTL_SECONDS_DEFAULT):
        again = await _end(client, seeds, hold_id, how, idempotencyKey=key, **fields)
    assert ("true", first.body) == (again.header("idempotent-replay"), again.body)
    assert after == await _balances(client, seeds)


async def test_other_ending_under_the_same_key_is_a_409(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    key, one, other = _key(), await _held(client, seeds, "10"), await _held(client, seeds, "10")
    first = await _end(client, seeds, one, "capture", idempotencyKey=key, amount="5")
    assert 200 == first.status
    after = await _balances(client, seeds)
    for reply in (
        await _end(client, seeds, one, "capture", idempotencyKey=key),
        await _end(client, seeds, one, "capture", idempotencyKey=key, amount="6"),
        await _end(client, seeds, one, "capture", idempotencyKey=key, amount="5", quantity=1),
        await _end(client, seeds, one, "capture", idempotencyKey=key, amount="5", reference="R"),
        await _end(client, seeds, one, "release", idempotencyKey=key),
        await _end(client, seeds, other, "capture", idempotencyKey=key, amount="5"),
        await _end(client, seeds, other, "release", idempotencyKey=key),
        await _hold(client, seeds, idempotencyKey=key),
    ):
        assert (409, "idempotency_conflict") == (reply.status, reply.code)
        assert first.data["transferId"] in reply.message
    assert after == await _balances(client, seeds)


async def test_charge_and_hold_share_one_space_of_keys(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    content = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": _key()}
    assert 200 == (await client.post("/api/charges", seeds.service_key, content)).status
    assert "idempotency_conflict" == (await client.post(HOLDS, seeds.service_key, content)).code


@pytest.mark.parametrize("how", ["capture", "release"])
async def test_refused_ending_is_not_remembered(farebox: Farebox, client: AppClient, how: str) -> None:
    seeds = await seed(farebox)
    key, gone, open_ = _key(), await _held(client, seeds), await _held(client, seeds)
    await _end(client, seeds, gone, "release")
    assert 409 == (await _end(client, seeds, gone, how, idempotencyKey=key)).status
    reply = await _end(client, seeds, open_, how, idempotencyKey=key)
    assert (200, None) == (reply.status, reply.header("idempotent-replay"))


# Which hold


@pytest.mark.parametrize("how", ["capture", "release"])
async def test_hold_that_is_none_is_a_404(farebox: Farebox, client: AppClient, how: str) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    hold_id = await _held(client, seeds)
    charge = {"merchant": seeds.merchant, "type": "image", "idempotencyKey": _key()}
    charged = (await client.post("/api/charges", seeds.service_key, charge)).data["transferId"]
    digits = hold_id.removeprefix(ids.HOLD)
    for unknown in (
        *("x", "hold_", "0", "%00", "%F0%9F%92%B0", "hold_" + "0" * 21, "hold_" + "Z" * 21, "hold_" + "0" * 5000),
        *(digits, hold_id.lower(), hold_id + "0", hold_id[:-1], hold_id[:-1] + "U", "xfer_" + digits, seeds.merchant),
        # A transfer of the same book that is no hold, one that is not there yet, and another merchant's.
        charged.replace("xfer_", "hold_"),
        ids.book_id(ids.HOLD, merchant_id=seeds.merchant_id, seq=999),
        ids.book_id(ids.HOLD, merchant_id=seeds.merchant_id, seq=ids.SEQ_MAX),
        ids.book_id(ids.HOLD, merchant_id=seeds.merchant_id, seq=0),
        ids.book_id(ids.HOLD, merchant_id=other.merchant_id, seq=2),
        ids.book_id(ids.HOLD, merchant_id=ids.NUMBER_MAX, seq=2),
    ):
        reply = await _end(client, seeds, unknown, how)
        assert (404, "hold_not_found") == (reply.status, reply.code), unknown
    assert ("99.99", "10.00", "89.99") == await _balances(client, seeds)


@pytest.mark.parametrize("how", ["capture", "release"])
@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"idempotencyKey": ""}, 422, "invalid_value"),
        ({"idempotencyKey": None}, 422, "invalid_value"),
        ({"reference": "a\nb"}, 422, "invalid_value"),
        ({"note": "n"}, 400, "malformed_request"),
    ],
)
async def test_ending_is_read_with_care_before_its_hold_is_looked_for(
    farebox: Farebox, client: AppClient, how: str, fields: dict[str, object], status: int, code: str
) -> None:
    seeds = await seed(farebox)
    for hold_id in (await _held(client, seeds), "hold_x"):
        reply = await _end(client, seeds, hold_id, how, **fields)
        assert (status, code) == (reply.status, reply.code)
    assert ("100.00", "10.00", "90.00") == await _balances(client, seeds)


@pytest.mark.parametrize("amount", ["0", "-1", "1e1", "", "1.0000001", 1, True, [], "1000000000000.000001"])
async def test_captured_amount_is_a_decimal_of_more_than_0(farebox: Farebox, client: AppClient, amount: object) -> None:
    seeds = await seed(farebox)
    reply = await _end(client, seeds, await _held(client, seeds), "capture", amount=amount)
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith("amount: ")
    assert ("100.00", "10.00", "90.00") == await _balances(client, seeds)


async def test_release_takes_no_amount(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    reply = await _end(client, seeds, await _held(client, seeds), "release", amount="1")
    assert (400, "malformed_request") == (reply.status, reply.code)


# Audience


async def test_frozen_merchant_gets_no_hold_but_those_it_has_can_end(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    one, other = await _held(client, seeds, "10"), await _held(client, seeds, "5")
    await farebox.services.operations.set_frozen(seeds.merchant_id, is_frozen=True, principal=None)
    reply = await _hold(client, seeds)
    assert (403, "merchant_frozen") == (reply.status, reply.code)
    assert 200 == (await _end(client, seeds, one, "capture", amount="4")).status
    assert 200 == (await _end(client, seeds, other, "release")).status
    assert ("96.00", "0.00", "96.00") == await _balances(client, seeds)


@pytest.mark.parametrize("path", [HOLDS, f"{HOLDS}/@/capture", f"{HOLDS}/@/release"])
async def test_services_hold_capture_and_release_and_support_releases_alone(
    farebox: Farebox, client: AppClient, path: str
) -> None:
    seeds = await seed(farebox)
    target = path.replace("@", await _held(client, seeds))
    content = {"idempotencyKey": _key()}
    if path == HOLDS:
        content |= {"merchant": seeds.merchant, "type": "image"}
    revoked = await farebox.services.merchants.create_key(KeyKind.SERVICE, name="recognition")
    await farebox.services.merchants.revoke_key(revoked.key.key_id)
    for key, status, code in (
        *[
            (key, 403, "forbidden")
            for key in (seeds.merchant_key, seeds.support_key)
            if (key, path) != (seeds.support_key, f"{HOLDS}/@/release")
        ],
        *[(key, 401, "invalid_api_key") for key in (None, "x", revoked.text, api_keys.make_key(KeyKind.SERVICE))],
    ):
        for body in (content, b"{", {}):
            reply = await client.post(target, key, body)
            assert (status, code) == (reply.status, reply.code), body
    assert ("100.00", "10.00", "90.00") == await _balances(client, seeds)
    assert 200 == (await client.post(target, seeds.service_key, content)).status


async def test_another_service_may_end_a_hold(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds)
    other = await farebox.services.merchants.create_key(KeyKind.SERVICE, name="transcription")
    reply = await client.post(f"{HOLDS}/{hold_id}/capture", other.text, {"idempotencyKey": _key()})
    assert 200 == reply.status


# Seeing them


async def test_open_holds_are_listed_to_the_merchant_its_services_and_support(
    farebox: Farebox, client: AppClient
) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    support = (await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="sam", roles=EVERY_ROLE)).text
    await _hold(client, other)
    first = await _hold(client, seeds, quantity=3, reference="job 7", ttlSeconds=600)
    second = await _hold(client, seeds, type="call", amount="7", ttlSeconds=300)
    released = await _held(client, seeds)
    await _end(client, seeds, released, "release")
    own = await client.get(HOLDS, seeds.merchant_key)
    assert [second.data["holdId"], first.data["holdId"]] == [hold["holdId"] for hold in own.data["holds"]]
    assert own.data["nextCursor"] is None
    image = own.data["holds"][1]
    assert {
        "holdId": first.data["holdId"],
        "merchantId": seeds.merchant,
        "transferId": first.data["transferId"],
        "type": "image",
        "amount": "0.03",
        "quantity": 3,
        "pricing": None,
        "expiresAt": first.data["expiresAt"],
        "reference": "job 7",
    } == {name: value for name, value in image.items() if name != "createdAt"}
    assert timedelta(seconds=600) == _time(image["expiresAt"]) - _time(image["createdAt"])
    for path, key in (
        (f"{HOLDS}?merchant={seeds.merchant}", seeds.merchant_key),
        (f"{HOLDS}?merchant={seeds.merchant}", seeds.service_key),
        (f"/api/admin/holds?merchant={seeds.merchant}", support),
    ):
        assert own.data == (await client.get(path, key)).data
    everything = (await client.get("/api/admin/holds?limit=1000", support)).data["holds"]
    assert {seeds.merchant, other.merchant} <= {hold["merchantId"] for hold in everything}


async def test_open_holds_are_read_in_pages_each_once(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    held = [str((await _hold(client, seeds, ttlSeconds=600 + number % 3)).data["holdId"]) for number in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await client.get(f"{HOLDS}?limit=2{cursor}", seeds.merchant_key)).data
        seen += [hold["holdId"] for hold in page["holds"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert sorted(held) == sorted(seen)
    reply = await client.get(f"{HOLDS}?cursor=x", seeds.merchant_key)
    assert (422, "invalid_value") == (reply.status, reply.code)


async def test_holds_are_listed_to_nobody_else(farebox: Farebox, client: AppClient) -> None:
    seeds, other = await seed(farebox), await seed(farebox)
    for path, key, status, code in (
        (f"{HOLDS}?merchant={other.merchant}", seeds.merchant_key, 403, "forbidden"),
        (HOLDS, seeds.service_key, 422, "invalid_value"),
        (f"{HOLDS}?merchant=mer_0000000000000", seeds.service_key, 404, "merchant_not_found"),
        ("/api/admin/holds", seeds.service_key, 403, "forbidden"),
        ("/api/admin/holds", seeds.merchant_key, 403, "forbidden"),
    ):
        reply = await client.get(path, key)
        assert (status, code) == (reply.status, reply.code), path


# Extending them


async def test_a_hold_is_extended_for_some_seconds_or_until_a_time(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds)
    url = f"{HOLDS}/{hold_id}/extend"
    with later(farebox, seconds=100):
        now = farebox.clock.now()
        reply = await client.post(url, seeds.service_key, {"ttlSeconds": 900})
        assert (200, None) == (reply.status, reply.header("idempotent-replay"))
        assert {"holdId": hold_id, "amount": "10.00", "expiresAt": reply.data["expiresAt"]} == reply.data
        assert now + 900_000_000 == _micros(reply.data["expiresAt"])
        end = inputs.format_time(now + 3_600_000_000)
        for is_replay in (None, "true"):
            reply = await client.post(url, seeds.service_key, {"expiresAt": end})
            assert (end, is_replay) == (reply.data["expiresAt"], reply.header("idempotent-replay"))
        # It never ends sooner.
        reply = await client.post(url, seeds.service_key, {"ttlSeconds": 1})
        assert (end, "true") == (reply.data["expiresAt"], reply.header("idempotent-replay"))
    with later(farebox, seconds=3600):
        await _expiry(farebox).sweep()
        assert ("100.00", "10.00", "90.00") == await _balances(client, seeds)
        assert 200 == (await _end(client, seeds, hold_id, "capture")).status
    assert ("90.00", "0.00", "90.00") == await _balances(client, seeds)
    await _check_books(farebox, seeds)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 422, "invalid_value"),
        ({"ttlSeconds": 5, "expiresAt": "2100-01-01T00:00:00Z"}, 422, "invalid_value"),
        ({"ttlSeconds": 0}, 422, "invalid_value"),
        ({"ttlSeconds": TTL_SECONDS_MAX + 1}, 422, "invalid_value"),
        ({"ttlSeconds": "60"}, 422, "invalid_value"),
        ({"expiresAt": "tomorrow"}, 422, "invalid_value"),
        ({"expiresAt": "2100-01-01T00:00:00Z"}, 422, "hold_end_out_of_bounds"),
        ({"ttl": 5}, 400, "malformed_request"),
    ],
)
async def test_an_extension_that_makes_no_sense_changes_nothing(
    farebox: Farebox, client: AppClient, fields: dict[str, object], status: int, code: str
) -> None:
    seeds = await seed(farebox)
    hold_id = await _held(client, seeds)
    before = (await client.get(HOLDS, seeds.merchant_key)).data
    reply = await client.post(f"{HOLDS}/{hold_id}/extend", seeds.service_key, fields)
    assert (status, code) == (reply.status, reply.code)
    assert before == (await client.get(HOLDS, seeds.merchant_key)).data


async def test_a_hold_that_has_ended_is_not_extended(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    captured, released, over = [await _held(client, seeds) for _ in range(3)]
    await _end(client, seeds, captured, "capture")
    await _end(client, seeds, released, "release")
    with later(farebox, seconds=TTL_SECONDS_DEFAULT + 1):
        for hold_id, code in (
            (captured, "hold_already_captured"),
            (released, "hold_already_released"),
            (over, "hold_expired"),
            ("hold_0000000000000000000002", "hold_not_found"),
            ("nonsense", "hold_not_found"),
        ):
            reply = await client.post(f"{HOLDS}/{hold_id}/extend", seeds.service_key, {"ttlSeconds": 60})
            assert code == reply.code
        reply = await client.post(f"{HOLDS}/{over}/extend", seeds.merchant_key, {"ttlSeconds": 60})
        assert 403 == reply.status


async def test_support_releases_and_extends_by_its_role_and_says_why(farebox: Farebox, client: AppClient) -> None:
    seeds = await seed(farebox)
    create = farebox.services.merchants.create_key
    keys = {
        role: (await create(KeyKind.SUPPORT, name=role.name or "", roles=role)).text
        for role in (StaffRole.SUPPORT, StaffRole.VIEWER, StaffRole.ADMINISTRATOR)
    }
    hold_id = await _held(client, seeds)
    release = {"idempotencyKey": _key(), "reason": "Its service is gone"}
    for role in (StaffRole.VIEWER, StaffRole.ADMINISTRATOR):
        for how, body in (("release", release), ("extend", {"ttlSeconds": 3600})):
            reply = await client.post(f"{HOLDS}/{hold_id}/{how}", keys[role], body)
            assert (403, "forbidden") == (reply.status, reply.code)
            assert "needs the role support" in reply.message
    key = keys[StaffRole.SUPPORT]
    assert 200 == (await client.post(f"{HOLDS}/{hold_id}/extend", key, {"ttlSeconds": 3600})).status
    reply = await client.post(f"{HOLDS}/{hold_id}/release", key, {"idempotencyKey": _key()})
    assert (422, "invalid_value") == (reply.status, reply.code)
    assert reply.message.startswith("reason: ")
    first, again = [await client.post(f"{HOLDS}/{hold_id}/release", key, release) for _ in range(2)]
    assert (200, "10.00", "100.00") == (first.status, first.data["released"], first.data["available"])
    assert (first.data, "true") == (again.data, again.header("idempotent-replay"))
    (transfer, *_) = (await client.get("/api/transfers?kind=release", seeds.merchant_key)).data["transfers"]
    assert ("release", "Its service is gone") == (transfer["kind"], transfer["note"])
    audit = (await client.get(f"/api/admin/audit?merchant={seeds.merchant}", key)).data["entries"]
    assert ["release_hold", "extend_hold"] == [entry["action"] for entry in audit]
    await _check_books(farebox, seeds)
