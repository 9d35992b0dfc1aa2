"""What a merchant's week or month came to: spend by type against the period before, refusals, and the balance's line.

All but the runway and the credit that ends is of the period, and the same whenever it is read. It is read from sums
that are kept by quarters of an hour, and from few places of the book, however long that is.
"""

from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.accounts import EFFECTS, Account, Kind
from farebox.core.credit.grants import Grant
from farebox.core.transfers import Transfer
from farebox.service.clock import Clock
from farebox.service.errors import UnknownMerchant, translated
from farebox.service.insight.burn_model import DAY
from farebox.service.insight.forecast import Runway, RunwayReader
from farebox.service.insight.history import History, HistoryReader
from farebox.service.insight.lots import LOTS_MAX, given_credit_of
from farebox.service.insight.refusals import KEPT_DAYS, RefusalReader
from farebox.service.insight.usage import UsageReader
from farebox.service.reports.periods import ReportPeriod
from farebox.service.statements.seek import last_transfers
from farebox.storage.records import Merchant
from farebox.storage.stores import Stores

ENDING_DAYS: Final = 31
"""Credit that ends within so many days is told of."""


class TypeSpend(Struct, frozen=True):
    """What one request type came to in a period and in the one before: requests, and micros, refunds taken off."""

    request_type: str
    requests: int = 0
    spent: int = 0
    requests_before: int = 0
    spent_before: int = 0


class RefusedFor(Struct, frozen=True):
    """How many requests were refused for one reason."""

    reason: str
    requests: int


class MerchantReport(Struct, frozen=True):
    """A merchant's period, in micros; what is of now is the account, the runway and what ends.

    The posted balance went from `opening` to `closing`: by what came in and went out beside requests, `moved`, each
    kind's sum with its sign, less what was spent.
    """

    merchant: Merchant
    account: Account
    period: ReportPeriod
    zone: ZoneInfo
    opening: int
    closing: int
    moved: Sequence[tuple[Kind, int]]
    types: Sequence[TypeSpend]
    """Those that had requests or refunds in either period, the most spent first."""
    refused: Sequence[RefusedFor] | None
    """The most frequent reason first; None if the period is so long ago that its refusals are forgotten."""
    refused_before: int | None
    history: History
    first_seq: int
    transfer_count: int
    """How many transfers the period has, from `first_seq` on."""
    runway: Runway | None
    ending: Sequence[Grant]
    """Grants that end within ENDING_DAYS with something left, the soonest first."""

    @property
    def spent(self) -> int:
        """What requests took, less refunds."""
        return sum(line.spent for line in self.types)

    @property
    def spent_before(self) -> int:
        """What they took in the period before."""
        return sum(line.spent_before for line in self.types)

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return sum(line.requests for line in self.types)


class MerchantReports:
    """Reads merchants' reports."""

    def __init__(
        self, stores: Stores, usage: UsageReader, refusals: RefusalReader, runways: RunwayReader, clock: Clock
    ) -> None:
        """Read from these."""
        self._stores = stores
        self._usage = usage
        self._refusals = refusals
        self._runways = runways
        self._histories = HistoryReader(stores.transfers, clock)
        self._clock = clock

    async def read(self, merchant_id: int, period: ReportPeriod, zone: ZoneInfo) -> MerchantReport:
        """Read what a merchant's period came to.

        Raises:
            UnknownMerchant: there is no such merchant.
            Unavailable: the database can't be read.
        """
        now = self._clock.now()
        start, end = period.starts_at(zone), period.ends_at(zone)
        with translated():
            merchant = await self._stores.merchants.find(merchant_id)
            account = await self._stores.accounts.find(merchant_id)
            if merchant is None or account is None:
                raise UnknownMerchant
            before, last = await last_transfers(self._stores.transfers, account, [start - 1, end - 1])
            first_seq, last_seq = _seq(before) + 1, _seq(last)
            funding = await self._stores.transfers.funding_after(merchant_id, first_seq)
            runway = await self._runways.read(account)
            ending = await self._ending(account, now)
        refused, refused_before = await self._refused(merchant_id, period, zone, now)
        return MerchantReport(
            merchant=merchant,
            account=account,
            period=period,
            zone=zone,
            opening=_posted(before),
            closing=_posted(last),
            moved=_sums([item for item in funding if item.seq <= last_seq]),
            types=await self._types(merchant_id, period, zone),
            refused=refused,
            refused_before=refused_before,
            history=await self._histories.between(account, start=start, end=min(end, max(now, start))),
            first_seq=first_seq,
            transfer_count=max(last_seq - first_seq + 1, 0),
            runway=runway,
            ending=ending,
        )

    async def _types(self, merchant_id: int, period: ReportPeriod, zone: ZoneInfo) -> list[TypeSpend]:
        before, start = period.before(), period.starts_at(zone)
        lines = await self._usage.read(
            merchant_id, by="day", first=str(before.first), last=str(period.last), zone=zone.key, request_type=None
        )
        types: dict[str, TypeSpend] = {}
        for line in lines:
            spend = types.get(line.request_type) or TypeSpend(line.request_type)
            spent = line.cost - line.refunded
            types[line.request_type] = (
                replace(spend, requests=spend.requests + line.requests, spent=spend.spent + spent)
                if line.starts_at >= start
                else replace(
                    spend,
                    requests_before=spend.requests_before + line.requests,
                    spent_before=spend.spent_before + spent,
                )
            )
        return sorted(types.values(), key=lambda item: (-item.spent, -item.spent_before, item.request_type))

    async def _refused(
        self, merchant_id: int, period: ReportPeriod, zone: ZoneInfo, now: int
    ) -> tuple[list[RefusedFor] | None, int | None]:
        """Count what was refused in a period, by reason, and in the one before; None for what is forgotten."""
        if is_forgotten(period, zone, now):
            return None, None
        sums = await self._refused_in(merchant_id, period, zone)
        before = period.before()
        refused = [RefusedFor(reason, requests) for reason, requests in sums.items()]
        refused.sort(key=lambda item: (-item.requests, item.reason))
        if is_forgotten(before, zone, now):
            return refused, None
        return refused, sum((await self._refused_in(merchant_id, before, zone)).values())

    async def _refused_in(self, merchant_id: int, period: ReportPeriod, zone: ZoneInfo) -> dict[str, int]:
        lines = await self._refusals.read(
            merchant_id, by="day", first=str(period.first), last=str(period.last), zone=zone.key
        )
        sums: dict[str, int] = {}
        for line in lines:
            sums[line.reason] = sums.get(line.reason, 0) + line.requests
        return sums

    async def _ending(self, account: Account, now: int) -> list[Grant]:
        if not account.given:
            return []
        given = given_credit_of(account, await self._stores.grants.open(account.merchant_id, LOTS_MAX), now)
        return [grant for grant in given.ending if (grant.expires_at or 0) <= now + ENDING_DAYS * DAY]


def is_forgotten(period: ReportPeriod, zone: ZoneInfo, now: int) -> bool:
    """Tell whether refusals of a period's first days are kept no more."""
    return period.starts_at(zone) < now - KEPT_DAYS * DAY


def _seq(transfer: Transfer | None) -> int:
    return 0 if transfer is None else transfer.seq


def _posted(transfer: Transfer | None) -> int:
    return 0 if transfer is None else transfer.posted_after


def _sums(funding: Sequence[Transfer]) -> list[tuple[Kind, int]]:
    """Sum up what came in and went out beside requests, by kind, with the kind's sign."""
    sums: dict[Kind, int] = {}
    for item in funding:
        kind = Kind(item.kind)
        sums[kind] = sums.get(kind, 0) + EFFECTS[kind].wallet * item.amount
    return sorted(sums.items())
