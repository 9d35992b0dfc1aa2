"""What the staff's reports say of all merchants: lists with a heading each, and a sentence where a list is empty."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.alerts.alert_words import Fact
from farebox.alerts.email_address import one_line
from farebox.alerts.report_words import change_words, period_words, phrases_of, refusals_words
from farebox.core import ids
from farebox.service.insight.runway_words import in_words
from farebox.service.languages import Language, gettext_noop
from farebox.service.operator.console import MerchantRow
from farebox.service.reports.staff import CurrencyFigures, SpendOf, StaffReport
from farebox.storage.destination_records import Channel

FAILED_MAX: Final = 10
"""How many merchants' failed deliveries a report names."""

_ACCOUNT_MAILS: Final = 0
"""What failed deliveries have for account mails, which no channel of an alert is."""

_CHANNELS: Final[Mapping[int, str]] = {
    _ACCOUNT_MAILS: gettext_noop("Account mails: %(count)s"),
    Channel.EMAIL: gettext_noop("Alert mails: %(count)s"),
    Channel.WEBHOOK: gettext_noop("Webhooks: %(count)s"),
    Channel.CHAT: gettext_noop("Chat messages: %(count)s"),
}


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
    """What a report of all merchants says. `totals` are what was spent in each currency, and how that compares."""

    period: str
    totals: Sequence[Fact]
    sections: Sequence[Section]
    why: str


def staff_words(
    report: StaffReport, soon: Sequence[MerchantRow], names: Mapping[int, str], language: Language, *, now: int
) -> StaffWords:
    """Say what all merchants' period came to.

    Args:
        report: the figures.
        soon: those whose money is used up or runs out soon, the soonest first.
        names: of the merchants whose deliveries failed.
        language: what it is written in.
        now: microseconds since 1970.
    """
    writer = _StaffWriter(report, language)
    return StaffWords(
        period=period_words(report.period, language),
        totals=[writer.total(figures) for figures in report.currencies],
        sections=[
            writer.runs_out(soon, now),
            *writer.grew(),
            *writer.stopped(),
            writer.refused(),
            writer.uncollected(),
            writer.failed(names),
        ],
        why=language.gettext(phrases_of(report.period).why),
    )


class _StaffWriter:
    """Writes the parts of one report."""

    def __init__(self, report: StaffReport, language: Language) -> None:
        self._report = report
        self._phrases = phrases_of(report.period)
        self._language = language

    def total(self, figures: CurrencyFigures) -> Fact:
        language = self._language
        merchants = language.ngettext(
            "%(amount)s by %(count)s merchant",
            "%(amount)s by %(count)s merchants",
            figures.active_count,
            amount=language.money(figures.spent, figures.currency),
        )
        change = change_words(figures.spent, figures.spent_before, self._phrases, language)
        return Fact(figures.currency, merchants, change)

    def runs_out(self, soon: Sequence[MerchantRow], now: int) -> Section:
        _, title = self._language.gettext, self._language.gettext("Who runs out")
        if not soon:
            return Section(title, [_("Nobody's money is used up, or will be within a week.")])
        lines = []
        for row in soon:
            balance = self._language.money(row.account.posted, row.account.currency)
            runway = in_words(row.runway(now), self._report.zone, self._language) or ""
            words = _("%(amount)s, lasts %(runway)s", amount=balance, runway=runway)
            lines.append(_merchant(row.merchant.name, row.merchant.merchant_id, words))
        return Section(title, (), lines)

    def grew(self) -> list[Section]:
        _ = self._language.gettext

        def line(item: SpendOf) -> str:
            currency = item.spend.currency
            spent, change = (self._language.money(micros, currency) for micros in (item.spend.spent, item.change))
            return _("%(amount)s, %(change)s more", amount=spent, change=change)

        lists = [(figures, figures.grew, figures.grew_count) for figures in self._report.currencies]
        return self._lists(_("Who grew"), _(self._phrases.nobody_grew), lists, line)

    def stopped(self) -> list[Section]:
        _ = self._language.gettext

        def line(item: SpendOf) -> str:
            before = self._language.money(item.spend.spent_before, item.spend.currency)
            return _("nothing, after %(amount)s", amount=before)

        lists = [(figures, figures.stopped, figures.stopped_count) for figures in self._report.currencies]
        return self._lists(_("Who stopped"), _(self._phrases.nobody_stopped), lists, line)

    def _lists(
        self,
        title: str,
        nobody: str,
        lists: Sequence[tuple[CurrencyFigures, Sequence[SpendOf], int]],
        line: Callable[[SpendOf], str],
    ) -> list[Section]:
        """List merchants, those of each currency by themselves."""
        sections = []
        for figures, items, count in lists:
            if items:
                rest = count - len(items)
                more = [self._language.ngettext("And %(count)s more.", "And %(count)s more.", rest)] if rest else []
                name = title if len(self._report.currencies) == 1 else f"{title} ({figures.currency})"
                merchants = [_merchant(item.merchant.name, item.merchant.merchant_id, line(item)) for item in items]
                sections.append(Section(name, more, merchants))
        return sections or [Section(title, [nobody])]

    def refused(self) -> Section:
        language, report = self._language, self._report
        title = language.gettext("Refused requests")
        if report.refused is None:
            return Section(title, [language.gettext("How many requests were refused is not known any more.")])
        return Section(
            title,
            [refusals_words(report.refused, language)],
            [
                _merchant(
                    item.merchant.name,
                    item.merchant.merchant_id,
                    language.ngettext("%(count)s request", "%(count)s requests", item.requests),
                )
                for item in report.most_refused
            ],
        )

    def uncollected(self) -> Section:
        language, sentences = self._language, []
        for line in self._report.uncollected:
            amount = language.money(line.amount, line.currency)
            if line.is_top_up:
                sentences.append(
                    language.ngettext(
                        "%(amount)s could not be taken back of %(count)s top-up.",
                        "%(amount)s could not be taken back of %(count)s top-ups.",
                        line.count,
                        amount=amount,
                    )
                )
            else:
                sentences.append(
                    language.ngettext(
                        "%(amount)s of %(count)s request could not be taken.",
                        "%(amount)s of %(count)s requests could not be taken.",
                        line.count,
                        amount=amount,
                    )
                )
        everything = language.gettext("Everything that was due was taken.")
        return Section(language.gettext("Uncollected"), sentences or [everything])

    def failed(self, names: Mapping[int, str]) -> Section:
        _, report = self._language.gettext, self._report
        title = _("Failed deliveries")
        if not report.failed:
            return Section(title, [_("Everything that was owed to people was delivered, or waits.")])
        channels: dict[int, int] = {}
        for line in report.failed:
            channels[line.channel] = channels.get(line.channel, 0) + line.count
        most = sorted(report.failed, key=lambda item: (-item.count, item.channel, item.merchant_id))
        lines = []
        for item in [item for item in most if item.merchant_id][:FAILED_MAX]:
            name, reason = names.get(item.merchant_id, ""), one_line(item.reason)
            words = self._channel(item.channel, item.count)
            lines.append(_merchant(name, item.merchant_id, f"{words} ({reason})" if reason else words))
        return Section(title, [self._channel(*item) for item in sorted(channels.items())], lines)

    def _channel(self, channel: int, count: int) -> str:
        return self._language.gettext(_CHANNELS[channel], count=self._language.number(count))


def _merchant(name: str, merchant_id: int, value: str) -> MerchantLine:
    public_id = ids.public_id(ids.MERCHANT, merchant_id)
    return MerchantLine(one_line(name) or public_id, f"/support/merchants/{public_id}", value)
