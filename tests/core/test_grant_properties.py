"""What holds of every history with given credit, whatever is asked and however it is cut into batches."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.commands import (
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    GiveCredit,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetThresholds,
    SettleGrants,
    TopUp,
)
from farebox.core.credit.grants import GrantState, read_given, read_terms
from farebox.core.invariants import grant_faults
from farebox.core.outcomes import Code
from farebox.core.transfers import Transfer
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOW, UNIT, MemoryLedger, adjust

CENT: Final = UNIT // 100
SPAN: Final = 12
"""Micros that a history lasts: its grants start and end at any of them."""

WHOSE: Final = st.sampled_from([ANN, ANN, ANN, ANN, BEN])
SEQS: Final = st.integers(1, 9)
MICROS: Final = st.none() | st.sampled_from([1, CENT, 3 * CENT, 8 * CENT]) | st.integers(1, 8 * CENT)
KEYS: Final = st.integers(1, 40).map(lambda number: f"key-{number}")
CENTS: Final = st.integers(1, 6).map(lambda cents: cents * CENT)
TIMES: Final = st.none() | st.integers(NOW - 1, NOW + SPAN)
ASKED: Final = (st.builds(Payer, WHOSE), st.just("call"), st.just(1), KEYS, st.integers(1, 12 * CENT))
CHARGES: Final = st.builds(Charge, *ASKED)
HOLDS: Final = st.builds(CreateHold, *ASKED)
GIFTS: Final = st.builds(
    GiveCredit,
    merchant_id=WHOSE,
    amount=CENTS,
    reference=st.integers(1, 9).map(str),
    reason=st.just("trial"),
    starts_at=st.none() | TIMES,
    expires_at=TIMES,
    types=st.sampled_from([None, None, "call", "image", "call image"]),
    priority=st.sampled_from([0, 0, 1]),
)


def commands() -> st.SearchStrategy[Command]:
    """Ask for what moves given credit, mostly of one merchant."""
    return st.one_of(
        *(GIFTS, CHARGES, HOLDS),
        st.builds(CaptureHold, WHOSE, SEQS, KEYS, MICROS),
        st.builds(ReleaseHold, WHOSE, SEQS, KEYS),
        st.builds(Refund, WHOSE, SEQS, KEYS, MICROS),
        st.builds(EndGrant, WHOSE, st.integers(1, 4), st.just("mistake")),
        st.builds(SettleGrants, WHOSE),
        st.builds(TopUp, WHOSE, CENTS, st.integers(1, 9).map(str)),
        st.builds(ReverseTopUp, WHOSE, SEQS, st.integers(1, 9).map(str), st.just("bounced")),
        st.builds(lambda cents: replace(adjust(-1, f"A{cents}"), amount=cents * CENT), st.integers(1, 9)),
        st.builds(SetCreditLimit, WHOSE, st.sampled_from([0, 2 * CENT, 9 * CENT])),
        st.builds(SetThresholds, WHOSE, st.sampled_from([(), (3 * CENT,), (CENT, 6 * CENT)])),
    )


History = list[tuple[int, list[Command]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Draw batches, each with its time; clocks step back now and then."""
    begin: list[Command] = [
        *(TopUp(ANN, 9 * CENT, "0"), GiveCredit(ANN, 2 * CENT, "0", "trial"), draw(GIFTS), draw(GIFTS)),
        *(
            replace(draw(HOLDS), payer=Payer(ANN), amount=draw(st.sampled_from([CENT, 3 * CENT, 5 * CENT]))),
            draw(CHARGES),
            draw(HOLDS),
            draw(CHARGES),
        ),
    ]
    batches = draw(st.lists(st.tuples(st.integers(-2, 4), st.lists(commands(), min_size=1, max_size=6)), max_size=6))
    now, history = NOW, [(NOW, begin)]
    # The first hold is the third or fourth transfer, unless more credit starts at once.
    capture: Command = CaptureHold(ANN, draw(st.integers(3, 4)), "capture", draw(MICROS))
    batches.append((draw(st.integers(0, SPAN)), [capture]))
    refunds = [Refund(ANN, draw(st.integers(4, 9)), f"back-{number}", draw(MICROS)) for number in range(2)]
    ends = [EndGrant(ANN, draw(st.integers(1, 3)), "mistake") for _ in range(2)]
    batches.append((draw(st.integers(0, SPAN)), [*refunds, *ends]))
    for step, asked in batches:
        now += step
        history.append((now, asked))
    return history


def played(history: History, *, is_split: bool = False) -> tuple[MemoryLedger, list[Any]]:
    on = MemoryLedger()
    outcomes = []
    for now, asked in history:
        for batch in [[command] for command in asked] if is_split else [asked]:
            outcomes += on.do(*batch, now=now)
    return on, outcomes


def own(transfer: Transfer) -> int:
    """How much a transfer moved into the wallet that was no given credit; below zero if it took it out."""
    sign = EFFECTS[Kind(transfer.kind)].wallet
    return sign * (transfer.amount - sum(micros for _, micros in read_given(transfer.given)))


def test_histories_meet_all_that_becomes_of_grants() -> None:
    """A property says little of what its examples never come to."""
    seen: set[str] = set()

    @settings(examples(400), derandomize=True, database=None)
    @given(histories())
    def play(history: History) -> None:
        on, outcomes = played(history)
        seen.update(outcome.code for outcome in outcomes)
        for book in on.books.values():
            for transfer in book:
                taken = read_given(transfer.given)
                parts, given_micros = len(taken), sum(micros for _, micros in taken)
                is_mixed = parts > 0 and transfer.amount != given_micros
                key = " ".join(word for word in transfer.idempotency_key.split(" ") if not word.isdigit())
                seen.update(
                    [f"{Kind(transfer.kind).name} of {parts}", f"{Kind(transfer.kind).name} mixed"][: 1 + is_mixed]
                )
                seen.update([key] if transfer.kind == Kind.GRANT_EXPIRY else [])
        seen.update(f"{GrantState(grant.state).name} {grant.transfer_seq is None}" for grant in on.grants.values())

    play()
    assert set() == MET - seen


MET: Final = {
    *("CHARGE of 1", "CHARGE of 2", "CHARGE mixed", "HOLD of 1", "HOLD of 2", "HOLD mixed"),
    *("CAPTURE of 1", "CAPTURE mixed", "RELEASE of 1", "RELEASE mixed", "REFUND of 1", "REFUND mixed"),
    *("end of grant", "end of grant after", "WAITING True", "OPEN False", "ENDED True", "ENDED False"),
    *(Code.GRANT_NOT_FOUND, Code.GRANT_ALREADY_ENDED, Code.GRANT_TIMES_OUT_OF_BOUNDS, Code.INSUFFICIENT_BALANCE),
    Code.IDEMPOTENCY_CONFLICT,
}


def account_of(on: MemoryLedger, merchant_id: int) -> Account:
    return on.accounts[merchant_id]


@examples(120)
@given(histories())
def test_what_is_left_of_grants_is_what_the_account_says_and_given_money_never_becomes_paid(history: History) -> None:
    on, _ = played(history)
    for merchant_id in (ANN, BEN):
        account, grants, book = account_of(on, merchant_id), on.grants_of(merchant_id), on.books[merchant_id]
        assert account.given == sum(grant.left for grant in grants)
        assert account.grants_count == len(grants)
        assert account.grants_due_at == min((at for grant in grants if (at := grant.due_at) is not None), default=None)
        assert [] == [fault for grant in grants for fault in grant_faults(grant)]
        # Paid money is what top-ups and adjustments brought less what they took, and what requests took of it.
        assert account.wallet - account.given == sum(map(own, book))
        for transfer in book:
            kind = Kind(transfer.kind)
            if kind in (Kind.GRANT, Kind.GRANT_EXPIRY):
                assert 0 == own(transfer)
            elif kind in (Kind.TOP_UP, Kind.TOP_UP_REVERSAL, Kind.ADJUSTMENT_DEBIT):
                assert transfer.given is None


@examples(120)
@given(histories())
def test_nothing_of_a_grant_is_spent_from_the_very_microsecond_of_its_end(history: History) -> None:
    on, _ = played(history)
    for merchant_id in (ANN, BEN):
        ends: dict[int, int] = {}
        for transfer in on.books[merchant_id]:
            if transfer.kind == Kind.GRANT:
                number, terms = read_terms(transfer.given or "")
                ends[number] = 2**63 if terms.expires_at is None else terms.expires_at
            elif transfer.kind in (Kind.CHARGE, Kind.HOLD):
                assert all(transfer.committed_at < ends[number] for number, _ in read_given(transfer.given))
        time = account_of(on, merchant_id).last_at
        for grant in on.grants_of(merchant_id):
            assert grant.state == GrantState.ENDED or grant.expires_at is None or grant.expires_at > time


@examples(120)
@given(histories())
def test_every_grant_is_accounted_for_to_the_micro(history: History) -> None:
    """The rest of a grant is what came, less what was spent, set aside and taken back."""
    on, _ = played(history)
    for merchant_id in (ANN, BEN):
        moved: Counter[int] = Counter()
        for transfer in on.books[merchant_id]:
            for number, micros in read_given(transfer.given):
                moved[number] += EFFECTS[Kind(transfer.kind)].wallet * micros
        grants = {grant.number: grant for grant in on.grants_of(merchant_id)}
        assert {number: grant.left for number, grant in grants.items() if grant.left} == {
            number: micros for number, micros in moved.items() if micros
        }


@examples(120)
@given(histories())
def test_splitting_batches_changes_nothing_about_grants(history: History) -> None:
    whole, outcomes = played(history)
    split, others = played(history, is_split=True)
    assert outcomes == others
    assert whole.rows() == split.rows()
    assert whole.grants == split.grants


@examples(120)
@given(histories(), st.data())
def test_whether_the_sweeper_came_first_changes_no_balance_and_no_answer(history: History, data: st.DataObject) -> None:
    """It may post earlier what the next command would have posted, and nothing else.

    The clock does not step back here: what a sweeper has ended by a clock that was ahead stays ended.
    """
    times = accumulate((now for now, _ in history), max)
    history = [(now, asked) for now, (_, asked) in zip(times, history, strict=True)]
    on, outcomes = played(history)
    swept = MemoryLedger()
    answers = []
    for now, asked in history:
        if data.draw(st.booleans()):
            swept.do(SettleGrants(ANN), SettleGrants(BEN), now=now)
        answers += swept.do(*asked, now=now)
    assert [outcome.code for outcome in outcomes] == [outcome.code for outcome in answers]
    for merchant_id in (ANN, BEN):
        assert [brief(item) for item in on.books[merchant_id]] == [
            brief(item) for item in swept.books[merchant_id][: len(on.books[merchant_id])]
        ]


def brief(transfer: Transfer) -> tuple[Any, ...]:
    return transfer.kind, transfer.amount, transfer.given, transfer.wallet_after, transfer.idempotency_key


@examples(100)
@given(histories(), st.integers(1, 12 * CENT), st.lists(st.integers(1, 4 * CENT), max_size=4), st.booleans())
def test_a_full_refund_restores_everything(history: History, amount: int, parts: list[int], is_hold: bool) -> None:
    on, _ = played(history)
    now = NOW + 2 * SPAN
    on.do(SettleGrants(ANN), now=now)
    before = (on.grants_of(ANN), account_of(on, ANN).wallet, account_of(on, ANN).given)
    (outcome,) = on.do(
        CreateHold(Payer(ANN), "call", 1, "hold-it", amount)
        if is_hold
        else Charge(Payer(ANN), "call", 1, "charge-it", amount),
        now=now,
    )
    if outcome.transfer is None:
        assert outcome.code is Code.INSUFFICIENT_BALANCE
        return
    spent = outcome.transfer.seq
    if is_hold:
        on.do(*_capture_some(spent, amount, parts), now=now)
        spent += 1
    on.do(*[Refund(ANN, spent, f"back-{number}", part) for number, part in enumerate(parts)], now=now)
    on.do(Refund(ANN, spent, "the rest"), now=now)
    assert before == (on.grants_of(ANN), account_of(on, ANN).wallet, account_of(on, ANN).given)


def _capture_some(seq: int, amount: int, parts: Sequence[int]) -> list[Command]:
    part = min(amount, parts[0]) if parts else amount
    return [CaptureHold(ANN, seq, "capture-it", part)]


@examples(100)
@given(histories())
def test_holds_that_run_out_give_every_grant_its_own(history: History) -> None:
    """Once everything was refunded, there is of each grant what was given, or it has ended."""
    on, _ = played(history)
    now = NOW + 3600 * UNIT
    for merchant_id in (ANN, BEN):
        on.do(
            *[ExpireHold(merchant_id, hold.seq) for hold in on.holds.values() if hold.merchant_id == merchant_id],
            now=now,
        )
        taken = [item.seq for item in on.books[merchant_id] if item.kind in (Kind.CHARGE, Kind.CAPTURE)]
        on.do(*[Refund(merchant_id, seq, f"refund-{seq}") for seq in taken], now=now)
        account = account_of(on, merchant_id)
        assert (0, 0) == (account.held, account.revenue)
        for grant in on.grants_of(merchant_id):
            assert grant.left == (grant.amount if grant.state == GrantState.OPEN else 0)
        assert account.promotions == -account.given
