"""What holds of every history of a ledger, whatever is asked of it and however it is cut into batches."""

from collections import Counter
from decimal import Decimal
from typing import Any, Final

from hypothesis import given, seed, settings
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from farebox.core import ids
from farebox.core.accounts import DEBIT_AND_CREDIT, KIND_WORDS, Account
from farebox.core.alerts import EVENT_TYPES, Alert, AlertKind
from farebox.core.approvals import Approval, ApprovalState, RequestKind
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import (
    Adjust,
    Approve,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    ExtendHold,
    GiveCredit,
    Payer,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    SettleGrants,
    TopUp,
)
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.holds import HoldState
from farebox.core.invariants import account_faults
from farebox.core.outcomes import Code, Outcome
from farebox.core.people import read_people
from farebox.core.transfers import Transfer
from tests.core import model
from tests.core.model import Action, Answer, Book, Move, Request, Told, micros, units
from tests.core.model_budgets import spent
from tests.core.model_rules import period_of
from tests.core.replays import faults_of
from tests.core.scenarios import MERCHANTS, Batch, Scenario, founded, played, prepare, scenarios
from tests.support.effort import examples
from tests.support.memory import MemoryConnector, at_once

ACTIONS: Final[dict[type, str]] = {
    Refund: "refund",
    TopUp: "top_up",
    ReverseTopUp: "top_up_reversal",
    Adjust: "adjustment",
    SetThresholds: "set_thresholds",
    SetCreditLimit: "set_credit_limit",
    SetFrozen: "set_frozen",
    SetClosed: "set_closed",
    GiveCredit: "give_credit",
    EndGrant: "end_grant",
    RequestApproval: "request_approval",
    Approve: "approve",
    Reject: "reject",
    ReleaseHold: "release_hold",
    ExtendHold: "extend_hold",
}

# The model agrees with `decide`.


def described(transfer: Transfer) -> dict[str, Any]:
    """Say what a transfer is in words and numbers that the model knows too."""
    return {
        "word": KIND_WORDS[transfer.kind],
        "accounts": DEBIT_AND_CREDIT[transfer.kind],
        "amount": transfer.amount,
        "wallet": transfer.wallet_after,
        "held": transfer.held_after,
        "at": transfer.committed_at,
        "price": (transfer.request_type, transfer.quantity, transfer.unit_price, transfer.price_id),
        "refers_to": transfer.refers_to,
        "texts": (transfer.reference, transfer.note),
        "pricing": transfer.pricing,
        "uncollected": transfer.uncollected,
        "key": transfer.key_id,
        "given": transfer.given,
    }


def described_by_model(book: Book, seq: int) -> dict[str, Any]:
    move = book.moves[seq - 1]
    unit_price = None if move.unit_price is None else micros(move.unit_price)
    return {
        "word": move.word.removesuffix(" up").removesuffix(" down"),
        "accounts": model.DEBIT_AND_CREDIT[move.word],
        "amount": micros(move.amount),
        "wallet": micros(book.balance("wallet", seq)),
        "held": micros(book.balance("held", seq)),
        "at": move.at,
        "price": (move.request_type, move.quantity, unit_price, move.price_number),
        "refers_to": move.refers_to,
        "texts": (move.reference, move.note),
        "pricing": None if move.measured is None else move.measured.text(),
        "uncollected": micros(move.uncollected) or None,
        "key": move.key,
        "given": book.given_text(move),
    }


def assert_answered(answer: Answer, outcome: Outcome, command: Command) -> None:
    assert answer.code is outcome.code, (command, outcome.message)
    assert (answer.seq, answer.is_replay) == (outcome.transfer and outcome.transfer.seq, outcome.is_replay), command
    assert answer.above == (outcome.charge and outcome.charge.seq), command
    assert answer.hold_seq == (outcome.hold and outcome.hold.seq), command
    assert answer.request == (outcome.approval and outcome.approval.approval_id), command
    assert answer.grant == (outcome.grant and outcome.grant.number), command
    assert (outcome.message is None) is outcome.is_ok


def assert_same_book(book: Book, store: MemoryConnector, merchant_id: int) -> None:
    account = at_once(store.stores.accounts.find(merchant_id))
    assert account is not None
    for name in model.ACCOUNTS:
        assert micros(book.balance(name)) == getattr(account, name), name
    assert micros(book.posted()) == account.posted
    assert (micros(book.credit_limit), book.is_frozen) == (account.credit_limit, account.is_frozen)
    assert book.closed_at == account.closed_at
    thresholds = {micros(limit): not book.is_below(limit) for limit in book.thresholds}
    assert sorted(thresholds.items()) == [(item.amount, item.is_armed) for item in account.thresholds]
    assert book.is_used_up() == account.is_exhausted
    assert_same_grants(book, account, [item for item in store.rows()["grants"] if item.merchant_id == merchant_id])
    assert micros(book.owed()) == account.owed
    owing = {seq: micros(amount) for seq, amount in book.owing().items()}
    short = {seq: micros(move.uncollected) for seq, move in enumerate(book.moves, 1) if move.uncollected}
    rows = [row for row in store.rows()["shortfalls"] if row.merchant_id == merchant_id]
    assert [(seq, amount, owing.get(seq, 0)) for seq, amount in short.items()] == [
        (row.seq, row.amount, row.owed) for row in rows
    ]
    transfers = [item for item in store.rows()["transfers"] if item.merchant_id == merchant_id]
    assert len(book.moves) == account.seq
    for seq, transfer in enumerate(transfers, 1):
        assert described_by_model(book, seq) == described(transfer)
    assert [holds_row(book, seq) for seq in sorted(book.hold_ends)] == [
        (hold.seq, hold.amount, hold.expires_at, HoldState(hold.state).name.lower(), hold.captured)
        for hold in store.rows()["holds"]
        if hold.merchant_id == merchant_id
    ]
    assert counts_by_model(book) == {
        (count.request_type, count.starts_at, count.period_unit, count.line): count.units
        for count in store.rows()["period_counts"]
        if count.merchant_id == merchant_id and count.units
    }
    for budget in store.rows()["budgets"]:
        if budget.merchant_id == merchant_id:
            unit, at = BudgetUnit(budget.unit), budget.starts_at
            assert micros(spent(book.moves, budget.budget_id, unit, budget.zone, at)) == budget.spent
    alerts: list[Alert] = [alert for alert in store.rows()["alerts"] if alert.merchant_id == merchant_id]
    assert [told_row(told) for told in book.told] == list(map(alert_row, alerts))
    for told, alert in zip(book.told, alerts, strict=True):
        facts = alert.read_facts
        assert book.currency == facts["currency"]
        assert {name: plain(value) for name, value in told.more.items()}.items() <= facts.items()
    assert list(range(1, account.alerts_count + 1)) == [alert.number for alert in alerts]
    approvals = [item for item in store.rows()["approvals"] if item.merchant_id == merchant_id]
    assert sorted(book.requests) == [approval.approval_id for approval in approvals]
    for approval in approvals:
        assert_requested(book.requests[approval.approval_id], approval)
    lone_moves = [move for move in store.lone_moves if move.merchant_id == merchant_id]
    assert book.alone == [(move.at, read_people(move.people), units(move.amount)) for move in lone_moves]


def assert_same_grants(book: Book, account: Account, grants: list[Grant]) -> None:
    assert micros(book.given()) == account.given
    assert list(book.grants) == list(range(1, account.grants_count + 1)) == [grant.number for grant in grants]
    for lot, grant in zip(book.grants.values(), grants, strict=True):
        assert micros(book.left_of_grant(lot.number)) == grant.left
        assert (lot.seq, lot.is_over) == (grant.transfer_seq, grant.state == GrantState.ENDED)
        assert (lot.seq is None and not lot.is_over) is (grant.state == GrantState.WAITING)
        assert (micros(lot.amount), lot.priority, lot.starts_at) == (grant.amount, grant.priority, grant.starts_at)
        assert (lot.expires_at, lot.reference, lot.reason) == (grant.expires_at, grant.reference, grant.reason)
        assert lot.types == (None if grant.types is None else set(grant.types.split(" ")))
    waiting = [lot.starts_at for lot in book.grants.values() if lot.seq is None and not lot.is_over]
    ending = [lot.expires_at for lot in book.grants.values() if lot.seq and not lot.is_over and lot.expires_at]
    assert min([*waiting, *ending], default=None) == account.grants_due_at


def counts_by_model(book: Book) -> dict[tuple[str, int, str, str], int]:
    """Sum up every period that a book's moves were counted in."""
    places = {move.measured.place for move in book.moves if move.measured is not None and move.measured.place}
    return {(*place, line): number for place in places for line, number in book.counted(place).items()}


def assert_requested(request: Request, approval: Approval) -> None:
    assert request.state == ApprovalState(approval.state).name.lower()
    assert (request.by, request.at) == (approval.requested_by, approval.requested_at)
    assert (request.decided_by, request.decided_at) == (approval.decided_by, approval.decided_at)
    assert request.seq == approval.transfer_seq
    assert request.people == read_people(approval.requested_people)
    assert micros(request.amount) == approval.amount
    move = request.move
    if isinstance(move, SetCreditLimit):
        assert (RequestKind.CREDIT_LIMIT, None, None) == (approval.kind, approval.reference, approval.note)
        return
    assert (move.kind, move.reference) == (approval.kind, approval.reference)
    assert (move.reason if isinstance(move, Adjust | GiveCredit) else move.note) == approval.note
    assert (move.transfer_seq if isinstance(move, Refund) else None) == approval.refers_to


def holds_row(book: Book, seq: int) -> tuple[Any, ...]:
    amount = micros(book.moves[seq - 1].amount)
    return seq, amount, book.hold_ends[seq], book.hold_state(seq), micros(book.captured(seq))


def plain(value: Any) -> Any:
    """Write what a model tells as facts do."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    return micros(value) if isinstance(value, Decimal) else value


def told_row(told: Told) -> tuple[Any, ...]:
    amounts = (told.threshold, told.posted, told.refused, told.available, told.credit_limit)
    return told.what, told.at, told.seq, told.user_id, *map(plain, amounts)


def alert_row(alert: Alert) -> tuple[Any, ...]:
    facts = alert.read_facts
    amounts = (alert.threshold, alert.posted, alert.refused, facts["available"], facts["credit_limit"])
    return EVENT_TYPES[alert.kind], alert.fired_at, alert.transfer_seq, alert.user_id, *amounts


def audit_row(action: Action) -> tuple[Any, ...]:
    if action.grant is not None:
        subject = ids.book_id(ids.GRANT, merchant_id=action.merchant_id, seq=action.grant)
    elif action.seq is not None:
        subject = ids.book_id(ids.TRANSFER, merchant_id=action.merchant_id, seq=action.seq)
    elif action.hold_seq is not None:
        subject = ids.book_id(ids.HOLD, merchant_id=action.merchant_id, seq=action.hold_seq)
    elif action.request is not None:
        subject = ids.public_id(ids.APPROVAL, action.request)
    else:
        subject = ids.public_id(ids.MERCHANT, action.merchant_id)
    by = action.by
    return by.entry_id, action.merchant_id, action.at, by.name, by.key_id, by.address, ACTIONS[action.what], subject


def entry_row(audit_entry: AuditEntry) -> tuple[Any, ...]:
    return astuple(audit_entry)[:-1]


@examples(250)
@given(scenarios())
def test_the_model_agrees_with_decide(scenario: Scenario) -> None:
    store, outcomes = played(scenario)
    commands = [command for batch in scenario.batches for command in batch.commands]
    for answer, outcome, command in zip(scenario.answers, outcomes, commands, strict=True):
        assert_answered(answer, outcome, command)
    for merchant_id in MERCHANTS:
        assert_same_book(scenario.model.books[merchant_id], store, merchant_id)
    assert Counter(map(audit_row, scenario.model.actions)) == Counter(map(entry_row, store.rows()["audit_entries"]))


def test_histories_meet_every_outcome() -> None:
    """A property says little of what its examples never come to; what is rare takes more of them."""
    seen: Counter[str] = Counter()
    wanted = {*Code, "replay", "joined", *RULED, *GIVEN, *(EVENT_TYPES[kind] for kind in DECIDED)}

    def play(scenario: Scenario) -> None:
        seen.update("replay" if answer.is_replay else answer.code for answer in scenario.answers)
        told = [told for book in scenario.model.books.values() for told in book.told]
        seen.update(one.what for one in told)
        seen.update("joined" for one in told if one.user_id is not None)
        for book in scenario.model.books.values():
            seen.update(kind for move in book.moves if move.measured is not None for kind in ruled_kinds(book, move))
            seen.update(kind for seq in range(1, len(book.moves) + 1) for kind in given_kinds(book, seq))

    for number in range(HISTORIES_ROUNDS_MAX):
        if wanted - seen.keys():
            seed(number)(settings(examples(1_000), database=None)(given(scenarios())(play)))()
    assert set() == wanted - seen.keys()


HISTORIES_ROUNDS_MAX: Final = 10

DECIDED: Final = frozenset(AlertKind) - {
    *(AlertKind.CREDIT_ENDS, AlertKind.RUNWAY_SHORT, AlertKind.UNUSUAL_SPENDING, AlertKind.DESTINATION_DISABLED)
}
"""What commands cause; the others are looked for, or caused by what is sent."""

GIVEN: Final = {
    *(
        "of several lots",
        "of paid money first",
        "part refunded",
        "lots part captured",
        "released to lots",
        "back to lots",
    ),
    *("ended in its time", "ended by support", "ended at once", "started later"),
}
"""What becomes of given credit."""


def given_kinds(book: Book, seq: int) -> set[str]:
    move = book.moves[seq - 1]
    numbers = [number for number, _ in move.parts]
    origin = book.moves[move.refers_to - 1] if move.refers_to else move
    kinds = {
        "of several lots": move.word in ("charge", "hold") and len(numbers) > 2,
        "of paid money first": move.word in ("charge", "hold") and numbers[:1] == [None] and len(numbers) > 1,
        "part refunded": move.word == "refund" and len(origin.parts) > 1 and move.amount < origin.amount,
        "lots part captured": move.word == "capture" and len(origin.parts) > 1 and move.amount < origin.amount,
        "released to lots": move.word == "release" and any(numbers),
        "back to lots": move.word == "refund" and any(numbers),
        "started later": move.word == "grant" and book.grants[numbers[0] or 0].starts_at > book.moves[seq - 2].at,
    }
    if move.word == "grant_expiry":
        way = "ended by support" if move.note else "ended in its time"
        kinds["ended at once" if "after" in move.name else way] = True
    return {kind for kind, is_so in kinds.items() if is_so}


RULED: Final = {
    *("charge", "hold", "capture", "free", "in a window", "in a tier", "over a border", "in an earlier period"),
    *("part captured", "all captured", "given back", "kept"),
}
"""What rules make of moves."""


def ruled_kinds(book: Book, move: Move) -> set[str]:
    measured = move.measured
    assert measured is not None
    rule, seq = measured.rule, book.moves.index(move) + 1
    of_its_commit = period_of(rule, "", move.at) or ("", 0)
    kinds = {
        move.word: True,
        "free": move.amount == 0,
        "in a window": measured.window is not None,
        "in a tier": measured.tier is not None,
        "over a border": any(
            measured.before.get(line.name, 0) < step.start - 1 < measured.before.get(line.name, 0) + units_of_line
            for line in rule.rates.lines
            for step in line.steps
            if (units_of_line := measured.units.get(line.name, 0))
        ),
        "in an earlier period": measured.place is not None and measured.place[1] < of_its_commit[1],
    }
    if move.word == "capture":
        hold = book.moves[(move.refers_to or 0) - 1].measured
        assert hold is not None
        kinds["all captured" if hold.quantities == measured.quantities else "part captured"] = True
    elif move.word == "charge" and measured.place is not None and book.naming(seq, "refund"):
        kinds["given back" if measured.gives_back else "kept"] = True
    return {kind for kind, is_so in kinds.items() if is_so}


# A batch is invisible.


@examples(150)
@given(scenarios(), st.lists(st.integers(1, 8), min_size=1, max_size=60))
def test_splitting_batches_changes_nothing(scenario: Scenario, cuts: list[int]) -> None:
    whole, outcomes = played(scenario)
    for each in (cuts, [1]):
        store, others = played(scenario, *each)
        assert outcomes == others
        assert whole.rows() == store.rows()


# The rule that never breaks.


def assert_sound(account: Account) -> None:
    assert account.wallet >= -account.credit_limit
    assert account.wallet - account.given >= -account.credit_limit
    outside = account.funding + account.adjustments + account.promotions
    assert 0 == account.wallet + account.held + account.revenue + outside
    assert min(account.held, account.revenue, -account.funding) >= 0
    assert [] == account_faults(account)
    assert max(abs(account.wallet), account.held, account.revenue, -account.funding) < 2**63


@examples(100)
@given(scenarios())
def test_no_wallet_is_ever_below_its_credit_limit_and_books_sum_to_zero(scenario: Scenario) -> None:
    store = founded(scenario)
    for step in scenario.steps:
        if not isinstance(step, Batch):
            at_once(prepare(store.stores, step))
            continue
        for command in step.commands:
            store.do(command, now=step.now)
            for account in store.rows()["accounts"]:
                assert_sound(account)


@examples(100)
@given(scenarios())
def test_replaying_a_book_comes_to_what_is_stored(scenario: Scenario) -> None:
    store, _ = played(scenario)
    for account in store.rows()["accounts"]:
        assert [] == faults_of(store, account)


@examples(100)
@given(scenarios())
def test_whatever_moved_money_is_a_replay_for_ever_after(scenario: Scenario) -> None:
    store, outcomes = played(scenario)
    now = scenario.batches[-1].now
    # Grants that are due start and end whatever is asked.
    store.do(*map(SettleGrants, MERCHANTS), now=now)
    before = store.rows()
    commands = [command for batch in scenario.batches for command in batch.commands]
    for command, outcome in zip(commands, outcomes, strict=True):
        if outcome.transfer is not None:
            again = store.do(from_the_shell(command), now=now)[0]
            assert (Code.OK, True, outcome.transfer) == (again.code, again.is_replay, again.transfer)
    assert before == store.rows()


def from_the_shell(command: Command) -> Command:
    """The same command with no API key in it, which may have been closed since."""
    if isinstance(command, Charge | CreateHold):
        return replace(command, caller=None, payer=Payer(command.merchant_id))
    if isinstance(command, RequestApproval | Approve):
        return replace(command, move=replace(command.move, caller=None))
    return command if isinstance(command, ExpireHold) else replace(command, caller=None)
