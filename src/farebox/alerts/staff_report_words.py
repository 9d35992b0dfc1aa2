"""What the staff's reports say of all merchants: lists with a heading each, and a sentence where a list is empty."""

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.alerts.email_address import one_line
from farebox.alerts.report_words import REASONS_MAX, Line, change_words, period_words, requests_words, unit_words
from farebox.core import ids
from farebox.core.currencies import format_money_with_code
from farebox.service.insight.refusal_words import reason_words
from farebox.service.insight.runway_words import in_words
from farebox.service.operator.console import MerchantRow
from farebox.service.reports.staff import CurrencyFigures, SpendOf, StaffReport
from farebox.storage.report_records import FailedDelivery

FAILED_MAX: Final = 10
"""How many merchants' failed deliveries a report names."""

_CHANNELS: Final = {0: "account mails", 1: "alert mails", 2: "webhooks", 3: "chat messages"}


class MerchantLine(Struct, frozen=True):
    """A merchant in a list, where it is at the console, and what is told of it."""

    name: str
    path: str
    value: str


class Section(Struct, frozen=True):
    """A part of the report: its heading, sentences, and merchants."""

    title: str
    sentences: Sequence[str] = ()
    merchants: Sequence[MerchantLine] = ()


class StaffWords(Struct, frozen=True):
    """What a report of all merchants says."""

    title: str
    totals: Sequence[Line]
    """What was spent in each currency, and how that compares."""
    sections: Sequence[Section]


def staff_words(report: StaffReport, soon: Sequence[MerchantRow], names: Mapping[int, str], *, now: int) -> StaffWords:
    """Say what all merchants' period came to.

    Args:
        report: the figures.
        soon: those whose money is used up or runs out soon, the soonest first.
        names: of the merchants whose deliveries failed.
        now: microseconds since 1970.
    """
    unit = unit_words(report.period)
    return StaffWords(
        title=f"All merchants: {period_words(report.period)}",
        totals=[_total(figures, unit) for figures in report.currencies],
        sections=[
            _runs_out(soon, report.zone, now),
            *_grew(report, unit),
            *_stopped(report, unit),
            _refused(report),
            _uncollected(report),
            _failed(report, names),
        ],
    )


def _total(figures: CurrencyFigures, unit: str) -> Line:
    spent = format_money_with_code(figures.spent, figures.currency)
    merchants = "1 merchant" if figures.active_count == 1 else f"{figures.active_count:,} merchants"
    return Line(figures.currency, f"{spent} by {merchants}. {change_words(figures.spent, figures.spent_before, unit)}")


def _runs_out(soon: Sequence[MerchantRow], zone: ZoneInfo, now: int) -> Section:
    title = "Who runs out"
    if not soon:
        return Section(title, ["Nobody's money is used up, or will be within a week."])
    lines = []
    for row in soon:
        balance = format_money_with_code(row.account.posted, row.account.currency)
        runway = in_words(row.runway(now), zone)
        lines.append(_merchant(row.merchant.name, row.merchant.merchant_id, f"{balance}: {runway or 'used up'}"))
    return Section(title, (), lines)


def _grew(report: StaffReport, unit: str) -> list[Section]:
    title = "Who grew"
    if not any(figures.grew for figures in report.currencies):
        return [Section(title, [f"Nobody spent more than the {unit} before."])]
    return [
        Section(
            _titled(title, figures, report),
            _more(figures.grew_count, figures.grew),
            [_spend_line(item, f"{_change(item)} more") for item in figures.grew],
        )
        for figures in report.currencies
        if figures.grew
    ]


def _stopped(report: StaffReport, unit: str) -> list[Section]:
    title = "Who stopped"
    if not any(figures.stopped for figures in report.currencies):
        return [Section(title, [f"Everybody who spent the {unit} before spent again."])]
    return [
        Section(
            _titled(title, figures, report),
            _more(figures.stopped_count, figures.stopped),
            [
                _merchant(
                    item.merchant.name,
                    item.merchant.merchant_id,
                    f"nothing after {format_money_with_code(item.spend.spent_before, item.spend.currency)}",
                )
                for item in figures.stopped
            ],
        )
        for figures in report.currencies
        if figures.stopped
    ]


def _titled(title: str, figures: CurrencyFigures, report: StaffReport) -> str:
    return title if len(report.currencies) == 1 else f"{title}, {figures.currency}"


def _more(count: int, listed: Sequence[SpendOf]) -> list[str]:
    rest = count - len(listed)
    return [f"These are the first {len(listed):,} of {count:,}."] if rest else []


def _change(item: SpendOf) -> str:
    return format_money_with_code(item.change, item.spend.currency)


def _spend_line(item: SpendOf, words: str) -> MerchantLine:
    spent = format_money_with_code(item.spend.spent, item.spend.currency)
    return _merchant(item.merchant.name, item.merchant.merchant_id, f"{spent}, {words}")


def _refused(report: StaffReport) -> Section:
    title = "Refused requests"
    if report.refused is None:
        return Section(title, ["How many requests were refused is not known any more."])
    count = report.refused_count
    if not count:
        return Section(title, ["No request was refused."])
    reasons = [f"{line.requests:,} ({reason_words(line.reason)})" for line in report.refused[:REASONS_MAX]]
    words = f"{requests_words(count)} {'was' if count == 1 else 'were'} refused: {', '.join(reasons)}"
    rest = count - sum(line.requests for line in report.refused[:REASONS_MAX])
    return Section(
        title,
        [f"{words}, {rest:,} for other reasons." if rest else f"{words}."],
        [
            _merchant(item.merchant.name, item.merchant.merchant_id, requests_words(item.requests))
            for item in report.most_refused
        ],
    )


def _uncollected(report: StaffReport) -> Section:
    sentences = []
    for line in report.uncollected:
        amount = format_money_with_code(line.amount, line.currency)
        if line.is_top_up:
            what = "1 top-up that was" if line.count == 1 else f"{line.count:,} top-ups that were"
            sentences.append(f"{amount} could not be taken back of {what} spent already.")
        else:
            sentences.append(f"{amount} of {requests_words(line.count)} could not be taken.")
    return Section("Uncollected", sentences or ["Everything that was due was taken."])


def _failed(report: StaffReport, names: Mapping[int, str]) -> Section:
    title = "Failed deliveries"
    if not report.failed:
        return Section(title, ["Everything that was owed to people was delivered, or waits."])
    channels: dict[int, int] = {}
    for line in report.failed:
        channels[line.channel] = channels.get(line.channel, 0) + line.count
    told = ", ".join(f"{count:,} {_CHANNELS[channel]}" for channel, count in sorted(channels.items()))
    most = sorted(report.failed, key=lambda item: (-item.count, item.channel, item.merchant_id))
    named = [item for item in most if item.merchant_id][:FAILED_MAX]
    return Section(title, [f"Given up: {told}."], [_failed_line(item, names) for item in named])


def _failed_line(failed: FailedDelivery, names: Mapping[int, str]) -> MerchantLine:
    reason = one_line(failed.reason)
    words = f"{failed.count:,} {_CHANNELS[failed.channel]}" + (f": {reason}" if reason else "")
    return _merchant(names.get(failed.merchant_id, ""), failed.merchant_id, words)


def _merchant(name: str, merchant_id: int, value: str) -> MerchantLine:
    public_id = ids.public_id(ids.MERCHANT, merchant_id)
    return MerchantLine(one_line(name) or public_id, f"/support/merchants/{public_id}", value)
