"""Budgets of API keys in a story: they are set while others charge, and none may ever be gone beyond."""

import re
from collections import Counter
from decimal import Decimal
from random import Random
from typing import Any, Final, NamedTuple

from farebox.core.accounts import Kind
from farebox.core.commands import CaptureHold, Charge, Command, CreateHold
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.outcomes import Outcome
from farebox.core.replaying.budgets import BudgetReplay
from tests.support.key_spending import KeySpending, Limits
from tests.support.memory import MemoryConnector

UNIT: Final = 1_000_000
ZONES: Final = ("America/Los_Angeles", "UTC")
_NEEDED: Final = re.compile(r"budget is exceeded: ([\d,.]+) [A-Z]{3} needed")


class _BudgetSet(NamedTuple):
    """What a key's budget was from a transfer of its merchant's book on."""

    after_seq: int
    limits: Limits
    zone: str


_NONE: Final = _BudgetSet(0, {}, "UTC")


class _Refusal(NamedTuple):
    """A command that was refused for its key's budget, and the last seqs of the book before and after it."""

    key_id: int
    due: int
    window: tuple[int, int]


class BudgetStory:
    """What budgets were set, and what was refused for them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._budgets: dict[int, list[_BudgetSet]] = {}
        self._refusals: dict[int, list[_Refusal]] = {}
        self.seen: Counter[str] = Counter()
        """What became of budgets, and how often."""

    async def set_any(self, rows: MemoryConnector) -> None:
        """Set the budget of some key, or take it away. No batch may be under way on its merchant's book."""
        random = self._random
        key = random.choice(list(rows.keys.values()))
        merchant_id = key.merchant_id or 0
        units = random.sample(list(BudgetUnit), random.choice((0, 1, 1, 2, 4)))
        limits = {unit: random.choice((0, 2, 4, 8, 16)) * UNIT for unit in units}
        zone = random.choice(ZONES)
        seq = len(rows.books[merchant_id])
        await rows.stores.budgets.put(merchant_id, key.key_id, sorted(limits.items()), zone=zone)
        budgets = self._budgets.setdefault(key.key_id, [_NONE])
        word = "changed" if budgets[-1].limits and limits else "set" if limits else "taken away"
        self.seen[word] += 1
        budgets.append(_BudgetSet(seq, limits, zone))

    def refused(self, rows: MemoryConnector, command: Command, outcome: Outcome, window: tuple[int, int]) -> None:
        """Keep that a command was refused for its key's budget."""
        assert isinstance(command, Charge | CreateHold | CaptureHold)
        found = _NEEDED.search(outcome.message or "")
        assert found, outcome
        due = int(Decimal(found[1].replace(",", "")) * UNIT)
        if isinstance(command, CaptureHold):
            key_id = rows.books[command.merchant_id][command.hold_seq - 1].key_id
        else:
            (key_id,) = (number for number, key in rows.keys.items() if key.digest == command.payer.digest)
            # One image costs one unit of money.
            assert command.request_type != "image" or due == command.quantity * UNIT
        assert key_id is not None, command
        self._refusals.setdefault(command.merchant_id, []).append(_Refusal(key_id, due, window))
        self.seen["refused"] += 1

    def check(self, rows: MemoryConnector) -> None:
        """See that no key spent more than was allowed when it did, and that what was refused was more than was left."""
        for merchant_id, book in rows.books.items():
            spending = KeySpending(book, ZONES)
            for transfer in book:
                if transfer.kind in (Kind.CHARGE, Kind.HOLD) and transfer.key_id is not None:
                    budget = self._in_force(transfer.key_id, transfer.seq - 1, transfer.seq - 1)[-1]
                    assert [] == spending.over(transfer, budget.limits, budget.zone), (transfer, budget)
                    self.seen["spent"] += bool(budget.limits)
            for refusal in self._refusals.get(merchant_id, ()):
                key_id, due, window = refusal
                assert any(
                    spending.may_refuse(key_id, due, budget.limits, budget.zone, window)
                    for budget in self._in_force(key_id, *window)
                ), refusal
            self._check_rows(rows, merchant_id, book)

    def _in_force(self, key_id: int, first: int, last: int) -> list[_BudgetSet]:
        """List what a key's budget was after some of these seqs, the earliest first."""
        budgets = self._budgets.get(key_id, [_NONE])
        before = sum(budget.after_seq < first for budget in budgets)
        return [budget for budget in budgets[max(0, before - 1) :] if budget.after_seq <= last]

    def _check_rows(self, rows: MemoryConnector, merchant_id: int, book: list[Any]) -> None:
        budgets = [budget for budget in rows.budgets.values() if budget.merchant_id == merchant_id]
        keys = {key.key_id: key.budget_id for key in rows.keys.values() if key.merchant_id == merchant_id}
        replay = BudgetReplay(budgets, keys)
        replay.feed_all(book)
        assert [] == list(replay.finish())
