"""Plain charges: at a unit price, of a merchant without debts, with nothing to refuse. Nearly all are.

Charges of one batch that name the same merchant, key, type and quantity share everything but their idempotency keys and
references, so all else is looked up, checked and written as text once, for the whole run of them. One grant may pay for
the whole of a plain charge, and a budget of its key may count it. A charge that is not as plain is left to `decide`,
which goes through rule by rule; a plain one would come to the same there.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.accounts import Kind
from farebox.core.batch.budgets import BatchBudgets
from farebox.core.batch.charge_form import ChargeForm, charge_bytes, charge_form
from farebox.core.batch.grants import BatchGrants
from farebox.core.book import Book
from farebox.core.chain import link
from farebox.core.commands import Caller, Charge, Payer
from farebox.core.credit.budgets import BudgetKey
from farebox.core.credit.shortfalls import Above
from farebox.core.money import AMOUNT_MICROS_MAX, BALANCE_MICROS_MAX
from farebox.core.outcomes import OK, Outcome
from farebox.core.permissions import caller_refusal
from farebox.core.prices import CLOCK_LAG_MICROS_MAX
from farebox.core.state import BatchState
from farebox.core.transfers import Transfer

FindBook: TypeAlias = Callable[[Charge], Book | None]
"""Finds the book that a charge meets. It is passed with each charge, since a batch must not refer to itself."""

_REFUSE: Final = Above.REFUSE
_CHARGE: Final = int(Kind.CHARGE)


class _Run(Struct, frozen=True, gc=False):
    """What the charges of a run have in common."""

    book: Book
    form: ChargeForm
    fingerprint: bytes
    """That of each charge without a reference."""
    budget: BudgetKey | None
    """That of the key that they name."""
    is_given: bool
    """Whether a grant pays for them."""


class PlainCharges:
    """The plain charges of one batch."""

    def __init__(
        self,
        state: BatchState,
        now: int,
        posted: dict[tuple[int, str], Transfer],
        grants: BatchGrants,
        budgets: BatchBudgets,
    ) -> None:
        """Begin at `now`, microseconds since 1970.

        `posted` are the batch's transfers, by merchant and idempotency key; those of plain charges are added. What they
        take of `grants` and `budgets` is taken there.
        """
        self._state = state
        self._grants = grants
        self._budgets = budgets
        self._replays = state.replays
        self._now = now
        self._posted = posted
        self._runs: dict[tuple[Payer, str, int, Caller | None], _Run | None] = {}
        self._fingerprints: dict[tuple[str, int], bytes] = {}
        self._allowed: dict[Caller, bool] = {}

    def decide(self, command: Charge, find_book: FindBook) -> Outcome | None:
        """Decide a charge that goes through; None, with nothing changed, for one that is not plain."""
        if (
            command.amount is not None
            or command.quantities is not None
            or command.requested_at is not None
            or command.above is not _REFUSE
        ):
            return None
        place = (command.payer, command.request_type, command.quantity, command.caller)
        try:
            run = self._runs[place]
        except KeyError:
            run = self._runs[place] = self._begun(command, find_book)
        if run is None:
            return None
        book, form = run.book, run.form
        lot = self._grants.lot_for(book, form.request_type, form.amount) if run.is_given else None
        key = (book.merchant_id, command.idempotency_key)
        # Other commands of the batch may change these; they change nothing that a run begins with.
        if (
            (lot is None if run.is_given else book.given)
            or form.amount > book.wallet + book.credit_limit
            or book.owed
            or book.is_frozen
            or book.closed_at is not None
            or self._now < book.last_at - CLOCK_LAG_MICROS_MAX
            or book.revenue + form.amount > BALANCE_MICROS_MAX
            or key in self._posted
            or key in self._replays
        ):
            return None
        if run.budget is not None:
            standing = self._budgets.standing(run.budget, book.time_at(self._now))
            if form.amount > standing.room:
                return None
            standing.spend(form.amount)
        given = None if lot is None else self._grants.use_lot(book, lot, form.amount)
        reference = command.reference
        fingerprint = run.fingerprint if reference is None else command.fingerprint()
        transfer = self._posted[key] = _post(book, form, self._now, key[1], fingerprint, reference, given)
        return Outcome(OK, transfer)

    def _begun(self, command: Charge, find_book: FindBook) -> _Run | None:
        """Look up and check what a run has in common; None if it is not plain."""
        state, caller, request_type = self._state, command.caller, command.request_type
        if caller is not None and not self._may_charge(command, caller):
            return None
        book = find_book(command)
        if book is None:
            return None
        digest = command.payer.digest
        key = None if digest is None else state.keys[digest]
        price = state.price(book.merchant_id, request_type)
        if type(price) is Outcome or price.unit_price is None or price.rule is not None:
            return None
        amount = price.unit_price * command.quantity
        if not 0 < amount <= AMOUNT_MICROS_MAX:
            return None
        is_given = book.given > 0
        # To begin a run is what costs, so one that no grant will pay for is left at once.
        if is_given and self._grants.lot_for(book, request_type, amount) is None:
            return None
        form = charge_form(
            book.merchant,
            amount=amount,
            request_type=request_type,
            quantity=command.quantity,
            unit_price=price.unit_price,
            price_id=price.price_id,
            key_id=None if key is None else key.key_id,
            is_given=is_given,
        )
        budget = None if key is None or key.budget_id is None else (book.merchant_id, key.budget_id)
        return _Run(book, form, self._fingerprint(command), budget, is_given)

    def _may_charge(self, command: Charge, caller: Caller) -> bool:
        """Tell whether a caller may charge; most batches have one, which charges many merchants."""
        is_allowed = self._allowed.get(caller)
        if is_allowed is None:
            refusal = caller_refusal(command, caller, self._state.keys.get(caller.digest), self._now)
            is_allowed = self._allowed[caller] = refusal is None
        return is_allowed

    def _fingerprint(self, command: Charge) -> bytes:
        """Tell the fingerprint of a plain charge without a reference, which tells nothing but type and quantity."""
        asked = (command.request_type, command.quantity)
        fingerprint = self._fingerprints.get(asked)
        if fingerprint is None:
            plain = command if command.reference is None else replace(command, reference=None)
            fingerprint = self._fingerprints[asked] = plain.fingerprint()
        return fingerprint


def _post(
    book: Book,
    form: ChargeForm,
    now: int,
    idempotency_key: str,
    fingerprint: bytes,
    reference: str | None,
    given: str | None,
) -> Transfer:
    """Post a charge of this form as `Book.post` would, in half the time; nothing refuses it."""
    amount, held = form.amount, book.held
    book.wallet = wallet = book.wallet - amount
    book.revenue += amount
    book.seq = seq = book.seq + 1
    if now > book.last_at:
        book.last_at = now
    committed_at = book.last_at
    canonical = charge_bytes(
        form,
        seq=seq,
        committed_at=committed_at,
        wallet=wallet,
        held=held,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        reference=reference,
        given=given,
    )
    book.last_hash = link(book.last_hash, canonical)
    transfer = Transfer(
        book.merchant_id,
        seq,
        _CHARGE,
        amount,
        idempotency_key,
        fingerprint,
        wallet,
        held,
        committed_at,
        book.last_hash,
        form.request_type,
        form.quantity,
        form.unit_price,
        form.price_id,
        None,
        reference,
        None,
        None,
        given,
        None,
        form.key_id,
    )
    book.transfers.append(transfer)
    if book.thresholds:
        book.watch(seq, now)
    return transfer
