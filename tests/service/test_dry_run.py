"""A dry run of what people do by hand: it comes to what the action comes to, and changes nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.outcomes import Code, Outcome
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.errors import InvalidInput, Missing
from farebox.service.people.api_keys import Principal
from farebox.web.schemas.spending import ChargeRequest
from tests.support.server import Seeds, open_farebox, seed

Action = Callable[..., Awaitable[Outcome]]

SAM = Principal("sam@farebox.example", roles=EVERY_ROLE)
TESS = Principal("tess@farebox.example", roles=EVERY_ROLE)
TOP_UP = 1
CHARGE = 2


@pytest.fixture
async def farebox(database_url: str) -> AsyncIterator[Farebox]:
    """The parts, running over each engine in turn."""
    async with open_farebox(database_url) as farebox:
        yield farebox


async def _seeds(farebox: Farebox) -> Seeds:
    """Seed 100.00, of which 10.00 are spent."""
    seeds = await seed(farebox)
    outcome = await farebox.services.operations.charge(
        ChargeRequest(seeds.merchant, "image", "charge", quantity=1000), caller=None
    )
    assert outcome.is_ok
    return seeds


def _actions(farebox: Farebox, seeds: Seeds) -> dict[str, Callable[..., Awaitable[Outcome]]]:
    """All that has a dry run, each as it is asked for with these values."""
    operations, number = farebox.services.operations, seeds.merchant_id

    def transfer(seq: int) -> str:
        return ids.book_id(ids.TRANSFER, merchant_id=number, seq=seq)

    def refund(amount: str | None, **more: Any) -> Awaitable[Outcome]:
        fields: dict[str, Any] = {"idempotency_key": "refund", "reference": None, "note": None, "caller": None}
        return operations.refund(transfer(CHARGE), amount=amount, **fields, principal=SAM, **more)

    def reverse(amount: str | None, **more: Any) -> Awaitable[Outcome]:
        fields: dict[str, Any] = {"transfer": transfer(TOP_UP), "reference": "R", "reason": "r"}
        return operations.reverse_top_up(number, amount=amount, **fields, principal=SAM, **more)

    return {
        "top_up": lambda amount, **more: operations.top_up(
            number, amount=amount, reference="R", note=None, principal=SAM, **more
        ),
        "adjust": lambda amount, **more: operations.adjust(
            number, amount=amount, reference="R", reason="r", principal=SAM, **more
        ),
        "refund": refund,
        "reverse_top_up": reverse,
        "set_credit_limit": lambda amount, **more: operations.set_credit_limit(number, amount, principal=SAM, **more),
        "set_frozen": lambda amount, **more: operations.set_frozen(
            number, is_frozen=amount == "frozen", principal=SAM, **more
        ),
    }


async def _state(farebox: Farebox, seeds: Seeds) -> tuple[object, ...]:
    """Everything that an action might change."""
    stores = farebox.stores
    book = await stores.transfers.page(seeds.merchant_id, first_seq=1, last_seq=99, limit=99, newest_first=False)
    approvals = await stores.approvals.list(merchant_id=seeds.merchant_id, before=ids.NUMBER_MAX, limit=9)
    entries, _ = await farebox.services.audit_log.page(merchant_id=seeds.merchant_id, cursor=None, limit=99)
    return (await stores.accounts.find(seeds.merchant_id), *book, *approvals, *entries)


def _told(outcome: Outcome) -> tuple[object, ...]:
    """What an outcome tells, but for the moment and what is drawn anew."""
    transfer, approval = outcome.transfer, outcome.approval
    return (
        outcome.code,
        outcome.message,
        outcome.is_replay,
        transfer and (transfer.kind, transfer.amount, transfer.wallet_after, transfer.seq),
        approval and (approval.kind, approval.amount, approval.reference, approval.state),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_up", "5"),
        ("top_up", "1000000000000"),
        ("adjust", "5"),
        ("adjust", "-5"),
        ("adjust", "-90.000001"),
        ("refund", None),
        ("refund", "4"),
        ("refund", "10.01"),
        ("reverse_top_up", None),
        ("reverse_top_up", "40"),
        ("reverse_top_up", "100.01"),
        ("set_credit_limit", "25"),
        ("set_frozen", "frozen"),
        ("set_frozen", "thawed"),
    ],
)
async def test_a_dry_run_comes_to_what_the_action_comes_to(farebox: Farebox, name: str, value: str | None) -> None:
    seeds = await _seeds(farebox)
    action = _actions(farebox, seeds)[name]
    for _ in range(2):
        before = await _state(farebox, seeds)
        would = await action(value, is_dry_run=True)
        assert before == await _state(farebox, seeds)
        # Again it is a replay, if it went through.
        assert _told(await action(value)) == _told(would)


async def test_what_is_not_valid_is_told_by_a_dry_run_too(farebox: Farebox) -> None:
    seeds = await _seeds(farebox)
    actions = _actions(farebox, seeds)
    for name in set(actions) - {"set_frozen"}:
        with pytest.raises(InvalidInput):
            await actions[name]("five", is_dry_run=True)


async def test_the_dry_run_of_an_approval_comes_to_what_it_comes_to(farebox: Farebox) -> None:
    seeds = await _seeds(farebox)
    operations, approvals = farebox.services.operations, farebox.services.approvals
    outcome = await operations.top_up(
        seeds.merchant_id, amount="100000", reference="BIG", note=None, principal=SAM, is_dry_run=True
    )
    assert outcome.approval is None, "nothing needs an approval here"
    with pytest.raises(Missing):
        await approvals.find(seeds.merchant_id, 1)
    missing = await approvals.approve(seeds.merchant_id, 1, principal=TESS, is_dry_run=True)
    assert Code.APPROVAL_NOT_FOUND is missing.code
