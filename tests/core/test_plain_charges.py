"""Charges that are decided in runs come to what they come to one by one, to the last byte."""

from collections.abc import Mapping, Sequence
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import Account, Kind
from farebox.core.batch.charge_form import charge_bytes, charge_form
from farebox.core.batch.charges import FindBook, PlainCharges
from farebox.core.chain import canonical_bytes
from farebox.core.commands import (
    Caller,
    Charge,
    Command,
    CreateHold,
    GiveCredit,
    KeyKind,
    Payer,
    Refund,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.credit.budgets import Budget, BudgetUnit, period_of
from farebox.core.credit.grants import FirstGrants, Grant
from farebox.core.credit.shortfalls import Above
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.staff_roles import EVERY_ROLE
from farebox.core.state import BatchState, Decision, KeyRecord, MoreGrantsNeeded
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOBODY, NOW, SECOND, UNIT

DAY = 24 * 3600 * SECOND
BERLINS_DAY = period_of(BudgetUnit.DAY, "Europe/Berlin", NOW)[0]
POSITIVE = st.integers(1, 10**18)
TEXTS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=20)


KEYS = {
    b"service": KeyRecord(1, KeyKind.SERVICE, None, None, None),
    b"expired": KeyRecord(2, KeyKind.SERVICE, None, NOW - 1, None),
    b"support": KeyRecord(3, KeyKind.SUPPORT, None, None, None, EVERY_ROLE),
    b"of ann": KeyRecord(4, KeyKind.MERCHANT, ANN, None, None),
    b"revoked": KeyRecord(5, KeyKind.MERCHANT, ANN, None, NOW),
    b"budget": KeyRecord(6, KeyKind.MERCHANT, BEN, None, None, budget_id=6),
}
PRICES = {
    "image": Price(1, "image", UNIT, 0),
    "page": Price(2, "page", UNIT // 3, 0),
    "free": Price(3, "free", 0, 0),
    "variable": Price(4, "variable", None, 0),
    "retired": Price(5, "retired", None, 0, is_end=True),
}
BUDGETS = st.lists(
    st.builds(
        lambda unit, amount, starts_at, spent: Budget(BEN, 6, unit, amount, "Europe/Berlin", starts_at, spent),
        st.sampled_from(BudgetUnit),
        st.sampled_from([0, 5 * UNIT, 12 * UNIT]),
        st.sampled_from([0, NOW - 40 * DAY, BERLINS_DAY]),
        st.sampled_from([0, 4 * UNIT]),
    ),
    max_size=3,
)
"""What the limits of one budget may be; those of a period that is over begin anew."""
GIFTS = st.lists(
    st.builds(
        lambda amount, used, **terms: Grant(
            *(ANN, 0, amount, amount - used, "R", "trial", "grant R", bytes(8)), transfer_seq=1, **terms
        ),
        st.sampled_from([2 * UNIT, 4 * UNIT + 1]),
        st.sampled_from([0, 2 * UNIT - 1]),
        priority=st.sampled_from([0, 0, 0, 1]),
        expires_at=st.sampled_from([None, NOW + DAY]),
        types=st.sampled_from([None, None, "image", "page"]),
    ),
    max_size=3,
)
OWN_PRICES = {(BEN, "image"): Price(6, "image", 2 * UNIT, 0, BEN)}
CALLERS = [None, *(Caller(name) for name in (b"service", b"service", b"service", b"expired", b"support", b"nobody"))]
PAYERS = [
    *(Payer(ANN), Payer(ANN, b"of ann"), Payer(ANN, b"revoked"), Payer(BEN, b"of ann")),
    *(Payer(BEN), Payer(BEN, b"budget"), Payer(NOBODY)),
]


def texts(*words: str) -> st.SearchStrategy[str]:
    return st.sampled_from(words)


PLAIN = st.builds(
    Charge,
    st.sampled_from([Payer(ANN), Payer(ANN, b"of ann"), Payer(BEN), Payer(BEN, b"budget"), Payer(BEN, b"budget")]),
    texts("image", "page"),
    st.integers(1, 2),
    texts(*"abcdefghijkl"),
    reference=st.none() | texts("order 1", "order 2"),
    caller=st.sampled_from([None, *[Caller(b"service")] * 4, Caller(b"expired"), Caller(b"nobody")]),
)
ANY = st.builds(
    Charge,
    st.sampled_from(PAYERS),
    texts(*PRICES, "unknown"),
    st.sampled_from([1, 2, 10**6]),
    texts(*"abcdefghijkl"),
    amount=st.none() | st.sampled_from([UNIT, 10**18]),
    caller=st.sampled_from(CALLERS),
    quantities=st.none() | st.just((("requests", 2),)),
    requested_at=st.none() | st.sampled_from([NOW - SECOND, 0]),
    above=st.sampled_from(Above),
)
OTHERS = st.one_of(
    st.builds(TopUp, st.sampled_from([ANN, BEN]), st.integers(1, 5 * UNIT), texts("INV-1", "INV-2", "INV-3")),
    st.builds(SetFrozen, st.sampled_from([ANN, BEN]), st.booleans()),
    st.builds(SetCreditLimit, st.sampled_from([ANN, BEN]), st.integers(0, 3 * UNIT)),
    st.builds(SetThresholds, st.just(ANN), st.sampled_from([(), (UNIT,), (UNIT, 4 * UNIT)])),
    st.builds(SetClosed, st.just(BEN), st.booleans(), st.just("gone")),
    st.builds(CreateHold, st.sampled_from(PAYERS), st.just("image"), st.just(1), texts(*"hijklm")),
    st.builds(Refund, st.sampled_from([ANN, BEN]), st.integers(2, 12), texts(*"nop")),
    st.builds(GiveCredit, st.sampled_from([ANN, BEN]), st.just(UNIT), texts("G-1", "G-2"), st.just("trial")),
)
# Many plain charges between each two that are not, or are other commands.
BATCHES = st.lists(st.tuples(st.lists(PLAIN, min_size=1, max_size=5), ANY | OTHERS), min_size=1, max_size=8).map(
    lambda parts: [command for charges, other in parts for command in (*charges, other)]
)
ACCOUNTS = st.builds(
    lambda wallet, held, *, outside, **more: Account(
        wallet=wallet, held=held, revenue=outside, funding=-wallet - held - outside, seq=1, **more
    ),
    st.sampled_from([0, 3 * UNIT, 9 * UNIT]),
    st.sampled_from([0, UNIT]),
    outside=st.sampled_from([0, 4 * 10**18 - 11 * UNIT]),
    merchant_id=st.just(ANN),
    currency=st.just("USD"),
    is_frozen=st.sampled_from([False] * 5 + [True]),
    last_at=st.sampled_from([NOW - SECOND, NOW + SECOND, NOW + 90 * SECOND]),
    thresholds=st.sampled_from([(), (Threshold(2 * UNIT, is_armed=True),)]),
)


def given_to(accounts: Mapping[int, Account], gifts: Mapping[int, Sequence[Grant]]) -> BatchState:
    """Put grants into the wallets of merchants, numbered by their places, all of them read at once as lots."""
    state = BatchState(accounts, KEYS, PRICES, OWN_PRICES)
    for merchant_id, grants in gifts.items():
        numbered = [replace(grant, merchant_id=merchant_id, number=n) for n, grant in enumerate(grants, 1)]
        account, given = accounts[merchant_id], sum(grant.left for grant in numbered)
        state.accounts = {
            **state.accounts,
            merchant_id: replace(
                account,
                wallet=account.wallet + given,
                promotions=account.promotions - given,
                given=given,
                grants_count=len(numbered),
            ),
        }
        state.grants = {**state.grants, **{(merchant_id, grant.number): grant for grant in numbered}}
        lots = {grant.number: grant.lot for grant in sorted(numbered, key=lambda grant: grant.order)}
        state.first_grants = {**state.first_grants, merchant_id: FirstGrants(lots)}
    return state


def decided(state: BatchState, commands: Sequence[Command]) -> Decision:
    """Decide a batch as a store does: with whole rows of all grants, if it asks for more."""
    try:
        return decide(state, commands, NOW)
    except MoreGrantsNeeded:
        return decide(replace(state, first_grants={}, grants_complete={ANN, BEN}), commands, NOW)


def came_to(state: BatchState, commands: list[Command]) -> tuple[Decision, int]:
    """Decide a batch, and count the charges that were decided in runs."""
    found: list[Outcome | None] = []
    decide_plain = PlainCharges.decide

    def noting(self: PlainCharges, command: Charge, find_book: FindBook) -> Outcome | None:
        found.append(decide_plain(self, command, find_book))
        return found[-1]

    with patch.object(PlainCharges, "decide", noting):
        decision = decided(state, commands)
    return decision, len(found) - found.count(None)


@examples(400)
@given(ACCOUNTS, ACCOUNTS, BUDGETS, st.fixed_dictionaries({ANN: GIFTS, BEN: GIFTS}), BATCHES, BATCHES)
def test_batches_come_to_the_same_without_runs(
    ann: Account,
    ben: Account,
    limits: list[Budget],
    gifts: dict[int, list[Grant]],
    before: list[Command],
    commands: list[Command],
) -> None:
    state = given_to({ANN: ann, BEN: replace(ben, merchant_id=BEN)}, gifts)
    state.budgets = {(BEN, 6): limits}
    earlier = decided(state, before)
    with patch.object(PlainCharges, "decide", lambda *_: None):
        assert decided(state, before) == earlier
    state.replays = {(item.merchant_id, item.idempotency_key): item for item in earlier.transfers}
    decision, _ = came_to(state, commands)
    with patch.object(PlainCharges, "decide", lambda *_: None):
        assert decided(state, commands) == decision


def test_plain_charges_are_decided_in_runs() -> None:
    """If none were, the property above would say nothing."""
    account = Account(ANN, "USD", wallet=9 * UNIT, funding=-9 * UNIT, seq=1)
    commands: list[Command] = [
        Charge(Payer(ANN, b"of ann"), "image", 1, key, caller=Caller(b"service")) for key in "abc"
    ]
    decision, in_runs = came_to(BatchState({ANN: account}, KEYS, PRICES), commands)
    assert 3 == in_runs == len(decision.transfers)


def test_plain_charges_that_a_grant_pays_for_and_a_budget_counts_are_decided_in_runs() -> None:
    grant = Grant(*(BEN, 1, 6 * UNIT, 5 * UNIT, "R", "trial", "grant R", bytes(8)), transfer_seq=1)
    state = given_to({BEN: Account(BEN, "USD", wallet=9 * UNIT, funding=-9 * UNIT, seq=1)}, {BEN: [grant]})
    state.budgets = {(BEN, 6): [Budget(BEN, 6, BudgetUnit.TOTAL, 9 * UNIT, "UTC")]}
    commands: list[Command] = [Charge(Payer(BEN, b"budget"), "image", 1, key) for key in "abcd"]
    decision, in_runs = came_to(state, commands)
    # The third takes from the grant and of paid money, and the run of what the grant pays for ends there.
    assert (2, ["1:2000000", "1:2000000", "1:1000000", None]) == (in_runs, [item.given for item in decision.transfers])
    assert ([(BEN, 6, 8 * UNIT)], [(BEN, 1, 0)]) == (decision.spent_budgets, decision.spent_grants)


@given(
    amount=POSITIVE,
    quantity=st.integers(1, 10**6),
    unit_price=POSITIVE,
    price_id=st.integers(0, ids.NUMBER_MAX),
    key_id=st.none() | st.integers(0, ids.NUMBER_MAX),
    seq=st.integers(1, ids.SEQ_MAX),
    balances=st.tuples(st.integers(-(10**18), 10**18), st.integers(0, 10**18), st.integers(0, 10**16)),
    texts=st.tuples(TEXTS, TEXTS),
    fingerprint=st.binary(min_size=8, max_size=8),
    reference=st.none() | TEXTS,
    given=st.none() | st.just("3:250000"),
)
def test_a_charge_is_written_as_any_transfer(
    amount: int,
    quantity: int,
    unit_price: int,
    price_id: int,
    key_id: int | None,
    seq: int,
    balances: tuple[int, int, int],
    texts: tuple[str, str],
    fingerprint: bytes,
    reference: str | None,
    given: str | None,
) -> None:
    (wallet, held, committed_at), (request_type, key) = balances, texts
    transfer = Transfer(
        merchant_id=5,
        seq=seq,
        kind=Kind.CHARGE,
        amount=amount,
        idempotency_key=key,
        fingerprint=fingerprint,
        wallet_after=wallet,
        held_after=held,
        committed_at=committed_at,
        hash=b"",
        request_type=request_type,
        quantity=quantity,
        unit_price=unit_price,
        price_id=price_id,
        reference=reference,
        given=given,
        key_id=key_id,
    )
    form = charge_form(
        "mer_0000000000005",
        amount=amount,
        request_type=request_type,
        quantity=quantity,
        unit_price=unit_price,
        price_id=price_id,
        key_id=key_id,
        is_given=given is not None,
    )
    written = charge_bytes(
        form,
        seq=seq,
        committed_at=committed_at,
        wallet=wallet,
        held=held,
        idempotency_key=key,
        fingerprint=fingerprint,
        reference=reference,
        given=given,
    )
    assert canonical_bytes("mer_0000000000005", transfer) == written
