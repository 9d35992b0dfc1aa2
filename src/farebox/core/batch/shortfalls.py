"""The shortfalls of one batch: what a request takes where there is too little, what is owed, and what pays for it."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.batch.grants import BatchGrants
from farebox.core.batch.rows import BatchRows
from farebox.core.book import Book
from farebox.core.commands import Refund, ReverseTopUp
from farebox.core.credit.grants import Taking, write_given
from farebox.core.credit.shortfalls import OWED_MAX, Above, Shortfall, paid_part, payment_key, payments
from farebox.core.currencies import format_money_with_code
from farebox.core.holds import Hold, above_key
from farebox.core.invariants import InvariantViolation
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.quotes import Quote
from farebox.core.state import Decision
from farebox.core.transfers import Transfer

_LACKS_MONEY: Final = frozenset({Code.INSUFFICIENT_BALANCE, Code.MONEY_OWED})


class Share(Struct, frozen=True, gc=False):
    """The part of an amount due that is taken, and the part that is missing, in micros."""

    amount: int
    uncollected: int | None = None
    taking: Taking | None = None
    """The part taken of grants of credit, above a hold."""


_NOTHING: Final = Share(0)
_FROZEN: Final = refused(Code.MERCHANT_FROZEN, "The merchant is frozen and can't be charged beyond what is held")


class BatchShortfalls:
    """Those stored of which something is owed, and over them what the batch made and paid."""

    def __init__(self, stored: Mapping[tuple[int, int], Shortfall], grants: BatchGrants, now: int) -> None:
        """Begin a batch at `now`, microseconds since 1970; `grants` are the batch's own."""
        self._rows = BatchRows(stored)
        self._grants = grants
        self._now = now

    def write_to(self, decision: Decision) -> None:
        """Add the rows to a batch's decision."""
        decision.shortfalls = [*self._rows.new.values(), *self._rows.changed.values()]

    def share(self, book: Book, due: int, above: Above, refusal: Outcome | None, given: int) -> Share | Outcome:
        """Tell what a request takes from the wallet, or why it is refused.

        Args:
            book: the merchant's.
            due: what the request comes to, in micros.
            above: what becomes of what there is too little for.
            refusal: what the book itself says.
            given: what the request may take of grants, as of `Book.refusal`.
        """
        if book.owed and due and (refusal is None or refusal.code is Code.INSUFFICIENT_BALANCE):
            refusal = _money_owed(book, self._owing(book))
        if refusal is None:
            return Share(due)
        if refusal.code not in _LACKS_MONEY:
            return refusal
        # That money was missing is told once, whether the request is refused or not all of it is collected.
        book.run_out(due, self._now)
        if above is not Above.UNCOLLECTED:
            return refusal
        amount = 0 if book.owed else min(due, _spendable(book, given))
        return Share(amount, due - amount)

    def capture_share(
        self, book: Book, hold: Hold, held: int, above: Quote | None, choice: Above, most: int | Outcome | None
    ) -> Share | Outcome:
        """Tell what is taken from the wallet of what a capture comes to above its hold, or why the whole is refused.

        A frozen merchant's wallet gives nothing. `held` is what the capture takes of the hold, `most` what a budget
        leaves for the rest, or why it leaves too little.
        """
        if above is None:
            return _NOTHING
        due = above.amount
        if book.is_frozen:
            return Share(0, due) if choice is Above.UNCOLLECTED else _FROZEN
        if isinstance(most, Outcome):
            return most
        # The capture goes first, and leaves revenue that much nearer to the largest balance.
        refusal = book.refusal(Kind.CAPTURE, held + due)
        if refusal is not None:
            return refusal
        payable = due if most is None else most
        taking = self._grants.taking(book, hold.request_type or "", payable) if book.given else None
        given = 0 if taking is None else taking.given
        refusal = book.refusal(Kind.CHARGE, payable, may_be_free=payable < due, given=given)
        share = self.share(book, payable, choice, refusal, given)
        if isinstance(share, Outcome):
            return share
        return Share(share.amount, due - share.amount or None, taking if share.amount else None)

    def charge_above(self, book: Book, capture: Transfer, made_by: Transfer, above: Quote, share: Share) -> Transfer:
        """Take what a capture comes to above its hold, as a transfer of its own under a key of the hold's own."""
        is_at_price = above.unit_price is not None or above.pricing is not None
        if share.taking is not None:
            self._grants.use(book, share.taking)
        return book.post(
            Kind.CHARGE,
            share.amount,
            self._now,
            idempotency_key=above_key(made_by.seq),
            fingerprint=capture.fingerprint,
            request_type=made_by.request_type,
            quantity=above.quantity or None,
            unit_price=above.unit_price,
            price_id=made_by.price_id if is_at_price else None,
            refers_to=made_by.seq,
            reference=capture.reference,
            pricing=above.pricing,
            given=None if share.taking is None else write_given(share.taking.parts),
            uncollected=share.uncollected,
            key_id=made_by.key_id,
        )

    def return_share(self, book: Book, command: Refund | ReverseTopUp, amount: int) -> Share | Outcome:
        """Tell what a refund gives back, or what a reversal takes back now and what of it is owed."""
        refusal = book.refusal(command.kind, amount)
        if refusal is None:
            return Share(amount)
        if isinstance(command, Refund) or not command.is_owed or refusal.code is not Code.INSUFFICIENT_BALANCE:
            return refusal
        if len(self._owing(book)) >= OWED_MAX:
            more = f"{OWED_MAX} reversals are owed already, and no more can be"
            return refused(refusal.code, f"{refusal.message}; {more}")
        taken = _spendable(book)
        return Share(taken, amount - taken)

    def settle(self, book: Book, transfer: Transfer, charge: Transfer | None) -> None:
        """Write down what a command's transfers left uncollected, and pay what is owed with what they brought.

        Args:
            book: the merchant's.
            transfer: the first that the command made.
            charge: what it took above a hold, if it did.
        """
        for made in (transfer, charge):
            if made is not None and made.uncollected is not None:
                self._add(book, made, made.uncollected)
        brought = [made for made in book.transfers if made.seq >= transfer.seq and paid_part(made)]
        for row, amount in payments(self._owing(book), sum(map(paid_part, brought))):
            book.post(
                Kind.TOP_UP_REVERSAL,
                amount,
                self._now,
                idempotency_key=payment_key(row.seq, brought[-1].seq),
                fingerprint=transfer.fingerprint,
                refers_to=row.top_up_seq,
            )
            book.owed -= amount
            self._rows.replace(row.merchant_id, row.seq, replace(row, owed=row.owed - amount))

    def _add(self, book: Book, made: Transfer, amount: int) -> None:
        row = Shortfall(made.merchant_id, made.seq, made.committed_at, amount)
        if made.kind == Kind.TOP_UP_REVERSAL:
            book.owed += amount
            row = replace(row, owed=amount, top_up_seq=made.refers_to)
        self._rows.new[row.merchant_id, row.seq] = row

    def _owing(self, book: Book) -> Sequence[Shortfall]:
        """List those of which a merchant owes something, the oldest first."""
        return [row for row in self._rows if row.merchant_id == book.merchant_id and row.owed] if book.owed else ()


def _spendable(book: Book, given: int = 0) -> int:
    """Tell how much the wallet can give, the credit limit and so much given credit included, in micros."""
    return max(0, book.paid + book.credit_limit + given)


def _money_owed(book: Book, owing: Sequence[Shortfall]) -> Outcome:
    """Refuse to spend because money is owed, saying how much and for which top-up."""
    owed = format_money_with_code(book.owed, book.currency)
    top_ups = list(dict.fromkeys(row.top_up_seq or 0 for row in owing))
    if not top_ups:
        raise InvariantViolation(f"{book.merchant}: {owed} is owed, and no top-up tells of it")
    named = ids.book_id(ids.TRANSFER, merchant_id=book.merchant_id, seq=top_ups[0])
    what = f"the top-up {named}" if len(top_ups) == 1 else f"{len(top_ups)} top-ups, the first of them {named},"
    return refused(
        Code.MONEY_OWED,
        f"{owed} is owed for {what} that was taken back when it was spent already; "
        "the next top-up pays it first, and nothing can be spent until then",
    )
