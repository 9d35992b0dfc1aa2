"""What staff write about merchants for each other: tags to find them by, and notes. Merchants see none of it."""

from collections.abc import Sequence
from typing import Final

from farebox.core import ids
from farebox.core.audit_log import Action
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Missing, translated, unknown_merchant
from farebox.service.id_generator import IdGenerator
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.service.repeats import RequestKey, repeat_of
from farebox.storage.records import MerchantNote
from farebox.storage.stores import Stores

__all__ = ["Annotations", "MerchantNote"]

SHELL: Final = "the command line"
"""The author of notes that no principal wrote."""


class Annotations:
    """Tags and notes. Every method may raise InvalidInput, UnknownMerchant, Forbidden or Unavailable."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._id_generator = IdGenerator(clock)

    async def set_tags(self, merchant_id: int, tags: Sequence[str], *, principal: Principal | None) -> None:
        """Replace a merchant's tags, all of them; what they were already is left as it is."""
        ensure_may(principal, Operation.ANNOTATE)
        checked = inputs.tags("tags", tags)
        with translated():
            merchant = await self._stores.merchants.find(merchant_id)
            if merchant is None:
                raise unknown_merchant(merchant_id)
            if list(checked) == merchant.tag_list:
                return
            audit_entry = audit_entry_by(
                principal,
                self._clock.now(),
                Action.SET_TAGS,
                merchant_id=merchant_id,
                subject=merchant.id,
                detail=", ".join(checked) or "none",
            )
            text = f",{','.join(checked)}," if checked else ""
            await self._stores.merchants.set_tags(merchant_id, text, audit_entry)

    async def note(
        self,
        merchant_id: int,
        text: str,
        *,
        principal: Principal | None,
        request_key: RequestKey | None = None,
    ) -> MerchantNote:
        """Note something about a merchant, under the name of who asks; it stays, as the audit log does."""
        ensure_may(principal, Operation.ANNOTATE)
        checked, now = inputs.note("text", text), self._clock.now()
        author = SHELL if principal is None else principal.name
        note = MerchantNote(merchant_id, self._id_generator.next(), now, author, checked)
        subject = ids.public_id(ids.NOTE, note.note_id)
        audit_entry = audit_entry_by(
            principal, now, Action.NOTE, merchant_id=merchant_id, subject=subject, detail=checked
        )
        with translated():
            if await self._stores.merchants.find(merchant_id) is None:
                raise unknown_merchant(merchant_id)
            await self._stores.merchants.add_note(note, audit_entry, repeat_of(request_key, note.note_id, now))
        return note

    async def made(self, merchant_id: int, note_id: int) -> MerchantNote:
        """Read again what `note` wrote.

        Raises:
            Missing: there is no such note.
        """
        with translated():
            notes = await self._stores.merchants.notes(merchant_id, before=note_id + 1, limit=1)
        if not notes or notes[0].note_id != note_id:
            raise Missing("there is no such note")
        return notes[0]

    async def notes(self, merchant_id: int, *, before: int | None, limit: int) -> Sequence[MerchantNote]:
        """List what was noted about a merchant, newest first: those before a note, at most `limit`."""
        with translated():
            return await self._stores.merchants.notes(
                merchant_id, before=ids.NUMBER_MAX if before is None else before, limit=limit
            )
