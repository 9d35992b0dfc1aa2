"""Commands that are decided once more, as after a COMMIT whose fate is unknown, when others have come in between.

The very command comes again, at its time, and finds what it did: nothing is done twice; what came in between stands.
"""

from typing import Final

import pytest
from msgspec.structs import replace

from farebox.core.approvals import EVERYTHING_WAITS, ApprovalLimits, ApprovalState
from farebox.core.commands import (
    Adjust,
    Approve,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    GiveCredit,
    Payer,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetClosed,
    SetCreditLimit,
    TopUp,
)
from farebox.core.credit.shortfalls import Above
from farebox.core.outcomes import Code
from farebox.storage.stores import Stores
from tests.storage.engines import every_store
from tests.support.ledger import (
    ANN,
    BY_ANN,
    BY_BEN,
    NOW,
    SECOND,
    UNIT,
    add_merchant,
    add_price,
    add_staff,
    do,
    everything,
    faults,
)

RAISE: Final = SetCreditLimit(ANN, 40 * UNIT, actor=BY_ANN)
LOWER: Final = SetCreditLimit(ANN, 10 * UNIT, actor=replace(BY_BEN, entry_id=77))
SMALL: Final = ApprovalLimits(50 * UNIT)
PAID: Final = TopUp(ANN, 9 * UNIT, "R-1", actor=BY_ANN)
HOLD: Final = CreateHold(Payer(ANN), "image", 5, "hold", ttl_seconds=2)
"""The second transfer of the book: the first paid for it."""
GIFT: Final = GiveCredit(ANN, 3 * UNIT, "G-1", "gift", actor=BY_ANN)
REJECT: Final = Reject(ANN, 7, actor=replace(BY_BEN, entry_id=78))

AGAIN: Final[dict[str, tuple[list[Command], Command, list[Command]]]] = {
    "charge": ([], Charge(Payer(ANN), "image", 1, "a"), [Refund(ANN, 2, "b")]),
    "hold": ([], HOLD, [ReleaseHold(ANN, 2, "b")]),
    "capture": ([HOLD], CaptureHold(ANN, 2, "a", 2 * UNIT), [Refund(ANN, 3, "b")]),
    "capture above": ([HOLD], CaptureHold(ANN, 2, "a", quantity=7, above=Above.CHARGE), [Refund(ANN, 4, "b")]),
    "release": ([HOLD], ReleaseHold(ANN, 2, "a"), [Charge(Payer(ANN), "image", 1, "b")]),
    "expiry": ([HOLD], ExpireHold(ANN, 2), [Charge(Payer(ANN), "image", 1, "b")]),
    "refund": ([Charge(Payer(ANN), "image", 2, "c")], Refund(ANN, 2, "a", UNIT), [Refund(ANN, 2, "b", UNIT)]),
    "top-up": ([], PAID, [ReverseTopUp(ANN, 2, "b", "bounced")]),
    "reversal": ([PAID], ReverseTopUp(ANN, 2, "a", "bounced", 4 * UNIT), [ReverseTopUp(ANN, 2, "b", "bounced")]),
    "grant": ([], GIFT, [EndGrant(ANN, 1, "over")]),
    "end of a grant": ([GIFT], EndGrant(ANN, 1, "over", actor=BY_ANN), [replace(GIFT, reference="G-2")]),
    "request of a payment": ([], RequestApproval(PAID, 7), [REJECT]),
    "request of a payment, approved": ([], RequestApproval(PAID, 7), [Approve(replace(PAID, actor=BY_BEN), 7)]),
    "request of a limit, waiting": ([], RequestApproval(RAISE, 7, EVERYTHING_WAITS), [LOWER]),
    "request of a limit": ([], RequestApproval(RAISE, 7, EVERYTHING_WAITS), [REJECT]),
    "request of a limit, approved": (
        *([], RequestApproval(RAISE, 7, EVERYTHING_WAITS)),
        [Approve(replace(RAISE, actor=BY_BEN), 7), LOWER],
    ),
    "request of a limit that one person may set": ([], RequestApproval(RAISE, 7, SMALL), [LOWER]),
    "limit": ([], RAISE, [LOWER]),
    "limit that only lowers": ([LOWER], replace(LOWER, credit_limit=0, actor=BY_ANN), []),
    "closing": (
        [Adjust(ANN, 50 * UNIT, False, "out", "paid out")],
        SetClosed(ANN, True, "gone", actor=BY_ANN),
        [],
    ),
}


@every_store
@pytest.mark.parametrize("name", AGAIN)
async def test_a_command_that_is_decided_once_more_does_nothing_twice(stores: Stores, name: str) -> None:
    before, command, between = AGAIN[name]
    await add_merchant(stores, funds=50)
    await add_price(stores)
    await add_staff(stores)
    await do(stores, *before)
    at = NOW + (2 if isinstance(command, ExpireHold) else 1) * SECOND
    (first,) = await do(stores, command, now=at)
    assert first.is_ok, first
    for outcome in [(await do(stores, one, now=at))[0] for one in between]:
        assert outcome.is_ok, outcome
    then = await everything(stores, [ANN])
    (again,) = await do(stores, command, now=at)
    assert then == await everything(stores, [ANN])
    assert [] == await faults(stores, ANN)
    if first.approval is not None and REJECT in between:
        assert Code.APPROVAL_ALREADY_REJECTED is again.code
    else:
        assert again.is_ok, again
        assert first.transfer in (None, again.transfer)
    if first.approval is not None and again.approval is not None:
        assert again.approval.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
