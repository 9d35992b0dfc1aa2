"""The rules: given the state a batch of commands meets, decide what becomes of each, in order."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from farebox.core import audit_log, quotes
from farebox.core.accounts import KIND_NAMES, Kind
from farebox.core.audit_log import AuditEntry
from farebox.core.batch import captures, closing, hold_rules, return_rules
from farebox.core.batch.approvals import BatchApprovals
from farebox.core.batch.budgets import BatchBudgets
from farebox.core.batch.charges import PlainCharges
from farebox.core.batch.grants import BatchGrants, already_ended
from farebox.core.batch.originals import BatchOriginals
from farebox.core.batch.rows import BatchRows
from farebox.core.batch.shortfalls import BatchShortfalls
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
    EndGrant,
    ExpireHold,
    ExtendHold,
    GiveCredit,
    Move,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetClosed,
    SetCreditLimit,
    SetFrozen,
    SetThresholds,
    SettleGrants,
    Spend,
    TopUp,
    TransferCommand,
)
from farebox.core.credit.grants import read_given, write_given
from farebox.core.holds import Hold, HoldState, above_key
from farebox.core.outcomes import DONE, OK, Code, Outcome, refused
from farebox.core.period_counts import PeriodCounts
from farebox.core.permissions import caller_refusal
from farebox.core.prices import CLOCK_BEHIND, CLOCK_LAG_MICROS_MAX
from farebox.core.state import BatchState, Decision
from farebox.core.transfers import Transfer

_HOLD_KINDS: Final = frozenset({Kind.HOLD, Kind.CAPTURE, Kind.RELEASE, Kind.EXPIRE})
_GRANT_KINDS: Final = frozenset({Kind.GRANT, Kind.GRANT_EXPIRY})


def decide(state: BatchState, commands: Sequence[Command], now: int) -> Decision:
    """Decide a batch of commands one after the other, each meeting what those before it left.

    Splitting a batch in any way comes to the same outcomes, balances, hashes and alerts.

    Args:
        state: what the database has of `state.reads(commands, now)`.
        commands: in the order in which they came.
        now: the commit time, microseconds since 1970.

    Returns:
        One outcome per command, in order, and the rows to write.
    """
    batch = Batch(state, now)
    outcomes = [batch.decide(command) for command in commands]
    return batch.decision(outcomes)


class Batch:
    """The state of one call of `decide`: the stored state, and over it what this batch has changed."""

    def __init__(self, state: BatchState, now: int) -> None:
        self._state = state
        self._now = now
        self.books: dict[int, Book] = {}
        self._posted: dict[tuple[int, str], Transfer] = {}
        self._holds = BatchRows(state.holds)
        self._grants = BatchGrants(state, now)
        self._approvals = BatchApprovals(state, now)
        self._counts = PeriodCounts(state.period_counts)
        self._budgets = BatchBudgets(state)
        self._originals = BatchOriginals(state, self._counts)
        self._shortfalls = BatchShortfalls(state.shortfalls, self._grants, now)
        self._audit_entries: list[AuditEntry] = []
        self._plain_charges = PlainCharges(state, now, self._posted, self._grants, self._budgets)

    def decide(self, command: Command) -> Outcome:
        """Decide one command and change the books if it goes through. Refusals stand in order of precedence."""
        if type(command) is Charge:
            outcome = self._plain_charges.decide(command, self._book)
            if outcome is not None:
                return outcome
        caller = command.caller
        if caller is not None:
            refusal = caller_refusal(command, caller, self._state.keys.get(caller.digest), self._now)
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
        if earlier is not None and (book.closed_at is None or earlier.fingerprint == fingerprint):
            return self._replay(earlier, fingerprint)
        outcome = closing.closed_refusal(book, command) or self._move(book, command, fingerprint)
        if outcome.transfer is not None:
            self._posted[key] = outcome.transfer
            if book.owed or outcome.transfer.uncollected is not None or outcome.charge is not None:
                self._shortfalls.settle(book, outcome.transfer, outcome.charge)
        if command.actor is not None:
            self._log(command, outcome, book)
        return outcome

    def decision(self, outcomes: list[Outcome]) -> Decision:
        """Collect what the batch changed, books in order of their merchants."""
        decision = Decision(outcomes)
        for _, book in sorted(self.books.items()):
            account = book.changed_account()
            if account is not None:
                decision.accounts.append(account)
                decision.transfers.extend(book.transfers)
                decision.alerts.extend(book.alerts)
        decision.new_holds = list(self._holds.new.values())
        decision.changed_holds = list(self._holds.changed.values())
        decision.period_counts = self._counts.changed()
        self._budgets.write_to(decision)
        self._approvals.write_to(decision)
        self._grants.write_to(decision)
        self._shortfalls.write_to(decision)
        decision.audit_entries = self._audit_entries
        return decision

    def _log(self, command: Command, outcome: Outcome, book: Book) -> None:
        audit_entry = audit_log.audit_entry_of(
            command, outcome, book.currency, self._now, credit_limit_before=book.credit_limit_before
        )
        if audit_entry is not None:
            self._audit_entries.append(audit_entry)

    def _book(self, command: Command) -> Book | None:
        """Find the merchant's book; a merchant named by an API key that opens nothing is not found."""
        merchant_id = command.merchant_id
        if isinstance(command, SPENDS) and command.payer.digest is not None:
            record = self._state.keys.get(command.payer.digest)
            if record is None or record.merchant_id != merchant_id or not record.is_valid_at(self._now):
                return None
        book = self.books.get(merchant_id)
        if book is None:
            account = self._state.accounts.get(merchant_id)
            if account is None:
                return None
            book = self.books[merchant_id] = Book(account)
            if account.grants_due_at is not None:
                self._grants.settle(book)
                for item in book.transfers:
                    self._posted[merchant_id, item.idempotency_key] = item
        return book

    def _replay(self, earlier: Transfer, fingerprint: bytes) -> Outcome:
        grant = None
        if earlier.kind in _GRANT_KINDS:
            grant = self._grants.get(earlier.merchant_id, read_given(earlier.given)[0][0])
        if earlier.fingerprint != fingerprint:
            if earlier.kind == Kind.GRANT_EXPIRY and grant is not None:
                return already_ended(grant)
            return refused(
                Code.IDEMPOTENCY_CONFLICT,
                f"This idempotency key or reference was used for another {KIND_NAMES[earlier.kind]}, {earlier.id}",
            )
        # What ends a hold refers to it; the hold transfer itself refers to nothing, and numbers the hold.
        hold_seq = earlier.refers_to or earlier.seq
        hold = self._holds.get(earlier.merchant_id, hold_seq) if earlier.kind in _HOLD_KINDS else None
        key = (earlier.merchant_id, above_key(hold_seq))
        charge = self._posted.get(key) or self._state.replays.get(key) if earlier.kind == Kind.CAPTURE else None
        return Outcome(Code.OK, earlier, hold, is_replay=True, grant=grant, charge=charge)

    def _move(self, book: Book, command: TransferCommand, fingerprint: bytes) -> Outcome:
        if isinstance(command, SPENDS):
            return self._spend(book, command, fingerprint)
        if isinstance(command, CaptureHold):
            return self._capture(book, command, fingerprint)
        if isinstance(command, ReleaseHold | ExpireHold):
            return self._give_back(book, command, fingerprint)
        if isinstance(command, ReverseTopUp):
            return self._return(book, command, fingerprint)
        if isinstance(command, EndGrant):
            return self._grants.end(book, command, fingerprint)
        repeated = self._grants.repeated(command, fingerprint) or self._approvals.retried(command)
        if repeated is not None:
            return repeated
        if isinstance(command, RequestApproval):
            return self._request(book, command, fingerprint)
        if isinstance(command, Approve):
            at = book.time_at(self._now)
            return self._approvals.approve(command, fingerprint, at, lambda move: self._make(book, move, fingerprint))
        return self._approvals.waiting(command, fingerprint) or self._make_alone(book, command, fingerprint)

    def _spend(self, book: Book, command: Spend, fingerprint: bytes) -> Outcome:
        if book.is_frozen:
            return refused(Code.MERCHANT_FROZEN, "The merchant is frozen and can't be charged")
        if self._now < book.last_at - CLOCK_LAG_MICROS_MAX:
            return CLOCK_BEHIND
        request_type = command.request_type
        price = self._state.price(book.merchant_id, request_type)
        if type(price) is Outcome:
            return price
        quote = quotes.quote(price, command, self._now, self._counts)
        if type(quote) is Outcome:
            return quote
        due, key = quote.amount, self._budgets.key(command)
        amount = self._budgets.payable(book, key, command, due, self._now)
        if type(amount) is Outcome:
            return amount
        taking = self._grants.taking(book, request_type, amount) if book.given else None
        given = 0 if taking is None else taking.given
        may_be_free = quote.pricing is not None or amount < due
        refusal = book.refusal(command.kind, amount, may_be_free=may_be_free, given=given)
        if refusal is not None or book.owed:
            share = self._shortfalls.share(book, amount, command.above, refusal, given)
            if isinstance(share, Outcome):
                return share
            amount = share.amount
            taking = taking if amount else None
        transfer = book.post(
            command.kind,
            amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=request_type,
            quantity=quote.quantity,
            unit_price=quote.unit_price,
            price_id=price.price_id,
            reference=command.reference,
            pricing=quote.pricing,
            given=None if taking is None else write_given(taking.parts),
            uncollected=due - amount or None,
            key_id=None if key is None else key.key_id,
        )
        if taking is not None:
            self._grants.use(book, taking)
        if key is not None and key.budget_id is not None:
            self._budgets.spend(key.budget_id, transfer)
        if quote.place is not None:
            self._counts.add(quote.place, quote.units)
        if isinstance(command, Charge):
            return Outcome(OK, transfer)
        # By the clock, which will end it, and not by the book, which is ahead of a clock that stepped back.
        expires_at = self._now + command.ttl_seconds * 1_000_000
        columns = (book.merchant_id, transfer.seq, amount, expires_at)
        hold = Hold(*columns, quantity=quote.quantity, request_type=request_type)
        self._holds.new[book.merchant_id, hold.seq] = hold
        return Outcome(OK, transfer, hold)

    def _capture(self, book: Book, command: CaptureHold, fingerprint: bytes) -> Outcome:
        hold = self._holds.get(book.merchant_id, command.hold_seq)
        # The hold's own transfer knows the price that it was made at.
        made_by = self._originals.get(book, command.hold_seq)
        if hold is None or made_by is None:
            return hold_rules.HOLD_NOT_FOUND
        original = made_by.transfer
        price = None if original.pricing is None else self._originals.price_of(original)
        refusal = captures.fields_refusal(hold, command, original, price) or hold_rules.end_refusal(hold, self._now)
        if refusal is not None:
            return refusal
        captured = captures.captured(hold, command, original, price, book.currency)
        if isinstance(captured, Outcome):
            return captured
        taken, above = captured.of_hold, captured.above
        amount = taken.amount
        refusal = book.refusal(Kind.CAPTURE, amount, may_be_free=taken.pricing is not None)
        most = None if refusal else self._budgets.payable_above(book, made_by, above, command.above, self._now)
        share = refusal or self._shortfalls.capture_share(book, hold, amount, above, command.above, most)
        if isinstance(share, Outcome):
            return share
        is_at_price = taken.unit_price is not None or taken.pricing is not None
        transfer = book.post(
            Kind.CAPTURE,
            amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=hold.request_type,
            quantity=taken.quantity,
            unit_price=taken.unit_price,
            price_id=original.price_id if is_at_price else None,
            refers_to=hold.seq,
            reference=command.reference,
            pricing=taken.pricing,
            given=write_given(self._grants.given_between(original, 0, amount)),
            key_id=original.key_id,
        )
        self._budgets.capture(made_by, transfer)
        if taken.place is not None:
            # Of the units that the hold counted, those that were not used after all go back.
            self._originals.uncount(original)
            self._counts.add(taken.place, taken.units)
        if amount < hold.amount:
            # The rest goes back at once, as a transfer of its own under a key that only this hold can make.
            parts = self._grants.given_between(original, amount, hold.amount)
            release = book.post(
                Kind.RELEASE,
                hold.amount - amount,
                self._now,
                idempotency_key=f"release {hold.seq}",
                fingerprint=fingerprint,
                request_type=hold.request_type,
                refers_to=hold.seq,
                given=write_given(parts),
                key_id=original.key_id,
            )
            self._grants.give_back(book, parts, release)
            self._budgets.give_back(made_by, hold.amount - amount)
        charge = None
        if above is not None:
            charge = self._shortfalls.charge_above(book, transfer, original, above, share)
            self._posted[book.merchant_id, charge.idempotency_key] = charge
            self._budgets.spend_above(made_by, charge)
            if above.place is not None:
                self._counts.add(above.place, above.units)
        return Outcome(Code.OK, transfer, self._settle(hold, HoldState.CAPTURED, amount), charge=charge)

    def _give_back(self, book: Book, command: ReleaseHold | ExpireHold, fingerprint: bytes) -> Outcome:
        hold = self._holds.get(book.merchant_id, command.hold_seq)
        is_expiry = isinstance(command, ExpireHold)
        made_by = self._originals.get(book, command.hold_seq)
        refusal = hold_rules.expire_refusal(hold, self._now) if is_expiry else hold_rules.end_refusal(hold, self._now)
        if hold is None or refusal is not None:
            return refusal or hold_rules.HOLD_NOT_FOUND
        transfer = book.post(
            command.kind,
            hold.amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=hold.request_type,
            refers_to=hold.seq,
            reference=None if isinstance(command, ExpireHold) else command.reference,
            note=None if isinstance(command, ExpireHold) else command.note,
            given=None if made_by is None else made_by.transfer.given,
            key_id=None if made_by is None else made_by.transfer.key_id,
        )
        if is_expiry:
            hold_rules.tell_expiry(book, hold, made_by, transfer, self._now)
        self._budgets.give_back(made_by, hold.amount)
        if made_by is not None:
            self._grants.give_back(book, read_given(made_by.transfer.given), transfer)
            self._originals.uncount(made_by.transfer)
        return Outcome(Code.OK, transfer, self._settle(hold, HoldState.EXPIRED if is_expiry else HoldState.RELEASED, 0))

    def _extend(self, command: ExtendHold) -> Outcome:
        hold = self._holds.get(command.merchant_id, command.hold_seq)
        refusal = hold_rules.extend_refusal(hold, command.expires_at, self._now)
        if hold is None or refusal is not None:
            return refusal or hold_rules.HOLD_NOT_FOUND
        if command.expires_at <= hold.expires_at:
            return Outcome(Code.OK, hold=hold, is_replay=True)
        extended = replace(hold, expires_at=command.expires_at)
        self._holds.replace(hold.merchant_id, hold.seq, extended)
        return Outcome(Code.OK, hold=extended)

    def _return(self, book: Book, command: Refund | ReverseTopUp, fingerprint: bytes) -> Outcome:
        original = self._originals.get(book, command.transfer_seq)
        refusal = return_rules.return_refusal(original, command, book.currency)
        if original is None or refusal is not None:
            return refusal or return_rules.TRANSFER_NOT_FOUND
        amount = return_rules.amount_to_return(original, command)
        # A price may be finer than the currency, so any part of a charge goes back; of a top-up, all that is left.
        is_any_part = isinstance(command, Refund) or command.amount is None
        refusal = None if is_any_part else book.too_fine_refusal(amount)
        share = refusal or self._shortfalls.return_share(book, command, amount)
        if isinstance(share, Outcome):
            return share
        returned = original.returned + amount
        taken = original.transfer.amount
        parts = self._grants.given_between(original.transfer, taken - returned, taken - original.returned)
        transfer = book.post(
            command.kind,
            share.amount,
            self._now,
            idempotency_key=command.idempotency_key,
            fingerprint=fingerprint,
            request_type=original.transfer.request_type,
            refers_to=command.transfer_seq,
            reference=command.reference,
            note=command.note if isinstance(command, Refund) else command.reason,
            given=write_given(parts),
            uncollected=share.uncollected,
            key_id=original.transfer.key_id,
        )
        self._grants.give_back(book, parts, transfer)
        self._originals.set_returned(original.transfer, returned)
        self._originals.give_units_back(original, returned)
        self._budgets.give_back(original, amount)
        return Outcome(Code.OK, transfer)

    def _fund(self, book: Book, command: TopUp | Adjust, fingerprint: bytes) -> Outcome:
        refusal = closing.too_fine_refusal(book, command, command.amount) or book.refusal(command.kind, command.amount)
        if refusal is not None:
            return refusal
        transfer = book.fund(
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
        move = command.move
        repeated = self._approvals.repeated(command, fingerprint)
        if repeated is not None and not isinstance(move, SetCreditLimit):
            return repeated
        asked = move.credit_limit if isinstance(move, SetCreditLimit) else move.amount
        if isinstance(move, Refund):
            original = self._originals.get(book, move.transfer_seq)
            refusal = return_rules.return_refusal(original, move, book.currency)
            if original is None or refusal is not None:
                return refusal or return_rules.TRANSFER_NOT_FOUND
            asked = return_rules.amount_to_return(original, move)
        elif isinstance(move, GiveCredit) and (refusal := self._grants.times_refusal(book, move)) is not None:
            return refusal
        assert asked is not None  # noqa: S101 - a refund alone may name no amount.
        raised = asked - book.credit_limit if isinstance(move, SetCreditLimit) else asked
        if self._approvals.must_wait(command, raised, command.limits.of(book.currency)):
            # Of credit limits one waits at most; what one person may set meanwhile is no reference's second use.
            refusal = repeated or self._approvals.alone_refusal(command) or closing.too_fine_refusal(book, move, asked)
            return refusal or self._approvals.request(book, command, fingerprint, asked)
        return self._make_alone(book, move, fingerprint, number=command.approval_id)

    def _make_alone(self, book: Book, move: Move, fingerprint: bytes, *, number: int | None = None) -> Outcome:
        """Make a move that needs no second person; what it raises counts towards the limit of the one who asked."""
        credit_limit = book.credit_limit
        outcome = self._make(book, move, fingerprint)
        if outcome.is_ok:
            # Credit that starts later moves nothing yet, and counts all the same.
            moved = outcome.transfer or outcome.grant
            amount = book.credit_limit - credit_limit if moved is None else moved.amount
            self._approvals.note_alone(move, amount, number)
        return outcome

    def _make(self, book: Book, move: Move, fingerprint: bytes) -> Outcome:
        if isinstance(move, Refund):
            return self._return(book, move, fingerprint)
        if isinstance(move, SetCreditLimit):
            return self._set_credit_limit(book, move)
        if isinstance(move, GiveCredit):
            return self._grants.give(book, move, fingerprint)
        return self._fund(book, move, fingerprint)

    def _set(self, book: Book, command: AccountChange) -> Outcome:
        if isinstance(command, Reject):
            return self._approvals.reject(command)
        if isinstance(command, SetClosed):
            outcome, ends = closing.set_closed(book, command, self._grants, self._now)
            self._posted.update(((book.merchant_id, item.idempotency_key), item) for item in ends)
            return outcome
        if book.closed_at is not None and not isinstance(command, SettleGrants):
            return closing.MERCHANT_CLOSED
        if isinstance(command, ExtendHold):
            return self._extend(command)
        if isinstance(command, SetFrozen):
            book.set_frozen(command.is_frozen, self._now)
        elif isinstance(command, SetThresholds):
            refusal = book.thresholds_refusal(command.amounts)
            if refusal is not None:
                return refusal
            book.set_thresholds(command.amounts, self._now)
        elif isinstance(command, SetCreditLimit):
            return self._approvals.retried(command) or self._make_alone(book, command, command.fingerprint())
        return DONE

    def _set_credit_limit(self, book: Book, command: SetCreditLimit) -> Outcome:
        refusal = book.credit_limit_refusal(command.credit_limit)
        if refusal is None:
            book.set_credit_limit(command.credit_limit, self._now)
        return refusal or DONE

    def _settle(self, hold: Hold, state: HoldState, captured: int) -> Hold:
        settled = replace(hold, state=state, captured=captured)
        self._holds.replace(hold.merchant_id, hold.seq, settled)
        return settled
