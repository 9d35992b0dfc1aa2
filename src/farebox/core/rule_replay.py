"""Replaying what a book was priced by: each amount is computed again, and each period's units are counted again."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import PeriodCount, PeriodCounts
from farebox.core.prices import Price
from farebox.core.pricing.priced import read_priced
from farebox.core.pricing.rules import QUANTITY_MAX
from farebox.core.pricing.times import rates_at
from farebox.core.quotes import Quote, counted_units, requoted, returned_units
from farebox.core.state import Original
from farebox.core.transfers import Transfer

_PRICED_KINDS: Final = frozenset({Kind.CHARGE, Kind.HOLD, Kind.CAPTURE})
_ENDING_KINDS: Final = frozenset({Kind.RELEASE, Kind.EXPIRE})

COUNTS_DIFFER: Final = "the units of its period that came before are others than its transfers come to"


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
        quote, faults = recomputed(price, transfer)
        yield from faults
        if price is None or price.rule is None or quote is None or quote.priced is None:
            return
        if self._met(price, transfer, quote) != quote.priced.before:
            yield COUNTS_DIFFER
        if transfer.kind == Kind.CAPTURE:
            self._uncount(transfer.refers_to or 0)
        if quote.place is not None:
            self._counts.add(quote.place, quote.units)
            gives_back = price.rule.period is not None and price.rule.period.refunds_give_back
            if transfer.kind == Kind.HOLD or gives_back:
                self._counted[transfer.seq] = transfer

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


def recomputed(price: Price | None, transfer: Transfer) -> tuple[Quote | None, list[str]]:
    """Compute again what a transfer that was priced by a rule came to.

    Returns:
        What it comes to, or None if that can't be told; and what is wrong with the transfer.

    Raises:
        ValueError: the transfer's `pricing` can't be read, or names a window that the price does not have.
    """
    if transfer.kind not in _PRICED_KINDS:
        return None, ["says what it was priced by, which only charges, holds and captures are"]
    if price is None or price.rule is None or price.request_type != transfer.request_type:
        return None, ["names a price that is not there, or no rule"]
    quantities = read_priced(transfer.pricing or "").quantities
    if quantities.keys() - set(price.names) or not all(0 <= number <= QUANTITY_MAX for number in quantities.values()):
        return None, ["its quantities are none that its price has"]
    quote = requoted(price, transfer)
    if isinstance(quote, Outcome) or quote.priced is None:
        return None, ["its quantities can't be priced"]
    faults = []
    if quote.amount != transfer.amount:
        faults.append(
            f"the amount is {format_amount(transfer.amount)}, its price comes to {format_amount(quote.amount)}"
        )
    if quote.pricing != transfer.pricing or quote.quantity != transfer.quantity:
        faults.append("what it was priced by is not what its price comes to")
    is_timed = price.rule.windows is not None or price.is_counted
    if is_timed != (quote.priced.at is not None):
        faults.append("it names a time where its price has none, or none where it has one")
    elif price.rule.windows is not None and rates_at(price.rule, quote.priced.at or 0)[0] != quote.priced.window:
        faults.append("it names another window than its time falls in")
    return quote, faults
