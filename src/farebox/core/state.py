"""What a batch reads and writes: the ReadSet it needs, the BatchState it meets, the Decision it comes to."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct, field

from farebox.core.accounts import Account
from farebox.core.alerts import Alert
from farebox.core.approvals import Approval, ApprovalMail, LoneMove, StaffAccount
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import (
    ACCOUNT_CHANGES,
    SPENDS,
    ApprovalCommand,
    Approve,
    CaptureHold,
    Command,
    EndGrant,
    ExpireHold,
    ExtendHold,
    GiveCredit,
    Move,
    Refund,
    Reject,
    ReleaseHold,
    RequestApproval,
    ReverseTopUp,
    SetCreditLimit,
)
from farebox.core.credit.budgets import Budget, BudgetKey, Spent
from farebox.core.credit.grants import FirstGrants, Grant, read_given
from farebox.core.credit.shortfalls import Above, Shortfall
from farebox.core.holds import Hold, above_key
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import Key, PeriodCount, place_of
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, Price, in_force
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
    budget_id: int | None = None
    """The budget that a merchant's key spends from; None if nothing limits it."""
    suspended_at: int | None = None
    """Since when a merchant's key is suspended, until it is resumed."""
    name: str | None = None
    """The name of the service or support key."""
    people: str = "0"
    """Whom a service or support key counts as, as people.py writes them."""

    def is_valid_at(self, now: int) -> bool:
        """Whether the key opens anything at `now`; one that is suspended opens nothing."""
        return (
            self.suspended_at is None
            and (self.expires_at is None or now < self.expires_at)
            and (self.revoked_at is None or now < self.revoked_at)
        )


class Original(Struct, frozen=True, gc=False):
    """A transfer that is to be given back or captured, and how much of it was given back already, in micros.

    Of a top-up, what is owed still was given back too: it can't be asked for again.
    """

    transfer: Transfer
    returned: int
    budget_id: int | None = None
    """The budget of the API key that the transfer names; None if there is none."""
    counted_at: int | None = None
    """When what it took was counted by the budget, in microseconds since 1970, if that was before it: a capture's hold
    was."""


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
    grants: list[tuple[int, int]] = field(default_factory=list)
    """Grants of credit that support ends, by number; all others of their merchants that may start or end are wanted
    with them."""
    grant_keys: list[tuple[int, str]] = field(default_factory=list)
    wallets: list[int] = field(default_factory=list)
    """Merchants whose wallets may pay for what captures come to above their holds."""
    is_lock_wanted: bool = True
    """Whether the accounts must be locked before anything is read, so that whoever was changing them has ended. A batch
    that wants no lock may get none, and is written only if nobody has changed its accounts since they were read."""


class BatchState(Struct):
    """What the database has of a ReadSet; a row that is absent does not exist.

    `holds` has the holds asked for and those that replayed commands had made, `approvals` those asked for by number or
    by idempotency key. `logins` has whom staff accounts count as beside themselves; `staff` are the open accounts that
    have no mail waiting that tells of approvals. `default_prices` and `merchant_prices` have the version in force at
    the ReadSet's `now`. `shortfalls` has those of which something is owed still, of the merchants that owe.
    """

    accounts: Mapping[int, Account] = field(default_factory=dict)
    keys: Mapping[bytes, KeyRecord] = field(default_factory=dict)
    default_prices: Mapping[str, Price] = field(default_factory=dict)
    merchant_prices: Mapping[tuple[int, str], Price] = field(default_factory=dict)
    original_prices: Mapping[int, Price] = field(default_factory=dict)
    period_counts: Mapping[Key, int] = field(default_factory=dict)
    budgets: Mapping[BudgetKey, Sequence[Budget]] = field(default_factory=dict)
    replays: Mapping[tuple[int, str], Transfer] = field(default_factory=dict)
    holds: Mapping[tuple[int, int], Hold] = field(default_factory=dict)
    originals: Mapping[tuple[int, int], Original] = field(default_factory=dict)
    approvals: Sequence[Approval] = ()
    logins: Mapping[int, str] = field(default_factory=dict)
    lone_moves: Sequence[LoneMove] = ()
    staff: Sequence[StaffAccount] = ()
    shortfalls: Mapping[tuple[int, int], Shortfall] = field(default_factory=dict)
    grants: Mapping[tuple[int, int], Grant] = field(default_factory=dict)
    """Those of the ReadSet's numbers and keys, and those that `grants_wanted` tells of."""
    grants_complete: AbstractSet[int] = frozenset()
    """The merchants of whom all grants are there that wait, or are open and have something left or an end."""
    first_grants: Mapping[int, FirstGrants] = field(default_factory=dict)
    """Of the merchants of whom the first grants that can be spent are there: these."""

    def price(self, merchant_id: int, request_type: str) -> Price | Outcome:
        """Return the price that a merchant is charged by, or why there is none."""
        own = self.merchant_prices.get((merchant_id, request_type))
        return in_force(own, self.default_prices.get(request_type), request_type)


class GrantsWanted(Struct, frozen=True):
    """Which grants must be seen, each sorted and without repetition, beside those that a ReadSet names."""

    complete: Sequence[int]
    """Merchants of whom all grants are wanted that wait, or are open and have something left or an end."""
    first: Sequence[int]
    """Merchants of whom the first open grants that have something left are wanted, GRANTS_LOADED_MAX at most, in the
    order of spending."""
    numbers: Sequence[tuple[int, int]]
    """Grants by number, whatever their state."""


class MoreGrantsNeeded(Exception):
    """A batch can't be decided by the grants that it sees.

    The store answers in the same transaction: it loads all grants of this merchant, as of `GrantsWanted.complete`, and
    if that is not enough either, of every merchant of the batch, and decides again.
    """

    def __init__(self, merchant_id: int) -> None:
        """Name the merchant of whom more grants are needed."""
        super().__init__(f"more grants of merchant {merchant_id} are needed")
        self.merchant_id = merchant_id


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
    budgets: list[Budget] = field(default_factory=list)
    spent_budgets: list[Spent] = field(default_factory=list)
    """Other budgets, of which every limit was spent of alike."""
    alerts: list[Alert] = field(default_factory=list)
    new_approvals: list[Approval] = field(default_factory=list)
    changed_approvals: list[Approval] = field(default_factory=list)
    approval_mails: list[ApprovalMail] = field(default_factory=list)
    lone_moves: list[LoneMove] = field(default_factory=list)
    audit_entries: list[AuditEntry] = field(default_factory=list)
    new_grants: list[Grant] = field(default_factory=list)
    changed_grants: list[Grant] = field(default_factory=list)
    spent_grants: list[tuple[int, int, int]] = field(default_factory=list)
    """Other grants, by merchant and number, and how many micros are left of them."""
    shortfalls: list[Shortfall] = field(default_factory=list)
    """The final rows of those that are new or changed."""

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to write."""
        return bool(
            self.accounts
            or self.changed_holds
            or self.new_approvals
            or self.changed_approvals
            or self.audit_entries
            or self.changed_grants
        )


def counted_within(now: int) -> tuple[int, int]:
    """Tell when the periods of a charge that is made now may have begun: the earliest start and the latest."""
    return now - PERIOD_MICROS_MAX, now + CLOCK_LAG_MICROS_MAX


def counted(state: BatchState, merchant_types: Iterable[tuple[int, str]], now: int) -> list[tuple[int, str, int, int]]:
    """Tell which units of periods must be seen, once the prices are known: by merchant, type, first and last start."""
    wanted = set(counted_originals(state))
    earliest, latest = counted_within(now)
    counted_types = {name for name, price in state.default_prices.items() if price.is_counted}
    counted_own = {place for place, price in state.merchant_prices.items() if price.is_counted}
    if counted_types or counted_own:
        for merchant_id, request_type in merchant_types:
            if request_type in counted_types or (merchant_id, request_type) in counted_own:
                wanted.add((merchant_id, request_type, earliest, latest))
    return sorted(wanted)


def counted_originals(state: BatchState) -> list[tuple[int, str, int, int]]:
    """Tell in the same way which units must be seen of what is given back, once the originals and prices are known."""
    wanted = set()
    for original in state.originals.values():
        place = place_of(original.transfer, state.original_prices.get(original.transfer.price_id or 0))
        if place is not None:
            merchant_id, request_type, starts_at, _ = place
            wanted.add((merchant_id, request_type, starts_at, starts_at))
    return sorted(wanted)


def grants_wanted(state: BatchState, reads: ReadSet, more: Collection[int] = ()) -> GrantsWanted | None:
    """Tell which grants must be seen, once accounts and originals are known; None for most batches.

    Args:
        state: with the accounts and originals that were asked for.
        reads: what was asked for.
        more: merchants of whom `decide` wanted more than it saw.
    """
    complete = {merchant_id for merchant_id, _ in reads.grants}.union(more)
    given = set()
    for merchant_id, account in state.accounts.items():
        if account.given:
            given.add(merchant_id)
        if account.grants_due_at is not None and account.grants_due_at <= max(reads.now, account.last_at):
            complete.add(merchant_id)
    numbers = set(reads.grants)
    for (merchant_id, _), original in state.originals.items():
        if original.transfer.given is not None:
            numbers.update((merchant_id, number) for number, _ in read_given(original.transfer.given))
    first = set()
    if given:
        spending = {merchant_id for merchant_id, _ in reads.merchant_types}.union(reads.wallets)
        first = given.intersection(spending) - complete
    if not (complete or first or numbers or reads.grant_keys):
        return None
    return GrantsWanted(sorted(complete), sorted(first), sorted(numbers))


def budgets_wanted(state: BatchState) -> list[BudgetKey]:
    """Tell which budgets must be seen, once the keys and originals are known."""
    of_keys = {
        (key.merchant_id, key.budget_id)
        for key in state.keys.values()
        if key.budget_id is not None and key.merchant_id is not None
    }
    return sorted(of_keys.union(budgets_of_originals(state)))


def budgets_of_originals(state: BatchState) -> list[BudgetKey]:
    """Tell which budgets must be seen because something goes back to them, once the originals are known."""
    return sorted(
        {
            (original.transfer.merchant_id, original.budget_id)
            for original in state.originals.values()
            if original.budget_id is not None
        }
    )


class _Reads:
    """What the commands that were looked at must see."""

    def __init__(self) -> None:
        self._merchants: set[int] = set()
        self._staff: set[bytes] = set()
        self._merchant_keys: set[tuple[int, bytes]] = set()
        self._types: set[str] = set()
        self._merchant_types: set[tuple[int, str]] = set()
        self._idempotency_keys: set[tuple[int, str]] = set()
        self._holds: set[tuple[int, int]] = set()
        self._originals: set[tuple[int, int]] = set()
        self._approvals: set[tuple[int, int]] = set()
        self._approval_keys: set[tuple[int, str]] = set()
        self._logins: set[int] = set()
        self._lone_moves: set[int] = set()
        self._is_staff_wanted = False
        self._grants: set[tuple[int, int]] = set()
        self._grant_keys: set[tuple[int, str]] = set()
        self._wallets: set[int] = set()

    def add(self, command: Command) -> None:
        """Look at a command."""
        merchant_id = command.merchant_id
        self._merchants.add(merchant_id)
        caller = command.caller
        if caller is not None:
            if caller.merchant_id is None:
                self._staff.add(caller.digest)
            else:
                self._merchant_keys.add((caller.merchant_id, caller.digest))
        if isinstance(command, SPENDS):
            payer_digest, request_type = command.payer.digest, command.request_type
            if payer_digest is not None:
                self._merchant_keys.add((merchant_id, payer_digest))
            self._types.add(request_type)
            self._merchant_types.add((merchant_id, request_type))
            self._idempotency_keys.add((merchant_id, command.idempotency_key))
            return
        if command.actor is not None and command.actor.login_id is not None:
            self._logins.add(command.actor.login_id)
        if isinstance(command, ACCOUNT_CHANGES):
            if isinstance(command, Reject):
                self._approvals.add((merchant_id, command.approval_id))
            elif isinstance(command, ExtendHold):
                self._holds.add((merchant_id, command.hold_seq))
            elif isinstance(command, SetCreditLimit) and command.actor is not None:
                self._lone_moves.add(merchant_id)
            return
        self._idempotency_keys.add((merchant_id, command.idempotency_key))
        if isinstance(command, CaptureHold | ReleaseHold | ExpireHold):
            self._holds.add((merchant_id, command.hold_seq))
            self._originals.add((merchant_id, command.hold_seq))
            if isinstance(command, CaptureHold) and command.above is not Above.REFUSE:
                self._idempotency_keys.add((merchant_id, above_key(command.hold_seq)))
                self._wallets.add(merchant_id)
        elif isinstance(command, ReverseTopUp):
            self._originals.add((merchant_id, command.transfer_seq))
        elif isinstance(command, EndGrant):
            self._grants.add((merchant_id, command.number))
        else:
            self._add_move(command)

    def read_set(self, now: int) -> ReadSet:
        """Tell what they must see to be decided at `now`."""
        return ReadSet(
            now=now,
            merchant_ids=sorted(self._merchants),
            staff_digests=sorted(self._staff),
            merchant_digests=sorted(self._merchant_keys),
            request_types=sorted(self._types),
            merchant_types=sorted(self._merchant_types),
            idempotency_keys=sorted(self._idempotency_keys),
            holds=sorted(self._holds),
            originals=sorted(self._originals),
            approvals=sorted(self._approvals),
            approval_keys=sorted(self._approval_keys),
            logins=sorted(self._logins),
            lone_moves=sorted(self._lone_moves),
            is_staff_wanted=self._is_staff_wanted,
            grants=sorted(self._grants),
            grant_keys=sorted(self._grant_keys),
            wallets=sorted(self._wallets),
        )

    def _add_move(self, command: Move | ApprovalCommand) -> None:
        merchant_id = command.merchant_id
        if isinstance(command, Approve):
            self._approvals.add((merchant_id, command.approval_id))
        else:
            self._approval_keys.add((merchant_id, command.idempotency_key))
        if isinstance(command, RequestApproval):
            self._lone_moves.add(merchant_id)
            if isinstance(command.move, SetCreditLimit):
                self._approvals.add((merchant_id, command.approval_id))
            # A service asks for nothing that would wait.
            self._is_staff_wanted = self._is_staff_wanted or command.caller is None or command.actor is not None
        move = command.move if isinstance(command, ApprovalCommand) else command
        if isinstance(move, Refund):
            self._originals.add((merchant_id, move.transfer_seq))
        elif isinstance(move, GiveCredit):
            self._grant_keys.add((merchant_id, command.idempotency_key))


def reads(commands: Iterable[Command], now: int) -> ReadSet:
    """Tell what these commands must see to be decided at `now`, in microseconds since 1970."""
    wanted = _Reads()
    for command in commands:
        wanted.add(command)
    return wanted.read_set(now)
