"""Refusals: how many requests of merchants were refused, of which type and why.

A refused charge or hold costs an entry in a dictionary; what was counted is written down every few seconds, and when
the process stops. A killed process loses the counts of its last seconds, and those are lost too that are written when
the database fails during a COMMIT: these are figures for people, and decide about no money. A request without a good
key, or one that names no merchant, is counted for nobody.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from farebox.core.outcomes import Code
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import translated
from farebox.service.insight import quarters
from farebox.service.insight.quarters import BUCKET_QUARTERS, By, Days
from farebox.storage.interface import CommitUnknown
from farebox.storage.records import OTHER_TYPES, RefusalCount
from farebox.storage.sums.refusals import RefusalStore

WRITE_SECONDS: Final = 5.0
FORGET_SECONDS: Final = 3600.0
KEPT_DAYS: Final = 35
"""How long refusals are kept."""

LINES_MAX: Final = 25
"""How many types and reasons a quarter of an hour of one merchant has by name; other types are counted together."""

PLACES_MAX: Final = 10_000
"""For how many merchants, each in a quarter of an hour, is counted between two writings; others go uncounted."""

_BATCH_LINES: Final = 200
_UNCOUNTED: Final = frozenset({Code.INVALID_API_KEY, Code.FORBIDDEN, Code.MERCHANT_NOT_FOUND})
_QUARTERS_PER_DAY: Final = BUCKET_QUARTERS["day"]

_Lines = dict[tuple[str, str], int]
"""How many requests were refused, by type and reason."""


class RefusalLine(Struct, frozen=True):
    """Requests of one type that were refused for one reason within an hour or day, which `starts_at` begins.

    `request_type` is None for types beyond those that are counted by name; `starts_at` is microseconds since 1970.
    """

    starts_at: int
    request_type: str | None
    reason: str
    requests: int


class RefusalCounts:
    """Counts refusals in memory and writes them down."""

    def __init__(
        self, refusals: RefusalStore, clock: Clock, *, lines_max: int = LINES_MAX, places_max: int = PLACES_MAX
    ) -> None:
        """Write to this store."""
        self._refusals = refusals
        self._clock = clock
        self._lines_max = lines_max
        self._places_max = places_max
        self._counted: dict[tuple[int, int], _Lines] = {}
        self._on_refusal: list[Callable[[Code], None]] = []

    def watch(self, tell: Callable[[Code], None]) -> None:
        """Tell the reason of each request that is counted; what is told must be quick."""
        self._on_refusal.append(tell)

    def note(self, merchant_id: int, request_type: str, code: Code) -> None:
        """Count a request that was refused."""
        if code in _UNCOUNTED:
            return
        for tell in self._on_refusal:
            tell(code)
        place = (merchant_id, self._clock.now() // quarters.MICROS_PER_QUARTER)
        lines = self._counted.get(place)
        if lines is None:
            if len(self._counted) >= self._places_max:
                return
            lines = self._counted[place] = {}
        self._add(lines, (request_type, code), 1)

    def _add(self, lines: _Lines, line: tuple[str, str], requests: int) -> None:
        if line not in lines and len(lines) >= self._lines_max:
            # The reasons are few, so that this is bounded too.
            line = (OTHER_TYPES, line[1])
        lines[line] = lines.get(line, 0) + requests

    async def write(self) -> None:
        """Write down what was counted.

        Raises:
            StoreUnavailable: the database is away; what was counted is kept.
            CommitUnknown: it failed during a COMMIT; what it was to commit is counted no more, lest it counts twice.
        """
        while self._counted:
            batch = self._take()
            lines = [
                RefusalCount(*place, request_type, str(reason), requests)
                for place, counted in batch.items()
                for (request_type, reason), requests in counted.items()
            ]
            try:
                await self._refusals.add(lines, lines_max=self._lines_max)
            except CommitUnknown:
                raise
            except BaseException:
                self._put_back(batch)
                raise

    def _take(self) -> dict[tuple[int, int], _Lines]:
        """Take what one transaction writes."""
        batch: dict[tuple[int, int], _Lines] = {}
        count = 0
        while self._counted and count < _BATCH_LINES:
            place, lines = self._counted.popitem()
            batch[place] = lines
            count += len(lines)
        return batch

    def _put_back(self, batch: dict[tuple[int, int], _Lines]) -> None:
        for place, lines in batch.items():
            meanwhile = self._counted.setdefault(place, {})
            for line, requests in lines.items():
                self._add(meanwhile, line, requests)

    async def forget_old(self) -> None:
        """Remove what was counted more than KEPT_DAYS ago."""
        quarter = self._clock.now() // quarters.MICROS_PER_QUARTER
        await self._refusals.forget(quarter - KEPT_DAYS * _QUARTERS_PER_DAY)


class RefusalReader:
    """Reads refusals, a few seconds after they are counted. Every method may raise Unavailable."""

    def __init__(self, refusals: RefusalStore, clock: Clock) -> None:
        """Read from this store."""
        self._refusals = refusals
        self._clock = clock

    async def read(
        self,
        merchant_id: int,
        *,
        by: By,
        first: str | None,
        last: str | None,
        zone: str,
        request_type: str | None = None,
        reason: str | None = None,
    ) -> Sequence[RefusalLine]:
        """Read a merchant's refusals, oldest first, in order of type and reason; the arguments are those of usage.

        Raises:
            InvalidInput: a day, zone or type that makes no sense, or too many days.
        """
        days = quarters.chosen_days(by=by, first=first, last=last, zone=zone, now=self._clock.now())
        wanted = None if request_type is None else inputs.request_type("type", request_type)
        totals: dict[tuple[int, str, str], int] = {}
        async for starts_at, count in quarters.read_buckets(self._refusals.buckets, merchant_id, days, by):
            if wanted in (None, count.request_type) and reason in (None, count.reason):
                line = (starts_at, count.request_type, count.reason)
                totals[line] = totals.get(line, 0) + count.requests
        return [
            RefusalLine(starts_at, None if named == OTHER_TYPES else named, word, requests)
            for (starts_at, named, word), requests in sorted(totals.items())
        ]

    async def today(self, merchant_id: int, zone: ZoneInfo) -> Mapping[str, int]:
        """Count the requests of a merchant that were refused today in a zone, by reason."""
        first, last = self._today(zone)
        with translated():
            return await self._refusals.by_reason(merchant_id, first_quarter=first, last_quarter=last)

    async def today_of(self, merchant_ids: Sequence[int], zone: ZoneInfo) -> Mapping[int, int]:
        """Count the requests of merchants that were refused today in a zone; one without any is absent."""
        first, last = self._today(zone)
        with translated():
            return await self._refusals.by_merchant(merchant_ids, first_quarter=first, last_quarter=last)

    def _today(self, zone: ZoneInfo) -> tuple[int, int]:
        today: date = quarters.today(self._clock.now(), zone)
        return quarters.quarters_of(Days(today, today, zone))
