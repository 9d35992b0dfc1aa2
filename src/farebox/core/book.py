"""The working copy of one merchant's book while a batch is decided; the one mutable thing in the core."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import force_setattr

from farebox.core import chain, ids
from farebox.core.accounts import DEBIT_AND_CREDIT, EFFECTS, Account, Kind
from farebox.core.alerts import Alert, AlertKind, written_facts
from farebox.core.currencies import fits_minor_unit, format_money, format_money_with_code, too_fine
from farebox.core.money import AMOUNT_MICROS_MAX, BALANCE_MICROS_MAX
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.thresholds import ended_by, fall, is_allowed, money_arrives, out_of_reach, replace_amounts
from farebox.core.transfers import Transfer

LOWERING_KINDS = frozenset({Kind.CHARGE, Kind.CAPTURE, Kind.ADJUSTMENT_DEBIT, Kind.TOP_UP_REVERSAL, Kind.GRANT_EXPIRY})
ARRIVING_KINDS = frozenset({Kind.TOP_UP, Kind.ADJUSTMENT_CREDIT, Kind.GRANT})
"""What brings money: posted by `fund`, which ends episodes."""


class Book:
    """One account's balances as they change, and the transfers and alerts that changed them."""

    # Most books of a batch see one charge, for which to make a dictionary of attributes would cost as much again.
    __slots__ = (
        *("_stored", "adjustments", "alerts", "alerts_count", "clock_alerts_count", "closed_at", "credit_limit"),
        *("credit_limit_before", "currency", "funding", "given", "grants_count", "grants_due_at", "held"),
        *("is_exhausted", "is_frozen", "last_at", "last_hash", "merchant", "merchant_id", "owed", "promotions"),
        *("revenue", "seq", "thresholds", "transfers", "wallet"),
    )

    def __init__(self, account: Account) -> None:
        """Start from the account as stored."""
        self._stored = account
        self.merchant_id = account.merchant_id
        self.merchant = ids.public_id(ids.MERCHANT, account.merchant_id)
        self.currency = account.currency
        self.wallet = account.wallet
        self.held = account.held
        self.revenue = account.revenue
        self.funding = account.funding
        self.adjustments = account.adjustments
        self.promotions = account.promotions
        self.credit_limit = account.credit_limit
        self.credit_limit_before = account.credit_limit
        """The credit limit ahead of its last change."""
        self.is_frozen = account.is_frozen
        self.seq = account.seq
        self.last_hash = account.last_hash
        self.last_at = account.last_at
        self.alerts_count = account.alerts_count
        self.is_exhausted = account.is_exhausted
        self.given = account.given
        self.grants_count = account.grants_count
        self.grants_due_at = account.grants_due_at
        self.owed = account.owed
        self.closed_at = account.closed_at
        self.thresholds = account.thresholds
        self.transfers: list[Transfer] = []
        self.alerts: list[Alert] = []
        self.clock_alerts_count = 0
        """How many of the first alerts tell of given credit whose time had come, and of no command."""

    def too_fine_refusal(self, amount: int) -> Outcome | None:
        """Refuse an amount set by a person that has more decimals than the currency; prices and costs may have more."""
        if fits_minor_unit(amount, self.currency):
            return None
        return refused(Code.AMOUNT_TOO_FINE, too_fine(amount, self.currency))

    @property
    def paid(self) -> int:
        """The paid money in the wallet; below zero if some of the credit limit is drawn."""
        return self.wallet - self.given

    def time_at(self, now: int) -> int:
        """Tell what time it is in the book: a clock that stepped back doesn't take it along."""
        return max(self.last_at, now)

    def refusal(self, kind: Kind, amount: int, *, may_be_free: bool = False, given: int = 0) -> Outcome | None:
        """Tell why this amount can't be posted, or None if `post` must succeed; some requests are free.

        The spending rule stands here, for every kind that takes from the wallet: paid money + credit limit + given
        credit that a request may take >= amount.

        Args:
            kind: what is to be posted.
            amount: micros.
            may_be_free: whether the amount may be 0.
            given: what a request takes of grants; if there is too little in all, all that it may take of them.
        """
        if not 0 < amount <= AMOUNT_MICROS_MAX and not (may_be_free and amount == 0):
            return refused(
                Code.AMOUNT_TOO_LARGE,
                f"{format_money(amount, self.currency)} is above the largest amount, "
                f"{format_money_with_code(AMOUNT_MICROS_MAX, self.currency)}",
            )
        effect = EFFECTS[kind]
        # The posted balance is bounded rather than the wallet alone, so that held money can always be given back.
        if (
            self.wallet + self.held + (effect.wallet + effect.held) * amount > BALANCE_MICROS_MAX
            or self.held + effect.held * amount > BALANCE_MICROS_MAX
            or self.revenue + effect.revenue * amount > BALANCE_MICROS_MAX
            or abs(self.funding + effect.funding * amount) > BALANCE_MICROS_MAX
            or abs(self.adjustments + effect.adjustments * amount) > BALANCE_MICROS_MAX
            or (effect.promotions and abs(self.promotions + effect.promotions * amount) > BALANCE_MICROS_MAX)
        ):
            return refused(Code.BALANCE_LIMIT_EXCEEDED, "A balance would leave the range that Farebox keeps exact")
        if effect.wallet < 0 and self.wallet - self.given + self.credit_limit + given < amount:
            return self._insufficient(kind, amount, given)
        return None

    def post(
        self,
        kind: Kind,
        amount: int,
        now: int,
        *,
        idempotency_key: str,
        fingerprint: bytes,
        request_type: str | None = None,
        quantity: int | None = None,
        unit_price: int | None = None,
        price_id: int | None = None,
        refers_to: int | None = None,
        reference: str | None = None,
        note: str | None = None,
        pricing: str | None = None,
        given: str | None = None,
        uncollected: int | None = None,
        key_id: int | None = None,
    ) -> Transfer:
        """Add one transfer to the book; the caller has asked `refusal`, which returned None."""
        debit, credit = DEBIT_AND_CREDIT[kind]
        setattr(self, debit, getattr(self, debit) - amount)
        setattr(self, credit, getattr(self, credit) + amount)
        self.seq += 1
        # A clock that stepped back must not reorder a book: its times never decrease.
        if now > self.last_at:
            self.last_at = now
        transfer = Transfer(
            self.merchant_id,
            self.seq,
            int(kind),
            amount,
            idempotency_key,
            fingerprint,
            self.wallet,
            self.held,
            self.last_at,
            b"",
            request_type,
            quantity,
            unit_price,
            price_id,
            refers_to,
            reference,
            note,
            pricing,
            given,
            uncollected,
            key_id,
        )
        self.last_hash = chain.link(self.last_hash, chain.canonical_bytes(self.merchant, transfer))
        # The value is complete only with its own hash, which covers the rest of it; nobody has seen it yet.
        force_setattr(transfer, "hash", self.last_hash)
        self.transfers.append(transfer)
        if self.thresholds and kind in LOWERING_KINDS:
            self.watch(transfer.seq, now)
        return transfer

    def watch(self, seq: int, now: int) -> None:
        """Tell of the thresholds that the balance fell below with this transfer, which lowered it."""
        self.thresholds, threshold = fall(self.thresholds, self.wallet + self.held)
        if threshold is not None:
            # By the clock and not by the book: no mail waits until a clock that stepped back has caught up.
            self.tell(AlertKind.LOW_BALANCE, now, threshold=threshold, transfer_seq=seq)

    def fund(
        self,
        kind: Kind,
        amount: int,
        now: int,
        *,
        idempotency_key: str,
        fingerprint: bytes,
        reference: str,
        note: str | None,
        given: str | None = None,
    ) -> Transfer:
        """Post what comes from outside or goes there; tell of a top-up, and of episodes that arriving money ends."""
        transfer = self.post(
            kind,
            amount,
            now,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            reference=reference,
            note=note,
            given=given,
        )
        if kind not in ARRIVING_KINDS:
            return transfer
        seq = transfer.seq
        if kind == Kind.TOP_UP:
            self.tell(AlertKind.TOP_UP, now, {"amount": amount, "reference": reference}, transfer_seq=seq)
        before, was_used_up, self.is_exhausted = self.thresholds, self.is_exhausted, False
        self.thresholds, threshold = money_arrives(before, self.wallet + self.held)
        self._tell_recovery(ended_by(before, self.thresholds), was_used_up, now, seq)
        if threshold is not None:
            # By the clock and not by the book: no mail waits until a clock that stepped back has caught up.
            self.tell(AlertKind.LOW_BALANCE, now, threshold=threshold, transfer_seq=seq)
        return transfer

    def credit_limit_refusal(self, credit_limit: int) -> Outcome | None:
        """Tell why the merchant can't have this credit limit, or None if it can."""
        if self.paid + credit_limit < 0:
            return refused(
                Code.CREDIT_LIMIT_IN_USE,
                f"{format_money_with_code(-self.paid, self.currency)} of the credit limit is in use; "
                "the limit can't be lower than that",
            )
        return self.too_fine_refusal(credit_limit)

    def thresholds_refusal(self, amounts: tuple[int, ...]) -> Outcome | None:
        """Tell which of these thresholds the merchant can't have, or None if it can have all."""
        for amount in amounts:
            if not is_allowed(amount, self.credit_limit):
                return refused(Code.THRESHOLD_OUT_OF_REACH, out_of_reach(amount, self.credit_limit, self.currency))
        return None

    def set_thresholds(self, amounts: tuple[int, ...], now: int) -> None:
        """Replace the thresholds; one that is new and above posted is told of at once."""
        self.thresholds, threshold = replace_amounts(self.thresholds, amounts, self.wallet + self.held)
        if threshold is not None:
            self.tell(AlertKind.LOW_BALANCE, now, threshold=threshold)

    def set_credit_limit(self, credit_limit: int, now: int) -> None:
        """Let the merchant spend down to minus this amount; a raised limit is more to spend, as money that arrives."""
        self.credit_limit_before, self.credit_limit = self.credit_limit, credit_limit
        if self.is_exhausted and credit_limit > self.credit_limit_before:
            self.is_exhausted = False
            self._tell_recovery([], True, now, None)

    def set_frozen(self, is_frozen: bool, now: int) -> None:
        """Refuse charges and holds from now on, or no longer; told if it was otherwise."""
        if is_frozen != self.is_frozen:
            self.is_frozen = is_frozen
            self.tell(AlertKind.FROZEN if is_frozen else AlertKind.UNFROZEN, now)

    def run_out(self, amount: int, now: int) -> None:
        """Tell that a request for this amount is refused for lack of money, unless that was told since money arrived.

        A refusal that was told of changes nothing, so that the thousandth writes nothing.
        """
        if not self.is_exhausted:
            self.is_exhausted = True
            facts = {"given": self.given, "owed": self.owed}
            self.tell(AlertKind.USED_UP, now, facts, transfer_seq=self.seq or None, refused=amount)

    def tell(
        self,
        kind: AlertKind,
        at: int,
        facts: Mapping[str, Any] | None = None,
        *,
        threshold: int | None = None,
        transfer_seq: int | None = None,
        refused: int | None = None,
    ) -> None:
        """Make an alert of what has happened: the next of the book, with its balances as they stand now.

        Args:
            kind: what happened.
            at: microseconds since 1970.
            facts: what the kind tells beside the balances.
            threshold: the lowest that posted is below.
            transfer_seq: the transfer that it is about.
            refused: what a refused request would have taken, in micros.
        """
        self.alerts_count += 1
        self.alerts.append(
            Alert(
                self.merchant_id,
                self.alerts_count,
                threshold,
                self.wallet + self.held,
                at,
                transfer_seq,
                kind,
                refused,
                facts=written_facts(self, facts),
            )
        )

    def account(self) -> Account:
        """Return the account as it stands now."""
        # By position: of more than fifteen arguments by name Python makes a dict, and every charge would pay for that.
        return Account(
            self.merchant_id,
            self.currency,
            self.wallet,
            self.held,
            self.revenue,
            self.funding,
            self.adjustments,
            self.promotions,
            self.credit_limit,
            self.is_frozen,
            self.seq,
            self.last_hash,
            self.last_at,
            self.alerts_count,
            self.is_exhausted,
            self.given,
            self.grants_count,
            self.grants_due_at,
            self.owed,
            self.closed_at,
            self.thresholds,
        )

    def changed_account(self) -> Account | None:
        """Return the account if anything about it differs from what was stored."""
        account = self.account()
        return account if self.transfers or account != self._stored else None

    def _insufficient(self, kind: Kind, amount: int, given: int) -> Outcome:
        included = ", the credit limit included" if self.credit_limit else ""
        spendable = self.paid + self.credit_limit + given
        message = (
            f"Insufficient balance: {format_money_with_code(amount, self.currency)} needed, "
            f"{format_money(spendable, self.currency)} can be spent{included}"
        )
        if self.given > given:
            others = format_money_with_code(self.given - given, self.currency)
            is_request = kind in (Kind.CHARGE, Kind.HOLD)
            message += (
                f"; {others} of given credit {'pays for other request types' if is_request else 'stays as it is'}"
            )
        return refused(Code.INSUFFICIENT_BALANCE, message)

    def _tell_recovery(self, ended: list[int], was_used_up: bool, now: int, transfer_seq: int | None) -> None:
        """Tell that the episodes of these thresholds, or of a balance that was used up, are over, if there are any."""
        if ended or was_used_up:
            facts = {"thresholds": ended, "was_used_up": was_used_up}
            self.tell(AlertKind.RECOVERED, now, facts, transfer_seq=transfer_seq)
