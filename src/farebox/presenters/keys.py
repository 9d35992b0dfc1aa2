"""An API key, whose text is shown once and never again."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.credit.budgets import BUDGET_WORDS
from farebox.core.money import format_amount
from farebox.core.staff_roles import StaffRoleWord, role_words
from farebox.presenters.fields import AMOUNT_OUT, KeyId, MerchantId, Time, id_or_none, time_or_none
from farebox.service import inputs
from farebox.service.operator.key_budgets import KeyBudget, unit_words
from farebox.service.operator.merchants import ApiKey, NewKey

KEY_KIND_WORDS: Final[dict[int, Literal["merchant", "service", "support"]]] = {
    KeyKind.MERCHANT: "merchant",
    KeyKind.SERVICE: "service",
    KeyKind.SUPPORT: "support",
}


class LimitData(Struct, frozen=True, rename="camel"):
    """One limit of a key's budget at this moment."""

    per: Annotated[Literal["day", "week", "month", "total"], Meta(description="Total: in all.", examples=["day"])]
    amount: Annotated[str, Meta(examples=["10.00"], extra_json_schema=AMOUNT_OUT)]
    spent: Annotated[
        str,
        Meta(description="What was spent in its present period.", examples=["7.50"], extra_json_schema=AMOUNT_OUT),
    ]
    left: Annotated[str, Meta(examples=["2.50"], extra_json_schema=AMOUNT_OUT)]
    starts_anew_at: Annotated[Time | None, Meta(description="Null: it never does.")]


RoleName = Annotated[StaffRoleWord, Meta(title="StaffRole", description="A role of the operator's staff.")]


class BudgetData(Struct, frozen=True, rename="camel"):
    """What a key may spend, together with its predecessors and successors."""

    time_zone: Annotated[
        str, Meta(description="Whose days, weeks (from Monday) and months these are.", examples=["Europe/Berlin"])
    ]
    limits: list[LimitData]


class KeyData(Struct, frozen=True, rename="camel"):
    """An API key, without its text, which nobody can read again."""

    key_id: KeyId
    kind: Annotated[Literal["merchant", "service", "support"], Meta(examples=["service"])]
    hint: Annotated[str, Meta(description="Its prefix and last four.", examples=["fbs_…8K2P"])]
    merchant_id: MerchantId | None
    name: Annotated[
        str | None,
        Meta(description="Which service or person, or what a merchant uses it for.", examples=["recognition"]),
    ]
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    suspended_at: Annotated[
        Time | None,
        Meta(description="Since when a merchant's key is suspended: it opens nothing until it is resumed."),
    ]
    roles: Annotated[
        list[RoleName], Meta(description="What a support key may do; empty for other keys.", examples=[[]])
    ]
    budget: Annotated[BudgetData | None, Meta(description="What a merchant's key may spend; null: all.")] = None


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


KeyState = Literal["valid", "ending", "suspended", "expired", "revoked"]


def key_state(key: ApiKey, now: int) -> KeyState:
    """Tell whether a key opens anything, and whether it is to end."""
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if key.suspended_at is not None:
        return "suspended"
    return "valid" if key.expires_at is None else "ending"


def has_ended(key: ApiKey, now: int) -> bool:
    """Tell whether a key opens nothing any more; one that is suspended may again."""
    return key_state(key, now) in ("expired", "revoked")


def is_working(key: ApiKey, now: int) -> bool:
    """Tell whether a key opens anything."""
    return key_state(key, now) in ("valid", "ending")


def key_data(key: ApiKey, budget: KeyBudget | None = None) -> KeyData:
    """Tell of an API key, and of its budget if it has one."""
    return KeyData(
        key_id=ids.public_id(ids.KEY, key.key_id),
        kind=KEY_KIND_WORDS[key.kind],
        hint=key.hint,
        merchant_id=id_or_none(ids.MERCHANT, key.merchant_id),
        name=key.name,
        created_at=inputs.format_time(key.created_at),
        expires_at=time_or_none(key.expires_at),
        revoked_at=time_or_none(key.revoked_at),
        suspended_at=time_or_none(key.suspended_at),
        roles=role_words(key.roles),
        budget=None if budget is None else _budget_data(budget),
    )


def budget_words(budget: KeyBudget | None) -> str:
    """Say what a key may spend: 10.00 per day (2.50 left); an amount is in the merchant's currency."""
    if budget is None:
        return ""
    return ", ".join(
        f"{format_amount(limit.amount)} {unit_words(limit.unit)} ({format_amount(limit.left)} left)"
        for limit in budget.limits
    )


def _budget_data(budget: KeyBudget) -> BudgetData:
    return BudgetData(
        budget.zone,
        [
            LimitData(
                per=BUDGET_WORDS[limit.unit],
                amount=format_amount(limit.amount),
                spent=format_amount(limit.spent),
                left=format_amount(limit.left),
                starts_anew_at=time_or_none(limit.ends_at),
            )
            for limit in budget.limits
        ],
    )


def new_key_data(key: NewKey) -> NewKeyData:
    """Tell of an API key that was made, with its text if this is the first time."""
    return NewKeyData(api_key=key.text or None, key=key_data(key.key))
