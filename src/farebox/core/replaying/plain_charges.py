"""Plain charges, which most of a book is: rows that are sound ones are taken as they are stored, in a few steps each.

The fields that charges of a type, price and key share are looked at, and written for their hash, once. The wallet
before a run of charges and after it tells how much was spent. A row that is anything else, or not sound, is left to
whoever looks closer.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from msgspec import Struct

from farebox.core import ids
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
_NOTHING: Final = [None] * 4
"""What plain charges have for a note, for what they were priced by, and of given and uncollected credit."""

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

    `head` is written before what a charge has of its own, `middle` before its quantity, `tail` behind that. `limits`
    are those of the key's budget.
    """

    head: str
    middle: str
    tail: str
    limits: Sequence[BudgetLimit]


class PlainChargeRuns:
    """The plain charges of one book: each has a type, a quantity and a version of a price, which is no rule.

    No grant, shortfall, hold or note has to do with them; they may name a reference and a key.
    """

    def __init__(self, merchant_id: int, prices: Mapping[int, Price], budgets: BudgetReplay) -> None:
        """Know a merchant's number, the versions of prices that its transfers may name, and its keys' budgets."""
        self._merchant_id = merchant_id
        self._merchant = ids.public_id(ids.MERCHANT, merchant_id)
        self._prices = prices
        self._budgets = budgets
        self._forms: dict[tuple[str, int, int | None, int | None], _Form] = {}

    def take(self, rows: Iterator[Row], place: BookPlace, spent: dict[int, int]) -> tuple[BookPlace, Row | None]:
        """Take rows for as long as each is a sound plain charge.

        Args:
            rows: those after `place`.
            place: where the book stands.
            spent: micros by the hour's number since 1970, UTC, to which these are added.

        Returns:
            Where the book stands then, and the first row that is none; None if there are no more.
        """
        forms, own, empty_hash = self._forms, self._merchant_id, _EMPTY.copy
        seq, at, last_hash, wallet, held = place.seq, place.at, place.hash, place.wallet, place.held
        hour, hour_wallet = at // HOUR_MICROS, wallet
        hour_ends = (hour + 1) * HOUR_MICROS
        row = None
        for row in rows:
            merchant_id, seq_here, kind, amount, key, content, wallet_after, held_after, committed_at, own_hash = row[
                :10
            ]
            request_type, quantity, unit_price, price_id, refers_to, reference, *others, key_id = row[10:]
            if (
                seq_here != seq + 1
                or kind != _CHARGE
                or merchant_id != own
                or amount <= 0
                or wallet_after != wallet - amount
                or held_after != held
                or committed_at < at
                or not quantity
                or refers_to is not None
                or others != _NOTHING
                or reference == ""
                # A number with a fraction, which no column admits, would find what is written of the one without.
                or not (unit_price is None or (isinstance(unit_price, int) and amount == unit_price * quantity))
                or (form := forms.get((request_type, price_id, unit_price, key_id)) or self._form(row)) is None
            ):
                break
            written = (
                f"{form.head}{seq_here}\n{committed_at}{_CHARGE_LINES}{amount}\n{wallet_after}\n{held_after}"
                f"{form.middle}{quantity}{form.tail}{key}\n{content.hex()}\n\n{reference or ''}\n"
            )
            linked = empty_hash()
            linked.update(last_hash)
            linked.update(written.encode())
            if linked.digest() != own_hash:
                break
            if committed_at >= hour_ends:
                spent[hour] = spent.get(hour, 0) + hour_wallet - wallet
                hour, hour_wallet = committed_at // HOUR_MICROS, wallet
                hour_ends = (hour + 1) * HOUR_MICROS
            if form.limits:
                self._budgets.count(form.limits, Transfer(*row))
            seq, at, last_hash, wallet = seq_here, committed_at, own_hash, wallet_after
        else:
            row = None
        spent[hour] = spent.get(hour, 0) + hour_wallet - wallet
        return BookPlace(seq, at, last_hash, wallet, held), row

    def _form(self, row: Row) -> _Form | None:
        """Write what charges like this one have in common; None if they are not plain."""
        request_type, _, unit_price, price_id, *_, key_id = row[10:]
        price = self._prices.get(price_id or 0)
        if not request_type or not price_id or (price is not None and price.rule is not None):
            return None
        encoding, more = (ENCODING, "") if key_id is None else (FULL_ENCODING, f"\n\n\n{key_text(key_id)}\n")
        if len(self._forms) >= _FORMS_MAX:
            self._forms.clear()
        form = self._forms[request_type, price_id, unit_price, key_id] = _Form(
            f"{encoding}\n{self._merchant}\n",
            f"\n{request_type}\n",
            f"\n{unit_price or ''}\n{price_text(price_id)}\n{more}",
            self._budgets.limits_of(key_id),
        )
        return form
