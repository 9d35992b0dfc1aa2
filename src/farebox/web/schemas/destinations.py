"""Destinations in the API: what is asked for, and lists."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.presenters.destinations import AttemptData, DestinationData, SentData
from farebox.service.people.destinations import OVERLAP_SECONDS_DEFAULT, OVERLAP_SECONDS_MAX, SENT_ROWS_MAX

EVENT_LIST: Final = Meta(
    description="The events that it wants, such as balance.low; one or more.",
    examples=[["balance.low", "topup.posted"]],
    extra_json_schema={"minItems": 1},
)
Url = Annotated[
    str,
    Meta(
        description="A webhook's, by https; or a chat's, as Apprise writes it, which is kept as a password is.",
        examples=["https://shop.example/farebox"],
    ),
]
Secret = Annotated[
    str | None,
    Meta(
        description="What a webhook is signed with, where the receiver has it already: whsec_ and 24 to 64 bytes in "
        "base64. One is made, if absent.",
        examples=[None],
    ),
]


class DestinationRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Add a webhook or a chat."""

    channel: Literal["webhook", "chat"]
    url: Url
    types: Annotated[list[str], EVENT_LIST]
    name: Annotated[str | None, Meta(description="What to call it.", examples=["accounting"])] = None
    secret: Secret = None


class ChangeDestinationRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Change what is named of a webhook or a chat."""

    name: Annotated[str | None, Meta(examples=["accounting"])] = None
    url: Annotated[str | None, Meta(description="Where it leads from now on.")] = None
    types: Annotated[list[str] | None, EVENT_LIST] = None
    is_on: Annotated[
        bool | None, Meta(description="On, whatever turned it off; or off, and nothing is sent there.", examples=[True])
    ] = None


class RotateSecretRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Give a webhook another secret."""

    overlap_seconds: Annotated[
        int,
        Meta(
            description="How long messages are signed with the one before as well.",
            examples=[OVERLAP_SECONDS_DEFAULT],
            extra_json_schema={"minimum": 0, "maximum": OVERLAP_SECONDS_MAX},
        ),
    ] = OVERLAP_SECONDS_DEFAULT
    secret: Secret = None


class ReplayRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Send one event once more, or what happened in a time, under the same ids."""

    event_id: Annotated[str | None, Meta(description="This event alone.")] = None
    since: Annotated[
        str | None, Meta(description="From this time on, in RFC 3339.", examples=["2026-11-01T00:00:00Z"])
    ] = None
    until: Annotated[str | None, Meta(description="Before this time.", examples=["2026-11-02T00:00:00Z"])] = None
    is_all: Annotated[
        bool, Meta(description="Whether what it took is sent as well, beside what it missed.", examples=[False])
    ] = False


class MailedRequest(Struct, rename="camel", forbid_unknown_fields=True):
    """Choose what a person is mailed about."""

    types: Annotated[
        list[str],
        Meta(
            description="The events, such as balance.low, all of them. Owners are mailed about balance.exhausted and "
            "destination.disabled in any case.",
            examples=[["balance.low"]],
        ),
    ]


class SentQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """The newest of what was sent to a destination."""

    limit: Annotated[int, Meta(ge=1, le=SENT_ROWS_MAX, description="How many at most.", examples=[100])] = 100


class AttemptsQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """Which event's attempts to list."""

    event: Annotated[str, Meta(description="The event's id.", examples=["alert_01K9ABCDEFGHJ00000001"])]


class DestinationsData(Struct, rename="camel"):
    """Webhooks and chats, oldest first."""

    destinations: list[DestinationData]


class SentListData(Struct, rename="camel"):
    """Messages sent to a destination, newest first; of the operator's, each attempt."""

    sent: list[SentData]


class AttemptsData(Struct, rename="camel"):
    """The attempts to send one event that are remembered, the last first."""

    attempts: list[AttemptData]


class ReplayedData(Struct, rename="camel"):
    """How many events are sent once more."""

    events: Annotated[int, Meta(examples=[12])]
