"""What a batch reads and writes: the ReadSet it needs, the BatchState it meets, the Decision it comes to."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from msgspec import Struct, field

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.approvals import Approval, ApprovalMail, LoneMove, StaffAccount
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import (
    ACCOUNT_CHANGES,
    SPENDS,
    ApprovalCommand,
    Approve,
    Caller,
    CaptureHold,
    Command,
    ExpireHold,
    ExtendHold,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
)
from farebox.core.holds import Hold
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import PeriodCount, place_of
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, Price
from farebox.core.transfers import Transfer


class KeyRecord(Struct, frozen=True, gc=False):
    """An API key as stored. `merchant_id` is None for a service's or support's; times are microseconds since 1970."""

    key_id: int
    kind: int
    merchant_id: int | None
    expires_at: int | None
    revoked_at: int | None
    roles: int = 0
    """The roles of a support key, a StaffRole; others have none."""
    name: str | None = None
    """The name of the service or support key."""
    people: str = "0"
    """Whom a service or support key counts as, as people.py writes them."""

    def is_valid_at(self, now: int) -> bool:
        """Whether the key opens anything at `now`."""
        return (self.expires_at is None or now < self.expires_at) and (self.revoked_at is None or now < self.revoked_at)


class Original(Struct, frozen=True, gc=False):
    """A transfer that is to be given back or captured, and how much of it was given back already, in micros."""

    transfer: Transfer
    returned: int


PERIOD_MICROS_MAX: Final = 34 * 24 * 3600 * 1_000_000
"""How long before a charge its period may have begun: a month, the day since it was requested, and some hours."""


class ReadSet(Struct):
    """What a batch of commands must see, each sorted and without repetition, at the moment `now`.

    All of it is keyed by merchant first but `staff_digests`, `request_types` and `logins`, which every merchant shares.
    """

    now: int
    merchant_ids: list[int] = field(default_factory=list)
    staff_digests: list[bytes] = field(default_factory=list)
    merchant_digests: list[tuple[int, bytes]] = field(default_factory=list)
    request_types: list[str] = field(default_factory=list)
    merchant_types: list[tuple[int, str]] = field(default_factory=list)
    idempotency_keys: list[tuple[int, str]] = field(default_factory=list)
    holds: list[tuple[int, int]] = field(default_factory=list)
    originals: list[tuple[int, int]] = field(default_factory=list)
    """Transfers to be given back or captured, or whose holds end; wanted with the price versions that they name."""
    approvals: list[tuple[int, int]] = field(default_factory=list)
    approval_keys: list[tuple[int, str]] = field(default_factory=list)
    logins: list[int] = field(default_factory=list)
    lone_moves: list[int] = field(default_factory=list)
    """Merchants for which it is wanted what people moved alone within ALONE_MICROS."""
    is_staff_wanted: bool = False
    """Whether the staff are wanted, who might have to be told that something waits."""


class BatchState(Struct):
    """What the database has of a ReadSet; a row that is absent does not exist.

    `holds` has the holds asked for and those that replayed commands had made, `approvals` those asked for by number or
    by idempotency key. `logins` has whom staff accounts count as beside themselves; `staff` are the open accounts that
    have no mail waiting that tells of approvals. `default_prices` and `merchant_prices` have the version in force at
    the ReadSet's `now`.
    """

    accounts: Mapping[int, Account] = field(default_factory=dict)
    keys: Mapping[bytes, KeyRecord] = field(default_factory=dict)
    default_prices: Mapping[str, Price] = field(default_factory=dict)
    merchant_prices: Mapping[tuple[int, str], Price] = field(default_factory=dict)
    original_prices: Mapping[int, Price] = field(default_factory=dict)
    period_counts: Mapping[tuple[int, str, int, str], int] = field(default_factory=dict)
    replays: Mapping[tuple[int, str], Transfer] = field(default_factory=dict)
    holds: Mapping[tuple[int, int], Hold] = field(default_factory=dict)
    originals: Mapping[tuple[int, int], Original] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    logins: Mapping[int, str] = field(default_factory=dict)
    lone_moves: Sequence[LoneMove] = ()
    staff: Sequence[StaffAccount] = ()


class AlertKind(IntEnum):
    """What an alert tells. The number is what the database stores."""

    LOW_BALANCE = 1
    """Posted is below a threshold."""
    USED_UP = 2
    """A request was refused for lack of money."""


class Alert(Struct, frozen=True, gc=False):
    """What a merchant's users are told of its balance: alert `number` of its book. Amounts are micros."""

    merchant_id: int
    number: int
    threshold: int | None
    """The lowest threshold that posted is below; None if the balance is used up."""
    posted: int
    fired_at: int
    transfer_seq: int | None
    """The transfer that left posted below; None if a threshold was set too high or a user joined. If the balance is
    used up, the last transfer before the refusal; None if there was none."""
    kind: int = AlertKind.LOW_BALANCE
    refused: int | None = None
    """What the refused request would have taken, if the balance is used up."""
    user_id: int | None = None
    """The user who joined meanwhile and alone is told; None if all are."""

    @property
    def transfer_id(self) -> str | None:
        """The public id of the transfer that `transfer_seq` names."""
        if self.transfer_seq is None:
            return None
        return ids.book_id(ids.TRANSFER, merchant_id=self.merchant_id, seq=self.transfer_seq)


class Decision(Struct):
    """What a batch comes to: an outcome per command, in order, and the rows that make it true.

    `accounts` and `holds` are the final rows of those that changed, by merchant and seq; `transfers` and `alerts` are
    new, in the order they came about.
    """

    outcomes: list[Outcome]
    accounts: list[Account] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    new_holds: list[Hold] = field(default_factory=list)
    changed_holds: list[Hold] = field(default_factory=list)
    period_counts: list[PeriodCount] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    new_approvals: list[Approval] = field(default_factory=list)
    changed_approvals: list[Approval] = field(default_factory=list)
    approval_mails: list[ApprovalMail] = field(default_factory=list)
    lone_moves: list[LoneMove] = field(default_factory=list)
    audit_entries: list[AuditEntry] = field(default_factory=list)

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to write."""
        return bool(
            self.accounts or self.changed_holds or self.new_approvals or self.changed_approvals or self.audit_entries
        )


def counted(state: BatchState, merchant_types: Iterable[tuple[int, str]], now: int) -> list[tuple[int, str, int, int]]:
    """Tell which units of periods must be seen, once the prices are known: by merchant, type, first and last start."""
    wanted = []
    earliest, latest = now - PERIOD_MICROS_MAX, now + CLOCK_LAG_MICROS_MAX
    counted_types = {name for name, price in state.default_prices.items() if price.is_counted}
    counted_own = {place for place, price in state.merchant_prices.items() if price.is_counted}
    if counted_types or counted_own:
        for merchant_id, request_type in merchant_types:
            if request_type in counted_types or (merchant_id, request_type) in counted_own:
                wanted.append((merchant_id, request_type, earliest, latest))
    for original in state.originals.values():
        place = place_of(original.transfer, state.original_prices.get(original.transfer.price_id or 0))
        if place is not None:
            wanted.append((*place, place[-1]))
    return sorted(set(wanted))


def _add_key(caller: Caller, staff: set[bytes], merchant_keys: set[tuple[int, bytes]]) -> None:
    if caller.merchant_id is None:
        staff.add(caller.digest)
    else:
        merchant_keys.add((caller.merchant_id, caller.digest))


def reads(commands: Iterable[Command], now: int) -> ReadSet:
    """Tell what these commands must see to be decided at `now`, in microseconds since 1970."""
    merchants: set[int] = set()
    staff: set[bytes] = set()
    merchant_keys: set[tuple[int, bytes]] = set()
    types: set[str] = set()
    merchant_types: set[tuple[int, str]] = set()
    idempotency_keys: set[tuple[int, str]] = set()
    holds: set[tuple[int, int]] = set()
    originals: set[tuple[int, int]] = set()
    approvals: set[tuple[int, int]] = set()
    approval_keys: set[tuple[int, str]] = set()
    logins: set[int] = set()
    lone_moves: set[int] = set()
    is_staff_wanted = False
    for command in commands:
        merchant_id = command.merchant_id
        merchants.add(merchant_id)
        caller = command.caller
        if caller is not None:
            _add_key(caller, staff, merchant_keys)
        if command.actor is not None and command.actor.login_id is not None:
            logins.add(command.actor.login_id)
        if isinstance(command, ACCOUNT_CHANGES):
            if isinstance(command, Reject):
                approvals.add((merchant_id, command.approval_id))
            elif isinstance(command, ExtendHold):
                holds.add((merchant_id, command.hold_seq))
            continue
        idempotency_keys.add((merchant_id, command.idempotency_key))
        if isinstance(command, SPENDS):
            if command.payer.digest is not None:
                merchant_keys.add((merchant_id, command.payer.digest))
            types.add(command.request_type)
            merchant_types.add((merchant_id, command.request_type))
        elif isinstance(command, CaptureHold | ReleaseHold | ExpireHold):
            holds.add((merchant_id, command.hold_seq))
            originals.add((merchant_id, command.hold_seq))
        elif isinstance(command, ReverseTopUp):
            originals.add((merchant_id, command.transfer_seq))
        else:
            if isinstance(command, Approve):
                approvals.add((merchant_id, command.approval_id))
            else:
                approval_keys.add((merchant_id, command.idempotency_key))
            if isinstance(command, RequestApproval):
                lone_moves.add(merchant_id)
                # A service asks for nothing that would wait.
                is_staff_wanted = is_staff_wanted or caller is None or command.actor is not None
            move = command.move if isinstance(command, ApprovalCommand) else command
            if isinstance(move, Refund):
                originals.add((merchant_id, move.transfer_seq))
    return ReadSet(
        now=now,
        merchant_ids=sorted(merchants),
        staff_digests=sorted(staff),
        merchant_digests=sorted(merchant_keys),
        request_types=sorted(types),
        merchant_types=sorted(merchant_types),
        idempotency_keys=sorted(idempotency_keys),
        holds=sorted(holds),
        originals=sorted(originals),
        approvals=sorted(approvals),
        approval_keys=sorted(approval_keys),
        logins=sorted(logins),
        lone_moves=sorted(lone_moves),
        is_staff_wanted=is_staff_wanted,
    )
