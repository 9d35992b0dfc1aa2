"""Approvals: what raises a balance by more than one person may alone waits until a second person approves it."""

from enum import IntEnum
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from farebox.core import ids
from farebox.core.accounts import KIND_NAMES, KIND_WORDS, Kind

ALONE_MICROS: Final = 24 * 3600 * 1_000_000
"""For how long what one person moved alone counts towards the limit."""


_RANDOM_MASK: Final = (1 << ids.RANDOM_BITS) - 1


class RequestKind(IntEnum):
    """What a request is for. The number is what the database stores; a transfer's is that of its kind."""

    TOP_UP = Kind.TOP_UP
    REFUND = Kind.REFUND
    ADJUSTMENT_CREDIT = Kind.ADJUSTMENT_CREDIT
    ADJUSTMENT_DEBIT = Kind.ADJUSTMENT_DEBIT
    GRANT = Kind.GRANT
    CREDIT_LIMIT = 101


REQUEST_WORDS: Final[dict[int, str]] = {**KIND_WORDS, RequestKind.CREDIT_LIMIT: "credit_limit"}
"""The kinds of requests as the API writes them."""

REQUEST_NAMES: Final[dict[int, str]] = {**KIND_NAMES, RequestKind.CREDIT_LIMIT: "credit limit"}
"""The same as a sentence names them."""


class ApprovalState(IntEnum):
    """Where a request stands; the latter two are final. The number is what the database stores."""

    PENDING = 1
    APPROVED = 2
    REJECTED = 3


class Approval(Struct, frozen=True):
    """A move of money, or a credit limit, that one person requested. Times are microseconds since 1970.

    `amount` is micros; of a credit limit it is the limit that was asked for. It stands under the idempotency key that
    its transfer will have, which nothing else can use while it waits.
    """

    merchant_id: int
    approval_id: int
    kind: int
    amount: int
    reference: str | None
    note: str | None
    idempotency_key: str
    fingerprint: bytes
    requested_by: str
    requested_at: int
    state: int = ApprovalState.PENDING
    decided_by: str | None = None
    decided_at: int | None = None
    transfer_seq: int | None = None
    """The transfer that it became."""
    refers_to: int | None = None
    """The charge or capture that a refund gives back."""
    requested_people: str = "0"
    """The people whom the one who asked counted as, as people.py writes them."""
    decided_people: str | None = None
    terms: str | None = None
    """What a grant of credit is to be, as core/credit/grants.py writes it."""

    @property
    def id(self) -> str:
        """The public id."""
        return ids.public_id(ids.APPROVAL, self.approval_id)

    @property
    def signed_amount(self) -> int:
        """Its amount, below zero if it takes money away."""
        return -self.amount if self.kind == RequestKind.ADJUSTMENT_DEBIT else self.amount


class ApprovalLimits(Struct, frozen=True):
    """How much one person may move alone for a merchant within a day, in micros by currency; None: as much as any."""

    default: int | None = None
    by_currency: tuple[tuple[str, int], ...] = ()

    def of(self, currency: str) -> int | None:
        """Return the limit for merchants of a currency."""
        return dict(self.by_currency).get(currency, self.default)

    @property
    def are_none(self) -> bool:
        """Whether nothing ever needs a second person."""
        return self.default is None and not self.by_currency


EVERYTHING_WAITS: Final = ApprovalLimits(0)
NO_LIMITS: Final = ApprovalLimits()


class LoneMove(Struct, frozen=True):
    """What people moved without a second person: `amount` micros at a time, microseconds since 1970."""

    merchant_id: int
    at: int
    number: int
    people: str
    amount: int


class StaffAccount(Struct, frozen=True):
    """A staff account that may decide requests: its address, and beside itself whom it counts as."""

    login_id: int
    email: str
    counts_as: str


class ApprovalMail(Struct, frozen=True):
    """A mail that tells one of the staff that something waits for them."""

    account_mail_id: int
    login_id: int
    email: str
    at: int


def approval_mail_id(number: int, login_id: int) -> int:
    """Number a mail that tells of a request, or of an account, of this number: by its time, and by who gets it."""
    digest = blake2b(f"{number} {login_id}".encode(), digest_size=8).digest()
    return number & ~_RANDOM_MASK | int.from_bytes(digest, "big") & _RANDOM_MASK
