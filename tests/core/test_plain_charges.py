"""Charges that are decided in runs come to what they come to one by one, to the last byte."""

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
    KeyKind,
    Payer,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.credit.shortfalls import Above
from farebox.core.decide import decide
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.staff_roles import EVERY_ROLE
from farebox.core.state import BatchState, Decision, KeyRecord
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from tests.support.effort import examples
from tests.support.ledger import ANN, BEN, NOBODY, NOW, SECOND, UNIT

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
    st.sampled_from([Payer(ANN), Payer(ANN, b"of ann"), Payer(BEN)]),
    texts("image", "page"),
    st.integers(1, 2),
    texts(*"abcdefghijkl"),
    reference=st.none() | texts("order 1", "order 2"),
    caller=st.sampled_from([None, Caller(b"service")]),
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
    st.builds(CreateHold, st.sampled_from([Payer(ANN), Payer(BEN)]), st.just("image"), st.just(1), texts(*"hijklm")),
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


def came_to(state: BatchState, commands: list[Command]) -> tuple[Decision, int]:
    """Decide a batch, and count the charges that were decided in runs."""
    found: list[Outcome | None] = []
    decide_plain = PlainCharges.decide

    def noting(self: PlainCharges, command: Charge, find_book: FindBook) -> Outcome | None:
        found.append(decide_plain(self, command, find_book))
        return found[-1]

    with patch.object(PlainCharges, "decide", noting):
        decision = decide(state, commands, NOW)
    return decision, len(found) - found.count(None)


@examples(300)
@given(ACCOUNTS, ACCOUNTS, BATCHES, BATCHES)
def test_batches_come_to_the_same_without_runs(
    ann: Account, ben: Account, before: list[Command], commands: list[Command]
) -> None:
    accounts = {ANN: ann, BEN: replace(ben, merchant_id=BEN)}
    state = BatchState(accounts, KEYS, PRICES, OWN_PRICES, budgets={(BEN, 6): []})
    earlier = decide(state, before, NOW).transfers
    state.replays = {(item.merchant_id, item.idempotency_key): item for item in earlier}
    state.accounts = {**accounts, **{account.merchant_id: account for account in decide(state, before, NOW).accounts}}
    decision, _ = came_to(state, commands)
    with patch.object(PlainCharges, "decide", lambda *_: None):
        assert decide(state, commands, NOW) == decision


def test_plain_charges_are_decided_in_runs() -> None:
    """If none were, the property above would say nothing."""
    account = Account(ANN, "USD", wallet=9 * UNIT, funding=-9 * UNIT, seq=1)
    commands: list[Command] = [
        Charge(Payer(ANN, b"of ann"), "image", 1, key, caller=Caller(b"service")) for key in "abc"
    ]
    decision, in_runs = came_to(BatchState({ANN: account}, KEYS, PRICES), commands)
    assert 3 == in_runs == len(decision.transfers)


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
    )
    assert canonical_bytes("mer_0000000000005", transfer) == written
