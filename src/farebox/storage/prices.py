"""Prices: every version of the defaults and of merchants' own. Batches look up the one in force by themselves."""

from collections.abc import Callable, Sequence

from farebox.core.audit_log import AuditEntry
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, Price
from farebox.core.transfers import Transfer
from farebox.storage import rows
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.records import Repeat
from farebox.storage.subject import SubjectStore


class PriceStore(SubjectStore):
    """The prices of one database."""

    async def add(
        self, price: Price, created_at: int, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Add a version of a price, a default or a merchant's own.

        Raises:
            NotFound: no such merchant; or it ends a price, and none is in force then that could end.
            AlreadyExists: a version with this start is there already, or the id is taken.
        """
        await self.add_all([price], created_at, audit_entry, repeat)

    async def add_all(
        self,
        prices: Sequence[Price],
        created_at: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        """Add versions in one transaction, all of them made at one time; none of them, if one can't be added.

        Raises:
            NotFound: no such merchant; or one ends a price, and none is in force then that could end.
            AlreadyExists: a version with such a start is there already, or an id is taken.
        """

        async def add(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            for price in prices:
                if price.is_end:
                    await self._check_end(fetch, price)
                name = "insert_default_price" if price.merchant_id is None else "insert_merchant_price"
                await fetch(self._sql[name], *rows.price_to_row(price), created_at)

        await self._connector.run_in_transaction(add, audit_entry)

    async def made_with(self, merchant_id: int | None, price_id: int) -> Sequence[Price]:
        """List the versions that were made at the same time as one of them, by type and start; itself too."""
        if merchant_id is None:
            found = await self._rows("default_prices_made_with", price_id)
        else:
            found = await self._rows("merchant_prices_made_with", merchant_id, price_id)
        return [rows.price_from_row(row) for row in found]

    async def _check_end(self, fetch: Fetch, price: Price) -> None:
        """See that a price is in force when it is to end; of two who end it at once, one does."""
        await fetch(self._sql["lock_prices"])
        if price.merchant_id is None:
            found = await fetch(self._sql["default_price_at"], price.request_type, price.starts_at)
        else:
            key = price.merchant_id, price.request_type, price.starts_at
            found = await fetch(self._sql["merchant_price_at"], *key)
        if not found or rows.price_from_row(found[0]).is_end:
            raise NotFound("no price is in force then")

    async def withdraw(self, price: Price, now: Callable[[], int], audit_entry: AuditEntry | None = None) -> None:
        """Withdraw a version, so that nothing is ever charged by it.

        Where it starts soon, batches wait meanwhile, and `now` is asked once none is under way that may have met it.

        Raises:
            NotFound: it has started, or was withdrawn.
        """

        async def withdraw(fetch: Fetch) -> None:
            if price.starts_at <= now() + CLOCK_LAG_MICROS_MAX:
                await fetch(self._sql["hold_batches_up"])
            withdrawn_at = now()
            if price.merchant_id is None:
                times = withdrawn_at, withdrawn_at + CLOCK_LAG_MICROS_MAX
                found = await fetch(self._sql["withdraw_default_price"], price.price_id, *times)
            else:
                key = price.merchant_id, price.request_type, price.price_id
                found = await fetch(self._sql["withdraw_merchant_price"], *key, withdrawn_at)
            if not found:
                raise NotFound("the price has started")

        await self._connector.run_in_transaction(withdraw, audit_entry)

    async def in_force(self, merchant_id: int | None, request_type: str, now: int) -> Price | None:
        """Read the version of a default price, or of a merchant's own, that has started last."""
        if merchant_id is None:
            row = await self._row("default_price_at", request_type, now)
        else:
            row = await self._row("merchant_price_at", merchant_id, request_type, now)
        return None if row is None else rows.price_from_row(row)

    async def period_counts(self, merchant_id: int, request_type: str, starts_at: int) -> Sequence[PeriodCount]:
        """Read the units that a merchant's requests of a type came to in periods that began at a time."""
        found = await self._rows("period_counts", merchant_id, request_type, starts_at, starts_at)
        return [PeriodCount(*row) for row in found]

    async def shows_clock_behind(self, merchant_id: int, request_type: str, now: int) -> bool:
        """Tell whether a type has a price that starts only after `now`, and that shows that `now` is in the past.

        It ends no other price, and was made after `now`, or has started by the time of the merchant's last transfer.
        """
        return bool(await self._rows("later_price", merchant_id, request_type, now))

    async def is_any_made_after(self, now: int) -> bool:
        """Tell whether a default price was made after `now`."""
        return bool(await self._rows("price_made_after", now))

    async def list(self, merchant_id: int | None) -> Sequence[Price]:
        """List every version of the default prices (None) or of a merchant's own, by type and start."""
        if merchant_id is None:
            found = await self._rows("default_prices")
        else:
            found = await self._rows("merchant_prices", merchant_id)
        return [rows.price_from_row(row) for row in found]

    async def page(self, merchant_id: int | None, after: Price | None, *, limit: int) -> Sequence[Price]:
        """List versions as `list` does, `limit` at most, that come after one of them; from the first one, if None."""
        position = ("", 0, 0) if after is None else (after.request_type, after.starts_at, after.price_id)
        if merchant_id is None:
            found = await self._rows("default_prices_page", *position, limit)
        else:
            found = await self._rows("merchant_prices_page", merchant_id, *position, limit)
        return [rows.price_from_row(row) for row in found]

    async def find(self, merchant_id: int | None, price_id: int) -> Price | None:
        """Read one version of the default prices (None) or of a merchant's own, by its id."""
        if merchant_id is None:
            row = await self._row("default_price", price_id)
        else:
            row = await self._row("merchant_price", merchant_id, price_id)
        return None if row is None else rows.price_from_row(row)

    async def named_by(self, transfer: Transfer) -> Price | None:
        """Read the version that a transfer names; None if it names none, or one that is not there."""
        if transfer.price_id is None or transfer.request_type is None:
            return None
        values = (transfer.merchant_id, transfer.request_type, transfer.price_id)
        found = await self._rows("price_of_number", *values)
        return rows.price_from_row(found[0]) if found else None

    async def versions(self, merchant_id: int | None, request_type: str) -> Sequence[Price]:
        """List every version of the default price of a type (None), or of a merchant's own, by start."""
        if merchant_id is None:
            found = await self._rows("default_price_versions", request_type)
        else:
            found = await self._rows("merchant_price_versions", merchant_id, request_type)
        return [rows.price_from_row(row) for row in found]

    async def own_count(self, request_type: str, at: int) -> int:
        """Tell how many merchants have a price of their own of a type in force at a time."""
        row = await self._row("own_prices_count", request_type, at)
        return 0 if row is None else int(row[0])
