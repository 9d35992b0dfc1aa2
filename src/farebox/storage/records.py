"""Merchants, users, keys, logins, mails and what is read of them. Times are microseconds since 1970, amounts micros."""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.alerting.staff_warnings import WARNED_FROM_THE_START
from farebox.core.alerts import MAILED_FROM_THE_START, Alert
from farebox.core.credit.grants import Grant
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.transfers import Transfer
from farebox.storage.months import Month

BOOK_TRANSFERS_MAX: Final = 500
"""How many transfers a short book has at most, which is read as a whole."""


def days_of(thresholds: str) -> list[int]:
    """Read the days left to be warned below, as a merchant's row has them."""
    return [int(days) for days in thresholds.split(",") if days]


class Merchant(Struct, frozen=True):
    """A customer: what people call it, and since when it is one. `tags` are sorted, each between commas."""

    merchant_id: int
    name: str
    created_at: int
    tags: str = ""
    runway_thresholds: str = ""
    """The days left to be warned below, ascending, with commas between them."""

    @property
    def id(self) -> str:
        """Its public id."""
        return ids.public_id(ids.MERCHANT, self.merchant_id)

    @property
    def tag_list(self) -> list[str]:
        """Its tags, sorted."""
        return [tag for tag in self.tags.split(",") if tag]

    @property
    def runway_days(self) -> list[int]:
        """The days left to be warned below, ascending."""
        return days_of(self.runway_thresholds)


class MerchantNote(Struct, frozen=True):
    """What one of the staff noted about a merchant, and when."""

    merchant_id: int
    note_id: int
    created_at: int
    author: str
    text: str


class MerchantFilter(Struct, frozen=True):
    """Which merchants are wanted; None for both the closed and the others, or for any tags."""

    is_closed: bool | None = None
    tag: str | None = None


class Role(IntEnum):
    """What a registered person may do on the dashboard. The number is what the database stores."""

    OWNER = 1
    """Everything that a merchant may do: keys and people too."""
    MEMBER = 2
    """See everything and set the thresholds."""
    VIEWER = 3
    """See everything."""


class User(Struct, frozen=True):
    """A person registered on a merchant's account; `mail_kinds` are the kinds of alerts wanted by mail, as bits."""

    merchant_id: int
    user_id: int
    email: str
    created_at: int
    role: int = Role.MEMBER
    mail_kinds: int = MAILED_FROM_THE_START


class Realm(IntEnum):
    """Where a login is valid: the dashboard of merchants' users, or the console of the operator's staff."""

    MERCHANT = 1
    SUPPORT = 2


class Login(Struct, frozen=True):
    """Somebody who may sign in; without a password hash by a mailed link alone. No `language` is '': none was chosen.

    `totp_seed` is what one-time codes are made of, None if they are not asked for; `totp_step` is the last one used.
    """

    login_id: int
    realm: int
    email: str
    name: str
    created_at: int
    password_hash: str | None = None
    totp_seed: bytes | None = None
    totp_step: int = 0
    signed_in_at: int | None = None
    disabled_at: int | None = None
    roles: int = 0
    """What one of the staff may do, a StaffRole; a merchant's user has a role on each account instead."""
    counts_as: str = ""
    """The people whom a staff account counts as beside itself, until another person confirms it."""
    language: str = ""
    mail_kinds: int = WARNED_FROM_THE_START
    """The kinds of alerts that one of the staff is warned of by mail, as bits; nothing is told of users by it."""


class Session(Struct, frozen=True):
    """A browser that is signed in; `digest` is of the token that it alone has."""

    digest: bytes
    login_id: int
    created_at: int
    seen_at: int
    expires_at: int
    address: str | None
    agent: str


class Purpose(IntEnum):
    """What an account mail is for; the first two have a link to a password. The number is what the database stores."""

    INVITATION = 1
    RESET = 2
    TEST = 3
    APPROVAL = 4
    REPORT = 5
    UNUSUAL_SPENDING = 6
    DESTINATION_DISABLED = 7


class AccountMail(Struct, frozen=True):
    """A mail to one person. Its link's token is made of `seed`, good once and until `expires_at`.

    State, attempts and times are as in Delivery.
    """

    account_mail_id: int
    purpose: int
    login_id: int
    merchant_id: int | None
    email: str
    seed: bytes
    created_at: int
    expires_at: int
    used_at: int | None
    state: int
    attempts: int
    next_attempt_at: int
    sent_at: int | None = None
    last_error: str | None = None


class MailServerPause(Struct, frozen=True):
    """For how long a mail server is given up that takes no mails, and why.

    `server` is its host and port. It takes none `since` then, and is tried again at `paused_until`; `pauses` counts
    how often that was in vain.
    """

    server: str
    since: int
    paused_until: int
    pauses: int
    reason: str


class Membership(Struct, frozen=True):
    """A merchant on whose account a person is registered, and what they may do there."""

    merchant_id: int
    name: str
    role: int

    @property
    def id(self) -> str:
        """The merchant's public id."""
        return ids.public_id(ids.MERCHANT, self.merchant_id)


class RunwaySnapshot(Struct, frozen=True):
    """A merchant's runway as of transfer `seq`; `runs_out_at` is None if nothing is being spent.

    `burn_per_day` is the even burn at which what could be spent lasts until then, so that a list goes on with it.
    """

    merchant_id: int
    seq: int
    available: int
    last_at: int
    runs_out_at: int | None
    burn_per_day: int | None
    computed_at: int


class RunwaySnapshotAge(Struct, frozen=True):
    """How far a merchant's book is, and how far and how old its runway snapshot is; None if there are none yet.

    `runs_out_at` is when it says that the money is used up. `is_pending` is whether the money was once seen to last for
    less than a threshold in days, which is still to be told.
    """

    merchant_id: int
    book_seq: int
    seq: int | None
    computed_at: int | None
    runs_out_at: int | None = None
    runway_thresholds: str = ""
    is_pending: int = 0

    @property
    def runway_days(self) -> list[int]:
        """The days left to be warned below, ascending."""
        return days_of(self.runway_thresholds)


class MerchantOrder(IntEnum):
    """In which order merchants are listed."""

    RUNS_OUT = 1
    AVAILABLE = 2
    LAST = 3
    AGE = 4
    CLOSING = 5
    """Those that are closed, and are in no other order."""


class Verification(Struct, frozen=True):
    """A run of `farebox verify` over the whole ledger; `seen_at` tells that it is still at work."""

    verification_id: int
    started_by: str
    started_at: int
    seen_at: int
    finished_at: int | None = None
    merchants: int = 0
    merchants_done: int = 0
    transfers_done: int = 0
    problems: int = 0
    first_problem: str | None = None


class Counts(Struct, frozen=True):
    """How much there is: merchants, transfers in all books, and mails and account mails that wait to be sent."""

    merchants: int
    closed_merchants: int
    """Which are none of the merchants above."""
    transfers: int
    mails_waiting: int
    account_mails_waiting: int


class ApiKey(Struct, frozen=True):
    """An API key as stored: its digest, never its text. `hint` is its first and last characters, for people.

    `used_at` is when it was last seen, to the minute or so.

    `name` says which service or support person a key belongs to, or what a merchant uses it for, if it says so.
    """

    key_id: int
    kind: int
    digest: bytes
    hint: str
    created_at: int
    merchant_id: int | None = None
    name: str | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    used_at: int | None = None
    roles: int = 0
    """What a support key may do, a StaffRole; other keys have none."""
    people: str = "0"
    """The people who made a service's or support's key, as core's people.py writes them."""
    budget_id: int | None = None
    """The budget that a merchant's key spends from; None if nothing limits it."""
    suspended_at: int | None = None
    """Since when a merchant's key is suspended: it opens nothing until it is resumed."""


class SpendingPeak(Struct, frozen=True):
    """What a merchant spent, in micros, in the five minutes of a day in which it spent most; days count from 1970."""

    merchant_id: int
    day: int
    amount: int


class UnusualSpending(Struct, frozen=True):
    """The last time that a merchant spent far more than is usual for it, in microseconds since 1970.

    `alert_number` is the alert that told of it, `key_id` the API key that spent most of it, if one did.
    """

    merchant_id: int
    alert_number: int
    key_id: int | None
    began_at: int
    seen_at: int


class BudgetedKey(Struct, frozen=True):
    """Which budget one of a merchant's API keys spends from, if any."""

    merchant_id: int
    key_id: int
    budget_id: int | None


class Maker(Struct, frozen=True):
    """Who makes a key or invites somebody: a staff account, a support key by its digest, or the command line."""

    login_id: int | None = None
    digest: bytes | None = None


COMMAND_LINE_MAKER: Final = Maker()


REPEATS_KEPT_MICROS: Final = 7 * 24 * 3600 * 1_000_000
"""How long a repeated request is known."""


class Repeat(Struct, frozen=True):
    """What a request made, so that a repeat of it makes nothing more.

    `key_id` is the caller's API key, or 0 for a form of the pages; `fingerprint` tells a repeat from another request
    under the same idempotency key.
    """

    key_id: int
    idempotency_key: str
    fingerprint: bytes
    made_id: int
    """The number of what was made; 0 for a move of money, which its reference names."""
    created_at: int


class Usage(Struct, frozen=True):
    """What one request type came to within a stretch of time: requests, and micros taken and given back.

    `bucket` numbers the stretch: whole hours or days since 1970, in the time zone that was asked for. `quantities` has
    the sums of what requests were priced by, by name, where their price is a rule.
    """

    bucket: int
    request_type: str
    requests: int
    cost: int
    refunded: int
    quantities: Mapping[str, int] = {}


OTHER_TYPES: Final = ""
"""In the place of a request type: all types beyond those that are counted by name."""


class RefusalCount(Struct, frozen=True):
    """How many requests of one type were refused for one reason, within one quarter of an hour or a bucket of them."""

    merchant_id: int
    quarter: int
    request_type: str
    reason: str
    requests: int

    @property
    def bucket(self) -> int:
        """The number of the bucket that it was read in, which is in the place of the quarter."""
        return self.quarter


class KeyUsage(Struct, frozen=True):
    """What the requests of one type that named an API key came to within a stretch of time, as in `Usage`."""

    bucket: int
    key_id: int
    request_type: str
    requests: int
    cost: int
    refunded: int


class BookRows(Struct, frozen=True):
    """A merchant's whole book, each part in order; transfers are rows with the fields of `Transfer`, in their order."""

    account: Account
    transfers: Sequence[Sequence[Any]]
    holds: Sequence[Hold]
    alerts: Sequence[Alert]
    grants: Sequence[Grant]


class TransferFilter(Struct, frozen=True):
    """Which transfers of a stretch of a book are wanted: those that agree with everything that is named here."""

    kinds: tuple[int, ...] = ()
    request_type: str | None = None
    reference: str | None = None


class DeliveryState(IntEnum):
    """Where a delivery, or an account mail, stands. The number is what the database stores."""

    WAITING = 1
    SENT = 2
    GIVEN_UP = 3
    WITHDRAWN = 4  # Nobody is to get it any more; `last_error` says why.


class Delivery(Struct, frozen=True):
    """One alert owed to one recipient by one channel, with the alert that it is about.

    The recipient is a user by e-mail, else a destination, whose `email` is empty. `attempts` counts those begun. A
    waiting delivery is due at `next_attempt_at`.
    """

    alert: Alert
    channel: int
    recipient_id: int
    email: str
    state: int
    attempts: int
    next_attempt_at: int
    sent_at: int | None = None
    last_error: str | None = None

    @property
    def key(self) -> tuple[int, int, int, int]:
        """What tells it from all others: merchant, alert, channel and recipient."""
        return (self.alert.merchant_id, self.alert.number, self.channel, self.recipient_id)


class OpenHold(Struct, frozen=True):
    """A hold whose money is set aside still, and the transfer that made it."""

    hold: Hold
    made_by: Transfer


class ShortTransfer(Struct, frozen=True):
    """A transfer that left something uncollected, and how that stands."""

    shortfall: Shortfall
    transfer: Transfer


class MonthSum(Struct, frozen=True):
    """What the transfers of one month, currency, kind and request type came to, in micros.

    `request_type` is None where the kind has none. `given` is the part of the amount that was given credit.
    """

    month: Month
    currency: str
    kind: int
    request_type: str | None
    amount: int
    given: int
    uncollected: int


class BalanceSum(Struct, frozen=True):
    """What all merchants of a currency had at one moment, wallets and holds, in micros.

    `paid` is the paid money of those who have some, `drawn` what others spent beyond theirs on a credit limit, and
    `given` is given credit, `owed` what was taken back of top-ups and is still to be paid.
    """

    paid: int = 0
    drawn: int = 0
    given: int = 0
    owed: int = 0


class RevenueSums(Struct, frozen=True):
    """Months in a row: what moved in each, and what merchants had before the first and after the last, by currency."""

    moved: Sequence[MonthSum]
    opening: Mapping[str, BalanceSum]
    closing: Mapping[str, BalanceSum]
