"""Revenue: what moved in each month, and what merchants had when it ended, rolled up and read exactly."""

from farebox.storage.months import Month
from farebox.storage.records import RevenueSums
from farebox.storage.subject import SubjectStore


class RevenueStore(SubjectStore):
    """The revenue of one database's merchants, all together. UsageStore rolls it up."""

    async def months(self, first: Month, last: Month) -> RevenueSums:
        """Sum months up, exact to the last transfer committed, whether or not it was rolled up yet.

        It reads rows of every merchant, on a connection of its own, and all at one moment: what is rolled up meanwhile
        is counted once.
        """
        async with self._connector.snapshot() as snapshot:
            return await snapshot.revenue(first, last)
