"""The budgets of API keys while a batch is decided: what a charge or hold may take, and what goes back."""

from farebox.core.alerts import AlertKind
from farebox.core.book import Book
from farebox.core.commands import Spend
from farebox.core.credit.budgets import COUNTED_KINDS, BudgetKey, Budgets, BudgetStanding
from farebox.core.credit.shortfalls import Above
from farebox.core.money import AMOUNT_MICROS_MAX
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.quotes import Quote
from farebox.core.state import BatchState, Decision, KeyRecord, Original
from farebox.core.transfers import Transfer


class BatchBudgets:
    """The budgets that a batch meets; a key without one costs a look at its record."""

    def __init__(self, state: BatchState) -> None:
        """Start from the budgets as stored."""
        self._state = state
        self._budgets = Budgets(state.budgets)
        self._counted: dict[tuple[int, int], tuple[BudgetKey, int]] = {}
        """By which budget this batch's captures and charges above holds were counted, and when, by merchant and seq."""

    def key(self, command: Spend) -> KeyRecord | None:
        """Find the merchant's API key that a charge or hold names; None if it names the merchant by its id."""
        digest = command.payer.digest
        return None if digest is None else self._state.keys[digest]

    def payable(self, book: Book, key: KeyRecord | None, command: Spend, due: int, now: int) -> int | Outcome:
        """Tell how much of what is due a charge or hold that names a key may take, or why it may take nothing."""
        if key is None or key.budget_id is None:
            return due
        return self._payable(book, (book.merchant_id, key.budget_id), key.key_id, command.above, due, now)

    def payable_above(
        self, book: Book, hold: Original, above: Quote | None, choice: Above, now: int
    ) -> int | Outcome | None:
        """Tell how much may be taken of what a capture comes to above its hold, or why the whole is refused.

        None if nothing limits it, or the wallet of a frozen merchant gives nothing anyway: what the hold itself has was
        counted when it was made.
        """
        counted = None if above is None or book.is_frozen else self._counted_by(hold)
        if above is None or counted is None:
            return None
        return self._payable(book, counted[0], hold.transfer.key_id, choice, above.amount, now)

    def standing(self, budget: BudgetKey, at: int) -> BudgetStanding:
        """Tell how a budget stands at a time of its merchant's book, to count a charge of this moment there."""
        return self._budgets.standing(budget, at)

    def spend(self, budget_id: int, transfer: Transfer) -> None:
        """Count a charge or hold that names a key which has this budget."""
        self._budgets.spend((transfer.merchant_id, budget_id), transfer.amount, transfer.committed_at)

    def spend_above(self, hold: Original, charge: Transfer) -> None:
        """Count what a capture takes above its hold, as a charge of its own."""
        counted = self._counted_by(hold)
        if counted is not None:
            self._budgets.spend(counted[0], charge.amount, charge.committed_at)
            self._counted[charge.merchant_id, charge.seq] = (counted[0], charge.committed_at)

    def capture(self, hold: Original, capture: Transfer) -> None:
        """Keep that what a capture takes was counted when its hold was made."""
        counted = self._counted_by(hold)
        if counted is not None:
            self._counted[capture.merchant_id, capture.seq] = counted

    def give_back(self, original: Original | None, amount: int) -> None:
        """Take off what goes back of a charge, hold or capture."""
        counted = None if original is None else self._counted_by(original)
        if counted is not None:
            budget, counted_at = counted
            self._budgets.give_back(budget, amount, counted_at)

    def write_to(self, decision: Decision) -> None:
        """Add what became of budgets to a batch's decision."""
        decision.spent_budgets = self._budgets.spent()
        decision.budgets = self._budgets.changed()

    def _payable(
        self, book: Book, budget: BudgetKey, key_id: int | None, above: Above, due: int, now: int
    ) -> int | Outcome:
        # By the time that its transfer will have, so that everyone who replays the book finds the same period.
        at = book.time_at(now)
        limit = self._budgets.exceeded(budget, due, at)
        if limit is None:
            return due
        if self._budgets.tell(budget, limit, at):
            facts = {"key_id": key_id, **limit.facts(due, at)}
            book.tell(AlertKind.BUDGET_REACHED, now, facts)
        if above is Above.UNCOLLECTED and due <= AMOUNT_MICROS_MAX:
            return self._budgets.left(budget, at)
        return refused(Code.KEY_BUDGET_EXCEEDED, limit.refusal(due, at, book.currency))

    def _counted_by(self, original: Original) -> tuple[BudgetKey, int] | None:
        transfer = original.transfer
        if original.budget_id is not None:
            return (transfer.merchant_id, original.budget_id), original.counted_at or transfer.committed_at
        counted = self._counted.get((transfer.merchant_id, transfer.seq))
        return counted or self._counted_in_batch(transfer)

    def _counted_in_batch(self, transfer: Transfer) -> tuple[BudgetKey, int] | None:
        """Find the budget of the key that a charge or hold of this batch names; such keys are there."""
        merchant_id, key_id = transfer.merchant_id, transfer.key_id
        if key_id is None or transfer.kind not in COUNTED_KINDS:
            return None
        named = (key for key in self._state.keys.values() if key.merchant_id == merchant_id and key.key_id == key_id)
        budget_id = next((key.budget_id for key in named), None)
        return None if budget_id is None else ((merchant_id, budget_id), transfer.committed_at)
