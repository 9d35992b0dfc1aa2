"""Computing anew, offline, what an export's requests were priced by: the rules stand in the export itself.

Units that are counted over a period go on from one request to the next, so the counts are followed too. Where they
can't be known, as an export begins in the middle of a book, the first request of a period says where it stood, and
those after it have to go on from there.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from farebox.core import ids
from farebox.core.accounts import Kind
from farebox.core.period_counts import Place
from farebox.core.prices import Price
from farebox.core.pricing.priced import Priced
from farebox.core.quotes import Quote
from farebox.core.replaying.rules import COUNTS_DIFFER, recomputed
from farebox.core.transfers import Transfer
from farebox.service import inputs, parsing
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import read_rule
from farebox.service.statements.lines import PriceLineData, price_line_data

_RETURN_KINDS: Final = frozenset({Kind.CAPTURE, Kind.RELEASE, Kind.EXPIRE, Kind.REFUND})


class PriceCheck:
    """The rules that exports have named, and the counts that their transfers came to: one for exports that continue."""

    def __init__(self) -> None:
        """Start before the first export."""
        self._prices: dict[int, Price] = {}
        self._named: set[int] = set()
        """The versions whose lines this very export has."""
        self._counts: dict[Place, dict[str, int]] = {}
        self._holds: dict[int, Quote] = {}
        """What open holds counted, by their seq."""
        self._captured: tuple[int, Quote] | None = None
        """The hold that was captured last, by its seq: what is above it comes next."""
        self._is_whole = False
        """The exports begin with the book's first transfer, and none was lost: an unknown count is zero."""
        self._lost: set[str | None] = set()
        """Types of which that is not so, as refunds gave units back."""

    def begin(self, first_seq: int) -> None:
        """Start with an export; the one before it ended right there, or else it is known from its start alone."""
        self._named.clear()
        self._is_whole = self._is_whole or first_seq == 1

    def add(self, data: PriceLineData, line: bytes, merchant: str) -> Iterator[str]:
        """Take a line with a rule, and yield what is wrong with it; `merchant` is whose export it is."""
        try:
            price = Price(
                parsing.parse_public_id(ids.PRICE, data.price_id),
                inputs.request_type("type", data.type),
                None,
                inputs.time("startsAt", data.starts_at),
                None if data.merchant_id is None else parsing.parse_public_id(ids.MERCHANT, data.merchant_id),
                read_rule("rule", data.rule),
            )
        except parsing.InvalidId:
            yield "this price has an id that is none"
            return
        except InvalidInput as error:
            yield f"this price can't be read: {error.field}: {error}"
            return
        if price.rule is None or msgspec.json.encode(price_line_data(price, price.rule)) != line:
            yield "this price is not written as Farebox writes it"
        if data.merchant_id not in (None, merchant):
            yield "this price is another merchant's own"
        if price.price_id in self._named:
            yield "this price stands here twice"
        elif self._prices.get(price.price_id, price) != price:
            yield "this price was another one in a statement before"
        self._named.add(price.price_id)
        self._prices[price.price_id] = price

    def faults(self, transfer: Transfer) -> Iterator[str]:
        """Go on to a transfer, and yield what is wrong with how it was priced."""
        if transfer.pricing is not None:
            yield from self._priced_faults(transfer)
        else:
            price = self._prices.get(transfer.price_id or 0)
            if price is not None and transfer.kind in (Kind.CHARGE, Kind.HOLD):
                yield "its price is a rule, but the line does not say what it was priced by"
            if transfer.kind in _RETURN_KINDS:
                self._give_back(transfer)

    def forget(self) -> None:
        """Know no counts any more: a transfer that may have changed them can't be read."""
        self._is_whole = False
        self._counts.clear()
        self._holds.clear()

    def _priced_faults(self, transfer: Transfer) -> Iterator[str]:
        price = self._prices.get(transfer.price_id or 0)
        if transfer.price_id not in self._named:
            yield "its price is not in this statement before it, so its amount can't be computed again"
        if price is None:
            self.forget()
            return
        try:
            quote, faults = recomputed(price, transfer)
        except (ValueError, OverflowError, OSError):
            # A time that no calendar has is an overflow, or an error of the system's.
            quote, faults = None, ["what it was priced by can't be read"]
        yield from faults
        priced = None if quote is None else quote.priced
        if quote is None or priced is None:
            self.forget()
        elif transfer.kind == Kind.CAPTURE:
            yield from self._capture_faults(transfer, priced, quote)
        elif priced.held is not None:
            yield from self._above_faults(transfer, priced)
            self._add(quote, 1)
        else:
            yield from self._count_faults(price, priced, quote.place)
            self._add(quote, 1)
            if transfer.kind == Kind.HOLD:
                self._holds[transfer.seq] = quote

    def _count_faults(self, price: Price, priced: Priced, place: Place | None) -> Iterator[str]:
        """Compare the counts that a request met with those that are known, and take over the others."""
        known = {} if place is None else self._counts.setdefault(place, {})
        rest = None if place is not None and not self._is_known(price.request_type) else 0
        met = {name: priced.before.get(name, 0) for name in {*price.names, *priced.before}}
        if any(known.get(name, rest) not in (None, number) for name, number in met.items()):
            yield COUNTS_DIFFER
        known.update(met)

    def _capture_faults(self, transfer: Transfer, priced: Priced, quote: Quote) -> Iterator[str]:
        hold = self._holds.pop(transfer.refers_to or 0, None)
        held = None if hold is None else hold.priced
        if hold is None or held is None:
            if quote.place is not None:
                self._forget_type(transfer.request_type)
            return
        self._captured = (transfer.refers_to or 0, hold)
        is_alike = (priced.window, priced.before, priced.at) == (held.window, held.before, held.at)
        if not is_alike or transfer.amount > hold.amount:
            yield "a capture is priced as its hold was, for as much at most, and this one is not"
        self._add(hold, -1)
        self._add(quote, 1)

    def _above_faults(self, transfer: Transfer, priced: Priced) -> Iterator[str]:
        """Compare what is above a hold with the hold, where that is in the export."""
        seq, hold = self._captured or (0, None)
        held = None if hold is None or seq != transfer.refers_to else hold.priced
        if held is None:
            return
        told = (priced.window, priced.before, priced.at, priced.held)
        if told != (held.window, held.before, held.at, held.quantities):
            yield "what is above a hold is priced as the hold was, and this is not"

    def _give_back(self, transfer: Transfer) -> None:
        """Count what a transfer without quantities gives back; where that can't be told, the counts are not known."""
        hold = self._holds.pop(transfer.refers_to or 0, None)
        if hold is not None:
            if transfer.kind != Kind.CAPTURE:
                self._add(hold, -1)
            # A capture of an amount leaves all that was held counted.
            return
        kept = (price.rule.period for price in self._prices.values() if price.rule is not None)
        if transfer.kind == Kind.REFUND and any(period is not None and period.refunds_give_back for period in kept):
            self._lost.add(transfer.request_type)
        if not self._is_known(transfer.request_type):
            self._forget_type(transfer.request_type)

    def _is_known(self, request_type: str | None) -> bool:
        """Whether a period of which nothing is known had no requests before."""
        return self._is_whole and request_type not in self._lost

    def _forget_type(self, request_type: str | None) -> None:
        for place in [place for place in self._counts if place[1] == request_type]:
            del self._counts[place]

    def _add(self, quote: Quote, sign: int) -> None:
        if quote.place is not None:
            counts = self._counts.setdefault(quote.place, {})
            for name, number in quote.units.items():
                if name in counts:
                    counts[name] += sign * number
