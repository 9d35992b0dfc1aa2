"""One book's next transfers, summed up once and added to all that is rolled up: usage, months, keys and hours."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from farebox.core.accounts import Account, Kind
from farebox.storage.interface import Fetch
from farebox.storage.months import Month
from farebox.storage.sql import NamedStatements

_QUARTER_MICROS: Final = 900_000_000
_RETURNS: Final = frozenset({Kind.REFUND, Kind.RELEASE, Kind.EXPIRE})


class _SummedStretch(Struct, frozen=True):
    """What a stretch of a book comes to: rows in JSON, for the statements, and which of these have something to do."""

    summed: str
    first_month: Month
    last_month: Month
    is_priced_by_quantities: bool
    has_returns_of_keys: bool


class BookRollup:
    """Rolls one book up, in one transaction; the ways are apart, as each has a mark of how far it is."""

    def __init__(self, fetch: Fetch, statements: NamedStatements, account: Account, transfers_max: int) -> None:
        """Take up to so many transfers of this book in each way."""
        self._fetch = fetch
        self._sql = statements
        self._merchant_id = account.merchant_id
        self._currency = account.currency
        self._seq = account.seq
        self._transfers_max = transfers_max
        self._stretches: dict[tuple[int, int], _SummedStretch] = {}

    async def usage(self, done: int) -> int:
        """Roll up by quarter of an hour and type, behind the transfer that is `done`; return how many transfers."""
        first, last = self._next(done)
        if first <= last:
            stretch = await self._stretch(first, last)
            await self._run("roll_up_usage", stretch.summed)
            if stretch.is_priced_by_quantities:
                await self._run("roll_up_components", first, last)
        await self._run("set_rolled_up_seq", last)
        return last - done

    async def months(self) -> int:
        """Roll up into months, one after the other; return how many transfers."""
        ((done,),) = await self._run("lock_revenue_mark")
        first, last = self._next(done)
        while first <= last:
            end, stretch = last, await self._stretch(first, last)
            month = stretch.first_month
            if stretch.last_month != month:
                ((end,),) = await self._run("last_seq_before", first, last, month.ends_at)
                stretch = await self._stretch(first, end)
            await self._run("roll_up_revenue", stretch.summed, month.number, self._currency)
            await self._run("roll_up_balance", first, end, month.number)
            await self._run("set_revenue_mark", end)
            first = end + 1
        return last - int(done)

    async def keys(self) -> int:
        """Roll up by key; return how many transfers."""
        ((done,),) = await self._run("lock_key_mark")
        first, last = self._next(done)
        if first <= last:
            stretch = await self._stretch(first, last)
            await self._run("roll_up_keys", stretch.summed)
            if stretch.has_returns_of_keys:
                await self._run("take_off_keys", first, last)
        await self._run("set_key_mark", last)
        return last - int(done)

    async def hours(self) -> int:
        """Roll up by hour; return how many transfers."""
        ((done,),) = await self._run("lock_hour_mark")
        first, last = self._next(done)
        if first <= last:
            await self._run("roll_up_hours", (await self._stretch(first, last)).summed)
        await self._run("set_hour_mark", last)
        return last - int(done)

    def _next(self, done: int) -> tuple[int, int]:
        return done + 1, min(done + self._transfers_max, self._seq)

    async def _stretch(self, first: int, last: int) -> _SummedStretch:
        """Sum a stretch up, once for all ways that are as far as each other."""
        found = self._stretches.get((first, last))
        if found is None:
            rows = await self._run("sum_of_stretch", first, last)
            quarters = [row[0] for row in rows]
            found = self._stretches[first, last] = _SummedStretch(
                summed=msgspec.json.encode([tuple(row)[:-1] for row in rows]).decode(),
                first_month=Month.of(min(quarters) * _QUARTER_MICROS),
                last_month=Month.of(max(quarters) * _QUARTER_MICROS),
                is_priced_by_quantities=any(row[-1] for row in rows),
                has_returns_of_keys=any(row[1] in _RETURNS and row[3] is not None for row in rows),
            )
        return found

    async def _run(self, name: str, *values: Any) -> Sequence[Sequence[Any]]:
        return await self._fetch(self._sql[name], self._merchant_id, *values)
