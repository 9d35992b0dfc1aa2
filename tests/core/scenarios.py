"""Made-up histories of a ledger: batches of commands of every kind, new prices, revoked keys, clocks that step back.

Half of them begin where days, weeks, months or years do, or where clocks are set forward or back.

Some prices are rules, whose units are counted over days and months; they end, and are withdrawn before they start.

The model plays along while a history is made up, so that most commands name holds and transfers that exist, and its
answers are kept to be compared.

Hypothesis says how many batches and commands there are, and gives each a seed; what a command is comes from that and
from what the model has come to. So commands can be left out until a failing history is short, and still each is drawn
independently of the others: Hypothesis' own choices repeat themselves within an example, which then seldom comes far.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from datetime import datetime
from hashlib import blake2b
from random import Random
from typing import Final, TypeAlias, TypeVar

from hypothesis import strategies as st
from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.approvals import EVERYTHING_WAITS, ApprovalLimits
from farebox.core.commands import (
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
    SettleGrants,
    TopUp,
)
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.credit.shortfalls import Above
from farebox.core.fingerprints import Quantities
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.outcomes import Outcome
from farebox.core.prices import Price
from farebox.core.staff_roles import EVERY_ROLE, NO_ROLE
from farebox.core.thresholds import Threshold
from farebox.storage.api_keys import KeyEnded
from farebox.storage.interface import NotFound
from farebox.storage.records import ApiKey, Login, Maker, Merchant, Realm, User
from farebox.storage.stores import Stores
from tests.core.model import OPERATOR, Answer, Book, Key, Model, PriceVersion, Wish, micros, units
from tests.core.model_budgets import KeyLimits
from tests.core.scenario_rules import COUNTED_RULES, PLAIN_RULES, QUANTITIES
from tests.support.memory import MemoryConnector, at_once

UNIT: Final = 1_000_000
_CENT: Final = UNIT // 100
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
WEEK: Final = 7 * 24 * 60 * MINUTE
START: Final = 1_801_440_600 * SECOND
"""Ten minutes into February 2027: what is charged now may have been requested in January."""

_BORDERS: Final = tuple(
    int(datetime.fromisoformat(time).timestamp()) * SECOND
    for time in (
        "2027-02-28T18:15:00Z",  # In Kathmandu a month begins, and a week.
        "2027-03-01T00:00:00Z",  # And by UTC.
        "2027-03-28T01:00:00Z",  # In Berlin it is 03:00 after 01:59.
        "2027-04-29T22:00:00Z",  # In Cairo a day begins at 01:00.
        "2027-09-30T22:00:00Z",  # In Berlin the month begins of which it has one hour twice.
        "2027-10-31T01:00:00Z",  # That hour.
        "2027-10-31T23:00:00Z",  # The end of that day, and of that month.
        "2027-11-07T04:00:00Z",  # In Havana a day begins, and an hour later it is midnight once more.
        "2027-11-07T05:00:00Z",
        "2027-12-31T23:00:00Z",  # In Berlin a year begins, and an hour later by UTC.
    )
)
"""When days, weeks, months and years begin, and clocks are changed, all after START."""

MERCHANTS: Final = (1 << 50, (1 << 50) + 1, 1 << 60)
STRANGER: Final = (1 << 60) + 7
"""A number that no merchant has."""


def digest(name: str) -> bytes:
    """Make up an API key's digest."""
    return blake2b(name.encode(), digest_size=32).digest()


def _key(number: int, name: str, kind: KeyKind, merchant_id: int | None = None, ends_at: int | None = None) -> ApiKey:
    staff_name = name if merchant_id is None else None
    roles = EVERY_ROLE if kind == KeyKind.SUPPORT else NO_ROLE
    return ApiKey(number, kind, digest(name), "fb…", START, merchant_id, staff_name, ends_at, roles=roles)


SERVICE: Final = _key(1, "service", KeyKind.SERVICE)
SUPPORT: Final = _key(2, "support", KeyKind.SUPPORT)
BRIEF_SERVICE: Final = _key(3, "brief service", KeyKind.SERVICE, ends_at=START + 20 * MINUTE)
FIRST_KEYS: Final = tuple(
    _key(10 + number, f"first {number}", KeyKind.MERCHANT, merchant_id) for number, merchant_id in enumerate(MERCHANTS)
)
BRIEF_KEYS: Final = tuple(
    _key(20 + number, f"brief {number}", KeyKind.MERCHANT, merchant_id, START + 20 * MINUTE)
    for number, merchant_id in enumerate(MERCHANTS)
)
KEYS: Final = (SERVICE, SUPPORT, BRIEF_SERVICE, *FIRST_KEYS, *BRIEF_KEYS)
LOGINS: Final = tuple(
    Login(number, Realm.SUPPORT, f"{name}@farebox.example", name, START, roles=EVERY_ROLE, counts_as=counts_as)
    for number, name, counts_as in ((501, "ann", ""), (502, "ben", ""), (503, "cleo", "501"))
)
PEOPLE: Final = {501: frozenset({501}), 502: frozenset({502}), 503: frozenset({501, 503})}
KEY_MAKERS: Final = {SUPPORT.key_id: 502, BRIEF_SERVICE.key_id: 501}
"""Whom staff accounts count as, and which of them made keys; the command line made the others."""

USERS: Final = tuple(
    User(merchant_id, number, f"user{number}@example.com", START)
    for merchant_id, number in ((MERCHANTS[0], 1), (MERCHANTS[0], 2), (MERCHANTS[1], 3))
)
PRICES: Final = (
    Price(1, "image", UNIT // 2, START - MINUTE),
    Price(2, "image", UNIT, START),
    Price(3, "call", None, START),
    Price(4, "scan", 3 * UNIT, START),
    Price(5, "scan", 2 * UNIT, START, MERCHANTS[0]),
    Price(6, "scan", None, START + 10 * MINUTE, MERCHANTS[1]),
    Price(7, "soon", UNIT, START + 10 * MINUTE),
    Price(8, "vast", AMOUNT_MICROS_MAX, START),
    *(
        Price(number, request_type, None, START, rule=rules[0])
        for number, (request_type, rules) in enumerate((COUNTED_RULES | PLAIN_RULES).items(), 9)
    ),
)


@dataclass(frozen=True)
class Batch:
    """Commands that are decided together, and when."""

    now: int
    commands: tuple[Command, ...]


@dataclass(frozen=True)
class Revocation:
    """A key is closed."""

    key_id: int
    at: int


@dataclass(frozen=True)
class Withdrawal:
    """A price is withdrawn, unless it has started."""

    price: Price
    at: int


@dataclass(frozen=True)
class Limiting:
    """What a merchant's key may spend is set, or no more."""

    merchant_id: int
    key_id: int
    zone: str
    limits: tuple[tuple[BudgetUnit, int], ...]


Step: TypeAlias = Batch | Price | Revocation | User | Withdrawal | Limiting
"""A user is one who joins."""


@dataclass(frozen=True)
class Scenario:
    """A history, and what the model makes of it."""

    accounts: tuple[Account, ...]
    steps: tuple[Step, ...]
    answers: list[Answer] = field(repr=False)
    model: Model = field(repr=False)

    @property
    def batches(self) -> list[Batch]:
        """The steps that are batches."""
        return [step for step in self.steps if isinstance(step, Batch)]


async def found(stores: Stores, accounts: tuple[Account, ...]) -> None:
    """Put the merchants, users, keys and first prices of every scenario into a store."""
    for login in LOGINS:
        await stores.logins.add(login)
    for account, key in zip(accounts, FIRST_KEYS, strict=True):
        await stores.merchants.create(Merchant(account.merchant_id, "Acme", START), account, key)
    for key in (SERVICE, SUPPORT, BRIEF_SERVICE, *BRIEF_KEYS):
        await stores.api_keys.create(key, maker=Maker(KEY_MAKERS.get(key.key_id)))
    for user in USERS:
        await stores.users.add(user)
    for price in PRICES:
        await stores.prices.add(price, START)


async def prepare(stores: Stores, step: Price | Revocation | User | Withdrawal | Limiting) -> None:
    """Do what happens between batches."""
    if isinstance(step, Limiting):
        await stores.budgets.put(step.merchant_id, step.key_id, step.limits, zone=step.zone)
    elif isinstance(step, User):
        await stores.users.add(step)
    elif isinstance(step, Price):
        await stores.prices.add(step, START)
    elif isinstance(step, Withdrawal):
        with suppress(NotFound):
            await stores.prices.withdraw(step.price, lambda: step.at)
    else:
        with suppress(KeyEnded):
            await stores.api_keys.revoke(step.key_id, step.at)


_Choice = TypeVar("_Choice")
_THRESHOLDS: Final = (5 * UNIT, 10 * UNIT, 20 * UNIT, 50 * UNIT, 100 * UNIT, 101 * UNIT)
_KINDS: Final[tuple[type[Command], ...]] = (
    *(TopUp, TopUp, TopUp, Charge, Charge, Charge, Charge, Charge, CreateHold, CreateHold, CreateHold, CreateHold),
    *(Adjust, Adjust, SetThresholds, SetThresholds, SetCreditLimit, SetCreditLimit, SetFrozen, SetClosed),
    *(GiveCredit, GiveCredit, GiveCredit, GiveCredit, EndGrant, SettleGrants),
)
LIMITS: Final = (
    EVERYTHING_WAITS,
    ApprovalLimits(),
    ApprovalLimits(20 * UNIT),
    ApprovalLimits(0, (("USD", 60 * UNIT),)),
)
_ENDS_OF_HOLDS: Final[tuple[type[Command], ...]] = (CaptureHold, CaptureHold, ReleaseHold, ExpireHold, ExtendHold)
_TYPES: Final = ("image", "call", "scan", "soon", "vast", "nothing")
_RULED_TYPES: Final = (*COUNTED_RULES, *PLAIN_RULES)
_GRANTED_TYPES: Final = (*(None,) * 6, "image", "call", "call image", "image scan", "calls storage tokens", "nothing")
_DAY: Final = 24 * 60 * MINUTE
_MANY: Final = 25
"""More grants than a batch sees at first."""


def _on_credit(limit: int) -> tuple[int, ...]:
    """List thresholds that a credit limit allows beside positive ones."""
    return (0, -UNIT, -limit) if limit >= UNIT else ()


class _Author:
    """Makes one history up."""

    def __init__(self) -> None:
        self._random = Random()
        self._seeds: Counter[int] = Counter()
        self._model = Model()
        self._model.accounts = {login.login_id: PEOPLE[login.login_id] for login in LOGINS}
        self._answers: list[Answer] = []
        self._commands: list[Command] = []
        self._now = START
        self._prices = list(PRICES)
        self._is_vast = False
        self._is_rich = False
        self._users = len(USERS)

    def scenario(self, seeds: Sequence[Sequence[int]]) -> Scenario:
        self._begin(seeds[0][0])
        self._is_vast = self._one_in(4)
        self._is_rich = self._one_in(4)
        if self._one_in(2):
            self._now = self._pick(*_BORDERS) - self._pick(0, 1, SECOND, 30 * SECOND, 10 * MINUTE)
        for price in PRICES:
            self._know_price(price)
        for key in KEYS:
            holder = {KeyKind.MERCHANT: "merchant", KeyKind.SERVICE: "service", KeyKind.SUPPORT: "support"}
            people = PEOPLE[KEY_MAKERS[key.key_id]] if key.key_id in KEY_MAKERS else frozenset({OPERATOR})
            self._model.keys[key.digest] = Key(
                holder[KeyKind(key.kind)], key.merchant_id, key.expires_at, people, key.key_id
            )
        accounts = tuple(self._account(merchant_id) for merchant_id in MERCHANTS)
        steps: list[Step] = [self._batch([], *self._opening())]
        steps += [self._step(step_seeds) for step_seeds in seeds]
        return Scenario(accounts, tuple(steps), self._answers, self._model)

    def _account(self, merchant_id: int) -> Account:
        """Make up a new merchant: its thresholds are armed, whatever they are."""
        limit = self._limit()
        allowed = sorted({*_THRESHOLDS, *_on_credit(limit)})
        amounts = self._random.sample(allowed, self._pick(0, 1, 1, 2, 5))
        thresholds = {units(amount) for amount in amounts}
        book = self._model.books[merchant_id] = Book(units(limit), thresholds=thresholds)
        if limit:
            book.alone.append((START, frozenset({OPERATOR}), units(limit)))
        return Account(
            merchant_id,
            "USD",
            credit_limit=limit,
            thresholds=tuple(Threshold(amount, True) for amount in sorted(amounts)),
        )

    def _opening(self) -> list[Command]:
        """Pay for something to be spent, as most merchants do first."""
        references = ("first", "second", "third") if self._is_vast else ("first",)
        grants: list[Command] = []
        if self._is_rich:
            # So many lots, and so small, that a batch sees the first of them alone, and often needs more.
            lots = [self._grant(MERCHANTS[0], f"lot {number}", None, None) for number in range(_MANY)]
            grants = [replace(lot, amount=self._pick(_CENT, UNIT // 4, UNIT // 4)) for lot in lots]
        return grants + [
            TopUp(merchant_id, AMOUNT_MICROS_MAX if self._is_vast else 50 * UNIT, reference)
            for merchant_id in MERCHANTS
            if not self._one_in(3)
            for reference in references
        ]

    def _step(self, seeds: Sequence[int]) -> Step:
        self._begin(seeds[0])
        if self._one_in(8):
            return self._new_price()
        if self._one_in(15):
            return self._withdrawal()
        if self._one_in(15):
            return self._revocation()
        if self._one_in(8):
            return self._joining()
        if self._one_in(8):
            return self._limiting()
        return self._batch(seeds)

    def _batch(self, seeds: Sequence[int], *opening: Command) -> Batch:
        later = self._pick(*(0, 0, 0, SECOND, SECOND, MINUTE, -SECOND), self._pick(16, -16, 8 * 24 * 60) * MINUTE)
        self._now += later
        commands = [self._known(command) for command in opening]
        for seed in seeds:
            self._begin(seed)
            commands.append(self._known(self._command()))
        return Batch(self._now, tuple(commands))

    def _new_price(self) -> Price:
        request_type = self._pick(*_TYPES, *_RULED_TYPES)
        price = Price(
            len(self._prices) + 1,
            request_type,
            self._pick(UNIT, 2 * UNIT, None, 1),
            self._now + self._pick(0, -MINUTE, MINUTE, 16 * MINUTE),
            self._pick(None, None, None, *MERCHANTS),
        )
        if self._one_in(2) and self._is_in_force(price):
            price = replace(price, unit_price=None, is_end=True)
        elif request_type in _RULED_TYPES and not self._one_in(6):
            own_rules = COUNTED_RULES.get(request_type) or PLAIN_RULES[request_type]
            price = replace(price, unit_price=None, rule=self._pick(*own_rules))
        elif self._one_in(5):
            price = replace(price, unit_price=None, rule=self._pick(*PLAIN_RULES.values())[0])
        while any(_start(known) == _start(price) for known in self._prices):
            price = replace(price, starts_at=price.starts_at + 1)
        self._prices.append(price)
        self._know_price(price)
        return price

    def _know_price(self, price: Price) -> None:
        unit_price = None if price.unit_price is None else units(price.unit_price)
        self._model.prices.append(
            PriceVersion(
                price.price_id,
                price.request_type,
                price.merchant_id,
                unit_price,
                price.starts_at,
                price.rule,
                price.is_end,
            )
        )

    def _is_in_force(self, price: Price) -> bool:
        """Tell whether there is something to end where a price starts."""
        begun = [
            version
            for version in self._model.begun(price.starts_at)
            if (version.merchant_id, version.request_type) == (price.merchant_id, price.request_type)
        ]
        return bool(begun) and not max(begun, key=lambda version: (version.starts_at, version.number)).is_end

    def _withdrawal(self) -> Withdrawal:
        """Withdraw a price unless it has started: by the clock, or, as clocks differ, by a book that it is for."""
        price = self._pick(*self._prices[-3:])
        books = [book for number, book in self._model.books.items() if price.merchant_id in (None, number)]
        is_far = price.merchant_id is None and price.starts_at > self._now + MINUTE
        is_met = not is_far and any(move.at >= price.starts_at for book in books for move in book.moves)
        if price.starts_at > self._now and not is_met:
            self._model.withdrawn.add(price.price_id)
        return Withdrawal(price, self._now)

    def _revocation(self) -> Revocation:
        key, at = self._pick(*KEYS), self._now + self._pick(0, SECOND, MINUTE)
        known = self._model.keys[key.digest]
        ends_at = at if known.ends_at is None else min(at, known.ends_at)
        self._model.keys[key.digest] = dataclass_replace(known, ends_at=ends_at)
        return Revocation(key.key_id, at)

    def _limiting(self) -> Limiting:
        key = self._pick(*FIRST_KEYS)
        assert key.merchant_id is not None
        chosen = self._random.sample(list(BudgetUnit), self._pick(0, 1, 1, 2, 4))
        limits = tuple((unit, self._pick(0, 2, 5, 10, 20) * UNIT) for unit in sorted(chosen))
        zone = self._pick("UTC", "Asia/Kathmandu", "Europe/Berlin", "Africa/Cairo", "America/Havana")
        if limits:
            self._model.limits[key.key_id] = KeyLimits(zone, {unit: units(amount) for unit, amount in limits})
        else:
            self._model.limits.pop(key.key_id, None)
        return Limiting(key.merchant_id, key.key_id, zone, limits)

    def _joining(self) -> User:
        self._users += 1
        user = User(self._pick(*MERCHANTS), self._users, f"user{self._users}@example.com", self._now)
        self._model.books[user.merchant_id].join(user.user_id, self._now)
        return user

    def _command(self) -> Command:
        if self._commands and self._one_in(8):
            return self._asked_again(self._pick(*self._commands[-12:]))
        return self._new_command()

    def _asked_again(self, command: Command) -> Command:
        """Repeat a command, with any caller and any actor; or that very one, as if nobody knew what became of it."""
        limit = command.move if isinstance(command, RequestApproval) else command
        is_very_one = isinstance(limit, SetCreditLimit) and self._one_in(2)
        if is_very_one or isinstance(command, ExpireHold | SettleGrants):
            return command
        by = {"caller": self._caller(type(command))}
        if isinstance(command, RequestApproval | Approve):
            return replace(command, move=replace(command.move, **by, actor=self._actor()))
        if isinstance(command, Charge | CreateHold | CaptureHold):
            return replace(command, **by)
        return replace(command, **by, actor=self._actor())

    def _actor(self) -> Actor | None:
        """Make up the actor who asks; none if it is Farebox itself."""
        if self._one_in(3):
            return None
        address = self._pick(None, "203.0.113.7")
        entry_id = self._random.getrandbits(63)
        if self._one_in(4):
            # By a key, or at the shell.
            return Actor(entry_id, self._pick("ann", "ben"), self._pick(None, SUPPORT.key_id), address)
        login = self._pick(*LOGINS)
        return Actor(entry_id, login.name, None, address, login.login_id)

    def _known(self, command: Command) -> Command:
        self._commands.append(command)
        self._answers.append(self._model.do(command, self._now))
        return command

    def _new_command(self) -> Command:
        asked = [number for number, book in self._model.books.items() if book.requests]
        if asked and self._one_in(6):
            return self._decision(self._pick(*asked))
        number = STRANGER if self._one_in(30) else self._pick(*MERCHANTS[:1] * 3, *MERCHANTS[1:])
        book = self._model.books.get(number, Book())
        if self._one_in(3 if any(book.hold_state(seq) == "held" for seq in book.hold_ends) else 15):
            return self._end_of_hold(self._pick(*_ENDS_OF_HOLDS), number, book)
        if self._one_in(4 if any(move.word in ("charge", "capture") for move in book.moves) else 15):
            return self._giving_back(number, book)
        if self._one_in(12):
            return self._request(number, book)
        kind = self._pick(*_KINDS)
        caller, actor = self._caller(kind), self._actor()
        if kind is Charge or kind is CreateHold:
            return self._spend(kind, number, book, caller)
        if kind is TopUp:
            return TopUp(number, self._paid(), self._reference(), self._pick(None, "Thank you"), caller, actor)
        if kind is Adjust:
            is_credit = self._pick(False, True)
            return Adjust(number, self._paid(), is_credit, self._reference(), "mistake", caller, actor)
        if kind is SetThresholds:
            on_credit = (0, -UNIT) if self._one_in(6) else _on_credit(micros(book.credit_limit))
            amounts = self._random.choices([*_THRESHOLDS, *on_credit], k=self._pick(0, 1, 2, 3, 5))
            return SetThresholds(number, tuple(amounts), caller, actor)
        if kind is SetCreditLimit:
            return SetCreditLimit(number, self._limit(), caller, actor)
        if kind is GiveCredit:
            return self._grant(number, self._reference(), caller, actor)
        if kind is EndGrant:
            return EndGrant(number, self._pick(*list(book.grants)[-3:] * 3, *book.grants, 1000), "over", caller, actor)
        if kind is SettleGrants:
            return SettleGrants(number)
        if kind is SetClosed:
            return self._closing(number, book, caller, actor)
        return SetFrozen(number, self._one_in(3), caller, actor)

    def _closing(self, number: int, book: Book, caller: Caller | None, actor: Actor | None) -> Command:
        """Close a merchant whose money is gone, or write it off first, to the last micro."""
        paid = micros(book.paid())
        if paid and book.closed_at is None and not self._one_in(4):
            return Adjust(number, abs(paid), paid < 0, self._reference(), "closing", caller, actor)
        return SetClosed(number, book.closed_at is None or self._one_in(6), "gone", caller, actor)

    def _grant(self, number: int, reference: str, caller: Caller | None, actor: Actor | None) -> GiveCredit:
        """Give credit: now or later, for ever or until soon, now and then at times that can't be."""
        amount = self._paid() if self._one_in(6) else self._pick(1, 1, 2, 3, 5, 20) * UNIT
        soon = self._pick(0, 1, SECOND, SECOND, MINUTE, 16 * MINUTE, 16 * MINUTE, 8 * _DAY)
        starts_at = self._now + soon if self._one_in(4) else None
        if self._one_in(12):
            starts_at = self._now + self._pick(-MINUTE, -_DAY, -_DAY - 1, 732 * _DAY, 732 * _DAY + 1)
        lasts = self._pick(
            None, None, 1, SECOND, SECOND, MINUTE, MINUTE, 16 * MINUTE, 8 * _DAY, 0 if self._one_in(4) else 9
        )
        expires_at = None if lasts is None else (starts_at or self._now) + lasts
        priority = self._pick(0, 0, 0, 0, 1, 1, 100)
        types = self._pick(*_GRANTED_TYPES)
        return GiveCredit(number, amount, reference, "gift", starts_at, expires_at, types, priority, caller, actor)

    def _decision(self, number: int) -> Command:
        """Approve or reject a merchant's request, even one that was decided before."""
        book = self._model.books[number]
        caller, actor = self._caller(Approve), self._actor()
        place = self._pick(*book.requests)
        move = replace(book.requests[place].move, caller=caller, actor=actor)
        match self._pick("approve", "approve", "approve", "approve", "reject", "reject", "reject", "other", "directly"):
            case "approve":
                return Approve(move, place)
            case "reject":
                return Reject(number, self._pick(place, place, place, 1000), caller, actor)
            case "other":
                # Another move than was requested, or one that was requested under another number.
                other = (
                    replace(move, credit_limit=7) if isinstance(move, SetCreditLimit) else replace(move, amount=UNIT)
                )
                return self._pick(Approve(other, place), Approve(move, place + 1000))
            case _:
                # Somebody who may does it without asking, before anybody approves.
                return move

    def _request(self, number: int, book: Book) -> Command:
        """Request something that is above the limit."""
        caller, actor = self._caller(RequestApproval), self._actor()
        # Some references were requested before, perhaps for something else, or paid in already.
        requested = [
            request.move.reference
            for request in book.requests.values()
            if not isinstance(request.move, SetCreditLimit | Refund)
        ]
        known = [*requested, *(move.reference for move in book.moves if move.reference)]
        reference = self._pick(*known) if known and self._one_in(3) else self._reference()
        again = [request.move for request in book.requests.values()]
        request_number, limits = len(self._commands) + 1, self._pick(*LIMITS)
        if again and self._one_in(4):
            return RequestApproval(replace(self._pick(*again), caller=caller, actor=actor), request_number, limits)
        move: Wish = Adjust(number, self._paid(), self._one_in(2), reference, "gift", caller, actor)
        match self._pick("top-up", "top-up", "adjustment", "refund", "limit", "grant", "grant"):
            case "top-up":
                move = TopUp(number, self._paid(), reference, self._pick(None, "wire"), caller, actor)
            case "refund":
                move = self._refund(number, book)
            case "limit":
                move = SetCreditLimit(number, self._limit(), caller, actor)
            case "grant":
                move = self._grant(number, reference, caller, actor)
        return RequestApproval(move, request_number, limits)

    def _end_of_hold(self, kind: type[Command], number: int, book: Book) -> Command:
        still_held = [seq for seq in book.hold_ends if book.hold_state(seq) == "held"]
        seq = self._pick(*still_held[-3:] * 4, *list(book.hold_ends)[-2:], 1000)
        if kind is ExpireHold:
            return ExpireHold(number, seq)
        caller, name, reference = self._caller(kind), self._name(book), self._pick(None, "R-9")
        if kind is ReleaseHold:
            return ReleaseHold(number, seq, name, reference, caller, self._actor(), self._pick(None, "stuck"))
        if kind is ExtendHold:
            until = self._now + self._pick(SECOND, MINUTE, 16 * MINUTE, WEEK, WEEK, WEEK + 1, -MINUTE)
            return ExtendHold(number, seq, until, caller, self._actor())
        amount = self._pick(None, self._amount())
        made_by = book.moves[seq - 1] if seq in book.hold_ends else None
        if made_by is not None and made_by.measured is not None and not self._one_in(4):
            used = self._used(made_by.measured.quantities)
            return CaptureHold(number, seq, name, None, reference, caller, quantities=used, above=self._above())
        quantities = self._quantities(("requests",)) if self._one_in(8) else None
        quantity = None if quantities else self._pick(None, None, 1, 2, 3, 9)
        return CaptureHold(number, seq, name, amount, reference, caller, quantity, quantities, self._above())

    def _above(self) -> Above:
        return self._pick(Above.REFUSE, Above.CHARGE, Above.UNCOLLECTED)

    def _used(self, held: Mapping[str, int]) -> Quantities:
        """Make up what was used of what is held, now and then more."""
        shares = {name: (self._pick(0, 1, 2, 3, 4, 4, 6), self._pick(0, 0, 1)) for name in held}
        return tuple(sorted((name, held[name] * share // 4 + more) for name, (share, more) in shares.items()))

    def _quantities(self, names: Sequence[str]) -> Quantities:
        """Make up how much was used, of most lines of a price and now and then of another."""
        named = [name for name in names if not self._one_in(4)] or list(names[:1]) or ["requests"]
        if self._one_in(20):
            named = [*named, "other"]
        return tuple(sorted((name, self._pick(*QUANTITIES)) for name in named))

    def _giving_back(self, number: int, book: Book) -> Command:
        taken = [seq for seq, move in enumerate(book.moves, 1) if move.word in ("charge", "capture")]
        paid = [seq for seq, move in enumerate(book.moves, 1) if move.word == "top_up"]
        if taken and not self._one_in(3):
            return self._refund(number, book)
        amount = self._pick(None, self._paid())
        seq, caller = self._returned(paid), self._caller(ReverseTopUp)
        is_owed = not self._one_in(3)
        return ReverseTopUp(number, seq, self._reference(), "bounced", amount, caller, self._actor(), is_owed)

    def _refund(self, number: int, book: Book) -> Refund:
        taken = [seq for seq, move in enumerate(book.moves, 1) if move.word in ("charge", "capture")]
        mixed = [seq for seq in taken if len(book.moves[seq - 1].parts) > 1]
        amount, note = self._pick(None, self._amount(), self._amount()), self._pick(None, "Sorry")
        seq, caller, reference = self._returned(taken), self._caller(Refund), self._pick(None, "R-9")
        if mixed and not self._one_in(3):
            # A part of what came out of several lots, up to where one ends, or not as far.
            seq = self._pick(*mixed[-3:])
            part = micros(self._pick(*book.moves[seq - 1].parts)[1])
            amount = self._pick(None, part, part + 1, max(part // 2, 1), max(part // 2, 1))
        return Refund(number, seq, self._name(book), amount, reference, note, caller, self._actor())

    def _returned(self, seqs: Sequence[int]) -> int:
        """Make up which transfer is given back, mostly one that can be."""
        return self._pick(*range(1, 8), 1000) if not seqs or self._one_in(10) else self._pick(*seqs[-2:], seqs[0])

    def _spend(self, kind: type[Command], number: int, book: Book, caller: Caller | None) -> Command:
        index = MERCHANTS.index(number) if number in MERCHANTS else 0
        digests = (FIRST_KEYS[index].digest, BRIEF_KEYS[index].digest, FIRST_KEYS[index - 1].digest, SERVICE.digest)
        payer = Payer(number, self._pick(*digests, FIRST_KEYS[index].digest) if self._one_in(3) else None)
        often = ("image", "call", "scan", *_RULED_TYPES, *COUNTED_RULES)
        request_type = self._pick(*_TYPES) if self._one_in(6) else self._pick(*often)
        ended = [price.request_type for price in self._prices if price.is_end and price.merchant_id is None]
        if ended and self._one_in(3):
            request_type = self._pick(*ended)
        version = self._model.price(number, request_type, self._now)
        names = version.names if isinstance(version, PriceVersion) else ("requests",)
        quantity, quantities = self._pick(1, 2, 10), None
        if len(names) != 1 and not self._one_in(6):
            quantity, quantities = 1, self._quantities(names) if names else None
        elif self._one_in(4):
            quantity, quantities = 1, self._quantities(names)
        amount = self._amount() if (request_type == "call") is not self._one_in(20) else None
        name, reference = self._name(book), self._pick(None, "R-9")
        measured = (quantities, self._requested_at())
        if kind is Charge:
            above = self._pick(Above.REFUSE, Above.REFUSE, Above.UNCOLLECTED)
            return Charge(payer, request_type, quantity, name, amount, reference, caller, *measured, above)
        ttl_seconds = self._pick(15 * 60, 1, 7 * 24 * 3600)
        return CreateHold(payer, request_type, quantity, name, amount, reference, ttl_seconds, caller, *measured)

    def _requested_at(self) -> int | None:
        """Make up when a request was made, where that is not now: mostly within the last day."""
        if self._one_in(2):
            return None
        ago = self._pick(0, MINUTE, 11 * MINUTE, 5 * 60 * MINUTE, 24 * 60 * MINUTE, -MINUTE)
        return self._now - ago - self._pick(0, 0, 0, 0, 0, 0, 0, 1, -1)

    def _caller(self, kind: type[Command]) -> Caller | None:
        """Make up who asks: mostly the shell or a key that may."""
        key = SERVICE if kind in (Charge, CreateHold, CaptureHold, ReleaseHold, ExtendHold) else SUPPORT
        if self._one_in(10):
            key = self._pick(SERVICE, SUPPORT, BRIEF_SERVICE, FIRST_KEYS[0], BRIEF_KEYS[1])
        elif self._one_in(2):
            return None
        if self._one_in(20):
            return self._pick(Caller(digest("unknown")), Caller(key.digest, STRANGER))
        return Caller(key.digest, key.merchant_id)

    def _name(self, book: Book) -> str:
        """Make up an idempotency key, sometimes one that was used."""
        used = [move.name[1] for move in book.moves if move.name[:1] == ("key",)]
        return self._pick(*used[-2:]) if used and self._one_in(10) else f"key-{len(self._commands)}"

    def _reference(self) -> str:
        return self._pick("INV 1", "é №7") if self._one_in(10) else f"INV {len(self._commands)}"

    def _begin(self, seed: int) -> None:
        """Go on from a seed; one that comes again goes another way."""
        self._seeds[seed] += 1
        self._random.seed(seed << 10 | self._seeds[seed])

    def _amount(self) -> int:
        if self._is_vast:
            return self._pick(AMOUNT_MICROS_MAX, AMOUNT_MICROS_MAX, AMOUNT_MICROS_MAX - 1, AMOUNT_MICROS_MAX // 2, UNIT)
        units_of_money = self._pick(1, 1, 2, 5, 10, 20, 50, 100)
        return AMOUNT_MICROS_MAX + 1 if self._one_in(40) else units_of_money * UNIT - self._pick(0, 0, 1)

    def _paid(self) -> int:
        """Make up an amount that a person names: in whole cents, or now and then not."""
        amount = self._amount()
        return amount if self._one_in(20) else amount - amount % _CENT

    def _limit(self) -> int:
        return self._pick(0, 0, UNIT, 30 * UNIT, UNIT // 8, AMOUNT_MICROS_MAX if self._is_vast else 0)

    def _pick(self, *choices: _Choice) -> _Choice:
        return self._random.choice(choices)

    def _one_in(self, times: int) -> bool:
        return self._random.randrange(times) == 0


_SEEDS: Final = st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12), min_size=1, max_size=8)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Make histories up."""
    return _Author().scenario(draw(_SEEDS))


def long_scenario(seed: int) -> Scenario:
    """Make a history up that comes far, from one seed: what goes wrong late, or seldom, is met by a few of these."""
    random = Random(seed)
    return _Author().scenario(
        [[random.randrange(2**32) for _ in range(random.randint(1, 14))] for _ in range(random.randint(20, 40))]
    )


def founded(scenario: Scenario) -> MemoryConnector:
    """Return a store in which a history can begin."""
    store = MemoryConnector()
    at_once(found(store.stores, scenario.accounts))
    return store


def played(scenario: Scenario, *cuts: int) -> tuple[MemoryConnector, list[Outcome]]:
    """Play a history, its batches cut after so many commands, and again, as the cuts say; whole if there are none."""
    store, outcomes, left = founded(scenario), [], list(cuts)
    for step in scenario.steps:
        if not isinstance(step, Batch):
            at_once(prepare(store.stores, step))
            continue
        commands = step.commands
        while commands:
            count = left.pop(0) if left else len(commands) if not cuts else 1
            outcomes += store.do(*commands[:count], now=step.now)
            commands = commands[count:]
    return store, outcomes


def _start(price: Price) -> tuple[int | None, str, int]:
    """Tell whose price begins when: no two begin at once."""
    return price.merchant_id, price.request_type, price.starts_at
