"""Commands: what callers ask of the ledger. Amounts are positive micros; texts were checked at the edge.

Every command that moves money carries an idempotency key, unique in its merchant's book for ever. Callers' own keys
hold no space; the keys that Farebox makes (from a top-up's reference, for an expiry) do, so the two never meet.
"""

from enum import IntEnum
from typing import ClassVar, Final, TypeAlias

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.approvals import EVERYTHING_WAITS, ApprovalLimits
from farebox.core.credit.grants import GrantTerms, write_terms
from farebox.core.credit.shortfalls import Above
from farebox.core.fingerprints import Quantities, digest, written_above, written_measures
from farebox.core.holds import TTL_SECONDS_DEFAULT
from farebox.core.pricing.priced import written_quantities

IDEMPOTENCY_KEY_CHARS_MAX: Final = 128
REFERENCE_CHARS_MAX: Final = 128
NOTE_CHARS_MAX: Final = 500
REQUEST_TYPE_CHARS_MAX: Final = 200


class KeyKind(IntEnum):
    """Who holds an API key. The number is what the database stores."""

    MERCHANT = 1
    SERVICE = 2
    SUPPORT = 3


class Caller(Struct, frozen=True, gc=False):
    """The API key a command came with, to be looked up in the command's own transaction.

    `merchant_id` is the merchant that the key's text names, or None for a service's or support's key.
    """

    digest: bytes
    merchant_id: int | None = None


class Actor(Struct, frozen=True, gc=False):
    """The person who asks for an action, and from where: support, a merchant's user or the operator's shell.

    `entry_id` is the number that the action's audit entry gets: 63 random bits from outside, so that an entry that
    is written again, after a COMMIT whose fate was unknown, is the same entry.
    """

    entry_id: int
    name: str
    key_id: int | None = None
    """The API key that was used; None for the operator's own shell."""
    address: str | None = None
    login_id: int | None = None
    """The account that is signed in; None for a key and for the operator's own shell."""


class Payer(Struct, frozen=True, gc=False):
    """Whom a charge or hold is for: a merchant's number and, when it was named by its API key, that key's digest."""

    merchant_id: int
    digest: bytes | None = None


class Charge(Struct, frozen=True, gc=False):
    """Deduct the cost of `quantity` requests of a type, or of its `quantities`; a variable type's `amount` is named."""

    payer: Payer
    request_type: str
    quantity: int
    idempotency_key: str
    amount: int | None = None
    reference: str | None = None
    caller: Caller | None = None
    quantities: Quantities | None = None
    requested_at: int | None = None
    """When the request was made, in microseconds since 1970, where that is not now."""
    above: Above = Above.REFUSE
    actor: ClassVar[None] = None
    kind: ClassVar[Kind] = Kind.CHARGE

    @property
    def merchant_id(self) -> int:
        """The merchant whose book this command meets."""
        return self.payer.merchant_id

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for; equal for a retry, different for another request under the same key."""
        return digest(
            f"charge\n{self.request_type}\n{self.quantity}\n{self.amount or ''}\n{self.reference or ''}"
            f"{written_measures(self.quantities, self.requested_at)}{written_above(self.above)}"
        )


class CreateHold(Struct, frozen=True, gc=False):
    """Set aside the cost of `quantity` requests of a type, or of its `quantities`, for `ttl_seconds`."""

    payer: Payer
    request_type: str
    quantity: int
    idempotency_key: str
    amount: int | None = None
    reference: str | None = None
    ttl_seconds: int = TTL_SECONDS_DEFAULT
    caller: Caller | None = None
    quantities: Quantities | None = None
    requested_at: int | None = None
    """When the request was made, in microseconds since 1970, where that is not now."""
    above: ClassVar[Above] = Above.REFUSE
    actor: ClassVar[None] = None
    kind: ClassVar[Kind] = Kind.HOLD

    @property
    def merchant_id(self) -> int:
        """The merchant whose book this command meets."""
        return self.payer.merchant_id

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for."""
        return digest(
            f"hold\n{self.request_type}\n{self.quantity}\n{self.amount or ''}\n{self.reference or ''}\n"
            f"{self.ttl_seconds}{written_measures(self.quantities, self.requested_at)}"
        )


class CaptureHold(Struct, frozen=True, gc=False):
    """Take a hold's money, or what `quantity` of its requests cost, or `amount` of it; the rest goes back at once.

    `above` says what becomes of what it comes to above the hold.
    """

    merchant_id: int
    hold_seq: int
    idempotency_key: str
    amount: int | None = None
    reference: str | None = None
    caller: Caller | None = None
    quantity: int | None = None
    quantities: Quantities | None = None
    above: Above = Above.REFUSE
    actor: ClassVar[None] = None
    kind: ClassVar[Kind] = Kind.CAPTURE

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for."""
        # Without a quantity as when none could be named: retries of earlier captures stay retries.
        quantity = f"\n{self.quantity}" if self.quantity else ""
        if self.quantities is not None:
            quantity += f"\n{written_quantities(self.quantities)}"
        quantity += written_above(self.above)
        return digest(f"capture\n{self.hold_seq}\n{self.amount or ''}\n{self.reference or ''}{quantity}")


class ReleaseHold(Struct, frozen=True, gc=False):
    """Give a hold's money back; a service asks, or support, with the reason as the note."""

    merchant_id: int
    hold_seq: int
    idempotency_key: str
    reference: str | None = None
    caller: Caller | None = None
    actor: Actor | None = None
    note: str | None = None
    kind: ClassVar[Kind] = Kind.RELEASE

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for; the note is a remark, not content."""
        return digest(f"release\n{self.hold_seq}\n{self.reference or ''}")


class ExtendHold(Struct, frozen=True, gc=False):
    """Let a hold last until `expires_at`, in microseconds since 1970; one that lasts longer is left as it is.

    Nothing moves, and the later of two ends holds in whichever order they are set: asking again changes nothing.
    """

    merchant_id: int
    hold_seq: int
    expires_at: int
    caller: Caller | None = None
    actor: Actor | None = None


class ExpireHold(Struct, frozen=True, gc=False):
    """Give the money of a hold back because its time is over; Farebox itself asks."""

    merchant_id: int
    hold_seq: int
    caller: ClassVar[None] = None
    actor: ClassVar[None] = None
    kind: ClassVar[Kind] = Kind.EXPIRE

    @property
    def idempotency_key(self) -> str:
        """One expiry per hold, for ever."""
        return f"expire {self.hold_seq}"

    def fingerprint(self) -> bytes:
        """Digest what was asked for."""
        return digest(f"expire\n{self.hold_seq}")


class Refund(Struct, frozen=True, gc=False):
    """Give back `amount` of a charge or capture, or all that is left of it."""

    merchant_id: int
    transfer_seq: int
    idempotency_key: str
    amount: int | None = None
    reference: str | None = None
    note: str | None = None
    caller: Caller | None = None
    actor: Actor | None = None
    kind: ClassVar[Kind] = Kind.REFUND

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for."""
        return digest(f"refund\n{self.transfer_seq}\n{self.amount or ''}\n{self.reference or ''}")


class TopUp(Struct, frozen=True, gc=False):
    """Add money that the merchant has paid; the same reference twice is the same top-up once."""

    merchant_id: int
    amount: int
    reference: str
    note: str | None = None
    caller: Caller | None = None
    actor: Actor | None = None
    kind: ClassVar[Kind] = Kind.TOP_UP

    @property
    def idempotency_key(self) -> str:
        """Made from the reference, which is unique among the merchant's top-ups."""
        return f"top_up {self.reference}"

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for; the note is a remark, not content."""
        return digest(f"top_up\n{self.amount}")


class ReverseTopUp(Struct, frozen=True, gc=False):
    """Take back `amount` of a top-up, or all that is left of it: a payment that bounced, a wrong merchant.

    Spent money can't be taken back. The whole is then refused, or, with `is_owed`, that part is owed.
    """

    merchant_id: int
    transfer_seq: int
    reference: str
    reason: str
    amount: int | None = None
    caller: Caller | None = None
    actor: Actor | None = None
    is_owed: bool = False
    kind: ClassVar[Kind] = Kind.TOP_UP_REVERSAL

    @property
    def idempotency_key(self) -> str:
        """Made from the reference, which is unique among the merchant's reversals."""
        return f"top_up_reversal {self.reference}"

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for."""
        owed = "\nowed" if self.is_owed else ""
        return digest(f"top_up_reversal\n{self.transfer_seq}\n{self.amount or ''}{owed}")


class Adjust(Struct, frozen=True, gc=False):
    """Correct a balance by hand, up (`is_credit`) or down, with a reason."""

    merchant_id: int
    amount: int
    is_credit: bool
    reference: str
    reason: str
    caller: Caller | None = None
    actor: Actor | None = None

    @property
    def kind(self) -> Kind:
        """An adjustment's direction is its kind."""
        return Kind.ADJUSTMENT_CREDIT if self.is_credit else Kind.ADJUSTMENT_DEBIT

    @property
    def idempotency_key(self) -> str:
        """Made from the reference, which is unique among the merchant's adjustments."""
        return f"adjustment {self.reference}"

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for."""
        return digest(f"adjustment\n{self.amount if self.is_credit else -self.amount}")


class GiveCredit(Struct, frozen=True, gc=False):
    """Give credit that was not paid for; the same reference twice is the same grant once.

    It starts at once, or at `starts_at`, and ends at `expires_at`, if that is named, in microseconds since 1970. It
    pays for `types` alone, sorted, separated by one space, or for all.
    """

    merchant_id: int
    amount: int
    reference: str
    reason: str
    starts_at: int | None = None
    expires_at: int | None = None
    types: str | None = None
    priority: int = 0
    caller: Caller | None = None
    actor: Actor | None = None
    kind: ClassVar[Kind] = Kind.GRANT

    @property
    def idempotency_key(self) -> str:
        """Made from the reference, which is unique among the merchant's grants."""
        return f"grant {self.reference}"

    @property
    def terms(self) -> GrantTerms:
        """What the grant is to be."""
        return GrantTerms(self.amount, self.priority, self.starts_at, self.expires_at, self.types)

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for; the reason is a remark, not content."""
        return digest(f"grant\n{write_terms(0, self.terms)}")


class EndGrant(Struct, frozen=True, gc=False):
    """Take back what is left of a grant, or let one that waits never start."""

    merchant_id: int
    number: int
    reason: str
    caller: Caller | None = None
    actor: Actor | None = None
    kind: ClassVar[Kind] = Kind.GRANT_EXPIRY

    @property
    def idempotency_key(self) -> str:
        """A grant ends once, for ever."""
        return end_key(self.number)

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for; the reason is a remark, not content."""
        return digest(f"end_grant\n{self.number}")


class SettleGrants(Struct, frozen=True, gc=False):
    """Start and end the grants whose time has come; every other command does so too before it is decided."""

    merchant_id: int
    caller: ClassVar[None] = None
    actor: ClassVar[None] = None


class SetThresholds(Struct, frozen=True, gc=False):
    """Replace the amounts of posted balance to warn below; at most THRESHOLDS_MAX, none to be silent."""

    merchant_id: int
    amounts: tuple[int, ...]
    caller: Caller | None = None
    actor: Actor | None = None


class SetCreditLimit(Struct, frozen=True, gc=False):
    """Let the merchant spend down to minus this amount; 0 for none."""

    merchant_id: int
    credit_limit: int
    caller: Caller | None = None
    actor: Actor | None = None

    @property
    def idempotency_key(self) -> str:
        """What a request for a limit stands under: a merchant has one that waits at most."""
        return "credit limit"

    def fingerprint(self) -> bytes:
        """Digest what the caller asked for."""
        return digest(f"credit_limit\n{self.credit_limit}")


class SetFrozen(Struct, frozen=True, gc=False):
    """Stop a merchant's spending, or let it go on."""

    merchant_id: int
    is_frozen: bool
    caller: Caller | None = None
    actor: Actor | None = None


class SetClosed(Struct, frozen=True, gc=False):
    """Close a merchant, whose book is empty then: it moves no money, and its keys open nothing. Or open it again."""

    merchant_id: int
    is_closed: bool
    reason: str
    caller: Caller | None = None
    actor: Actor | None = None


Move: TypeAlias = TopUp | Adjust | Refund | SetCreditLimit | GiveCredit
"""The commands that may need a second person's approval."""


class ApprovalCommand(Struct, frozen=True, gc=False):
    """A command about a move that may need a second person; the move carries its caller and its actor.

    `approval_id` numbers the request.
    """

    move: Move
    approval_id: int

    @property
    def merchant_id(self) -> int:
        """The merchant whose book this command meets."""
        return self.move.merchant_id

    @property
    def idempotency_key(self) -> str:
        """The move's own: a reference is requested once, and made once."""
        return self.move.idempotency_key

    @property
    def caller(self) -> Caller | None:
        """The API key that asks."""
        return self.move.caller

    @property
    def actor(self) -> Actor | None:
        """Who asks."""
        return self.move.actor

    def fingerprint(self) -> bytes:
        """Digest what was asked for."""
        return self.move.fingerprint()


class RequestApproval(ApprovalCommand, frozen=True, gc=False):
    """Make a move if one person may; ask a second person to approve it if it is above the limits.

    `approval_id` numbers the request that it may become, and what one person moved alone.
    """

    limits: ApprovalLimits = EVERYTHING_WAITS


class Approve(ApprovalCommand, frozen=True, gc=False):
    """Approve a move as it was requested; it is then made."""


class Reject(Struct, frozen=True, gc=False):
    """Reject a requested move, or take one's own request back; it is never made."""

    merchant_id: int
    approval_id: int
    caller: Caller | None = None
    actor: Actor | None = None


Spend: TypeAlias = Charge | CreateHold
HoldEnd: TypeAlias = CaptureHold | ReleaseHold | ExpireHold
TransferCommand: TypeAlias = (
    Spend | HoldEnd | Refund | TopUp | ReverseTopUp | Adjust | GiveCredit | EndGrant | RequestApproval | Approve
)
AccountChange: TypeAlias = SetThresholds | SetCreditLimit | SetFrozen | SetClosed | Reject | ExtendHold | SettleGrants
Command: TypeAlias = TransferCommand | AccountChange

# The same as tuples: asking what a command is takes a third of the time then, and every charge is asked a few times.
# That something is no Struct of a kind takes `isinstance` longest: charges are told by `type` alone.
SPENDS: Final = (Charge, CreateHold)
ACCOUNT_CHANGES: Final = (SetThresholds, SetCreditLimit, SetFrozen, SetClosed, Reject, ExtendHold, SettleGrants)


def end_key(number: int, after: int | None = None) -> str:
    """Write the idempotency key of a grant's end, or of the end of what came back into it `after` it had ended.

    Args:
        number: the grant's.
        after: the seq of the transfer that gave back.
    """
    return f"end of grant {number}" if after is None else f"end of grant {number} after {after}"
