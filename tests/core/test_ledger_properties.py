"""What holds of the ledger whatever is asked of it, in whatever order and at whatever times."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core import chain, ids
from farebox.core.accounts import Account, Kind
from farebox.core.commands import (
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    Setting,
    TopUp,
)
from farebox.core.holds import Hold, HoldState
from farebox.core.money import MICROS_PER_UNIT
from farebox.core.outcomes import Outcome
from farebox.core.state import Decision
from farebox.core.transfers import Transfer
from tests.core import strategies as some
from tests.core.applied import Books
from tests.core.ledger_model import Answer, Model
from tests.core.ledger_story import STORY_MERCHANT, told
from tests.core.strategies import History


def _micros(amount: Fraction) -> int:
    micros = amount * MICROS_PER_UNIT
    assert micros.denominator == 1
    return int(micros)


def _answer_as_seen(answer: Answer) -> tuple[object, ...]:
    entry = answer.entry
    if entry is None:
        return answer.code, answer.is_replay, None
    seen = (entry["seq"], _micros(entry["amount"]), entry["of"], entry["at"], entry.get("price"))
    return answer.code, answer.is_replay, seen


def _outcome_as_seen(outcome: Outcome) -> tuple[object, ...]:
    row = outcome.transfer
    seen = None if row is None else (row.seq, row.amount, row.refers_to, row.committed_at, row.price_id)
    return outcome.code.value, outcome.is_replay, seen


def _model_of(model: Model, merchant_id: int) -> tuple[object, ...]:
    merchant = model.merchants[merchant_id]
    holds = [entry for entry in merchant.entries if entry["kind"] == "hold"]
    return (
        tuple(_micros(merchant.balance(name)) for name in ("wallet", "held", "revenue", "funding", "adjustments")),
        [(_micros(amount), armed) for amount, armed in sorted(merchant.thresholds.items())],
        (_micros(merchant.credit_limit), merchant.is_frozen, len(merchant.entries)),
        [(_micros(firing["threshold"]), _micros(firing["posted"]), firing["seq"]) for firing in merchant.firings],
        [(hold["seq"], merchant.hold_state(hold["seq"])) for hold in holds],
    )


def _books_of(books: Books, merchant_id: int) -> tuple[object, ...]:
    account = books.accounts[merchant_id]
    fired = [firing for firing in books.firings if firing.merchant_id == merchant_id]
    assert [firing.number for firing in fired] == list(range(1, account.alerts_count + 1))
    return (
        (account.wallet, account.held, account.revenue, account.funding, account.adjustments),
        [(threshold.amount, threshold.is_armed) for threshold in account.thresholds],
        (account.credit_limit, account.is_frozen, account.seq),
        [(firing.threshold, firing.posted, firing.transfer_seq) for firing in fired],
        [(hold.seq, HoldState(hold.state).name.lower()) for hold in books.holds_of(merchant_id)],
    )


def _assert_invariants(books: Books) -> None:
    for account in books.accounts.values():
        assert account.wallet >= -account.credit_limit
        assert account.wallet + account.held + account.revenue + account.funding + account.adjustments == 0
        open_holds = [hold.amount for hold in books.holds_of(account.merchant_id) if hold.state == HoldState.HELD]
        assert account.held == sum(open_holds)
        book = books.book(account.merchant_id)
        assert [row.seq for row in book] == list(range(1, account.seq + 1))
        assert [row.committed_at for row in book] == sorted(row.committed_at for row in book)


def _ran(history: History) -> Books:
    books = some.new_books()
    for now, commands in history:
        books.run(commands, now)
    return books


@some.examples(350)
@given(history=some.histories())
def test_the_ledger_does_what_the_slow_model_does(history: History) -> None:
    books = some.new_books()
    model = Model(some.MERCHANTS, some.KEYS, some.PRICES)
    for now, commands in history:
        expected = [_answer_as_seen(model.do(command, now)) for command in commands]
        actual = [_outcome_as_seen(outcome) for outcome in books.run(commands, now).outcomes]
        assert expected == actual
        for merchant_id in some.MERCHANTS:
            assert _model_of(model, merchant_id) == _books_of(books, merchant_id)


def _state(books: Books) -> tuple[object, ...]:
    """All rows; firings of different merchants have no order among them."""
    firings = sorted(books.firings, key=lambda firing: (firing.merchant_id, firing.number))
    return books.accounts, books.transfers, books.holds, firings


@some.examples(400)
@given(drawn=some.histories_and_what_next(), cuts=st.sets(st.integers(1, 12)))
def test_how_commands_are_split_into_batches_makes_no_difference(
    drawn: tuple[History, list[Command], int], cuts: set[int]
) -> None:
    history, commands, now = drawn
    whole, split = _ran(history), _ran(history)
    expected = whole.run(commands, now).outcomes
    edges = [0, *sorted(cut for cut in cuts if cut < len(commands)), len(commands)]
    actual = [
        outcome for start, end in itertools.pairwise(edges) for outcome in split.run(commands[start:end], now).outcomes
    ]
    assert expected == actual
    assert _state(whole) == _state(split)


@some.examples(60)
@given(amounts=st.lists(st.sampled_from([None, 1, 2, 3, 5]), min_size=2, max_size=6), cuts=st.sets(st.integers(1, 3)))
def test_giving_back_in_parts_does_not_depend_on_batches(amounts: list[int | None], cuts: set[int]) -> None:
    taken: list[Command] = [TopUp(some.ANN, 10, "T"), Charge(Payer(some.ANN), "review", 1, "c", amount=7)]
    parts: list[Command] = [Refund(some.ANN, 2, f"f{number}", amount) for number, amount in enumerate(amounts)]
    parts += [ReverseTopUp(some.ANN, 1, f"R{number}", "wrong", amount) for number, amount in enumerate(amounts)]
    whole, split = _ran([(some.START, taken)]), _ran([(some.START, taken)])
    expected = whole.run(parts, some.START).outcomes
    edges = [0, *sorted(cuts), len(parts)]
    actual = [
        each for start, end in itertools.pairwise(edges) for each in split.run(parts[start:end], some.START).outcomes
    ]
    assert expected == actual
    assert _state(whole) == _state(split)
    assert [] == whole.faults(some.ANN)


@some.examples(250)
@given(history=some.histories())
def test_balances_keep_their_floor_and_their_sum_and_held_is_what_is_on_hold(history: History) -> None:
    books = some.new_books()
    for now, commands in ((now, [command]) for now, batch in history for command in batch):
        books.run(commands, now)
        _assert_invariants(books)


@some.examples(250)
@given(history=some.histories())
def test_a_replay_finds_no_fault_in_books_that_the_ledger_kept(history: History) -> None:
    books = _ran(history)
    assert [] == [fault for merchant_id in some.MERCHANTS for fault in books.faults(merchant_id)]


@some.examples(150)
@given(history=some.histories())
def test_a_retry_of_what_went_through_moves_nothing(history: History) -> None:
    books = some.new_books()
    done: list[tuple[int, Command, Transfer]] = []
    for now, commands in history:
        outcomes = books.run(commands, now).outcomes
        done += [
            (now, command, outcome.transfer)
            for command, outcome in zip(commands, outcomes, strict=True)
            if outcome.transfer is not None
        ]
    before = _state(books)
    for now, command, transfer in done:
        decision = books.run([command, command], now)
        assert [(True, transfer)] * 2 == [(outcome.is_replay, outcome.transfer) for outcome in decision.outcomes]
        has_hold = isinstance(command, CreateHold | CaptureHold | ReleaseHold | ExpireHold)
        assert [has_hold] * 2 == [outcome.hold is not None for outcome in decision.outcomes]
        assert not decision.changes_anything
    assert before == _state(books)


@some.examples(150)
@given(drawn=some.histories_and_what_next())
def test_asking_for_everything_twice_within_a_batch_comes_to_the_same_money(
    drawn: tuple[History, list[Command], int],
) -> None:
    history, commands, now = drawn
    moving = [command for command in commands if not isinstance(command, Setting)]
    once, twice = _ran(history), _ran(history)
    expected = once.run(moving, now).outcomes
    doubled = twice.run([command for command in moving for _ in range(2)], now).outcomes
    assert [outcome.code for outcome in expected for _ in range(2)] == [outcome.code for outcome in doubled]
    assert _state(once) == _state(twice)


@some.examples(150)
@given(history=some.histories())
def test_a_refused_command_changes_nothing(history: History) -> None:
    books = some.new_books()
    for now, command in ((now, command) for now, batch in history for command in batch):
        decision = books.run([command], now)
        outcome = decision.outcomes[0]
        if not outcome.is_ok:
            assert outcome.message
            assert outcome.transfer is None
            assert outcome.hold is None
            assert decision == Decision([outcome])


def _changed(row: Transfer, name: str) -> list[Transfer]:
    """Copies of a transfer with one field changed, each within what the field may hold."""
    value = getattr(row, name)
    others: list[object]
    if name == "kind":
        others = [int(kind) for kind in Kind if kind != value]
    elif name in ("content", "hash"):
        others = [bytes([value[0] ^ 1]) + value[1:], value[:-1] + bytes([value[-1] ^ 128]), bytes(len(value))]
    elif name in ("idempotency_key", "request_type", "reference", "note"):
        others = ["other", f"{value}x", None]
    elif value is None:
        others = [1, 2]
    else:
        others = [value + 1, value - 1, value + 10**6]
    may_be_none = ("request_type", "quantity", "unit_price", "price_id", "refers_to", "reference", "note")
    if name in may_be_none:
        others.append(None)
    return [replace(row, **{name: other}) for other in others if other not in (value, "None") and not _odd(name, other)]


def _odd(name: str, value: object) -> bool:
    # What is present is positive, and a key is never absent: the database sees to it.
    return value == 0 or (name == "idempotency_key" and value is None)


@pytest.mark.parametrize("name", Transfer.__struct_fields__)
def test_a_replay_finds_any_changed_field_of_any_transfer(name: str) -> None:
    books = told()
    story = books.book(STORY_MERCHANT)
    assert [] == books.faults(STORY_MERCHANT)
    tried = 0
    for place, row in enumerate(story):
        for changed in _changed(row, name):
            tried += 1
            assert books.faults(STORY_MERCHANT, [*story[:place], changed, *story[place + 1 :]]), changed
    assert tried >= len(story)


def test_a_replay_finds_any_transfer_that_is_missing_or_stands_twice() -> None:
    books = told()
    story = books.book(STORY_MERCHANT)
    for place in range(len(story)):
        assert books.faults(STORY_MERCHANT, story[:place] + story[place + 1 :])
        assert books.faults(STORY_MERCHANT, story[: place + 1] + story[place:])


def test_a_replay_finds_any_two_transfers_that_changed_places() -> None:
    books = told()
    story = books.book(STORY_MERCHANT)
    for second in range(len(story)):
        for first in range(second):
            swapped = list(story)
            swapped[first], swapped[second] = story[second], story[first]
            assert books.faults(STORY_MERCHANT, swapped)
            renumbered = [replace(row, seq=number) for number, row in enumerate(swapped, 1)]
            assert books.faults(STORY_MERCHANT, renumbered)


@some.examples(100)
@given(history=some.histories(), data=st.data())
def test_a_replay_finds_a_changed_field_in_any_book(history: History, data: st.DataObject) -> None:
    books = _ran(history)
    merchant_id = data.draw(st.sampled_from(some.MERCHANTS))
    book = books.book(merchant_id)
    place = data.draw(st.integers(0, len(book) - 1))
    name = data.draw(st.sampled_from(Transfer.__struct_fields__))
    for changed in _changed(book[place], name):
        assert books.faults(merchant_id, [*book[:place], changed, *book[place + 1 :]])


def test_any_changed_byte_of_any_transfer_changes_every_hash_from_there_on() -> None:
    story = told().book(STORY_MERCHANT)
    merchant = ids.public_id(ids.MERCHANT, STORY_MERCHANT)
    texts = [chain.canonical_bytes(merchant, row) for row in story]
    hashes = [bytes(32), *(row.hash for row in story)]
    for place, text in enumerate(texts):
        assert hashes[place + 1] == chain.link(hashes[place], text)
        for position in range(len(text)):
            flip = 1 << position % 8
            changed = text[:position] + bytes([text[position] ^ flip]) + text[position + 1 :]
            link = chain.link(hashes[place], changed)
            for later in range(place + 1, len(texts)):
                assert link != hashes[later]
                link = chain.link(link, texts[later])
            assert link != hashes[-1]


@pytest.mark.parametrize(
    "change",
    [
        {"wallet": 1},
        {"held": 1},
        {"revenue": 1},
        {"funding": -1},
        {"adjustments": 1},
        {"seq": 1},
        {"last_hash": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_replay_finds_an_account_that_its_transfers_do_not_come_to(change: dict[str, int | bytes]) -> None:
    books = told()
    account = books.accounts[STORY_MERCHANT]
    row = {
        name: value if isinstance(value, bytes) else getattr(account, name) + value for name, value in change.items()
    }
    books.accounts[STORY_MERCHANT] = replace(account, **row)
    assert books.faults(STORY_MERCHANT)


def test_a_replay_finds_holds_that_are_missing_made_up_or_changed() -> None:
    for number in range(len(told().holds_of(STORY_MERCHANT))):
        for change in ({"amount": 1}, {"captured": 1}, {"state": 1}):
            books = told()
            hold = books.holds_of(STORY_MERCHANT)[number]
            wrong = {name: getattr(hold, name) % 4 + by for name, by in change.items()}
            books.holds[STORY_MERCHANT, hold.seq] = replace(hold, **wrong)
            assert books.faults(STORY_MERCHANT), wrong
        books = told()
        hold = books.holds_of(STORY_MERCHANT)[number]
        del books.holds[STORY_MERCHANT, hold.seq]
        assert books.faults(STORY_MERCHANT)
    books = told()
    books.holds[STORY_MERCHANT, 1] = Hold(STORY_MERCHANT, 1, 5, some.START, HoldState.RELEASED)
    assert books.faults(STORY_MERCHANT)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, {"kind": 11}),
        (0, {"request_type": ""}),
        (0, {"note": ""}),
        (1, {"quantity": 0}),
        (1, {"unit_price": 0}),
        (1, {"price_id": 0}),
        (2, {"reference": ""}),
        (2, {"refers_to": 0}),
        (2, {"amount": 0}),
        (2, {"amount": -5}),
    ],
)
def test_a_replay_finds_what_no_transfer_may_hold(place: int, change: dict[str, int | str]) -> None:
    books = told()
    story = books.book(STORY_MERCHANT)
    story[place] = replace(story[place], **change)
    assert books.faults(STORY_MERCHANT, story)


def test_settings_move_no_money() -> None:
    books = some.new_books()
    books.run([TopUp(some.ANN, 5, "R1")], some.START)
    before = dict(books.transfers)
    settings: list[Command] = [SetThresholds(some.ANN, (9,)), SetCreditLimit(some.ANN, 4), SetFrozen(some.ANN, True)]
    outcomes = books.run(settings, some.START).outcomes
    assert [(True, None)] * 3 == [(outcome.is_ok, outcome.transfer) for outcome in outcomes]
    assert before == books.transfers
    assert isinstance(books.accounts[some.ANN], Account)
