"""The audit log: who did what from where, in pages."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.audit_log import AuditEntry
from farebox.service import parsing
from farebox.service.errors import InvalidInput, translated
from farebox.storage.records import Realm
from farebox.storage.stores import Stores

_OPERATOR: Final = 0


class ActorNames(Struct, frozen=True):
    """What people are called who did something: staff by their addresses, and by their ids the makers of keys."""

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
        before = (ids.NUMBER_MAX, ids.NUMBER_MAX) if cursor is None else _parse_cursor(cursor)
        if merchant_id == _OPERATOR:
            # What concerns the operator as a whole is kept under this number, and is no merchant's.
            return [], None
        with translated():
            entries = await self._stores.audit_log.list(merchant_id=merchant_id, before=before, limit=limit)
        more = len(entries) == limit
        return entries, ids.encode_number(entries[-1].at) + ids.encode_number(entries[-1].entry_id) if more else None

    async def names(self, entries: Iterable[AuditEntry]) -> ActorNames:
        """Read what those are called who did this."""
        if not any(True for _ in entries):
            return ActorNames({}, {})
        with translated():
            staff = await self._stores.logins.list(Realm.SUPPORT)
        return ActorNames({login.email: login.name for login in staff}, {})


def _parse_cursor(cursor: str) -> tuple[int, int]:
    """Read the time and the number of the last entry before a page."""
    try:
        return parsing.decode_number(cursor[: ids.NUMBER_CHARS]), parsing.decode_number(cursor[ids.NUMBER_CHARS :])
    except parsing.InvalidId as error:
        raise InvalidInput("cursor", "not a cursor that a page of this list came with") from error
