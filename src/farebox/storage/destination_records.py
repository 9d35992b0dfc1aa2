"""What storage keeps of destinations: where webhooks and chat messages go, and what came of each that was sent there.

Times are microseconds since 1970.
"""

from enum import IntEnum

from msgspec import Struct

from farebox.core import ids
from farebox.storage.records import Delivery


class Channel(IntEnum):
    """How a delivery reaches its recipient. The number is what the database stores."""

    EMAIL = 1
    WEBHOOK = 2
    CHAT = 3


class DestinationState(IntEnum):
    """Whether a destination is sent anything. The number is what the database stores."""

    ON = 1
    OFF = 2
    DISABLED = 3
    """It failed for too long, or said that it is gone; somebody has to turn it on again."""


class Destination(Struct, frozen=True):
    """Where webhooks or chat messages about a merchant go; `merchant_id` is None for the operator's, about all of them.

    `user_id` names the user whose own it is; None for the merchant's or the operator's. `kinds` has the bit `1 << kind`
    of each kind of alert that it wants. `url` may be shown; `secret` is encrypted: what signs a webhook, or the URL of
    a chat. The secret before goes on signing beside it until `secret_before_until`.
    """

    destination_id: int
    merchant_id: int | None
    user_id: int | None
    channel: int
    name: str
    url: str
    kinds: int
    state: int
    secret: bytes
    secret_before: bytes | None
    secret_before_until: int | None
    created_at: int
    failing_since: int | None = None
    """Since when its server has failed, without a success in between."""
    failures: int = 0
    """Failures of its server in a row."""
    paused_until: int = 0
    """It hangs, or asks to be left alone: nothing is sent before then."""
    disabled_at: int | None = None
    disabled_reason: str | None = None
    version: int = 1

    @property
    def id(self) -> str:
        """Its public id."""
        return ids.public_id(ids.DESTINATION, self.destination_id)


class DeliveryAttempt(Struct, frozen=True):
    """The result of one attempt of a delivery; `status` is None if there was no answer, and `answer` says why."""

    merchant_id: int
    alert_number: int
    channel: int
    recipient_id: int
    number: int
    at: int
    took: int
    """Microseconds."""
    status: int | None
    answer: str


class Sent(Struct, frozen=True):
    """A message that was sent to a destination, or is to be, and an attempt at it, if one is remembered."""

    delivery: Delivery
    attempt: DeliveryAttempt | None
