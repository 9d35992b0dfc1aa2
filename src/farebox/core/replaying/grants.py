"""Replaying given credit: what is left of each grant at every transfer, and so what each transfer must say of grants.

All of it follows from the transfers: one of kind GRANT has the terms, and the others name what they took, or gave back.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account, Kind
from farebox.core.commands import end_key
from farebox.core.credit.grants import (
    PAID_ORDER,
    Grant,
    GrantState,
    GrantTerms,
    Order,
    Parts,
    given_between,
    in_order,
    order_of,
    read_given,
    read_terms,
    write_given,
    write_terms,
)
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer

_TAKING_KINDS: Final = frozenset({Kind.CHARGE, Kind.HOLD})
_ENDING_KINDS: Final = frozenset({Kind.CAPTURE, Kind.RELEASE, Kind.EXPIRE})
_GRANT_KINDS: Final = frozenset({Kind.GRANT, Kind.GRANT_EXPIRY})
_RETURNING_KINDS: Final = frozenset({Kind.RELEASE, Kind.EXPIRE, Kind.REFUND})


class Refunded(Struct, frozen=True, gc=False):
    """A refund to be held against what it gives back: `returned` micros of that had gone back before."""

    seq: int
    original_seq: int
    returned: int
    amount: int
    given: str | None


class _Lot(Struct):
    """A grant, as far as it is known."""

    number: int
    terms: GrantTerms
    made_by: Transfer
    left: int
    is_over: bool = False

    @property
    def order(self) -> Order:
        return order_of(self.number, self.terms)


class GrantReplay:
    """The grants of one book, fed its transfers in order of seq; it yields each fault where it stands.

    Where the book's first transfers are not known, neither are the grants that they made: what takes from those is
    taken as it is written, and the order of spending can't be told.
    """

    def __init__(self, *, is_whole: bool = True) -> None:
        """Start at the empty book, or, if that is not whole, at one of which nothing is known."""
        self._is_whole = is_whole
        self._lots: dict[int, _Lot] = {}
        self._open: list[tuple[Order, int]] = []
        """The grants that have something left and are not over, in the order of spending."""
        self._ends: list[tuple[int, int]] = []
        """When grants end, and their numbers: a heap."""
        self._holds: dict[int, tuple[Parts, int]] = {}
        """What open holds took, the merchant's own included, where they took of grants; and how much was captured."""
        self._back: tuple[int, dict[int, int]] = (0, {})
        """The last transfer that gave back to grants, and what it gave to which."""
        self.given = 0
        """What the wallet has of grants, as far as they are known."""
        self.refunds: list[Refunded] = []
        """What `refund_faults` has to be asked for."""

    def feed(self, transfer: Transfer, wallet_before: int, returned: int) -> Iterator[str]:
        """Apply a transfer, and yield what is wrong with it.

        Args:
            transfer: the next one, of a kind that there is.
            wallet_before: the wallet before it.
            returned: of a refund, how much of what it gives back had gone back before.
        """
        if transfer.given is None and not self._lots and not self._back[1] and transfer.kind not in _GRANT_KINDS:
            # Nothing is known of grants, and nothing is said of any.
            return
        try:
            if transfer.kind == Kind.GRANT_EXPIRY:
                yield from self._end(transfer)
            else:
                yield from self.unended()
                if transfer.kind == Kind.GRANT:
                    yield from self._begin(transfer)
                else:
                    yield from self._overdue(transfer.committed_at)
                    yield from self._move(transfer, wallet_before, returned)
        except ValueError as error:
            yield f"what it says of grants can't be read: {error}"

    def refund_faults(self, refund: Refunded, original: Transfer) -> Iterator[str]:
        """Hold a refund against what it gives back, and yield what is wrong."""
        try:
            taken = self._in_order(read_given(original.given), original.amount)
        except ValueError:
            # The original itself was told of.
            return
        if taken is not None:
            last = original.amount - refund.returned
            yield from _given_faults(given_between(taken, last - refund.amount, last), refund.given)

    def finish(self, account: Account, rows: Iterable[Grant]) -> Iterator[str]:
        """Compare where the grants came to with their rows and the account's, and yield what differs."""
        yield from self.unended()
        stored = {grant.number: grant for grant in rows}
        for number in sorted(stored.keys() | self._lots.keys()):
            grant, lot = stored.get(number), self._lots.get(number)
            if grant is None:
                yield f"the row of grant {number} is missing"
            elif lot is None:
                yield from _waiting_faults(grant, account.last_at)
            elif not _is_row_of(lot, grant, account.last_at):
                yield f"the row of grant {number} says otherwise than its transfers"
        due = [grant.due_at for grant in stored.values() if grant.due_at is not None]
        for name, value, told in (
            ("given", format_amount(self.given), format_amount(account.given)),
            ("grants_count", max(stored, default=0), account.grants_count),
            ("grants_due_at", min(due, default=None), account.grants_due_at),
        ):
            if value != told:
                yield f"the account's {name} is {told}, its grants come to {value}"
        if stored.keys() != set(range(1, len(stored) + 1)):
            yield "the numbers of its grants have gaps"

    def unended(self) -> Iterator[str]:
        """Tell of what came back to a grant that is over, and was not ended at once."""
        seq, back = self._back
        for number in back:
            lot = self._lots.get(number)
            if lot is not None and lot.is_over:
                yield f"what the transfer of seq {seq} gave back to grant {number}, which is over, was not ended"
        self._back = (0, {})

    def _begin(self, transfer: Transfer) -> Iterator[str]:
        number, terms = read_terms(transfer.given or "")
        if write_terms(number, terms) != transfer.given or terms.starts_at is not None or number < 1:
            yield "the terms of its grant are not written as Farebox writes them"
        if terms.amount != transfer.amount:
            yield "the terms of its grant name another amount"
        if transfer.idempotency_key != f"grant {transfer.reference}":
            yield "its idempotency key is not that of a grant"
        if number in self._lots:
            yield f"makes grant {number} a second time"
            return
        lot = self._lots[number] = _Lot(number, terms, transfer, 0)
        self._add(lot, transfer.amount)
        if terms.expires_at is not None:
            heappush(self._ends, (terms.expires_at, number))

    def _end(self, transfer: Transfer) -> Iterator[str]:
        number = read_given(transfer.given)[0][0] if transfer.given else 0
        lot = self._lots.get(number)
        seq, back = self._back
        if number in back and transfer.idempotency_key == end_key(number, seq):
            amount = back.pop(number)
            if lot is not None and not lot.is_over and lot.left != amount:
                yield f"ends what came back to grant {number}, which is not over"
        else:
            yield from self.unended()
            if lot is None:
                if self._is_whole:
                    yield "ends a grant that no transfer made"
                return
            amount = lot.left
            yield from self._end_faults(transfer, lot)
        if lot is None:
            return
        if transfer.given != f"{number}:{transfer.amount}":
            yield "what it says of grants is not written as Farebox writes it"
        if transfer.amount != amount:
            yield f"ends {format_amount(transfer.amount)} of grant {number}, of which {format_amount(amount)} was left"
        if transfer.refers_to != lot.made_by.seq:
            yield f"does not refer to the transfer that made grant {number}"
        self._add(lot, -amount)
        self._close(lot)

    def _end_faults(self, transfer: Transfer, lot: _Lot) -> Iterator[str]:
        """Tell what is wrong with the end of a grant: by itself, which has no note, or by support, which says why."""
        expires_at = lot.terms.expires_at
        if transfer.idempotency_key != end_key(lot.number):
            yield "its idempotency key is not that of the end of its grant"
        if lot.is_over:
            yield f"ends grant {lot.number} a second time"
        elif transfer.note is not None:
            yield from self._overdue(transfer.committed_at)
        elif expires_at is None or transfer.committed_at < expires_at:
            yield f"ends grant {lot.number} before its time was over"
        else:
            yield from self._overdue(expires_at, before=lot.number)

    def _overdue(self, at: int, *, before: int | None = None) -> Iterator[str]:
        """Tell of grants whose end should have been posted by now; `before` leaves those that end then for later ones.

        Args:
            at: the time by which ends are due.
            before: of those that end at that very time, the number that the others are below; None for all.
        """
        while self._ends and (self._ends[0] <= (at, at) if before is None else self._ends[0] < (at, before)):
            _, number = heappop(self._ends)
            lot = self._lots[number]
            if lot.is_over:
                continue
            if lot.left:
                yield f"grant {number} was over before it, and {format_amount(lot.left)} of it was not ended"
            self._close(lot)

    def _move(self, transfer: Transfer, wallet_before: int, returned: int) -> Iterator[str]:
        """Apply what is neither a grant nor its end."""
        parts = read_given(transfer.given)
        if transfer.kind in _TAKING_KINDS:
            expected = self._takes(transfer, wallet_before - self.given)
        elif transfer.kind in _ENDING_KINDS:
            expected = self._of_hold(transfer)
        elif transfer.kind == Kind.REFUND:
            # What it gives back may be long ago, and is looked at later.
            expected = None
            if self._lots or transfer.given is not None:
                told = (transfer.refers_to or 0, returned, transfer.amount, transfer.given)
                self.refunds.append(Refunded(transfer.seq, *told))
        else:
            expected = ()
        faults = list(self._part_faults(transfer, parts))
        if expected is not None:
            faults = [*_given_faults(expected, transfer.given)] or faults
        yield from faults
        for number, amount in parts:
            lot = self._lots.get(number)
            if lot is not None and transfer.kind != Kind.CAPTURE:
                self._add(lot, -amount if transfer.kind in _TAKING_KINDS else amount)
        if transfer.kind == Kind.HOLD and parts:
            ordered = self._in_order(parts, transfer.amount)
            if ordered is not None:
                self._holds[transfer.seq] = ordered, 0
        if transfer.kind in _RETURNING_KINDS:
            self._back = (transfer.seq, dict(parts))

    def _takes(self, transfer: Transfer, paid: int) -> Parts | None:
        """Tell what a charge or hold takes of grants, in the order of spending; None if that can't be known."""
        if not self._is_whole:
            return None
        parts: list[tuple[int, int]] = []
        rest, is_paid_taken = transfer.amount, False
        for order, number in self._open:
            if order > PAID_ORDER and not is_paid_taken:
                rest, is_paid_taken = rest - min(rest, max(paid, 0)), True
            if rest == 0:
                break
            lot = self._lots[number]
            if _pays_for(lot.terms, transfer.request_type):
                parts.append((number, min(lot.left, rest)))
                rest -= parts[-1][1]
        return tuple(parts)

    def _of_hold(self, transfer: Transfer) -> Parts | None:
        """Tell what the end of a hold takes of its parts, the first ones first; None if that can't be known."""
        seq = transfer.refers_to or 0
        hold = self._holds.pop(seq, None)
        if hold is None:
            return () if self._is_whole else None
        parts, captured = hold
        if transfer.kind == Kind.CAPTURE and transfer.amount < sum(amount for _, amount in parts):
            self._holds[seq] = parts, transfer.amount
        return given_between(parts, captured, captured + transfer.amount)

    def _part_faults(self, transfer: Transfer, parts: Parts) -> Iterator[str]:
        """Tell what is wrong with what a transfer names of grants, whatever the order of spending is."""
        numbers = [number for number, _ in parts]
        if write_given(parts) != transfer.given or len(set(numbers)) < len(numbers) or min(numbers, default=1) < 1:
            yield "what it says of grants is not written as Farebox writes it"
        if parts and sum(amount for _, amount in parts) > transfer.amount:
            yield "more of it is given than it comes to"
        for number, amount in parts:
            lot = self._lots.get(number)
            if lot is None:
                if self._is_whole:
                    yield f"names grant {number}, which no transfer made"
            elif transfer.kind in _TAKING_KINDS:
                if lot.is_over or lot.left < amount:
                    yield f"takes {format_amount(amount)} of grant {number}, of which less is left"
                if not _pays_for(lot.terms, transfer.request_type):
                    yield f"takes of grant {number}, which does not pay for its type"

    def _in_order(self, parts: Parts, amount: int) -> Parts | None:
        """Tell all that an amount took, the merchant's own at its place; None if it is not known where that is."""
        if any(number not in self._lots for number, _ in parts):
            return None
        return in_order(parts, amount, {number: self._lots[number].terms.priority for number, _ in parts})

    def _add(self, lot: _Lot, amount: int) -> None:
        place = (lot.order, lot.number)
        was_open, lot.left = lot.left > 0, lot.left + amount
        self.given += amount
        is_open = lot.left > 0 and not lot.is_over
        if is_open and not was_open:
            insort(self._open, place)
        elif was_open and not is_open:
            self._drop(place)

    def _close(self, lot: _Lot) -> None:
        lot.is_over = True
        self._drop((lot.order, lot.number))

    def _drop(self, place: tuple[Order, int]) -> None:
        index = bisect_left(self._open, place)
        if self._open[index : index + 1] == [place]:
            del self._open[index]


def _given_faults(expected: Parts, given: str | None) -> Iterator[str]:
    """Compare what a transfer says of grants with what it must say."""
    written = write_given(expected)
    if written != given:
        yield f"it names {given or 'nothing'} of grants, the order of spending comes to {written or 'nothing'}"


def _waiting_faults(grant: Grant, last_at: int) -> Iterator[str]:
    """Tell what is wrong with the row of a grant that no transfer made: it waits, or was ended before it started."""
    if grant.transfer_seq is not None or grant.left or grant.state == GrantState.OPEN:
        yield f"the row of grant {grant.number} tells of a transfer that is not there"
    elif grant.state == GrantState.WAITING and grant.starts_at <= last_at:
        yield f"grant {grant.number} should have started"


def _is_row_of(lot: _Lot, grant: Grant, last_at: int) -> bool:
    """Tell whether a row says what the transfers of its grant come to."""
    made_by, expires_at = lot.made_by, lot.terms.expires_at
    is_over = lot.is_over or (expires_at is not None and expires_at <= last_at)
    is_ended = grant.state == GrantState.ENDED
    told = (grant.transfer_seq, grant.reference, grant.reason, grant.idempotency_key, grant.fingerprint)
    texts = (made_by.reference, made_by.note, made_by.idempotency_key, made_by.fingerprint)
    return (
        told == (made_by.seq, *texts)
        and grant.terms == lot.terms
        and grant.starts_at <= made_by.committed_at
        and grant.left == lot.left
        # The end of a grant of which nothing is left has no transfer: time alone, or support, has ended it.
        and (is_ended or (grant.state == GrantState.OPEN and not is_over))
        and (not is_ended or not lot.left)
        and is_ended == (grant.ended_at is not None)
    )


def _pays_for(terms: GrantTerms, request_type: str | None) -> bool:
    return terms.types is None or (request_type or "") in terms.types.split(" ")
