"""A version of a price, as support sets it, and the price in force, as a merchant reads it."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from farebox.core import ids
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.presenters.fields import (
    AMOUNT_OUT,
    MerchantId,
    RequestType,
    Time,
    amount_or_none,
    id_or_none,
    time_or_none,
)
from farebox.presenters.pricing.price_words import rule_summary
from farebox.presenters.rules import RuleData, rule_data
from farebox.service import inputs
from farebox.service.languages import ENGLISH, Language, gettext_noop
from farebox.service.price_life import PriceState, price_state

VARIABLE: Final = gettext_noop("variable")
"""What stands for the amount of a price whose callers name it."""

UnitPrice = Annotated[
    str | None,
    Meta(
        description="What one request costs. Null for a variable type, for a rule, and for the end of a price.",
        examples=["0.008"],
        extra_json_schema=AMOUNT_OUT,
    ),
]


class PriceVersions(Struct, frozen=True):
    """The versions of one type's price: the one in force, those to come, and those before, newest first.

    Those that were withdrawn, by their start, never were in force and never will be.
    """

    request_type: str
    in_force: Price | None
    coming: Sequence[Price]
    before: Sequence[Price]
    withdrawn: Sequence[Price] = ()


class PriceData(Struct, frozen=True, rename="camel"):
    """One version of a price, in force from its start until a later one starts."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: RequestType
    unit_price: UnitPrice
    rule: RuleData | None
    starts_at: Time
    merchant_id: MerchantId | None
    is_variable: Annotated[bool, Meta(description="Whether callers name the amount.", examples=[False])]
    is_end: Annotated[
        bool,
        Meta(
            description="Whether it ends the price: a merchant's own gives way to the default, and of the defaults the "
            "type is retired.",
            examples=[False],
        ),
    ]
    is_in_force: Annotated[
        bool, Meta(description="Whether it has started, and no later version of it has.", examples=[True])
    ]
    state: Annotated[
        Literal["to_come", "in_force", "past", "withdrawn"],
        Meta(
            description="What it is now; past if a later version has followed. One in force with isEnd says that "
            "the price has ended.",
            examples=["in_force"],
        ),
    ]
    withdrawn_at: Annotated[
        Time | None, Meta(description="When it was withdrawn, before it started; null if it was not.")
    ]


class PriceInForce(Struct, frozen=True, rename="camel"):
    """The price of a request type, as a charge of this moment would meet it."""

    price_id: Annotated[str, Meta(examples=["price_01K9ABCDEFGHJ"])]
    type: Annotated[str, Meta(examples=["image"])]
    unit_price: UnitPrice
    rule: RuleData | None
    starts_at: Time
    is_own: Annotated[
        bool, Meta(description="Whether it is the merchant's own, and not the default.", examples=[False])
    ]


def price_data(price: Price, versions: Iterable[Price], now: int) -> PriceData:
    """Tell of one version of a price, beside all versions of its type."""
    state = price_state(price, versions, now)
    return PriceData(
        price_id=ids.public_id(ids.PRICE, price.price_id),
        type=price.request_type,
        unit_price=amount_or_none(price.unit_price),
        rule=None if price.rule is None else rule_data(price.rule),
        starts_at=inputs.format_time(price.starts_at),
        merchant_id=id_or_none(ids.MERCHANT, price.merchant_id),
        is_variable=price.is_variable,
        is_end=price.is_end,
        is_in_force=state is PriceState.IN_FORCE,
        state=state.value,
        withdrawn_at=time_or_none(price.withdrawn_at),
    )


def prices_data(prices: Sequence[Price], now: int) -> list[PriceData]:
    """Tell of all versions of the default prices, or of a merchant's own, which come by type and start."""
    groups = [list(group) for _, group in groupby(prices, key=lambda price: price.request_type)]
    return [price_data(price, versions, now) for versions in groups for price in versions]


def state_words(price: Price, state: str) -> str:
    """Write what a version is, for people."""
    if price.is_end and state == PriceState.IN_FORCE:
        return "retired" if price.merchant_id is None else "ended"
    return state.replace("_", " ")


def price_versions(prices: Sequence[Price], now: int) -> list[PriceVersions]:
    """Group versions, which come by type and start: the last one of a type that has started is in force."""
    types = []
    for request_type, group in groupby(prices, key=lambda price: price.request_type):
        versions = list(group)
        valid = [price for price in versions if price.withdrawn_at is None]
        started = [price for price in valid if price.starts_at <= now]
        types.append(
            PriceVersions(
                request_type,
                started[-1] if started else None,
                valid[len(started) :],
                started[-2::-1],
                [price for price in versions if price.withdrawn_at is not None],
            )
        )
    return types


def standing(types: Iterable[PriceVersions]) -> list[Price]:
    """List the versions that matter from now on: those in force, but for ends, and those to come, by type and start."""
    return [
        price
        for versions in types
        for price in (versions.in_force, *versions.coming)
        if price is not None and not (price.is_end and price is versions.in_force)
    ]


def price_words(price: Price, currency: str, spoken: Language = ENGLISH) -> str:
    """Write what requests cost, in one line for people; a default price is in no currency: "".

    A unit price is the amount alone, as tables say whose.
    """
    if price.is_end:
        return spoken.gettext("retired") if price.merchant_id is None else spoken.gettext("back to the default")
    if price.rule is not None:
        return rule_summary(price.rule, currency, spoken)
    return spoken.gettext(VARIABLE) if price.unit_price is None else spoken.amount(price.unit_price, currency)


def request_cost_words(unit_price: int | None, rule: Rule | None, currency: str) -> str:
    """Write what a request costs, in one line that says so: by a rule, a unit price, or as its caller names it."""
    if rule is not None:
        return rule_summary(rule, currency)
    return VARIABLE if unit_price is None else f"{ENGLISH.amount(unit_price, currency)} a request"


def price_in_force(price: Price) -> PriceInForce:
    """Tell of a price in force, as a merchant reads it."""
    return PriceInForce(
        price_id=ids.public_id(ids.PRICE, price.price_id),
        type=price.request_type,
        unit_price=amount_or_none(price.unit_price),
        rule=None if price.rule is None else rule_data(price.rule),
        starts_at=inputs.format_time(price.starts_at),
        is_own=price.merchant_id is not None,
    )
