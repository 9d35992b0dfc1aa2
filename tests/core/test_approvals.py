"""Moves above the operator's limit: one person asks, another decides, once."""

from typing import Final

import pytest
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.alerts import AlertKind
from farebox.core.approvals import Approval, ApprovalLimits, ApprovalState
from farebox.core.commands import Actor, Adjust, Approve, Command, Reject, RequestApproval, SetFrozen, TopUp
from farebox.core.decide import decide
from farebox.core.outcomes import Code, Outcome
from farebox.core.state import Decision, reads
from farebox.storage.records import Login, Realm
from tests.support.ledger import ANN, BEN, NOW, SECOND, UNIT, MemoryLedger, charge, top_up
from tests.support.memory import at_once

STAFF: Final = ("ann", "ben", "cleo")
BY_ANN, BY_BEN, BY_CLEO = (Actor(number, name, login_id=500 + number) for number, name in enumerate(STAFF, 1))
LATER: Final = NOW + 60 * SECOND

MOVES: Final[dict[str, TopUp | Adjust]] = {
    "top-up": TopUp(ANN, 9 * UNIT, "R-1", "wire", actor=BY_ANN),
    "top-up without a note": TopUp(ANN, 9 * UNIT, "R-1", actor=BY_ANN),
    "credit": Adjust(ANN, 9 * UNIT, True, "R-1", "gift", actor=BY_ANN),
    "debit": Adjust(ANN, 9 * UNIT, False, "R-1", "mistake", actor=BY_ANN),
}
PAYMENT: Final = MOVES["top-up"]
TAKING: Final = MOVES["debit"]
HUGE: Final = ApprovalLimits(10**9 * UNIT)
every_move = pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)


def approve(move: TopUp | Adjust, actor: Actor | None = BY_BEN, number: int = 7) -> Approve:
    return Approve(replace(move, actor=actor), number)


def reject(actor: Actor | None = BY_BEN, number: int = 7) -> Reject:
    return Reject(ANN, number, actor=actor)


def ledger(*moves: TopUp | Adjust) -> MemoryLedger:
    """Some money, and requests that wait, numbered from 7 on; a minute has passed since."""
    made = _opened()
    made.run(top_up(50), *[RequestApproval(move, number) for number, move in enumerate(moves, 7)])
    made.now = LATER
    return made


def _opened() -> MemoryLedger:
    """A ledger with three staff accounts, each a person of its own."""
    made = MemoryLedger()
    for number, name in enumerate(STAFF, 501):
        at_once(made.stores.logins.add(Login(number, Realm.SUPPORT, f"{name}@farebox.example", name, NOW)))
    return made


def stored(on: MemoryLedger, number: int = 7) -> Approval:
    approval = at_once(on.stores.approvals.find(ANN, number))
    assert approval is not None
    return approval


def decided(on: MemoryLedger, *commands: RequestApproval | Approve | Reject) -> Decision:
    return decide(on.load(reads(commands, on.now)), commands, on.now)


@pytest.mark.parametrize(
    ("name", "kind", "note"),
    [
        ("top-up", Kind.TOP_UP, "wire"),
        ("top-up without a note", Kind.TOP_UP, None),
        ("credit", Kind.ADJUSTMENT_CREDIT, "gift"),
        ("debit", Kind.ADJUSTMENT_DEBIT, "mistake"),
    ],
)
def test_a_request_is_written_down_as_it_was_asked_for_and_moves_no_money(
    name: str, kind: Kind, note: str | None
) -> None:
    on, move = _opened(), MOVES[name]
    before = on.ann
    outcome = on.run(RequestApproval(move, 7))[0]
    expected = Approval(
        *(ANN, 7, kind, 9 * UNIT, "R-1", note, move.idempotency_key, move.fingerprint(), "ann", NOW),
        requested_people="501",
    )
    assert Outcome(Code.OK, approval=expected) == outcome
    assert expected == stored(on)
    assert (replace(before, alerts_count=1), []) == (on.ann, on.rows()["transfers"])
    (alert,) = on.rows()["alerts"]
    signed = expected.signed_amount
    assert {"approval_id": 7, "amount": signed, "reference": "R-1"}.items() <= alert.read_facts.items()


@every_move
def test_what_a_second_person_approves_is_the_transfer_that_it_would_have_been_at_once(move: TopUp | Adjust) -> None:
    on, directly = ledger(move), ledger()
    outcome = on.run(approve(move))[0]
    assert directly.move(move) == outcome.transfer
    # That it waited was told, too.
    assert replace(directly.ann, alerts_count=directly.ann.alerts_count + 1) == on.ann
    expected = replace(
        decided(_opened(), RequestApproval(move, 7)).new_approvals[0],
        state=ApprovalState.APPROVED,
        decided_by="ben",
        decided_people="502",
        decided_at=LATER,
        transfer_seq=2,
    )
    assert expected == outcome.approval
    assert expected == stored(on)


@every_move
def test_nobody_approves_what_they_requested(move: TopUp | Adjust) -> None:
    on = ledger(move)
    before = on.rows()
    outcome = on.run(approve(move, BY_ANN))[0]
    assert Code.APPROVAL_NEEDS_ANOTHER_PERSON is outcome.code
    assert "ann requested this" in (outcome.message or "")
    assert before == on.rows()
    assert Code.OK is on.code(approve(move, BY_CLEO))


def test_the_operators_own_machine_is_one_person() -> None:
    """Commands without an actor come from Farebox itself, and have the command line's person behind them."""
    on = ledger(replace(PAYMENT, actor=None))
    assert "farebox" == stored(on).requested_by
    assert Code.APPROVAL_NEEDS_ANOTHER_PERSON is on.code(approve(PAYMENT, None))
    assert Code.APPROVAL_NEEDS_ANOTHER_PERSON is on.code(approve(PAYMENT, Actor(9, "shell:root")))
    assert Code.OK is on.code(approve(PAYMENT))


@pytest.mark.parametrize("actor", [BY_ANN, BY_BEN], ids=["who requested it", "another"])
def test_what_was_rejected_is_never_made(actor: Actor) -> None:
    on = ledger(PAYMENT)
    pending, before = stored(on), on.ann
    outcome = on.run(reject(actor))[0]
    expected = replace(
        pending,
        state=ApprovalState.REJECTED,
        decided_by=actor.name,
        decided_at=LATER,
        decided_people=str(actor.login_id),
    )
    assert Outcome(Code.OK, approval=expected) == outcome
    for command in (approve(PAYMENT, BY_CLEO), approve(PAYMENT, BY_ANN), RequestApproval(PAYMENT, 8)):
        refused = on.run(command)[0]
        assert Code.APPROVAL_ALREADY_REJECTED is refused.code
        assert f"{expected.id} was rejected by {actor.name}" in (refused.message or "")
    assert expected == stored(on)
    assert before == on.ann


def test_what_was_rejected_may_be_requested_under_another_reference() -> None:
    on = ledger(PAYMENT)
    on.run(reject())
    again = replace(PAYMENT, reference="R-2")
    assert Code.OK is on.code(RequestApproval(again, 8))
    assert Code.OK is on.code(approve(again, number=8))
    assert [ApprovalState.REJECTED, ApprovalState.APPROVED] == [stored(on, number).state for number in (7, 8)]


def test_what_was_approved_is_not_rejected_any_more() -> None:
    on = ledger(PAYMENT)
    on.run(approve(PAYMENT))
    before = on.rows()
    outcome = on.run(reject(BY_CLEO))[0]
    assert Code.APPROVAL_ALREADY_APPROVED is outcome.code
    assert stored(on).id in (outcome.message or "")
    assert before == on.rows()


# Retries.


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_a_reference_is_requested_once(is_one_batch: bool) -> None:
    on = ledger()
    commands = [RequestApproval(PAYMENT, 7), RequestApproval(replace(PAYMENT, actor=BY_BEN, note="again"), 8)]
    outcomes = on.run(*commands) if is_one_batch else [outcome for item in commands for outcome in on.run(item)]
    assert [False, True] == [outcome.is_replay for outcome in outcomes]
    assert [stored(on)] * 2 == [outcome.approval for outcome in outcomes]
    assert ("ann", "wire") == (stored(on).requested_by, stored(on).note)
    assert at_once(on.stores.approvals.find(ANN, 8)) is None


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [(PAYMENT, replace(PAYMENT, amount=UNIT)), (TAKING, replace(TAKING, amount=UNIT)), (TAKING, MOVES["credit"])],
    ids=["a top-up of another amount", "an adjustment of another amount", "an adjustment the other way"],
)
def test_a_reference_requested_for_something_else_is_a_conflict_that_names_it(
    first: TopUp | Adjust, second: TopUp | Adjust, is_one_batch: bool
) -> None:
    on = ledger()
    commands = [RequestApproval(first, 7), RequestApproval(second, 8)]
    outcomes = on.run(*commands) if is_one_batch else [outcome for item in commands for outcome in on.run(item)]
    assert [Code.OK, Code.IDEMPOTENCY_CONFLICT] == [outcome.code for outcome in outcomes]
    assert ids.public_id(ids.APPROVAL, 7) in (outcomes[1].message or "")
    assert [stored(on)] == on.rows()["approvals"]


def test_a_top_up_and_an_adjustment_of_one_reference_are_two_requests() -> None:
    on = ledger(PAYMENT, TAKING)
    assert [Code.OK] * 2 == [outcome.code for outcome in on.run(approve(PAYMENT), approve(TAKING, number=8))]
    assert (50 * UNIT, [2, 3]) == (on.ann.wallet, [stored(on, number).transfer_seq for number in (7, 8)])


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize("actor", [BY_ANN, BY_BEN, BY_CLEO], ids=["who asked", "who approved", "a third"])
def test_what_was_approved_is_made_once(actor: Actor, is_one_batch: bool) -> None:
    on = ledger(PAYMENT)
    again: list[Command] = [approve(PAYMENT, actor), RequestApproval(PAYMENT, 8), PAYMENT]
    if is_one_batch:
        first, *rest = on.run(approve(PAYMENT), *again)
    else:
        first, *rest = [outcome for item in [approve(PAYMENT), *again] for outcome in on.run(item)]
    assert [Outcome(Code.OK, first.transfer, is_replay=True)] * 3 == rest
    assert (2, "ben") == (on.ann.seq, stored(on).decided_by)
    assert 1 == len(on.rows()["approvals"])


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_a_request_is_rejected_once(is_one_batch: bool) -> None:
    on = ledger(PAYMENT)
    commands = [reject(BY_BEN), reject(BY_CLEO)]
    outcomes = on.run(*commands) if is_one_batch else [outcome for item in commands for outcome in on.run(item)]
    assert [(False, stored(on)), (True, stored(on))] == [(item.is_replay, item.approval) for item in outcomes]
    assert "ben" == stored(on).decided_by


# What happens meanwhile.


@every_move
def test_a_request_that_waits_has_its_reference_for_itself(move: TopUp | Adjust) -> None:
    on = ledger(move)
    for other in (replace(move, amount=UNIT, actor=BY_CLEO), RequestApproval(replace(move, amount=UNIT), 8, HUGE)):
        outcome = on.run(other)[0]
        assert Code.IDEMPOTENCY_CONFLICT is outcome.code
        assert stored(on).id in (outcome.message or "")
    # The very move is the request again, and is not made beside it.
    for same in (replace(move, actor=BY_CLEO), RequestApproval(replace(move, actor=BY_CLEO), 8, HUGE)):
        assert Outcome(Code.OK, approval=stored(on), is_replay=True) == on.run(same)[0]
    assert (50 * UNIT, 1) == (on.ann.wallet, on.ann.seq)
    assert Code.OK is on.code(approve(move))


def test_a_rejection_frees_the_reference_for_another_move() -> None:
    on = ledger(PAYMENT)
    on.run(reject())
    assert Code.OK is on.code(RequestApproval(replace(PAYMENT, amount=8 * UNIT), 8))
    assert Code.OK is on.code(approve(replace(PAYMENT, amount=8 * UNIT), number=8))
    assert 58 * UNIT == on.ann.wallet
    taking = ledger(PAYMENT)
    taking.run(reject())
    taking.move(replace(PAYMENT, amount=UNIT))
    assert Code.IDEMPOTENCY_CONFLICT is taking.code(RequestApproval(PAYMENT, 8))


def test_an_approval_of_what_can_not_be_made_leaves_the_request_to_be_approved_later() -> None:
    on = ledger(TAKING)
    on.run(charge(45))
    pending = stored(on)
    assert Code.INSUFFICIENT_BALANCE is on.code(approve(TAKING))
    assert pending == stored(on)
    on.run(top_up(4, "INV-2"))
    assert Code.OK is on.code(approve(TAKING))
    assert 0 == on.ann.wallet


def test_a_frozen_merchant_is_paid_what_was_approved() -> None:
    on = ledger(PAYMENT)
    on.run(SetFrozen(ANN, True))
    assert Code.OK is on.code(approve(PAYMENT))


def test_only_what_was_requested_is_approved() -> None:
    on = ledger(PAYMENT, replace(PAYMENT, reference="R-2"))
    others = [
        approve(replace(PAYMENT, amount=UNIT)),
        approve(replace(PAYMENT, reference="R-2")),
        approve(MOVES["credit"]),
        approve(PAYMENT, number=9),
        approve(replace(PAYMENT, merchant_id=BEN)),
    ]
    assert [Code.APPROVAL_NOT_FOUND] * 5 == [outcome.code for outcome in on.run(*others)]
    assert Code.APPROVAL_NOT_FOUND is on.code(Reject(BEN, 7, actor=BY_BEN))
    assert [ApprovalState.PENDING] * 2 == [approval.state for approval in on.rows()["approvals"]]


# The stored approvals.


@pytest.mark.parametrize(
    ("decision", "state"),
    [(approve(PAYMENT), ApprovalState.APPROVED), (reject(), ApprovalState.REJECTED)],
    ids=["approved", "rejected"],
)
def test_what_is_requested_and_decided_in_one_batch_is_one_new_row(
    decision: Approve | Reject, state: ApprovalState
) -> None:
    found = decided(ledger(), RequestApproval(PAYMENT, 7), decision)
    assert ([state], []) == ([item.state for item in found.new_approvals], found.changed_approvals)
    later = decided(ledger(PAYMENT), decision)
    assert ([], [state]) == (later.new_approvals, [item.state for item in later.changed_approvals])


def test_a_request_that_nobody_made_by_hand_is_written_and_told() -> None:
    decision = decided(ledger(), RequestApproval(replace(PAYMENT, actor=None), 7))
    assert ([], True) == (decision.audit_entries, decision.changes_anything)
    assert [AlertKind.APPROVAL_WAITING] == [alert.kind for alert in decision.alerts]
    rejection = decided(ledger(PAYMENT), reject(None))
    assert ([], [], True) == (rejection.accounts, rejection.audit_entries, rejection.changes_anything)
    replay = decided(ledger(PAYMENT), RequestApproval(PAYMENT, 8))
    assert not replay.changes_anything
