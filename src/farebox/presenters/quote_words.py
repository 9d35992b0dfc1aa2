"""A quote in words for people: what a request would cost, line by line, and what it goes by."""

from farebox.core.currencies import format_money
from farebox.core.prices import REQUESTS
from farebox.presenters.cost_words import CostLine, CostWords, cost_words, exact_amount
from farebox.presenters.price_words import window_words
from farebox.presenters.quotes import rates_of
from farebox.service.ledger.quotes import Quoted


def quote_words(quoted: Quoted) -> CostWords:
    """Explain a quote; amounts of a default price that is quoted to nobody are in no currency."""
    price, quote, currency = quoted.price, quoted.quote, quoted.currency or ""
    if price.rule is None or quote.cost is None or quote.priced is None:
        lines: tuple[CostLine, ...] = ()
        if quote.unit_price is not None:
            exact = exact_amount(quote.amount, 1, currency)
            lines = (CostLine(REQUESTS, quote.quantity, quote.quantity, exact),)
        return CostWords(format_money(quote.amount, currency), lines, ())
    priced = quote.priced
    words = cost_words(price.rule, rates_of(quoted), quote.cost, priced.quantities, currency)
    notes = []
    if priced.window is not None and price.rule.windows is not None:
        notes.append(window_words(price.rule.windows, priced.window))
    if price.rule.period is not None:
        before = " and ".join(f"{units:,} {name}" for name, units in sorted(priced.before.items()))
        notes.append(f"goes on from {before or 'no units'} counted before in this {price.rule.period.unit}")
    return CostWords(words.amount, words.lines, (*notes, *words.notes))


def asked_words(quoted: Quoted) -> str:
    """Say what was asked for: 1,000 input + 350 output."""
    quote = quoted.quote
    quantities = {REQUESTS: quote.quantity} if quote.priced is None else quote.priced.quantities
    named = [f"{quantity:,} {name}" for name, quantity in quantities.items() if quantity]
    if not named or set(quantities) == {REQUESTS}:
        return "1 request" if quote.quantity == 1 else f"{quote.quantity:,} requests"
    return " + ".join(named)
