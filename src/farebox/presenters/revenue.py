"""A month's revenue: what its lines are called, as JSON, and as CSV for a spreadsheet."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from msgspec import Meta, Struct

from farebox.core.money import format_amount
from farebox.presenters.fields import AMOUNT_OUT, RequestType, Time
from farebox.service import inputs
from farebox.service.csv_files import csv_lines, defused
from farebox.service.insight.revenue import CurrencyRevenue, MonthRevenue, TypeRevenue, net

CSV_COLUMNS: Final = ("month", "currency", "part", "line", "type", "amount")


def _amount(description: str) -> Meta:
    return Meta(description=description, examples=["120.00"], extra_json_schema=AMOUNT_OUT)


class PaidData(Struct, frozen=True, rename="camel"):
    """Paid money of all merchants.

    Opening + paidIn - takenBack + adjustedUp - adjustedDown - consumed + refunded is closing.
    """

    opening: Annotated[str, _amount("What they had when the month began, less what was drawn on credit limits.")]
    paid_in: Annotated[str, _amount("Top-ups.")]
    taken_back: Annotated[str, _amount("Top-ups that were reversed, as far as they were taken back.")]
    adjusted_up: Annotated[str, _amount("Adjustments that gave.")]
    adjusted_down: Annotated[str, _amount("Adjustments that took.")]
    consumed: Annotated[str, _amount("What requests took of it.")]
    refunded: Annotated[str, _amount("What refunds gave back of it.")]
    closing: Annotated[str, _amount("What they had when the month ended.")]


class GivenData(Struct, frozen=True, rename="camel"):
    """Given credit of all merchants: opening + granted - ended - consumed + refunded is closing."""

    opening: Annotated[str, _amount("What they had when the month began.")]
    granted: Annotated[str, _amount("Grants that started.")]
    ended: Annotated[str, _amount("What was left of grants when they ended.")]
    consumed: Annotated[str, _amount("What requests took of it.")]
    refunded: Annotated[str, _amount("What refunds gave back of it.")]
    closing: Annotated[str, _amount("What they had when the month ended.")]


class TypeRevenueData(Struct, frozen=True, rename="camel"):
    """What one request type came to."""

    type: RequestType
    consumed_paid: Annotated[str, _amount("What requests took of paid money.")]
    consumed_given: Annotated[str, _amount("What requests took of given credit.")]
    refunded_paid: Annotated[str, _amount("What refunds gave back of paid money.")]
    refunded_given: Annotated[str, _amount("What refunds gave back of given credit.")]
    uncollected: Annotated[str, _amount("What requests were due and was not there to be taken.")]


class CurrencyRevenueData(Struct, frozen=True, rename="camel"):
    """What all merchants of one currency came to in a month."""

    currency: Annotated[str, Meta(examples=["USD"])]
    paid: PaidData
    given: GivenData
    types: Annotated[Sequence[TypeRevenueData], Meta(description="By request type, in order of name.")]
    recognised: Annotated[str, _amount("What became revenue: paid money consumed, less refunded.")]
    deferred: Annotated[str, _amount("What is owed to merchants at the month's end: paid money, wallets and holds.")]
    receivable: Annotated[str, _amount("What merchants had drawn on credit limits at the month's end.")]
    uncollected: Annotated[str, _amount("What requests were due and was not there to be taken.")]
    not_taken_back: Annotated[str, _amount("What reversed top-ups had spent already, and merchants owe since.")]
    owed: Annotated[str, _amount("What merchants owed of reversed top-ups at the month's end.")]
    is_reconciled: Annotated[
        bool, Meta(description="Whether the lines lead to what the books say that merchants have.", examples=[True])
    ]


class MonthRevenueData(Struct, frozen=True, rename="camel"):
    """A month's revenue, in UTC."""

    month: Annotated[str, Meta(examples=["2026-11"])]
    starts_at: Time
    ends_at: Annotated[Time, Meta(description="When the next month starts.")]
    is_final: Annotated[bool, Meta(description="Whether it is over, so that nothing of it changes.", examples=[True])]
    currencies: Sequence[CurrencyRevenueData]


def month_revenue_data(revenue: MonthRevenue) -> MonthRevenueData:
    """Write a month's revenue."""
    return MonthRevenueData(
        str(revenue.month),
        inputs.format_time(revenue.month.starts_at),
        inputs.format_time(revenue.month.ends_at),
        revenue.is_final,
        [_currency_data(currency) for currency in revenue.currencies],
    )


def month_revenue_csv(revenue: MonthRevenue) -> bytes:
    """Write a month's revenue as CSV: what lowers a balance is negative, so that each part's lines add up."""
    rows = [
        (str(revenue.month), currency.currency, part, line, defused(request_type), format_amount(micros))
        for currency in revenue.currencies
        for part, line, request_type, micros in _lines(currency)
    ]
    return csv_lines([CSV_COLUMNS, *rows])


def _lines(revenue: CurrencyRevenue) -> Iterator[tuple[str, str, str, int]]:
    """List the lines of a currency: part, name, request type and signed micros."""
    types = revenue.types
    yield ("paid", "opening", "", net(revenue.opening))
    yield ("paid", "paid_in", "", revenue.paid_in)
    yield ("paid", "taken_back", "", -revenue.taken_back)
    yield ("paid", "adjusted_up", "", revenue.adjusted_up)
    yield ("paid", "adjusted_down", "", -revenue.adjusted_down)
    yield from (("paid", "consumed", each.request_type, -each.consumed_paid) for each in types)
    yield from (("paid", "refunded", each.request_type, each.refunded_paid) for each in types)
    yield ("paid", "closing", "", net(revenue.closing))
    yield ("given", "opening", "", revenue.opening.given)
    yield ("given", "granted", "", revenue.granted)
    yield ("given", "ended", "", -revenue.ended)
    yield from (("given", "consumed", each.request_type, -each.consumed_given) for each in types)
    yield from (("given", "refunded", each.request_type, each.refunded_given) for each in types)
    yield ("given", "closing", "", revenue.closing.given)
    yield from (("revenue", "recognised", each.request_type, each.recognised) for each in types)
    yield from (("due", "uncollected", each.request_type, each.uncollected) for each in types)
    yield ("due", "not_taken_back", "", revenue.not_taken_back)
    yield ("end", "deferred", "", revenue.closing.paid)
    yield ("end", "receivable", "", revenue.closing.drawn)
    yield ("end", "owed", "", revenue.closing.owed)


def _currency_data(revenue: CurrencyRevenue) -> CurrencyRevenueData:
    return CurrencyRevenueData(
        revenue.currency,
        PaidData(
            format_amount(net(revenue.opening)),
            format_amount(revenue.paid_in),
            format_amount(revenue.taken_back),
            format_amount(revenue.adjusted_up),
            format_amount(revenue.adjusted_down),
            format_amount(revenue.consumed_paid),
            format_amount(revenue.refunded_paid),
            format_amount(net(revenue.closing)),
        ),
        GivenData(
            format_amount(revenue.opening.given),
            format_amount(revenue.granted),
            format_amount(revenue.ended),
            format_amount(revenue.consumed_given),
            format_amount(revenue.refunded_given),
            format_amount(revenue.closing.given),
        ),
        [_type_data(each) for each in revenue.types],
        format_amount(revenue.recognised),
        format_amount(revenue.closing.paid),
        format_amount(revenue.closing.drawn),
        format_amount(revenue.uncollected),
        format_amount(revenue.not_taken_back),
        format_amount(revenue.closing.owed),
        revenue.is_reconciled,
    )


def _type_data(revenue: TypeRevenue) -> TypeRevenueData:
    return TypeRevenueData(
        revenue.request_type,
        format_amount(revenue.consumed_paid),
        format_amount(revenue.consumed_given),
        format_amount(revenue.refunded_paid),
        format_amount(revenue.refunded_given),
        format_amount(revenue.uncollected),
    )
