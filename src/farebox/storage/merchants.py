"""Merchants: their names, and lists of them with their accounts and runway snapshots."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import astuple

from farebox.core.accounts import Account
from farebox.core.approvals import LoneMove
from farebox.core.audit_log import AuditEntry
from farebox.core.people import write_people
from farebox.storage import rows
from farebox.storage.columns import ACCOUNT, MERCHANT
from farebox.storage.interface import Fetch
from farebox.storage.makers import people_of
from farebox.storage.records import (
    COMMAND_LINE_MAKER,
    ApiKey,
    Counts,
    Maker,
    Merchant,
    MerchantFilter,
    MerchantNote,
    MerchantOrder,
    Repeat,
    RunwaySnapshot,
    User,
)
from farebox.storage.subject import SubjectStore

_ORDERS: Final = {
    MerchantOrder.RUNS_OUT: "merchants_by_runs_out",
    MerchantOrder.AVAILABLE: "merchants_by_available",
    MerchantOrder.LAST: "merchants_by_last",
    MerchantOrder.AGE: "merchants_by_age",
    MerchantOrder.CLOSING: "merchants_by_closing",
}
_ACCOUNT_AT: Final = len(MERCHANT.columns)
_RUNWAY_SNAPSHOT_AT: Final = _ACCOUNT_AT + len(ACCOUNT.columns)


ALL_MERCHANTS: Final = MerchantFilter()


class MerchantStore(SubjectStore):
    """The merchants of one database."""

    async def create(
        self,
        merchant: Merchant,
        account: Account,
        key: ApiKey,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
        *,
        maker: Maker = COMMAND_LINE_MAKER,
    ) -> None:
        """Add a merchant, its empty account and its first API key; a credit limit is what its maker moved alone.

        Raises:
            AlreadyExists: the id is taken.
            InvariantViolation: the account breaks a rule.
        """

        async def create(fetch: Fetch) -> None:
            await self._claim(fetch, repeat)
            await fetch(self._sql["insert_merchant"], *astuple(merchant))
            await fetch(self._sql["insert_account"], *rows.account_to_row(account))
            await fetch(self._sql["insert_merchant_key"], *rows.api_key_to_row(key))
            if account.credit_limit:
                people = write_people(await people_of(fetch, self._sql, maker))
                move = LoneMove(
                    merchant.merchant_id, merchant.created_at, merchant.merchant_id, people, account.credit_limit
                )
                await fetch(self._sql["insert_lone_move"], *rows.lone_move_to_row(move))

        await self._connector.run_in_transaction(create, audit_entry)

    async def add_all(self, added: Sequence[tuple[Merchant, Account, User | None]]) -> None:
        """Add merchants with their empty accounts, and a user of each that has one: all of them or none.

        Raises:
            AlreadyExists: an id is taken.
            InvariantViolation: an account breaks a rule.
        """

        async def add(fetch: Fetch) -> None:
            for merchant, account, user in added:
                await fetch(self._sql["insert_merchant"], *astuple(merchant))
                await fetch(self._sql["insert_account"], *rows.account_to_row(account))
                if user is not None:
                    await fetch(self._sql["insert_user"], *rows.user_to_row(user))

        await self._connector.run_in_transaction(add)

    async def currencies(self, merchant_ids: Sequence[int]) -> Mapping[int, str]:
        """Read several merchants' currencies; a merchant that is not there is absent."""
        return {row[0]: row[1] for row in await self._rows("merchant_currencies", list(merchant_ids))}

    async def rename(self, merchant_id: int, name: str, audit_entry: AuditEntry | None = None) -> None:
        """Change a merchant's name.

        Raises:
            NotFound: no such merchant.
        """
        missing = f"no merchant {merchant_id}"
        await self._change("rename_merchant", merchant_id, name, missing=missing, audit_entry=audit_entry)

    async def set_tags(self, merchant_id: int, tags: str, audit_entry: AuditEntry | None = None) -> None:
        """Change a merchant's tags, as its record has them.

        Raises:
            NotFound: no such merchant.
        """
        missing = f"no merchant {merchant_id}"
        await self._change("set_tags", merchant_id, tags, missing=missing, audit_entry=audit_entry)

    async def add_note(
        self, note: MerchantNote, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        """Note something about a merchant."""
        await self._write("insert_note", *astuple(note), audit_entry=audit_entry, repeat=repeat)

    async def notes(self, merchant_id: int, *, before: int, limit: int) -> Sequence[MerchantNote]:
        """List what was noted about a merchant, newest first: those numbered below `before`, at most `limit`."""
        return [MerchantNote(*row) for row in await self._rows("merchant_notes", merchant_id, before, limit)]

    async def find(self, merchant_id: int) -> Merchant | None:
        """Read a merchant's name and the like."""
        row = await self._row("merchant", merchant_id)
        return None if row is None else Merchant(*row)

    async def names(self, merchant_ids: Sequence[int]) -> Mapping[int, str]:
        """Read several merchants' names; a merchant that is not there is absent."""
        return {row[0]: row[1] for row in await self._rows("merchant_names", list(merchant_ids))}

    async def page(
        self, after: int, limit: int, wanted: MerchantFilter = ALL_MERCHANTS
    ) -> Sequence[tuple[Merchant, Account]]:
        """List the wanted merchants in order of id, those above `after`, at most `limit`."""
        state = -1 if wanted.is_closed is None else int(wanted.is_closed)
        pattern = "" if wanted.tag is None else _tag_pattern(wanted.tag)
        found = await self._rows("merchants", after, limit, state, pattern)
        return [(Merchant(*row[:_ACCOUNT_AT]), rows.checked_account_from_row(row[_ACCOUNT_AT:])) for row in found]

    async def in_order(self, order: MerchantOrder, *, limit: int, offset: int) -> Sequence[int]:
        """List merchants' numbers in an order; those whose money does not run out are not in RUNS_OUT."""
        return [row[0] for row in await self._rows(_ORDERS[order], limit, offset)]

    async def search(self, text: str, *, limit: int, offset: int) -> Sequence[int]:
        """List the numbers of merchants whose name, or a user's address, holds a text; newest first.

        ASCII matches in upper and lower case alike.
        """
        if "\0" in text:
            # PostgreSQL has no texts with it, so no name holds it.
            return []
        # As the databases' own lower() does, which leaves characters beyond ASCII as they are.
        lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
        return [row[0] for row in await self._rows("search_merchants", f"%{_escaped(lowered)}%", limit, offset)]

    async def with_tag(self, tag: str, *, limit: int, offset: int) -> Sequence[int]:
        """List the numbers of merchants that have a tag, newest first."""
        return [row[0] for row in await self._rows("merchants_with_tag", _tag_pattern(tag), limit, offset)]

    async def with_accounts(
        self, merchant_ids: Sequence[int]
    ) -> Sequence[tuple[Merchant, Account, RunwaySnapshot | None]]:
        """Read these merchants with their accounts and runway snapshots, in this order, those that are there."""
        return [
            (
                Merchant(*row[:_ACCOUNT_AT]),
                rows.checked_account_from_row(row[_ACCOUNT_AT:_RUNWAY_SNAPSHOT_AT]),
                None if row[_RUNWAY_SNAPSHOT_AT] is None else RunwaySnapshot(*row[_RUNWAY_SNAPSHOT_AT:]),
            )
            for row in await self._rows("merchant_rows", list(merchant_ids))
        ]

    async def counts(self) -> Counts:
        """Count merchants, transfers and mails that wait; it looks at every account."""
        (row,) = await self._rows("counts")
        return Counts(*row)


def _escaped(text: str) -> str:
    """Write a text as a pattern has it that is to hold it."""
    return "".join(f"!{letter}" if letter in "!%_" else letter for letter in text)


def _tag_pattern(tag: str) -> str:
    return f"%,{_escaped(tag)},%"
