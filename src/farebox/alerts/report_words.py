"""What a merchant's report says: sentences and rows of tables, of the period and of the moment when it is written."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

from msgspec import Struct

from farebox.alerts.alert_words import Fact
from farebox.alerts.email_address import one_line
from farebox.core.accounts import Kind
from farebox.core.credit.grants import Grant
from farebox.core.money import divide_rounding_half_up
from farebox.service.insight.forecast import spendable_of
from farebox.service.insight.refusal_words import reason_words
from farebox.service.insight.runway_words import in_words
from farebox.service.languages import Language, gettext_noop
from farebox.service.reports.merchant import MerchantReport, RefusedFor, TypeSpend
from farebox.service.reports.periods import ReportPeriod
from farebox.storage.report_records import ReportKind

TYPES_MAX: Final = 12
"""How many request types a report names; the others are told together."""

REASONS_MAX: Final = 5
"""How many reasons of refusals a report names."""

ENDING_MAX: Final = 5
"""How many grants that end a report names."""

_MOVED: Final = {
    Kind.TOP_UP: gettext_noop("Topped up"),
    Kind.TOP_UP_REVERSAL: gettext_noop("Top-ups taken back"),
    Kind.ADJUSTMENT_CREDIT: gettext_noop("Adjusted up"),
    Kind.ADJUSTMENT_DEBIT: gettext_noop("Adjusted down"),
    Kind.GRANT: gettext_noop("Given credit"),
    Kind.GRANT_EXPIRY: gettext_noop("Given credit that ended"),
}


_Money = Callable[[int], str]
"""Writes an amount of micros in the merchant's currency."""


class PeriodPhrases(Struct, frozen=True):
    """The words that differ between a week's report and a month's; `percent` stands for how much more or less it is."""

    before: str
    more: str
    less: str
    alike: str
    nothing_before: str
    nothing_at_all: str
    refused_before: str
    nobody_grew: str
    nobody_stopped: str
    why: str


_WEEK: Final = PeriodPhrases(
    before=gettext_noop("The week before"),
    more=gettext_noop("%(percent)s %% more than the week before."),
    less=gettext_noop("%(percent)s %% less than the week before."),
    alike=gettext_noop("About as much as the week before."),
    nothing_before=gettext_noop("Nothing was spent the week before."),
    nothing_at_all=gettext_noop("Nothing was spent the week before either."),
    refused_before=gettext_noop("Refused the week before: %(count)s."),
    nobody_grew=gettext_noop("Nobody spent more than the week before."),
    nobody_stopped=gettext_noop("Everybody who spent the week before spent again."),
    why=gettext_noop("You get this mail every week because you chose so."),
)
_MONTH: Final = PeriodPhrases(
    before=gettext_noop("The month before"),
    more=gettext_noop("%(percent)s %% more than the month before."),
    less=gettext_noop("%(percent)s %% less than the month before."),
    alike=gettext_noop("About as much as the month before."),
    nothing_before=gettext_noop("Nothing was spent the month before."),
    nothing_at_all=gettext_noop("Nothing was spent the month before either."),
    refused_before=gettext_noop("Refused the month before: %(count)s."),
    nobody_grew=gettext_noop("Nobody spent more than the month before."),
    nobody_stopped=gettext_noop("Everybody who spent the month before spent again."),
    why=gettext_noop("You get this mail every month because you chose so."),
)


class TypeRow(Struct, frozen=True):
    """What one request type came to, as a row: how many requests, what they took, and what the period before had."""

    name: str
    requests: str
    spent: str
    before: str


class MerchantWords(Struct, frozen=True):
    """What a merchant's report says. `picture` tells what the image shows, `picture_ends` stands at its two ends."""

    merchant: str
    period: str
    spent: str
    currency: str
    comparison: str
    before: str
    picture: str
    picture_ends: tuple[str, str]
    balance: Sequence[Fact]
    types: Sequence[TypeRow]
    refusals: str
    ending: Sequence[str]
    now: str
    why: str


def phrases_of(period: ReportPeriod) -> PeriodPhrases:
    """Return what is told of a week, or of a month."""
    return _MONTH if period.kind == ReportKind.MONTHLY else _WEEK


def period_words(period: ReportPeriod, language: Language) -> str:
    """Name a period by its days, or by its month."""
    if period.kind == ReportKind.MONTHLY:
        return language.month(period.first)
    return language.gettext("%(first)s to %(last)s", first=language.day(period.first), last=language.day(period.last))


def merchant_words(report: MerchantReport, language: Language) -> MerchantWords:
    """Say what a merchant's period came to."""
    currency, phrases = report.account.currency, phrases_of(report.period)
    _, money = language.gettext, partial(language.money, currency=currency)
    requests = language.ngettext("By %(count)s request.", "By %(count)s requests.", report.requests)
    return MerchantWords(
        merchant=one_line(report.merchant.name),
        period=period_words(report.period, language),
        spent=language.amount(report.spent, currency),
        currency=currency,
        comparison=f"{requests} {change_words(report.spent, report.spent_before, phrases, language)}",
        before=_(phrases.before),
        picture=_picture(report, language, money),
        picture_ends=(
            _("%(day)s: %(amount)s", day=language.day(report.period.first), amount=money(report.opening)),
            _("%(day)s: %(amount)s", day=language.day(report.period.last), amount=money(report.closing)),
        ),
        balance=_balance(report, language, money),
        types=_types(report, language),
        refusals=_refusals(report, language),
        ending=_ending(report.ending, report, language, money),
        now=_now(report, language, money),
        why=_(phrases.why),
    )


def change_words(spent: int, before: int, phrases: PeriodPhrases, language: Language) -> str:
    """Compare what was spent with what was spent before; amounts are micros."""
    _ = language.gettext
    if before <= 0:
        return _(phrases.nothing_before if spent > 0 else phrases.nothing_at_all)
    percent = divide_rounding_half_up(abs(spent - before) * 100, before)
    if percent == 0:
        return _(phrases.alike)
    return _(phrases.more if spent > before else phrases.less, percent=language.number(percent))


def refusals_words(refused: Sequence[RefusedFor], language: Language) -> str:
    """Say how many requests were refused and why, the most frequent reasons by name."""
    _, count = language.gettext, sum(line.requests for line in refused)
    if not count:
        return _("No request was refused.")
    named = refused[:REASONS_MAX]
    reasons = [f"{language.number(line.requests)} ({reason_words(line.reason, language)})" for line in named]
    rest = count - sum(line.requests for line in named)
    if rest:
        reasons.append(_("%(count)s for other reasons", count=language.number(rest)))
    return language.ngettext(
        "%(count)s request was refused: %(reasons)s.",
        "%(count)s requests were refused: %(reasons)s.",
        count,
        reasons=", ".join(reasons),
    )


def _picture(report: MerchantReport, language: Language, money: _Money) -> str:
    """Tell in words what the line shows: where it begins and ends, and its lowest and highest place."""
    amounts = [posted for _, posted in report.history.points]
    return language.gettext(
        "Balance, %(period)s: %(opening)s at the start, %(closing)s at the end; "
        "lowest %(lowest)s, highest %(highest)s.",
        period=period_words(report.period, language),
        opening=money(report.opening),
        closing=money(report.closing),
        lowest=money(min(amounts)),
        highest=money(max(amounts)),
    )


def _balance(report: MerchantReport, language: Language, money: _Money) -> list[Fact]:
    """Tell how the balance went from the start to the end: its lines add up."""
    _ = language.gettext
    return [
        Fact(_("Balance at the start"), money(report.opening)),
        *(Fact(_(_MOVED[kind]), money(amount)) for kind, amount in report.moved if amount),
        Fact(_("Spent"), money(-report.spent)),
        Fact(_("Balance at the end"), money(report.closing)),
    ]


def _types(report: MerchantReport, language: Language) -> list[TypeRow]:
    rows = [_type_row(item.request_type, [item], report, language) for item in report.types[:TYPES_MAX]]
    others = report.types[TYPES_MAX:]
    if others:
        name = language.ngettext("%(count)s other type", "%(count)s other types", len(others))
        rows.append(_type_row(name, others, report, language))
    return rows


def _type_row(name: str, items: Sequence[TypeSpend], report: MerchantReport, language: Language) -> TypeRow:
    currency = report.account.currency
    return TypeRow(
        name,
        language.number(sum(item.requests for item in items)),
        language.amount(sum(item.spent for item in items), currency),
        language.amount(sum(item.spent_before for item in items), currency),
    )


def _refusals(report: MerchantReport, language: Language) -> str:
    _ = language.gettext
    if report.refused is None:
        return _("How many requests were refused is not known any more.")
    words = refusals_words(report.refused, language)
    if report.refused_before is None or not report.refused:
        return words
    return f"{words} {_(phrases_of(report.period).refused_before, count=language.number(report.refused_before))}"


def _ending(grants: Sequence[Grant], report: MerchantReport, language: Language, money: _Money) -> list[str]:
    lines = []
    for grant in grants[:ENDING_MAX]:
        day = datetime.fromtimestamp((grant.expires_at or 0) // 1_000_000, report.zone).date()
        lines.append(
            language.gettext(
                "%(amount)s of given credit ends on %(day)s.", amount=money(grant.left), day=language.day(day)
            )
        )
    rest = len(grants) - ENDING_MAX
    return [*lines, language.ngettext("And %(count)s more.", "And %(count)s more.", rest)] if rest > 0 else lines


def _now(report: MerchantReport, language: Language, money: _Money) -> str:
    """Tell how the balance stands as the mail is written, and how long it lasts."""
    _, amount = language.gettext, money(report.account.posted)
    if report.account.closed_at is not None:
        return _("The account is closed.")
    if report.runway is None:
        return _("Now the balance is %(amount)s.", amount=amount)
    if spendable_of(report.account) <= 0:
        return _("Now the balance is %(amount)s: it is used up.", amount=amount)
    lasts = in_words(report.runway, report.zone, language)
    return _("Now the balance is %(amount)s, which lasts %(runway)s.", amount=amount, runway=lasts)
