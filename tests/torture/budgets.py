"""Holds what a merchant's API key spent against its budget, which was set again and again under load."""

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Final, NamedTuple

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.holds import above_key
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.transfers import Transfer
from farebox.service import parsing
from farebox.service.operator.key_budgets import UNITS
from tests.support.key_spending import KeySpending, Limits
from tests.torture.requests import IMAGE_MICROS, ZONES, Contradiction, Request

_MICROS: Final = 1_000_000


class _BudgetSet(NamedTuple):
    """A budget, and between which times it was put in force."""

    asked_at: int
    answered_at: int
    limits: Limits
    zone: str


_NONE: Final = _BudgetSet(0, 0, {}, "UTC")


def check_budgets(key_id: int, book: list[Transfer], requests: list[Request]) -> None:
    """Check one merchant's key against its book and what its clients asked for.

    Raises:
        Contradiction: more was spent than every budget allowed that may have been in force, or a request was refused
            that none of them forbade.
    """
    budgets = [_NONE, *(_budget_set(request) for request in requests if request.kind == "budget")]
    spending = KeySpending(book, ZONES)
    asked = {request.name: request for request in requests if request.kind in ("charge", "hold")}
    above = {above_place(request): request for request in requests if request.kind == "capture" and request.data}
    for transfer in book:
        if transfer.kind in (Kind.CHARGE, Kind.HOLD) and transfer.key_id is not None:
            # It was decided at its own time or later, and before its client was answered.
            request = asked.get(transfer.idempotency_key) or above[transfer.idempotency_key]
            in_force = _in_force(budgets, transfer.committed_at, request.answered_at)
            if all(spending.over(transfer, budget.limits, budget.zone) for budget in in_force):
                raise Contradiction(f"{transfer} went beyond its key's budget, one of {in_force}")
    seqs = {transfer.idempotency_key: transfer.seq for transfer in book}
    answered = sorted((request.answered_at, seqs[name]) for name, request in asked.items() if name in seqs)
    ends = [answered_at for answered_at, _ in answered]
    highest = [0, *accumulate((seq for _, seq in answered), max)]
    times = [transfer.committed_at for transfer in book]
    for request in asked.values():
        if request.code == "key_budget_exceeded":
            first = highest[bisect_right(ends, request.sent_at)]
            window = (first, max(first, bisect_right(times, request.answered_at)))
            due = _most_due(request)
            in_force = _in_force(budgets, request.sent_at, request.answered_at)
            if not any(spending.may_refuse(key_id, due, item.limits, item.zone, window) for item in in_force):
                raise Contradiction(f"{request} was refused, its key's budget was one of {in_force}")


def above_place(capture: Request) -> str:
    """Name the key of what a capture that is done may have taken above its hold."""
    return above_key(parsing.parse_book_id(ids.HOLD, capture.data["holdId"])[1])


def _most_due(request: Request) -> int:
    """Tell what a charge or hold comes to at most, as its client knows it: rules may price by what was counted."""
    match request.content["type"]:
        case "image":
            return int(request.content["quantity"]) * IMAGE_MICROS
        case "ping":
            return 0
    return AMOUNT_MICROS_MAX


def _budget_set(request: Request) -> _BudgetSet:
    limits = {
        BudgetUnit(UNITS[word]): int(Decimal(amount) * _MICROS)
        for word, amount in request.content.items()
        if word in UNITS
    }
    return _BudgetSet(request.asked_at, request.answered_at, limits, request.content["timeZone"])


def _in_force(budgets: Sequence[_BudgetSet], since: int, until: int) -> list[_BudgetSet]:
    """List the budgets that may have been in force at some time between two; they were set one after the other."""
    surely = sum(budget.answered_at <= since for budget in budgets)
    return [budget for budget in budgets[surely - 1 :] if budget.asked_at <= until]
