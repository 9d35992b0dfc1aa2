"""Closing a merchant, and opening one again, within a batch."""

from farebox.core.batch.grants import BatchGrants
from farebox.core.book import Book
from farebox.core.closing import close_refusal
from farebox.core.commands import SetClosed
from farebox.core.outcomes import DONE, Code, Outcome
from farebox.core.transfers import Transfer


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
