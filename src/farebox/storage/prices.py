"""Prices: every version of the defaults and of merchants' own. Batches look up the one in force by themselves."""

from collections.abc import Sequence

from farebox.core.audit_log import AuditEntry
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.storage import rows
from farebox.storage.records import Repeat
from farebox.storage.subject import SubjectStore


class PriceStore(SubjectStore):
    """The prices of one database."""

    async def add(
        self, price: Price, created_at: int, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Add a version of a price, a default or a merchant's own.

        Raises:
            NotFound: no such merchant.
            AlreadyExists: a version with this start is there already, or the id is taken.
        """
        is_default = price.merchant_id is None
        name = "insert_default_price" if is_default else "insert_merchant_price"
        await self._write(name, *rows.price_to_row(price), created_at, audit_entry=audit_entry, repeat=repeat)

    async def withdraw(self, price: Price, now: int, audit_entry: AuditEntry | None = None) -> None:
        """Withdraw a version.

        Raises:
            NotFound: it has started, or was withdrawn.
        """
        name = "withdraw_default_price"
        values: list[int | str] = [price.price_id]
        if price.merchant_id is not None:
            name, values = "withdraw_merchant_price", [price.merchant_id, price.request_type, price.price_id]
        await self._change(name, *values, now, missing="the price has started", audit_entry=audit_entry)

    async def in_force(self, merchant_id: int | None, request_type: str, now: int) -> Price | None:
        """Read the version of a default price, or of a merchant's own, that has started last."""
        if merchant_id is None:
            row = await self._row("default_price_at", request_type, now)
        else:
            row = await self._row("merchant_price_at", merchant_id, request_type, now)
        return None if row is None else rows.price_from_row(row)

    async def period_counts(self, merchant_id: int, request_type: str, starts_at: int) -> Sequence[PeriodCount]:
        """Read the units that a merchant's requests of a type came to in the period that began at a time."""
        found = await self._rows("period_counts", merchant_id, request_type, starts_at, starts_at)
        return [PeriodCount(*row) for row in found]

    async def shows_clock_behind(self, merchant_id: int, request_type: str, now: int) -> bool:
        """Tell whether a type has a price that starts only after `now`, and that shows that `now` is in the past.

        It was made after `now`, or has started by the time of the merchant's last transfer.
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
