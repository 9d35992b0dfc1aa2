"""The rules, one by one: refusals in their order, what each kind of transfer does to the accounts, retries, holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.approvals import Approval, ApprovalLimits, ApprovalState
from farebox.core.commands import (
    ACCOUNT_CHANGES,
    SPENDS,
    Actor,
    Adjust,
    Approve,
    Caller,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    ExtendHold,
    GiveCredit,
    KeyKind,
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
    TopUp,
)
from farebox.core.credit.budgets import Budget, BudgetUnit
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.decide import decide
from farebox.core.holds import Hold, HoldState
from farebox.core.money import AMOUNT_MICROS_MAX, BALANCE_MICROS_MAX
from farebox.core.outcomes import Code, Outcome
from farebox.core.permissions import ALLOWED_KEYS
from farebox.core.prices import Price
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.core.state import BatchState, KeyRecord, Original
from farebox.core.transfers import Transfer
from tests.support.ledger import (
    ANN,
    BEN,
    NOW,
    SECOND,
    UNIT,
    MemoryLedger,
    adjust,
    balances,
    charge,
    digest,
    hold,
    top_up,
)
from tests.support.memory import at_once

SERVICE, SUPPORT, ANNS, UNKNOWN, VIEWER, MOVER, ADMINISTRATOR = (bytes([number]) * 32 for number in range(7))
KEYS: Final = {
    SERVICE: KeyRecord(1, KeyKind.SERVICE, None, None, None, people="501"),
    SUPPORT: KeyRecord(2, KeyKind.SUPPORT, None, None, None, EVERY_ROLE),
    ANNS: KeyRecord(3, KeyKind.MERCHANT, ANN, None, None, budget_id=3),
    VIEWER: KeyRecord(4, KeyKind.SUPPORT, None, None, None, StaffRole.VIEWER),
    MOVER: KeyRecord(5, KeyKind.SUPPORT, None, None, None, StaffRole.SUPPORT, people="501"),
    ADMINISTRATOR: KeyRecord(6, KeyKind.SUPPORT, None, None, None, StaffRole.ADMINISTRATOR),
}


ACCOUNT: Final = Account(ANN, "USD", wallet=60 * UNIT, held=40 * UNIT, revenue=100 * UNIT, funding=-200 * UNIT)
EMPTY: Final = replace(ACCOUNT, wallet=0, held=0, funding=-100 * UNIT)
HELD: Final = Hold(ANN, 7, 10 * UNIT, NOW + 1)
GIVEN: Final = replace(ACCOUNT, funding=-195 * UNIT, promotions=-5 * UNIT, given=5 * UNIT, grants_due_at=NOW + 1)
GRANT: Final = Grant(
    *(ANN, 1, 5 * UNIT, 5 * UNIT, "REF", "trial", "grant REF", bytes(8)), expires_at=NOW + 1, transfer_seq=1
)

ALL_GIVEN: Final = replace(EMPTY, wallet=5 * UNIT, promotions=-5 * UNIT, given=5 * UNIT)
PAYING: Final = replace(GRANT, expires_at=None)

# Refusals, in order of precedence. What a command meets is put together from its parts, so that faults can be combined.


TOLD_REFUSALS: Final = {Code.INSUFFICIENT_BALANCE, Code.MONEY_OWED, Code.KEY_BUDGET_EXCEEDED}
"""Those of a charge or hold that are told, once, and so change an account."""


@dataclass
class Situation:
    """A command that goes through, and what it meets."""

    command: Command
    original: Kind = Kind.CHARGE
    original_price: int | None = None
    account: Account = ACCOUNT
    has_account: bool = True
    is_key_used: bool = False
    has_price: bool = True
    unit_price: int | None = UNIT
    rule: Rule | None = None
    is_retired: bool = False
    has_hold: bool = True
    hold: Hold = HELD
    has_original: bool = True
    returned: int = 0
    approval: Approval | None = None
    grant: Grant | None = None
    budget: int = BALANCE_MICROS_MAX

    def change(self, **fields: Any) -> None:
        """Ask for something else."""
        if isinstance(self.command, RequestApproval | Approve):
            self.command = replace(self.command, move=replace(self.command.move, **fields))
        else:
            self.command = replace(self.command, **fields)

    def book(self, **balances: int) -> None:
        """Let balances be others, and the adjustments what makes them sum to zero."""
        account = replace(self.account, **balances)
        rest = account.wallet + account.held + account.revenue + account.funding
        self.account = replace(account, adjustments=-rest)

    def outcome(self) -> Outcome:
        """Decide the command on its own."""
        state = BatchState(keys=KEYS, logins={501: "", 502: ""})
        state.budgets = {(ANN, 3): [Budget(ANN, 3, BudgetUnit.TOTAL, self.budget, "UTC")]}
        if self.has_account:
            state.accounts = {ANN: self.account}
        if self.account.owed:
            state.shortfalls = {(ANN, 4): Shortfall(ANN, 4, NOW, self.account.owed, self.account.owed, 2)}
        if self.is_key_used:
            assert not isinstance(self.command, ACCOUNT_CHANGES)
            key = self.command.idempotency_key
            state.replays = {(ANN, key): transfer(Kind.TOP_UP, seq=3, idempotency_key=key)}
        if self.has_price:
            state.default_prices = {
                "image": Price(5, "image", self.unit_price, 0, rule=self.rule, is_end=self.is_retired)
            }
        if self.has_hold:
            state.holds = {(ANN, 7): self.hold}
        if self.has_original:
            original = replace(transfer(self.original, seq=7, amount=10 * UNIT), unit_price=self.original_price)
            state.originals = {(ANN, 7): Original(original, self.returned)}
        if self.approval is not None:
            state.approvals = [self.approval]
        if self.grant is not None:
            state.grants, state.grants_complete = {(ANN, 1): self.grant}, {ANN}
        decision = decide(state, [self.command], NOW)
        if decision.outcomes[0].code is not Code.OK:
            is_short = decision.outcomes[0].code in TOLD_REFUSALS
            is_told = is_short and isinstance(self.command, SPENDS)
            assert is_told is decision.changes_anything
            moved = (decision.transfers, decision.new_holds, decision.changed_holds, decision.changed_approvals)
            assert ([], [], [], []) == moved
            assert ([], []) == (decision.new_grants, decision.changed_grants)
            assert decision.outcomes[0].message
        return decision.outcomes[0]


def transfer(kind: Kind, *, seq: int, amount: int = UNIT, idempotency_key: str = "earlier") -> Transfer:
    return Transfer(ANN, seq, kind, amount, idempotency_key, b"earlier.", 0, 0, NOW, bytes(32))


Fault = Callable[[Situation], None]


def asks(**fields: Any) -> Fault:
    return lambda situation: situation.change(**fields)


def meets(**parts: Any) -> Fault:
    def meet(situation: Situation) -> None:
        for name, part in parts.items():
            setattr(situation, name, part)

    return meet


def has(**balances: int) -> Fault:
    return lambda situation: situation.book(**balances)


def is_ruled_by(**rules: Any) -> Fault:
    def rule(situation: Situation) -> None:
        situation.account = replace(situation.account, **rules)

    return rule


def hold_is(state: HoldState) -> Fault:
    captured = 10 * UNIT if state is HoldState.CAPTURED else 0
    return meets(hold=Hold(ANN, 7, 10 * UNIT, NOW + 1, state, captured))


@dataclass(frozen=True)
class Refusals:
    """A command, and the faults it may have in order of precedence; some can't come together."""

    command: Command
    faults: dict[Code, Fault]
    original: Kind = Kind.CHARGE
    original_price: int | None = None
    apart: tuple[set[Code], ...] = ()
    hold: Hold = HELD
    approval: Approval | None = None
    rule: Rule | None = None
    account: Account = ACCOUNT
    grant: Grant | None = None

    def situation(self) -> Situation:
        return Situation(
            *(self.command, self.original, self.original_price, self.account),
            hold=self.hold,
            approval=self.approval,
            rule=self.rule,
            grant=self.grant,
        )


NOBODY_ASKS: Final = {
    Code.INVALID_API_KEY: asks(caller=Caller(UNKNOWN)),
    Code.FORBIDDEN: asks(caller=Caller(ANNS, ANN)),
}
IS_CLOSED: Final = is_ruled_by(closed_at=NOW)
UNKNOWN_MERCHANT: Final = {**NOBODY_ASKS, Code.MERCHANT_NOT_FOUND: meets(has_account=False)}
COMMON: Final = {
    **UNKNOWN_MERCHANT,
    Code.MERCHANT_CLOSED: IS_CLOSED,
    Code.IDEMPOTENCY_CONFLICT: meets(is_key_used=True),
}
SPENDING: Final = {
    **NOBODY_ASKS,
    Code.MERCHANT_NOT_FOUND: asks(payer=Payer(ANN, UNKNOWN)),
    Code.MERCHANT_CLOSED: IS_CLOSED,
    Code.IDEMPOTENCY_CONFLICT: meets(is_key_used=True),
    Code.MERCHANT_FROZEN: is_ruled_by(is_frozen=True),
    Code.CLOCK_BEHIND: is_ruled_by(last_at=NOW + 60_000_001),
    Code.TYPE_RETIRED: meets(is_retired=True),
    Code.UNKNOWN_TYPE: meets(has_price=False),
    Code.UNKNOWN_QUANTITY: asks(quantities=(("tokens", 2),)),
    Code.QUANTITIES_REQUIRED: asks(quantities=(("requests", 0),)),
    Code.AMOUNT_REQUIRED: meets(unit_price=None),
    Code.AMOUNT_NOT_ALLOWED: asks(amount=UNIT),
    Code.KEY_BUDGET_EXCEEDED: meets(budget=2 * UNIT - 1),
    Code.AMOUNT_TOO_LARGE: asks(quantity=AMOUNT_MICROS_MAX // UNIT + 1),
}
POOR: Final = has(wallet=2 * UNIT - 1)
ENDING: Final = {
    **COMMON,
    Code.HOLD_NOT_FOUND: meets(has_hold=False),
    Code.HOLD_ALREADY_CAPTURED: hold_is(HoldState.CAPTURED),
    Code.HOLD_ALREADY_RELEASED: hold_is(HoldState.RELEASED),
}
GIVING_BACK: Final = {**COMMON, Code.TRANSFER_NOT_FOUND: meets(has_original=False)}
CALLERS: Final = {Code.INVALID_API_KEY, Code.FORBIDDEN}
BY_SUPPORT: Final = Caller(SUPPORT)
BY_ANN: Final = Actor(1, "ann", login_id=501)
BY_BEN: Final = Actor(2, "ben", login_id=502)
TAKING: Final = Adjust(ANN, 2 * UNIT, False, "R-1", "mistake", BY_SUPPORT, BY_BEN)
REQUESTED: Final = Approval(
    *(ANN, 9, TAKING.kind, TAKING.amount, TAKING.reference, TAKING.reason, TAKING.idempotency_key),
    *(TAKING.fingerprint(), "ann", NOW - 1),
    requested_people="501",
)


def is_limited_to(amount: int) -> Fault:
    def limit(situation: Situation) -> None:
        assert isinstance(situation.command, RequestApproval)
        situation.command = replace(situation.command, limits=ApprovalLimits(amount))

    return limit


def wishes(amount: int) -> Fault:
    def wish(situation: Situation) -> None:
        assert isinstance(situation.command, RequestApproval)
        situation.command = replace(situation.command, move=replace(situation.command.move, amount=amount))

    return wish


def decided(state: ApprovalState) -> Fault:
    seq = 3 if state is ApprovalState.APPROVED else None
    return meets(approval=replace(REQUESTED, state=state, decided_by="cleo", decided_at=NOW - 1, transfer_seq=seq))


PRICES: Final = {Code.UNKNOWN_TYPE, Code.AMOUNT_REQUIRED}
RETIRED: Final = {Code.TYPE_RETIRED, Code.UNKNOWN_TYPE}
NAMED: Final = {Code.UNKNOWN_QUANTITY, Code.QUANTITIES_REQUIRED}
VARIABLE: Final = {
    *(Code.AMOUNT_REQUIRED, Code.AMOUNT_TOO_LARGE, Code.AMOUNT_NOT_ALLOWED, Code.QUANTITIES_REQUIRED),
    Code.KEY_BUDGET_EXCEEDED,
}
AMOUNTS: Final = {Code.AMOUNT_REQUIRED, Code.AMOUNT_NOT_ALLOWED}
HOLDS: Final = {Code.HOLD_ALREADY_CAPTURED, Code.HOLD_ALREADY_RELEASED, Code.HOLD_EXPIRED}
DUE: Final = Hold(ANN, 7, 10 * UNIT, NOW)
CENT: Final = UNIT // 100
VAST: Final = AMOUNT_MICROS_MAX + CENT
FINE: Final = UNIT + 1
BY_TOKENS: Final = Rule(Rates((Line("in", 2 * UNIT), Line("out", 5 * UNIT), Line("cached", 1))))

TABLE: Final = {
    "charge": Refusals(
        Charge(Payer(ANN, ANNS), "image", 2, "key", caller=Caller(SERVICE)),
        {
            **SPENDING,
            Code.BALANCE_LIMIT_EXCEEDED: has(revenue=BALANCE_MICROS_MAX - UNIT),
            Code.MONEY_OWED: is_ruled_by(owed=UNIT),
            Code.INSUFFICIENT_BALANCE: POOR,
        },
        apart=(CALLERS, RETIRED, NAMED, PRICES, AMOUNTS, {Code.AMOUNT_REQUIRED, Code.AMOUNT_TOO_LARGE}),
    ),
    "plain charge": Refusals(
        Charge(Payer(ANN), "image", 2, "key", caller=Caller(SERVICE)),
        {
            **{code: fault for code, fault in SPENDING.items() if code is not Code.KEY_BUDGET_EXCEEDED},
            Code.MERCHANT_NOT_FOUND: meets(has_account=False),
            Code.BALANCE_LIMIT_EXCEEDED: has(revenue=BALANCE_MICROS_MAX - UNIT),
            Code.MONEY_OWED: is_ruled_by(owed=UNIT),
            Code.INSUFFICIENT_BALANCE: POOR,
        },
        apart=(CALLERS, RETIRED, NAMED, PRICES, AMOUNTS, {Code.AMOUNT_REQUIRED, Code.AMOUNT_TOO_LARGE}),
    ),
    "plain charge that a grant pays for": Refusals(
        Charge(Payer(ANN, ANNS), "image", 2, "key", caller=Caller(SERVICE)),
        {
            **SPENDING,
            Code.BALANCE_LIMIT_EXCEEDED: is_ruled_by(revenue=BALANCE_MICROS_MAX - UNIT),
            Code.MONEY_OWED: is_ruled_by(owed=UNIT),
            Code.INSUFFICIENT_BALANCE: meets(grant=replace(PAYING, types="page")),
        },
        apart=(CALLERS, RETIRED, NAMED, PRICES, AMOUNTS, {Code.AMOUNT_REQUIRED, Code.AMOUNT_TOO_LARGE}),
        account=ALL_GIVEN,
        grant=PAYING,
    ),
    "charge by a rule": Refusals(
        Charge(Payer(ANN, ANNS), "image", 1, "key", caller=Caller(SERVICE), quantities=(("in", 3), ("out", 2))),
        {
            **{code: fault for code, fault in SPENDING.items() if code not in VARIABLE},
            Code.QUANTITIES_REQUIRED: asks(quantities=None),
            Code.AMOUNT_NOT_ALLOWED: asks(amount=UNIT),
            Code.REQUESTED_AT_OUT_OF_BOUNDS: asks(requested_at=NOW - 24 * 3600 * 1_000_000 - 1),
            Code.COST_TOO_LARGE: asks(quantities=(("in", 3), ("out", 2 * 10**12))),
            Code.KEY_BUDGET_EXCEEDED: meets(budget=16 * UNIT - 1),
            Code.AMOUNT_TOO_LARGE: meets(rule=replace(BY_TOKENS, rates=replace(BY_TOKENS.rates, base=VAST))),
            Code.INSUFFICIENT_BALANCE: has(wallet=16 * UNIT - 1),
        },
        apart=(CALLERS, RETIRED, {Code.UNKNOWN_QUANTITY, Code.QUANTITIES_REQUIRED, Code.COST_TOO_LARGE}),
        rule=BY_TOKENS,
    ),
    "hold": Refusals(
        CreateHold(Payer(ANN, ANNS), "image", 2, "key", caller=Caller(SERVICE)),
        {
            **SPENDING,
            Code.BALANCE_LIMIT_EXCEEDED: has(held=BALANCE_MICROS_MAX - UNIT),
            Code.MONEY_OWED: is_ruled_by(owed=UNIT),
            Code.INSUFFICIENT_BALANCE: POOR,
        },
        apart=(CALLERS, RETIRED, NAMED, PRICES, AMOUNTS, {Code.AMOUNT_REQUIRED, Code.AMOUNT_TOO_LARGE}),
    ),
    "capture of requests": Refusals(
        CaptureHold(ANN, 7, "key", caller=Caller(SERVICE), quantity=1),
        {
            **COMMON,
            Code.AMOUNT_REQUIRED: meets(original_price=None),
            **ENDING,
            Code.HOLD_NOT_FOUND: meets(has_original=False),
            Code.HOLD_EXPIRED: meets(hold=DUE),
            Code.CAPTURE_EXCEEDS_HOLD: asks(quantity=2),
            Code.BALANCE_LIMIT_EXCEEDED: has(revenue=BALANCE_MICROS_MAX - UNIT),
        },
        apart=(CALLERS, HOLDS, {Code.AMOUNT_REQUIRED, Code.HOLD_NOT_FOUND}),
        original_price=10 * UNIT,
    ),
    "capture": Refusals(
        CaptureHold(ANN, 7, "key", caller=Caller(SERVICE)),
        {
            **ENDING,
            Code.HOLD_EXPIRED: meets(hold=DUE),
            Code.CAPTURE_EXCEEDS_HOLD: asks(amount=10 * UNIT + 1),
            Code.BALANCE_LIMIT_EXCEEDED: has(revenue=BALANCE_MICROS_MAX - UNIT),
        },
        apart=(CALLERS, HOLDS),
    ),
    "release": Refusals(
        ReleaseHold(ANN, 7, "key", caller=Caller(SERVICE)),
        {**ENDING, Code.HOLD_EXPIRED: meets(hold=DUE)},
        apart=(CALLERS, HOLDS),
    ),
    "extend": Refusals(
        ExtendHold(ANN, 7, NOW + 3600 * SECOND, caller=Caller(SERVICE)),
        {
            **{code: fault for code, fault in ENDING.items() if code is not Code.IDEMPOTENCY_CONFLICT},
            Code.HOLD_EXPIRED: meets(hold=DUE),
            Code.HOLD_END_OUT_OF_BOUNDS: asks(expires_at=NOW + 7 * 24 * 3600 * SECOND + 1),
        },
        apart=(CALLERS, HOLDS),
    ),
    "expire": Refusals(
        ExpireHold(ANN, 7),
        {
            # A merchant that is closed has holds of nothing at most, and they end in their time.
            **{code: fault for code, fault in ENDING.items() if code not in {*CALLERS, Code.MERCHANT_CLOSED}},
            Code.HOLD_EXPIRED: hold_is(HoldState.EXPIRED),
            Code.HOLD_NOT_DUE: meets(hold=Hold(ANN, 7, 10 * UNIT, NOW + 1)),
        },
        apart=({*HOLDS, Code.HOLD_NOT_DUE},),
        hold=DUE,
    ),
    "refund": Refusals(
        Refund(ANN, 7, "key", caller=Caller(SUPPORT)),
        {
            **GIVING_BACK,
            Code.TRANSFER_NOT_REFUNDABLE: meets(original=Kind.TOP_UP),
            Code.REFUND_EXCEEDS_TRANSFER: meets(returned=10 * UNIT),
            Code.BALANCE_LIMIT_EXCEEDED: has(wallet=BALANCE_MICROS_MAX - 41 * UNIT),
        },
        apart=(CALLERS,),
    ),
    "reverse top-up": Refusals(
        ReverseTopUp(ANN, 7, "R-1", "bounced", caller=Caller(SUPPORT)),
        {
            **GIVING_BACK,
            Code.TRANSFER_NOT_REVERSIBLE: meets(original=Kind.CHARGE),
            Code.REVERSAL_EXCEEDS_TOP_UP: asks(amount=10 * UNIT + 1),
            Code.AMOUNT_TOO_FINE: asks(amount=FINE),
            Code.INSUFFICIENT_BALANCE: has(wallet=10 * UNIT - 1),
        },
        original=Kind.TOP_UP,
        apart=(CALLERS,),
    ),
    "top-up": Refusals(
        TopUp(ANN, UNIT, "R-1", caller=Caller(SUPPORT)),
        {
            **COMMON,
            Code.AMOUNT_TOO_FINE: asks(amount=FINE),
            Code.AMOUNT_TOO_LARGE: asks(amount=VAST),
            Code.BALANCE_LIMIT_EXCEEDED: has(wallet=BALANCE_MICROS_MAX - 40 * UNIT),
        },
        apart=(CALLERS,),
    ),
    "adjust down": Refusals(
        Adjust(ANN, 2 * UNIT, False, "R-1", "mistake", caller=Caller(SUPPORT)),
        {
            **COMMON,
            Code.AMOUNT_TOO_FINE: asks(amount=FINE),
            Code.AMOUNT_TOO_LARGE: asks(amount=VAST),
            Code.BALANCE_LIMIT_EXCEEDED: has(funding=-60 * UNIT - BALANCE_MICROS_MAX),
            Code.INSUFFICIENT_BALANCE: POOR,
        },
        apart=(CALLERS,),
    ),
    "give credit": Refusals(
        GiveCredit(ANN, UNIT, "R-1", "trial", expires_at=NOW + 1, caller=Caller(SUPPORT)),
        {
            **COMMON,
            Code.GRANT_TIMES_OUT_OF_BOUNDS: asks(expires_at=NOW),
            Code.AMOUNT_TOO_FINE: asks(amount=FINE),
            Code.AMOUNT_TOO_LARGE: asks(amount=VAST),
            Code.BALANCE_LIMIT_EXCEEDED: has(wallet=BALANCE_MICROS_MAX - 40 * UNIT),
        },
        apart=(CALLERS,),
    ),
    "end a grant": Refusals(
        EndGrant(ANN, 1, "mistake", caller=Caller(SUPPORT)),
        {
            **COMMON,
            Code.GRANT_NOT_FOUND: asks(number=2),
            Code.GRANT_ALREADY_ENDED: meets(
                grant=replace(GRANT, left=0, state=GrantState.ENDED, ended_at=NOW + 1), account=ACCOUNT
            ),
        },
        apart=(CALLERS,),
        account=GIVEN,
        grant=GRANT,
    ),
    "set credit limit": Refusals(
        SetCreditLimit(ANN, 5 * UNIT, caller=Caller(SUPPORT)),
        {
            **{code: fault for code, fault in COMMON.items() if code is not Code.IDEMPOTENCY_CONFLICT},
            Code.CREDIT_LIMIT_IN_USE: has(wallet=-6 * UNIT),
            Code.AMOUNT_TOO_FINE: asks(credit_limit=5 * UNIT + 1),
        },
        apart=(CALLERS,),
    ),
    "a service's refund of no more than one person may": Refusals(
        RequestApproval(Refund(ANN, 7, "key", caller=Caller(SERVICE)), 9, ApprovalLimits(10 * UNIT)),
        {
            **GIVING_BACK,
            Code.TRANSFER_NOT_REFUNDABLE: meets(original=Kind.TOP_UP),
            Code.REFUND_EXCEEDS_TRANSFER: meets(returned=10 * UNIT),
            Code.APPROVAL_REQUIRED: is_limited_to(UNIT),
            Code.BALANCE_LIMIT_EXCEEDED: has(wallet=BALANCE_MICROS_MAX - 41 * UNIT),
        },
        apart=(CALLERS,),
    ),
    "a person's key's top-up of no more than one person may": Refusals(
        RequestApproval(TopUp(ANN, UNIT, "R-1", caller=Caller(MOVER)), 9, ApprovalLimits(10 * UNIT)),
        {
            **COMMON,
            Code.APPROVAL_REQUIRED: is_limited_to(UNIT - 1),
            Code.AMOUNT_TOO_FINE: wishes(amount=FINE),
            Code.BALANCE_LIMIT_EXCEEDED: has(wallet=BALANCE_MICROS_MAX - 40 * UNIT),
        },
        apart=(CALLERS,),
    ),
    "close": Refusals(
        SetClosed(ANN, True, "gone", caller=Caller(SUPPORT)),
        {**UNKNOWN_MERCHANT, Code.MERCHANT_NOT_EMPTY: has(wallet=1)},
        apart=(CALLERS,),
        account=EMPTY,
    ),
    "set thresholds": Refusals(
        SetThresholds(ANN, (UNIT,), caller=Caller(SUPPORT)),
        {
            **{code: fault for code, fault in COMMON.items() if code is not Code.IDEMPOTENCY_CONFLICT},
            Code.THRESHOLD_OUT_OF_REACH: asks(amounts=(-UNIT,)),
        },
        apart=(CALLERS,),
    ),
    "request approval": Refusals(
        RequestApproval(TAKING, 9),
        {
            **COMMON,
            Code.APPROVAL_ALREADY_REJECTED: decided(ApprovalState.REJECTED),
            Code.AMOUNT_TOO_FINE: asks(amount=FINE),
        },
        # A finer amount is another move than the one that was rejected.
        apart=(CALLERS, {Code.APPROVAL_ALREADY_REJECTED, Code.AMOUNT_TOO_FINE}),
    ),
    "approve": Refusals(
        Approve(TAKING, 9),
        {
            **COMMON,
            Code.APPROVAL_NOT_FOUND: meets(approval=None),
            Code.APPROVAL_ALREADY_REJECTED: decided(ApprovalState.REJECTED),
            Code.APPROVAL_NEEDS_ANOTHER_PERSON: asks(actor=BY_ANN),
            Code.BALANCE_LIMIT_EXCEEDED: has(funding=-60 * UNIT - BALANCE_MICROS_MAX),
            Code.INSUFFICIENT_BALANCE: POOR,
        },
        apart=(CALLERS,),
        approval=REQUESTED,
    ),
    "reject": Refusals(
        Reject(ANN, 9, BY_SUPPORT, BY_BEN),
        {
            **UNKNOWN_MERCHANT,
            Code.APPROVAL_NOT_FOUND: meets(approval=None),
            Code.APPROVAL_ALREADY_APPROVED: decided(ApprovalState.APPROVED),
        },
        apart=(CALLERS,),
        approval=REQUESTED,
    ),
}


def pairs() -> Iterator[Any]:
    for name, refusals in TABLE.items():
        for first, second in combinations(refusals.faults, 2):
            if not any({first, second} <= group for group in refusals.apart):
                yield pytest.param(name, first, second, id=f"{name}: {first}, {second}")


@pytest.mark.parametrize("name", TABLE)
def test_a_command_without_a_fault_goes_through(name: str) -> None:
    assert Code.OK is TABLE[name].situation().outcome().code


@pytest.mark.parametrize(
    ("name", "code"), [(name, code) for name, refusals in TABLE.items() for code in refusals.faults]
)
def test_each_fault_is_refused_by_its_name(name: str, code: Code) -> None:
    situation = TABLE[name].situation()
    TABLE[name].faults[code](situation)
    assert code is situation.outcome().code


@pytest.mark.parametrize(("name", "first", "second"), list(pairs()))
def test_of_two_faults_the_one_that_code_lists_first_is_told(name: str, first: Code, second: Code) -> None:
    situation = TABLE[name].situation()
    TABLE[name].faults[second](situation)
    TABLE[name].faults[first](situation)
    assert first is situation.outcome().code


def test_the_table_is_in_the_order_of_code_and_leaves_no_refusal_out() -> None:
    order = list(Code)
    for refusals in TABLE.values():
        assert sorted(refusals.faults, key=order.index) == list(refusals.faults)
    assert {code for refusals in TABLE.values() for code in refusals.faults} == {*Code} - {Code.OK}


# Keys and rights.


@pytest.mark.parametrize("kind", ALLOWED_KEYS)
def test_a_key_opens_what_its_kind_may_and_nothing_else(kind: type[Command]) -> None:
    services = {Charge, CreateHold, CaptureHold, ReleaseHold, ExtendHold, Refund}
    rules = {SetThresholds, SetCreditLimit, SetFrozen, SetClosed}
    holds = {ReleaseHold, ExtendHold}
    grants = {GiveCredit, EndGrant}
    supports = {Refund, TopUp, ReverseTopUp, Adjust, *grants, *holds, *rules, RequestApproval, Approve, Reject}
    found = {key: _asked_with(kind, key).code is Code.OK for key in (SERVICE, SUPPORT, ANNS)}
    assert {SERVICE: kind in services, SUPPORT: kind in supports, ANNS: False} == found


@pytest.mark.parametrize("kind", [kind for kind, keys in ALLOWED_KEYS.items() if KeyKind.SUPPORT in keys])
def test_a_support_key_opens_what_its_role_may_and_nothing_else(kind: type[Command]) -> None:
    setting, either = {SetThresholds, SetClosed}, {SetFrozen}
    outcomes = {key: _asked_with(kind, key) for key in (VIEWER, MOVER, ADMINISTRATOR)}
    assert {VIEWER: False, MOVER: kind not in setting, ADMINISTRATOR: kind in setting | either} == {
        key: outcome.code is Code.OK for key, outcome in outcomes.items()
    }
    for outcome in outcomes.values():
        assert outcome.is_ok or (outcome.code is Code.FORBIDDEN and "needs the role" in (outcome.message or ""))


def _asked_with(kind: type[Command], key: bytes) -> Outcome:
    """Ask for a command of this kind, which goes through but for its key."""
    command = {
        **{type(refusals.command): refusals.command for refusals in TABLE.values() if refusals.rule is None},
        SetFrozen: SetFrozen(ANN, True),
    }[kind]
    original = Kind.TOP_UP if kind is ReverseTopUp else Kind.CHARGE
    situation = Situation(command, original, approval=None if kind is RequestApproval else REQUESTED)
    if kind is SetClosed:
        situation.account = EMPTY
    if kind is EndGrant:
        situation.account, situation.grant = GIVEN, GRANT
    situation.change(caller=Caller(key, KEYS[key].merchant_id))
    return situation.outcome()


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "is_valid"),
    [
        (None, None, True),
        (NOW + 1, None, True),
        (NOW, None, False),
        (None, NOW + 1, True),
        (None, NOW, False),
        (NOW + 1, NOW - 1, False),
        (NOW - 1, NOW + 1, False),
    ],
)
def test_a_key_opens_nothing_from_the_moment_it_expires_or_is_revoked(
    expires_at: int | None, revoked_at: int | None, is_valid: bool
) -> None:
    record = KeyRecord(1, KeyKind.SERVICE, None, expires_at, revoked_at)
    state = BatchState(
        accounts={ANN: ACCOUNT},
        keys={SERVICE: record, ANNS: replace(record, merchant_id=ANN, kind=KeyKind.MERCHANT)},
        default_prices={"image": Price(5, "image", UNIT, 0)},
    )
    asked = Charge(Payer(ANN), "image", 1, "asked", caller=Caller(SERVICE))
    paid = Charge(Payer(ANN, ANNS), "image", 1, "paid")
    codes = [outcome.code for outcome in decide(state, [asked, paid], NOW).outcomes]
    assert ([Code.OK] * 2 if is_valid else [Code.INVALID_API_KEY, Code.MERCHANT_NOT_FOUND]) == codes


@pytest.mark.parametrize("merchant_id", [None, BEN])
def test_a_key_is_found_under_its_own_merchant_only(merchant_id: int | None) -> None:
    """The keys that other commands of the batch had looked up change nothing."""
    situation = Situation(SetFrozen(ANN, True, Caller(ANNS, merchant_id)))
    assert Code.INVALID_API_KEY is situation.outcome().code


@pytest.mark.parametrize("digest", [SERVICE, SUPPORT])
def test_nobody_pays_with_a_key_that_is_no_merchants(digest: bytes) -> None:
    situation = Situation(Charge(Payer(ANN, digest), "image", 1, "key"))
    assert Code.MERCHANT_NOT_FOUND is situation.outcome().code


def test_nobody_pays_with_the_key_of_another_merchant() -> None:
    state = BatchState(
        accounts={BEN: replace(ACCOUNT, merchant_id=BEN)},
        keys=KEYS,
        default_prices={"image": Price(5, "image", UNIT, 0)},
    )
    outcome = decide(state, [Charge(Payer(BEN, ANNS), "image", 1, "key")], NOW).outcomes[0]
    assert Code.MERCHANT_NOT_FOUND is outcome.code


REFUNDABLE: Final = {Kind.CHARGE, Kind.CAPTURE}


@pytest.mark.parametrize("kind", Kind)
def test_charges_and_captures_are_refunded_and_top_ups_reversed_and_nothing_else(kind: Kind) -> None:
    refund = Situation(Refund(ANN, 7, "key"), kind).outcome().code
    assert (Code.OK if kind in REFUNDABLE else Code.TRANSFER_NOT_REFUNDABLE) is refund
    reversal = Situation(ReverseTopUp(ANN, 7, "R", "bounced"), kind).outcome().code
    assert (Code.OK if kind is Kind.TOP_UP else Code.TRANSFER_NOT_REVERSIBLE) is reversal


# What each kind does to the accounts.


@pytest.mark.parametrize(
    ("before", "command", "debit", "credit"),
    [
        ((), top_up(7), "funding", "wallet"),
        ((top_up(9),), ReverseTopUp(ANN, 1, "R-1", "bounced", 7 * UNIT), "wallet", "funding"),
        ((top_up(9),), charge(7), "wallet", "revenue"),
        ((top_up(9), charge(8)), Refund(ANN, 2, "refund", 7 * UNIT), "revenue", "wallet"),
        ((top_up(9),), hold(7), "wallet", "held"),
        ((top_up(9), hold(7)), CaptureHold(ANN, 2, "capture"), "held", "revenue"),
        ((top_up(9), hold(7)), ReleaseHold(ANN, 2, "release"), "held", "wallet"),
        ((top_up(9), hold(7, ttl_seconds=0)), ExpireHold(ANN, 2), "held", "wallet"),
        ((), adjust(7), "adjustments", "wallet"),
        ((top_up(9),), adjust(-7), "wallet", "adjustments"),
        ((), GiveCredit(ANN, 7 * UNIT, "G-1", "trial"), "promotions", "wallet"),
        ((GiveCredit(ANN, 7 * UNIT, "G-1", "trial"),), EndGrant(ANN, 1, "mistake"), "wallet", "promotions"),
    ],
    ids=[*EFFECTS],
)
def test_a_transfer_debits_one_account_and_credits_another(
    before: tuple[Command, ...], command: Command, debit: str, credit: str
) -> None:
    ledger = MemoryLedger()
    ledger.run(*before)
    was = balances(ledger.ann)
    transfer = ledger.move(command)
    assert 7 * UNIT == transfer.amount
    moved = {name: balances(ledger.ann).get(name, 0) - was.get(name, 0) for name in balances(ledger.ann) | was}
    assert {debit: -7, credit: 7} == {name: amount for name, amount in moved.items() if amount}
    assert (ledger.ann.wallet, ledger.ann.held) == (transfer.wallet_after, transfer.held_after)
    assert ledger.ann.posted == transfer.posted_after
    assert (ledger.ann.seq, ledger.ann.last_hash) == (transfer.seq, transfer.hash)


def test_a_charge_costs_unit_price_times_quantity_and_names_the_version() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(100))
    at_once(ledger.stores.prices.add(Price(3, "image", 2 * UNIT, NOW), NOW))
    at_once(ledger.stores.prices.add(Price(4, "image", 9 * UNIT, NOW + 1), NOW))
    transfer = ledger.move(charge(3, reference="R-9"))
    expected = ("image", 3, 2 * UNIT, 6 * UNIT, 3, "R-9")
    assert expected == (
        *(transfer.request_type, transfer.quantity, transfer.unit_price, transfer.amount),
        *(transfer.price_id, transfer.reference),
    )
    ledger.now += 1
    assert (9 * UNIT, 4) == (ledger.move(charge(1, "later")).amount, ledger.move(charge(1, "last")).price_id)


def test_a_variable_type_costs_what_the_caller_names() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(100))
    transfer = ledger.move(Charge(Payer(ANN), "call", 3, "key", 7))
    assert (7, 3, None, 2) == (transfer.amount, transfer.quantity, transfer.unit_price, transfer.price_id)


def test_a_merchants_own_price_goes_before_the_default_once_it_has_begun() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(100), TopUp(BEN, 100 * UNIT, "INV-1"))
    at_once(ledger.stores.prices.add(Price(3, "image", 5 * UNIT, NOW + 1, ANN), NOW))
    assert UNIT == ledger.move(charge(1, "before")).amount
    ledger.now += 1
    at_once(ledger.stores.prices.add(Price(4, "image", 2 * UNIT, NOW + 1), NOW))
    assert 5 * UNIT == ledger.move(charge(1, "after")).amount
    assert 2 * UNIT == ledger.move(Charge(Payer(BEN), "image", 1, "after")).amount


# The rule that never breaks.


@pytest.mark.parametrize("credit_limit", [0, 5])
@pytest.mark.parametrize("command", [charge, hold, lambda units: adjust(-units)], ids=["charge", "hold", "adjustment"])
def test_what_takes_from_the_wallet_may_take_all_and_the_credit_limit_but_not_a_micro_more(
    command: Callable[[int], Command], credit_limit: int
) -> None:
    ledger = MemoryLedger(credit_limit=credit_limit * UNIT)
    ledger.run(top_up(10), Charge(Payer(ANN), "call", 1, "a micro", 1))
    assert Code.INSUFFICIENT_BALANCE is ledger.code(command(10 + credit_limit))
    ledger.run(Refund(ANN, 2, "the micro again"))
    ledger.move(command(10 + credit_limit))
    assert -credit_limit * UNIT == ledger.ann.wallet


@pytest.mark.parametrize(
    ("credit_limit", "words"),
    [
        (0, "11.00 USD needed, 10.00 can be spent"),
        (500, "511.00 USD needed, 510.00 can be spent, the credit limit included"),
    ],
)
def test_a_refusal_tells_what_can_be_spent(credit_limit: int, words: str) -> None:
    ledger = MemoryLedger(credit_limit=credit_limit * UNIT)
    ledger.run(top_up(10))
    assert f"Insufficient balance: {words}" == ledger.run(charge(11 + credit_limit))[0].message


@pytest.mark.parametrize(("credit_limit", "spent", "code"), [(0, 4, Code.OK), (0, 5, Code.INSUFFICIENT_BALANCE)])
def test_a_top_up_that_was_spent_is_not_reversed(credit_limit: int, spent: int, code: Code) -> None:
    ledger = MemoryLedger(credit_limit=credit_limit * UNIT)
    ledger.run(top_up(10, "INV-1"), top_up(4, "INV-2"), charge(spent))
    assert code is ledger.code(ReverseTopUp(ANN, 1, "R-1", "bounced"))


def test_a_credit_limit_goes_as_low_as_what_is_in_use() -> None:
    ledger = MemoryLedger()
    ledger.run(SetCreditLimit(ANN, 10 * UNIT), charge(6))
    assert Code.CREDIT_LIMIT_IN_USE is ledger.code(SetCreditLimit(ANN, 6 * UNIT - 1))
    assert 10 * UNIT == ledger.ann.credit_limit
    assert Code.OK is ledger.code(SetCreditLimit(ANN, 6 * UNIT))
    assert 6 * UNIT == ledger.ann.credit_limit


def test_held_money_can_not_be_spent_twice() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(8))
    assert Code.INSUFFICIENT_BALANCE is ledger.code(charge(3))
    assert (2 * UNIT, 10 * UNIT) == (ledger.ann.available, ledger.ann.posted)


def test_a_frozen_merchant_spends_nothing_but_ends_holds_gets_refunds_and_tops_up() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(10), charge(1), hold(2, "one"), hold(3, "two"), SetFrozen(ANN, True))
    assert Code.MERCHANT_FROZEN is ledger.code(charge(1, "more"))
    assert Code.MERCHANT_FROZEN is ledger.code(hold(1, "more"))
    goes_on: list[Command] = [
        CaptureHold(ANN, 3, "capture"),
        ExtendHold(ANN, 4, NOW + 3600 * SECOND),
        ReleaseHold(ANN, 4, "release"),
        Refund(ANN, 2, "refund"),
        top_up(1, "INV-2"),
        adjust(-1),
        ReverseTopUp(ANN, 1, "R-1", "bounced", UNIT),
    ]
    assert [Code.OK] * 7 == [outcome.code for outcome in ledger.run(*goes_on)]
    ledger.run(SetFrozen(ANN, False))
    assert Code.OK is ledger.code(charge(1, "more"))


# Retries.


@dataclass(frozen=True)
class Retry:
    """A command, and others that use the same key or reference for something else."""

    command: Command
    others: tuple[Command, ...]
    before: tuple[Command, ...] = ()
    same: tuple[Command, ...] = ()


RETRIES: Final = {
    "charge": Retry(
        charge(2, "k"),
        (charge(3, "k"), charge(2, "k", reference="R"), hold(2, "k"), Charge(Payer(ANN), "call", 2, "k", UNIT)),
        same=(Charge(Payer(ANN, digest(ANN)), "image", 2, "k"),),
    ),
    "variable": Retry(Charge(Payer(ANN), "call", 1, "k", 5), (Charge(Payer(ANN), "call", 1, "k", 6),)),
    "hold": Retry(
        hold(2, "k"), (hold(3, "k"), hold(2, "k", ttl_seconds=60), hold(2, "k", reference="R"), charge(2, "k"))
    ),
    "capture": Retry(
        CaptureHold(ANN, 2, "k"),
        (
            *(CaptureHold(ANN, 2, "k", 9 * UNIT), CaptureHold(ANN, 3, "k"), CaptureHold(ANN, 2, "k", reference="R")),
            CaptureHold(ANN, 2, "k", quantity=9),
        ),
        before=(hold(9), hold(4, "another")),
    ),
    "release": Retry(
        ReleaseHold(ANN, 2, "k"),
        (ReleaseHold(ANN, 3, "k"), ReleaseHold(ANN, 2, "k", "R"), CaptureHold(ANN, 2, "k")),
        before=(hold(9), hold(4, "another")),
    ),
    "expire": Retry(ExpireHold(ANN, 2), (), before=(hold(9, ttl_seconds=0),)),
    "refund": Retry(
        Refund(ANN, 2, "k", UNIT),
        (Refund(ANN, 2, "k", 2 * UNIT), Refund(ANN, 2, "k"), Refund(ANN, 3, "k", UNIT), Refund(ANN, 2, "k", UNIT, "R")),
        before=(charge(9), charge(4, "another")),
        same=(Refund(ANN, 2, "k", UNIT, note="another note"),),
    ),
    "top-up": Retry(top_up(2, "k"), (top_up(3, "k"),), same=(TopUp(ANN, 2 * UNIT, "k", "another note"),)),
    "reversal": Retry(
        ReverseTopUp(ANN, 1, "k", "bounced", UNIT),
        (ReverseTopUp(ANN, 1, "k", "bounced", 2 * UNIT), ReverseTopUp(ANN, 1, "k", "bounced")),
        same=(ReverseTopUp(ANN, 1, "k", "another reason", UNIT),),
    ),
    "grant": Retry(
        GiveCredit(ANN, 2 * UNIT, "k", "trial", expires_at=NOW + 9),
        (
            *(GiveCredit(ANN, 3 * UNIT, "k", "trial", expires_at=NOW + 9), GiveCredit(ANN, 2 * UNIT, "k", "trial")),
            GiveCredit(ANN, 2 * UNIT, "k", "trial", expires_at=NOW + 9, types="image"),
            GiveCredit(ANN, 2 * UNIT, "k", "trial", expires_at=NOW + 9, priority=1),
        ),
        same=(GiveCredit(ANN, 2 * UNIT, "k", "another reason", expires_at=NOW + 9),),
    ),
    "end of a grant": Retry(
        EndGrant(ANN, 1, "mistake"),
        (),
        before=(GiveCredit(ANN, 2 * UNIT, "k", "trial"),),
        same=(EndGrant(ANN, 1, "another reason"),),
    ),
    "adjustment": Retry(
        adjust(2, "k"),
        (adjust(-2, "k"), adjust(3, "k")),
        same=(Adjust(ANN, 2 * UNIT, True, "k", "another reason"),),
    ),
}


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize("name", RETRIES)
def test_the_same_again_is_the_first_answer_and_moves_nothing(name: str, is_one_batch: bool) -> None:
    retry = RETRIES[name]
    ledger = MemoryLedger()
    ledger.run(top_up(100, "first"), *retry.before)
    commands = (retry.command, retry.command, *retry.same)
    if is_one_batch:
        first, *rest = ledger.run(*commands)
    else:
        first, *rest = [ledger.run(command)[0] for command in commands]
    assert (Code.OK, False) == (first.code, first.is_replay)
    for again in rest:
        assert (Code.OK, True) == (again.code, again.is_replay)
        assert (first.transfer, first.hold, first.grant) == (again.transfer, again.hold, again.grant)
    assert first.transfer is not None
    assert first.transfer.seq == ledger.ann.seq


@pytest.mark.parametrize("is_one_batch", [False, True])
@pytest.mark.parametrize(
    ("command", "other", "before"),
    [(retry.command, other, retry.before) for retry in RETRIES.values() for other in retry.others],
)
def test_a_key_used_for_something_else_is_a_conflict_that_names_it(
    command: Command, other: Command, before: tuple[Command, ...], is_one_batch: bool
) -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(100, "first"), *before)
    if is_one_batch:
        first, second = ledger.run(command, other)
    else:
        first, second = ledger.run(command)[0], ledger.run(other)[0]
    assert first.transfer is not None
    assert Code.IDEMPOTENCY_CONFLICT is second.code
    assert first.transfer.id in (second.message or "")
    assert first.transfer.seq == ledger.ann.seq


def test_a_refusal_is_not_remembered() -> None:
    ledger = MemoryLedger()
    assert Code.INSUFFICIENT_BALANCE is ledger.code(charge(5))
    refused, topped_up, charged = ledger.run(charge(5), top_up(5), charge(5))
    assert [Code.INSUFFICIENT_BALANCE, Code.OK, Code.OK] == [refused.code, topped_up.code, charged.code]
    assert not charged.is_replay
    assert 0 == ledger.ann.wallet


def test_keys_and_references_of_one_merchant_mean_nothing_to_another() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5, "same"), TopUp(BEN, 7 * UNIT, "same"), charge(1, "key"))
    assert UNIT == ledger.move(Charge(Payer(BEN), "image", 1, "key")).amount


def test_one_reference_serves_a_top_up_a_reversal_and_an_adjustment() -> None:
    ledger = MemoryLedger()
    outcomes = ledger.run(top_up(5, "R"), ReverseTopUp(ANN, 1, "R", "bounced"), adjust(5, "R"), charge(1, "R"))
    assert [(Code.OK, False)] * 4 == [(outcome.code, outcome.is_replay) for outcome in outcomes]


def test_a_retry_is_answered_even_if_the_price_the_money_and_the_freedom_are_gone() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5))
    first = ledger.move(charge(5))
    at_once(ledger.stores.prices.add(Price(9, "image", None, NOW), NOW))
    ledger.run(SetFrozen(ANN, True))
    assert first == ledger.run(charge(5))[0].transfer


def test_a_retry_of_a_hold_shows_the_hold_as_it_now_stands() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(5), hold(5), CaptureHold(ANN, 2, "capture", UNIT))
    again = ledger.run(hold(5))[0]
    assert again.hold is not None
    assert (True, HoldState.CAPTURED, UNIT) == (again.is_replay, again.hold.state, again.hold.captured)


# Clocks.


def test_a_books_times_never_decrease_though_the_clock_does() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20))
    ledger.now -= 60 * SECOND
    assert NOW == ledger.move(charge(1)).committed_at
    ledger.now = NOW + 1
    assert NOW + 1 == ledger.move(charge(1, "later")).committed_at
    assert NOW + 1 == ledger.ann.last_at


def test_a_clock_far_behind_the_book_charges_and_holds_nothing_and_repeats_its_answers() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), charge(1, "before"))
    ledger.now -= 60 * SECOND
    ledger.run(charge(1, "a minute behind"))
    ledger.now -= 1
    assert Code.CLOCK_BEHIND is ledger.code(charge(1, "more"))
    assert Code.CLOCK_BEHIND is ledger.code(hold(1))
    (repeated,) = ledger.run(charge(1, "before"))
    assert repeated.is_replay
    # A top-up goes by no price and ends at no time: it is done.
    assert Code.OK is ledger.code(top_up(1, "INV-2"))


def test_a_hold_made_after_the_clock_stepped_back_lasts_no_longer_for_it() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20))
    ledger.now -= 30 * SECOND
    made = ledger.run(hold(1, ttl_seconds=60))[0].hold
    assert made is not None
    assert ledger.now + 60 * SECOND == made.expires_at


def test_an_alert_after_the_clock_stepped_back_is_due_at_once() -> None:
    ledger = MemoryLedger()
    ledger.run(top_up(20), SetThresholds(ANN, (10 * UNIT,)))
    ledger.now -= 30 * SECOND
    ledger.run(charge(11))
    ledger.run(SetThresholds(ANN, (15 * UNIT,)))
    assert [ledger.now] * 2 == [alert.fired_at for alert in at_once(ledger.stores.deliveries.alerts(ANN, 2))]


# Limits.


def test_the_largest_amount_goes_through_and_one_micro_more_does_not() -> None:
    ledger = MemoryLedger()
    assert Code.AMOUNT_TOO_LARGE is ledger.code(TopUp(ANN, VAST, "INV-1"))
    ledger.move(TopUp(ANN, AMOUNT_MICROS_MAX, "INV-1"))
    vast = Charge(Payer(ANN), "call", 1, "key", AMOUNT_MICROS_MAX)
    assert Code.AMOUNT_TOO_LARGE is ledger.code(replace(vast, amount=AMOUNT_MICROS_MAX + 1))
    ledger.move(vast)
    assert (0, AMOUNT_MICROS_MAX) == (ledger.ann.wallet, ledger.ann.revenue)


@pytest.mark.parametrize("amount", [0, -1, -AMOUNT_MICROS_MAX])
@pytest.mark.parametrize(
    "command",
    [
        TopUp(ANN, 1, "R"),
        Adjust(ANN, 1, True, "R", "mistake"),
        Adjust(ANN, 1, False, "R", "mistake"),
        Charge(Payer(ANN), "call", 1, "k", 1),
        CreateHold(Payer(ANN), "call", 1, "k", 1),
        CaptureHold(ANN, 2, "k", 1),
        Refund(ANN, 3, "k", 1),
        ReverseTopUp(ANN, 1, "R", "bounced", 1),
        GiveCredit(ANN, 1, "R", "trial"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_an_amount_that_is_not_positive_never_moves(command: Command, amount: int) -> None:
    """The API and the pages refuse it first; this is the last check."""
    ledger = MemoryLedger()
    ledger.run(top_up(10), hold(1), charge(1))
    assert not ledger.run(replace(command, amount=amount))[0].is_ok
    assert 3 == ledger.ann.seq


def test_no_balance_leaves_its_range_and_what_is_held_can_always_be_given_back() -> None:
    """Held money given back on top of a full wallet must not be more than is kept."""
    ledger = MemoryLedger()
    full = BALANCE_MICROS_MAX // AMOUNT_MICROS_MAX
    ledger.run(*[TopUp(ANN, AMOUNT_MICROS_MAX, f"INV-{number}") for number in range(full)])
    vast = CreateHold(Payer(ANN), "call", 1, "hold", AMOUNT_MICROS_MAX)
    first, second = ledger.run(vast, replace(vast, idempotency_key="second", ttl_seconds=0))
    assert first.hold is not None
    assert second.hold is not None
    refused: list[Command] = [
        TopUp(ANN, CENT, "one more"),
        Adjust(ANN, CENT, True, "one more", "mistake"),
        GiveCredit(ANN, CENT, "one more", "trial"),
    ]
    assert [Code.BALANCE_LIMIT_EXCEEDED] * 3 == [outcome.code for outcome in ledger.run(*refused)]
    ledger.move(ReleaseHold(ANN, first.hold.seq, "release"))
    ledger.move(ExpireHold(ANN, second.hold.seq))
    assert BALANCE_MICROS_MAX == ledger.ann.wallet


def test_no_sum_of_amounts_leaves_64_bits() -> None:
    assert 2 * BALANCE_MICROS_MAX + AMOUNT_MICROS_MAX < 2**63
    assert AMOUNT_MICROS_MAX < BALANCE_MICROS_MAX
