"""An entry of the audit log."""

from datetime import UTC, tzinfo
from typing import Annotated

from msgspec import Meta, Struct, field

from farebox.core import ids
from farebox.core.audit_log import AuditEntry
from farebox.presenters.audit_words import audit_sentence
from farebox.presenters.fields import KeyId, MerchantId, Time, id_or_none
from farebox.service import inputs
from farebox.service.operator.audit_log import ActorNames


class AuditEntryData(Struct, frozen=True, rename="camel"):
    """The audit log's entries."""

    at: Time
    # Clients know the actor by the name that it had in the first release.
    actor: Annotated[str, Meta(examples=["ann"])] = field(name="person")
    key_id: KeyId | None
    address: Annotated[str | None, Meta(examples=["203.0.113.7"])]
    action: Annotated[str, Meta(examples=["top_up"])]
    merchant_id: MerchantId | None
    subject: Annotated[str | None, Meta(examples=["xfer_01K9ABCDEFGHJ00000002"])]
    detail: Annotated[str, Meta(examples=["top_up of 12.50 USD, INV-2026-001"])]
    sentence: Annotated[
        str,
        Meta(
            description="Who did what, for people to read; it may be worded otherwise by a later version.",
            examples=["Ann topped up 12.50 USD, INV-2026-001"],
        ),
    ]


def audit_entry_data(entry: AuditEntry, names: ActorNames, zone: tzinfo | None = UTC) -> AuditEntryData:
    """Tell who did what from where; the sentence's times are those of a zone."""
    return AuditEntryData(
        at=inputs.format_time(entry.at),
        actor=entry.actor,
        key_id=id_or_none(ids.KEY, entry.key_id),
        address=entry.address,
        action=entry.action,
        merchant_id=id_or_none(ids.MERCHANT, entry.merchant_id),
        subject=entry.subject,
        detail=entry.detail,
        sentence=audit_sentence(entry, names, zone),
    )
