"""Some people with keys and accounts of their own making, who want to raise balances alone: told from a seed.

Each answer is held against a slow model. At the end the books are held against who was really behind each move.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from farebox.bootstrap import Farebox
from farebox.core.accounts import Kind
from farebox.core.commands import Charge, Payer, TopUp
from farebox.core.ids import SEQ_MAX, TRANSFER, book_id
from farebox.core.outcomes import Code, Outcome
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.service.people.api_keys import Principal, parse_key
from farebox.storage.people.logins import AlreadySo
from tests.simulation.people_hands import HUMANS, ROOT, HandsStory, roles_of
from tests.simulation.people_model import DAY_MICROS, SHELL, PeopleModel, Raised
from tests.support.clock import StoppableClock

LIMITS: Final = {"USD": 100, "JPY": 20_000}
LIMITS_SETTING: Final = "100, JPY 20000"
PRICE: Final = "call"
START: Final = 1_700_000_000_000_000
_STEPS: Final = 60
_UNIT: Final = 1_000_000
_BALANCE_LIMITS: Final = 1_000
_CHARGES: Final = 6
_MINUTE: Final = 60_000_000
_PAUSES: Final = (0, 1, 5 * _MINUTE, 8 * 60 * _MINUTE, DAY_MICROS - 1, DAY_MICROS, DAY_MICROS + 1)
_PERCENT_OF_LIMIT: Final = (5, 20, 40, 40, 60, 60, 100, 101, 500)
_ACTIONS: Final = {
    "raise": 30,
    "refund by a service": 4,
    "raise at once": 2,
    "approve": 25,
    "reject": 3,
    "add an account": 6,
    "confirm": 6,
    "make a key": 8,
    "rotate a key": 4,
    "revoke a key": 1,
    "change roles": 2,
    "close or reopen": 2,
    "add a merchant": 1,
    "wait": 6,
}
_RAISING: Final = (Kind.TOP_UP, Kind.ADJUSTMENT_CREDIT, Kind.REFUND)
_FIRST: Final = "start"

WORDS: Final = {
    "raise": {"made", "waits", "forbidden", Code.IDEMPOTENCY_CONFLICT, Code.REFUND_EXCEEDS_TRANSFER},
    "refund by a service": {"made", Code.APPROVAL_REQUIRED, Code.REFUND_EXCEEDS_TRANSFER},
    "raise at once": {"made", "waits"},
    "approve": {"approved", "forbidden", Code.APPROVAL_NEEDS_ANOTHER_PERSON},
    "reject": {"rejected", "forbidden"},
    "add an account": {"made", "forbidden"},
    "confirm": {"made", "forbidden", "conflict", Code.APPROVAL_NEEDS_ANOTHER_PERSON},
    "make a key": {"made", "forbidden"},
    "rotate a key": {"made", "forbidden"},
    "revoke a key": {"made", "forbidden"},
    "change roles": {"made", "forbidden", "conflict"},
    "close or reopen": {"made", "forbidden", "conflict"},
    "add a merchant": {"made", "forbidden", "invalid"},
}
"""What each action has to come to in some story: they say little of what never happens in them."""


@dataclass(frozen=True)
class Request:
    """A move that waits, or will: who asked for it, with which handle, and as of which event."""

    merchant: int
    kind: str
    amount: int
    reference: str
    human: str
    handle: str
    at: int = 0
    charge: int = 0


@dataclass(frozen=True)
class Increase:
    """An amount that somebody raised, alone or with another one's approval, or one of the operator's programs did."""

    request: Request
    at: int
    raised: int
    approver: str | None = None
    is_program: bool = False


class Book:
    """One merchant as the story knows it."""

    def __init__(self, currency: str) -> None:
        self.limit = LIMITS[currency] * _UNIT
        self.credit_limit = 0
        self.waiting_limit: int | None = None
        self.left: dict[int, int] = {}
        """How much may still be given back of each charge, by its seq."""


class PeopleStory(HandsStory):
    """All that happens, from one seed, in two processes over one database."""

    def __init__(self, seed: int, fareboxes: Sequence[Farebox], clock: StoppableClock) -> None:
        super().__init__(seed, fareboxes, PeopleModel({}))
        self._clock = clock
        self._books: dict[int, Book] = {}
        self._pending: dict[int, Request] = {}
        self._increases: list[Increase] = []

    async def tell(self) -> None:
        """Let everything happen, then look who was behind what."""
        self._clock.stopped_at = START
        self._hands[ROOT].append(SHELL)
        shell = await self._principal(SHELL)
        assert shell is not None
        for currency in LIMITS:
            await self._open_merchant(ROOT, SHELL, shell, currency, 0)
        await self._add_account(SHELL, shell, "ann", EVERY_ROLE)
        for _ in range(_STEPS):
            await self._act()
        await self._check()
        for login_id in self._logins.values():
            # Later stories in this database need no mails to them.
            with suppress(AlreadySo):
                await self._fareboxes[0].stores.logins.set_disabled(login_id, self._clock.now())

    async def _act(self) -> None:
        random = self._random
        human = random.choice([human for human in HUMANS if self._hands[human]])
        handle = random.choice(self._hands[human])
        principal = await self._principal(handle)
        if principal is None:
            return
        (self._action,) = random.choices(list(_ACTIONS), list(_ACTIONS.values()))
        match self._action:
            case "raise":
                await self._raise(human, handle, principal)
            case "refund by a service" if self._services:
                await self._refund_by_service(*random.choice(self._services))
            case "raise at once":
                await self._raise_at_once(human)
            case "approve" if self._pending:
                await self._approve(human, handle, principal)
            case "reject" if self._pending:
                await self._reject(principal)
            case "add an account":
                await self._invite(human, handle, principal)
            case "confirm" if self._logins:
                await self._confirm(human, handle, principal)
            case "make a key":
                await self._make_key(human, handle, principal)
            case "rotate a key" if self._texts:
                await self._rotate_key(human, handle, principal)
            case "revoke a key" if self._texts:
                await self._revoke_key(principal)
            case "change roles" | "close or reopen":
                await self._change_account(principal)
            case "add a merchant":
                amount = random.choice((0, 20, 100, 500))
                await self._open_merchant(human, handle, principal, random.choice(list(LIMITS)), amount)
            case "wait":
                assert self._clock.stopped_at is not None
                self._clock.stopped_at += random.choice(_PAUSES)

    # Moves of money.

    async def _raise(self, human: str, handle: str, principal: Principal) -> None:
        request = self._request(human, handle)
        expected, raised = self._expectation(request, roles_of(principal))
        outcomes: list[Outcome] = []
        word = await self._word(self._ask(request, principal, outcomes))
        assert expected == word, (request, self._model.people(handle))
        self._note(request, raised, word, outcomes)

    def _request(self, human: str, handle: str) -> Request:
        random = self._random
        merchant = random.choice(list(self._books))
        book = self._books[merchant]
        kind = random.choice(("top_up", "top_up", "credit", "debit", "credit_limit", "refund"))
        amount = book.limit * random.choice(_PERCENT_OF_LIMIT) // 100
        if kind == "credit_limit":
            amount = max(0, book.credit_limit + random.choice((-1, 1, 1)) * amount)
        charge = random.choice(list(book.left))
        return Request(merchant, kind, amount, self._name(), human, handle, self._model.events, charge)

    def _expectation(self, request: Request, roles: StaffRole) -> tuple[str, int]:
        """Tell what a move has to come to, and by how much it raises, or takes away."""
        book = self._books[request.merchant]
        raised = request.amount - (book.credit_limit if request.kind == "credit_limit" else 0)
        if not roles & StaffRole.SUPPORT:
            return "forbidden", raised
        if request.kind == "refund" and request.amount > book.left[request.charge]:
            return Code.REFUND_EXCEEDS_TRANSFER, raised
        people = self._model.people(request.handle)
        if not self._model.needs_another(request.merchant, people, raised, self._clock.now()):
            return "made", raised
        if request.kind == "credit_limit" and book.waiting_limit not in (None, request.amount):
            return Code.IDEMPOTENCY_CONFLICT, raised
        return "waits", raised

    async def _ask(self, request: Request, principal: Principal, outcomes: list[Outcome]) -> Outcome:
        operations, merchant = self._farebox.services.operations, request.merchant
        amount, reference = f"{request.amount // _UNIT}", request.reference
        match request.kind:
            case "top_up":
                outcome = await operations.top_up(
                    merchant, amount=amount, reference=reference, note=None, principal=principal
                )
            case "credit_limit":
                outcome = await operations.set_credit_limit(merchant, amount, principal=principal)
            case "refund":
                transfer = book_id(TRANSFER, merchant_id=merchant, seq=request.charge)
                outcome = await operations.refund(
                    transfer,
                    idempotency_key=reference,
                    amount=amount,
                    reference=reference,
                    note=None,
                    caller=None,
                    principal=principal,
                )
            case _:
                signed = f"-{amount}" if request.kind == "debit" else amount
                outcome = await operations.adjust(
                    merchant, amount=signed, reference=reference, reason="story", principal=principal
                )
        outcomes.append(outcome)
        return outcome

    def _note(self, request: Request, raised: int, word: str, outcomes: Sequence[Outcome]) -> None:
        """Write down what a move came to."""
        book = self._books[request.merchant]
        if word == "made":
            people = self._model.people(request.handle)
            if raised > 0:
                self._model.raised.append(Raised(request.merchant, self._clock.now(), people, raised))
            self._take_effect(Increase(request, self._clock.now(), raised))
        elif word == "waits" and not outcomes[0].is_replay and outcomes[0].approval is not None:
            self._pending[outcomes[0].approval.approval_id] = request
            if request.kind == "credit_limit":
                book.waiting_limit = request.amount

    def _take_effect(self, increase: Increase) -> None:
        book, request = self._books[increase.request.merchant], increase.request
        if request.kind == "credit_limit":
            book.credit_limit = request.amount
        if request.kind == "refund":
            book.left[request.charge] -= request.amount
        if request.kind != "debit":
            self._increases.append(increase)

    async def _refund_by_service(self, human: str, key: str) -> None:
        merchant = self._random.choice(list(self._books))
        book, parsed = self._books[merchant], parse_key(self._texts[key])
        assert parsed is not None
        charge = self._random.choice(list(book.left))
        amount = book.limit * self._random.choice(_PERCENT_OF_LIMIT) // 100
        request = Request(merchant, "refund", amount, self._name(), human, key, charge=charge)
        people = self._model.people(key)
        is_program = people == {SHELL}
        expected = "made"
        if amount > book.left[charge]:
            expected = Code.REFUND_EXCEEDS_TRANSFER
        elif not is_program and self._model.needs_another(merchant, people, amount, self._clock.now()):
            expected = Code.APPROVAL_REQUIRED
        work = self._farebox.services.operations.refund(
            book_id(TRANSFER, merchant_id=merchant, seq=charge),
            idempotency_key=request.reference,
            amount=f"{amount // _UNIT}",
            reference=request.reference,
            note=None,
            caller=parsed.caller,
        )
        word = await self._word(work)
        assert expected == word, (request, people)
        if word == "made" and is_program:
            self._take_effect(Increase(request, self._clock.now(), amount, is_program=True))
        else:
            self._note(request, amount, word, [])

    async def _raise_at_once(self, human: str) -> None:
        """Ask for several top-ups at the same moment, with all that one has; which come first nobody knows."""
        merchant = self._random.choice(list(self._books))
        amount = self._books[merchant].limit * 3 // 10
        asked: list[tuple[Request, list[Outcome]]] = []
        works: list[Awaitable[str]] = []
        for handle in self._hands[human] * 2:
            principal = await self._principal(handle)
            if principal is not None and roles_of(principal) & StaffRole.SUPPORT:
                request = Request(merchant, "top_up", amount, self._name(), human, handle, self._model.events)
                asked.append((request, []))
                works.append(self._word(self._ask(request, principal, asked[-1][1])))
        for (request, outcomes), word in zip(asked, await asyncio.gather(*works), strict=True):
            self._note(request, amount, word, outcomes)

    # Approvals.

    async def _approve(self, human: str, handle: str, principal: Principal) -> None:
        approval_id = self._random.choice(list(self._pending))
        request = self._pending[approval_id]
        book = self._books[request.merchant]
        expected = "approved"
        if not roles_of(principal) & StaffRole.SUPPORT:
            expected = "forbidden"
        elif self._model.people(handle) & self._model.people(request.handle, request.at):
            expected = Code.APPROVAL_NEEDS_ANOTHER_PERSON
        elif request.kind == "refund" and request.amount > book.left[request.charge]:
            expected = Code.REFUND_EXCEEDS_TRANSFER
        before = book.credit_limit
        word = await self._word(
            self._farebox.services.approvals.approve(request.merchant, approval_id, principal=principal)
        )
        assert expected == word, (request, handle)
        if word == "approved":
            self._decided(approval_id)
            raised = request.amount - (before if request.kind == "credit_limit" else 0)
            self._take_effect(Increase(request, self._clock.now(), raised, approver=human))

    async def _reject(self, principal: Principal) -> None:
        approval_id = self._random.choice(list(self._pending))
        request = self._pending[approval_id]
        work = self._farebox.services.approvals.reject(request.merchant, approval_id, principal=principal)
        if await self._word(work) == "rejected":
            self._decided(approval_id)

    def _decided(self, approval_id: int) -> None:
        request = self._pending.pop(approval_id)
        if request.kind == "credit_limit":
            self._books[request.merchant].waiting_limit = None

    # Merchants.

    async def _open_merchant(
        self, human: str, handle: str, principal: Principal, currency: str, credit_limit: int
    ) -> None:
        """Add a merchant with so many percent of the limit as its credit limit, and give it money and charges."""
        book, farebox = Book(currency), self._farebox
        amount = book.limit * credit_limit // 100
        needed = EVERY_ROLE if credit_limit else StaffRole.ADMINISTRATOR
        made: list[int] = []

        async def create() -> None:
            merchant, _, _ = await farebox.services.merchants.create(
                name=self._name(),
                currency=currency,
                thresholds=[],
                credit_limit=f"{amount // _UNIT}",
                principal=principal,
            )
            made.append(merchant.merchant_id)

        word = await self._word(create())
        expected = "invalid" if amount > book.limit else "made"
        assert word == (expected if not needed & ~roles_of(principal) else "forbidden")
        if word == "made":
            self._books[made[0]], self._model.limits[made[0]] = book, book.limit
            request = Request(made[0], "credit_limit", amount, self._name(), human, handle)
            self._note(request, amount, word, [])
            await self._fill(made[0], book)

    async def _fill(self, merchant: int, book: Book) -> None:
        """Let a merchant have paid, and some charges been taken."""
        committer = self._farebox.committer
        assert (await committer.submit(TopUp(merchant, book.limit * _BALANCE_LIMITS, _FIRST))).is_ok
        for number in range(_CHARGES):
            outcome = await committer.submit(
                Charge(Payer(merchant), PRICE, 1, f"charge {number}", book.limit * 6 // 10)
            )
            assert outcome.transfer is not None
            book.left[outcome.transfer.seq] = outcome.transfer.amount

    # The end.

    async def _check(self) -> None:
        """See that no one person raised more than the limit within a day, whatever they had in their hands."""
        stores = self._fareboxes[0].stores
        for merchant, book in self._books.items():
            increases = [increase for increase in self._increases if increase.request.merchant == merchant]
            transfers = await stores.transfers.page(
                merchant, first_seq=1, last_seq=SEQ_MAX, limit=10_000, newest_first=False
            )
            raised = {
                transfer.reference: transfer.amount
                for transfer in transfers
                if transfer.kind in _RAISING and transfer.reference != _FIRST
            }
            assert raised == {
                increase.request.reference: increase.raised
                for increase in increases
                if increase.request.kind != "credit_limit"
            }
            account = await stores.accounts.find(merchant)
            assert account is not None
            assert book.credit_limit == account.credit_limit
            for increase in increases:
                assert increase.approver != increase.request.human, increase
                alone = [other for other in increases if _is_alone_with(other, increase)]
                assert sum(other.raised for other in alone) <= book.limit, alone


def _is_alone_with(increase: Increase, last: Increase) -> bool:
    """Tell whether the person behind an increase made this one, too, alone and less than a day before, or the same."""
    is_lone = increase.approver is None and not increase.is_program and increase.raised > 0
    is_same = increase.request.human == last.request.human and last.approver is None and not last.is_program
    return is_lone and is_same and 0 <= last.at - increase.at < DAY_MICROS
