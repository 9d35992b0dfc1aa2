"""The audit log has an entry for each action of an actor, and for nothing else."""

from typing import Final

import pytest
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.audit_log import Action, AuditEntry, audit_entry
from farebox.core.commands import (
    Actor,
    Adjust,
    Approve,
    Caller,
    Command,
    EndGrant,
    ExtendHold,
    GiveCredit,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.decide import decide
from farebox.core.permissions import ALLOWED_KEYS
from farebox.core.state import Decision, reads
from farebox.service.inputs import format_time
from tests.support.ledger import ANN, BY_BEN, NOW, SECOND, UNIT, MemoryLedger, add_staff, charge, digest, hold, top_up
from tests.support.memory import at_once

HERE: Final = Actor(77, "ann", 5, "203.0.113.7", login_id=501)
THEIRS: Final = Actor(1, "ben")
MERCHANT: Final = ids.public_id(ids.MERCHANT, ANN)


def transfer_id(seq: int) -> str:
    return ids.book_id(ids.TRANSFER, merchant_id=ANN, seq=seq)


def by(actor: Actor | None, command: Command) -> Command:
    """The same command, asked for by this hand."""
    if isinstance(command, RequestApproval | Approve):
        return replace(command, move=replace(command.move, actor=actor))
    return replace(command, actor=actor)


def ledger() -> MemoryLedger:
    """A top-up, a charge, and two requests that wait."""
    made = MemoryLedger()
    at_once(add_staff(made.stores))
    requests = [RequestApproval(PAYMENT, 7), RequestApproval(CORRECTION, 8)]
    made.run(top_up(50), charge(9), *[by(BY_BEN, request) for request in requests])
    return made


def decided(on: MemoryLedger, *commands: Command) -> Decision:
    return decide(on.load(reads(commands, on.now)), commands, on.now)


PAYMENT: Final = TopUp(ANN, 9 * UNIT, "W-1", "wire", actor=THEIRS)
CORRECTION: Final = Adjust(ANN, UNIT // 4, False, "C-1", "mistake", actor=THEIRS)
REQUEST: Final = ids.public_id(ids.APPROVAL, 9)

ACTIONS: Final[dict[str, tuple[Command, str, str, str]]] = {
    "refund": (Refund(ANN, 2, "key", UNIT, "R-1", "sorry"), "refund", transfer_id(3), "refund of 1.00 USD, R-1, sorry"),
    "refund of all": (Refund(ANN, 2, "key"), "refund", transfer_id(3), "refund of 9.00 USD"),
    "top-up": (TopUp(ANN, 1234 * UNIT, "R-1"), "top_up", transfer_id(3), "top_up of 1,234.00 USD, R-1"),
    "reversal": (
        *(ReverseTopUp(ANN, 1, "R-1", "bounced", 3 * UNIT), "top_up_reversal"),
        *(transfer_id(3), "top_up_reversal of 3.00 USD, R-1, bounced"),
    ),
    "credit": (
        *(Adjust(ANN, UNIT, True, "R-1", "gift"), "adjustment"),
        *(transfer_id(3), "adjustment of 1.00 USD, R-1, gift"),
    ),
    "debit": (
        *(Adjust(ANN, UNIT, False, "R-1", "mistake"), "adjustment"),
        *(transfer_id(3), "adjustment of -1.00 USD, R-1, mistake"),
    ),
    "thresholds": (
        *(SetThresholds(ANN, (20 * UNIT, 5 * UNIT, 20 * UNIT)), "set_thresholds"),
        *(MERCHANT, "5.00 USD, 20.00 USD"),
    ),
    "no thresholds": (SetThresholds(ANN, ()), "set_thresholds", MERCHANT, "none"),
    "credit limit": (SetCreditLimit(ANN, 3 * UNIT // 2), "set_credit_limit", MERCHANT, "from 0.00 USD to 1.50 USD"),
    "freeze": (SetFrozen(ANN, True), "set_frozen", MERCHANT, "frozen"),
    "thaw": (SetFrozen(ANN, False), "set_frozen", MERCHANT, "active"),
    "request": (
        *(RequestApproval(Adjust(ANN, UNIT, False, "R-1", "mistake"), 9), "request_approval"),
        *(REQUEST, "adjustment of -1.00 USD, R-1, mistake"),
    ),
    "approval": (Approve(PAYMENT, 7), "approve", transfer_id(3), "top_up of 9.00 USD, W-1, wire"),
    "rejection": (
        *(Reject(ANN, 8), "reject"),
        *(ids.public_id(ids.APPROVAL, 8), "adjustment of -0.25 USD, C-1, mistake"),
    ),
}


@pytest.mark.parametrize("name", ACTIONS)
def test_an_audit_entry_has_actor_action_subject_address_and_time(name: str) -> None:
    command, action, subject, detail = ACTIONS[name]
    decision = decided(ledger(), by(HERE, command))
    assert [AuditEntry(77, ANN, NOW, "ann", 5, "203.0.113.7", action, subject, detail)] == decision.audit_entries


OF_HOLDS: Final[dict[str, tuple[Command, str, str, str]]] = {
    "release": (
        *(ReleaseHold(ANN, 3, "key", "R-1", note="Its service is gone"), "release_hold"),
        *(transfer_id(4), "release of 2.00 USD, R-1, Its service is gone"),
    ),
    "extension": (
        *(ExtendHold(ANN, 3, NOW + 3600 * SECOND), "extend_hold"),
        *(ids.book_id(ids.HOLD, merchant_id=ANN, seq=3), f"2.00 USD until {format_time(NOW + 3600 * SECOND)[:19]}Z"),
    ),
}


@pytest.mark.parametrize("name", OF_HOLDS)
def test_what_is_done_to_a_hold_by_hand_is_logged(name: str) -> None:
    command, action, subject, detail = OF_HOLDS[name]
    made = ledger()
    made.run(hold(2))
    decision = decided(made, by(HERE, command), by(HERE, command))
    assert [AuditEntry(77, ANN, NOW, "ann", 5, "203.0.113.7", action, subject, detail)] == decision.audit_entries


GIVEN: Final = GiveCredit(ANN, 5 * UNIT, "G-1", "trial", expires_at=NOW + 60 * SECOND, types="call image", priority=3)
WAITS: Final = GiveCredit(ANN, 6 * UNIT, "G-2", "spring", starts_at=NOW + 9 * SECOND)
TERMS: Final = f"until {format_time(NOW + 60 * SECOND)[:19]}Z, for call image, priority 3"
LATER: Final = f"from {format_time(NOW + 9 * SECOND)[:19]}Z"


def grant_id(number: int) -> str:
    return ids.book_id(ids.GRANT, merchant_id=ANN, seq=number)


OF_GRANTS: Final[dict[str, tuple[Command, str, str, str]]] = {
    "gift": (
        *(replace(GIVEN, reference="G-3"), "give_credit"),
        *(grant_id(3), f"grant of 5.00 USD, {TERMS}, G-3, trial"),
    ),
    "later gift": (
        *(replace(WAITS, reference="G-3"), "give_credit"),
        *(grant_id(3), f"grant of 6.00 USD, {LATER}, G-3, spring"),
    ),
    "end": (EndGrant(ANN, 1, "mistake"), "end_grant", grant_id(1), "grant_expiry of 5.00 USD, G-1, mistake"),
    "end ahead of the start": (
        *(EndGrant(ANN, 2, "mistake"), "end_grant"),
        *(grant_id(2), "grant_expiry of 0.00 USD, G-2, mistake"),
    ),
    "request": (
        *(RequestApproval(replace(GIVEN, reference="G-3"), 9), "request_approval"),
        *(REQUEST, f"grant of 5.00 USD, {TERMS}, G-3, trial"),
    ),
    "approval": (
        *(Approve(replace(WAITS, reference="G-4", actor=THEIRS), 10), "approve"),
        *(grant_id(3), f"grant of 6.00 USD, {LATER}, G-4, spring"),
    ),
}


@pytest.mark.parametrize("name", OF_GRANTS)
def test_what_is_done_about_given_credit_is_logged(name: str) -> None:
    command, action, subject, detail = OF_GRANTS[name]
    made = ledger()
    made.run(GIVEN, WAITS, charge(1, "given"), by(BY_BEN, RequestApproval(replace(WAITS, reference="G-4"), 10)))
    decision = decided(made, by(HERE, command), by(HERE, command))
    assert [AuditEntry(77, ANN, NOW, "ann", 5, "203.0.113.7", action, subject, detail)] == decision.audit_entries


def test_every_command_that_has_an_actor_is_logged() -> None:
    kinds: set[type[Command]] = {*ALLOWED_KEYS, RequestApproval}
    with_actor = {kind for kind in kinds if {"actor", "move"} & set(kind.__struct_fields__)}
    assert with_actor == {
        SetClosed,
        *(type(command) for command, *_ in (*ACTIONS.values(), *OF_HOLDS.values(), *OF_GRANTS.values())),
    }


@pytest.mark.parametrize("name", ACTIONS)
def test_a_command_without_actor_is_not_logged(name: str) -> None:
    on = ledger()
    decision = decided(on, by(None, ACTIONS[name][0]))
    assert ([True], []) == ([outcome.is_ok for outcome in decision.outcomes], decision.audit_entries)


@pytest.mark.parametrize("name", ACTIONS)
def test_a_refused_command_is_not_logged(name: str) -> None:
    command = by(HERE, ACTIONS[name][0])
    stolen = Caller(digest(99))
    if isinstance(command, RequestApproval | Approve):
        refused: Command = replace(command, move=replace(command.move, caller=stolen))
    else:
        refused = replace(command, caller=stolen)
    decision = decided(ledger(), refused)
    assert ([False], []) == ([outcome.is_ok for outcome in decision.outcomes], decision.audit_entries)


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_closing_is_logged_with_its_reason_and_once(is_closed: bool) -> None:
    made = MemoryLedger()
    made.run(*([] if is_closed else [SetClosed(ANN, True, "gone")]))
    command = SetClosed(ANN, is_closed, "as agreed", actor=HERE)
    decision = decided(made, command, command)
    detail = f"{'closed' if is_closed else 'reopened'}, as agreed"
    assert [AuditEntry(77, ANN, NOW, "ann", 5, "203.0.113.7", "set_closed", MERCHANT, detail)] == decision.audit_entries


SETS: Final = (SetThresholds, SetCreditLimit, SetFrozen)


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if not isinstance(action[0], SETS)])
def test_a_repeated_action_is_logged_once(name: str, is_one_batch: bool) -> None:
    command, again = by(HERE, ACTIONS[name][0]), by(replace(HERE, entry_id=78), ACTIONS[name][0])
    on = ledger()
    outcomes = on.run(command, again) if is_one_batch else [*on.run(command), *on.run(again)]
    assert [(True, False), (True, True)] == [(outcome.is_ok, outcome.is_replay) for outcome in outcomes]
    assert [77] == [item.entry_id for item in on.rows()["audit_entries"] if item.actor == "ann"]


@pytest.mark.parametrize("name", [name for name, action in ACTIONS.items() if isinstance(action[0], SETS)])
def test_setting_a_rule_to_what_it_is_is_logged_again(name: str) -> None:
    """The second audit entry is written though no account has changed."""
    on = ledger()
    on.run(by(THEIRS, ACTIONS[name][0]))
    decision = decided(on, by(HERE, ACTIONS[name][0]))
    assert ([], True) == (decision.accounts, decision.changes_anything)
    assert [77] == [item.entry_id for item in decision.audit_entries]


def test_actions_of_one_batch_are_logged_in_their_order() -> None:
    commands = [by(Actor(number, "ann"), ACTIONS[name][0]) for number, name in enumerate(["freeze", "top-up", "thaw"])]
    found = decided(ledger(), *commands).audit_entries
    assert ["frozen", "top_up of 1,234.00 USD, R-1", "active"] == [item.detail for item in found]


def test_a_credit_limit_is_logged_with_what_it_was_within_a_batch_as_well() -> None:
    commands = [by(Actor(number, "ann"), SetCreditLimit(ANN, number * UNIT)) for number in (1, 2)]
    found = decided(ledger(), *commands).audit_entries
    assert ["from 0.00 USD to 1.00 USD", "from 1.00 USD to 2.00 USD"] == [item.detail for item in found]


def test_amounts_are_logged_in_the_merchants_own_currency() -> None:
    on = MemoryLedger(currency="EUR")
    commands: list[Command] = [SetCreditLimit(ANN, 2 * UNIT), SetThresholds(ANN, (3 * UNIT,)), TopUp(ANN, UNIT, "R-1")]
    found = decided(on, *[by(HERE, command) for command in commands]).audit_entries
    assert ["from 0.00 EUR to 2.00 EUR", "3.00 EUR", "top_up of 1.00 EUR, R-1"] == [item.detail for item in found]


def test_a_action_that_concerns_the_operator_as_a_whole_names_no_merchant() -> None:
    expected = AuditEntry(77, None, NOW, "ann", 5, "203.0.113.7", "set_price", "price_1", "image")
    assert expected == audit_entry(
        HERE, merchant_id=None, at=NOW, action=Action.SET_PRICE, subject="price_1", detail="image"
    )
