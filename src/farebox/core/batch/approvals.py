"""The approvals of one batch: requests, what people moved alone and whom to tell, as they stand after each command."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from farebox.core.alerts import AlertKind
from farebox.core.approvals import ALONE_MICROS, Approval, ApprovalMail, LoneMove
from farebox.core.batch import approval_rules
from farebox.core.batch.rows import BatchRows
from farebox.core.book import Book
from farebox.core.commands import Approve, Command, Move, Reject, RequestApproval, SetCreditLimit
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.people import COMMAND_LINE, UNKNOWN, People, account_people, read_people, write_people
from farebox.core.state import BatchState, Decision

_PROGRAMS: Final = frozenset({COMMAND_LINE, UNKNOWN})
"""Who made the service keys that are the operator's programs', and no person's: the command line, or an earlier Farebox
that did not write down who."""


class BatchApprovals:
    """The rows that belong to approvals. What a batch has decided so far lies over what is stored."""

    def __init__(self, state: BatchState, now: int) -> None:
        """Begin a batch at `now`, microseconds since 1970."""
        self._state = state
        self._now = now
        self._rows = BatchRows({(item.merchant_id, item.approval_id): item for item in state.approvals})
        self._lone_moves: list[LoneMove] = []
        self._mails: dict[int, ApprovalMail] = {}

    def __iter__(self) -> Iterator[Approval]:
        return iter(self._rows)

    def get(self, merchant_id: int, approval_id: int) -> Approval | None:
        """Find a request."""
        return self._rows.get(merchant_id, approval_id)

    def replace(self, approval: Approval) -> None:
        """Put a request as it was decided in its place."""
        self._rows.replace(approval.merchant_id, approval.approval_id, approval)

    def write_to(self, decision: Decision) -> None:
        """Add the rows to a batch's decision."""
        decision.new_approvals = list(self._rows.new.values())
        decision.changed_approvals = list(self._rows.changed.values())
        decision.lone_moves = self._lone_moves
        decision.approval_mails = list(self._mails.values())

    def people(self, command: Move | RequestApproval | Approve | Reject) -> People:
        """Tell whom a command's asker counts as; one that names nobody comes from the operator's own machine."""
        actor, caller = command.actor, command.caller
        if actor is not None and actor.login_id is not None:
            counts_as = self._state.logins.get(actor.login_id)
            return frozenset({UNKNOWN}) if counts_as is None else account_people(actor.login_id, counts_as)
        if caller is not None:
            return read_people(self._state.keys[caller.digest].people)
        return frozenset({COMMAND_LINE})

    def waiting(self, command: Move, fingerprint: bytes) -> Outcome | None:
        """Answer a move whose reference a waiting request has; None if none has it."""
        return approval_rules.waiting(self, command, fingerprint)

    def repeated(self, command: RequestApproval, fingerprint: bytes) -> Outcome | None:
        """Answer a move that was requested before, or whose reference a waiting request has; None if neither."""
        return approval_rules.repeated_request(self, command.move, fingerprint)

    def retried(self, command: Command) -> Outcome | None:
        """Answer a credit limit that was set or requested by this very command before; None if it was not.

        A command is decided again where nobody knows whether it was committed. What moves money is known by its
        reference. A credit limit has none, and others may have decided about it, or set another, meanwhile.
        """
        move = command.move if isinstance(command, RequestApproval) else command
        if not isinstance(move, SetCreditLimit):
            return None
        number = _entry_number(move)
        if isinstance(command, RequestApproval):
            number = command.approval_id
            known = self.get(command.merchant_id, number)
            if known is not None:
                return approval_rules.retried_request(known)
        made = (*self._state.lone_moves, *self._lone_moves)
        is_made = any((item.merchant_id, item.number) == (command.merchant_id, number) for item in made)
        return Outcome(Code.OK, is_replay=True) if is_made else None

    def must_wait(self, command: RequestApproval, amount: int, limit: int | None) -> bool:
        """Tell whether a move is more than its asker may make alone.

        What the same people moved alone for the merchant within ALONE_MICROS counts with it.

        Args:
            command: what is asked.
            amount: how much it raises, or takes away, in micros; below zero if it lowers a credit limit.
            limit: how much one person may move alone; None for as much as any.
        """
        people = self.people(command)
        if limit is None or amount <= 0 or _is_program(command, people):
            return False
        merchant_id, since = command.merchant_id, self._now - ALONE_MICROS
        alone = sum(
            move.amount
            for move in (*self._state.lone_moves, *self._lone_moves)
            if move.merchant_id == merchant_id and move.at > since and not people.isdisjoint(read_people(move.people))
        )
        return alone + amount > limit

    def alone_refusal(self, command: RequestApproval) -> Outcome | None:
        """Refuse a service's move that must wait: nobody would be asked for its approval."""
        if not _is_service(command):
            return None
        return refused(
            Code.APPROVAL_REQUIRED,
            "This key was made by one person, who may not give back so much alone; a second person approves it "
            "if support asks for the refund",
        )

    def request(self, book: Book, command: RequestApproval, fingerprint: bytes, amount: int) -> Outcome:
        """Write a request down, tell of it, and owe a mail to each of the staff who may approve it.

        Args:
            book: the merchant's.
            command: what is asked.
            fingerprint: what tells a retry from another request under the same reference.
            amount: of the move in micros, or the credit limit.
        """
        people = self.people(command)
        approval = approval_rules.new_approval(command, fingerprint, amount, people, self._now)
        self._rows.new[approval.merchant_id, approval.approval_id] = approval
        book.tell(AlertKind.APPROVAL_WAITING, self._now, approval_rules.waiting_facts(approval))
        for mail in approval_rules.mails_to_others(
            self._state.staff, people, number=approval.approval_id, now=self._now
        ):
            self._mails.setdefault(mail.login_id, mail)
        return Outcome(Code.OK, approval=approval)

    def approve(self, command: Approve, fingerprint: bytes, at: int, make: Callable[[Move], Outcome]) -> Outcome:
        """Approve a request and make its move.

        Args:
            command: who approves what.
            fingerprint: what tells a retry from another request under the same reference.
            at: the time in the merchant's book, microseconds since 1970.
            make: makes the move; if that is refused, nothing is approved.
        """
        approval = self.get(command.merchant_id, command.approval_id)
        people = self.people(command)
        refusal = approval_rules.approve_refusal(approval, command, fingerprint, people)
        if approval is None or refusal is not None:
            return refusal or approval_rules.APPROVAL_NOT_FOUND
        outcome = make(approval_rules.move_to_make(command, approval, at))
        if not outcome.is_ok:
            return outcome
        transfer_seq = None if outcome.transfer is None else outcome.transfer.seq
        approved = approval_rules.approved(approval, command, self._now, people, transfer_seq)
        self.replace(approved)
        return replace(outcome, approval=approved)

    def reject(self, command: Reject) -> Outcome:
        """Reject a request."""
        approval = self.get(command.merchant_id, command.approval_id)
        if approval is None:
            return approval_rules.APPROVAL_NOT_FOUND
        outcome = approval_rules.reject_outcome(approval, command, self._now, self.people(command))
        if outcome.approval is not None and not outcome.is_replay:
            self.replace(outcome.approval)
        return outcome

    def note_alone(self, move: Move, amount: int, number: int | None) -> None:
        """Write down that a move was made by one person, if anybody made it by hand.

        Args:
            move: what was made.
            amount: how much it raised, or took away, in micros.
            number: the request's that it might have become; None if there were no limits.
        """
        if number is None:
            number = _entry_number(move)
        people = self.people(move)
        if number is None or amount <= 0 or _is_program(move, people):
            return
        self._lone_moves.append(LoneMove(move.merchant_id, self._now, number, write_people(people), amount))


def _entry_number(move: Move) -> int | None:
    """Number a move without a request, by the entry of the audit log that its asker makes."""
    return None if move.actor is None else move.actor.entry_id


def _is_service(command: Move | RequestApproval) -> bool:
    """Tell whether a service asks: a key without a person behind it."""
    return command.actor is None and command.caller is not None


def _is_program(command: Move | RequestApproval, people: People) -> bool:
    """Tell whether one of the operator's programs asks, whose key counts as these people."""
    return _is_service(command) and people <= _PROGRAMS
