"""Usage: what was requested and what it cost, rolled up by quarters of an hour, and read in buckets.

Books are rolled up into hours, by keys and into months in the same stretches; revenue.py reads months.
"""

from collections.abc import Mapping, Sequence

from farebox.storage import rows
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.records import KeyUsage, Usage
from farebox.storage.subject import SubjectStore
from farebox.storage.sums.book_rollup import BookRollup


class UsageStore(SubjectStore):
    """The usage of one database's merchants."""

    async def roll_up(self, merchant_id: int, *, transfers_max: int) -> int:
        """Sum the next transfers of a book up into its usage, hours, keys and months, each once; return how many.

        Up to `transfers_max` of each. Safe to call from several processes at once: how far the book is rolled up is
        locked meanwhile, the account is not.

        Raises:
            NotFound: no such merchant.
        """

        return await self._connector.run_in_transaction(
            lambda fetch: self._roll_up_book(fetch, merchant_id, transfers_max)
        )

    async def roll_up_books(self, merchant_ids: Sequence[int], *, transfers_max: int) -> None:
        """Do so to several books, `transfers_max` each, in one transaction: one COMMIT for many short books.

        Raises:
            NotFound: no such merchant.
        """

        async def roll_up(fetch: Fetch) -> None:
            # In one order in every process, so that two of them never wait for each other.
            for merchant_id in sorted(merchant_ids):
                await self._roll_up_book(fetch, merchant_id, transfers_max)

        await self._connector.run_in_transaction(roll_up)

    async def _roll_up_book(self, fetch: Fetch, merchant_id: int, transfers_max: int) -> int:
        ((done,),) = await fetch(self._sql["lock_rolled_up_seq"], merchant_id)
        accounts = await fetch(self._sql["account"], merchant_id)
        if not accounts:
            raise NotFound("no such merchant")
        account = rows.account_from_row(accounts[0])
        book = BookRollup(fetch, self._sql, account, transfers_max)
        return max([await book.usage(done), await book.months(), await book.keys(), await book.hours()])

    async def books_to_roll_up(self, after: int, *, transfers_min: int, limit: int) -> Sequence[int]:
        """List merchants above `after`, in order, whose books have at least so many transfers not rolled up yet."""
        return [row[0] for row in await self._rows("books_to_roll_up", after, transfers_min, limit)]

    async def buckets(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[Usage]:
        """Sum usage up into buckets, exact to the last transfer committed, whether or not it was rolled up yet.

        Args:
            merchant_id: whose.
            first_quarter: the first quarter of an hour since 1970, UTC, that counts.
            last_quarter: the last one that counts.
            offset_quarters: what the time zone adds to UTC, in quarters of an hour.
            bucket_quarters: how long a bucket is: 4 for hours, 96 for days.

        Returns:
            In order of bucket and type; buckets are numbered (quarter + offset) / length, rounded down.
        """
        values = (merchant_id, first_quarter, last_quarter, offset_quarters, bucket_quarters)
        found: dict[tuple[int, str], Usage] = {}
        quantities: dict[tuple[int, str], dict[str, int]] = {}
        for row in await self._rows("usage", *values):
            bucket, request_type, name, requests, cost, refunded, billions, rest = row
            named = quantities.setdefault((bucket, request_type), {})
            if name is None:
                found[bucket, request_type] = Usage(bucket, request_type, requests, cost, refunded, named)
            else:
                named[name] = rows.whole_sum(billions, rest)
        return list(found.values())

    async def buckets_by_key(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[KeyUsage]:
        """Sum usage up by key, as `buckets` does; in order of bucket, key and type."""
        values = (merchant_id, first_quarter, last_quarter, offset_quarters, bucket_quarters)
        return [KeyUsage(*row) for row in await self._rows("usage_by_key", *values)]

    async def spent_by_hour(self, merchant_id: int, *, first_hour: int, last_hour: int) -> Mapping[int, int]:
        """Sum up what was spent less what was refunded, in micros, by hours since 1970; as exact as `buckets`."""
        spent: dict[int, int] = {}
        for hour, micros in await self._rows("spent_by_hour", merchant_id, first_hour, last_hour):
            spent[hour] = spent.get(hour, 0) + micros
        return spent
