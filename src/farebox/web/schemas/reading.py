"""What a merchant asks of its own usage and prices, and what it is answered."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from farebox.presenters.fields import AMOUNT_OUT, Time
from farebox.presenters.key_usage import KeyUsageLineData
from farebox.presenters.prices import PriceInForce
from farebox.presenters.refusals import RefusalLineData


class UsageQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """Which usage to read."""

    by: Annotated[Literal["hour", "day"], Meta(description="How long each line's time is.", examples=["day"])] = "day"
    first: Annotated[
        str | None,
        Meta(
            description="The first day; 30 days to the last one, if absent.",
            examples=["2026-01-01"],
            extra_json_schema={"format": "date"},
        ),
    ] = field(default=None, name="from")
    last: Annotated[
        str | None,
        Meta(
            description="The last day; today, if absent.",
            examples=["2026-01-31"],
            extra_json_schema={"format": "date"},
        ),
    ] = field(default=None, name="to")
    time_zone: Annotated[
        str, Meta(description="The IANA time zone whose hours and days these are.", examples=["Europe/Berlin"])
    ] = "UTC"
    type: Annotated[str | None, Meta(description="This request type alone.", examples=["image"])] = None


class UsageLineData(Struct, rename="camel", omit_defaults=True):
    """What one request type came to within one hour or day."""

    starts_at: Time
    type: Annotated[str, Meta(examples=["image"])]
    count: Annotated[int, Meta(description="Requests: the sum of quantities charged and captured.", examples=[1200])]
    cost: Annotated[str, Meta(description="What they took.", examples=["9.60"], extra_json_schema=AMOUNT_OUT)]
    refunded: Annotated[
        str, Meta(description="What was given back in this time.", examples=["0.00"], extra_json_schema=AMOUNT_OUT)
    ]
    quantities: Annotated[
        dict[str, int],
        Meta(
            description="The sums of the quantities that charges and captures named, where the price is a rule.",
            examples=[{"input": 1200000, "output": 350000}],
        ),
    ] = field(default_factory=dict)


class UsageData(Struct, rename="camel"):
    """Usage, oldest first; hours and days without any are left out."""

    currency: Annotated[str, Meta(examples=["USD"])]
    lines: list[UsageLineData]


class KeyUsageQuery(UsageQuery, rename="camel", forbid_unknown_fields=True):
    """Which usage by key to read."""

    key: Annotated[
        str | None,
        Meta(description="This key alone, by its id.", examples=["key_01JZQ8G7M2X4Y"]),
    ] = None
    format: Annotated[Literal["json", "csv"], Meta(description="How it is written.")] = "json"


class KeyUsageData(Struct, rename="camel"):
    """Usage by key, oldest first; hours and days without any are left out."""

    currency: Annotated[str, Meta(examples=["USD"])]
    lines: list[KeyUsageLineData]


class RefusalsQuery(UsageQuery, rename="camel", forbid_unknown_fields=True):
    """Which refusals to read."""

    reason: Annotated[
        str | None, Meta(description="This reason alone, a code of the ledger.", examples=["insufficient_balance"])
    ] = None
    format: Annotated[Literal["json", "csv"], Meta(description="How they are written.")] = "json"


class RefusalsData(Struct, rename="camel"):
    """Refusals, oldest first; hours and days without any are left out."""

    lines: list[RefusalLineData]


class PricesQuery(Struct, rename="camel", forbid_unknown_fields=True):
    """Whose prices to read."""

    merchant: Annotated[
        str | None,
        Meta(
            description="The merchant's id. A merchant's own key needs none; a service is told the default prices "
            "without one.",
            examples=["mer_01K9ABCDEFGHJ"],
        ),
    ] = None


class PricesInForce(Struct, frozen=True, rename="camel"):
    """The prices in force, by type, as far as no new version starts."""

    currency: Annotated[
        str | None, Meta(description="Null for the default prices, which merchants pay in theirs.", examples=["USD"])
    ]
    prices: list[PriceInForce]
    changes_at: Annotated[
        Time | None, Meta(description="When the next version that is known starts; null if there is none.")
    ]
    version: Annotated[
        str, Meta(description="Changes when anything here does; also the ETag.", examples=["b2d5ff8ad8e04f45"])
    ]
