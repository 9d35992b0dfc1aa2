"""The grants of one batch: they start and end in their time, requests take from them, and some of it comes back.

The time of all this is the book's: the clock's, or that of the last transfer if the clock stepped back behind it. So
everybody who replays a book comes to the same.
"""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.alerts import AlertKind
from farebox.core.batch.rows import BatchRows
from farebox.core.book import Book
from farebox.core.commands import ApprovalCommand, EndGrant, GiveCredit, Move, end_key
from farebox.core.credit.grants import (
    PAID_PRIORITY,
    STARTS_AGO_MICROS_MAX,
    WAITING_MICROS_MAX,
    FirstGrants,
    Grant,
    GrantLot,
    GrantState,
    Parts,
    Taking,
    given_between,
    in_order,
    read_given,
    take,
    write_given,
    write_terms,
)
from farebox.core.fingerprints import fingerprint_of_key
from farebox.core.invariants import InvariantViolation
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.state import BatchState, Decision, MoreGrantsNeeded
from farebox.core.transfers import Transfer

_WAITING: Final = GrantState.WAITING
_OPEN: Final = GrantState.OPEN
_ENDED: Final = GrantState.ENDED
"""Python 3.11 takes long to look a member of an enumeration up."""


class BatchGrants:
    """Grants as stored, and over them as they stand after each command."""

    def __init__(self, state: BatchState, now: int) -> None:
        """Begin a batch at `now`, microseconds since 1970."""
        self._state = state
        self._now = now
        self._rows = BatchRows(state.grants)
        self._stored_numbers: dict[int, list[int]] | None = None
        self._lots: dict[int, dict[int, GrantLot]] = {}
        """Of each merchant what requests may take from, by number, in the order of spending, as it stands now."""
        self._left: dict[tuple[int, int], int] = {}
        """Micros left of grants that requests took from, but for those of rows that the batch made or changed."""
        self._moved: dict[int, set[int]] = {}
        """By merchant, the grants that this batch put to other places in that order, or made."""

    def get(self, merchant_id: int, number: int) -> Grant | None:
        """Find a grant, of which the whole row is there."""
        grant = self._rows.get(merchant_id, number)
        left = self._left.get((merchant_id, number))
        return grant if grant is None or left is None else replace(grant, left=left)

    def repeated(self, command: Move | ApprovalCommand, fingerprint: bytes) -> Outcome | None:
        """Answer a command that gives credit under a reference that a grant has, though it may wait."""
        move = command.move if isinstance(command, ApprovalCommand) else command
        if not isinstance(move, GiveCredit):
            return None
        key = move.idempotency_key
        grant = next((grant for grant in self._of(move.merchant_id) if grant.idempotency_key == key), None)
        if grant is None or grant.fingerprint == fingerprint:
            return None if grant is None else Outcome(Code.OK, is_replay=True, grant=grant)
        return refused(Code.IDEMPOTENCY_CONFLICT, f"This reference was used for another grant of credit, {grant.id}")

    def write_to(self, decision: Decision) -> None:
        """Add the rows to a batch's decision."""
        decision.new_grants = list(self._rows.new.values())
        decision.changed_grants = list(self._rows.changed.values())
        decision.spent_grants = [(*place, left) for place, left in self._left.items()]

    def settle(self, book: Book) -> None:
        """Start and end the grants of a book whose time has come, by their times, starts ahead of ends.

        Raises:
            MoreGrantsNeeded: not all of them are there.
        """
        at = book.time_at(self._now)
        if book.grants_due_at is None or book.grants_due_at > at:
            return
        if book.merchant_id not in self._state.grants_complete:
            raise MoreGrantsNeeded(book.merchant_id)
        due = []
        for grant in self._of(book.merchant_id):
            if grant.state == _WAITING and grant.starts_at <= at:
                due.append((grant.starts_at, _WAITING, grant.number))
            if grant.state != _ENDED and grant.expires_at is not None and grant.expires_at <= at:
                due.append((grant.expires_at, _OPEN, grant.number))
        for time, state, number in sorted(due):
            grant = self._row(book.merchant_id, number)
            if state == _WAITING:
                self._start(book, grant)
            elif grant.state == _OPEN:
                self._end(book, grant, time, fingerprint_of_key(end_key(number)))
        self._note_due(book)
        book.clock_alerts_count = len(book.alerts)

    def times_refusal(self, book: Book, command: GiveCredit) -> Outcome | None:
        """Tell why credit can't be given at the times that are named, or None if it can."""
        at = book.time_at(self._now)
        starts_at, expires_at = command.starts_at, command.expires_at
        if starts_at is not None and not at - STARTS_AGO_MICROS_MAX <= starts_at <= at + WAITING_MICROS_MAX:
            return refused(
                Code.GRANT_TIMES_OUT_OF_BOUNDS, "Credit starts at once, or within two years; not more than a day ago"
            )
        if expires_at is not None and expires_at <= max(at, starts_at or at):
            return refused(Code.GRANT_TIMES_OUT_OF_BOUNDS, "Credit ends after it has started, and after now")
        return None

    def give(self, book: Book, command: GiveCredit, fingerprint: bytes) -> Outcome:
        """Give credit, which starts at once, or waits."""
        refusal = (
            self.times_refusal(book, command)
            or book.too_fine_refusal(command.amount)
            or book.refusal(Kind.GRANT, command.amount)
        )
        if refusal is not None:
            return refusal
        at = book.time_at(self._now)
        book.grants_count += 1
        grant = Grant(
            merchant_id=book.merchant_id,
            number=book.grants_count,
            amount=command.amount,
            left=0,
            reference=command.reference,
            reason=command.reason,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            priority=command.priority,
            starts_at=max(at, command.starts_at or at),
            expires_at=command.expires_at,
            types=command.types,
            state=_WAITING,
        )
        self._rows.new[grant.merchant_id, grant.number] = grant
        self._numbers().setdefault(grant.merchant_id, []).append(grant.number)
        transfer = self._start(book, grant) if grant.starts_at <= at else None
        grant = self._row(book.merchant_id, grant.number)
        if grant.due_at is not None:
            book.grants_due_at = grant.due_at if book.grants_due_at is None else min(book.grants_due_at, grant.due_at)
        return Outcome(Code.OK, transfer, grant=grant)

    def end(self, book: Book, command: EndGrant, fingerprint: bytes) -> Outcome:
        """Take back what is left of a grant, or let it never start."""
        grant = self.get(book.merchant_id, command.number)
        if grant is None:
            return refused(Code.GRANT_NOT_FOUND, "The merchant has no such grant")
        if grant.state == _ENDED:
            # Only support ends a grant before its time.
            is_in_time = grant.expires_at is None or (grant.ended_at or 0) < grant.expires_at
            return Outcome(Code.OK, is_replay=True, grant=grant) if is_in_time else already_ended(grant)
        transfer = self._end(book, grant, book.time_at(self._now), fingerprint, note=command.reason)
        self._note_due(book)
        return Outcome(Code.OK, transfer, grant=self.get(book.merchant_id, command.number))

    def end_all(self, book: Book, reason: str) -> list[Transfer]:
        """End all grants of a merchant that is closed, by their numbers; those that wait never start.

        One without an end of which nothing is left is as good as ended, and is left alone.

        Raises:
            MoreGrantsNeeded: not all of them are there.
        """
        merchant_id = book.merchant_id
        if not book.grants_count:
            return []
        if merchant_id not in self._state.grants_complete:
            raise MoreGrantsNeeded(merchant_id)
        at = book.time_at(self._now)
        ends = []
        for grant in sorted(self._of(merchant_id), key=lambda grant: grant.number):
            is_waiting = grant.state == _WAITING
            if is_waiting or (grant.state == _OPEN and (grant.left or grant.expires_at is not None)):
                fingerprint = EndGrant(merchant_id, grant.number, reason).fingerprint()
                ends.append(self._end(book, grant, at, fingerprint, note=reason))
        self._note_due(book)
        return [transfer for transfer in ends if transfer is not None]

    def taking(self, book: Book, request_type: str, amount: int) -> Taking:
        """Tell what a request of a type takes of grants; if it is more than can be spent, all that it may take.

        Raises:
            MoreGrantsNeeded: lots that are not there may come first.
        """
        taking = take(self._lots_of(book).values(), paid=book.paid, request_type=request_type, amount=amount)
        if not (taking.is_covered or self._are_all_there(book.merchant_id)):
            raise MoreGrantsNeeded(book.merchant_id)
        return taking

    def use(self, book: Book, taking: Taking) -> None:
        """Take from grants what a request takes of them."""
        lots = self._lots_of(book)
        for number, micros in taking.parts:
            self._take(book.merchant_id, lots, lots[number], micros)
        book.given -= taking.given

    def lot_for(self, book: Book, request_type: str, amount: int) -> GrantLot | None:
        """Find the grant that pays for the whole of a request; None if none does, or more than one lot takes part."""
        for lot in self._lots_of(book).values():
            if lot.priority > PAID_PRIORITY and book.paid > 0:
                return None
            if lot.left and (lot.types is None or lot.pays_for(request_type)):
                return lot if lot.left >= amount else None
        return None

    def use_lot(self, book: Book, lot: GrantLot, amount: int) -> str | None:
        """Take the whole of what a request takes from one grant, and tell so as a transfer does."""
        merchant_id = book.merchant_id
        self._take(merchant_id, self._lots[merchant_id], lot, amount)
        book.given -= amount
        return write_given(((lot.number, amount),))

    def given_between(self, transfer: Transfer, first: int, last: int) -> Parts:
        """Tell what of grants there is between two places of what a transfer took, counted in micros."""
        parts = read_given(transfer.given)
        if not parts:
            return ()
        priorities = {number: self._row(transfer.merchant_id, number).priority for number, _ in parts}
        return given_between(in_order(parts, transfer.amount, priorities), first, last)

    def give_back(self, book: Book, parts: Parts, transfer: Transfer) -> None:
        """Put what a transfer gives back into its grants; what comes back into one that has ended, ends at once."""
        for number, micros in parts:
            grant = self._row(book.merchant_id, number)
            book.given += micros
            if grant.state != _ENDED:
                self._put(replace(grant, left=grant.left + micros))
        for number, micros in parts:
            grant = self._row(book.merchant_id, number)
            if grant.state == _ENDED:
                key = end_key(number, transfer.seq)
                self._post_end(book, grant, micros, key, fingerprint_of_key(key))

    def _of(self, merchant_id: int) -> Iterator[Grant]:
        return (self._row(merchant_id, number) for number in self._numbers().get(merchant_id, ()))

    def _numbers(self) -> dict[int, list[int]]:
        """Tell the numbers of the grants that are there, by merchant; most batches go by the first ones alone."""
        if self._stored_numbers is None:
            self._stored_numbers = {}
            for merchant_id, number in self._state.grants:
                self._stored_numbers.setdefault(merchant_id, []).append(number)
        return self._stored_numbers

    def _take(self, merchant_id: int, lots: dict[int, GrantLot], lot: GrantLot, micros: int) -> None:
        number, left = lot.number, lot.left - micros
        lots[number] = GrantLot(number, left, lot.priority, lot.expires_at, lot.types)
        grant = self._rows.made(merchant_id, number)
        if grant is None:
            self._left[merchant_id, number] = left
        else:
            self._rows.replace(merchant_id, number, replace(grant, left=left))

    def _row(self, merchant_id: int, number: int) -> Grant:
        """Find a grant that has to be there.

        Raises:
            MoreGrantsNeeded: of the merchant only those are there that requests take from at first.
        """
        grant = self.get(merchant_id, number)
        if grant is None and merchant_id in self._state.first_grants:
            raise MoreGrantsNeeded(merchant_id)
        if grant is None:
            raise InvariantViolation(f"merchant {merchant_id}: grant {number} is not there")
        return grant

    def _put(self, grant: Grant) -> None:
        """Put a grant whose place in the order of spending may be another in place of its row."""
        merchant_id, number = grant.merchant_id, grant.number
        self._rows.replace(merchant_id, number, grant)
        self._left.pop((merchant_id, number), None)
        self._lots.pop(merchant_id, None)
        self._moved.setdefault(merchant_id, set()).add(number)

    def _are_all_there(self, merchant_id: int) -> bool:
        """Tell whether no grant is missing that has anything left."""
        first = self._state.first_grants.get(merchant_id)
        return merchant_id in self._state.grants_complete or (first is not None and first.are_all)

    def _lots_of(self, book: Book) -> dict[int, GrantLot]:
        """Find the grants that requests may take from, in the order of spending, up to where some are missing."""
        merchant_id = book.merchant_id
        lots = self._lots.get(merchant_id)
        if lots is None:
            first = self._state.first_grants.get(merchant_id)
            if first is None or merchant_id in self._moved:
                lots = self._sorted_lots(merchant_id, first)
            else:
                lots = dict(first.lots)
            self._lots[merchant_id] = lots
        return lots

    def _sorted_lots(self, merchant_id: int, first: FirstGrants | None) -> dict[int, GrantLot]:
        """Sort a merchant's grants out by what this batch has made of them."""
        if first is None:
            numbers: Iterable[int] = self._numbers().get(merchant_id, ())
            found = {}
        else:
            numbers = self._moved[merchant_id]
            found = {
                number: replace(lot, left=self._left.get((merchant_id, number), lot.left))
                for number, lot in first.lots.items()
                if number not in numbers
            }
        rows = (self._row(merchant_id, number) for number in numbers)
        found |= {grant.number: grant.lot for grant in rows if grant.state == _OPEN and grant.left}
        lots = sorted(found.values(), key=attrgetter("order"))
        if not self._are_all_there(merchant_id):
            last = None if first is None else [*first.lots.values()][-1].order
            lots = [lot for lot in lots if last is not None and lot.order <= last]
        return {lot.number: lot for lot in lots}

    def _note_due(self, book: Book) -> None:
        """Tell the book when its next grant starts or ends, once all of them are there."""
        times = (grant.due_at for grant in self._of(book.merchant_id))
        book.grants_due_at = min((time for time in times if time is not None), default=None)

    def _start(self, book: Book, grant: Grant) -> Transfer | None:
        """Bring a grant into the wallet; one that would take a balance beyond what is kept exact ends unstarted."""
        if book.refusal(Kind.GRANT, grant.amount) is not None:
            self._put(replace(grant, state=_ENDED, ended_at=book.time_at(self._now)))
            return None
        book.given += grant.amount
        transfer = book.fund(
            Kind.GRANT,
            grant.amount,
            self._now,
            idempotency_key=grant.idempotency_key,
            fingerprint=grant.fingerprint,
            reference=grant.reference,
            note=grant.reason,
            given=write_terms(grant.number, grant.terms),
        )
        self._put(replace(grant, state=_OPEN, left=grant.amount, transfer_seq=transfer.seq))
        return transfer

    def _end(
        self, book: Book, grant: Grant, ended_at: int, fingerprint: bytes, note: str | None = None
    ) -> Transfer | None:
        """End a grant, and post what is left of it, if anything is."""
        self._put(replace(grant, state=_ENDED, left=0, ended_at=ended_at))
        if not grant.left:
            return None
        transfer = self._post_end(book, grant, grant.left, end_key(grant.number), fingerprint, note)
        facts = {"grant": grant.number, "left": grant.left, "expires_at": grant.expires_at, "ended_at": ended_at}
        book.tell(AlertKind.CREDIT_ENDED, self._now, facts, transfer_seq=transfer.seq)
        return transfer

    def _post_end(
        self, book: Book, grant: Grant, amount: int, key: str, fingerprint: bytes, note: str | None = None
    ) -> Transfer:
        book.given -= amount
        return book.post(
            Kind.GRANT_EXPIRY,
            amount,
            self._now,
            idempotency_key=key,
            fingerprint=fingerprint,
            refers_to=grant.transfer_seq,
            note=note,
            given=write_given([(grant.number, amount)]),
        )


def already_ended(grant: Grant) -> Outcome:
    """Refuse to end a grant whose time was over."""
    return refused(Code.GRANT_ALREADY_ENDED, f"The time of {grant.id} is over; it has ended already")
