"""An API key, whose text is shown once and never again."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import StaffRoleWord, role_words
from farebox.presenters.fields import KeyId, MerchantId, Time, id_or_none, time_or_none
from farebox.service import inputs
from farebox.service.operator.merchants import ApiKey, NewKey

KEY_KIND_WORDS: Final[dict[int, Literal["merchant", "service", "support"]]] = {
    KeyKind.MERCHANT: "merchant",
    KeyKind.SERVICE: "service",
    KeyKind.SUPPORT: "support",
}


class KeyData(Struct, frozen=True, rename="camel"):
    """An API key, without its text, which nobody can read again."""

    key_id: KeyId
    kind: Annotated[Literal["merchant", "service", "support"], Meta(examples=["service"])]
    hint: Annotated[str, Meta(description="Its prefix and last four.", examples=["fbs_…8K2P"])]
    merchant_id: MerchantId | None
    name: Annotated[str | None, Meta(description="Which service or person.", examples=["recognition"])]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    roles: Annotated[
        list[StaffRoleWord], Meta(description="What a support key may do; empty for other keys.", examples=[[]])
    ]


class NewKeyData(Struct, frozen=True, rename="camel"):
    """An API key just made. Its text is shown this once and can't be read again."""

    api_key: Annotated[
        str | None,
        Meta(
            description="Null in the answer to a repeat: make another key if the first answer was lost.",
            examples=["fbs_0123456789ABCDEFGHJKMNPQRS"],
        ),
    ]
    key: KeyData


def key_state(key: ApiKey, now: int) -> Literal["valid", "ending", "expired", "revoked"]:
    """Tell whether a key opens anything, and whether it is to end."""
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    return "ending" if key.expires_at > now else "expired"


def is_working(key: ApiKey, now: int) -> bool:
    """Tell whether a key opens anything."""
    return key_state(key, now) in ("valid", "ending")


def key_data(key: ApiKey) -> KeyData:
    """Tell of an API key."""
    return KeyData(
        key_id=ids.public_id(ids.KEY, key.key_id),
        kind=KEY_KIND_WORDS[key.kind],
        hint=key.hint,
        merchant_id=id_or_none(ids.MERCHANT, key.merchant_id),
        name=key.name,
        created_at=inputs.format_time(key.created_at),
        expires_at=time_or_none(key.expires_at),
        revoked_at=time_or_none(key.revoked_at),
        roles=role_words(key.roles),
    )


def new_key_data(key: NewKey) -> NewKeyData:
    """Tell of an API key that was made, with its text if this is the first time."""
    return NewKeyData(api_key=key.text or None, key=key_data(key.key))
