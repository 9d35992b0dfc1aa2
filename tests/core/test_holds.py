"""Holds end once, refunds and reversals come to no more than was taken."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.accounts import Kind
from farebox.core.batch import captures
from farebox.core.batch.captures import Captured
from farebox.core.commands import (
    Actor,
    CaptureHold,
    Command,
    ExpireHold,
    ExtendHold,
    Refund,
    ReleaseHold,
    ReverseTopUp,
)
from farebox.core.holds import Hold, HoldState
from farebox.core.outcomes import Code, Outcome
from farebox.core.transfers import Transfer
from tests.support.ledger import ANN, NOW, SECOND, UNIT, MemoryLedger, balances, charge, hold, top_up
from tests.support.memory import at_once

# Holds.


def test_a_hold_lasts_as_long_as_asked_and_15_minutes_if_not() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5))
    first, second = ledger.run(hold(1, "one"), hold(1, "two", ttl_seconds=60))
    assert Hold(ANN, 2, UNIT, NOW + 900 * SECOND, request_type="image") == first.hold
    assert Hold(ANN, 3, UNIT, NOW + 60 * SECOND, request_type="image") == second.hold


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_a_partial_capture_gives_the_rest_back_in_the_same_decision(is_one_batch: bool) -> None:
    ledger = MemoryLedger()
    commands: tuple[Command, ...] = (
        top_up(10),
        hold(8, reference="R-1"),
        CaptureHold(ANN, 2, "capture", 3 * UNIT, "R-2"),
    )
    outcome = ledger.run(*commands)[2] if is_one_batch else [ledger.run(command)[0] for command in commands][2]
    capture, rest = at_once(ledger.stores.transfers.page(ANN, first_seq=3, last_seq=9, limit=9, newest_first=False))
    assert capture == outcome.transfer
    assert (Kind.CAPTURE, 3 * UNIT, 2, "R-2") == (capture.kind, capture.amount, capture.refers_to, capture.reference)
    assert (3, UNIT) == (capture.quantity, capture.unit_price)
    assert (Kind.RELEASE, 5 * UNIT, 2, None) == (rest.kind, rest.amount, rest.refers_to, rest.reference)
    assert {"wallet": 7, "revenue": 3, "funding": -10} == balances(ledger.ann)
    assert outcome.hold == Hold(ANN, 2, 8 * UNIT, NOW + 900 * SECOND, HoldState.CAPTURED, 3 * UNIT, 8, "image")
    assert [outcome.hold] == ledger.rows()["holds"]


@given(st.integers(1, 50), st.integers(1, 50 * UNIT))
def test_a_capture_by_amount_counts_the_fewest_requests_that_cover_it(quantity: int, amount: int) -> None:
    held = Hold(ANN, 2, quantity * UNIT, NOW, quantity=quantity, request_type="image")
    made_by = Transfer(ANN, 2, Kind.HOLD, held.amount, "hold", bytes(8), 0, 0, NOW, b"", "image", quantity, UNIT, 1)
    taken = captures.captured(held, CaptureHold(ANN, 2, "capture", amount), made_by, None, "USD")
    if amount > held.amount:
        assert isinstance(taken, Outcome)
        return
    assert isinstance(taken, Captured)
    assert (amount, None) == (taken.of_hold.amount, taken.above)
    assert (taken.of_hold.quantity - 1) * UNIT < amount <= taken.of_hold.quantity * UNIT


ENDS: Final[dict[HoldState, Command]] = {
    HoldState.CAPTURED: CaptureHold(ANN, 2, "first capture"),
    HoldState.RELEASED: ReleaseHold(ANN, 2, "first release"),
    HoldState.EXPIRED: ExpireHold(ANN, 2),
}
REFUSED_AFTER: Final = {
    HoldState.CAPTURED: Code.HOLD_ALREADY_CAPTURED,
    HoldState.RELEASED: Code.HOLD_ALREADY_RELEASED,
    HoldState.EXPIRED: Code.HOLD_EXPIRED,
}


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize("second", [CaptureHold(ANN, 2, "second"), ReleaseHold(ANN, 2, "second"), ExpireHold(ANN, 2)])
@pytest.mark.parametrize("end", ENDS)
def test_of_two_ends_of_a_hold_the_first_wins(end: HoldState, second: Command, is_one_batch: bool) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8, ttl_seconds=1))
    if end is HoldState.EXPIRED:
        ledger.now += SECOND
    if is_one_batch:
        first, late = ledger.run(ENDS[end], second)
    else:
        first, late = ledger.run(ENDS[end])[0], ledger.run(second)[0]
    assert first.hold is not None
    assert (Code.OK, end) == (first.code, first.hold.state)
    is_same = end is HoldState.EXPIRED and isinstance(second, ExpireHold)
    assert (Code.OK if is_same else REFUSED_AFTER[end], is_same) == (late.code, late.is_replay)
    assert (3, 0) == (ledger.ann.seq, ledger.ann.held)


@pytest.mark.parametrize("command", [CaptureHold(ANN, 2, "late"), ReleaseHold(ANN, 2, "late")])
def test_a_hold_is_over_at_its_time_even_before_it_is_swept(command: Command) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8, ttl_seconds=1))
    ledger.now += SECOND
    assert Code.HOLD_EXPIRED is ledger.code(command)
    assert Code.OK is ledger.code(ExpireHold(ANN, 2))
    assert {"wallet": 10, "funding": -10} == balances(ledger.ann)


def extend(seconds: float) -> ExtendHold:
    """Let the hold of seq 2 last so long, counted from the first moment."""
    return ExtendHold(ANN, 2, NOW + int(seconds * SECOND))


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_an_extended_hold_lasts_until_its_new_end_and_not_a_microsecond_longer(is_one_batch: bool) -> None:
    ledger = MemoryLedger()
    commands = (top_up(10), hold(8, ttl_seconds=1), extend(60))
    extended = ledger.run(*commands)[2] if is_one_batch else [ledger.run(command)[0] for command in commands][2]
    assert (
        Outcome(Code.OK, hold=Hold(ANN, 2, 8 * UNIT, NOW + 60 * SECOND, quantity=8, request_type="image")) == extended
    )
    assert [extended.hold] == ledger.rows()["holds"]
    assert (2, 8 * UNIT) == (ledger.ann.seq, ledger.ann.held)
    ledger.now += 60 * SECOND - 1
    assert Code.HOLD_NOT_DUE is ledger.code(ExpireHold(ANN, 2))
    ledger.now += 1
    assert Code.HOLD_EXPIRED is ledger.code(extend(90))
    assert Code.OK is ledger.code(ExpireHold(ANN, 2))
    assert Code.HOLD_EXPIRED is ledger.code(extend(90))


@given(st.lists(st.integers(-5, 7 * 24 * 3600), max_size=5))
def test_a_hold_lasts_until_the_latest_of_its_ends_in_whichever_order_they_came(ends: list[int]) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8, ttl_seconds=60))
    outcomes = ledger.run(*map(extend, ends))
    (held,) = ledger.rows()["holds"]
    assert NOW + max([60, *ends]) * SECOND == held.expires_at
    assert {Code.OK} >= {outcome.code for outcome in outcomes}
    assert [end <= max([60, *ends[:place]]) for place, end in enumerate(ends)] == [
        outcome.is_replay for outcome in outcomes
    ]


def test_a_hold_is_extended_again_and_again_but_never_beyond_a_week_from_now() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8))
    week = 7 * 24 * 3600
    for weeks in range(4):
        assert Code.HOLD_END_OUT_OF_BOUNDS is ledger.code(extend((weeks + 1) * week + 1e-6))
        assert Code.OK is ledger.code(extend((weeks + 1) * week))
        ledger.now += week * SECOND - 1
        # The clock is a microsecond behind, and what was allowed is no more asked for than it was.
        assert Code.OK is ledger.code(extend((weeks + 1) * week))
        ledger.now += 1 - SECOND
        ledger.run(extend((weeks + 2) * week - 1))
        ledger.now += SECOND


def test_a_release_by_hand_keeps_its_reason_on_the_transfer_and_is_done_once() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8))
    command = ReleaseHold(ANN, 2, "release", "R-1", actor=Actor(7, "sam"), note="The service is gone")
    first, again = ledger.run(command, command)
    assert first.transfer is not None
    assert (Kind.RELEASE, "R-1", "The service is gone") == (
        first.transfer.kind,
        first.transfer.reference,
        first.transfer.note,
    )
    assert (True, first.transfer) == (again.is_replay, again.transfer)
    ((entry,),) = (ledger.rows()["audit_entries"],)
    assert ("sam", "release_hold", first.transfer.id) == (entry.actor, entry.action, entry.subject)
    assert "release of 8.00 USD, R-1, The service is gone" == entry.detail


def test_an_extension_by_hand_is_in_the_audit_log_once() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8))
    for number in (7, 8):
        ledger.run(ExtendHold(ANN, 2, NOW + 3600 * SECOND, actor=Actor(number, "sam")))
    (entry,) = ledger.rows()["audit_entries"]
    assert (7, "extend_hold", ledger.rows()["holds"][0].id) == (entry.entry_id, entry.action, entry.subject)
    assert entry.detail.startswith("8.00 USD until 20")


def test_a_hold_is_not_expired_before_its_time() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8, ttl_seconds=1))
    ledger.now += SECOND - 1
    assert Code.HOLD_NOT_DUE is ledger.code(ExpireHold(ANN, 2))
    assert Code.OK is ledger.code(CaptureHold(ANN, 2, "in time"))


@pytest.mark.parametrize("command", [CaptureHold(ANN, 1, "k"), ReleaseHold(ANN, 1, "k"), ExpireHold(ANN, 1)])
def test_a_transfer_that_is_no_hold_is_no_hold(command: Command) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10))
    assert Code.HOLD_NOT_FOUND is ledger.code(command)


# Refunds and reversals.


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize("original", [(charge(8),), (hold(9), CaptureHold(ANN, 2, "capture", 8 * UNIT))])
def test_refunds_come_to_what_was_taken_and_no_more(original: tuple[Command, ...], is_one_batch: bool) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10))
    seq = 1 + len(original)
    refunds = [
        Refund(ANN, seq, "one", 3 * UNIT),
        Refund(ANN, seq, "two", 4 * UNIT),
        Refund(ANN, seq, "too much", 2 * UNIT),
        Refund(ANN, seq, "the rest"),
        Refund(ANN, seq, "nothing left"),
        Refund(ANN, seq, "nothing left of it", 1),
    ]
    if is_one_batch:
        outcomes = ledger.run(*original, *refunds)[len(original) :]
    else:
        ledger.run(*original)
        outcomes = [ledger.run(refund)[0] for refund in refunds]
    over = Code.REFUND_EXCEEDS_TRANSFER
    assert [Code.OK, Code.OK, over, Code.OK, over, over] == [outcome.code for outcome in outcomes]
    assert outcomes[3].transfer is not None
    assert UNIT == outcomes[3].transfer.amount
    assert {"wallet": 10, "funding": -10} == balances(ledger.ann)


def test_reversals_come_to_the_top_up_and_no_more() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), top_up(10, "INV-2"))
    outcomes = ledger.run(
        ReverseTopUp(ANN, 1, "one", "bounced", 4 * UNIT),
        ReverseTopUp(ANN, 1, "too much", "bounced", 7 * UNIT),
        ReverseTopUp(ANN, 1, "the rest", "bounced"),
        ReverseTopUp(ANN, 1, "nothing left", "bounced"),
    )
    over = Code.REVERSAL_EXCEEDS_TOP_UP
    assert [Code.OK, over, Code.OK, over] == [outcome.code for outcome in outcomes]
    assert {"wallet": 10, "funding": -10} == balances(ledger.ann)
