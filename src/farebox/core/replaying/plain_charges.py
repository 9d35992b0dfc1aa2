"""Plain charges, which most of a book is: rows that are sound ones are taken as they are stored, in a few steps each.

The fields that charges of a type, price and key share are looked at, and written for their hash, once. The wallet
before a run of charges and after it tells how much was spent. A row that is anything else, or not sound, is left to
whoever looks closer.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from msgspec import Struct

from farebox.core.accounts import GENESIS_HASH, Kind
from farebox.core.chain import ENCODING, FULL_ENCODING, HASH_BYTES, KIND_LINES, key_text, price_text
from farebox.core.prices import Price
from farebox.core.replaying.budgets import BudgetLimit, BudgetReplay
from farebox.core.replaying.hours import HOUR_MICROS
from farebox.core.transfers import Transfer

Row: TypeAlias = Sequence[Any]
"""A transfer as it is stored: its fields in the order of `Transfer`."""

_CHARGE: Final = int(Kind.CHARGE)
_CHARGE_LINES: Final = f"\n{KIND_LINES[Kind.CHARGE]}\n"
_FORMS_MAX: Final = 4_096
_EMPTY: Final = blake2b(digest_size=HASH_BYTES)


class BookPlace(Struct):
    """Where a book stands: the seq, time and hash of its last transfer, and the balances after it."""

    seq: int = 0
    at: int = 0
    hash: bytes = GENESIS_HASH
    wallet: int = 0
    held: int = 0


class _Form(Struct, frozen=True, gc=False):
    """What plain charges of a type, price and key have in common.

    `encoding` is written before the merchant, `middle` before the quantity, `tail` behind that. `limits` are those of
    the key's budget.
    """

    encoding: str
    middle: str
    tail: str
    limits: Sequence[BudgetLimit]


_FormKey: TypeAlias = tuple[str | None, int | None, int | None, int | None]
"""The type, version of a price, unit price and key of charges."""


class PlainChargeForms:
    """What plain charges of many books have in common: those that name no key, as a key is one merchant's own."""

    def __init__(self, prices: Mapping[int, Price]) -> None:
        """Know the versions of prices that the books' transfers may name."""
        self.prices = prices
        self._forms: dict[_FormKey, _Form] = {}

    def form(self, key: _FormKey, budgets: BudgetReplay) -> _Form | None:
        """Return what charges have in common, one of whose book has these budgets; None if they are not plain."""
        form = self._forms.get(key)
        if form is not None:
            return form
        request_type, price_id, unit_price, key_id = key
        price = self.prices.get(price_id or 0)
        if not request_type or not price_id or (price is not None and price.rule is not None):
            return None
        encoding, more = (ENCODING, "") if key_id is None else (FULL_ENCODING, f"\n\n\n{key_text(key_id)}\n")
        tail = f"\n{unit_price or ''}\n{price_text(price_id)}\n{more}"
        form = _Form(encoding, f"\n{request_type}\n", tail, budgets.limits_of(key_id))
        if key_id is None:
            _keep(self._forms, key, form)
        return form


class PlainChargeRuns:
    """The plain charges of one book: each has a type, a quantity and a version of a price, which is no rule.

    No grant, shortfall, hold or note has to do with them; they may name a reference and a key.
    """

    def __init__(self, merchant_id: int, merchant: str, shared_forms: PlainChargeForms, budgets: BudgetReplay) -> None:
        """Know a merchant's number and public id, what its charges have in common with others', and budgets of keys."""
        self._merchant_id = merchant_id
        self._merchant = merchant
        self._shared_forms = shared_forms
        self._budgets = budgets
        self._forms: dict[_FormKey, _Form] = {}

    def take(self, rows: Iterator[Row], place: BookPlace, spent: dict[int, int] | None) -> tuple[BookPlace, Row | None]:
        """Take rows after `place` for as long as each is a sound plain charge.

        What they spend is added to `spent`, micros by the hour's number since 1970, UTC, if that is not None. Returned
        are where the book stands then, and the first row that is no such charge; None if there are no more.
        """
        forms, own, merchant, empty_hash = self._forms, self._merchant_id, self._merchant, _EMPTY.copy
        seq, at, last_hash, wallet, held = place.seq, place.at, place.hash, place.wallet, place.held
        hour_ends, hour_wallet = _end_of_hour(at), wallet
        row = None
        for row in rows:
            (
                merchant_id,
                seq_here,
                kind,
                amount,
                key,
                content,
                wallet_after,
                held_after,
                committed_at,
                own_hash,
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
            ) = row
            if (
                seq_here != seq + 1
                or kind != _CHARGE
                or merchant_id != own
                or amount <= 0
                or wallet_after != wallet - amount
                or held_after != held
                or committed_at < at
                or not quantity
                or not (refers_to is note is pricing is given is uncollected is None)
                or reference == ""
                # A number with a fraction, which no column admits, would find what is written of the one without.
                or not (unit_price is None or (isinstance(unit_price, int) and amount == unit_price * quantity))
                or not (form := forms.get(alike := (request_type, price_id, unit_price, key_id)) or self._form(alike))
            ):
                break
            written = (
                f"{form.encoding}\n{merchant}\n{seq_here}\n{committed_at}{_CHARGE_LINES}{amount}\n{wallet_after}\n"
                f"{held_after}{form.middle}{quantity}{form.tail}{key}\n{content.hex()}\n\n{reference or ''}\n"
            )
            linked = empty_hash()
            linked.update(last_hash)
            linked.update(written.encode())
            if linked.digest() != own_hash:
                break
            if spent is not None and committed_at >= hour_ends:
                _add_to_hour(spent, hour_ends, hour_wallet - wallet)
                hour_ends, hour_wallet = _end_of_hour(committed_at), wallet
            if form.limits:
                self._budgets.count(form.limits, Transfer(*row))
            seq, at, last_hash, wallet = seq_here, committed_at, own_hash, wallet_after
        else:
            row = None
        if spent is not None and wallet != hour_wallet:
            _add_to_hour(spent, hour_ends, hour_wallet - wallet)
        return BookPlace(seq, at, last_hash, wallet, held), row

    def _form(self, key: _FormKey) -> _Form | None:
        """Return what charges of this book have in common, and keep it; None if they are not plain."""
        form = self._shared_forms.form(key, self._budgets)
        if form is not None:
            _keep(self._forms, key, form)
        return form


def _end_of_hour(at: int) -> int:
    return (at // HOUR_MICROS + 1) * HOUR_MICROS


def _add_to_hour(spent: dict[int, int], hour_ends: int, micros: int) -> None:
    hour = hour_ends // HOUR_MICROS - 1
    spent[hour] = spent.get(hour, 0) + micros


def _keep(forms: dict[_FormKey, _Form], key: _FormKey, form: _Form) -> None:
    if len(forms) >= _FORMS_MAX:
        forms.clear()
    forms[key] = form
