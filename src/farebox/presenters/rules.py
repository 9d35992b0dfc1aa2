"""A price's rule as it stands in JSON, member by member, with its words in the API's document.

`service.price_texts` reads and writes the format; what is sent is read there, as only that names each fault.
"""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

from farebox.core.pricing.rules import (
    LINES_MAX,
    PER_MAX,
    QUANTITY_MAX,
    STEPS_MAX,
    WINDOWS_MAX,
    Direction,
    PeriodUnit,
    Rule,
)
from farebox.service.inputs import LINE_NAME_PATTERN
from farebox.service.price_texts import START_MAX, TIERS_MAX, write_rule
from farebox.service.price_window_texts import DAYS, TIME_PATTERN

RULE_REFERENCE: Final = {"$ref": "#/components/schemas/RuleData"}
"""The schema of a rule that is sent, which is that of one that is answered."""

_AMOUNT: Final = r"^(0?[0-9]{1,12}(\.[0-9]{1,6})?|10{12}(\.0{1,6})?)$"
_EXAMPLE_LINE: Final = {"name": "input", "amount": "0.15", "per": 1_000_000}

RuleAmount = Annotated[
    str,
    Meta(
        description="A plain decimal, at most six decimals.", examples=["0.15"], extra_json_schema={"pattern": _AMOUNT}
    ),
]
LineName = Annotated[
    str,
    Meta(
        description="What a charge names the quantity by; `requests` counts requests.",
        examples=["input"],
        extra_json_schema={"pattern": f"^{LINE_NAME_PATTERN}$"},
    ),
]
ZoneName = Annotated[str, Meta(description="A time zone of the IANA's database.", examples=["Europe/Berlin"])]
Per = Annotated[
    int, Meta(ge=1, le=PER_MAX, description="How many units the amount is for; 1 if absent.", examples=[1_000_000])
]
Start = Annotated[int, Meta(ge=1, le=START_MAX, description="Where it begins, inclusive; ascending.", examples=[1])]


class RuleStepData(Struct, rename="camel", forbid_unknown_fields=True):
    """From which unit on units cost so much."""

    start: Start = field(name="from")
    amount: RuleAmount
    per: Per | UnsetType = UNSET


class RuleLineData(Struct, rename="camel", forbid_unknown_fields=True):
    """What one component of a request costs: an amount per so many units, or a price for each unit by its number."""

    name: LineName
    amount: RuleAmount | UnsetType = UNSET
    per: Per | UnsetType = UNSET
    included: (
        Annotated[int, Meta(ge=0, le=QUANTITY_MAX, description="How many units are free; 0 if absent.", examples=[0])]
        | UnsetType
    ) = UNSET
    block: (
        Annotated[
            int,
            Meta(
                ge=1, le=PER_MAX, description="Units are charged in whole blocks of so many; 1 if absent.", examples=[1]
            ),
        ]
        | UnsetType
    ) = UNSET
    at_least: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=QUANTITY_MAX,
                description="A smaller quantity, but not 0, counts as so much; 0 if absent.",
                examples=[0],
            ),
        ]
        | UnsetType
    ) = UNSET
    graduated: (
        Annotated[
            list[RuleStepData],
            Meta(
                min_length=1,
                max_length=STEPS_MAX,
                description="In place of `amount` and `per`: steps, the first from 1, or after the units included.",
            ),
        ]
        | UnsetType
    ) = UNSET


_Lines = Annotated[
    list[RuleLineData],
    Meta(max_length=LINES_MAX, description="None only beside a base.", examples=[[_EXAMPLE_LINE]]),
]
_TierLines = Annotated[
    list[RuleLineData],
    Meta(min_length=1, max_length=LINES_MAX, description="What the whole request takes.", examples=[[_EXAMPLE_LINE]]),
]


class RuleTierData(Struct, rename="camel", forbid_unknown_fields=True):
    """Lines for requests that reach a measure."""

    start: Start = field(name="from")
    lines: _TierLines


class RuleTiersData(Struct, rename="camel", forbid_unknown_fields=True):
    """Other lines for whole requests, by how much they are of some quantities together."""

    by: Annotated[
        list[LineName],
        Meta(min_length=1, max_length=LINES_MAX, description="The quantities that are added up to measure a request."),
    ]
    tiers: Annotated[list[RuleTierData], Meta(min_length=1, max_length=TIERS_MAX)] = field(name="from")


class RuleWindowData(Struct, rename="camel", forbid_unknown_fields=True):
    """Other rates at some hours of some weekdays."""

    days: Annotated[
        list[Annotated[str, Meta(title="Weekday", extra_json_schema={"enum": list(DAYS)})]],
        Meta(min_length=1, max_length=len(DAYS), description="The weekdays on which it begins.", examples=[["mon"]]),
    ]
    start: Annotated[
        str,
        Meta(description="The time of day.", examples=["01:00"], extra_json_schema={"pattern": f"^{TIME_PATTERN}$"}),
    ] = field(name="from")
    until: Annotated[
        str,
        Meta(
            description="The time of day before which it ends. If that is not after `from`, it ends on the next day.",
            examples=["04:00"],
            extra_json_schema={"pattern": f"^({TIME_PATTERN}|24:00)$"},
        ),
    ]
    lines: _Lines
    base: RuleAmount | UnsetType = UNSET
    minimum: RuleAmount | UnsetType = UNSET
    tiers: RuleTiersData | UnsetType = UNSET


class RuleWindowsData(Struct, rename="camel", forbid_unknown_fields=True):
    """Windows by the clocks of a zone, of which none overlaps another."""

    zone: ZoneName
    windows: Annotated[list[RuleWindowData], Meta(min_length=1, max_length=WINDOWS_MAX)]


class RulePeriodData(Struct, rename="camel", forbid_unknown_fields=True):
    """How long a merchant's units are counted together."""

    unit: Annotated[str, Meta(examples=["month"], extra_json_schema={"enum": [unit.value for unit in PeriodUnit]})]
    zone: ZoneName
    refunds_give_back: (
        Annotated[bool, Meta(description="Whether refunds give units back to the count.", examples=[False])] | UnsetType
    ) = UNSET


class RuleRoundingData(Struct, rename="camel", forbid_unknown_fields=True):
    """What a cost is a multiple of, and where a fraction goes; a millionth and up, if absent."""

    step: RuleAmount | UnsetType = UNSET
    direction: (
        Annotated[str, Meta(examples=["up"], extra_json_schema={"enum": [direction.value for direction in Direction]})]
        | UnsetType
    ) = UNSET


class RuleData(Struct, rename="camel", forbid_unknown_fields=True):
    """What requests cost by their quantities: the sum of all lines as one fraction, rounded once."""

    lines: _Lines
    base: Annotated[RuleAmount, Meta(description="A fee for each request.")] | UnsetType = UNSET
    minimum: Annotated[RuleAmount, Meta(description="The least that a request costs.")] | UnsetType = UNSET
    tiers: RuleTiersData | UnsetType = UNSET
    windows: RuleWindowsData | UnsetType = UNSET
    period: RulePeriodData | UnsetType = UNSET
    rounding: RuleRoundingData | UnsetType = UNSET


def rule_data(rule: Rule) -> RuleData:
    """Tell a rule."""
    return msgspec.convert(write_rule(rule), RuleData)
