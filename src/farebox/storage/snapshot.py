"""What both engines' snapshots read alike, by named statements; each has its own way to run one and to read books."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from farebox.core.accounts import Account
from farebox.core.alerts import Alert
from farebox.core.credit.budgets import Budget
from farebox.core.credit.grants import Grant
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.ids import NUMBER_MAX, SEQ_MAX
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.transfers import Transfer
from farebox.storage import rows
from farebox.storage.months import Month
from farebox.storage.records import BalanceSum, BookRows, BudgetedKey, MonthSum, RevenueSums


class StatementSnapshot(ABC):
    """A `Snapshot` over a connection of its own."""

    def __init__(self, chunk_rows: int) -> None:
        self._chunk_rows = chunk_rows

    @abstractmethod
    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        """Read short books at once."""

    @abstractmethod
    async def _rows(self, name: str, *values: Any) -> Sequence[Any]:
        """Run a named statement."""

    async def merchant_ids(self) -> list[int]:
        """List every merchant, in order."""
        return [row[0] for row in await self._rows("merchant_ids")]

    async def transfers_total(self, merchant_id: int | None) -> int:
        """Tell how many transfers there are by the accounts."""
        first, last = (1, NUMBER_MAX) if merchant_id is None else (merchant_id, merchant_id)
        found = await self._rows("transfers_total", first, last)
        return int(min(found[0][0], NUMBER_MAX))

    async def account(self, merchant_id: int) -> Account | None:
        """Read a merchant's account, unchecked."""
        found = await self._rows("account", merchant_id)
        return rows.account_from_row(found[0]) if found else None

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        """Read a merchant's whole book in order of seq, in chunks."""
        async for found in self.transfer_rows(merchant_id):
            yield [rows.transfer_from_row(row) for row in found]

    async def transfer_rows(self, merchant_id: int) -> AsyncIterator[Sequence[Any]]:
        """Read a merchant's whole book in order of seq, in chunks, as it is stored.

        Each chunk is a stretch of the index. A cursor for each of many books would stay with the server to the end.
        """
        after = 0
        while True:
            found = await self._rows("transfers_oldest_first", merchant_id, after + 1, SEQ_MAX, self._chunk_rows)
            if found:
                yield found
            if len(found) < self._chunk_rows:
                return
            after = found[-1][1]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        """Read single transfers of a book by their seq."""
        if not seqs:
            return {}
        return rows.transfers_by_seq(await self._rows("transfers_at", merchant_id, list(seqs)))

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        """Read all of a merchant's holds, unchecked."""
        return [rows.hold_from_row(row) for row in await self._rows("holds", merchant_id)]

    async def alerts(self, merchant_id: int) -> Sequence[Alert]:
        """Read all of a merchant's alerts."""
        return [rows.alert_from_row(row) for row in await self._rows("all_alerts", merchant_id)]

    async def grants(self, merchant_id: int) -> Sequence[Grant]:
        """Read all of a merchant's grants, unchecked."""
        return [rows.grant_from_row(row) for row in await self._rows("all_grants", merchant_id)]

    async def default_prices(self) -> Mapping[int, Price]:
        """Read every version of the default prices, by its number."""
        return _by_number(await self._rows("default_prices"))

    async def own_prices(self, merchant_ids: Sequence[int]) -> Mapping[int, Price]:
        """Read every version of merchants' own prices, by its number."""
        return _by_number(await self._rows("own_prices_of", list(merchant_ids)))

    async def period_counts(self, merchant_ids: Sequence[int]) -> Sequence[PeriodCount]:
        """Read all counts of merchants' periods."""
        return [PeriodCount(*row) for row in await self._rows("period_counts_of", list(merchant_ids))]

    async def shortfalls(self, merchant_ids: Sequence[int]) -> Sequence[Shortfall]:
        """Read all of merchants' shortfalls."""
        return [Shortfall(*row) for row in await self._rows("shortfalls_of", list(merchant_ids))]

    async def budgets(self, merchant_ids: Sequence[int]) -> Sequence[Budget]:
        """Read all budgets of merchants' keys."""
        return [Budget(*row) for row in await self._rows("budgets_of_merchants", list(merchant_ids))]

    async def budgets_of_keys(self, merchant_ids: Sequence[int]) -> Sequence[BudgetedKey]:
        """Tell which of merchants' keys spends from which budget, if any."""
        return [BudgetedKey(*row) for row in await self._rows("budgets_of_keys", list(merchant_ids))]

    async def hour_marks(self, merchant_ids: Sequence[int]) -> Mapping[int, int]:
        """Tell up to which transfer merchants' books are rolled up by hours."""
        return {row[0]: row[1] for row in await self._rows("hour_marks", list(merchant_ids))}

    async def spent_by_hour(self, merchant_ids: Sequence[int]) -> Mapping[int, Mapping[int, int]]:
        """Read what merchants spent in each hour, as it is rolled up."""
        found: dict[int, dict[int, int]] = {}
        for merchant_id, hour, spent in await self._rows("hours_of_merchants", list(merchant_ids)):
            found.setdefault(merchant_id, {})[hour] = spent
        return found

    async def revenue(self, first: Month, last: Month) -> RevenueSums:
        """Sum months up: what is rolled up, and what is not yet."""
        opening = _balances(await self._rows("balances_before", first.number, first.starts_at))
        closing = _balances(await self._rows("balances_before", last.plus(1).number, last.ends_at))
        moved: dict[tuple[Any, ...], list[int]] = {}
        for row in (
            *await self._rows("revenue_moved", first.number, last.number),
            *await self._rows("revenue_not_rolled_up", first.starts_at, last.ends_at),
        ):
            sums = moved.setdefault(tuple(row[:4]), [0, 0, 0])
            for index, amount in enumerate(_whole(row[4:])):
                sums[index] += amount
        return RevenueSums(
            [
                MonthSum(Month.numbered(month), currency, kind, request_type or None, *sums)
                for (month, currency, kind, request_type), sums in sorted(moved.items())
            ],
            opening,
            closing,
        )


def _balances(found: Sequence[Any]) -> dict[str, BalanceSum]:
    """Read what merchants had, by currency; one in which nobody has anything is absent."""
    return {row[0]: BalanceSum(*sums) for row in found if any(sums := _whole(row[1:]))}


def _whole(halves: Sequence[int]) -> list[int]:
    """Put sums together that are kept as whole billions and a rest."""
    return [rows.whole_sum(*half) for half in zip(halves[::2], halves[1::2], strict=True)]


def _by_number(found: Sequence[Any]) -> Mapping[int, Price]:
    return {row[0]: rows.price_from_row(row) for row in found}
