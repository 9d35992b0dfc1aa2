"""The ledger once more, slow and obvious, written from the design's prose and not from the code that it checks.

Amounts are Decimals in units of money. Nothing is kept that can be summed up: a balance is the sum of all moves so far,
what became of a hold, how much of a charge went back or how many units a period has seen is read out of the moves that
name it. A command's faults are all found, and the one that `Code` lists first is the answer.
"""

from collections import Counter
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from decimal import Decimal, Inexact, localcontext
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from farebox.core.commands import (
    ACCOUNT_CHANGES,
    Actor,
    Adjust,
    Approve,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
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
    SettleGrants,
    Spend,
    TopUp,
    TransferCommand,
)
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.credit.shortfalls import Above
from farebox.core.outcomes import Code
from farebox.core.pricing.rules import Rates, Rule
from tests.core.model_budgets import KeyLimits, last_day, left, spent, stretch
from tests.core.model_grants import FOR_EVER, Lot, Parts, backwards, taken, without
from tests.core.model_rules import Measured, Place, period_of, rates_of
from tests.support.price_models import fraction_cost

LARGEST_AMOUNT: Final = Decimal(10**12)
LARGEST_BALANCE: Final = Decimal(4 * 10**12)
PRECEDENCE: Final = list(Code)

MICROS: Final = Decimal(10**6)
ACCOUNTS: Final = ("wallet", "held", "revenue", "funding", "adjustments", "promotions")

DEBIT_AND_CREDIT: Final = {
    "top_up": ("funding", "wallet"),
    "top_up_reversal": ("wallet", "funding"),
    "charge": ("wallet", "revenue"),
    "refund": ("revenue", "wallet"),
    "hold": ("wallet", "held"),
    "capture": ("held", "revenue"),
    "release": ("held", "wallet"),
    "expire": ("held", "wallet"),
    "adjustment up": ("adjustments", "wallet"),
    "adjustment down": ("wallet", "adjustments"),
    "grant": ("promotions", "wallet"),
    "grant_expiry": ("wallet", "promotions"),
}
PAYS_DEBTS: Final = {"top_up", "adjustment up", "refund", "release", "expire"}
TAKES_PAID_MONEY: Final = {"top_up_reversal", "adjustment down"}
LOWERS_POSTED: Final = {"charge", "capture", "adjustment down", "top_up_reversal", "grant_expiry"}
BRINGS_MONEY: Final = {"top_up", "adjustment up", "grant"}
BRINGS_TO_LOTS: Final = {
    "grant": 1,
    "charge": -1,
    "hold": -1,
    "release": 1,
    "expire": 1,
    "refund": 1,
    "grant_expiry": -1,
}
"""What moves do to the lots that they name; a capture takes what its hold took before."""

DAY: Final = 24 * 3600 * 10**6
OPERATOR: Final = 1
"""The person of the command line, and of Farebox itself."""

Wish: TypeAlias = TopUp | Adjust | Refund | SetCreditLimit | GiveCredit
WHO_MAY: Final[dict[str, set[type]]] = {
    "merchant": set(),
    "service": {Charge, CreateHold, CaptureHold, ReleaseHold, ExtendHold, Refund},
    "support": {
        *(Refund, TopUp, ReverseTopUp, Adjust, SetThresholds, SetCreditLimit, SetFrozen, Approve, Reject),
        *(SetClosed, ReleaseHold, ExtendHold, GiveCredit, EndGrant),
    },
}


def units(micros: int) -> Decimal:
    """Turn micros into units of money, exactly."""
    with localcontext(prec=60) as context:
        context.traps[Inexact] = True
        return Decimal(micros) / MICROS


def micros(amount: Decimal) -> int:
    """Turn units of money into micros, exactly."""
    with localcontext(prec=60) as context:
        context.traps[Inexact] = True
        scaled = amount * MICROS
        assert scaled == scaled.to_integral_value()
        return int(scaled)


def faults_of_decimals(amount: Decimal) -> set[Code]:
    """Find whether an amount that a person sets has more decimals than US dollars, in which all books here are kept."""
    return set() if round(amount, 2) == amount else {Code.AMOUNT_TOO_FINE}


@dataclass(frozen=True)
class Key:
    """An API key: whose it is, from when it opens nothing any more, and the people who made it."""

    holder: str
    merchant_id: int | None
    ends_at: int | None
    people: frozenset[int] = frozenset()
    number: int = 0


@dataclass(frozen=True)
class PriceVersion:
    """What a request costs from some time on; a variable type has neither a unit price nor a rule."""

    number: int
    request_type: str
    merchant_id: int | None
    unit_price: Decimal | None
    starts_at: int
    rule: Rule | None = None
    is_end: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities that a command may name: requests, if there is no rule."""
        return ("requests",) if self.rule is None else self.rule.names


@dataclass(frozen=True)
class Move:
    """One amount that went from one account to another."""

    word: str
    amount: Decimal
    at: int
    name: tuple[str, ...] = ()
    asked: tuple[Any, ...] = ()
    request_type: str | None = None
    quantity: int | None = None
    unit_price: Decimal | None = None
    price_number: int | None = None
    refers_to: int | None = None
    reference: str | None = None
    note: str | None = None
    measured: Measured | None = None
    key: int | None = None
    """The merchant's API key that the request named."""
    uncollected: Decimal = Decimal(0)
    pays: int | None = None
    """The reversal of a top-up that this pays a part of, which could not take so much back."""
    parts: Parts = ()
    """What it took of lots, or gave back to them, in the order of spending; a capture, of what its hold had taken."""

    def of_grant(self, number: int) -> Decimal:
        """Sum up what it names of a grant."""
        return sum((amount for part, amount in self.parts if part == number), Decimal(0))


@dataclass(frozen=True)
class Told:
    """What all were told, or a user who joined: what happened, by its public name, and how the balances stood then.

    `seq` names the move that it is about, or the last before a refusal; None if there was none. `more` is what else is
    told of such a thing.
    """

    what: str
    posted: Decimal
    available: Decimal
    credit_limit: Decimal
    at: int
    seq: int | None = None
    threshold: Decimal | None = None
    refused: Decimal | None = None
    user_id: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """Something that may begin or end an episode, and the posted balance that it left.

    `what` is "fell", "arrived" (money), "raised" (the credit limit), "gave back", "refused" or "set" (a threshold).
    """

    what: str
    posted: Decimal
    limits: frozenset[Decimal] = frozenset()


@dataclass
class Request:
    """A move that one person asked for, and what another, or the same, made of it."""

    move: Wish
    by: str
    people: frozenset[int]
    amount: Decimal
    at: int
    state: str = "pending"
    decided_by: str | None = None
    decided_at: int | None = None
    seq: int | None = None


@dataclass(frozen=True)
class Action:
    """A command that an actor gave, the move or request that it made, and the hold or grant that it made or changed."""

    merchant_id: int
    by: Actor
    at: int
    what: type
    seq: int | None
    request: int | None
    hold_seq: int | None
    grant: int | None


@dataclass(frozen=True)
class Answer:
    """What a command came to: a code and, if money moved, the numbers of its move and of the hold it made or ended.

    `request` is the number of the request for approval that was made or decided.
    """

    code: Code
    seq: int | None = None
    hold_seq: int | None = None
    is_replay: bool = False
    request: int | None = None
    grant: int | None = None
    above: int | None = None


@dataclass
class Book:
    """One merchant's moves, and what support set."""

    credit_limit: Decimal = Decimal(0)
    is_frozen: bool = False
    closed_at: int | None = None
    moves: list[Move] = field(default_factory=list)
    thresholds: set[Decimal] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    hold_ends: dict[int, int] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    alone: list[tuple[int, frozenset[int], Decimal]] = field(default_factory=list)
    """What people moved without a second person: when, who, how much."""
    limits_alone: dict[int, int] = field(default_factory=dict)
    """When people raised the credit limit without a second person, by the numbers of their commands."""
    currency: str = "USD"
    grants: dict[int, Lot] = field(default_factory=dict)
    budgets_told: set[tuple[int, BudgetUnit, tuple[int, ...]]] = field(default_factory=set)

    def balance(self, account: str, up_to: int | None = None) -> Decimal:
        """Sum up an account, from the first move on, up to the move of that number."""
        total = Decimal(0)
        for move in self.moves[:up_to]:
            debit, credit = DEBIT_AND_CREDIT[move.word]
            if debit == account:
                total -= move.amount
            if credit == account:
                total += move.amount
        return total

    def posted(self) -> Decimal:
        """What the merchant has paid and not yet spent."""
        return self.balance("wallet") + self.balance("held")

    def naming(self, seq: int, *words: str) -> list[Move]:
        """Find the moves of these kinds that refer to a move."""
        return [move for move in self.moves if move.refers_to == seq and move.word in words]

    def hold_state(self, seq: int) -> str:
        """Tell what became of a hold."""
        if self.naming(seq, "capture"):
            return "captured"
        if self.naming(seq, "release"):
            return "released"
        return "expired" if self.naming(seq, "expire") else "held"

    def captured(self, seq: int) -> Decimal:
        """Tell how much of a hold was captured."""
        return sum((move.amount for move in self.naming(seq, "capture")), Decimal(0))

    def left_of(self, seq: int) -> Decimal:
        """Tell how much of a charge, capture or top-up has not gone back."""
        asked = (move for move in self.naming(seq, "refund", "top_up_reversal") if move.pays is None)
        return self.moves[seq - 1].amount - sum((move.amount + move.uncollected for move in asked), Decimal(0))

    def owing(self) -> dict[int, Decimal]:
        """Tell what is owed for each reversal of a top-up, the oldest first."""
        left = {seq: move.uncollected for seq, move in enumerate(self.moves, 1) if move.word == "top_up_reversal"}
        for move in self.moves:
            if move.pays is not None:
                left[move.pays] -= move.amount
        return {seq: amount for seq, amount in left.items() if amount}

    def owed(self) -> Decimal:
        """Sum up what is owed."""
        return sum(self.owing().values(), Decimal(0))

    def left_of_grant(self, number: int) -> Decimal:
        """Sum up what is left of a grant: what came, less what was spent, set aside or ended."""
        signs = ((move.of_grant(number), BRINGS_TO_LOTS.get(move.word, 0)) for move in self.moves)
        return sum((amount * sign for amount, sign in signs), Decimal(0))

    def given(self) -> Decimal:
        """What of the wallet was not paid for."""
        return sum((self.left_of_grant(number) for number in self.grants), Decimal(0))

    def paid(self) -> Decimal:
        """What of the wallet was paid for; below zero if credit is in use."""
        return self.balance("wallet") - self.given()

    def lots(self, request_type: str, at: int) -> list[tuple[int | None, Decimal]]:
        """List what a request of a type may be paid with, in the order of spending; the credit limit comes last."""
        usable = [
            (lot.priority, lot.end, 0, lot.number, self.left_of_grant(lot.number))
            for lot in self.grants.values()
            if not lot.is_over and at < lot.end and lot.pays_for(request_type)
        ]
        paid = self.paid()
        ordered = sorted([*usable, (0, FOR_EVER, 1, 0, max(paid, Decimal(0)))])
        credit = self.credit_limit + min(paid, Decimal(0))
        return [*((number or None, left) for *_, number, left in ordered), (None, credit)]

    def as_told(self, parts: Parts) -> Parts:
        """Put parts as a transfer tells of them: paid money, and credit, as one, after the grants that go before it."""
        goes_first = [part for part in parts if part[0] and not self.grants[part[0]].priority]
        goes_last = [part for part in parts if part[0] and self.grants[part[0]].priority]
        paid = sum((amount for number, amount in parts if number is None), Decimal(0))
        return (*goes_first, *([(None, paid)] if paid else []), *goes_last)

    def given_text(self, move: Move) -> str | None:
        """Say what the transfer of a move says of grants: of one that brings a grant, its terms."""
        if move.word == "grant":
            return self.grants[move.parts[0][0] or 0].terms(micros(move.amount))
        return ",".join(f"{number}:{micros(amount)}" for number, amount in move.parts if number) or None

    def counted(self, place: Place) -> dict[str, int]:
        """Sum up the units of a period: what was charged, what is held, what was captured of holds."""
        total: Counter[str] = Counter()
        for seq, move in enumerate(self.moves, 1):
            if move.measured is None or move.measured.place != place:
                continue
            if move.word == "hold":
                captures = self.naming(seq, "capture")
                is_replaced = bool(captures) and captures[0].measured is not None
                if is_replaced or self.hold_state(seq) in ("released", "expired"):
                    continue
            back = move.amount - self.left_of(seq) if move.measured.gives_back and move.word != "hold" else Decimal(0)
            for line, number in move.measured.units.items():
                total[line] += number - (int(number * back // move.amount) if back else 0)
        return {line: number for line, number in total.items() if number}

    def faults_of_amount(self, word: str, amount: Decimal, *, may_be_free: bool = False) -> set[Code]:
        """Find what stands against moving an amount: its size, the balances' size, or too little paid money."""
        faults = set()
        if not (0 < amount or may_be_free) or amount > LARGEST_AMOUNT:
            faults.add(Code.AMOUNT_TOO_LARGE)
        debit, credit = DEBIT_AND_CREDIT[word]
        after = {name: self.balance(name) for name in ACCOUNTS}
        after[debit] -= amount
        after[credit] += amount
        if after["wallet"] + after["held"] > LARGEST_BALANCE or any(
            abs(balance) > LARGEST_BALANCE for name, balance in after.items() if name != "wallet"
        ):
            faults.add(Code.BALANCE_LIMIT_EXCEEDED)
        if word in TAKES_PAID_MONEY and self.paid() + self.credit_limit < amount:
            faults.add(Code.INSUFFICIENT_BALANCE)
        return faults

    def is_below(self, limit: Decimal, up_to: int | None = None) -> bool:
        """Tell whether an episode of a threshold runs after so many events: read out of all that happened."""
        is_running = False
        for event in self.events[:up_to]:
            if event.what == "set" and limit in event.limits:
                is_running = event.posted < limit
            if event.what == "arrived":
                is_running = event.posted < limit
            if event.what == "fell":
                is_running = is_running or event.posted < limit
        return is_running

    def is_used_up(self, up_to: int | None = None) -> bool:
        """Tell whether a request was refused for want of money since there last came some to spend."""
        for event in reversed(self.events[:up_to]):
            if event.what in ("arrived", "raised"):
                return False
            if event.what == "refused":
                return True
        return False

    def happens(self, event: Event, now: int, seq: int | None = None) -> None:
        """Write an event down, and tell all if it begins episodes: of several thresholds, the lowest is named."""
        self.events.append(event)
        before, after = len(self.events) - 1, len(self.events)
        if event.what == "set":
            begun = {limit for limit in event.limits if self.is_below(limit)}
        elif event.what == "arrived":
            begun = {limit for limit in self.thresholds if self.is_below(limit)}
        else:
            begun = {limit for limit in self.thresholds if self.is_below(limit, after) > self.is_below(limit, before)}
        if event.what in ("arrived", "raised"):
            ended = {limit for limit in self.thresholds if self.is_below(limit, before) > self.is_below(limit, after)}
            was_used_up = self.is_used_up(before)
            if ended or was_used_up:
                self.tell("balance.recovered", now, seq, more={"thresholds": sorted(ended), "was_used_up": was_used_up})
        if begun:
            self.tell("balance.low", now, seq, threshold=min(begun))

    def tell(self, what: str, now: int, seq: int | None = None, **fields: Any) -> None:
        """Tell all of something, and how the balances stand."""
        balances = (self.posted(), self.balance("wallet"), self.credit_limit)
        self.told.append(Told(what, *balances, now, seq, **fields))

    def add(self, move: Move, now: int) -> int:
        """Write a move down, and what it does to episodes; return its number."""
        self.moves.append(move)
        seq = len(self.moves)
        if move.word == "top_up":
            self.tell("topup.posted", now, seq, more={"amount": move.amount, "reference": move.reference})
        if move.word in LOWERS_POSTED:
            self.happens(Event("fell", self.posted()), now, seq)
        elif move.word in BRINGS_MONEY:
            self.happens(Event("arrived", self.posted()), now, seq)
        return seq

    def refuse(self, amount: Decimal, now: int) -> None:
        """A request for an amount is refused for want of money: all are told, once until some comes."""
        if not self.is_used_up():
            more = {"given": self.given(), "owed": self.owed()}
            self.tell("balance.exhausted", now, len(self.moves) or None, refused=amount, more=more)
        self.happens(Event("refused", self.posted()), now)

    def join(self, user_id: int, now: int) -> None:
        """A user joins, and is told how it stands if others were told of it before; an empty book is below nothing."""
        posted = self.posted()
        below = {limit for limit in self.thresholds if self.moves and self.is_below(limit) and posted < limit}
        if below or self.is_used_up():
            what = "balance.low" if below else "balance.exhausted"
            self.tell(what, now, threshold=min(below, default=None), user_id=user_id)

    def set_thresholds(self, limits: set[Decimal], now: int) -> None:
        """Replace the thresholds; those that are new and above posted are told of at once, as one."""
        new = limits - self.thresholds
        self.thresholds = limits
        self.happens(Event("set", self.posted(), frozenset(new)), now)


class Model:
    """All books, keys and prices."""

    def __init__(self) -> None:
        self.books: dict[int, Book] = {}
        self.keys: dict[bytes, Key] = {}
        self.prices: list[PriceVersion] = []
        self.withdrawn: set[int] = set()
        """The numbers of versions at which nothing more is charged; a hold made before is captured at its own."""
        self.limits: dict[int, KeyLimits] = {}
        """What API keys may spend, by their numbers."""
        self.actions: list[Action] = []
        self.accounts: dict[int, frozenset[int]] = {}
        """The people whom each staff account counts as."""

    def do(self, command: Command, now: int) -> Answer:
        """Answer a command and do what it asks, if nothing stands against it; keep which actor asked."""
        book = self.books.get(command.merchant_id, Book())
        before = len(book.moves)
        answer = self._do(command, now)
        self._pay_owed(book, before, now)
        if command.actor is not None and answer.code is Code.OK and not answer.is_replay:
            is_made = isinstance(command, RequestApproval) and answer.request is None
            what = type(command.move) if isinstance(command, RequestApproval) and is_made else type(command)
            made = (answer.seq, answer.request, answer.hold_seq, answer.grant)
            action = Action(command.merchant_id, command.actor, now, what, *made)
            # The very command, decided once more at the same time, is the action that is there.
            if action not in self.actions:
                self.actions.append(action)
        return answer

    def _do(self, command: Command, now: int) -> Answer:
        faults = self._faults_of_caller(command, now)
        book = self._book(command, now)
        if book is None:
            return _first(faults | {Code.MERCHANT_NOT_FOUND})
        if not faults:
            self._settle(book, now)
        if isinstance(command, SettleGrants):
            return Answer(Code.OK)
        if isinstance(command, SetClosed):
            return self._set_closed(book, command, faults, now)
        if book.closed_at is not None and not isinstance(command, Reject):
            return self._of_closed(book, command, faults, now)
        if isinstance(command, SetCreditLimit):
            entry = None if command.actor is None else command.actor.entry_id
            return self._alone(book, command, faults, now, number=entry)
        if isinstance(command, SetThresholds | SetFrozen):
            return self._set(book, command, faults, now)
        if isinstance(command, Reject):
            return self._reject(book, command, faults, now)
        if isinstance(command, ExtendHold):
            return self._extend(book, command, faults, now)
        name, asked = _name_and_content(command)
        gift = command.move if isinstance(command, RequestApproval | Approve) else command
        if isinstance(gift, GiveCredit) and not faults:
            known = self._known_grant(book, gift)
            if known is not None:
                return known
        for number, move in enumerate(book.moves, 1):
            if move.name == name and not faults and not isinstance(command, EndGrant):
                is_same = move.asked == asked
                return self._again(book, number) if is_same else Answer(Code.IDEMPOTENCY_CONFLICT)
        if isinstance(command, Charge | CreateHold):
            return self._spend(book, command, faults, now)
        if isinstance(command, CaptureHold):
            return self._capture(book, command, faults, now)
        if isinstance(command, ReleaseHold | ExpireHold):
            return self._give_back(book, command, faults, now)
        if isinstance(command, ReverseTopUp):
            return self._return(book, command, faults, now)
        if isinstance(command, EndGrant):
            return self._end_grant(book, command, faults, now)
        if isinstance(command, RequestApproval):
            return self._request(book, command, faults, now)
        if isinstance(command, Approve):
            return self._approve(book, command, faults, now)
        if not faults:
            waiting = self._waiting(book, command)
            if waiting is not None:
                return waiting
        entry = None if command.actor is None else command.actor.entry_id
        return self._alone(book, command, faults, now, number=entry)

    def _pay_owed(self, book: Book, before: int, now: int) -> None:
        """Pay what is owed with the paid money that has come in, the oldest first."""
        for number, move in list(enumerate(book.moves, 1))[before:]:
            if move.word not in PAYS_DEBTS:
                continue
            brought = [amount for grant, amount in move.parts if grant is None] if move.parts else [move.amount]
            left = sum(brought, Decimal(0))
            for seq, owed in book.owing().items():
                part = min(owed, left)
                if part > 0:
                    name = ("owed", str(seq), "after", str(number))
                    top_up = book.moves[seq - 1].refers_to
                    paying = Move("top_up_reversal", part, _time(book, now), name, refers_to=top_up, pays=seq)
                    book.add(paying, now)
                    left -= part

    def _settle(self, book: Book, now: int) -> None:
        """Begin the grants whose time has come, and end those whose time is over, in the order of those times."""
        at = _time(book, now)
        starts = [(lot.starts_at, 0, lot) for lot in book.grants.values() if lot.seq is None and not lot.is_over]
        ends = [(lot.end, 1, lot) for lot in book.grants.values() if not lot.is_over]
        due = [event for event in (*starts, *ends) if event[0] <= at]
        for _, what, lot in sorted(due, key=lambda event: (event[0], event[1], event[2].number)):
            if what == 0:
                self._begin(book, lot, now)
            elif not lot.is_over:
                self._end(book, lot, now)

    def _begin(self, book: Book, lot: Lot, now: int) -> int | None:
        """Bring a grant; one that would be more than a balance can be is over before it began."""
        if book.faults_of_amount("grant", lot.amount):
            lot.is_over = lot.is_by_support = True
            return None
        asked = ("grant", lot.reference), lot.asked
        move = Move("grant", lot.amount, _time(book, now), *asked, reference=lot.reference, note=lot.reason)
        lot.seq = book.add(dataclass_replace(move, parts=((lot.number, lot.amount),)), now)
        return lot.seq

    def _end(self, book: Book, lot: Lot, now: int, note: str | None = None) -> int | None:
        """End a grant; what is left of it goes, if there is anything."""
        lot.is_over, lot.is_by_support = True, note is not None
        left = book.left_of_grant(lot.number)
        if not left:
            return None
        name, at = ("end of grant", str(lot.number)), _time(book, now)
        parts = ((lot.number, left),)
        ended_at = at if note is not None else lot.end
        seq = book.add(Move("grant_expiry", left, at, name, refers_to=lot.seq, note=note, parts=parts), now)
        more = {"grant": lot.number, "left": left, "expires_at": lot.expires_at, "ended_at": ended_at}
        book.tell("grant.expired", now, seq, more=more)
        return seq

    def _end_at_once(self, book: Book, seq: int, now: int) -> None:
        """End again what a move gave back to grants that are over."""
        for number, amount in book.moves[seq - 1].parts:
            if number is not None and book.grants[number].is_over:
                name = ("end of grant", str(number), "after", str(seq))
                move = Move("grant_expiry", amount, _time(book, now), name, parts=((number, amount),))
                book.add(dataclass_replace(move, refers_to=book.grants[number].seq), now)

    def _opens(self, digest: bytes, merchant_id: int | None, now: int) -> Key | None:
        key = self.keys.get(digest)
        if key is None or key.merchant_id != merchant_id or (key.ends_at is not None and now >= key.ends_at):
            return None
        return key

    def _faults_of_caller(self, command: Command, now: int) -> set[Code]:
        if command.caller is None:
            return set()
        key = self._opens(command.caller.digest, command.caller.merchant_id, now)
        if key is None:
            return {Code.INVALID_API_KEY}
        asked = command.move if isinstance(command, RequestApproval) else command
        return set() if type(asked) in WHO_MAY[key.holder] else {Code.FORBIDDEN}

    def _book(self, command: Command, now: int) -> Book | None:
        number = command.merchant_id
        payer_digest = command.payer.digest if isinstance(command, Charge | CreateHold) else None
        if payer_digest is not None and self._opens(payer_digest, number, now) is None:
            return None
        return self.books.get(number)

    def _again(self, book: Book, number: int) -> Answer:
        move = book.moves[number - 1]
        hold_seq = {"hold": number}.get(move.word)
        if move.word in ("capture", "release", "expire"):
            hold_seq = move.refers_to
        above = None
        if move.word == "capture":
            above = next((seq for seq, one in enumerate(book.moves, 1) if one.name == ("above", str(hold_seq))), None)
        return Answer(Code.OK, number, hold_seq, is_replay=True, above=above)

    def begun(self, now: int) -> list[PriceVersion]:
        """List the versions that have started and were not withdrawn."""
        return [price for price in self.prices if price.starts_at <= now and price.number not in self.withdrawn]

    def price(self, merchant_id: int, request_type: str, now: int) -> PriceVersion | Code:
        """Find what is in force: the merchant's own version unless that is an end; nothing of a type that has ended."""
        begun = [price for price in self.begun(now) if price.request_type == request_type]
        own, default = (
            max(
                (price for price in begun if price.merchant_id == whose),
                key=lambda price: (price.starts_at, price.number),
                default=None,
            )
            for whose in (merchant_id, None)
        )
        if default is not None and default.is_end:
            return Code.TYPE_RETIRED
        if own is not None and not own.is_end:
            return own
        return Code.UNKNOWN_TYPE if default is None else default

    def _spend(self, book: Book, command: Spend, faults: set[Code], now: int) -> Answer:
        word = "charge" if isinstance(command, Charge) else "hold"
        if book.is_frozen:
            faults.add(Code.MERCHANT_FROZEN)
        if _time(book, now) - now > 60 * 10**6:
            return _first(faults | {Code.CLOCK_BEHIND})
        price = self.price(command.merchant_id, command.request_type, now)
        if isinstance(price, Code):
            return _first(faults | {price})
        quantities = _quantities(price, command.quantities, command.quantity)
        if isinstance(quantities, Code):
            return _first(faults | {quantities})
        is_variable = price.unit_price is None and price.rule is None
        if is_variable and command.amount is None:
            return _first(faults | {Code.AMOUNT_REQUIRED})
        if not is_variable and command.amount is not None:
            faults.add(Code.AMOUNT_NOT_ALLOWED)
        at = now if command.requested_at is None else command.requested_at
        if not now - DAY <= at <= now + 60 * 10**6:
            faults.add(Code.REQUESTED_AT_OUT_OF_BOUNDS)
        if faults:
            return _first(faults)
        measured = None
        if price.rule is not None:
            window, rates = rates_of(price.rule, at)
            place = period_of(price.rule, price.request_type, at)
            counted = {} if place is None else book.counted(place)
            before = {name: counted[name] for name in price.names if name in counted}
            measured = _measured(price.rule, rates, Measured(price.rule, quantities, window, before, at, place))
            if measured is None:
                return Answer(Code.COST_TOO_LARGE)
            amount = measured.amount
        elif price.unit_price is None:
            amount = units(command.amount or 0)
        else:
            amount = price.unit_price * quantities["requests"]
        is_collected = isinstance(command, Charge) and command.above is Above.UNCOLLECTED
        key = None if command.payer.digest is None else self.keys[command.payer.digest].number
        payable = self._payable(book, key, amount, faults, now, is_collected=is_collected)
        may_be_free = measured is not None or payable < amount
        faults |= book.faults_of_amount(word, payable, may_be_free=may_be_free)
        parts = self._share(book, command.request_type, payable, faults, now, is_collected=is_collected)
        if isinstance(parts, Answer):
            return parts
        collected = sum((part for _, part in parts), Decimal(0))
        seq = book.add(
            Move(
                word,
                collected,
                _time(book, now),
                *_name_and_content(command),
                request_type=command.request_type,
                quantity=_requests(quantities),
                unit_price=price.unit_price,
                price_number=price.number,
                reference=command.reference,
                measured=measured,
                key=key,
                parts=book.as_told(parts),
                uncollected=amount - collected,
            ),
            now,
        )
        if isinstance(command, Charge):
            return Answer(Code.OK, seq)
        book.hold_ends[seq] = now + command.ttl_seconds * 10**6
        return Answer(Code.OK, seq, seq)

    def _payable(
        self, book: Book, key: int | None, amount: Decimal, faults: set[Code], now: int, *, is_collected: bool
    ) -> Decimal:
        """Tell how much of an amount a key's budget leaves, if what there is is to be collected."""
        there = left(book.moves, key, self.limits.get(key or 0), _time(book, now))
        if there is None or amount <= there:
            return amount
        self._tell_of_budget(book, key or 0, amount, now)
        if is_collected and amount <= LARGEST_AMOUNT:
            return there
        faults.add(Code.KEY_BUDGET_EXCEEDED)
        return amount

    def _tell_of_budget(self, book: Book, key: int, amount: Decimal, now: int) -> None:
        """Tell that a budget was reached: once for each limit and day, week, month, or for ever."""
        limits, at = self.limits[key], _time(book, now)
        used = {unit: spent(book.moves, key, unit, limits.zone, at) for unit in limits.amounts}
        reached = [unit for unit, most in limits.amounts.items() if amount > max(Decimal(0), most - used[unit])]
        unit = max(reached, key=lambda unit: (last_day(unit, limits.zone, at), unit))
        period = (key, unit, stretch(unit, limits.zone, at))
        if period not in book.budgets_told:
            book.budgets_told.add(period)
            words = {"unit": unit.name.lower(), "amount": limits.amounts[unit], "spent": used[unit], "needed": amount}
            book.tell("key.budget_reached", now, more={"key_id": key, **words})

    def _share(
        self, book: Book, request_type: str, amount: Decimal, faults: set[Code], now: int, *, is_collected: bool
    ) -> Parts | Answer:
        """Tell what lots give for an amount; if it is to be collected, as much of it as they have."""
        lots = book.lots(request_type, _time(book, now))
        parts = taken(lots, amount)
        if parts is None:
            faults.add(Code.INSUFFICIENT_BALANCE)
        if amount and book.owed():
            faults.add(Code.MONEY_OWED)
        if not faults:
            assert parts is not None
            return parts
        answer = _first(faults)
        if answer.code not in (Code.INSUFFICIENT_BALANCE, Code.MONEY_OWED):
            return answer
        book.refuse(amount, now)
        if not is_collected:
            return answer
        there = Decimal(0) if book.owed() else min(amount, sum((left for _, left in lots), Decimal(0)))
        return taken(lots, there) or ()

    def _faults_of_hold(self, book: Book, seq: int, now: int, *, is_expiry: bool = False) -> set[Code]:
        if seq not in book.hold_ends:
            return {Code.HOLD_NOT_FOUND}
        is_over = now >= book.hold_ends[seq]
        match book.hold_state(seq):
            case "captured":
                return {Code.HOLD_ALREADY_CAPTURED}
            case "released":
                return {Code.HOLD_ALREADY_RELEASED}
            case "expired":
                return {Code.HOLD_EXPIRED}
        if is_expiry:
            return set() if is_over else {Code.HOLD_NOT_DUE}
        return {Code.HOLD_EXPIRED} if is_over else set()

    def _capture(self, book: Book, command: CaptureHold, faults: set[Code], now: int) -> Answer:
        seq = command.hold_seq
        faults |= self._faults_of_hold(book, seq, now)
        if Code.HOLD_NOT_FOUND in faults:
            return _first(faults)
        hold = book.moves[seq - 1]
        part = _taken_of_requests(hold, command) if hold.measured is None else self._taken_of_rule(hold, command)
        faults |= part.faults
        if not part.is_known:
            return _first(faults)
        part, more = _parted(hold, part)
        faults |= book.faults_of_amount("capture", part.amount, may_be_free=part.measured is not None)
        if faults:
            return _first(faults)
        shares: Parts = ()
        if more is not None:
            is_collected = command.above is Above.UNCOLLECTED
            if book.is_frozen and not is_collected:
                return Answer(Code.MERCHANT_FROZEN)
            if not book.is_frozen:
                payable = self._payable(book, hold.key, more.amount, faults, now, is_collected=is_collected)
                faults |= book.faults_of_amount("capture", hold.amount + more.amount)
                found = self._share(book, hold.request_type or "", payable, faults, now, is_collected=is_collected)
                if isinstance(found, Answer):
                    return found
                shares = found
        at, asked = _time(book, now), _name_and_content(command)
        is_at_price = part.is_at_unit_price or part.measured is not None
        move = Move(
            "capture",
            part.amount,
            at,
            *asked,
            refers_to=seq,
            reference=command.reference,
            request_type=hold.request_type,
            quantity=part.requests,
            unit_price=hold.unit_price if part.is_at_unit_price else None,
            price_number=hold.price_number if is_at_price else None,
            measured=part.measured,
            parts=taken(hold.parts, part.amount) or (),
            key=hold.key,
        )
        capture = book.add(move, now)
        if part.amount < hold.amount:
            rest, parts = hold.amount - part.amount, without(hold.parts, part.amount)
            move = Move("release", rest, at, refers_to=seq, request_type=hold.request_type, parts=parts, key=hold.key)
            self._end_at_once(book, book.add(move, now), now)
        above = None if more is None else self._charge_above(book, hold, move, more, shares, now)
        return Answer(Code.OK, capture, seq, above=above)

    def _charge_above(self, book: Book, hold: Move, capture: Move, more: "Taken", shares: Parts, now: int) -> int:
        """Charge the wallet for what a capture came to above its hold."""
        collected = sum((amount for _, amount in shares), Decimal(0))
        is_at_price = more.is_at_unit_price or more.measured is not None
        move = Move(
            "charge",
            collected,
            capture.at,
            ("above", str(capture.refers_to)),
            refers_to=capture.refers_to,
            reference=capture.reference,
            request_type=hold.request_type,
            quantity=more.requests or None,
            unit_price=hold.unit_price if more.is_at_unit_price else None,
            price_number=hold.price_number if is_at_price else None,
            measured=more.measured,
            key=hold.key,
            parts=book.as_told(shares),
            uncollected=more.amount - collected,
        )
        return book.add(move, now)

    def _taken_of_rule(self, hold: Move, command: CaptureHold) -> "Taken":
        """Tell what a capture takes of a hold of quantities: all, an amount, or what fewer quantities cost."""
        held, may_not = hold.measured, command.above is Above.REFUSE
        assert held is not None
        assert hold.quantity is not None
        if command.quantities is None and command.quantity is None:
            if command.amount is None:
                return Taken(hold.amount, hold.quantity, measured=held)
            amount = units(command.amount)
            return Taken(
                amount, hold.quantity, {Code.CAPTURE_EXCEEDS_HOLD} if amount > hold.amount and may_not else set()
            )
        version = next(price for price in self.prices if price.number == hold.price_number)
        quantities = _quantities(version, command.quantities, command.quantity or 1)
        if isinstance(quantities, Code):
            return Taken(faults={quantities}, is_known=False)
        if command.amount is not None:
            return Taken(faults={Code.AMOUNT_NOT_ALLOWED}, is_known=False)
        if may_not and any(number > held.quantities.get(name, 0) for name, number in quantities.items()):
            return Taken(faults={Code.CAPTURE_EXCEEDS_HOLD}, is_known=False)
        _, rates = rates_of(held.rule, held.at)
        measured = _measured(held.rule, rates, dataclass_replace(held, quantities=quantities))
        if measured is None:
            return Taken(faults={Code.COST_TOO_LARGE}, is_known=False)
        faults = {Code.CAPTURE_EXCEEDS_HOLD} if measured.amount > hold.amount and may_not else set()
        return Taken(measured.amount, _requests(quantities), faults, measured=measured)

    def _give_back(self, book: Book, command: ReleaseHold | ExpireHold, faults: set[Code], now: int) -> Answer:
        seq = command.hold_seq
        is_expiry = isinstance(command, ExpireHold)
        faults |= self._faults_of_hold(book, seq, now, is_expiry=is_expiry)
        if faults:
            return _first(faults)
        word = "expire" if is_expiry else "release"
        reference = command.reference if isinstance(command, ReleaseHold) else None
        note = command.note if isinstance(command, ReleaseHold) else None
        hold, asked = book.moves[seq - 1], _name_and_content(command)
        move = Move(
            word,
            hold.amount,
            _time(book, now),
            *asked,
            refers_to=seq,
            reference=reference,
            note=note,
            request_type=hold.request_type,
            key=hold.key,
            parts=hold.parts,
        )
        number = book.add(move, now)
        if is_expiry:
            more = {"hold": seq, "amount": hold.amount, "request_type": hold.request_type, "key_id": hold.key}
            book.tell("hold.expired", now, number, more={**more, "reference": hold.reference})
        self._end_at_once(book, number, now)
        return Answer(Code.OK, number, seq)

    def _extend(self, book: Book, command: ExtendHold, faults: set[Code], now: int) -> Answer:
        """A hold lasts until the latest of the ends that it was given."""
        seq = command.hold_seq
        faults |= self._faults_of_hold(book, seq, now, is_expiry=False)
        is_longer = command.expires_at > book.hold_ends.get(seq, command.expires_at)
        if is_longer and command.expires_at > now + 7 * DAY:
            faults.add(Code.HOLD_END_OUT_OF_BOUNDS)
        if faults:
            return _first(faults)
        if is_longer:
            book.hold_ends[seq] = command.expires_at
        return Answer(Code.OK, None, seq, is_replay=not is_longer)

    def _faults_of_return(self, book: Book, command: Refund | ReverseTopUp) -> tuple[set[Code], Decimal]:
        """Find what stands against giving back, and how much it would be."""
        seq = command.transfer_seq
        is_refund = isinstance(command, Refund)
        if not 1 <= seq <= len(book.moves):
            return {Code.TRANSFER_NOT_FOUND}, Decimal(0)
        if book.moves[seq - 1].word not in ({"charge", "capture"} if is_refund else {"top_up"}):
            return {Code.TRANSFER_NOT_REFUNDABLE if is_refund else Code.TRANSFER_NOT_REVERSIBLE}, Decimal(0)
        left = book.left_of(seq)
        amount = left if command.amount is None else units(command.amount)
        if amount > left or left == 0:
            return {Code.REFUND_EXCEEDS_TRANSFER if is_refund else Code.REVERSAL_EXCEEDS_TOP_UP}, amount
        return set(), amount

    def _return(self, book: Book, command: Refund | ReverseTopUp, faults: set[Code], now: int) -> Answer:
        seq = command.transfer_seq
        own_faults, amount = self._faults_of_return(book, command)
        faults |= own_faults
        if faults & {Code.TRANSFER_NOT_FOUND, Code.TRANSFER_NOT_REFUNDABLE, Code.TRANSFER_NOT_REVERSIBLE}:
            return _first(faults)
        original = book.moves[seq - 1]
        word = "refund" if isinstance(command, Refund) else "top_up_reversal"
        if isinstance(command, ReverseTopUp) and command.amount is not None:
            faults |= faults_of_decimals(amount)
        faults |= book.faults_of_amount(word, amount)
        there = amount
        if isinstance(command, ReverseTopUp) and command.is_owed and faults == {Code.INSUFFICIENT_BALANCE}:
            faults, there = set(), book.paid() + book.credit_limit
        if faults:
            return _first(faults)
        note = command.note if isinstance(command, Refund) else command.reason
        move = Move(
            word,
            there,
            _time(book, now),
            *_name_and_content(command),
            refers_to=seq,
            reference=command.reference,
            note=note,
            request_type=original.request_type,
            key=original.key,
            uncollected=amount - there,
            parts=backwards(original.parts, original.amount - book.left_of(seq), amount) if word == "refund" else (),
        )
        number = book.add(move, now)
        self._end_at_once(book, number, now)
        return Answer(Code.OK, number)

    def _fund(self, book: Book, command: TopUp | Adjust, faults: set[Code], now: int) -> Answer:
        if isinstance(command, TopUp):
            word, note = "top_up", command.note
        else:
            word, note = "adjustment up" if command.is_credit else "adjustment down", command.reason
        amount = units(command.amount)
        faults |= _faults_of_decimals(book, command, amount) | book.faults_of_amount(word, amount)
        if faults:
            return _first(faults)
        asked = _name_and_content(command)
        move = Move(word, amount, _time(book, now), *asked, reference=command.reference, note=note)
        return Answer(Code.OK, book.add(move, now))

    def _people(self, command: Command) -> frozenset[int]:
        """Tell whom the asker counts as: the account's people, or the key's, or the operator's own."""
        if command.actor is not None and command.actor.login_id is not None:
            return self.accounts[command.actor.login_id]
        return frozenset({OPERATOR}) if command.caller is None else self.keys[command.caller.digest].people

    def _waiting(self, book: Book, move: Wish) -> Answer | None:
        """A request that waits keeps its name for itself; asked for once more it is the request again."""
        for number, request in book.requests.items():
            if request.state == "pending" and _wished(request.move)[0] == _wished(move)[0]:
                is_same = _wished(request.move) == _wished(move)
                return Answer(Code.OK, is_replay=True, request=number) if is_same else Answer(Code.IDEMPOTENCY_CONFLICT)
        return None

    def _request(self, book: Book, command: RequestApproval, faults: set[Code], now: int) -> Answer:
        if faults:
            return _first(faults)
        move, people = command.move, self._people(command)
        if isinstance(move, SetCreditLimit) and command.approval_id in book.requests:
            # A credit limit has no reference, but the command's own number tells that it was requested before.
            is_rejected = book.requests[command.approval_id].state == "rejected"
            again = Answer(Code.OK, is_replay=True, request=command.approval_id)
            return Answer(Code.APPROVAL_ALREADY_REJECTED) if is_rejected else again
        waiting = self._waiting(book, move)
        if waiting is not None and not isinstance(move, SetCreditLimit):
            return waiting
        if not isinstance(move, SetCreditLimit) and any(
            request.state == "rejected" and _wished(request.move) == _wished(move) for request in book.requests.values()
        ):
            return Answer(Code.APPROVAL_ALREADY_REJECTED)
        if isinstance(move, Refund):
            faults, amount = self._faults_of_return(book, move)
            if faults:
                return _first(faults)
        elif isinstance(move, GiveCredit) and self._faults_of_times(book, move, now):
            return Answer(Code.GRANT_TIMES_OUT_OF_BOUNDS)
        elif isinstance(move, SetCreditLimit):
            amount = units(move.credit_limit) - book.credit_limit
        else:
            amount = units(move.amount)
        is_program = command.actor is None and command.caller is not None
        is_free = is_program and people == {OPERATOR}
        limit = dict(command.limits.by_currency).get(book.currency, command.limits.default)
        earlier = sum((sum_ for at, who, sum_ in book.alone if at > now - DAY and who & people), Decimal(0))
        if limit is None or amount <= 0 or is_free or earlier + amount <= units(limit):
            return self._alone(book, move, set(), now, number=None if is_free else command.approval_id)
        if waiting is not None:
            return waiting
        if is_program:
            return Answer(Code.APPROVAL_REQUIRED)
        asked = units(move.credit_limit) if isinstance(move, SetCreditLimit) else amount
        if not isinstance(move, Refund) and _faults_of_decimals(book, move, asked):
            return Answer(Code.AMOUNT_TOO_FINE)
        book.requests[command.approval_id] = Request(move, _person(command), people, asked, now)
        sign = -1 if isinstance(move, Adjust) and not move.is_credit else 1
        more = {"approval_id": command.approval_id, "amount": sign * asked, "requested_by": _person(command)}
        book.tell("approval.waiting", now, more=more)
        return Answer(Code.OK, request=command.approval_id)

    def _alone(self, book: Book, move: Wish, faults: set[Code], now: int, *, number: int | None) -> Answer:
        """Do what one person may, and remember how much it was; `number` is the command's, if a person gave it."""
        is_known = number is not None and book.limits_alone.get(number, now - DAY) > now - DAY
        if is_known and isinstance(move, SetCreditLimit) and not faults:
            return Answer(Code.OK, is_replay=True)
        limit_before = book.credit_limit
        answer = self._make(book, move, faults, now)
        if answer.code is Code.OK and number is not None:
            raised = book.credit_limit - limit_before if answer.seq is None else book.moves[answer.seq - 1].amount
            if answer.grant is not None:
                raised = book.grants[answer.grant].amount
            if raised > 0:
                book.alone.append((now, self._people(move), raised))
                if isinstance(move, SetCreditLimit):
                    book.limits_alone[number] = now
        return answer

    def _make(self, book: Book, move: Wish, faults: set[Code], now: int) -> Answer:
        if isinstance(move, Refund):
            return self._return(book, move, faults, now)
        if isinstance(move, SetCreditLimit):
            return self._set(book, move, faults, now)
        if isinstance(move, GiveCredit):
            return self._give(book, move, faults, now)
        return self._fund(book, move, faults, now)

    def _known_grant(self, book: Book, command: GiveCredit) -> Answer | None:
        """A reference names one grant for ever, even if that waits, or never started."""
        for lot in book.grants.values():
            if lot.reference == command.reference:
                is_same = lot.asked == _name_and_content(command)[1]
                answer = Answer(Code.OK, lot.seq, is_replay=True, grant=lot.number)
                return answer if is_same else Answer(Code.IDEMPOTENCY_CONFLICT)
        return None

    def _give(self, book: Book, command: GiveCredit, faults: set[Code], now: int) -> Answer:
        at = _time(book, now)
        starts_at = at if command.starts_at is None else command.starts_at
        amount = units(command.amount)
        faults |= self._faults_of_times(book, command, now)
        faults |= faults_of_decimals(amount) | book.faults_of_amount("grant", amount)
        if faults:
            return _first(faults)
        number = len(book.grants) + 1
        types = None if command.types is None else frozenset(command.types.split(" "))
        terms = (max(at, starts_at), command.expires_at, types, command.priority, command.reference, command.reason)
        lot = book.grants[number] = Lot(number, amount, *terms, _name_and_content(command)[1])
        seq = self._begin(book, lot, now) if starts_at <= at else None
        return Answer(Code.OK, seq, grant=number)

    def _faults_of_times(self, book: Book, command: GiveCredit, now: int) -> set[Code]:
        """Find whether credit would start long ago or far ahead, or end before it has started."""
        at = _time(book, now)
        starts_at = at if command.starts_at is None else command.starts_at
        is_in_bounds = at - DAY <= starts_at <= at + 2 * 366 * DAY
        is_over = command.expires_at is not None and command.expires_at <= max(at, starts_at)
        return set() if is_in_bounds and not is_over else {Code.GRANT_TIMES_OUT_OF_BOUNDS}

    def _end_grant(self, book: Book, command: EndGrant, faults: set[Code], now: int) -> Answer:
        lot = book.grants.get(command.number)
        if lot is None:
            return _first(faults | {Code.GRANT_NOT_FOUND})
        if lot.is_over and not lot.is_by_support:
            faults.add(Code.GRANT_ALREADY_ENDED)
        if faults:
            return _first(faults)
        if lot.is_over:
            name, _ = _name_and_content(command)
            ended = next((seq for seq, move in enumerate(book.moves, 1) if move.name == name), None)
            return Answer(Code.OK, ended, is_replay=True, grant=lot.number)
        return Answer(Code.OK, self._end(book, lot, now, command.reason), grant=lot.number)

    def _approve(self, book: Book, command: Approve, faults: set[Code], now: int) -> Answer:
        request = book.requests.get(command.approval_id)
        if request is None or _wished(request.move) != _wished(command.move):
            return _first(faults | {Code.APPROVAL_NOT_FOUND})
        if request.state == "approved" and not faults:
            return Answer(Code.OK, is_replay=True, request=command.approval_id)
        if request.state == "rejected":
            faults.add(Code.APPROVAL_ALREADY_REJECTED)
        if not faults and request.people & self._people(command):
            faults.add(Code.APPROVAL_NEEDS_ANOTHER_PERSON)
        move = command.move
        if isinstance(move, Refund):
            move = replace(move, amount=micros(request.amount))
        if isinstance(move, GiveCredit) and move.starts_at is not None:
            # A start that has passed meanwhile is now.
            move = replace(move, starts_at=max(move.starts_at, _time(book, now)))
        answer = self._make(book, move, faults, now)
        if answer.code is not Code.OK:
            return answer
        if isinstance(command.move, GiveCredit) and answer.grant is not None:
            book.grants[answer.grant].asked = _wished(command.move)[1]
        if isinstance(command.move, Refund) and answer.seq is not None:
            # A retry asks as the request did. After it, grants that are over may have ended once more.
            refund = book.moves[answer.seq - 1]
            book.moves[answer.seq - 1] = dataclass_replace(refund, asked=_wished(command.move)[1])
        request.state, request.decided_by, request.decided_at = "approved", _person(command), now
        request.seq = answer.seq
        return Answer(Code.OK, answer.seq, request=command.approval_id, grant=answer.grant)

    def _reject(self, book: Book, command: Reject, faults: set[Code], now: int) -> Answer:
        request = book.requests.get(command.approval_id)
        if request is None:
            faults.add(Code.APPROVAL_NOT_FOUND)
        elif request.state == "approved":
            faults.add(Code.APPROVAL_ALREADY_APPROVED)
        if faults or request is None:
            return _first(faults)
        is_replay = request.state == "rejected"
        if not is_replay:
            request.state, request.decided_by, request.decided_at = "rejected", _person(command), now
        return Answer(Code.OK, is_replay=is_replay, request=command.approval_id)

    def _of_closed(self, book: Book, command: Command, faults: set[Code], now: int) -> Answer:
        """Of a closed book nothing moves; what was done before is answered again, and holds of nothing end."""
        if not faults and not isinstance(command, ACCOUNT_CHANGES):
            name, asked = _name_and_content(command)
            done = [number for number, move in enumerate(book.moves, 1) if move.name == name]
            gift = command.move if isinstance(command, RequestApproval | Approve) else command
            if done and isinstance(command, EndGrant) and book.grants[command.number].is_by_support:
                return self._end_grant(book, command, faults, now)
            if done and isinstance(gift, GiveCredit):
                known = self._known_grant(book, gift)
                if known is not None and known.is_replay:
                    return known
            elif done and not isinstance(command, EndGrant) and book.moves[done[0] - 1].asked == asked:
                return self._again(book, done[0])
            elif isinstance(command, ExpireHold):
                return self._give_back(book, command, faults, now)
        return _first(faults | {Code.MERCHANT_CLOSED})

    def _set_closed(self, book: Book, command: SetClosed, faults: set[Code], now: int) -> Answer:
        if command.is_closed is (book.closed_at is not None):
            return _first(faults) if faults else Answer(Code.OK, is_replay=True)
        if command.is_closed and (book.paid() or book.owed() or book.balance("held")):
            faults.add(Code.MERCHANT_NOT_EMPTY)
        if faults:
            return _first(faults)
        if command.is_closed:
            for lot in book.grants.values():
                # One without an end of which nothing is left is left alone.
                has_any = lot.seq is None or lot.expires_at is not None or book.left_of_grant(lot.number)
                if not lot.is_over and has_any:
                    self._end(book, lot, now, command.reason)
        book.closed_at = now if command.is_closed else None
        return Answer(Code.OK)

    def _set(
        self, book: Book, command: SetThresholds | SetCreditLimit | SetFrozen, faults: set[Code], now: int
    ) -> Answer:
        if isinstance(command, SetCreditLimit) and book.paid() + units(command.credit_limit) < 0:
            faults.add(Code.CREDIT_LIMIT_IN_USE)
        if isinstance(command, SetCreditLimit):
            faults |= faults_of_decimals(units(command.credit_limit))
        if isinstance(command, SetThresholds):
            limits = {units(amount) for amount in command.amounts}
            lowest = -book.credit_limit
            if any(limit < lowest or (limit <= 0 and book.credit_limit == 0) for limit in limits):
                faults.add(Code.THRESHOLD_OUT_OF_REACH)
        if faults:
            return _first(faults)
        if isinstance(command, SetCreditLimit):
            is_raised = units(command.credit_limit) > book.credit_limit
            book.credit_limit = units(command.credit_limit)
            if is_raised:
                book.happens(Event("raised", book.posted()), now)
        elif isinstance(command, SetFrozen):
            if command.is_frozen is not book.is_frozen:
                book.is_frozen = command.is_frozen
                book.tell("merchant.frozen" if command.is_frozen else "merchant.unfrozen", now)
        else:
            book.set_thresholds({units(amount) for amount in command.amounts}, now)
        return Answer(Code.OK)


def _faults_of_decimals(book: Book, move: Command, amount: Decimal) -> set[Code]:
    """Find whether an amount is too fine; what brings paid money to nothing may be as fine as that is.

    Money that comes in pays what is owed first, so what brings a merchant up to nothing is that much more.
    """
    if isinstance(move, Adjust) and amount == (book.owed() - book.paid() if move.is_credit else book.paid()):
        return set()
    return faults_of_decimals(amount)


@dataclass(frozen=True)
class Taken:
    """What a capture takes of a hold, how many requests it counts, and what stands against it."""

    amount: Decimal = Decimal(0)
    requests: int = 0
    faults: set[Code] = field(default_factory=set)
    is_at_unit_price: bool = False
    measured: Measured | None = None
    is_known: bool = True
    """Whether the amount can be told."""


def _taken_of_requests(hold: Move, command: CaptureHold) -> Taken:
    """Tell what a capture takes of a hold of requests at a unit price, or at an amount that was named."""
    assert hold.quantity is not None
    whole, done = hold.amount, command.quantity
    if command.quantities is not None:
        named = dict(command.quantities)
        if set(named) != {"requests"} or not named["requests"]:
            return Taken(faults={Code.UNKNOWN_QUANTITY}, is_known=False)
        done = named["requests"]
    if command.amount is not None:
        amount = units(command.amount)
    elif done is None:
        amount = whole
    elif hold.unit_price is None:
        return Taken(faults={Code.AMOUNT_REQUIRED}, is_known=False)
    else:
        amount = hold.unit_price * done
    may_not = command.above is Above.REFUSE
    if done is None and amount > whole and hold.unit_price is not None and not may_not:
        # The fewest requests that come to the amount at their unit price.
        done = -(-micros(amount) // micros(hold.unit_price))
    elif done is None:
        # The fewest requests whose share of what was held covers the amount.
        done = next((count for count in range(1, hold.quantity) if whole * count >= amount * hold.quantity), None)
        done = done or hold.quantity
    is_more = may_not and (amount > whole or done > hold.quantity)
    is_more = is_more or bool(hold.unit_price and amount > hold.unit_price * done)
    is_at_unit_price = hold.unit_price is not None and amount == hold.unit_price * done
    return Taken(amount, done, {Code.CAPTURE_EXCEEDS_HOLD} if is_more else set(), is_at_unit_price)


def _parted(hold: Move, whole: Taken) -> tuple[Taken, Taken | None]:
    """Part what a capture comes to into what it takes of its hold, and what is above that."""
    if whole.amount <= hold.amount or whole.faults:
        return whole, None
    assert hold.quantity is not None
    amount = whole.amount - hold.amount
    if whole.measured is not None:
        held = hold.measured
        assert held is not None
        used, more = Counter(whole.measured.quantities), Counter(whole.measured.units)
        used.subtract(held.quantities)
        more.subtract(held.units)
        measured = dataclass_replace(
            held,
            amount=amount,
            quantities={name: number for name, number in used.items() if number},
            units=dict(more),
            tier=whole.measured.tier,
            held=held.quantities,
        )
        requests = max(0, whole.requests - hold.quantity)
        return Taken(hold.amount, hold.quantity, measured=held), Taken(amount, requests, measured=measured)
    if hold.measured is not None:
        # An amount above it says nothing of what was measured: the hold is taken as it was priced.
        return Taken(hold.amount, hold.quantity, measured=hold.measured), Taken(amount)
    of_hold = min(whole.requests, hold.quantity)
    requests = whole.requests - of_hold
    is_at_price = hold.unit_price is not None and amount == hold.unit_price * requests
    return (
        Taken(hold.amount, of_hold, is_at_unit_price=hold.unit_price is not None),
        Taken(amount, requests, is_at_unit_price=is_at_price),
    )


def _quantities(price: PriceVersion, named: tuple[tuple[str, int], ...] | None, quantity: int) -> dict[str, int] | Code:
    """Tell what a command measured; a request of a price without lines is one request."""
    if named is not None:
        if any(name not in price.names for name, _ in named):
            return Code.UNKNOWN_QUANTITY
        if price.rule is None and dict(named).get("requests", 0) == 0:
            return Code.QUANTITIES_REQUIRED
        return dict(named)
    if len(price.names) == 1:
        return {price.names[0]: quantity}
    return {"requests": 1} if not price.names and quantity == 1 else Code.QUANTITIES_REQUIRED


def _requests(quantities: dict[str, int]) -> int:
    """Count requests: a request is one, unless its price counts them."""
    return quantities.get("requests") or 1


def _measured(rule: Rule, rates: Rates, measured: Measured) -> Measured | None:
    """Tell what quantities cost; None if that is beyond what is kept exact."""
    told = fraction_cost(rule, rates, measured.quantities, measured.before)
    if told.is_too_large:
        return None
    return dataclass_replace(measured, amount=units(told.amount), tier=told.tier, units=told.units)


def _first(faults: set[Code]) -> Answer:
    return Answer(min(faults, key=PRECEDENCE.index))


def _person(command: RequestApproval | Approve | Reject) -> str:
    return command.actor.name if command.actor else "farebox"


def _time(book: Book, now: int) -> int:
    """A book's times never go backwards, even if the clock does."""
    return max([now, *(move.at for move in book.moves)])


def _wished(move: Wish) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Tell the same of what may be requested; a merchant has one credit limit to ask for."""
    if isinstance(move, SetCreditLimit):
        return ("credit limit",), (move.credit_limit,)
    return _name_and_content(move)


def _name_and_content(command: TransferCommand) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Tell under which name a command is done once only, and what a retry has to repeat."""
    match command:
        case RequestApproval() | Approve():
            return _wished(command.move)
        case TopUp():
            return ("top-up", command.reference), (command.amount,)
        case ReverseTopUp():
            return ("reversal", command.reference), (command.transfer_seq, command.amount, command.is_owed)
        case Adjust():
            return ("adjustment", command.reference), (command.amount, command.is_credit)
        case GiveCredit():
            terms = (command.starts_at, command.expires_at, command.types, command.priority)
            return ("grant", command.reference), (command.amount, *terms)
        case EndGrant():
            return ("end of grant", str(command.number)), ()
        case ExpireHold():
            return ("expiry", str(command.hold_seq)), ()
        case Charge():
            asked = (command.request_type, command.quantity, command.amount, command.reference)
            more = (command.quantities, command.requested_at, command.above)
            return ("key", command.idempotency_key), ("charge", *asked, *more)
        case CreateHold():
            asked = (command.request_type, command.quantity, command.amount, command.reference)
            measured = (command.quantities, command.requested_at)
            return ("key", command.idempotency_key), ("hold", *asked, command.ttl_seconds, *measured)
        case CaptureHold():
            part = (command.amount, command.quantity, command.quantities, command.above)
            return ("key", command.idempotency_key), ("capture", command.hold_seq, *part, command.reference)
        case ReleaseHold():
            return ("key", command.idempotency_key), ("release", command.hold_seq, command.reference)
        case Refund():
            return ("key", command.idempotency_key), ("refund", command.transfer_seq, command.amount, command.reference)
