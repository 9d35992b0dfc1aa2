"""What a request would cost: a part of pages with prices, worked out as quantities are typed, or by a button."""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.prices import REQUESTS, Price
from farebox.core.pricing.rules import QUANTITY_MAX
from farebox.presenters.pricing.cost_words import CostWords
from farebox.presenters.pricing.quote_words import asked_words, quote_words
from farebox.service.errors import ServiceError
from farebox.service.languages import ENGLISH
from farebox.service.ledger.quotes import QuoteAsked
from farebox.web.pages.form_messages import in_language
from farebox.web.pages.forms import sentence
from farebox.web.pages.request import PageRequest

TYPES_MAX: Final = 200
"""So many request types stand in a list to choose from; of more, one is typed."""

_PREFIX: Final = "of-"
_SAMPLE_UNITS: Final = 1_000
"""How much of each line is tried at first."""

_SIGNS: Final = " ,._'\u2019\u00a0\u202f"
_NUMBER: Final = re.compile(f"[0-9]{{1,3}}(?:[{_SIGNS}]?[0-9]{{3}})*|[0-9]{{1,13}}", re.ASCII)
"""A whole number, its thousands apart as any language writes them: it has no decimals that could be meant."""


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
    spoken, types = request.language, sorted(prices)
    name = request.query("type", types[0])
    price = prices.get(name)
    if price is None:
        return Calculator(
            page, types, name, (), spoken.gettext("There is no price to work out for %(type)s.", type=repr(name[:200]))
        )
    fields = _fields(request, price)
    if any(field.error for field in fields):
        return Calculator(page, types, name, fields)
    quantities = {field.name: _number(field.typed) for field in fields if field.typed}
    try:
        quoted = await request.services.quotes.quote(QuoteAsked(name, quantities=quantities or None), merchant_id)
    except ServiceError as error:
        return Calculator(page, types, name, fields, f"{in_language(sentence(error.message), spoken)}.")
    return Calculator(
        *(page, types, name, fields),
        asked=asked_words(quoted, spoken),
        currency=quoted.currency or "",
        cost=quote_words(quoted, spoken),
    )


def _fields(request: PageRequest, price: Price) -> Sequence[QuantityField]:
    """Read what was typed for each line of a price; a sample, if nothing was."""
    typed = {name: request.query(_PREFIX + name).strip() for name in price.names}
    if not any(typed.values()):
        sample = f"{_SAMPLE_UNITS:,}" if request.language is ENGLISH else str(_SAMPLE_UNITS)
        typed = {name: "1" if name == REQUESTS else sample for name in typed}
    wrong = request.language.gettext(
        "Write a whole number, at most %(count)s.", count=request.language.number(QUANTITY_MAX)
    )
    return [
        QuantityField(name, _PREFIX + name, text, "" if not text or _is_number(text) else wrong)
        for name, text in typed.items()
    ]


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None and _number(text) <= QUANTITY_MAX


def _number(text: str) -> int:
    return int(re.sub(f"[{_SIGNS}]", "", text))
