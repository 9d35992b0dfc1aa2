"""A destination, and what was sent there: where it leads, what it wants, how it fares, and what it answered."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.alerts import EVENT_TYPES
from farebox.presenters.fields import (
    BOOK_ID_CHARS,
    DestinationId,
    MerchantId,
    Time,
    id_or_none,
    id_schema,
    time_or_none,
)
from farebox.presenters.outbox import STATE_WORDS as DELIVERY_WORDS
from farebox.presenters.outbox import StateWord
from farebox.presenters.users import UserId
from farebox.service import inputs
from farebox.service.event_types import types_of
from farebox.service.operator.console import DeliveryState
from farebox.service.people.destinations import (
    Channel,
    Delivery,
    DeliveryAttempt,
    Destination,
    DestinationState,
    NewDestination,
    Sent,
    TestAnswer,
)

ChannelWord = Literal["webhook", "chat"]
DestinationStateWord = Literal["on", "off", "disabled"]

CHANNEL_WORDS: Final[dict[int, ChannelWord]] = {Channel.WEBHOOK: "webhook", Channel.CHAT: "chat"}
CHANNELS: Final[dict[str, Channel]] = {word: Channel(number) for number, word in CHANNEL_WORDS.items()}
STATE_WORDS: Final[dict[int, DestinationStateWord]] = {
    DestinationState.ON: "on",
    DestinationState.OFF: "off",
    DestinationState.DISABLED: "disabled",
}

EventId = Annotated[
    str,
    Meta(
        description="The event's id, the same at every attempt.",
        examples=["alert_01K9ABCDEFGHJ00000001"],
        extra_json_schema=id_schema("alert_", BOOK_ID_CHARS),
    ),
]
EventTypes = Annotated[list[str], Meta(description="The events that it wants.", examples=[["balance.low"]])]


class DestinationData(Struct, frozen=True, rename="camel"):
    """Where webhooks or chat messages go."""

    destination_id: DestinationId
    merchant_id: Annotated[MerchantId | None, Meta(description="Null: the operator's own, about all merchants.")]
    user_id: Annotated[UserId | None, Meta(description="The user whose own it is; null: the merchant's.")]
    channel: ChannelWord
    name: Annotated[str, Meta(examples=["accounting"])]
    url: Annotated[
        str,
        Meta(
            description="Where it leads; of a chat, what is no secret of it.", examples=["https://shop.example/farebox"]
        ),
    ]
    types: EventTypes
    state: Annotated[
        DestinationStateWord,
        Meta(
            description="Disabled: it failed for too long, or wants no more; it is turned on by hand.", examples=["on"]
        ),
    ]
    created_at: Time
    failing_since: Annotated[Time | None, Meta(description="Since when nothing got through.")]
    disabled_at: Time | None
    disabled_reason: Annotated[str | None, Meta(description="Why it was disabled.", examples=[None])]
    secret_before_until: Annotated[
        Time | None, Meta(description="Until when messages are signed with the secret before as well.")
    ]


class NewDestinationData(DestinationData, frozen=True, rename="camel"):
    """A destination that was added, or given a secret, and that secret, this once."""

    secret: Annotated[
        str | None,
        Meta(
            description="What a webhook is signed with. Null for a chat, and where the request was made before.",
            examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        ),
    ]


class AttemptData(Struct, frozen=True, rename="camel"):
    """The result of one attempt to send."""

    number: Annotated[int, Meta(examples=[1])]
    at: Time
    took_ms: Annotated[int, Meta(description="How long it took, in milliseconds.", examples=[84])]
    status: Annotated[int | None, Meta(description="The HTTP status; null: there was no answer.", examples=[200])]
    answer: Annotated[str, Meta(description="How the answer begins, or why there was none.", examples=["ok"])]


class SentData(Struct, frozen=True, rename="camel"):
    """An event that was sent to a destination, or is to be."""

    event_id: EventId
    type: Annotated[str, Meta(examples=["balance.low"])]
    happened_at: Time
    state: Annotated[
        StateWord, Meta(description="Withdrawn: nobody is to get it any more; `lastError` says why.", examples=["sent"])
    ]
    attempts: Annotated[int, Meta(description="Since it was last due anew.", examples=[1])]
    next_attempt_at: Time | None
    sent_at: Time | None
    last_error: Annotated[str | None, Meta(examples=[None])]
    last_attempt: Annotated[AttemptData | None, Meta(description="The last that is remembered, for 30 days.")]


class TestData(Struct, frozen=True, rename="camel"):
    """The result of a test."""

    is_delivered: Annotated[bool, Meta(description="Whether it was taken.", examples=[True])]
    took_ms: Annotated[int, Meta(examples=[84])]
    status: Annotated[int | None, Meta(description="The HTTP status; null: there was no answer.", examples=[200])]
    answer: Annotated[str, Meta(description="How the answer begins, or why there was none.", examples=["ok"])]


def destination_data(destination: Destination) -> DestinationData:
    """Tell of a destination."""
    return DestinationData(**_fields(destination))


def new_destination_data(made: NewDestination) -> NewDestinationData:
    """Tell of a destination that was added or given a secret, with the secret."""
    return NewDestinationData(**_fields(made.destination), secret=made.secret or None)


def attempt_data(attempt: DeliveryAttempt) -> AttemptData:
    """Tell what came of an attempt."""
    return AttemptData(
        number=attempt.number,
        at=inputs.format_time(attempt.at),
        took_ms=round(attempt.took / 1000),
        status=attempt.status,
        answer=attempt.answer,
    )


def sent_data(sent: Sent) -> SentData:
    """Tell of an event that was sent."""
    delivery, alert = sent.delivery, sent.delivery.alert
    return SentData(
        event_id=alert.id,
        type=EVENT_TYPES[alert.kind],
        happened_at=inputs.format_time(alert.fired_at),
        state=DELIVERY_WORDS[delivery.state],
        attempts=delivery.attempts,
        next_attempt_at=time_or_none(delivery.next_attempt_at if delivery.state == DeliveryState.WAITING else None),
        sent_at=time_or_none(delivery.sent_at),
        last_error=delivery.last_error,
        last_attempt=None if sent.attempt is None else attempt_data(sent.attempt),
    )


def tested_data(answer: TestAnswer) -> TestData:
    """Tell what came of a test."""
    return TestData(
        is_delivered=answer.is_delivered, took_ms=round(answer.took / 1000), status=answer.status, answer=answer.text
    )


def last_error(delivery: Delivery, attempt: DeliveryAttempt | None) -> str:
    """Say in a line what came last of a delivery."""
    if attempt is None:
        return delivery.last_error or ""
    return " ".join(part for part in ("" if attempt.status is None else str(attempt.status), attempt.answer) if part)


def destination_words(destinations: Sequence[Destination]) -> list[tuple[str, ...]]:
    """Write a table of destinations for a terminal."""
    return [
        (each.id, CHANNEL_WORDS[each.channel], STATE_WORDS[each.state], each.name, each.url) for each in destinations
    ]


def _fields(destination: Destination) -> dict[str, Any]:
    return {
        "destination_id": destination.id,
        "merchant_id": id_or_none(ids.MERCHANT, destination.merchant_id),
        "user_id": id_or_none(ids.USER, destination.user_id),
        "channel": CHANNEL_WORDS[destination.channel],
        "name": destination.name,
        "url": destination.url,
        "types": types_of(destination.kinds),
        "state": STATE_WORDS[destination.state],
        "created_at": inputs.format_time(destination.created_at),
        "failing_since": time_or_none(destination.failing_since),
        "disabled_at": time_or_none(destination.disabled_at),
        "disabled_reason": destination.disabled_reason,
        "secret_before_until": time_or_none(destination.secret_before_until),
    }
