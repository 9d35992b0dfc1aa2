"""The rules: given the state a batch of commands meets, decide what becomes of each, in order."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from farebox.core import audit_log
from farebox.core.accounts import KIND_WORDS, Kind
from farebox.core.approvals import Approval, ApprovalState
from farebox.core.audit_log import AuditEntry
from farebox.core.book import Book
from farebox.core.commands import (
    ACCOUNT_CHANGES,
    SPENDS,
    AccountChange,
    Adjust,
    Approve,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    KeyKind,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    Spend,
    TopUp,
    TransferCommand,
)
from farebox.core.holds import Hold, HoldState
from farebox.core.money import format_amount
from farebox.core.outcomes import DONE, Code, Outcome, refused
from farebox.core.pricing import Price
from farebox.core.state import BatchState, Decision, Original
from farebox.core.transfers import Transfer

_SERVICE: Final = frozenset({KeyKind.SERVICE})
_SUPPORT: Final = frozenset({KeyKind.SUPPORT})
ALLOWED_KEYS: Final[dict[type[Command], frozenset[KeyKind]]] = {
    Charge: _SERVICE,
    CreateHold: _SERVICE,
    CaptureHold: _SERVICE,
    ReleaseHold: _SERVICE,
    Refund: _SERVICE | _SUPPORT,
    TopUp: _SUPPORT,
    ReverseTopUp: _SUPPORT,
    Adjust: _SUPPORT,
    SetThresholds: _SUPPORT,
    SetCreditLimit: _SUPPORT,
    SetFrozen: _SUPPORT,
    RequestApproval: _SUPPORT,
    Approve: _SUPPORT,
    Reject: _SUPPORT,
}
"""Whose API key may ask for what. A command without a caller comes from Farebox itself or from its own shell."""

_FINAL_STATES: Final = {
    HoldState.CAPTURED: (Code.HOLD_ALREADY_CAPTURED, "The hold was already captured"),
    HoldState.RELEASED: (Code.HOLD_ALREADY_RELEASED, "The hold was already released"),
    HoldState.EXPIRED: (Code.HOLD_EXPIRED, "The hold has expired and was given back"),
}


def decide(state: BatchState, commands: Sequence[Command], now: int) -> Decision:
    """Decide a batch of commands one after the other, each meeting what those before it left.

    Splitting a batch in any way comes to the same outcomes, balances, hashes and alerts.

    Args:
        state: what the store found of `state.reads(commands, now)`.
        commands: in the order in which they came.
        now: the commit time, microseconds since 1970.

    Returns:
        One outcome per command, in order, and the rows to write.
    """
    batch = _Batch(state, now)
    outcomes = [batch.decide(command) for command in commands]
    return batch.decision(outcomes)


class _Batch:
    """The state of one call of `decide`: the stored state, and over it what this batch has changed."""

    def __init__(self, state: BatchState, now: int) -> None:
        self._state = state
        self._now = now
        self._books: dict[int, Book] = {}
        self._posted: dict[tuple[int, str], Transfer] = {}
        self._new_holds: dict[tuple[int, int], Hold] = {}
        self._changed_holds: dict[tuple[int, int], Hold] = {}
        self._returned: dict[tuple[int, int], int] = {}
        self._approvals = {(item.merchant_id, item.approval_id): item for item in state.approvals}
        self._new_approvals: dict[tuple[int, int], Approval] = {}
        self._changed_approvals: dict[tuple[int, int], Approval] = {}
        self._entries: list[AuditEntry] = []

    def decide(self, command: Command) -> Outcome:
        """Decide one command and change the books if it goes through. Refusals stand in order of precedence."""
        refusal = self._caller_refusal(command)
        if refusal is not None:
            return refusal
        book = self._book(command)
        if book is None:
            return refused(Code.MERCHANT_NOT_FOUND, "No merchant has this id or API key")
        if isinstance(command, ACCOUNT_CHANGES):
            outcome = self._set(book, command)
            self._log(command, outcome, book)
            return outcome
        fingerprint = command.fingerprint()
        key = (command.merchant_id, command.idempotency_key)
        earlier = self._posted.get(key) or self._state.replays.get(key)
        if earlier is not None:
            return self._replay(earlier, fingerprint)
        outcome = self._move(book, command, fingerprint)
        if outcome.transfer is not None:
            self._posted[key] = outcome.transfer
        if command.actor is not None:
            self._log(command, outcome, book)
        return outcome

    def decision(self, outcomes: list[Outcome]) -> Decision:
        """Collect what the batch changed, books in order of their merchants."""
        decision = Decision(outcomes)
        for _, book in sorted(self._books.items()):
            account = book.changed_account()
            if account is not None:
                decision.accounts.append(account)
                decision.transfers.extend(book.transfers)
                decision.alerts.extend(book.alerts)
        decision.new_holds = list(self._new_holds.values())
        decision.changed_holds = list(self._changed_holds.values())
        decision.new_approvals = list(self._new_approvals.values())
        decision.changed_approvals = list(self._changed_approvals.values())
        decision.audit_entries = self._entries
        return decision

    def _log(self, command: Command, outcome: Outcome, book: Book) -> None:
        audit_entry = audit_log.audit_entry_of(command, outcome, book.currency, self._now)
        if audit_entry is not None:
            self._entries.append(audit_entry)

    def _caller_refusal(self, command: Command) -> Outcome | None:
        caller = command.caller
        if caller is None:
            return None
        record = self._state.keys.get(caller.digest)
        if record is None or record.merchant_id != caller.merchant_id or not record.is_valid_at(self._now):
            return refused(Code.INVALID_API_KEY, "Invalid API key")
        if record.kind not in ALLOWED_KEYS[type(command)]:
            return refused(Code.FORBIDDEN, "This kind of API key may not do this")
        return None

    def _book(self, command: Command) -> Book | None:
        """Find the merchant's book; a merchant named by an API key that opens nothing is not found."""
        merchant_id = command.merchant_id
        if isinstance(command, SPENDS) and command.payer.digest is not None:
            record = self._state.keys.get(command.payer.digest)
            if record is None or record.merchant_id != merchant_id or not record.is_valid_at(self._now):
                return None
        book = self._books.get(merchant_id)
        if book is None:
            account = self._state.accounts.get(merchant_id)
            if account is None:
                return None
            book = self._books[merchant_id] = Book(account)
        return book

    def _replay(self, earlier: Transfer, fingerprint: bytes) -> Outcome:
        if earlier.fingerprint != fingerprint:
            return refused(
                Code.IDEMPOTENCY_CONFLICT,
                f"This idempotency key or reference was used for another {KIND_WORDS[earlier.kind]}, {earlier.id}",
            )
        # What ends a hold refers to it; the hold transfer itself refers to nothing, and numbers the hold.
        hold_seq = earlier.refers_to or earlier.seq
        hold = self._hold(earlier.merchant_id, hold_seq) if earlier.kind in _HOLD_KINDS else None
        return Outcome(Code.OK, earlier, hold, is_replay=True)

    def _move(self, book: Book, command: TransferCommand, fingerprint: bytes) -> Outcome:
        if isinstance(command, SPENDS):
            return self._spend(book, command, fingerprint)
        if isinstance(command, CaptureHold):
            return self._capture(book, command, fingerprint)
        if isinstance(command, ReleaseHold | ExpireHold):
            return self._give_back(book, command, fingerprint)
        if isinstance(command, Refund | ReverseTopUp):
            return self._return(book, command, fingerprint)
        if isinstance(command, RequestApproval):
            return self._request(book, command, fingerprint)
        if isinstance(command, Approve):
            return self._approve(book, command, fingerprint)
        return self._fund(book, command, fingerprint)

    def _spend(self, book: Book, command: Spend, fingerprint: bytes) -> Outcome:
        if book.is_frozen:
            return refused(Code.MERCHANT_FROZEN, "The merchant is frozen and can't be charged")
        request_type = command.request_type
        price = self._state.merchant_prices.get((book.merchant_id, request_type))
        if price is None:
            price = self._state.default_prices.get(request_type)
        if price is None:
            return refused(Code.UNKNOWN_TYPE, f"No price is in force for the request type {request_type!r}")
        refusal = _amount_refusal(price, command)
        if refusal is not None:
            return refusal
        amount = command.amount if price.unit_price is None else price.unit_price * command.quantity
        assert amount is not None  # noqa: S101 - `_amount_refusal` has just refused a variable price without amount.
        refusal = book.refusal(command.kind, amount)
        if refusal is not None:
            return refusal
        transfer = book.post(
            command.kind,
            amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=request_type,
            quantity=command.quantity,
            unit_price=price.unit_price,
            price_id=price.price_id,
            reference=command.reference,
        )
        if isinstance(command, Charge):
            return Outcome(Code.OK, transfer)
        # By the clock, which will end it, and not by the book, which is ahead of a clock that stepped back.
        expires_at = self._now + command.ttl_seconds * 1_000_000
        hold = Hold(
            *(book.merchant_id, transfer.seq, amount, expires_at),
            quantity=command.quantity,
            request_type=request_type,
        )
        self._new_holds[book.merchant_id, hold.seq] = hold
        return Outcome(Code.OK, transfer, hold)

    def _capture(self, book: Book, command: CaptureHold, fingerprint: bytes) -> Outcome:
        hold = self._hold(book.merchant_id, command.hold_seq)
        refusal = self._hold_refusal(hold)
        if hold is None or refusal is not None:
            return refusal or _HOLD_NOT_FOUND
        amount = hold.amount if command.amount is None else command.amount
        if amount > hold.amount:
            return refused(
                Code.CAPTURE_EXCEEDS_HOLD,
                f"{format_amount(amount)} is more than the hold's {format_amount(hold.amount)}",
            )
        refusal = book.refusal(Kind.CAPTURE, amount)
        if refusal is not None:
            return refusal
        transfer = book.post(
            Kind.CAPTURE,
            amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=hold.request_type,
            quantity=hold.quantity,
            refers_to=hold.seq,
            reference=command.reference,
        )
        if amount < hold.amount:
            # The rest goes back at once, as a transfer of its own under a key that only this hold can make.
            book.post(
                Kind.RELEASE,
                hold.amount - amount,
                self._now,
                idempotency_key=f"release {hold.seq}",
                fingerprint=fingerprint,
                request_type=hold.request_type,
                refers_to=hold.seq,
            )
        return Outcome(Code.OK, transfer, self._settle(hold, HoldState.CAPTURED, amount))

    def _give_back(self, book: Book, command: ReleaseHold | ExpireHold, fingerprint: bytes) -> Outcome:
        hold = self._hold(book.merchant_id, command.hold_seq)
        is_expiry = isinstance(command, ExpireHold)
        refusal = _state_refusal(hold) if is_expiry else self._hold_refusal(hold)
        if hold is None or refusal is not None:
            return refusal or _HOLD_NOT_FOUND
        if is_expiry and self._now < hold.expires_at:
            return refused(Code.HOLD_NOT_DUE, "The hold has not expired yet")
        transfer = book.post(
            command.kind,
            hold.amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=hold.request_type,
            refers_to=hold.seq,
            reference=None if isinstance(command, ExpireHold) else command.reference,
        )
        return Outcome(Code.OK, transfer, self._settle(hold, HoldState.EXPIRED if is_expiry else HoldState.RELEASED, 0))

    def _return(self, book: Book, command: Refund | ReverseTopUp, fingerprint: bytes) -> Outcome:
        place = (book.merchant_id, command.transfer_seq)
        original = self._original(book, command.transfer_seq)
        if original is None:
            return refused(Code.TRANSFER_NOT_FOUND, "The merchant has no such transfer")
        is_refund = isinstance(command, Refund)
        if original.transfer.kind not in (_REFUNDABLE if is_refund else _REVERSIBLE):
            word = KIND_WORDS[original.transfer.kind]
            return (
                refused(Code.TRANSFER_NOT_REFUNDABLE, f"A {word} can't be refunded; a charge or capture can")
                if is_refund
                else refused(Code.TRANSFER_NOT_REVERSIBLE, f"A {word} can't be reversed; a top-up can")
            )
        left = original.transfer.amount - original.returned
        amount = left if command.amount is None else command.amount
        if amount > left or left == 0:
            return refused(
                Code.REFUND_EXCEEDS_TRANSFER if is_refund else Code.REVERSAL_EXCEEDS_TOP_UP,
                f"Only {format_amount(left)} of {original.transfer.id} is left to give back",
            )
        refusal = book.refusal(command.kind, amount)
        if refusal is not None:
            return refusal
        transfer = book.post(
            command.kind,
            amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=original.transfer.request_type,
            refers_to=command.transfer_seq,
            reference=command.reference,
            note=command.note if isinstance(command, Refund) else command.reason,
        )
        self._returned[place] = original.returned + amount
        return Outcome(Code.OK, transfer)

    def _fund(self, book: Book, command: TopUp | Adjust, fingerprint: bytes) -> Outcome:
        refusal = book.refusal(command.kind, command.amount)
        if refusal is not None:
            return refusal
        transfer = book.post(
            command.kind,
            command.amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            reference=command.reference,
            note=command.note if isinstance(command, TopUp) else command.reason,
        )
        return Outcome(Code.OK, transfer)

    def _request(self, book: Book, command: RequestApproval, fingerprint: bytes) -> Outcome:
        """Write a request down, unless its reference was requested before."""
        merchant_id, move = book.merchant_id, command.move
        known = self._approvals | self._new_approvals | self._changed_approvals
        for approval in known.values():
            if (approval.merchant_id, approval.idempotency_key) != (merchant_id, move.idempotency_key):
                continue
            if approval.fingerprint != fingerprint:
                return refused(
                    Code.IDEMPOTENCY_CONFLICT,
                    f"This reference was requested for another {KIND_WORDS[approval.kind]}, {approval.id}",
                )
            if approval.state == ApprovalState.REJECTED:
                return _already_rejected(approval)
            return Outcome(Code.OK, is_replay=True, approval=approval)
        approval = Approval(
            merchant_id=merchant_id,
            approval_id=command.approval_id,
            kind=move.kind,
            amount=move.amount,
            reference=move.reference,
            note=move.note if isinstance(move, TopUp) else move.reason,
            idempotency_key=move.idempotency_key,
            fingerprint=fingerprint,
            requested_by=_person(command),
            requested_at=self._now,
        )
        self._new_approvals[merchant_id, approval.approval_id] = approval
        return Outcome(Code.OK, approval=approval)

    def _approve(self, book: Book, command: Approve, fingerprint: bytes) -> Outcome:
        """Make a requested move, if it is another person who approves it."""
        approval = self._approval(book.merchant_id, command.approval_id)
        if approval is None or (approval.idempotency_key, approval.fingerprint) != (
            command.idempotency_key,
            fingerprint,
        ):
            return _APPROVAL_NOT_FOUND
        if approval.state == ApprovalState.REJECTED:
            return _already_rejected(approval)
        if approval.requested_by == _person(command):
            return refused(
                Code.APPROVAL_NEEDS_ANOTHER_PERSON,
                f"{approval.requested_by} requested this; another person approves it",
            )
        outcome = self._fund(book, command.move, fingerprint)
        if outcome.transfer is None:
            return outcome
        approval = self._close(approval, ApprovalState.APPROVED, command, outcome.transfer.seq)
        return replace(outcome, approval=approval)

    def _reject(self, merchant_id: int, command: Reject) -> Outcome:
        approval = self._approval(merchant_id, command.approval_id)
        if approval is None:
            return _APPROVAL_NOT_FOUND
        if approval.state == ApprovalState.APPROVED:
            return refused(Code.APPROVAL_ALREADY_APPROVED, f"{approval.id} was approved; reverse or adjust what it did")
        if approval.state == ApprovalState.REJECTED:
            return Outcome(Code.OK, is_replay=True, approval=approval)
        return Outcome(Code.OK, approval=self._close(approval, ApprovalState.REJECTED, command, None))

    def _approval(self, merchant_id: int, number: int) -> Approval | None:
        place = (merchant_id, number)
        return self._changed_approvals.get(place) or self._new_approvals.get(place) or self._approvals.get(place)

    def _close(
        self, approval: Approval, state: ApprovalState, command: Approve | Reject, transfer_seq: int | None
    ) -> Approval:
        closed = replace(
            approval, state=state, decided_by=_person(command), decided_at=self._now, transfer_seq=transfer_seq
        )
        place = (approval.merchant_id, approval.approval_id)
        if place in self._new_approvals:
            self._new_approvals[place] = closed
        else:
            self._changed_approvals[place] = closed
        return closed

    def _set(self, book: Book, command: AccountChange) -> Outcome:
        if isinstance(command, Reject):
            return self._reject(book.merchant_id, command)
        if isinstance(command, SetFrozen):
            book.is_frozen = command.is_frozen
        elif isinstance(command, SetThresholds):
            book.set_thresholds(command.amounts, self._now)
        else:
            if book.wallet + command.credit_limit < 0:
                return refused(
                    Code.CREDIT_LIMIT_IN_USE,
                    f"{format_amount(-book.wallet)} {book.currency} of the credit limit is in use; "
                    "the limit can't be lower than that",
                )
            book.credit_limit = command.credit_limit
        return DONE

    def _hold(self, merchant_id: int, seq: int) -> Hold | None:
        place = (merchant_id, seq)
        return self._changed_holds.get(place) or self._new_holds.get(place) or self._state.holds.get(place)

    def _hold_refusal(self, hold: Hold | None) -> Outcome | None:
        """Tell why a caller can't capture or release this hold; one past its time is over even if not yet swept."""
        refusal = _state_refusal(hold)
        if refusal is None and hold is not None and self._now >= hold.expires_at:
            return refused(Code.HOLD_EXPIRED, "The hold has expired")
        return refusal

    def _settle(self, hold: Hold, state: HoldState, captured: int) -> Hold:
        settled = replace(hold, state=state, captured=captured)
        place = (hold.merchant_id, hold.seq)
        if place in self._new_holds:
            self._new_holds[place] = settled
        else:
            self._changed_holds[place] = settled
        return settled

    def _original(self, book: Book, seq: int) -> Original | None:
        """Find a transfer to be given back, whether stored or posted earlier in this batch, and what has gone back."""
        place = (book.merchant_id, seq)
        stored = self._state.originals.get(place)
        if stored is None:
            transfer = next((item for item in book.transfers if item.seq == seq), None)
            stored = None if transfer is None else Original(transfer, 0)
        if stored is None or place not in self._returned:
            return stored
        return Original(stored.transfer, self._returned[place])


_APPROVAL_NOT_FOUND: Final = refused(Code.APPROVAL_NOT_FOUND, "The merchant has no such request for approval")
_HOLD_KINDS: Final = frozenset({Kind.HOLD, Kind.CAPTURE, Kind.RELEASE, Kind.EXPIRE})
_REFUNDABLE: Final = frozenset({Kind.CHARGE, Kind.CAPTURE})
_REVERSIBLE: Final = frozenset({Kind.TOP_UP})
_HOLD_NOT_FOUND: Final = refused(Code.HOLD_NOT_FOUND, "The merchant has no such hold")


def _state_refusal(hold: Hold | None) -> Outcome | None:
    if hold is None:
        return _HOLD_NOT_FOUND
    final = _FINAL_STATES.get(HoldState(hold.state))
    return None if final is None else refused(*final)


def _amount_refusal(price: Price, command: Spend) -> Outcome | None:
    if price.unit_price is None and command.amount is None:
        return refused(Code.AMOUNT_REQUIRED, f"The request type {price.request_type!r} is variable: name the amount")
    if price.unit_price is not None and command.amount is not None:
        return refused(
            Code.AMOUNT_NOT_ALLOWED,
            f"The request type {price.request_type!r} has a unit price: name a quantity, not an amount",
        )
    return None


def _already_rejected(approval: Approval) -> Outcome:
    return refused(
        Code.APPROVAL_ALREADY_REJECTED,
        f"{approval.id} was rejected by {approval.decided_by}; request it under another reference",
    )


def _person(command: RequestApproval | Approve | Reject) -> str:
    """Tell who asks; a command without an actor comes from Farebox itself."""
    return "farebox" if command.actor is None else command.actor.name
