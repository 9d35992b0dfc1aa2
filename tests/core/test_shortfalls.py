"""Captures above their holds, charges for which there is too little, and top-ups taken back when they are spent."""

from collections.abc import Callable, Sequence
from typing import Final

import pytest
from msgspec.structs import replace

from farebox.core import chain, ids
from farebox.core.accounts import EFFECTS, GENESIS_HASH, Kind
from farebox.core.commands import (
    Actor,
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    GiveCredit,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    TopUp,
)
from farebox.core.credit.shortfalls import OWED_MAX, Above, Shortfall
from farebox.core.outcomes import Code
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Step, Tier, Tiers
from farebox.core.replaying.books import Replay
from farebox.core.transfers import Transfer
from farebox.presenters.audit_words import audit_words
from tests.core.replays import faults_of, prices_of
from tests.support.ledger import ANN, NOW, SECOND, UNIT, MemoryLedger, add_price, charge, hold, top_up
from tests.support.memory import at_once

COUNTED: Final = Rule(
    Rates((Line("calls", 0, steps=(Step(1, UNIT), Step(11, UNIT // 10))),)), period=Period(PeriodUnit.MONTH, "UTC")
)
"""A unit for each of the first ten of a month, and a tenth for each that follows."""

DISCOUNT: Final = Rule(Rates((Line("pages", UNIT),), tiers=Tiers(("pages",), (Tier(10, (Line("pages", UNIT // 2),)),))))
"""A unit a page, and half of that for all if there are ten."""


def call(key: str, amount: int, above: Above = Above.REFUSE) -> Charge:
    return Charge(Payer(ANN), "call", 1, key, amount, above=above)


def capture(
    above: Above = Above.REFUSE, seq: int = 2, *, amount: int | None = None, quantity: int | None = None
) -> CaptureHold:
    return CaptureHold(ANN, seq, "capture", amount, quantity=quantity, above=above)


def reversal(reference: str = "R-1", seq: int = 1, amount: int | None = None, *, is_owed: bool = True) -> ReverseTopUp:
    return ReverseTopUp(ANN, seq, reference, "bounced", amount, is_owed=is_owed)


def lines(ledger: MemoryLedger) -> list[tuple[str, int, int | None, int | None]]:
    """Tell the kind of each transfer, its amount and what it left uncollected, in units, and what it refers to."""
    transfers = [item for item in ledger.rows()["transfers"] if item.merchant_id == ANN]
    return [
        (
            Kind(item.kind).name.lower(),
            item.amount // UNIT,
            None if item.uncollected is None else item.uncollected // UNIT,
            item.refers_to,
        )
        for item in transfers
    ]


def ledger_of(*commands: Command, credit_limit: int = 0) -> MemoryLedger:
    ledger = MemoryLedger(credit_limit=credit_limit)
    for command in commands:
        assert ledger.code(command) is Code.OK, command
    return ledger


def is_sound(ledger: MemoryLedger) -> bool:
    return faults_of(ledger, ledger.ann) == []


# Captures above their holds.


def test_a_capture_above_its_hold_is_refused_unless_it_says_otherwise() -> None:
    ledger = ledger_of(top_up(10), hold(3))
    assert Code.CAPTURE_EXCEEDS_HOLD is ledger.code(capture(amount=4 * UNIT))
    assert Code.CAPTURE_EXCEEDS_HOLD is ledger.code(capture(quantity=4))


def test_a_capture_above_its_hold_takes_the_rest_from_the_wallet_as_a_charge_of_its_own() -> None:
    ledger = ledger_of(top_up(10), hold(3, reference="R-1"))
    outcome = ledger.run(replace(capture(Above.CHARGE, quantity=5), reference="R-2"))[0]
    assert outcome.transfer is not None
    assert outcome.charge is not None
    assert [("capture", 3, None, 2), ("charge", 2, None, 2)] == lines(ledger)[2:]
    above = outcome.charge
    assert (2, UNIT, 1, "R-2", "above 2") == (
        above.quantity,
        above.unit_price,
        above.price_id,
        above.reference,
        above.idempotency_key,
    )
    assert (5 * UNIT, 0) == (ledger.ann.wallet, ledger.ann.held)
    assert outcome.hold is not None
    assert 3 * UNIT == outcome.hold.captured
    assert is_sound(ledger)


def test_a_capture_that_charges_is_refused_as_a_whole_if_there_is_too_little() -> None:
    ledger = ledger_of(top_up(4), hold(3))
    before = ledger.rows()["transfers"]
    assert Code.INSUFFICIENT_BALANCE is ledger.code(capture(Above.CHARGE, quantity=5))
    assert before == ledger.rows()["transfers"]
    assert [(2, 2)] == ledger.used_up()
    assert Code.OK is ledger.code(capture(Above.CHARGE, quantity=4))


@pytest.mark.parametrize(("paid", "taken", "missing"), [(3, 0, 2), (4, 1, 1), (5, 2, None)])
def test_a_capture_takes_what_there_is_and_writes_down_what_is_missing(
    paid: int, taken: int, missing: int | None
) -> None:
    ledger = ledger_of(top_up(paid), hold(3))
    outcome = ledger.run(capture(Above.UNCOLLECTED, quantity=5))[0]
    assert [("capture", 3, None, 2), ("charge", taken, missing, 2)] == lines(ledger)[2:]
    rows = [] if missing is None else [Shortfall(ANN, 4, NOW, missing * UNIT)]
    assert rows == ledger.rows()["shortfalls"]
    assert outcome.charge is not None
    assert (2, UNIT) == (outcome.charge.quantity, outcome.charge.unit_price)
    assert is_sound(ledger)


def test_the_credit_limit_is_the_floor_of_what_is_taken() -> None:
    ledger = ledger_of(top_up(3), hold(3), credit_limit=UNIT)
    ledger.run(capture(Above.UNCOLLECTED, quantity=8))
    assert ("charge", 1, 4, 2) == lines(ledger)[-1]
    assert -UNIT == ledger.ann.wallet


def test_a_capture_above_its_hold_asked_again_is_answered_the_same() -> None:
    ledger = ledger_of(top_up(4), hold(3))
    command = capture(Above.UNCOLLECTED, quantity=5)
    first, same_batch = ledger.run(command, command)
    assert first.charge is not None
    assert replace(first, is_replay=True) == same_batch == ledger.run(command)[0]
    assert Code.IDEMPOTENCY_CONFLICT is ledger.code(replace(command, above=Above.CHARGE))


def test_an_amount_above_a_variable_hold_counts_the_requests_that_were_held() -> None:
    held = CreateHold(Payer(ANN), "call", 2, "hold", 3 * UNIT)
    ledger = ledger_of(top_up(10), held, capture(Above.CHARGE, amount=7 * UNIT))
    captured, above = ledger.rows()["transfers"][-2:]
    assert (2, None) == (captured.quantity, above.quantity)
    assert (3 * UNIT, 4 * UNIT, None) == (captured.amount, above.amount, above.price_id)
    assert is_sound(ledger)


def test_more_requests_of_a_variable_type_count_though_they_came_to_less() -> None:
    held = CreateHold(Payer(ANN), "call", 2, "hold", 3 * UNIT)
    ledger = ledger_of(top_up(10), held, capture(Above.CHARGE, amount=2 * UNIT, quantity=5))
    assert [("capture", 2, None, 2), ("release", 1, None, 2)] == lines(ledger)[2:]
    assert 5 == ledger.rows()["transfers"][2].quantity
    assert is_sound(ledger)


@pytest.mark.parametrize(
    ("above", "codes"), [(Above.CHARGE, Code.MERCHANT_FROZEN), (Above.UNCOLLECTED, Code.OK), (Above.REFUSE, Code.OK)]
)
def test_a_frozen_merchant_is_charged_nothing_beyond_what_is_held(above: Above, codes: Code) -> None:
    ledger = ledger_of(top_up(10), hold(3), SetFrozen(ANN, True))
    command = capture() if above is Above.REFUSE else capture(above, quantity=5)
    assert codes is ledger.code(command)
    assert 7 * UNIT == ledger.ann.wallet
    assert is_sound(ledger)


def test_a_capture_of_more_is_priced_and_counted_as_its_hold_was() -> None:
    ledger = ledger_of(top_up(100))
    at_once(add_price(ledger.stores, 3, request_type="counted", unit_price=None, starts_at=0, rule=COUNTED))
    held = CreateHold(Payer(ANN), "counted", 1, "hold", quantities=(("calls", 8),))
    other = Charge(Payer(ANN), "counted", 1, "other", quantities=(("calls", 5),))
    ledger.run(held, other)
    command = CaptureHold(ANN, 2, "capture", quantities=(("calls", 14),), above=Above.CHARGE)
    outcome = ledger.run(command)[0]
    assert outcome.charge is not None
    assert "calls=6;at=1800000000000000;held=calls:8" == outcome.charge.pricing
    # The first ten of fourteen cost a unit, the others a tenth; eight were held.
    assert 2 * UNIT + 4 * UNIT // 10 == outcome.charge.amount
    assert [19] == [count.units for count in ledger.rows()["period_counts"]]
    assert is_sound(ledger)


def test_a_capture_of_less_may_cost_more_and_be_above_its_hold() -> None:
    ledger = ledger_of(top_up(100))
    at_once(add_price(ledger.stores, 3, request_type="pages", unit_price=None, starts_at=0, rule=DISCOUNT))
    held = CreateHold(Payer(ANN), "pages", 1, "hold", quantities=(("pages", 10),))
    ledger.run(held)
    less = CaptureHold(ANN, 2, "capture", quantities=(("pages", 9),))
    assert Code.CAPTURE_EXCEEDS_HOLD is ledger.code(less)
    outcome = ledger.run(replace(less, above=Above.CHARGE))[0]
    assert outcome.charge is not None
    assert (4 * UNIT, "pages=-1;held=pages:10") == (outcome.charge.amount, outcome.charge.pricing)
    assert is_sound(ledger)


@pytest.mark.parametrize("above", [Above.CHARGE, Above.UNCOLLECTED])
def test_an_amount_above_a_hold_that_was_free_is_charged(above: Above) -> None:
    ledger = ledger_of(top_up(100))
    free = Rule(Rates((Line("calls", 0),)))
    at_once(add_price(ledger.stores, 3, request_type="free", unit_price=None, starts_at=0, rule=free))
    ledger.run(CreateHold(Payer(ANN), "free", 1, "hold", quantities=(("calls", 8),)))
    assert Code.CAPTURE_EXCEEDS_HOLD is ledger.code(capture(amount=5 * UNIT))
    outcome = ledger.run(capture(above, amount=5 * UNIT))[0]
    assert outcome.transfer is not None
    assert outcome.charge is not None
    assert (0, "calls=8", 5 * UNIT) == (outcome.transfer.amount, outcome.transfer.pricing, outcome.charge.amount)
    assert is_sound(ledger)


# Charges for which there is too little.


def test_a_charge_takes_what_there_is_if_it_says_so() -> None:
    ledger = ledger_of(top_up(3))
    assert Code.INSUFFICIENT_BALANCE is ledger.code(charge(5))
    ledger.run(replace(charge(5, "more"), above=Above.UNCOLLECTED), replace(charge(2, "none"), above=Above.UNCOLLECTED))
    assert [("charge", 3, 2, None), ("charge", 0, 2, None)] == lines(ledger)[1:]
    assert [(5, 1)] == ledger.used_up()
    assert is_sound(ledger)


def test_what_is_collected_of_a_charge_is_all_that_a_refund_gives_back() -> None:
    ledger = ledger_of(top_up(3), replace(charge(5), above=Above.UNCOLLECTED))
    assert Code.REFUND_EXCEEDS_TRANSFER is ledger.code(Refund(ANN, 2, "too much", 4 * UNIT))
    assert 3 * UNIT == ledger.move(Refund(ANN, 2, "all")).amount
    assert is_sound(ledger)


def test_given_credit_is_taken_too_where_it_may_be() -> None:
    ledger = ledger_of(top_up(1), GiveCredit(ANN, 2 * UNIT, "G-1", "hello", types="call"))
    ledger.run(call("call", 5 * UNIT, Above.UNCOLLECTED))
    assert ("charge", 3, 2, None) == lines(ledger)[-1]
    assert 0 == ledger.ann.wallet == ledger.ann.given


# Top-ups that are taken back when they are spent.

SPENT: Final[Sequence[Command]] = (top_up(10, "first"), charge(7))


def test_a_reversal_of_spent_money_is_refused_unless_it_is_to_be_owed() -> None:
    ledger = ledger_of(*SPENT)
    assert Code.INSUFFICIENT_BALANCE is ledger.code(reversal(is_owed=False))
    transfer = ledger.move(reversal())
    assert (3 * UNIT, 7 * UNIT) == (transfer.amount, transfer.uncollected)
    assert (0, 7 * UNIT) == (ledger.ann.wallet, ledger.ann.owed)
    assert [Shortfall(ANN, 3, NOW, 7 * UNIT, 7 * UNIT, 1)] == ledger.rows()["shortfalls"]
    assert is_sound(ledger)


def test_the_audit_log_tells_what_is_owed() -> None:
    ledger = ledger_of(*SPENT, replace(reversal(), actor=Actor(1, "sam")))
    (entry,) = ledger.rows()["audit_entries"]
    assert "top_up_reversal of 3.00 USD, 7.00 USD more is owed, R-1, bounced" == entry.detail
    assert "took back 3.00 USD of a top-up, 7.00 USD more is owed, R-1, bounced" == audit_words(entry, None)


def test_nothing_of_it_can_be_taken_back_twice() -> None:
    ledger = ledger_of(*SPENT, reversal())
    assert Code.REVERSAL_EXCEEDS_TOP_UP is ledger.code(reversal("again"))
    ledger.run(top_up(2, "second"))
    assert Code.REVERSAL_EXCEEDS_TOP_UP is ledger.code(reversal("again"))


def test_a_reversal_that_the_credit_limit_covers_is_owed_nothing() -> None:
    ledger = ledger_of(*SPENT, reversal(), credit_limit=7 * UNIT)
    assert (-7 * UNIT, 0) == (ledger.ann.wallet, ledger.ann.owed)


def test_the_next_top_up_pays_what_is_owed_first_the_oldest_debt_first() -> None:
    ledger = ledger_of(top_up(10, "first"), top_up(5, "second"), charge(15), reversal(), reversal("R-2", 2))
    ledger.run(top_up(12, "third"), top_up(1, "fourth"), top_up(5, "fifth"))
    assert [
        ("top_up", 12, None, None),
        ("top_up_reversal", 10, None, 1),
        ("top_up_reversal", 2, None, 2),
        ("top_up", 1, None, None),
        ("top_up_reversal", 1, None, 2),
        ("top_up", 5, None, None),
        ("top_up_reversal", 2, None, 2),
    ] == lines(ledger)[5:]
    assert (3 * UNIT, 0) == (ledger.ann.wallet, ledger.ann.owed)
    assert [0, 0] == [row.owed for row in ledger.rows()["shortfalls"]]
    assert is_sound(ledger)


def test_nothing_is_spent_while_money_is_owed() -> None:
    ledger = ledger_of(*SPENT, GiveCredit(ANN, 9 * UNIT, "G-1", "hello"), hold(1, "held"), reversal())
    outcome = ledger.run(charge(1, "refused"))[0]
    assert Code.MONEY_OWED is outcome.code
    assert "7.00 USD is owed for the top-up xfer_" in (outcome.message or "")
    assert [Code.MONEY_OWED] * 2 == [ledger.code(hold(1, "no")), ledger.code(capture(Above.CHARGE, 4, quantity=2))]
    assert [(1, 5)] == ledger.used_up()
    assert Code.OK is ledger.code(capture(Above.UNCOLLECTED, 4, quantity=2))
    assert ("charge", 0, 1, 4) == lines(ledger)[-1]
    assert Code.OK is ledger.code(replace(charge(1, "not collected"), above=Above.UNCOLLECTED))
    assert 8 * UNIT == ledger.ann.given
    assert is_sound(ledger)


@pytest.mark.parametrize(
    "command",
    [
        Adjust(ANN, 2 * UNIT, True, "A-1", "let off"),
        Refund(ANN, 2, "refund", 2 * UNIT),
        ReleaseHold(ANN, 3, "release"),
        CaptureHold(ANN, 3, "capture", UNIT),
        ExpireHold(ANN, 3),
    ],
)
def test_all_paid_money_that_comes_in_pays_what_is_owed(command: Command) -> None:
    ledger = ledger_of(top_up(10, "first"), charge(7), hold(3), reversal())
    owed = ledger.ann.owed
    ledger.now += 3600 * SECOND if isinstance(command, ExpireHold) else 0
    ledger.move(command)
    paid = owed - ledger.ann.owed
    assert (0, paid) == (ledger.ann.wallet, lines(ledger)[-1][1] * UNIT)
    assert paid > 0
    assert is_sound(ledger)


def test_given_credit_pays_nothing_of_what_is_owed() -> None:
    ledger = ledger_of(*SPENT, reversal(), GiveCredit(ANN, 9 * UNIT, "G-1", "hello"))
    assert (7 * UNIT, 9 * UNIT) == (ledger.ann.owed, ledger.ann.wallet)
    assert is_sound(ledger)


def test_what_holds_took_of_grants_goes_back_into_them_and_pays_nothing() -> None:
    ledger = ledger_of(GiveCredit(ANN, 2 * UNIT, "G-1", "hello", expires_at=NOW + 3600 * SECOND), top_up(10, "first"))
    ledger.run(hold(3), charge(9, "all"), reversal(seq=2))
    assert 10 * UNIT == ledger.ann.owed
    ledger.run(ReleaseHold(ANN, 3, "release"))
    assert (9 * UNIT, 2 * UNIT, 2 * UNIT) == (ledger.ann.owed, ledger.ann.wallet, ledger.ann.given)


def test_a_limit_that_is_raised_pays_nothing_and_lets_nothing_be_spent() -> None:
    ledger = ledger_of(*SPENT, reversal(), SetCreditLimit(ANN, 50 * UNIT))
    assert Code.MONEY_OWED is ledger.code(charge(1, "refused"))
    ledger.run(top_up(2, "second"))
    assert (0, 5 * UNIT) == (ledger.ann.wallet, ledger.ann.owed)
    assert is_sound(ledger)


def test_so_many_reversals_can_be_owed_at_once() -> None:
    ledger = ledger_of(TopUp(ANN, 200 * UNIT, "first"), call("all", 200 * UNIT))
    for number in range(OWED_MAX):
        assert Code.OK is ledger.code(reversal(f"R-{number}", amount=UNIT))
    outcome = ledger.run(reversal("one more", amount=UNIT))[0]
    assert (Code.INSUFFICIENT_BALANCE, True) == (outcome.code, f"{OWED_MAX} reversals" in (outcome.message or ""))
    ledger.run(top_up(99, "second"))
    assert UNIT == ledger.ann.owed
    assert is_sound(ledger)


# What a replay finds.


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"owed": 6 * UNIT}, "6.00 is owed, its transfers come to 7.00"),
        ({"owed": 0}, "0.00 is owed, its transfers come to 7.00"),
    ],
)
def test_an_account_that_owes_something_else_is_found(change: dict[str, int], fault: str) -> None:
    ledger = ledger_of(*SPENT, reversal())
    ledger.accounts[ANN] = replace(ledger.ann, **change)
    assert [f"seq 3: {fault}"] == faults_of(ledger, ledger.ann)


@pytest.mark.parametrize("change", [{"owed": UNIT}, {"top_up_seq": 2}, {"amount": UNIT}, {"at": 0}])
def test_a_row_that_says_otherwise_is_found(change: dict[str, int]) -> None:
    ledger = ledger_of(*SPENT, reversal())
    ledger.shortfalls[ANN, 3] = replace(ledger.shortfalls[ANN, 3], **change)
    assert ["seq 3: what is stored of what seq 3 left uncollected is not what its transfers come to"] == faults_of(
        ledger, ledger.ann
    )


def transfers_of(ledger: MemoryLedger) -> list[Transfer]:
    return [item for item in ledger.rows()["transfers"] if item.merchant_id == ANN]


def faults_of_forged(ledger: MemoryLedger, transfers: Sequence[Transfer]) -> list[str]:
    """Replay a book that was forged throughout: its balances and hashes are right, its story is not."""
    wallet = held = 0
    last_hash = GENESIS_HASH
    forged = []
    for seq, transfer in enumerate(transfers, 1):
        effect = EFFECTS[Kind(transfer.kind)]
        wallet, held = wallet + effect.wallet * transfer.amount, held + effect.held * transfer.amount
        complete = replace(transfer, seq=seq, wallet_after=wallet, held_after=held)
        last_hash = chain.link(last_hash, chain.canonical_bytes(ids.public_id(ids.MERCHANT, ANN), complete))
        forged.append(replace(complete, hash=last_hash))
    replay = Replay(ANN, prices_of(ledger, ledger.ann))
    faults = [fault for transfer in forged for fault in replay.feed(transfer)]
    rows, originals = ledger.rows(), {transfer.seq: transfer for transfer in forged}
    return faults + list(replay.finish(ledger.ann, rows["holds"], originals, (), rows["shortfalls"]))


PAYING: Final[Sequence[Command]] = (*SPENT, reversal(), top_up(12, "second"))
CAPTURED: Final[Sequence[Command]] = (top_up(10, "first"), hold(3), capture(Above.CHARGE, quantity=5))


@pytest.mark.parametrize(
    ("story", "forge", "fault"),
    [
        (PAYING, lambda book: book[:4], "seq 5: 7.00 of what is owed was to be paid before it"),
        (PAYING, lambda book: [*book[:4], book[1]], "seq 5: 7.00 of what is owed was to be paid before it"),
        (
            PAYING,
            lambda book: [*book[:4], replace(book[4], amount=6 * UNIT)],
            "seq 5: was to pay 7.00 of what is owed for seq 1",
        ),
        (
            PAYING,
            lambda book: [*book[:4], replace(book[4], refers_to=4)],
            "seq 5: was to pay 7.00 of what is owed for seq 1",
        ),
        (PAYING, lambda book: [*book[:3], book[1]], "seq 4: spends while money is owed"),
        (PAYING, lambda book: [*book[:3], book[4]], "seq 4: pays what is owed, which nothing before it brought"),
        (
            PAYING,
            lambda book: [replace(book[0], uncollected=1), *book[1:]],
            "seq 1: leaves something uncollected, which only charges and reversals of top-ups do",
        ),
        (
            CAPTURED,
            lambda book: [*book[:3], book[0], book[3]],
            "seq 5: takes more than a hold had, but does not follow its capture",
        ),
        (
            CAPTURED,
            lambda book: [*book[:3], replace(book[3], request_type="call")],
            "seq 4: takes more than a hold had, but does not follow its capture",
        ),
        (
            CAPTURED,
            lambda book: [*book[:3], replace(book[3], idempotency_key="above 3")],
            "seq 4: is not under the key of what is above its hold",
        ),
        (
            CAPTURED,
            lambda book: [*book[:3], replace(book[3], refers_to=None)],
            "seq 4: takes more than a hold had, but does not follow its capture",
        ),
    ],
)
def test_a_forged_story_is_found(
    story: Sequence[Command], forge: Callable[[list[Transfer]], list[Transfer]], fault: str
) -> None:
    ledger = ledger_of(*story)
    book = transfers_of(ledger)
    assert [] == faults_of_forged(ledger, book)
    assert fault in faults_of_forged(ledger, forge(book))
