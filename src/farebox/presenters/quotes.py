"""A quote in JSON: what a request would cost, line by line, with the exact fraction and how it is rounded."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Final

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.money import MICROS_PER_UNIT, format_amount
from farebox.core.prices import REQUESTS
from farebox.core.pricing.rules import Direction, Rates, Rule
from farebox.presenters.fields import AMOUNT_OUT, Amount, RequestType, Time, time_or_none
from farebox.service import inputs
from farebox.service.ledger.quotes import Quoted

Exact = Annotated[
    str,
    Meta(
        description="Exactly, in units of the currency: a whole number, or a fraction in lowest terms.",
        examples=["93/20000000"],
        extra_json_schema={"pattern": "^[0-9]+(/[0-9]+)?$"},
    ),
]

_NO_RULE: Final = Rule(Rates())


class QuoteLineData(Struct, frozen=True, rename="camel"):
    """What one line of the price comes to."""

    name: Annotated[str, Meta(examples=["input"])]
    quantity: Annotated[int, Meta(description="How much was named.", examples=[1200])]
    units: Annotated[
        int, Meta(description="How many units are charged or counted, after atLeast and block.", examples=[1200])
    ]
    exact: Exact


class RoundingData(Struct, frozen=True, rename="camel"):
    """How the sum is rounded, once."""

    step: Annotated[
        str, Meta(description="What a cost is a multiple of.", examples=["0.000001"], extra_json_schema=AMOUNT_OUT)
    ]
    direction: Annotated[
        str,
        Meta(
            description="Where a fraction of a step goes.",
            examples=[Direction.UP.value],
            extra_json_schema={"enum": [direction.value for direction in Direction]},
        ),
    ]


class QuotePeriodData(Struct, frozen=True, rename="camel"):
    """The day or month over which the merchant's units are counted."""

    starts_at: Time
    before: Annotated[
        dict[str, int],
        Meta(
            description="The units counted before, by line; none of a line that is absent.", examples=[{"input": 950}]
        ),
    ]


class QuoteData(Struct, frozen=True, rename="camel"):
    """What a charge would cost: the base and all lines, or the minimum if that is more, rounded once."""

    type: RequestType
    price_id: Annotated[str, Meta(description="The version of the price.", examples=["price_01K9ABCDEFGHJ"])]
    is_own: Annotated[
        bool, Meta(description="Whether it is the merchant's own price, and not the default.", examples=[False])
    ]
    currency: Annotated[
        str | None,
        Meta(description="Null for a default price that is quoted to no merchant.", examples=["USD"]),
    ]
    amount: Amount
    exact: Exact
    lines: list[QuoteLineData]
    base: Annotated[str, Meta(description="The fee for each request.", examples=["0.00"], extra_json_schema=AMOUNT_OUT)]
    minimum: Annotated[
        str, Meta(description="The least that a request costs.", examples=["0.00"], extra_json_schema=AMOUNT_OUT)
    ]
    rounding: RoundingData
    tier: Annotated[
        int | None, Meta(description="The number of the tier that applied, from 1; null if none did.", examples=[1])
    ]
    window: Annotated[
        int | None,
        Meta(description="The number of the window that applied, from 1; null outside of all.", examples=[None]),
    ]
    period: QuotePeriodData | None
    at: Annotated[Time, Meta(description="The time by which window and period were chosen.")]


def quote_data(quoted: Quoted) -> QuoteData:
    """Tell of a quote."""
    price, quote = quoted.price, quoted.quote
    rule = price.rule or _NO_RULE
    rates = rates_of(quoted)
    priced, cost = quote.priced, quote.cost
    starts_at = time_or_none(quoted.period_starts_at)
    return QuoteData(
        type=price.request_type,
        price_id=ids.public_id(ids.PRICE, price.price_id),
        is_own=price.merchant_id is not None,
        currency=quoted.currency,
        amount=format_amount(quote.amount),
        exact=_exact(quote.amount) if cost is None else _exact(cost.numerator, cost.denominator),
        lines=_lines(quoted),
        base=format_amount(rates.base),
        minimum=format_amount(rates.minimum),
        rounding=RoundingData(format_amount(rule.step), rule.direction.value),
        tier=None if priced is None else priced.tier,
        window=None if priced is None else priced.window,
        period=None if starts_at is None or priced is None else QuotePeriodData(starts_at, dict(priced.before)),
        at=inputs.format_time(quoted.at),
    )


def rates_of(quoted: Quoted) -> Rates:
    """Tell the rates that a quote was worked out by; none of a price without a rule."""
    rule, priced = quoted.price.rule, quoted.quote.priced
    if rule is None or priced is None:
        return _NO_RULE.rates
    return rule.every_rates[priced.window or 0]


def _lines(quoted: Quoted) -> list[QuoteLineData]:
    quote = quoted.quote
    if quote.cost is None or quote.priced is None:
        if quote.unit_price is None:
            return []
        return [QuoteLineData(REQUESTS, quote.quantity, quote.quantity, _exact(quote.amount))]
    quantities: Mapping[str, int] = quote.priced.quantities
    return [
        QuoteLineData(line.name, quantities.get(line.name, 0), line.units, _exact(line.numerator, line.denominator))
        for line in quote.cost.lines
    ]


def _exact(numerator: int, denominator: int = 1) -> str:
    """Write a fraction of micros as one of the currency's unit."""
    return str(Fraction(numerator, denominator * MICROS_PER_UNIT))
