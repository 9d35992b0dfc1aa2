"""What a request would cost: a part of pages with prices, worked out as quantities are typed, or by a button."""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.prices import REQUESTS, Price
from farebox.core.pricing.rules import QUANTITY_MAX
from farebox.presenters.cost_words import CostWords
from farebox.presenters.quote_words import asked_words, quote_words
from farebox.service.errors import ServiceError
from farebox.service.ledger.quotes import QuoteAsked
from farebox.web.pages.request import PageRequest

TYPES_MAX: Final = 200
"""So many request types stand in a list to choose from; of more, one is typed."""

_PREFIX: Final = "of-"
_SAMPLE_UNITS: Final = 1_000
"""How much of each line is tried at first."""

_NUMBER: Final = re.compile("[0-9]{1,3}(?:[ ,_]?[0-9]{3})*|[0-9]{1,13}", re.ASCII)


class QuantityField(Struct, frozen=True):
    """Where the quantity of one line is typed."""

    name: str
    parameter: str
    typed: str
    error: str = ""


class Calculator(Struct, frozen=True):
    """The types to choose from, the quantities of the one that was chosen, and what they would cost, or what is wrong.

    `page` is where it is asked for.
    """

    page: str
    types: Sequence[str]
    request_type: str
    fields: Sequence[QuantityField]
    error: str = ""
    asked: str = ""
    currency: str = ""
    cost: CostWords | None = None
    types_max: int = TYPES_MAX


async def calculator(
    request: PageRequest, page: str, in_force: Sequence[Price], merchant_id: int | None
) -> Calculator | None:
    """Work out what the page's query asks for, at first a sample; None if no price has anything to work out.

    Args:
        request: asks for the page.
        page: where the calculator is asked for.
        in_force: the prices to choose from.
        merchant_id: whom it would cost that; None for the default prices.
    """
    prices = {price.request_type: price for price in in_force if not price.is_variable}
    if not prices:
        return None
    types = sorted(prices)
    name = request.query("type", types[0])
    price = prices.get(name)
    if price is None:
        return Calculator(page, types, name, (), f"There is no price to work out for {name[:200]!r}.")
    fields = _fields(request, price)
    if any(field.error for field in fields):
        return Calculator(page, types, name, fields)
    quantities = {field.name: _number(field.typed) for field in fields if field.typed}
    try:
        quoted = await request.services.quotes.quote(QuoteAsked(name, quantities=quantities or None), merchant_id)
    except ServiceError as error:
        return Calculator(page, types, name, fields, f"{error.message}.")
    return Calculator(
        *(page, types, name, fields),
        asked=asked_words(quoted),
        currency=quoted.currency or "",
        cost=quote_words(quoted),
    )


def _fields(request: PageRequest, price: Price) -> Sequence[QuantityField]:
    """Read what was typed for each line of a price; a sample, if nothing was."""
    typed = {name: request.query(_PREFIX + name).strip() for name in price.names}
    if not any(typed.values()):
        typed = {name: "1" if name == REQUESTS else f"{_SAMPLE_UNITS:,}" for name in typed}
    return [
        QuantityField(name, _PREFIX + name, text, "" if not text or _is_number(text) else _WRONG)
        for name, text in typed.items()
    ]


_WRONG: Final = f"Write a whole number, at most {QUANTITY_MAX:,}."


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and _number(text) <= QUANTITY_MAX


def _number(text: str) -> int:
    return int(re.sub("[ ,_]", "", text))
