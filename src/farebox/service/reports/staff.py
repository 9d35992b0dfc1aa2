"""What all merchants' week or month came to, for the operator's staff: who grew, who stopped, what failed.

The figures are read merchant by merchant, a few at a time with pauses, from sums that are kept by quarters of an hour.
What one reader's report has read of a period that is over is kept for the next one's.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.service.clock import Clock
from farebox.service.errors import translated
from farebox.service.insight import quarters
from farebox.service.reports.merchant import RefusedFor, is_forgotten
from farebox.service.reports.periods import ReportPeriod
from farebox.storage.records import Merchant
from farebox.storage.report_records import FailedDelivery, MerchantSpend, UncollectedSum
from farebox.storage.stores import Stores

LISTED_MAX: Final = 10
"""How many merchants each list has at most; the report says how many more there are."""

STRETCH_MERCHANTS: Final = 25
"""How many merchants' figures are read together."""

STRETCH_SECONDS: Final = 0.005
"""How long to leave the database to others after that."""

REPORTS_KEPT: Final = 8
"""How many periods' figures are kept for the next reader."""


class SpendOf(Struct, frozen=True):
    """What a merchant spent in the period and in the one before."""

    merchant: Merchant
    spend: MerchantSpend

    @property
    def change(self) -> int:
        """By how much more it spent than before, in micros."""
        return self.spend.spent - self.spend.spent_before


class RefusedOf(Struct, frozen=True):
    """How many requests of a merchant were refused."""

    merchant: Merchant
    requests: int


class CurrencyFigures(Struct, frozen=True):
    """What the merchants of one currency came to, in micros.

    `grew` are those that spent more than before, the most first; `stopped` those that spent before and nothing now, the
    largest first. `active_count` merchants spent something.
    """

    currency: str
    active_count: int
    spent: int
    spent_before: int
    grew: Sequence[SpendOf]
    grew_count: int
    stopped: Sequence[SpendOf]
    stopped_count: int


class StaffReport(Struct, frozen=True):
    """All merchants' period; currencies in order of their codes."""

    period: ReportPeriod
    zone: ZoneInfo
    currencies: Sequence[CurrencyFigures]
    refused: Sequence[RefusedFor] | None
    """By reason, the most frequent first; None if the period is so long ago that its refusals are forgotten."""
    most_refused: Sequence[RefusedOf]
    uncollected: Sequence[UncollectedSum]
    failed: Sequence[FailedDelivery]


class StaffReports:
    """Reads the staff's reports."""

    def __init__(
        self,
        stores: Stores,
        clock: Clock,
        *,
        stretch_merchants: int = STRETCH_MERCHANTS,
        stretch_seconds: float = STRETCH_SECONDS,
    ) -> None:
        """Read from these stores, so many merchants at a time and so long apart."""
        self._stores = stores
        self._clock = clock
        self._stretch_merchants = stretch_merchants
        self._stretch_seconds = stretch_seconds
        self._kept: dict[tuple[ReportPeriod, str], StaffReport] = {}
        self._lock = asyncio.Lock()

    async def read(self, period: ReportPeriod, zone: ZoneInfo) -> StaffReport:
        """Read what all merchants' period came to.

        Raises:
            Unavailable: the database can't be read.
        """
        key = (period, zone.key)
        async with self._lock:
            if key in self._kept:
                return self._kept[key]
            now = self._clock.now()
            with translated():
                report = await self._read(period, zone, now)
            if period.due_at(zone) <= now:
                while len(self._kept) >= REPORTS_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[key] = report
        return report

    async def _read(self, period: ReportPeriod, zone: ZoneInfo, now: int) -> StaffReport:
        start, end = period.starts_at(zone), period.ends_at(zone)
        spends: dict[str, list[MerchantSpend]] = {}
        reasons: dict[str, int] = {}
        refused_of: dict[int, int] = {}
        first, last = quarters.quarters_of(period.days(zone))
        first_before, _ = quarters.quarters_of(period.before().days(zone))
        after = -1
        while stretch := await self._stores.reports.spent_by_merchants(
            after, limit=self._stretch_merchants, first_before=first_before, first=first, last=last
        ):
            for spend in stretch:
                if spend.spent or spend.spent_before:
                    spends.setdefault(spend.currency, []).append(spend)
            numbers = [spend.merchant_id for spend in stretch]
            for line in await self._stores.reports.refusals(numbers, first_quarter=first, last_quarter=last):
                reasons[line.reason] = reasons.get(line.reason, 0) + line.requests
                refused_of[line.merchant_id] = refused_of.get(line.merchant_id, 0) + line.requests
            after = numbers[-1]
            await asyncio.sleep(self._stretch_seconds)
        most_refused = sorted(refused_of.items(), key=lambda item: (-item[1], item[0]))[:LISTED_MAX]
        listed = {currency: _listed(spends[currency]) for currency in sorted(spends)}
        merchants = await self._merchants(
            [
                *(number for number, _ in most_refused),
                *(spend.merchant_id for lists in listed.values() for spend in (*lists.grew, *lists.stopped)),
            ]
        )
        return StaffReport(
            period,
            zone,
            [_figures(currency, spends[currency], lists, merchants) for currency, lists in listed.items()],
            refused=None
            if is_forgotten(period, zone, now)
            else [RefusedFor(*item) for item in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))],
            most_refused=[RefusedOf(merchants[number], count) for number, count in most_refused],
            uncollected=await self._stores.reports.uncollected(start=start, end=end),
            failed=await self._stores.reports.failed_deliveries(start=start, end=end),
        )

    async def _merchants(self, numbers: Iterable[int]) -> Mapping[int, Merchant]:
        rows = await self._stores.merchants.with_accounts(sorted(set(numbers)))
        return {row[0].merchant_id: row[0] for row in rows}


class _Listed(Struct, frozen=True):
    """Which merchants of a currency grew and stopped: the first of each, and how many there are."""

    grew: Sequence[MerchantSpend]
    grew_count: int
    stopped: Sequence[MerchantSpend]
    stopped_count: int


def _listed(spends: Sequence[MerchantSpend]) -> _Listed:
    grew = [spend for spend in spends if spend.spent > spend.spent_before]
    stopped = [spend for spend in spends if spend.spent <= 0 < spend.spent_before]
    grew.sort(key=lambda item: (item.spent_before - item.spent, item.merchant_id))
    stopped.sort(key=lambda item: (-item.spent_before, item.merchant_id))
    return _Listed(grew[:LISTED_MAX], len(grew), stopped[:LISTED_MAX], len(stopped))


def _figures(
    currency: str, spends: Sequence[MerchantSpend], lists: _Listed, merchants: Mapping[int, Merchant]
) -> CurrencyFigures:
    return CurrencyFigures(
        currency,
        active_count=sum(spend.spent > 0 for spend in spends),
        spent=sum(spend.spent for spend in spends),
        spent_before=sum(spend.spent_before for spend in spends),
        grew=[SpendOf(merchants[spend.merchant_id], spend) for spend in lists.grew],
        grew_count=lists.grew_count,
        stopped=[SpendOf(merchants[spend.merchant_id], spend) for spend in lists.stopped],
        stopped_count=lists.stopped_count,
    )
