"""Events: what happened on a merchant's account, as webhooks tell it. Each is made of its alert's row alone.

So an event says the same at every attempt, however late. A field may be added to a version; nothing else of it changes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.alerts import EVENT_TYPES, Alert, AlertKind
from farebox.core.money import format_amount
from farebox.presenters.approvals import ApprovalId
from farebox.presenters.fields import (
    AMOUNT_OUT,
    BOOK_ID_CHARS,
    Amount,
    Available,
    CreditLimit,
    DestinationId,
    Held,
    HoldId,
    KeyId,
    MerchantId,
    OwedAmount,
    RequestType,
    Time,
    TransferId,
    amount_or_none,
    id_or_none,
    id_schema,
    time_or_none,
)
from farebox.presenters.grants import GrantId
from farebox.service import inputs

VERSION: Final = 1
"""Of what events look like."""

AlertId = Annotated[
    str,
    Meta(
        description="The event's id: the same for every destination, and at every attempt.",
        examples=["alert_01K9ABCDEFGHJ00000001"],
        extra_json_schema=id_schema("alert_", BOOK_ID_CHARS),
    ),
]
Posted = Annotated[
    str,
    Meta(
        description="The posted balance when it happened: spendable and held.",
        examples=["4.50"],
        extra_json_schema=AMOUNT_OUT,
    ),
]


class EventData(Struct, frozen=True, rename="camel"):
    """Whose account it happened on, and how that stood then."""

    alert_id: AlertId
    merchant_id: MerchantId
    currency: Annotated[str, Meta(examples=["USD"])]
    posted: Posted
    held: Held
    available: Available
    credit_limit: CreditLimit


class BalanceLowData(EventData, frozen=True, rename="camel"):
    """The posted balance fell below a threshold."""

    threshold: Annotated[Amount, Meta(description="The lowest that posted is below.")]
    transfer_id: Annotated[
        TransferId | None, Meta(description="What took it there; null if the threshold was set above the balance.")
    ]


class BalanceExhaustedData(EventData, frozen=True, rename="camel"):
    """A request was refused for lack of money, the first since money arrived."""

    refused: Annotated[Amount | None, Meta(description="What the request would have taken.")]
    given: Annotated[Amount, Meta(description="How much of what is available was given, not paid for.")]
    owed: OwedAmount


class BalanceRecoveredData(EventData, frozen=True, rename="camel"):
    """Money arrived, and the balance is no longer below thresholds, or used up."""

    thresholds: Annotated[list[Amount], Meta(description="Those that posted is at or above again.")]
    was_exhausted: Annotated[bool, Meta(description="Whether requests had been refused.", examples=[True])]
    transfer_id: TransferId | None


class TopUpPostedData(EventData, frozen=True, rename="camel"):
    """Money was paid in."""

    amount: Amount
    reference: Annotated[str | None, Meta(description="The payment's.", examples=["INV-2026-001"])]
    transfer_id: TransferId | None


class GrantExpiringData(EventData, frozen=True, rename="camel"):
    """Given credit ends soon."""

    grant_id: GrantId
    left: Annotated[Amount, Meta(description="What was left of it.")]
    expires_at: Time


class GrantExpiredData(EventData, frozen=True, rename="camel"):
    """Given credit ended, or was ended, with something left of it."""

    grant_id: GrantId
    left: Annotated[Amount, Meta(description="What was left of it, and is gone.")]
    expires_at: Annotated[Time | None, Meta(description="When it was to end; null: never.")]
    ended_at: Time
    transfer_id: TransferId | None


class HoldExpiredData(EventData, frozen=True, rename="camel"):
    """A hold was neither captured nor released in time; what it set aside is available again."""

    hold_id: HoldId
    amount: Amount
    type: RequestType | None
    reference: Annotated[str | None, Meta(examples=["job-17"])]
    key_id: Annotated[KeyId | None, Meta(description="The merchant's key that it was for; null if none was named.")]


class KeyBudgetReachedData(EventData, frozen=True, rename="camel"):
    """A request was refused for the budget of its API key, the first in the budget's period."""

    key_id: Annotated[KeyId | None, Meta(description="The merchant's key.")]
    per: Annotated[Literal["day", "week", "month", "total"], Meta(description="Total: in all.", examples=["day"])]
    amount: Annotated[Amount, Meta(description="The budget.")]
    spent: Annotated[Amount, Meta(description="What was spent of it.")]
    refused: Annotated[Amount, Meta(description="What the request would have taken.")]
    starts_anew_at: Annotated[Time | None, Meta(description="Null: it never does.")]


class MerchantFrozenData(EventData, frozen=True, rename="camel"):
    """The merchant was frozen, and can't spend; or it is no longer so, and can."""


class RunwayShortData(EventData, frozen=True, rename="camel"):
    """The balance lasts for fewer days than a threshold in days."""

    days: Annotated[int | float, Meta(description="The threshold.", examples=[7])]
    until: Annotated[Time | None, Meta(description="When the money is likely to run out; null: in over a year.")]
    until_low: Annotated[Time | None, Meta(description="The early end of the likely range.")]
    until_high: Annotated[Time | None, Meta(description="Its late end; null: in over a year.")]
    burn_per_day: Amount


class ApprovalWaitingData(EventData, frozen=True, rename="camel"):
    """Something waits for a second person of the operator's staff. Told to the operator's destinations alone."""

    approval_id: ApprovalId
    kind: Annotated[str, Meta(description="What is asked for, as in the list of approvals.", examples=["top_up"])]
    amount: Amount
    reference: Annotated[str | None, Meta(examples=["INV-2026-001"])]
    requested_by: Annotated[str, Meta(examples=["ann"])]


class SpendingUnusualData(EventData, frozen=True, rename="camel"):
    """Requests are charged at a rate far out of the merchant's own profile: a key may have leaked."""

    spent: Annotated[Amount, Meta(description="Within the window.")]
    window_seconds: Annotated[int, Meta(examples=[300])]
    highest: Annotated[Amount, Meta(description="The most that any such window came to in the weeks before.")]
    key_id: Annotated[KeyId | None, Meta(description="The key that spends most; null if requests named none.")]
    key_hint: Annotated[str | None, Meta(description="Its prefix and last four.", examples=["fbm_…8K2P"])]
    key_name: Annotated[str | None, Meta(examples=["batch jobs"])]
    key_spent: Annotated[Amount, Meta(description="What of it that key spent.")]


class DestinationDisabledData(EventData, frozen=True, rename="camel"):
    """A destination was disabled: deliveries to it failed for too long, or it said that it wants no more."""

    destination_id: DestinationId
    name: Annotated[str, Meta(examples=["accounting"])]
    reason: Annotated[str, Meta(description="What came of the last attempt.", examples=["410 Gone"])]
    failing_since: Annotated[Time | None, Meta(description="When the first of the failed attempts was made.")]


_Maker = Callable[[Alert, Mapping[str, Any], dict[str, Any]], EventData]


def _low(alert: Alert, _: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return BalanceLowData(**account, threshold=format_amount(alert.threshold or 0), transfer_id=alert.transfer_id)


def _exhausted(alert: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return BalanceExhaustedData(
        **account,
        refused=amount_or_none(alert.refused),
        given=format_amount(facts["given"]),
        owed=format_amount(facts["owed"]),
    )


def _recovered(alert: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return BalanceRecoveredData(
        **account,
        thresholds=[format_amount(amount) for amount in facts["thresholds"]],
        was_exhausted=facts["was_used_up"],
        transfer_id=alert.transfer_id,
    )


def _topped_up(alert: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return TopUpPostedData(
        **account,
        amount=format_amount(facts["amount"]),
        reference=facts["reference"],
        transfer_id=alert.transfer_id,
    )


def _expiring(alert: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return GrantExpiringData(
        **account,
        grant_id=_grant(alert, facts),
        left=format_amount(facts["left"]),
        expires_at=inputs.format_time(facts["expires_at"]),
    )


def _expired(alert: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return GrantExpiredData(
        **account,
        grant_id=_grant(alert, facts),
        left=format_amount(facts["left"]),
        expires_at=time_or_none(facts["expires_at"]),
        ended_at=inputs.format_time(facts["ended_at"]),
        transfer_id=alert.transfer_id,
    )


def _hold_expired(alert: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return HoldExpiredData(
        **account,
        hold_id=ids.book_id(ids.HOLD, merchant_id=alert.merchant_id, seq=facts["hold"]),
        amount=format_amount(facts["amount"]),
        type=facts["request_type"],
        reference=facts["reference"],
        key_id=id_or_none(ids.KEY, facts["key_id"]),
    )


def _budget_reached(_: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return KeyBudgetReachedData(
        **account,
        key_id=id_or_none(ids.KEY, facts["key_id"]),
        per=facts["unit"],
        amount=format_amount(facts["amount"]),
        spent=format_amount(facts["spent"]),
        refused=format_amount(facts["needed"]),
        starts_anew_at=time_or_none(facts["ends_at"]),
    )


def _frozen(_: Alert, __: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return MerchantFrozenData(**account)


def _runway_short(_: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return RunwayShortData(
        **account,
        days=facts["days"],
        until=time_or_none(facts["until"]),
        until_low=time_or_none(facts["until_low"]),
        until_high=time_or_none(facts["until_high"]),
        burn_per_day=format_amount(facts["burn_per_day"]),
    )


def _approval_waiting(_: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return ApprovalWaitingData(
        **account,
        approval_id=ids.public_id(ids.APPROVAL, facts["approval_id"]),
        kind=facts["kind"],
        amount=format_amount(facts["amount"]),
        reference=facts["reference"],
        requested_by=facts["requested_by"],
    )


def _spending_unusual(_: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return SpendingUnusualData(
        **account,
        spent=format_amount(facts["spent"]),
        window_seconds=facts["window_seconds"],
        highest=format_amount(facts["highest"]),
        key_id=id_or_none(ids.KEY, facts["key_id"]),
        key_hint=facts["key_hint"],
        key_name=facts["key_name"],
        key_spent=format_amount(facts["key_spent"]),
    )


def _destination_disabled(_: Alert, facts: Mapping[str, Any], account: dict[str, Any]) -> EventData:
    return DestinationDisabledData(
        **account,
        destination_id=ids.public_id(ids.DESTINATION, facts["destination_id"]),
        name=facts["name"],
        reason=facts["reason"],
        failing_since=time_or_none(facts["failing_since"]),
    )


_KINDS: Final[Mapping[int, tuple[type[EventData], _Maker]]] = {
    AlertKind.LOW_BALANCE: (BalanceLowData, _low),
    AlertKind.USED_UP: (BalanceExhaustedData, _exhausted),
    AlertKind.CREDIT_ENDS: (GrantExpiringData, _expiring),
    AlertKind.RECOVERED: (BalanceRecoveredData, _recovered),
    AlertKind.TOP_UP: (TopUpPostedData, _topped_up),
    AlertKind.CREDIT_ENDED: (GrantExpiredData, _expired),
    AlertKind.HOLD_EXPIRED: (HoldExpiredData, _hold_expired),
    AlertKind.BUDGET_REACHED: (KeyBudgetReachedData, _budget_reached),
    AlertKind.FROZEN: (MerchantFrozenData, _frozen),
    AlertKind.UNFROZEN: (MerchantFrozenData, _frozen),
    AlertKind.RUNWAY_SHORT: (RunwayShortData, _runway_short),
    AlertKind.APPROVAL_WAITING: (ApprovalWaitingData, _approval_waiting),
    AlertKind.UNUSUAL_SPENDING: (SpendingUnusualData, _spending_unusual),
    AlertKind.DESTINATION_DISABLED: (DestinationDisabledData, _destination_disabled),
}


def event_schemas() -> Sequence[tuple[str, type[EventData]]]:
    """List the types of events, and what the data of each look like."""
    return [(EVENT_TYPES[kind], _KINDS[kind][0]) for kind in AlertKind]


def event_data(alert: Alert) -> EventData:
    """Tell of an alert."""
    facts = alert.read_facts
    account = {
        "alert_id": alert.id,
        "merchant_id": ids.public_id(ids.MERCHANT, alert.merchant_id),
        "currency": facts["currency"],
        "posted": format_amount(alert.posted),
        "held": format_amount(facts["held"]),
        "available": format_amount(facts["available"]),
        "credit_limit": format_amount(facts["credit_limit"]),
    }
    return _KINDS[alert.kind][1](alert, facts, account)


def event_body(alert: Alert) -> str:
    """Write an alert as a webhook's body: the same text at every attempt."""
    return body_of(EVENT_TYPES[alert.kind], alert.fired_at, event_data(alert))


def body_of(name: str, at: int, data: Struct | Mapping[str, str]) -> str:
    """Write a webhook's body: the type of what it tells, when that happened, and what it says."""
    event = {"type": name, "version": VERSION, "timestamp": inputs.format_time(at), "data": data}
    return msgspec.json.encode(event).decode()


def _grant(alert: Alert, facts: Mapping[str, Any]) -> str:
    return ids.book_id(ids.GRANT, merchant_id=alert.merchant_id, seq=facts["grant"])
