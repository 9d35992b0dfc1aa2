"""Approvals: a top-up or adjustment above the operator's limit waits until a second person approves it."""

from enum import IntEnum

from msgspec import Struct

from farebox.core import ids


class ApprovalState(IntEnum):
    """Where a request stands; the latter two are final. The number is what the database stores."""

    PENDING = 1
    APPROVED = 2
    REJECTED = 3


class Approval(Struct, frozen=True):
    """A move of money that one person requested. `amount` is micros; times are microseconds since 1970.

    It stands under the idempotency key that its transfer will have, so a reference is requested once.
    """

    merchant_id: int
    approval_id: int
    kind: int
    amount: int
    reference: str
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

    @property
    def id(self) -> str:
        """The public id."""
        return ids.public_id(ids.APPROVAL, self.approval_id)
