"""Sample reports, of a merchant and of all, with made-up names and amounts, by which templates are tried."""

from collections.abc import Iterator
from datetime import date
from email.message import EmailMessage
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from farebox.alerts.balance_image import draw_balance
from farebox.alerts.mail import MailSettings
from farebox.alerts.report_mail import merchant_report, report_message, staff_report
from farebox.core.accounts import Account, Kind
from farebox.core.outcomes import Code
from farebox.service.insight.burn_model import DAY
from farebox.service.insight.history import History
from farebox.service.languages import Language
from farebox.service.reports.merchant import MerchantReport, RefusedFor, TypeSpend
from farebox.service.reports.periods import period_of
from farebox.service.reports.staff import CurrencyFigures, RefusedOf, SpendOf, StaffReport
from farebox.storage.destination_records import Channel
from farebox.storage.records import Merchant
from farebox.storage.report_records import FailedDelivery, MerchantSpend, ReportKind, UncollectedSum

_MICROS: Final = 1_000_000
_USD: Final = "USD"
_ZONE: Final = ZoneInfo("UTC")
_PERIOD: Final = period_of(ReportKind.WEEKLY, date(2027, 1, 13))
_START: Final = _PERIOD.starts_at(_ZONE)
_MERCHANT: Final = Merchant(1 << 50, "Northwind Imaging", _START)
_OTHER: Final = Merchant((1 << 50) + 1, "Contoso Maps", _START)
_EMAIL: Final = "ann@northwind.example"


def report_samples(settings: MailSettings, language: Language) -> Iterator[tuple[str, EmailMessage]]:
    """Write a report of each kind in a language, each with its name."""
    url, report = settings.public_url, _merchant_report()
    merchants = merchant_report(report, language, public_url=url, has_statement=True)
    for name, written in (
        ("report", replace(merchants, image=draw_balance(report.history))),
        (
            "staff-report",
            staff_report(_staff_report(), [], {_MERCHANT.merchant_id: _MERCHANT.name}, language, url, now=_START),
        ),
    ):
        message_id = f"<{name}@{settings.sender.domain}>"
        yield (
            name,
            report_message(
                written,
                settings,
                to=_EMAIL,
                at=_START,
                message_id=message_id,
                unsubscribe_url=f"{url}/unsubscribe/reports/SAMPLE",
            ),
        )


def _merchant_report() -> MerchantReport:
    points = [(_START, 262), (_START + DAY, 240), (_START + 2 * DAY, 201), (_START + 2 * DAY, 351)]
    points += [(_START + day * DAY, 351 - 40 * (day - 2)) for day in range(3, 8)]
    return MerchantReport(
        merchant=_MERCHANT,
        account=Account(_MERCHANT.merchant_id, _USD, wallet=151 * _MICROS),
        period=_PERIOD,
        zone=_ZONE,
        opening=262 * _MICROS,
        closing=151 * _MICROS,
        moved=[(Kind.TOP_UP, 150 * _MICROS)],
        types=[
            TypeSpend("image", 402, 201 * _MICROS, 388, 194 * _MICROS),
            TypeSpend("scan", 120, 60 * _MICROS, 90, 45 * _MICROS),
        ],
        refused=[RefusedFor(Code.INSUFFICIENT_BALANCE, 12), RefusedFor(Code.UNKNOWN_TYPE, 1)],
        refused_before=4,
        history=History(tuple((at, units * _MICROS) for at, units in points), ()),
        first_seq=1,
        transfer_count=523,
        runway=None,
        ending=[],
    )


def _staff_report() -> StaffReport:
    grew = MerchantSpend(_MERCHANT.merchant_id, _USD, 239 * _MICROS, 261 * _MICROS)
    stopped = MerchantSpend(_OTHER.merchant_id, _USD, 80 * _MICROS, 0)
    return StaffReport(
        period=_PERIOD,
        zone=_ZONE,
        currencies=[
            CurrencyFigures(
                _USD,
                active_count=12,
                spent=2_610 * _MICROS,
                spent_before=2_470 * _MICROS,
                grew=[SpendOf(_MERCHANT, grew)],
                grew_count=1,
                stopped=[SpendOf(_OTHER, stopped)],
                stopped_count=1,
            )
        ],
        refused=[RefusedFor(Code.INSUFFICIENT_BALANCE, 12)],
        most_refused=[RefusedOf(_MERCHANT, 12)],
        uncollected=[UncollectedSum(_USD, False, 3, 2_250_000)],
        failed=[FailedDelivery(Channel.WEBHOOK, _MERCHANT.merchant_id, 3, "410")],
    )
