"""Rows as both engines keep them, beside the core's own values, and how the core's values become rows and back."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import Account, Kind
from farebox.core.approvals import Approval
from farebox.core.audit_log import AuditEntry
from farebox.core.holds import Hold
from farebox.core.invariants import InvariantViolation, check_account, check_hold
from farebox.core.state import Alert, Original
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer


class Merchant(Struct, frozen=True):
    """A customer: what people call it, and since when it is one."""

    merchant_id: int
    name: str
    created_at: int

    @property
    def id(self) -> str:
        """Its public id."""
        return ids.public_id(ids.MERCHANT, self.merchant_id)


class Role(IntEnum):
    """What a registered person may do on the dashboard. The number is what the database stores."""

    OWNER = 1
    """Everything that a merchant may do: keys and people too."""
    MEMBER = 2
    """See everything and set the thresholds."""
    VIEWER = 3
    """See everything."""


class User(Struct, frozen=True):
    """A person registered on a merchant's account."""

    merchant_id: int
    user_id: int
    email: str
    created_at: int
    role: int = Role.MEMBER


class Realm(IntEnum):
    """Where a login is valid: the dashboard of merchants' users, or the console of the operator's staff."""

    MERCHANT = 1
    SUPPORT = 2


class Login(Struct, frozen=True):
    """Somebody who may sign in. Without a password hash only a mailed link lets them in, to choose one.

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
    """What an account mail is for. The number is what the database stores."""

    INVITATION = 1
    RESET = 2
    TEST = 3


class AccountMail(Struct, frozen=True):
    """A mail to one person. Its link's token is made of `seed`, good once and until `expires_at`.

    State, attempts and times are as in OutboxMail.
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
    """A merchant's prospects as of transfer `seq`; `runs_out_at` is None if nothing is being spent."""

    merchant_id: int
    seq: int
    available: int
    last_at: int
    runs_out_at: int | None
    burn_per_day: int | None
    computed_at: int


class RunwaySnapshotAge(Struct, frozen=True):
    """How far a merchant's book is, and how far and how old its prospects are; None if there are none yet."""

    merchant_id: int
    book_seq: int
    seq: int | None
    computed_at: int | None


class MerchantOrder(IntEnum):
    """In which order merchants are listed."""

    RUNS_OUT = 1
    AVAILABLE = 2
    LAST = 3
    AGE = 4


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
    transfers: int
    mails_waiting: int
    account_mails_waiting: int


class ApiKey(Struct, frozen=True):
    """An API key as stored: its digest, never its text. `hint` is its first and last characters, for people.

    `used_at` is when it was last seen, to the minute or so.

    `name` says which service or support person a key belongs to; a merchant's key has none.
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


class Usage(Struct, frozen=True):
    """What one request type came to within a stretch of time: requests, and micros taken and given back.

    `bucket` numbers the stretch: whole hours or days since 1970, in the time zone that was asked for.
    """

    bucket: int
    request_type: str
    requests: int
    cost: int
    refunded: int


BOOK_TRANSFERS_MAX: Final = 500
"""How many transfers a short book has at most, which is read as a whole."""


class BookRows(Struct, frozen=True):
    """A merchant's whole book: its account, its transfers in order of seq, and its holds."""

    account: Account
    transfers: Sequence[Transfer]
    holds: Sequence[Hold]


class TransferFilter(Struct, frozen=True):
    """Which transfers of a stretch of a book are wanted: those that agree with everything that is named here."""

    kinds: tuple[int, ...] = ()
    request_type: str | None = None
    reference: str | None = None


class MailState(IntEnum):
    """Where a mail of the outbox stands. The number is what the database stores."""

    WAITING = 1
    SENT = 2
    GIVEN_UP = 3


class OutboxMail(Struct, frozen=True):
    """A mail owed to one user for one alert, with the alert that it is about.

    `attempts` counts those begun. A waiting mail is due at `next_attempt_at`.
    """

    alert: Alert
    user_id: int
    email: str
    state: int
    attempts: int
    next_attempt_at: int
    sent_at: int | None = None
    last_error: str | None = None


ACCOUNT_COLUMNS: Final = (
    "merchant_id, currency, wallet, held, revenue, funding, adjustments, credit_limit, is_frozen, seq, last_hash, "
    "last_at, alerts_count, thresholds"
)
TRANSFER_COLUMNS: Final = (
    "merchant_id, seq, kind, amount, idempotency_key, content, wallet_after, held_after, committed_at, hash, "
    "request_type, quantity, unit_price, price_id, refers_to, reference, note"
)
HOLD_COLUMNS: Final = "merchant_id, seq, amount, expires_at, state, captured, quantity, request_type"
MAIL_COLUMNS: Final = (
    "a.merchant_id, a.number, a.threshold, a.posted, a.fired_at, a.transfer_seq, "
    "o.user_id, o.email, o.state, o.attempts, o.next_attempt_at, o.sent_at, o.last_error"
)
"""An alert `a` and a mail `o` about it."""
APPROVAL_COLUMNS: Final = (
    "merchant_id, number, kind, amount, reference, note, idempotency_key, content, requested_by, requested_at, state, "
    "decided_by, decided_at, transfer_seq"
)
AUDIT_COLUMNS: Final = "entry_id, merchant_id, at, person, key_id, address, action, subject, detail"

LOGIN_COLUMNS: Final = ", ".join(Login.__struct_fields__)
SESSION_COLUMNS: Final = ", ".join(Session.__struct_fields__)
ACCOUNT_MAIL_COLUMNS: Final = ", ".join(("letter_id", *AccountMail.__struct_fields__[1:]))
"""The table is called `letter`, as it was released."""
RUNWAY_SNAPSHOT_COLUMNS: Final = ", ".join(RunwaySnapshot.__struct_fields__)
VERIFICATION_COLUMNS: Final = ", ".join(Verification.__struct_fields__)

_ALERT_WIDTH: Final = 6
_OPERATOR: Final = 0
_THRESHOLDS_DECODER: Final = msgspec.json.Decoder(tuple[Threshold, ...])
_NO_THRESHOLDS: Final = "[]"


def account_from_row(row: Sequence[Any]) -> Account:
    """Make an account of a row in the order of ACCOUNT_COLUMNS, unchecked."""
    thresholds = () if row[13] == _NO_THRESHOLDS else _THRESHOLDS_DECODER.decode(row[13])
    values = (*row[:8], bool(row[8]), *row[9:13], thresholds)
    return Account(*values)


def checked_account_from_row(row: Sequence[Any]) -> Account:
    """Make an account of a row and check every rule.

    Raises:
        InvariantViolation: the stored row breaks a rule.
    """
    try:
        account = account_from_row(row)
    except ValueError as error:
        raise InvariantViolation(f"merchant {row[0]}: the thresholds can't be read: {error}") from error
    check_account(account)
    return account


def account_to_row(account: Account) -> tuple[Any, ...]:
    """Write an account in the order of ACCOUNT_COLUMNS, having checked every rule.

    Raises:
        InvariantViolation: the account breaks a rule.
    """
    check_account(account)
    thresholds = msgspec.json.encode(account.thresholds).decode() if account.thresholds else _NO_THRESHOLDS
    return (
        account.merchant_id,
        account.currency,
        account.wallet,
        account.held,
        account.revenue,
        account.funding,
        account.adjustments,
        account.credit_limit,
        account.is_frozen,
        account.seq,
        account.last_hash,
        account.last_at,
        account.alerts_count,
        thresholds,
    )


def book_from_rows(account: Any, transfers: Sequence[Any], holds: Sequence[Any]) -> BookRows | None:
    """Make a book of its rows, unchecked; None if one can't be read, whatever stands in it."""
    try:
        made = [transfer_from_row(row) for row in transfers], [hold_from_row(row) for row in holds]
        return BookRows(account_from_row(account), *made)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def transfer_from_row(row: Sequence[Any]) -> Transfer:
    """Make a transfer of a row in the order of TRANSFER_COLUMNS."""
    return Transfer(*row)


def filter_to_values(wanted: TransferFilter) -> tuple[int, str | None, str | None]:
    """Write a filter as a statement takes it: the set of kinds as bits (all of them for none named), and the texts."""
    kinds = wanted.kinds or tuple(Kind)
    return sum(1 << kind for kind in set(kinds)), wanted.request_type, wanted.reference


def original_from_row(row: Sequence[Any]) -> Original:
    """Make a transfer of a row in the order of TRANSFER_COLUMNS, and after them what was given back of it."""
    return Original(Transfer(*row[:-1]), row[-1])


transfer_to_row = msgspec.structs.astuple
"""Write a transfer in the order of TRANSFER_COLUMNS, which is the order of its fields."""


def hold_from_row(row: Sequence[Any]) -> Hold:
    """Make a hold of a row in the order of HOLD_COLUMNS, unchecked."""
    return Hold(*row)


def checked_hold_from_row(row: Sequence[Any]) -> Hold:
    """Make a hold of a row and check every rule.

    Raises:
        InvariantViolation: the stored row breaks a rule.
    """
    hold = hold_from_row(row)
    check_hold(hold)
    return hold


def hold_to_row(hold: Hold) -> tuple[Any, ...]:
    """Write a hold in the order of HOLD_COLUMNS, having checked every rule.

    Raises:
        InvariantViolation: the hold breaks a rule.
    """
    check_hold(hold)
    return msgspec.structs.astuple(hold)


approval_to_row = msgspec.structs.astuple
"""Write an approval in the order of APPROVAL_COLUMNS, which is the order of its fields."""


def approval_to_closing(approval: Approval) -> tuple[Any, ...]:
    """Write what became of an approval, and which one it is."""
    what = (approval.state, approval.decided_by, approval.decided_at, approval.transfer_seq)
    return (*what, approval.merchant_id, approval.approval_id)


def audit_to_row(audit_entry: AuditEntry) -> tuple[Any, ...]:
    """Write an audit entry in the order of AUDIT_COLUMNS; merchant 0 stands for the operator as a whole."""
    values = msgspec.structs.astuple(audit_entry)
    return (values[0], audit_entry.merchant_id or _OPERATOR, *values[2:])


def audit_from_row(row: Sequence[Any]) -> AuditEntry:
    """Make an audit_entry of the audit log of a row in the order of AUDIT_COLUMNS."""
    return AuditEntry(row[0], row[1] or None, *row[2:])


alert_to_row = msgspec.structs.astuple
"""Write a alert as an alert's row, in the order of the fields of Alert."""


def mail_from_row(row: Sequence[Any]) -> OutboxMail:
    """Make a mail of a row in the order of MAIL_COLUMNS."""
    return OutboxMail(Alert(*row[:_ALERT_WIDTH]), *row[_ALERT_WIDTH:])
