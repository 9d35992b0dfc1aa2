"""A quote in words for people: what a request would cost, line by line, and what it goes by."""

from typing import Final

from farebox.core.prices import REQUESTS
from farebox.core.pricing.rules import PeriodUnit
from farebox.presenters.pricing.cost_words import CostLine, CostWords, cost_words, exact_amount
from farebox.presenters.pricing.price_words import window_words
from farebox.presenters.quotes import rates_of
from farebox.service.languages import ENGLISH, Language, gettext_noop
from farebox.service.ledger.quotes import Quoted

_GOES_ON: Final = {
    PeriodUnit.DAY: gettext_noop("goes on from %(counted)s counted before in this day"),
    PeriodUnit.MONTH: gettext_noop("goes on from %(counted)s counted before in this month"),
}


def quote_words(quoted: Quoted, spoken: Language = ENGLISH) -> CostWords:
    """Explain a quote; amounts of a default price that is quoted to nobody are in no currency."""
    price, quote, currency = quoted.price, quoted.quote, quoted.currency or ""
    if price.rule is None or quote.cost is None or quote.priced is None:
        lines: tuple[CostLine, ...] = ()
        if quote.unit_price is not None:
            exact = exact_amount(quote.amount, 1, currency, spoken)
            lines = (CostLine(REQUESTS, quote.quantity, quote.quantity, exact),)
        return CostWords(spoken.amount(quote.amount, currency), lines, ())
    priced = quote.priced
    words = cost_words(price.rule, rates_of(quoted), quote.cost, priced.quantities, currency, spoken)
    notes = []
    if priced.window is not None and price.rule.windows is not None:
        notes.append(window_words(price.rule.windows, priced.window, spoken))
    if price.rule.period is not None:
        before = spoken.listed([f"{spoken.number(units)} {name}" for name, units in sorted(priced.before.items())])
        goes_on = _GOES_ON[price.rule.period.unit]
        notes.append(spoken.gettext(goes_on, counted=before or spoken.gettext("no units")))
    return CostWords(words.amount, words.lines, (*notes, *words.notes))


def asked_words(quoted: Quoted, spoken: Language = ENGLISH) -> str:
    """Say what was asked for: 1,000 input + 350 output."""
    quote = quoted.quote
    quantities = {REQUESTS: quote.quantity} if quote.priced is None else quote.priced.quantities
    named = [f"{spoken.number(quantity)} {name}" for name, quantity in quantities.items() if quantity]
    if not named or set(quantities) == {REQUESTS}:
        return spoken.ngettext("%(count)s request", "%(count)s requests", quote.quantity)
    return " + ".join(named)
