"""What storage keeps about reports: who wants which, and which period a mail tells of."""

from enum import IntEnum
from typing import Final

from msgspec import Struct

ALL_MERCHANTS: Final = 0
"""In the place of a merchant: a report of all of them, for one of the staff."""


class ReportKind(IntEnum):
    """How long a report's period is. The number is what the database stores."""

    WEEKLY = 1
    MONTHLY = 2


class ReportChoice(Struct, frozen=True):
    """Which report somebody wants: of a merchant for a user of its account, of ALL_MERCHANTS for one of the staff.

    A week begins on the weekday `week_start`, 1 for Monday to 7. `starts_on` is the first day of the next report in
    `zone`, such as 2026-11-30, and `due_at` when that is owed, microseconds since 1970.
    """

    login_id: int
    merchant_id: int
    kind: int
    zone: str
    week_start: int
    has_statement: int
    """1 if the statement of the period is attached, else 0."""
    starts_on: str
    due_at: int


class ReportMail(Struct, frozen=True):
    """What an account mail tells of that is a report: the period that began on `starts_on` in `zone`."""

    account_mail_id: int
    login_id: int
    merchant_id: int
    kind: int
    starts_on: str
    zone: str
    has_statement: int


class MerchantSpend(Struct, frozen=True):
    """What a merchant spent in a period and in the one before, refunds taken off, in micros."""

    merchant_id: int
    currency: str
    spent_before: int
    spent: int


class RefusedRequests(Struct, frozen=True):
    """How many requests of a merchant were refused for one reason."""

    merchant_id: int
    reason: str
    requests: int


class FailedDelivery(Struct, frozen=True):
    """How much was given up of all that a merchant's users, or destinations, were owed by one channel.

    `channel` is 0 for account mails, and so is the merchant of those that concern none. `reason` is one of the errors.
    """

    channel: int
    merchant_id: int
    count: int
    reason: str


class UncollectedSum(Struct, frozen=True):
    """What transfers of one currency left uncollected: how many, and how much in micros.

    They are requests, or top-ups that were taken back after they were spent.
    """

    currency: str
    is_top_up: bool
    count: int
    amount: int
