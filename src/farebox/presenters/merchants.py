"""A merchant and its account: as support reads it, as it was just added, and as the merchant reads its own."""

from typing import Annotated, Final

from msgspec import Meta, Struct
from msgspec.structs import asdict

from farebox.core.accounts import Account
from farebox.core.money import format_amount
from farebox.core.thresholds import Threshold
from farebox.presenters.fields import (
    AMOUNT_OUT,
    Amount,
    Available,
    CreditLimit,
    Held,
    IsFrozen,
    MerchantId,
    Name,
    OwedAmount,
    Posted,
    Time,
    time_or_none,
)
from farebox.presenters.grants import ENDING_MAX, EndingData, ending_data
from farebox.service import inputs
from farebox.service.insight.forecast import Runway, RunwayState
from farebox.service.ledger.queries import AccountView
from farebox.service.operator.merchants import Merchant

AMOUNT_PROBE: Final = "1250.75"
"""What an account tells beside its amounts, for programs to try their reading on. Read by the rules of a German it is
125075, which no program notices by itself."""


class ThresholdData(Struct, frozen=True, rename="camel"):
    """An amount of posted balance that the merchant is warned below."""

    amount: Amount
    is_armed: Annotated[
        bool,
        Meta(
            description="Whether the balance is watched: false once it was told that it is below, until a top-up or an "
            "adjustment brings it back, and false before the first money arrives.",
            examples=[True],
        ),
    ]


RunwayThresholdDays = Annotated[
    list[int], Meta(description="The days left that the merchant is warned below, ascending.", examples=[[3, 14]])
]


class MerchantData(Struct, frozen=True, rename="camel"):
    """A merchant and its account."""

    merchant_id: MerchantId
    name: Name
    currency: Annotated[str, Meta(examples=["USD"])]
    posted: Posted
    held: Held
    available: Available
    credit_limit: CreditLimit
    owed: OwedAmount
    is_frozen: IsFrozen
    thresholds: list[ThresholdData]
    runway_thresholds: RunwayThresholdDays
    created_at: Time
    closed_at: Annotated[
        Time | None,
        Meta(description="Since when it is closed: its keys open nothing, and nothing of it moves. Null if it is not."),
    ]
    tags: Annotated[list[str], Meta(description="Sorted.", examples=[["eu", "vip"]])]


class NewMerchantData(MerchantData, frozen=True, rename="camel"):
    """A merchant just added. The key is shown this once and can't be read again."""

    api_key: Annotated[
        str | None,
        Meta(
            description="Null in the answer to a repeat: make another key if the first answer was lost.",
            examples=["fbm_01K9ABCDEFGHJ0123456789ABCDEFGHJKMNPQRST"],
        ),
    ]


class RunwayData(Struct, frozen=True, rename="camel"):
    """How long the money lasts, the credit limit included: `days` is likely, and it is in the range four times of five.

    It is learnt from what was spent hour by hour: a week's days and hours, a level on which recent days weigh more, and
    the errors that forecasts of this merchant had before. Days are whole ones of 24 hours, rounded down. Given credit
    counts until it ends; what pays for certain request types alone does not count.
    """

    days: Annotated[int | None, Meta(description="Null: over a year.", examples=[12])]
    days_low: Annotated[int | None, Meta(description="Null: over a year.", examples=[9])]
    days_high: Annotated[int | None, Meta(description="Null: over a year.", examples=[15])]
    until: Annotated[Time | None, Meta(description="Null: over a year.")]
    burn_per_day: Annotated[
        str,
        Meta(
            description="What a day of the next week burns, on average.",
            examples=["12.50"],
            extra_json_schema=AMOUNT_OUT,
        ),
    ]


class AccountData(Struct, frozen=True, rename="camel"):
    """A merchant's own account."""

    merchant_id: MerchantId
    name: Annotated[str, Meta(examples=["Northwind Imaging"])]
    currency: Annotated[str, Meta(examples=["USD"])]
    posted: Posted
    held: Held
    available: Available
    paid: Annotated[
        str,
        Meta(
            description="What of the available balance was paid; below zero while the credit limit is drawn on.",
            examples=["65.00"],
            extra_json_schema=AMOUNT_OUT,
        ),
    ]
    given: Annotated[
        str,
        Meta(
            description="What of the available balance was given, not paid for.",
            examples=["20.00"],
            extra_json_schema=AMOUNT_OUT,
        ),
    ]
    ending: Annotated[
        list[EndingData],
        Meta(description=f"What of the given credit ends when: the {ENDING_MAX} that end next, the soonest first."),
    ]
    credit_limit: CreditLimit
    owed: OwedAmount
    is_frozen: IsFrozen
    thresholds: list[ThresholdData]
    runway_thresholds: RunwayThresholdDays
    runway: RunwayData | None
    runway_state: Annotated[
        str,
        Meta(
            description="Why there is no runway, if there is none: never topped up, spending since less than a day, "
            "or nothing spent in the last two weeks.",
            examples=["known"],
            extra_json_schema={"enum": [str(state) for state in RunwayState]},
        ),
    ]
    amount_probe: Annotated[
        str,
        Meta(
            description=f"Nobody's amount: {AMOUNT_PROBE}, always. A program that reads it as anything but 1250 and "
            "three quarters would read balances wrong too, and can find that out when it starts.",
            examples=[AMOUNT_PROBE],
            extra_json_schema=AMOUNT_OUT,
        ),
    ]


def merchant_data(merchant: Merchant, account: Account) -> MerchantData:
    """Tell of a merchant as support reads it."""
    return MerchantData(
        merchant_id=merchant.id,
        name=merchant.name,
        currency=account.currency,
        posted=format_amount(account.posted),
        held=format_amount(account.held),
        available=format_amount(account.available),
        credit_limit=format_amount(account.credit_limit),
        owed=format_amount(account.owed),
        is_frozen=account.is_frozen,
        thresholds=_thresholds_data(account),
        runway_thresholds=merchant.runway_days,
        created_at=inputs.format_time(merchant.created_at),
        closed_at=time_or_none(account.closed_at),
        tags=merchant.tag_list,
    )


def new_merchant_data(merchant: Merchant, account: Account, api_key: str) -> NewMerchantData:
    """Tell of a merchant just added, with the text of its first key, which is empty if it was shown before."""
    return NewMerchantData(**asdict(merchant_data(merchant, account)), api_key=api_key or None)


def account_data(view: AccountView) -> AccountData:
    """Tell of a merchant's account as the merchant itself reads it."""
    account = view.account
    return AccountData(
        merchant_id=view.merchant.id,
        name=view.merchant.name,
        currency=account.currency,
        posted=format_amount(account.posted),
        held=format_amount(account.held),
        available=format_amount(account.available),
        paid=format_amount(account.paid),
        given=format_amount(account.given),
        ending=[ending_data(grant) for grant in view.forecast.given.ending[:ENDING_MAX]],
        credit_limit=format_amount(account.credit_limit),
        owed=format_amount(account.owed),
        is_frozen=account.is_frozen,
        thresholds=_thresholds_data(account),
        runway_thresholds=view.merchant.runway_days,
        runway=None if view.forecast.runway is None else _runway_data(view.forecast.runway),
        runway_state=str(view.forecast.state),
        amount_probe=AMOUNT_PROBE,
    )


def threshold_remark(account: Account, threshold: Threshold) -> str:
    """Say what there is to say of a threshold that is not watched, behind its amount."""
    if account.is_watched(threshold):
        return ""
    return " (waits for the first money)" if threshold.is_armed else " (told)"


def _thresholds_data(account: Account) -> list[ThresholdData]:
    return [
        ThresholdData(format_amount(threshold.amount), account.is_watched(threshold))
        for threshold in account.thresholds
    ]


def _runway_data(runway: Runway) -> RunwayData:
    days = runway.whole_days(runway.until)
    return RunwayData(
        days=days,
        days_low=runway.whole_days(runway.until_low),
        days_high=runway.whole_days(runway.until_high),
        until=None if days is None else inputs.format_time(runway.until),
        burn_per_day=format_amount(runway.burn_per_day),
    )
