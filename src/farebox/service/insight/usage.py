"""Usage: what each request type came to, by hour or day of a time zone.

Books are rolled up into quarters of an hour beside the charges; what is not rolled up yet is read from the book itself,
so the figures are exact to the last charge, and the rollup is about speed alone: a query reads a few rows per quarter
and type, and at most a few thousand transfers, however long the book. See docs/decisions/0009-usage-by-quarters.md.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.core.state import Decision
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.insight.quarters import By, chosen_days, read_buckets
from farebox.storage.sums.usage import UsageStore

ROLLUP_TRANSFERS_MIN: Final = 1_000
"""A book with fewer transfers not rolled up yet is left alone: reading so few takes a millisecond."""

ROLLUP_TRANSFERS_MAX: Final = 2_000
"""How many transfers one transaction rolls up."""

ROLLUP_SECONDS: Final = 1.0
ROLLUP_REST_SECONDS: Final = 600.0
"""How often all books are rolled up to their ends."""

ROLLUP_BOOKS_MAX: Final = 20
"""How many short books one transaction rolls up."""

BOOKS_PAGE: Final = 500


class UsageLine(Struct, frozen=True):
    """One request type within one hour or day. `starts_at` is microseconds since 1970, amounts are micros.

    `quantities` has the sums of what was named, by component, where the price is a rule.
    """

    starts_at: int
    request_type: str
    requests: int
    cost: int
    refunded: int
    quantities: Mapping[str, int] = {}


class UsageReader:
    """Reads usage. Every method may raise Unavailable."""

    def __init__(self, usage: UsageStore, clock: Clock) -> None:
        """Read from this store."""
        self._usage = usage
        self._clock = clock

    async def read(
        self,
        merchant_id: int,
        *,
        by: By,
        first: str | None,
        last: str | None,
        zone: str,
        request_type: str | None,
    ) -> Sequence[UsageLine]:
        """Read a merchant's usage, oldest first, types in order; hours and days without any are left out.

        Args:
            merchant_id: whose.
            by: hours or days.
            first: the first day, such as 2026-01-31; by default 30 days (or a week, by hours) up to `last`.
            last: the last day; by default today.
            zone: the IANA time zone whose days these are.
            request_type: this one alone.

        Raises:
            InvalidInput: a day, zone or type that makes no sense, or more than DAYS_MAX days or HOURS_MAX hours.
        """
        days = chosen_days(by=by, first=first, last=last, zone=zone, now=self._clock.now())
        wanted = None if request_type is None else inputs.request_type("type", request_type)
        totals: dict[tuple[int, str], UsageLine] = {}
        async for starts_at, item in read_buckets(self._usage.buckets, merchant_id, days, by):
            if wanted in (None, item.request_type):
                key = (starts_at, item.request_type)
                quantities = sum_of_quantities(item.quantities)
                line = UsageLine(*key, item.requests, item.cost, item.refunded, quantities)
                totals[key] = _sum(totals[key], line) if key in totals else line
        return [line for _, line in sorted(totals.items())]


class UsageRollup:
    """Rolls books up beside the charges; several processes may do so at once."""

    def __init__(self, usage: UsageStore, *, books_page: int = BOOKS_PAGE) -> None:
        """Work on this store; books that others left are looked up so many at a time."""
        self._usage = usage
        self._books_page = books_page
        self._grown: dict[int, int] = {}
        self._is_caught_up = False

    def note(self, decision: Decision) -> None:
        """Count the transfers of a batch that was committed."""
        grown = self._grown
        for transfer in decision.transfers:
            grown[transfer.merchant_id] = grown.get(transfer.merchant_id, 0) + 1

    async def roll_up(self) -> None:
        """Roll up the books that have grown long enough; the first time, what other processes left as well."""
        if not self._is_caught_up:
            async for books in self._books_left(ROLLUP_TRANSFERS_MIN):
                for merchant_id in books:
                    await self._roll_up_book(merchant_id)
            self._is_caught_up = True
        await self.roll_up_grown()

    async def roll_up_grown(self) -> None:
        """Roll up the books that have grown by ROLLUP_TRANSFERS_MIN transfers."""
        for merchant_id in [number for number, grown in self._grown.items() if grown >= ROLLUP_TRANSFERS_MIN]:
            await self._roll_up_book(merchant_id)

    async def roll_up_rest(self) -> None:
        """Roll up what is left of every book, so that few transfers are read for a report over all merchants."""
        async for books in self._books_left(1):
            for first in range(0, len(books), ROLLUP_BOOKS_MAX):
                some = books[first : first + ROLLUP_BOOKS_MAX]
                for merchant_id in some:
                    self._grown.pop(merchant_id, None)
                await self._usage.roll_up_books(some, transfers_max=ROLLUP_TRANSFERS_MIN)

    async def _books_left(self, transfers_min: int) -> AsyncIterator[Sequence[int]]:
        """List the books that have so many transfers left, whichever process wrote them, page by page."""
        after = -1
        while books := await self._usage.books_to_roll_up(after, transfers_min=transfers_min, limit=self._books_page):
            yield books
            after = books[-1]

    async def _roll_up_book(self, merchant_id: int) -> None:
        grown = self._grown.pop(merchant_id, 0)
        rolled_up_count = ROLLUP_TRANSFERS_MAX
        try:
            while rolled_up_count == ROLLUP_TRANSFERS_MAX:
                rolled_up_count = await self._usage.roll_up(merchant_id, transfers_max=ROLLUP_TRANSFERS_MAX)
        except BaseException:
            # It is still to be done, together with what came since.
            self._grown[merchant_id] = self._grown.get(merchant_id, 0) + grown
            raise


def sum_of_quantities(*parts: Mapping[str, int]) -> dict[str, int]:
    """Sum quantities up by name, in order of name."""
    names = sorted({name for part in parts for name in part})
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def _sum(one: UsageLine, other: UsageLine) -> UsageLine:
    return UsageLine(
        one.starts_at,
        one.request_type,
        one.requests + other.requests,
        one.cost + other.cost,
        one.refunded + other.refunded,
        sum_of_quantities(one.quantities, other.quantities),
    )
