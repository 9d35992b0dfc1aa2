"""All merchants as CSV, with their balances, states and tags, in pieces: however many there are."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from farebox.core.accounts import Account
from farebox.core.money import format_amount
from farebox.service import inputs
from farebox.service.csv_files import csv_lines, defused
from farebox.service.operator.merchants import PAGE_ROWS, Merchant, MerchantFilter, Merchants

_COLUMNS: Final = (
    *("merchantId", "name", "state", "currency", "posted", "held", "available", "given", "owed", "creditLimit"),
    *("tags", "createdAt", "lastTransferAt", "closedAt"),
)


async def merchants_csv(merchants: Merchants, wanted: MerchantFilter) -> AsyncIterator[bytes]:
    """Write the wanted merchants, oldest first, a page at a time."""
    yield csv_lines([_COLUMNS])
    after = None
    while page := await merchants.page(after=after, limit=PAGE_ROWS, wanted=wanted):
        yield csv_lines([_row(merchant, account) for merchant, account in page])
        after = page[-1][0].merchant_id


def _state_word(account: Account) -> str:
    """Name a merchant's state: closed, frozen or active."""
    if account.closed_at is not None:
        return "closed"
    return "frozen" if account.is_frozen else "active"


def _row(merchant: Merchant, account: Account) -> Sequence[str | None]:
    return (
        merchant.id,
        defused(merchant.name),
        _state_word(account),
        account.currency,
        format_amount(account.posted),
        format_amount(account.held),
        format_amount(account.available),
        format_amount(account.given),
        format_amount(account.owed),
        format_amount(account.credit_limit),
        defused(", ".join(merchant.tag_list)),
        inputs.format_time(merchant.created_at),
        inputs.format_time(account.last_at) if account.seq else None,
        None if account.closed_at is None else inputs.format_time(account.closed_at),
    )
