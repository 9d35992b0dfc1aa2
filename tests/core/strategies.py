"""A small world of merchants, keys and prices, and strategies for what may be asked of it, in what order and when.

Amounts are small, keys and references few, so that refusals, retries and conflicts are frequent.
"""

import os
from typing import Final, TypeAlias, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.commands import (
    Adjust,
    Caller,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    KeyKind,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    TopUp,
)
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.pricing import Price
from farebox.core.state import KeyRecord
from tests.core.applied import Books
from tests.core.ledger_model import Model

UNIT: Final = 1_000_000
SECOND: Final = 1_000_000
START: Final = 1_700_000_000 * SECOND

ANN: Final = 3_565_158_400_000_001
BOB: Final = 3_565_158_400_000_002
CYD: Final = 3_565_158_400_000_003
NOBODY: Final = 3_565_158_400_000_009
MERCHANTS: Final = (ANN, BOB, CYD)

SERVICE: Final = b"service"
SERVICE_ENDING: Final = b"service ending"
SUPPORT: Final = b"support"
SUPPORT_REVOKED: Final = b"support revoked"
ANNS: Final = b"ann's"
BOBS_ENDING: Final = b"bob's ending"
CYDS_REVOKED: Final = b"cyd's revoked"
FORGED: Final = b"forged"

KEYS: Final = {
    SERVICE: KeyRecord(1, KeyKind.SERVICE, None, None, None),
    SERVICE_ENDING: KeyRecord(2, KeyKind.SERVICE, None, START + 60 * SECOND, None),
    SUPPORT: KeyRecord(3, KeyKind.SUPPORT, None, None, None),
    SUPPORT_REVOKED: KeyRecord(4, KeyKind.SUPPORT, None, START + 900 * SECOND, START + 120 * SECOND),
    ANNS: KeyRecord(5, KeyKind.MERCHANT, ANN, None, None),
    BOBS_ENDING: KeyRecord(6, KeyKind.MERCHANT, BOB, START + 90 * SECOND, None),
    CYDS_REVOKED: KeyRecord(7, KeyKind.MERCHANT, CYD, None, START + 30 * SECOND),
}

PRICES: Final = (
    Price(1, "image", 1 * UNIT, START - 1000 * SECOND),
    Price(2, "image", 2 * UNIT, START + 60 * SECOND),
    Price(3, "image", UNIT // 2, START + 30 * SECOND, ANN),
    Price(4, "image", None, START + 90 * SECOND, BOB),
    Price(5, "review", None, START),
    Price(6, "review", 3 * UNIT, START, CYD),
    Price(7, "pixel", 1, START),
    Price(8, "later", UNIT, START + 100 * SECOND),
)

PICKS: Final = 12

History: TypeAlias = list[tuple[int, list[Command]]]


def examples(count: int) -> settings:
    """Try so many examples, or as many as the environment asks for."""
    return settings(max_examples=int(os.environ.get("FAREBOX_EXAMPLES", count)))


def new_books() -> Books:
    """Empty books, with the world's keys and prices."""
    return Books([Account(merchant_id, "USD") for merchant_id in MERCHANTS], KEYS, PRICES)


Drawn = TypeVar("Drawn")


def _weighted(*choices: tuple[st.SearchStrategy[Drawn], int]) -> st.SearchStrategy[Drawn]:
    """Choose among strategies, each as often as its weight says."""
    return st.sampled_from([strategy for strategy, weight in choices for _ in range(weight)]).flatmap(
        lambda strategy: strategy
    )


merchant_ids = st.sampled_from([ANN] * 14 + [BOB] * 6 + [CYD] * 3 + [NOBODY])
amounts = _weighted(
    (st.integers(1, 8).map(lambda units: units * UNIT), 9),
    (st.integers(1, 16).map(lambda halves: halves * UNIT // 2), 4),
    (st.sampled_from([1, AMOUNT_MICROS_MAX, AMOUNT_MICROS_MAX + 1]), 1),
)
parts = st.sampled_from([None, UNIT // 2, UNIT, UNIT, 2 * UNIT, 9 * UNIT])
own_keys = st.sampled_from([f"key-{number}" for number in range(16)])
references = st.sampled_from(["R1", "R2", "R3", "R4"])
optional_references = st.sampled_from([None, None, "R1", "R2"])
notes = st.sampled_from([None, "a note", "another"])
seqs = st.integers(1, 7)
times = st.integers(-20, 200).map(lambda seconds: START + seconds * SECOND)

_OTHERS = (
    Caller(SERVICE_ENDING),
    Caller(SUPPORT_REVOKED),
    Caller(ANNS, ANN),
    Caller(CYDS_REVOKED, CYD),
    Caller(FORGED),
    Caller(FORGED, ANN),
    Caller(SERVICE, ANN),
    Caller(ANNS),
)
service_callers = st.sampled_from([None] * 50 + [Caller(SERVICE)] * 50 + [Caller(SUPPORT), *_OTHERS])
support_callers = st.sampled_from([None] * 50 + [Caller(SUPPORT)] * 50 + [Caller(SERVICE), *_OTHERS])
payers = _weighted(
    (merchant_ids.map(Payer), 10),
    (st.sampled_from([Payer(ANN, ANNS), Payer(BOB, BOBS_ENDING), Payer(CYD, CYDS_REVOKED)]), 3),
    (st.sampled_from([Payer(ANN, FORGED), Payer(ANN, SERVICE), Payer(BOB, ANNS)]), 1),
)
# A type, how many, and an amount: mostly as the type's price asks for, at times not.
purchases = _weighted(
    (st.tuples(st.just("image"), st.integers(1, 4), st.none()), 6),
    (st.tuples(st.just("review"), st.integers(1, 3), amounts), 4),
    (
        st.tuples(
            st.sampled_from(["image", "review", "pixel", "later", "unheard"]), st.integers(1, 3), st.none() | amounts
        ),
        2,
    ),
)

charges: st.SearchStrategy[Command] = st.builds(
    lambda payer, bought, key, reference, caller: Charge(
        payer, bought[0], bought[1], key, bought[2], reference, caller
    ),
    payers,
    purchases,
    own_keys,
    optional_references,
    service_callers,
)
holds: st.SearchStrategy[Command] = st.builds(
    lambda payer, bought, key, reference, ttl, caller: CreateHold(
        payer, bought[0], bought[1], key, bought[2], reference, ttl, caller
    ),
    payers,
    purchases,
    own_keys,
    optional_references,
    st.sampled_from([1, 40, 900]),
    service_callers,
)
captures: st.SearchStrategy[Command] = st.builds(
    CaptureHold, merchant_ids, seqs, own_keys, parts, optional_references, service_callers
)
releases: st.SearchStrategy[Command] = st.builds(
    ReleaseHold, merchant_ids, seqs, own_keys, optional_references, service_callers
)
expiries: st.SearchStrategy[Command] = st.builds(ExpireHold, merchant_ids, seqs)
refunds: st.SearchStrategy[Command] = st.builds(
    Refund, merchant_ids, seqs, own_keys, parts, optional_references, notes, service_callers
)
top_ups: st.SearchStrategy[Command] = st.builds(TopUp, merchant_ids, amounts, references, notes, support_callers)
reversals: st.SearchStrategy[Command] = st.builds(
    ReverseTopUp, merchant_ids, seqs, references, st.just("bounced"), parts, support_callers
)
adjustments: st.SearchStrategy[Command] = st.builds(
    Adjust, merchant_ids, amounts, st.booleans(), references, st.just("by hand"), support_callers
)
threshold_settings: st.SearchStrategy[Command] = st.builds(
    SetThresholds,
    merchant_ids,
    st.lists(st.integers(0, 10).map(lambda units: units * UNIT), max_size=5, unique=True).map(tuple),
    support_callers,
)
limit_settings: st.SearchStrategy[Command] = st.builds(
    SetCreditLimit, merchant_ids, st.integers(0, 5).map(lambda units: units * UNIT), support_callers
)
freezes: st.SearchStrategy[Command] = st.builds(
    SetFrozen, merchant_ids, st.sampled_from([False, False, True]), support_callers
)

commands: st.SearchStrategy[Command] = _weighted(
    (charges, 6),
    (holds, 6),
    (captures, 5),
    (releases, 2),
    (expiries, 2),
    (refunds, 4),
    (top_ups, 3),
    (reversals, 2),
    (adjustments, 3),
    (threshold_settings, 2),
    (limit_settings, 1),
    (freezes, 1),
)


@st.composite
def openings(draw: st.DrawFn) -> list[Command]:
    """Fill the wallets, more or less, and watch them."""
    made: list[Command] = []
    for number, merchant_id in enumerate(MERCHANTS):
        made.append(TopUp(merchant_id, draw(st.integers(1, 24)) * UNIT, f"opening-{number}"))
        made.append(
            SetThresholds(merchant_id, draw(st.sampled_from([(), (5 * UNIT,), (2 * UNIT, 4 * UNIT, 9 * UNIT)])))
        )
    return made


def _aimed(model: Model, command: Command, pick: int) -> Command:
    """Point a command at something that is there, most of the time; a number drawn blindly seldom hits."""
    merchant = model.merchants.get(command.merchant_id)
    if merchant is None or pick == PICKS - 2:
        return command
    payer = Payer(command.merchant_id)
    if isinstance(command, CaptureHold | ReleaseHold | ExpireHold):
        held = [entry["seq"] for entry in merchant.entries if entry["kind"] == "hold"]
        still_open = [seq for seq in held if merchant.hold_state(seq) == "held"]
        targets = still_open if still_open and pick < PICKS * 2 // 3 else held
        if not targets:
            ttl = 1 if isinstance(command, ExpireHold) else 600
            return CreateHold(payer, "review", 1, f"key-{pick}", (pick + 1) * UNIT // 2, None, ttl)
        return replace(command, hold_seq=targets[pick % len(targets)])
    if isinstance(command, Refund | ReverseTopUp):
        kinds = ("charge", "capture") if isinstance(command, Refund) else ("top_up",)
        targets = [entry["seq"] for entry in merchant.entries if entry["kind"] in kinds]
        if not targets:
            return Charge(payer, "review", 1, f"key-{pick}", (pick + 1) * UNIT // 2)
        return replace(command, transfer_seq=targets[-1 - pick % min(2, len(targets))])
    return command


def _under_another_key(command: Command, number: int) -> Command:
    if isinstance(command, TopUp | ReverseTopUp | Adjust):
        return replace(command, reference=f"R-again-{number}")
    if isinstance(command, Charge | CreateHold | CaptureHold | ReleaseHold | Refund):
        return replace(command, idempotency_key=f"again-{number}")
    return command


@st.composite
def histories(draw: st.DrawFn, *, batches_min: int = 0, batches_max: int = 12, now: int | None = None) -> History:
    """An opening and then batches at times of their own, or all at `now`; now and then something is asked again."""
    history = [(START, draw(openings()))]
    model = Model(MERCHANTS, KEYS, PRICES)
    asked: list[Command] = []
    for command in history[0][1]:
        model.do(command, START)
    for _ in range(draw(st.integers(batches_min, batches_max))):
        at = draw(times) if now is None else now
        batch = []
        for blind, pick in draw(st.lists(st.tuples(commands, st.integers(0, PICKS)), min_size=1, max_size=4)):
            if asked and pick == PICKS:
                command = draw(st.sampled_from(asked))
            elif asked and pick == PICKS - 1:
                command = _under_another_key(asked[-1], len(asked))
            else:
                command = _aimed(model, blind, pick)
            model.do(command, at)
            asked.append(command)
            batch.append(command)
        history.append((at, batch))
    return history


@st.composite
def histories_and_what_next(draw: st.DrawFn) -> tuple[History, list[Command], int]:
    """A history, and then commands that all come at one time."""
    now = draw(times)
    before = draw(st.integers(0, 6))
    history = draw(histories(batches_min=before + 1, batches_max=before + 6, now=now))
    next_commands = [command for _, batch in history[before + 1 :] for command in batch]
    return history[: before + 1], next_commands, now
