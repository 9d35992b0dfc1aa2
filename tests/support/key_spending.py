"""What merchants' API keys spent, transfer by transfer, told from a book alone: what budgets are held against."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.transfers import Transfer
from tests.core.model_budgets import stretch

Limits = Mapping[BudgetUnit, int]
"""How much may be spent in a day, week, month or in all, in micros; none of them: no budget."""

_Stretch = tuple[int, BudgetUnit, str]
_GIVING_BACK: Final = frozenset({Kind.RELEASE, Kind.EXPIRE, Kind.REFUND})


class KeySpending:
    """What the keys that one book names had spent at each of its transfers, by day, week, month and in all."""

    def __init__(self, book: Iterable[Transfer], zones: Iterable[str]) -> None:
        """Read a book, in order of seq; `zones` are those whose calendars are asked for."""
        self._spent: dict[_Stretch, dict[tuple[int, ...], list[tuple[int, int]]]] = {}
        counted_at: dict[int, int] = {}
        places = [(unit, zone) for unit in BudgetUnit for zone in zones]
        for transfer in book:
            if transfer.key_id is None:
                continue
            counted_at[transfer.seq] = counted_at.get(transfer.refers_to or 0, transfer.committed_at)
            amount = -transfer.amount if transfer.kind in _GIVING_BACK else transfer.amount
            if transfer.kind == Kind.CHARGE:
                # A charge above a hold refers to it, and is no part of it.
                counted_at[transfer.seq] = transfer.committed_at
            if transfer.kind == Kind.CAPTURE:
                continue
            for unit, zone in places:
                name = stretch(unit, zone, counted_at[transfer.seq])
                steps = self._spent.setdefault((transfer.key_id, unit, zone), {}).setdefault(name, [(0, 0)])
                steps.append((transfer.seq, steps[-1][1] + amount))

    def over(self, transfer: Transfer, limits: Limits, zone: str) -> list[BudgetUnit]:
        """Tell which limits a charge or hold that names a key went beyond; one of nothing goes beyond none."""
        if transfer.key_id is None or not transfer.amount:
            return []
        return [
            unit
            for unit, amount in limits.items()
            if self._at(transfer.key_id, unit, zone, transfer.committed_at, transfer.seq) > amount
        ]

    def may_refuse(self, key_id: int, due: int, limits: Limits, zone: str, window: tuple[int, int]) -> bool:
        """Tell whether an amount was more than what a limit left somewhere between two seqs, whatever day it was."""
        first, last = window
        for unit, amount in limits.items():
            most = 0
            for steps in self._spent.get((key_id, unit, zone), {}).values():
                begin = bisect_right(steps, first, key=_seq) - 1
                end = bisect_right(steps, last, key=_seq)
                most = max(most, *(spent for _, spent in steps[begin:end]))
            if due > max(0, amount - most):
                return True
        return False

    def _at(self, key_id: int, unit: BudgetUnit, zone: str, time: int, seq: int) -> int:
        steps = self._spent[key_id, unit, zone][stretch(unit, zone, time)]
        return steps[bisect_right(steps, seq, key=_seq) - 1][1]


def _seq(step: tuple[int, int]) -> int:
    return step[0]
