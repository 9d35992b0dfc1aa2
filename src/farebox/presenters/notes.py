"""What staff noted about merchants, as it stands in JSON."""

from typing import Annotated

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.presenters.fields import Time, id_schema
from farebox.service import inputs
from farebox.service.operator.annotations import MerchantNote


class NoteData(Struct, frozen=True, rename="camel"):
    """A note about a merchant."""

    note_id: Annotated[str, Meta(examples=["note_01K9ABCDEFGHJ"], extra_json_schema=id_schema(ids.NOTE))]
    at: Time
    author: Annotated[str, Meta(description="Who noted it, as the audit log names them.", examples=["ann@pay.example"])]
    text: Annotated[str, Meta(examples=["pays by the quarter"])]


def note_data(note: MerchantNote) -> NoteData:
    """Tell of a note."""
    return NoteData(ids.public_id(ids.NOTE, note.note_id), inputs.format_time(note.created_at), note.author, note.text)
