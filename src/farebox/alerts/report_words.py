"""What reports say: a merchant's, and the staff's of all merchants, in sentences and in rows of tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from farebox.alerts.email_address import one_line
from farebox.core.accounts import Kind
from farebox.core.credit.grants import Grant
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.money import divide_rounding_half_up
from farebox.service.date_words import day_words, days_words, month_words
from farebox.service.insight.forecast import spendable_of
from farebox.service.insight.refusal_words import reason_words
from farebox.service.insight.runway_words import in_words
from farebox.service.reports.merchant import MerchantReport, TypeSpend
from farebox.service.reports.periods import Period
from farebox.storage.report_records import ReportKind

TYPES_MAX: Final = 12
"""How many request types a report names; the others are told together."""

REASONS_MAX: Final = 5
"""How many reasons of refusals a report names."""

ENDING_MAX: Final = 5
"""How many grants that end a report names."""

_MOVED: Final = {
    Kind.TOP_UP: "Topped up",
    Kind.TOP_UP_REVERSAL: "Top-ups taken back",
    Kind.ADJUSTMENT_CREDIT: "Adjusted up",
    Kind.ADJUSTMENT_DEBIT: "Adjusted down",
    Kind.GRANT: "Given credit",
    Kind.GRANT_EXPIRY: "Given credit that ended",
}


class Line(Struct, frozen=True):
    """One line of a list: a label and its value."""

    label: str
    value: str


class TypeRow(Struct, frozen=True):
    """What one request type came to, as a row: how many requests, what they took, and what the period before had."""

    name: str
    requests: str
    spent: str
    before: str


class MerchantWords(Struct, frozen=True):
    """What a merchant's report says."""

    title: str
    spent: str
    currency: str
    comparison: str
    before_label: str
    picture: str
    """What the image shows, for those who don't see it."""
    picture_ends: tuple[str, str]
    """What stands below the image, at its left and at its right."""
    balance: Sequence[Line]
    types: Sequence[TypeRow]
    refusals: str
    ending: Sequence[str]
    now: str


def period_words(period: Period) -> str:
    """Name a period: 23 to 29 November 2026, November 2026."""
    if period.kind == ReportKind.MONTHLY:
        return month_words(period.first)
    return days_words(period.first, period.last)


def unit_words(period: Period) -> str:
    """Say what a period is."""
    return "month" if period.kind == ReportKind.MONTHLY else "week"


def merchant_words(report: MerchantReport) -> MerchantWords:
    """Say what a merchant's period came to."""
    currency = report.account.currency
    return MerchantWords(
        title=f"{one_line(report.merchant.name)}: {period_words(report.period)}",
        spent=format_money(report.spent, currency),
        currency=currency,
        comparison=_comparison(report),
        before_label=f"The {unit_words(report.period)} before",
        picture=_picture(report),
        picture_ends=_picture_ends(report),
        balance=_balance(report),
        types=_types(report),
        refusals=_refusals(report),
        ending=_ending(report.ending, report),
        now=_now(report),
    )


def change_words(spent: int, before: int, unit: str) -> str:
    """Compare what was spent with what was spent before; amounts are micros."""
    if before <= 0:
        return f"Nothing was spent the {unit} before." if spent > 0 else f"Nothing was spent the {unit} before either."
    percent = divide_rounding_half_up(abs(spent - before) * 100, before)
    if percent == 0:
        return f"About as much as the {unit} before."
    return f"{percent:,} % {'more' if spent > before else 'less'} than the {unit} before."


def requests_words(count: int) -> str:
    """Count requests."""
    return "1 request" if count == 1 else f"{count:,} requests"


def _comparison(report: MerchantReport) -> str:
    words = change_words(report.spent, report.spent_before, unit_words(report.period))
    return f"By {requests_words(report.requests)}. {words}"


def _picture(report: MerchantReport) -> str:
    """Tell in words what the line shows: where it begins and ends, and its lowest and highest place."""
    amounts = [posted for _, posted in report.history.points]
    lowest, highest = min(amounts), max(amounts)
    words = (
        f"Balance, {period_words(report.period)}: {_money(report, report.opening)} at the start, "
        f"{_money(report, report.closing)} at the end"
    )
    if lowest == highest:
        return f"{words}; it did not change."
    return f"{words}; lowest {_money(report, lowest)}, highest {_money(report, highest)}."


def _picture_ends(report: MerchantReport) -> tuple[str, str]:
    period = report.period
    return (
        f"{day_words(period.first)}: {_money(report, report.opening)}",
        f"{day_words(period.last)}: {_money(report, report.closing)}",
    )


def _balance(report: MerchantReport) -> list[Line]:
    """Tell how the balance went from the start to the end: its lines add up."""
    lines = [Line("Balance at the start", _money(report, report.opening))]
    lines += [Line(_MOVED[kind], _money(report, amount)) for kind, amount in report.moved if amount]
    lines.append(Line("Spent", _money(report, -report.spent)))
    lines.append(Line("Balance at the end", _money(report, report.closing)))
    return lines


def _types(report: MerchantReport) -> list[TypeRow]:
    rows = [_type_row(item.request_type, [item], report) for item in report.types[:TYPES_MAX]]
    others = report.types[TYPES_MAX:]
    if others:
        rows.append(_type_row(f"{len(others):,} other types" if len(others) > 1 else "1 other type", others, report))
    return rows


def _type_row(name: str, items: Sequence[TypeSpend], report: MerchantReport) -> TypeRow:
    currency = report.account.currency
    return TypeRow(
        name,
        f"{sum(item.requests for item in items):,}",
        format_money(sum(item.spent for item in items), currency),
        format_money(sum(item.spent_before for item in items), currency),
    )


def _refusals(report: MerchantReport) -> str:
    count = report.refused_count
    if report.refused is None or count is None:
        return "How many requests were refused is not known any more."
    if not count:
        return "No request was refused."
    reasons = [f"{line.requests:,} ({reason_words(line.reason)})" for line in report.refused[:REASONS_MAX]]
    words = f"{requests_words(count)} {'was' if count == 1 else 'were'} refused: {', '.join(reasons)}"
    rest = count - sum(line.requests for line in report.refused[:REASONS_MAX])
    words += f", {rest:,} for other reasons." if rest else "."
    if report.refused_before is None:
        return words
    return f"{words} The {unit_words(report.period)} before it was {report.refused_before:,}."


def _ending(grants: Sequence[Grant], report: MerchantReport) -> list[str]:
    lines = []
    for grant in grants[:ENDING_MAX]:
        day = datetime.fromtimestamp((grant.expires_at or 0) // 1_000_000, report.zone).date()
        lines.append(f"{_money(report, grant.left)} of given credit ends on {day_words(day)}.")
    if len(grants) > ENDING_MAX:
        lines.append(f"And {len(grants) - ENDING_MAX:,} more.")
    return lines


def _now(report: MerchantReport) -> str:
    """Tell how the balance stands as the mail is written, and how long it lasts."""
    if report.account.closed_at is not None:
        return "The account is closed."
    words = f"Now the balance is {_money(report, report.account.posted)}"
    if report.runway is None:
        return f"{words}."
    if spendable_of(report.account) <= 0:
        return f"{words}: it is used up."
    return f"{words}, which lasts {in_words(report.runway, report.zone)}."


def _money(report: MerchantReport, micros: int) -> str:
    return format_money_with_code(micros, report.account.currency)
