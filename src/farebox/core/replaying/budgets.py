"""The sums spent of the budgets of a merchant's API keys, worked out of the transfers that name those keys."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.credit.budgets import BUDGET_WORDS, COUNTED_KINDS, RETURNED_KINDS, Budget, period_of
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer


class BudgetReplay:
    """One merchant's transfers, fed in order of seq: what they come to is compared with the budgets as stored."""

    def __init__(self, budgets: Iterable[Budget], keys: Mapping[int, int | None]) -> None:
        """Start at the empty book.

        Args:
            budgets: all of the merchant's budgets.
            keys: the budget that each of the merchant's API keys spends from, if any, by the key's number.
        """
        self._keys = keys
        self._limits: dict[int, list[BudgetLimit]] = {}
        for budget in budgets:
            self._limits.setdefault(budget.budget_id, []).append(BudgetLimit(budget))
        self._named: set[int] = set()
        self._holds: dict[int, int] = {}
        """The holds of captures, by seq."""

    def feed_all(self, transfers: Iterable[Transfer]) -> None:
        """Apply transfers."""
        for transfer in transfers:
            limits = self.limits_of(transfer.key_id)
            if limits:
                self.count(limits, transfer)

    def limits_of(self, key_id: int | None) -> Sequence["BudgetLimit"]:
        """Note that transfers name a key, and return the limits that they spend from."""
        if key_id is None:
            return ()
        self._named.add(key_id)
        budget_id = self._keys.get(key_id)
        return () if budget_id is None else self._limits.get(budget_id, ())

    def count(self, limits: Sequence["BudgetLimit"], transfer: Transfer) -> None:
        """Apply a transfer to the limits of its key."""
        kind = Kind(transfer.kind)
        if kind == Kind.CAPTURE and transfer.refers_to is not None:
            self._holds[transfer.seq] = transfer.refers_to
        if kind in COUNTED_KINDS:
            for limit in limits:
                limit.count(transfer)
        elif kind in RETURNED_KINDS and transfer.refers_to is not None:
            counted_seq = self._holds.get(transfer.refers_to, transfer.refers_to)
            for limit in limits:
                limit.give_back(counted_seq, transfer.amount)

    def finish(self) -> Iterator[str]:
        """Compare what was spent with what is stored of it, and yield what differs."""
        for key_id in sorted(self._named - self._keys.keys()):
            yield f"transfers name the key {ids.public_id(ids.KEY, key_id)}, which the merchant does not have"
        for key_id, budget_id in sorted(self._keys.items()):
            if budget_id is not None and budget_id not in self._limits:
                yield f"the key {ids.public_id(ids.KEY, key_id)} names a budget that is not there"
        for budget_id, limits in sorted(self._limits.items()):
            if budget_id not in self._keys.values():
                yield f"no key spends from the budget of {ids.public_id(ids.KEY, budget_id)}"
            for limit in limits:
                yield from limit.faults()


class BudgetLimit:
    """One limit as stored, and what its period comes to; as a book's times never go back, seqs tell what is in it."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._first_seq: int | None = None
        self._last_at: int | None = None
        self._spent = 0

    def count(self, transfer: Transfer) -> None:
        if transfer.committed_at >= self._budget.starts_at:
            self._first_seq = self._first_seq or transfer.seq
            self._last_at = transfer.committed_at
            self._spent += transfer.amount

    def give_back(self, counted_seq: int, amount: int) -> None:
        if self._first_seq is not None and counted_seq >= self._first_seq:
            self._spent -= amount

    def faults(self) -> Iterator[str]:
        budget = self._budget
        what = f"the budget of {ids.public_id(ids.KEY, budget.budget_id)} per {BUDGET_WORDS[budget.unit]}"
        if period_of(budget.unit, budget.zone, budget.starts_at)[0] != budget.starts_at:
            yield f"{what}: its period begins at no beginning of one"
        if self._last_at is not None and period_of(budget.unit, budget.zone, self._last_at)[0] > budget.starts_at:
            yield f"{what}: its period is over, and more was spent since"
        elif budget.spent != self._spent:
            spent = format_amount(budget.spent)
            yield f"{what}: {spent} is counted as spent, its transfers come to {format_amount(self._spent)}"
