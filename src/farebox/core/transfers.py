"""A transfer: one immutable row of a merchant's book, with all it takes to explain itself."""

from msgspec import Struct

from farebox.core import ids


class Transfer(Struct, frozen=True, gc=False):
    """One amount moved between two accounts of one book. Amounts are micros; times microseconds since 1970.

    The amount is positive, or 0 for a request that is free, or of which nothing could be collected.
    `wallet_after` and `held_after` are the balances that this transfer left; `fingerprint` is the fingerprint of the
    command that asked for it, by which a retry is told from a conflict.
    """

    merchant_id: int
    seq: int
    kind: int
    amount: int
    idempotency_key: str
    fingerprint: bytes
    wallet_after: int
    held_after: int
    committed_at: int
    hash: bytes
    request_type: str | None = None
    quantity: int | None = None
    unit_price: int | None = None
    price_id: int | None = None
    refers_to: int | None = None
    """The seq of the transfer that this one corrects or continues: a refund's charge, a capture's hold."""
    reference: str | None = None
    note: str | None = None
    pricing: str | None = None
    """What the amount was priced by, where the price is a rule, as core/pricing/priced.py writes it."""
    given: str | None = None
    """What of the amount was taken from grants of credit or went back into them, or a grant's terms; or None."""
    uncollected: int | None = None
    """The part of what was due that was not there to be taken, in micros; None if nothing was missing."""
    key_id: int | None = None
    """The merchant's API key that the request named; None if it named the merchant."""

    @property
    def id(self) -> str:
        """The public id, made from the merchant's number and seq."""
        return ids.book_id(ids.TRANSFER, merchant_id=self.merchant_id, seq=self.seq)

    @property
    def due(self) -> int:
        """The sum that was to be taken: the amount, and what is uncollected."""
        return self.amount + (self.uncollected or 0)

    @property
    def posted_after(self) -> int:
        """The posted balance that this transfer left: wallet and held."""
        return self.wallet_after + self.held_after
