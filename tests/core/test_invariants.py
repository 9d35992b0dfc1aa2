"""Each check before a write and after a read refuses loudly."""

from typing import Any

import pytest

from farebox.core.accounts import Account
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.holds import Hold, HoldState
from farebox.core.invariants import (
    InvariantViolation,
    account_faults,
    check_account,
    check_grant,
    check_hold,
    grant_faults,
    hold_faults,
)
from farebox.core.money import BALANCE_MICROS_MAX
from farebox.core.thresholds import Threshold


def account(**fields: Any) -> Account:
    return Account(7, "USD", **fields)


SOUND = [
    account(),
    account(wallet=5, held=4, revenue=3, funding=-12),
    account(wallet=-5, revenue=5, credit_limit=5),
    account(adjustments=5, wallet=-5, credit_limit=9),
    account(wallet=BALANCE_MICROS_MAX, funding=-BALANCE_MICROS_MAX),
    account(wallet=4, given=9, promotions=-9, revenue=5, credit_limit=5),
    account(wallet=9, held=1, funding=-10, thresholds=(Threshold(10, True), Threshold(11, False))),
]


@pytest.mark.parametrize("good", SOUND)
def test_a_sound_account_passes(good: Account) -> None:
    check_account(good)


BROKEN = [
    (account(wallet=1), "the book's six accounts do not sum to zero"),
    (account(wallet=-6, revenue=6, credit_limit=5), "the paid money in the wallet is below the credit limit"),
    (account(wallet=4, promotions=-4, given=5), "the paid money in the wallet is below the credit limit"),
    (account(promotions=1, wallet=-1, credit_limit=1), "more given credit ended than was given"),
    (account(given=-1), "more given credit was spent than there is"),
    (account(owed=-1), "more was paid of what is owed than is owed"),
    (account(held=-1, wallet=1), "held is negative"),
    (account(revenue=-1, wallet=1), "more was refunded than was charged"),
    (account(funding=1, wallet=-1, credit_limit=1), "more was reversed than was topped up"),
    (account(credit_limit=-1, wallet=1, funding=-1), "the credit limit is negative"),
    (account(wallet=BALANCE_MICROS_MAX + 1, funding=-BALANCE_MICROS_MAX - 1), "a balance is beyond the largest"),
    (account(revenue=5, adjustments=-5, thresholds=tuple(Threshold(n, False) for n in range(6))), "more thresholds"),
    (account(wallet=9, funding=-9, thresholds=(Threshold(10, True),)), "the threshold 10 is armed above the posted"),
]


@pytest.mark.parametrize(("bad", "fault"), BROKEN)
def test_a_broken_account_is_refused_by_merchant_and_fault(bad: Account, fault: str) -> None:
    assert 1 == len(account_faults(bad))
    with pytest.raises(InvariantViolation, match=f"^merchant 7: .*{fault}"):
        check_account(bad)


def test_all_faults_are_named() -> None:
    with pytest.raises(InvariantViolation, match=r"sum to zero; .*credit limit; held is negative"):
        check_account(account(wallet=-1, held=-1))


@pytest.mark.parametrize(
    "good",
    [
        Hold(7, 1, 10, 0),
        Hold(7, 1, 10, 0, HoldState.CAPTURED, 1),
        Hold(7, 1, 10, 0, HoldState.CAPTURED, 10),
        Hold(7, 1, 10, 0, HoldState.RELEASED),
        Hold(7, 1, 10, 0, HoldState.EXPIRED),
    ],
)
def test_a_sound_hold_passes(good: Hold) -> None:
    check_hold(good)


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (Hold(7, 1, -1, 0), "a hold's amount is negative; more was captured than was held"),
        (Hold(7, 1, 10, 0, HoldState.CAPTURED, 11), "more was captured than was held"),
        (Hold(7, 1, 10, 0, HoldState.HELD, -1), "more was captured than was held"),
        (Hold(7, 1, 10, 0, HoldState.RELEASED, 10), "a hold has a captured amount without being captured"),
    ],
)
def test_a_broken_hold_is_refused_by_name(bad: Hold, fault: str) -> None:
    assert hold_faults(bad)
    with pytest.raises(InvariantViolation, match=f"^hold_000000000000700000001: .*{fault}"):
        check_hold(bad)


def grant(**fields: Any) -> Grant:
    given: dict[str, Any] = {"starts_at": 5, "expires_at": 9, "transfer_seq": 3, **fields}
    return Grant(7, 1, given.pop("amount", 10), given.pop("left", 10), "REF", "trial", "grant REF", bytes(8), **given)


@pytest.mark.parametrize(
    "good",
    [
        grant(),
        grant(left=0, expires_at=None),
        grant(left=0, state=GrantState.WAITING, transfer_seq=None),
        grant(left=0, state=GrantState.ENDED, ended_at=9),
        grant(left=0, state=GrantState.ENDED, ended_at=6, transfer_seq=None),
    ],
)
def test_a_sound_grant_passes(good: Grant) -> None:
    check_grant(good)


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (grant(amount=0, left=0), "a grant's amount is not above zero"),
        (grant(left=11), "more of a grant is left than was given"),
        (grant(left=-1), "more of a grant is left than was given, or less than nothing"),
        (grant(state=GrantState.ENDED, ended_at=9), "something is left of a grant that is not open"),
        (grant(state=GrantState.WAITING, transfer_seq=None), "something is left of a grant that is not open"),
        (grant(expires_at=5), "a grant ends before it starts"),
        (grant(ended_at=9), "a grant that has ended has no end, or one that has not has one"),
        (grant(left=0, state=GrantState.ENDED), "a grant that has ended has no end"),
        (grant(transfer_seq=None), "a grant is open that no transfer brought"),
    ],
)
def test_a_broken_grant_is_refused_by_name(bad: Grant, fault: str) -> None:
    assert 1 == len(grant_faults(bad))
    with pytest.raises(InvariantViolation, match=f"^grant_000000000000700000001: {fault}"):
        check_grant(bad)
