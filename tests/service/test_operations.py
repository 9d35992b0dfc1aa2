"""Moves of money from texts: each text is checked under its name before anything is asked of the ledger."""

from typing import Any

import pytest

from farebox.core.accounts import Kind
from farebox.core.commands import Caller
from farebox.core.outcomes import Code
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.errors import InvalidInput
from farebox.service.people import api_keys
from farebox.service.people.api_keys import Principal
from farebox.web.schemas.spending import ChargeRequest
from tests.service.conftest import ServiceParts
from tests.support.server import Seeds

UNIT = 1_000_000


def _charge(seeds: Seeds, **fields: Any) -> ChargeRequest:
    return ChargeRequest(**{"merchant": seeds.merchant, "type": "image", "idempotency_key": "k", **fields})


def _caller(text: str) -> Caller:
    key = api_keys.parse_key(text)
    assert key is not None
    return key.caller


async def test_charge_posts_what_it_was_asked_for(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    outcome = await ledger.operations.charge(_charge(seeds, quantity=3, reference="job 7"), caller=None)
    transfer = outcome.transfer
    assert transfer is not None
    assert (Kind.CHARGE, 30_000, "image", 3, 10_000, "k", "job 7") == (
        transfer.kind,
        transfer.amount,
        transfer.request_type,
        transfer.quantity,
        transfer.unit_price,
        transfer.idempotency_key,
        transfer.reference,
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"type": "image!"}, "type"),
        ({"quantity": 0}, "quantity"),
        ({"idempotency_key": "a b"}, "idempotencyKey"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"reference": ""}, "reference"),
        # The values are looked at before it is looked for whom they are.
        ({"quantity": 0, "merchant": "nobody"}, "quantity"),
    ],
)
async def test_charge_names_the_value_that_is_wrong(ledger: ServiceParts, fields: dict[str, Any], named: str) -> None:
    seeds = await ledger.seed()
    with pytest.raises(InvalidInput) as raised:
        await ledger.operations.charge(_charge(seeds, **fields), caller=None)
    assert named == raised.value.field
    assert 0 == ledger.committer.waiting_count


@pytest.mark.parametrize("merchant", ["", "nobody", "mer_0000000000000", "fbm_" + "0" * 39])
async def test_charge_of_nobody_is_refused_alike(ledger: ServiceParts, merchant: str) -> None:
    seeds = await ledger.seed()
    outcome = await ledger.operations.charge(_charge(seeds, merchant=merchant), caller=None)
    assert (Code.MERCHANT_NOT_FOUND, "No merchant has this id or API key") == (outcome.code, outcome.message)


async def test_charge_for_one_merchant_by_the_key_of_another_opens_nothing(ledger: ServiceParts) -> None:
    seeds, other = await ledger.seed(), await ledger.seed()
    forged = seeds.merchant_key[:17] + other.merchant_key[17:]
    assert (
        Code.MERCHANT_NOT_FOUND is (await ledger.operations.charge(_charge(seeds, merchant=forged), caller=None)).code
    )


async def test_same_reference_is_the_same_top_up_once(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance=None)
    first = await ledger.operations.top_up(seeds.merchant_id, amount="5", reference="R", note="wire", principal=None)
    again = await ledger.operations.top_up(seeds.merchant_id, amount="5.00", reference="R", note=None, principal=None)
    other = await ledger.operations.top_up(seeds.merchant_id, amount="6", reference="R", note=None, principal=None)
    assert (False, True, Code.IDEMPOTENCY_CONFLICT) == (first.is_replay, again.is_replay, other.code)
    assert first.transfer == again.transfer


async def test_callers_own_keys_never_meet_those_that_farebox_makes(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance=None)
    await ledger.operations.top_up(seeds.merchant_id, amount="5", reference="k", note=None, principal=None)
    adjusted = await ledger.operations.adjust(
        seeds.merchant_id, amount="1", reference="k", reason="goodwill", principal=None
    )
    charged = await ledger.operations.charge(_charge(seeds, idempotency_key="k"), caller=None)
    assert [(True, False)] * 2 == [(outcome.is_ok, outcome.is_replay) for outcome in (adjusted, charged)]


@pytest.mark.parametrize(
    ("amount", "kind", "left"),
    [("2.5", Kind.ADJUSTMENT_CREDIT, 102_500_000), ("-2.5", Kind.ADJUSTMENT_DEBIT, 97_500_000)],
)
async def test_adjustment_goes_the_way_of_its_sign(ledger: ServiceParts, amount: str, kind: Kind, left: int) -> None:
    seeds = await ledger.seed()
    outcome = await ledger.operations.adjust(
        seeds.merchant_id, amount=amount, reference="A", reason="goodwill", principal=None
    )
    assert outcome.transfer is not None
    assert (kind, 2_500_000, left, "goodwill") == (
        outcome.transfer.kind,
        outcome.transfer.amount,
        outcome.transfer.wallet_after,
        outcome.transfer.note,
    )


@pytest.mark.parametrize("amount", ["--1", "+1", "-", "", "0", "-0", "- 1", "1-"])
async def test_adjustment_of_no_amount_is_refused(ledger: ServiceParts, amount: str) -> None:
    seeds = await ledger.seed()
    with pytest.raises(InvalidInput) as raised:
        await ledger.operations.adjust(
            seeds.merchant_id, amount=amount, reference="A", reason="goodwill", principal=None
        )
    assert "amount" == raised.value.field


async def test_adjustment_takes_no_more_than_there_is(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="1")
    outcome = await ledger.operations.adjust(
        seeds.merchant_id, amount="-1.01", reference="A", reason="error", principal=None
    )
    assert Code.INSUFFICIENT_BALANCE is outcome.code


async def test_credit_limit_is_never_below_what_is_in_use(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance=None, credit_limit="10")
    assert (await ledger.operations.charge(_charge(seeds, type="call", amount="8"), caller=None)).is_ok
    operations, merchant_id = ledger.operations, seeds.merchant_id
    assert Code.CREDIT_LIMIT_IN_USE is (await operations.set_credit_limit(merchant_id, "7.99", principal=None)).code
    assert (await operations.set_credit_limit(merchant_id, "8", principal=None)).is_ok
    account = await ledger.stores.accounts.find(merchant_id)
    assert account is not None
    assert 8 * UNIT == account.credit_limit


async def test_thresholds_are_replaced_as_a_whole(ledger: ServiceParts) -> None:
    seeds = await ledger.seed(balance="100")
    for texts, amounts in ((["5", "50"], [5, 50]), (["7"], [7]), ([], [])):
        assert (await ledger.operations.set_thresholds(seeds.merchant_id, texts, principal=None)).is_ok
        account = await ledger.stores.accounts.find(seeds.merchant_id)
        assert account is not None
        assert [amount * UNIT for amount in amounts] == [threshold.amount for threshold in account.thresholds]


@pytest.mark.parametrize("kind", ["merchant_key", "service_key", "support_key"])
async def test_callers_key_decides_in_the_same_transaction(ledger: ServiceParts, kind: str) -> None:
    seeds = await ledger.seed()
    caller = _caller(getattr(seeds, kind))
    principal = Principal("ann", caller, roles=EVERY_ROLE)
    operations, merchant_id = ledger.operations, seeds.merchant_id
    charged = await operations.charge(_charge(seeds), caller=caller)
    others = [
        await operations.top_up(merchant_id, amount="1", reference="T", note=None, principal=principal),
        await operations.adjust(merchant_id, amount="1", reference="A", reason="goodwill", principal=principal),
        await operations.set_thresholds(merchant_id, ["1"], principal=principal),
        await operations.set_credit_limit(merchant_id, "1", principal=principal),
        await operations.set_frozen(merchant_id, is_frozen=False, principal=principal),
    ]
    assert (Code.OK if kind == "service_key" else Code.FORBIDDEN) is charged.code
    assert {Code.OK if kind == "support_key" else Code.FORBIDDEN} == {outcome.code for outcome in others}


async def test_revoked_caller_is_turned_away_at_once(ledger: ServiceParts) -> None:
    seeds = await ledger.seed()
    caller = _caller(seeds.service_key)
    assert (await ledger.operations.charge(_charge(seeds), caller=caller)).is_ok
    for key in await ledger.merchants.keys(None):
        await ledger.merchants.revoke_key(key.key_id)
    # Not even a retry is answered: it would tell what was charged.
    assert Code.INVALID_API_KEY is (await ledger.operations.charge(_charge(seeds), caller=caller)).code
