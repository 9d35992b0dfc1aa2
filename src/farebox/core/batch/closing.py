"""Closing a merchant, and opening one again: what must be settled first, and what is refused from then on."""

from typing import Final

from farebox.core.batch.grants import BatchGrants
from farebox.core.book import Book
from farebox.core.commands import Adjust, Command, ExpireHold, Move, Refund, SetClosed
from farebox.core.currencies import format_money_with_code
from farebox.core.outcomes import DONE, Code, Outcome, refused
from farebox.core.transfers import Transfer

MERCHANT_CLOSED: Final = refused(Code.MERCHANT_CLOSED, "The merchant is closed: no money of it is moved")


def closed_refusal(book: Book, command: Command) -> Outcome | None:
    """Refuse what moves money of a closed merchant.

    A hold that sets nothing aside, of a free type, is in no balance, so it may be open when its merchant is closed. Its
    time ends all the same: due for ever, such holds would be swept ahead of those that have something to give back.
    """
    return None if book.closed_at is None or isinstance(command, ExpireHold) else MERCHANT_CLOSED


def too_fine_refusal(book: Book, move: Move, amount: int) -> Outcome | None:
    """Refuse an amount with more decimals than the currency, unless it is a refund, or adjusts all that was paid.

    Prices may be finer than the currency, and so may any part of a charge, and what is left when a merchant is closed.
    """
    if isinstance(move, Refund):
        return None
    is_rest = isinstance(move, Adjust) and amount == (book.owed - book.paid if move.is_credit else book.paid)
    return None if is_rest else book.too_fine_refusal(amount)


def close_refusal(book: Book) -> Outcome | None:
    """Tell why a merchant can't be closed yet: all that was paid must be paid out or written off, and no hold be open.

    Given credit is no reason: it ends with the closing.
    """
    if book.held:
        held = format_money_with_code(book.held, book.currency)
        return refused(
            Code.MERCHANT_NOT_EMPTY, f"{held} are set aside by open holds; they must be captured or released"
        )
    paid = book.paid
    if paid > 0:
        rest = format_money_with_code(paid, book.currency)
        return refused(
            Code.MERCHANT_NOT_EMPTY, f"{rest} are left; pay them out or write them off by an adjustment first"
        )
    if paid < 0:
        debt = format_money_with_code(-paid, book.currency)
        return refused(
            Code.MERCHANT_NOT_EMPTY, f"The merchant owes {debt}; top it up or write them off by an adjustment first"
        )
    if book.owed:
        owed = format_money_with_code(book.owed, book.currency)
        return refused(
            Code.MERCHANT_NOT_EMPTY,
            f"The merchant owes {owed} of top-ups that were taken back; write them off by an adjustment first",
        )
    return None


def set_closed(book: Book, command: SetClosed, grants: BatchGrants, now: int) -> tuple[Outcome, list[Transfer]]:
    """Close a merchant, whose grants of credit end with that, or open it again; return what ended them.

    Raises:
        MoreGrantsNeeded: not all of its grants are there.
    """
    if command.is_closed == (book.closed_at is not None):
        return Outcome(Code.OK, is_replay=True), []
    if not command.is_closed:
        book.closed_at = None
        return DONE, []
    refusal = close_refusal(book)
    if refusal is not None:
        return refusal, []
    ends = grants.end_all(book, command.reason)
    book.closed_at = now
    return DONE, ends
