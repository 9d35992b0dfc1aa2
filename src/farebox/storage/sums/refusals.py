"""Refusals: how many requests were refused, of which type and why, by quarters of an hour, and read in buckets."""

from collections.abc import Mapping, Sequence

from msgspec.structs import astuple

from farebox.storage.interface import Fetch
from farebox.storage.records import OTHER_TYPES, RefusalCount
from farebox.storage.subject import SubjectStore


class RefusalStore(SubjectStore):
    """The refusals of one database's merchants."""

    async def add(self, refusals: Sequence[RefusalCount], *, lines_max: int) -> None:
        """Add to what was counted.

        A quarter of an hour of a merchant has `lines_max` lines with a type at most, whichever processes count; what is
        beyond goes under OTHER_TYPES, each reason still by its name.
        """

        async def add(fetch: Fetch) -> None:
            await fetch(self._sql["lock_refusals"])
            for line in refusals:
                merchant_id, quarter, _, reason, requests = values = astuple(line)
                if not await fetch(self._sql["add_refusals"], *values, lines_max):
                    rest = (merchant_id, quarter, OTHER_TYPES, reason, requests)
                    await fetch(self._sql["add_refusals"], *rest, lines_max)

        await self._connector.run_in_transaction(add)

    async def buckets(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[RefusalCount]:
        """Sum refusals up into buckets, in order of bucket, type and reason; their arguments are those of usage.

        The number of a bucket is in the place of the quarter: (quarter + offset) / length, rounded down.
        """
        values = (merchant_id, first_quarter, last_quarter, offset_quarters, bucket_quarters)
        return [RefusalCount(merchant_id, *row) for row in await self._rows("refusals", *values)]

    async def by_reason(self, merchant_id: int, *, first_quarter: int, last_quarter: int) -> Mapping[str, int]:
        """Count a merchant's refusals by their reasons."""
        return {
            row[0]: row[1] for row in await self._rows("refusals_by_reason", merchant_id, first_quarter, last_quarter)
        }

    async def by_merchant(
        self, merchant_ids: Sequence[int], *, first_quarter: int, last_quarter: int
    ) -> Mapping[int, int]:
        """Count the refusals of each of these merchants; one without any is absent."""
        values = (list(merchant_ids), first_quarter, last_quarter)
        return {row[0]: row[1] for row in await self._rows("refusals_by_merchant", *values)}

    async def forget(self, before_quarter: int) -> None:
        """Remove what was counted before a quarter of an hour."""
        await self._write("forget_refusals", before_quarter)
