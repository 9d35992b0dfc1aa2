"""Replaying what a book was priced by: each amount is computed again, and each period's units are counted again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from farebox.core.accounts import Kind
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import PeriodCount, PeriodCounts
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, REQUESTS, Price
from farebox.core.pricing.priced import Priced, read_priced
from farebox.core.pricing.rules import QUANTITY_MAX
from farebox.core.pricing.times import rates_at
from farebox.core.quotes import REQUESTED_AGO_MICROS_MAX, Quote, counted_units, requote, returned_units
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
        self._kept: dict[int, Transfer] = {}
        """Holds that are open, and the charges and captures whose units a refund gives back."""
        self._captured: Transfer | None = None
        """The hold that was captured last."""

    def feed(self, transfer: Transfer, returned: Mapping[int, int]) -> Iterator[str]:
        """Apply a transfer, and yield what is wrong with it; `returned` has what was given back up to and with it."""
        if transfer.pricing is not None:
            try:
                yield from self._priced_faults(transfer)
            except (ValueError, OverflowError, OSError) as error:
                # A time that no calendar has is an overflow, or an error of the system's.
                yield f"what it was priced by can't be read: {error}"
            return
        price = self._prices.get(transfer.price_id or 0)
        if price is not None and price.rule is not None:
            yield "names a rule, but does not say what it was priced by"
        if not self._kept or transfer.refers_to is None:
            return
        if transfer.kind in _ENDING_KINDS:
            self._uncount(transfer.refers_to)
        elif transfer.kind == Kind.CAPTURE:
            # A capture of an amount leaves all that was held counted.
            self._kept.pop(transfer.refers_to, None)
        elif transfer.kind == Kind.REFUND:
            self._give_back(transfer, returned)

    def finish(self, counts: Sequence[PeriodCount]) -> Iterator[str]:
        """Compare the units that were counted with what is stored of them, and yield what differs."""
        changed = self._counts.changed()
        if not counts and not changed:
            return
        stored, replayed = (
            {
                (count.request_type, count.starts_at, count.period_unit, count.line): count.units
                for count in known
                if count.units
            }
            for known in (counts, changed)
        )
        for key in sorted(stored.keys() | replayed.keys()):
            request_type, *_, line = key
            if stored.get(key, 0) != replayed.get(key, 0):
                yield (
                    f"{stored.get(key, 0)} units of {line!r} of {request_type!r} are counted in a period, "
                    f"its transfers come to {replayed.get(key, 0)}"
                )

    def _priced_faults(self, transfer: Transfer) -> Iterator[str]:
        price = self._prices.get(transfer.price_id or 0)
        quote, faults = recomputed(price, transfer)
        yield from faults
        priced = None if quote is None else quote.priced
        if price is None or price.rule is None or quote is None or priced is None:
            return
        if transfer.kind == Kind.CAPTURE:
            yield from self._capture_faults(transfer, priced)
            self._uncount(transfer.refers_to or 0)
        elif priced.held is not None:
            yield from self._above_faults(transfer, priced)
        elif self._counts.before(quote.place, price.names) != priced.before:
            yield COUNTS_DIFFER
        if quote.place is not None:
            self._counts.add(quote.place, quote.units)
        gives_back = price.rule.period is not None and price.rule.period.refunds_give_back
        if transfer.kind == Kind.HOLD or gives_back:
            self._kept[transfer.seq] = transfer

    def _capture_faults(self, transfer: Transfer, priced: Priced) -> Iterator[str]:
        """Compare what a capture was priced by with its hold."""
        hold = self._kept.get(transfer.refers_to or 0)
        if hold is None or hold.pricing is None:
            yield "captures no hold that was priced by a rule"
            return
        held = read_priced(hold.pricing)
        if (priced.window, priced.before, priced.at) != (held.window, held.before, held.at):
            yield "was priced by another window, time or count than its hold"

    def _above_faults(self, transfer: Transfer, priced: Priced) -> Iterator[str]:
        """Compare what is above a hold with the hold."""
        hold = self._captured
        if hold is None or hold.seq != transfer.refers_to or hold.pricing is None:
            yield "is above no hold that was priced by a rule"
            return
        held = read_priced(hold.pricing)
        told = (priced.window, priced.before, priced.at, priced.held)
        if told != (held.window, held.before, held.at, held.quantities):
            yield "was priced by another window, time, count or quantity than its hold"

    def _uncount(self, seq: int) -> None:
        hold = self._captured = self._kept.pop(seq, None)
        units = None if hold is None else counted_units(self._prices.get(hold.price_id or 0), hold)
        if units is not None:
            self._counts.add(*units, -1)

    def _give_back(self, refund: Transfer, returned: Mapping[int, int]) -> None:
        original = self._kept.get(refund.refers_to or 0)
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
    is_theirs = price is not None and price.merchant_id in (None, transfer.merchant_id)
    if price is None or price.rule is None or price.request_type != transfer.request_type or not is_theirs:
        return None, ["names a price that is not there, or no rule"]
    priced = read_priced(transfer.pricing or "")
    if priced.held is not None and transfer.kind != Kind.CHARGE:
        return None, ["says that it is above a hold, which only charges are"]
    names, quantities = set(price.names or (REQUESTS,)), priced.total
    numbers = (*quantities.values(), *(priced.held or {}).values())
    if quantities.keys() - names or not all(0 <= number <= QUANTITY_MAX for number in numbers):
        return None, ["its quantities are none that its price has"]
    quote = requote(price, transfer, priced)
    if isinstance(quote, Outcome):
        return None, ["its quantities can't be priced"]
    faults = []
    if quote.amount != transfer.due:
        faults.append(f"the amount is {format_amount(transfer.due)}, its price comes to {format_amount(quote.amount)}")
    told, comes_to = ((one.pricing, one.quantity or 0, one.unit_price) for one in (transfer, quote))
    if told != comes_to:
        faults.append("what it was priced by is not what its price comes to")
    return quote, faults + _time_faults(price, transfer, priced)


def _time_faults(price: Price, transfer: Transfer, priced: Priced) -> list[str]:
    """Compare the time that a transfer was priced by with its window, and with when it was committed."""
    rule = price.rule
    if rule is None or rule.is_timed != (priced.at is not None):
        return ["it names a time where its price has none, or none where it has one"]
    faults = []
    if priced.at is not None and rates_at(rule, priced.at)[0] != priced.window:
        faults.append("it names another window than its time falls in")
    # A book may be ahead of a clock by as much as clocks differ. A capture, and what is above, has its hold's time.
    earliest = transfer.committed_at - REQUESTED_AGO_MICROS_MAX - CLOCK_LAG_MICROS_MAX
    latest = transfer.committed_at + CLOCK_LAG_MICROS_MAX
    is_of_hold = transfer.kind == Kind.CAPTURE or priced.held is not None
    if priced.at is not None and not is_of_hold and not earliest <= priced.at <= latest:
        faults.append("it names a time too far from when it was committed")
    return faults
