"""Budgets: the stretches of a calendar that they are for, and what a replay finds wrong with their rows."""

from datetime import datetime
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.credit.budgets import Budget, Budgets, BudgetUnit, period_of
from farebox.core.replaying.budgets import BudgetReplay
from farebox.core.transfers import Transfer

KEY, OTHER = 7, 8
UNIT: Final = 1_000_000


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


FRIDAY: Final = micros("2027-01-15T08:00:00+00:00")
DAY: Final = Budget(1, KEY, BudgetUnit.DAY, 10 * UNIT, "UTC", micros("2027-01-15T00:00:00+00:00"), 3 * UNIT)


@pytest.mark.parametrize(
    ("unit", "zone", "at", "start", "end"),
    [
        (BudgetUnit.WEEK, "UTC", "2027-01-15T08:00Z", "2027-01-11T00:00Z", "2027-01-18T00:00Z"),
        (BudgetUnit.WEEK, "UTC", "2027-01-11T00:00Z", "2027-01-11T00:00Z", "2027-01-18T00:00Z"),
        (BudgetUnit.WEEK, "UTC", "2027-01-17T23:59:59Z", "2027-01-11T00:00Z", "2027-01-18T00:00Z"),
        (BudgetUnit.WEEK, "Europe/Berlin", "2027-03-28T12:00Z", "2027-03-21T23:00Z", "2027-03-28T22:00Z"),
        (BudgetUnit.WEEK, "Europe/Berlin", "2026-12-31T12:00Z", "2026-12-27T23:00Z", "2027-01-03T23:00Z"),
        (BudgetUnit.DAY, "Asia/Kathmandu", "2027-01-15T18:15Z", "2027-01-15T18:15Z", "2027-01-16T18:15Z"),
        (BudgetUnit.MONTH, "UTC", "2027-01-31T23:59:59Z", "2027-01-01T00:00Z", "2027-02-01T00:00Z"),
    ],
)
def test_days_weeks_and_months_are_those_of_a_zone(unit: BudgetUnit, zone: str, at: str, start: str, end: str) -> None:
    assert (micros(start), micros(end)) == period_of(unit, zone, micros(at))


def test_a_limit_in_all_has_one_period_without_end() -> None:
    assert (0, None) == period_of(BudgetUnit.TOTAL, "UTC", FRIDAY)


def test_a_free_request_fits_into_a_budget_that_was_lowered_below_what_was_spent() -> None:
    week = replace(DAY, unit=BudgetUnit.WEEK, starts_at=period_of(BudgetUnit.WEEK, "UTC", FRIDAY)[0], amount=2 * UNIT)
    budgets = Budgets({(1, KEY): [DAY, week]})
    assert 0 == budgets.standing((1, KEY), FRIDAY).room == budgets.left((1, KEY), FRIDAY)
    assert budgets.exceeded((1, KEY), 0, FRIDAY) is None
    assert week == budgets.exceeded((1, KEY), 1, FRIDAY)


def _move(seq: int, kind: Kind, units: int, **fields: Any) -> Transfer:
    fields = {"key_id": KEY, **fields}
    return Transfer(1, seq, kind, units * UNIT, f"k{seq}", bytes(8), 0, 0, FRIDAY + seq, bytes(32), **fields)


BOOK: Final = [
    _move(1, Kind.HOLD, 5),
    _move(2, Kind.CAPTURE, 4, refers_to=1),
    _move(3, Kind.RELEASE, 1, refers_to=1),
    _move(4, Kind.REFUND, 1, refers_to=2),
    _move(5, Kind.CHARGE, 9, key_id=OTHER),
]
KEYS: Final[dict[int, int | None]] = {KEY: KEY, OTHER: None}


def _faults(budget: Budget | None, keys: dict[int, int | None] | None = None) -> list[str]:
    replay = BudgetReplay([] if budget is None else [budget], KEYS if keys is None else keys)
    replay.feed_all(BOOK)
    return list(replay.finish())


def test_a_budget_that_agrees_with_its_transfers_has_no_fault() -> None:
    assert [] == _faults(DAY)
    assert [] == _faults(None, {KEY: None, OTHER: None})


@pytest.mark.parametrize(
    ("budget", "keys", "words"),
    [
        (replace(DAY, spent=2 * UNIT), None, "2.00 is counted as spent, its transfers come to 3.00"),
        (replace(DAY, starts_at=DAY.starts_at + 1), None, "its period begins at no beginning of one"),
        (replace(DAY, starts_at=DAY.starts_at - 86_400 * UNIT), None, "its period is over, and more was spent since"),
        (None, None, "names a budget that is not there"),
        (DAY, {KEY: None, OTHER: None}, "no key spends from the budget"),
        (None, {OTHER: None}, "which the merchant does not have"),
    ],
)
def test_what_is_wrong_with_a_budget_is_found(
    budget: Budget | None, keys: dict[int, int | None] | None, words: str
) -> None:
    assert any(words in fault for fault in _faults(budget, keys))
