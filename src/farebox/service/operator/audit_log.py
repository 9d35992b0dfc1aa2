"""The audit log: who did what from where, in pages."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.audit_log import AuditEntry
from farebox.core.people import read_people
from farebox.service.cursors import read_cursor, write_cursor
from farebox.service.errors import translated
from farebox.storage.records import Realm
from farebox.storage.stores import Stores

_OPERATOR: Final = 0


class ActorNames(Struct, frozen=True):
    """What people are called who did something: staff by their addresses, and by keys' ids the staff who made them.

    A key that was made at the server's shell, or by nobody knows whom, has no maker of the staff.
    """

    staff: Mapping[str, str]
    makers: Mapping[int, str]


class AuditLog:
    """Reads of the audit log. Every method may raise Unavailable."""

    def __init__(self, stores: Stores) -> None:
        """Read from these stores."""
        self._stores = stores

    async def page(
        self, *, merchant_id: int | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[AuditEntry], str | None]:
        """List entries, newest first, and the cursor of the next page, if there may be one.

        Raises:
            InvalidInput: this method gave out no such cursor.
        """
        before = read_cursor(cursor, (ids.NUMBER_MAX, ids.NUMBER_MAX))
        if merchant_id == _OPERATOR:
            # What concerns the operator as a whole is kept under this number, and is no merchant's.
            return [], None
        with translated():
            entries = await self._stores.audit_log.list(merchant_id=merchant_id, before=before, limit=limit)
        more = len(entries) == limit
        return entries, write_cursor(entries[-1].at, entries[-1].entry_id) if more else None

    async def names(self) -> ActorNames:
        """Read what staff are called, and the staff who made keys."""
        with translated():
            staff = await self._stores.logins.list(Realm.SUPPORT)
            keys = await self._stores.api_keys.list(None)
        by_number = {login.login_id: login.name for login in staff}
        makers = {
            key.key_id: " and ".join(by_number[number] for number in sorted(read_people(key.people) & by_number.keys()))
            for key in keys
        }
        by_address = {login.email: login.name for login in staff}
        return ActorNames(by_address, {key_id: names for key_id, names in makers.items() if names})
