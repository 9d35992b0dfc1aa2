"""Accounts, read one by one as they stand now."""

from farebox.core.accounts import Account
from farebox.storage import rows
from farebox.storage.subject import SubjectStore


class AccountStore(SubjectStore):
    """Merchants' accounts. Batches alone write them."""

    async def find(self, merchant_id: int) -> Account | None:
        """Read an account as of now, checked.

        Raises:
            InvariantViolation: the stored row breaks a rule.
        """
        row = await self._row("account", merchant_id)
        return None if row is None else rows.checked_account_from_row(row)
