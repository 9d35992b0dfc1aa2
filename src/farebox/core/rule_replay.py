"""Replaying what a book was priced by: each amount is computed again, and each period's units are counted again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import PeriodCount, PeriodCounts
from farebox.core.prices import Price
from farebox.core.pricing.priced import read_priced
from farebox.core.pricing.times import rates_at
from farebox.core.quotes import Quote, counted_units, requoted, returned_units
from farebox.core.state import Original
from farebox.core.transfers import Transfer

_PRICED_KINDS: Final = frozenset({Kind.CHARGE, Kind.HOLD, Kind.CAPTURE})
_ENDING_KINDS: Final = frozenset({Kind.RELEASE, Kind.EXPIRE})


class RuleReplay:
    """The transfers of one book that were priced by rules, fed in order of seq."""

    def __init__(self, prices: Mapping[int, Price]) -> None:
        """Start at the empty book; `prices` are the versions that its transfers may name, by their number."""
        self._prices = prices
        self._counts = PeriodCounts()
        self._counted: dict[int, Transfer] = {}
        """The transfers whose units may go back: holds that are open, and charges whose price says so."""

    def feed(self, transfer: Transfer, returned: Mapping[int, int]) -> Iterator[str]:
        """Apply a transfer, and yield what is wrong with it; `returned` has what was given back up to and with it."""
        if transfer.pricing is not None:
            try:
                yield from self._priced_faults(transfer)
            except ValueError as error:
                yield f"what it was priced by can't be read: {error}"
        elif not self._counted or transfer.refers_to is None:
            return
        elif transfer.kind in _ENDING_KINDS:
            self._uncount(transfer.refers_to)
        elif transfer.kind == Kind.CAPTURE:
            # A capture of an amount leaves all that was held counted.
            self._counted.pop(transfer.refers_to, None)
        elif transfer.kind == Kind.REFUND:
            self._give_back(transfer, returned)

    def finish(self, counts: Iterable[PeriodCount]) -> Iterator[str]:
        """Compare the units that were counted with what is stored of them, and yield what differs."""
        stored = {(count.request_type, count.starts_at, count.line): count.units for count in counts if count.units}
        replayed = {
            (count.request_type, count.starts_at, count.line): count.units
            for count in self._counts.changed()
            if count.units
        }
        for key in sorted(stored.keys() | replayed.keys()):
            request_type, _, line = key
            if stored.get(key, 0) != replayed.get(key, 0):
                yield (
                    f"{stored.get(key, 0)} units of {line!r} of {request_type!r} are counted in a period, "
                    f"its transfers come to {replayed.get(key, 0)}"
                )

    def _priced_faults(self, transfer: Transfer) -> Iterator[str]:
        price = self._prices.get(transfer.price_id or 0)
        if transfer.kind not in _PRICED_KINDS:
            yield "says what it was priced by, which only charges, holds and captures are"
            return
        if price is None or price.rule is None or price.request_type != transfer.request_type:
            yield "names a price that is not there, or no rule"
            return
        quote = requoted(price, transfer)
        if isinstance(quote, Outcome) or quote.priced is None:
            yield "its quantities can't be priced"
            return
        if quote.amount != transfer.amount:
            yield f"the amount is {format_amount(transfer.amount)}, its price comes to {format_amount(quote.amount)}"
        if quote.pricing != transfer.pricing or quote.quantity != transfer.quantity:
            yield "what it was priced by is not what its price comes to"
        yield from self._rate_faults(price, transfer, quote)
        if self._met(price, transfer, quote) != quote.priced.before:
            yield "the units of its period that came before are others than its transfers come to"
        if transfer.kind == Kind.CAPTURE:
            self._uncount(transfer.refers_to or 0)
        if quote.place is not None:
            self._counts.add(quote.place, quote.units)
            gives_back = price.rule.period is not None and price.rule.period.refunds_give_back
            if transfer.kind == Kind.HOLD or gives_back:
                self._counted[transfer.seq] = transfer

    def _rate_faults(self, price: Price, transfer: Transfer, quote: Quote) -> Iterator[str]:
        rule, priced = price.rule, quote.priced
        if rule is None or priced is None:
            return
        is_timed = rule.windows is not None or rule.period is not None
        if is_timed != (priced.at is not None):
            yield "it names a time where its price has none, or none where it has one"
        elif rule.windows is not None and priced.at is not None and rates_at(rule, priced.at)[0] != priced.window:
            yield "it names another window than its time falls in"

    def _met(self, price: Price, transfer: Transfer, quote: Quote) -> Mapping[str, int]:
        """Tell the units that a transfer met of its period: a capture those that its hold met."""
        if quote.place is None:
            return {}
        hold = self._counted.get(transfer.refers_to or 0)
        if transfer.kind == Kind.CAPTURE and hold is not None:
            return read_priced(hold.pricing or "").before
        counted = self._counts.before(quote.place)
        return {name: counted[name] for name in price.names if counted.get(name)}

    def _uncount(self, seq: int) -> None:
        hold = self._counted.pop(seq, None)
        units = None if hold is None else counted_units(self._prices.get(hold.price_id or 0), hold)
        if units is not None:
            self._counts.add(*units, -1)

    def _give_back(self, refund: Transfer, returned: Mapping[int, int]) -> None:
        original = self._counted.get(refund.refers_to or 0)
        if original is None:
            return
        total = returned.get(original.seq, 0)
        price = self._prices.get(original.price_id or 0)
        units = returned_units(price, Original(original, total - refund.amount), total)
        if units is not None:
            self._counts.add(*units, -1)
