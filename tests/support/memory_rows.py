"""The rows of a ledger as plain dicts, with what a batch does to them. It obeys the contract and nothing more.

`load` gives a batch what its ReadSet asks for and no row besides, so a command that forgot to ask is found out.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self, TypeVar

from msgspec.structs import replace

from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert
from farebox.core.approvals import ALONE_MICROS, Approval, ApprovalMail, ApprovalState, LoneMove, StaffAccount
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import Command, KeyKind
from farebox.core.credit.budgets import Budget
from farebox.core.credit.grants import GRANTS_LOADED_MAX, FirstGrants, Grant, GrantState
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.decide import decide
from farebox.core.holds import Hold
from farebox.core.invariants import check_account, check_grant, check_hold
from farebox.core.joining import alert_on_joining
from farebox.core.outcomes import Outcome
from farebox.core.period_counts import Key, PeriodCount
from farebox.core.prices import Price
from farebox.core.state import (
    BatchState,
    Decision,
    KeyRecord,
    MoreGrantsNeeded,
    Original,
    ReadSet,
    budgets_wanted,
    counted,
    grants_wanted,
    reads,
)
from farebox.core.transfers import Transfer
from farebox.storage.destination_records import Channel
from farebox.storage.interface import NotFound, Repeated, StoreUnavailable
from farebox.storage.months import Month
from farebox.storage.records import (
    REPEATS_KEPT_MICROS,
    ApiKey,
    Delivery,
    DeliveryState,
    Login,
    MailServerPause,
    Merchant,
    MerchantNote,
    Realm,
    Repeat,
    RevenueSums,
    User,
)
from tests.support.revenue_scan import scanned

_GIVING_BACK = {Kind.REFUND, Kind.TOP_UP_REVERSAL}
_Key = TypeVar("_Key")
_Row = TypeVar("_Row")


class MemoryRows:
    """Every row that commands read or write."""

    def __init__(self) -> None:
        self.is_open = True
        self.merchants: dict[int, Merchant] = {}
        self.accounts: dict[int, Account] = {}
        self.users: dict[tuple[int, str], User] = {}
        self.keys: dict[int, ApiKey] = {}
        self.prices: list[Price] = []
        self.prices_made_at: dict[int, int] = {}
        self.period_counts: dict[Key, PeriodCount] = {}
        self.budgets: dict[tuple[int, int, int], Budget] = {}
        self.books: dict[int, list[Transfer]] = {}
        self.transfers: dict[tuple[int, str], Transfer] = {}
        self.holds: dict[tuple[int, int], Hold] = {}
        self.grants: dict[tuple[int, int], Grant] = {}
        self.alerts: dict[tuple[int, int], Alert] = {}
        self.deliveries: dict[tuple[int, int, int, int], Delivery] = {}
        self.mail_servers: dict[str, MailServerPause] = {}
        self.approvals: dict[tuple[int, int], Approval] = {}
        self.audit_entries: dict[tuple[int, int, int], AuditEntry] = {}
        self.logins: dict[int, Login] = {}
        self.lone_moves: list[LoneMove] = []
        self.notes: list[MerchantNote] = []
        self.approval_mails: dict[int, ApprovalMail] = {}
        self.rolled_up: dict[int, int] = {}
        self.repeats: dict[tuple[int, str], Repeat] = {}
        self.shortfalls: dict[tuple[int, int], Shortfall] = {}

    def repeat(self, key_id: int, idempotency_key: str, now: int) -> Repeat | None:
        """Find what a request made, unless it is too long ago."""
        found = self.repeats.get((key_id, idempotency_key))
        return None if found is None or found.created_at <= now - REPEATS_KEPT_MICROS else found

    def revenue(self, first: Month, last: Month) -> RevenueSums:
        """Sum months up by a scan of all transfers."""
        books = [(self.accounts[number].currency, book) for number, book in self.books.items()]
        return scanned(books, first=first, last=last)

    def claim(self, repeat: Repeat | None) -> None:
        """Use an idempotency key up."""
        if repeat is not None:
            if self.repeat(repeat.key_id, repeat.idempotency_key, repeat.created_at) is not None:
                raise Repeated("the idempotency key was used")
            self.repeats[repeat.key_id, repeat.idempotency_key] = repeat

    def load(self, reads: ReadSet, more_grants: Collection[int] = ()) -> BatchState:
        """Find what a batch asks for, and of these merchants all grants."""
        staff = [key for key in self.keys.values() if key.merchant_id is None and key.digest in reads.staff_digests]
        theirs = [key for key in self.keys.values() if (key.merchant_id, key.digest) in reads.merchant_digests]
        replays = _picked(self.transfers, reads.idempotency_keys)
        replayed_holds = [(item.merchant_id, item.seq) for item in replays.values() if item.kind == Kind.HOLD]
        state = BatchState(
            accounts=_picked(self.accounts, reads.merchant_ids),
            keys={key.digest: key_record(key) for key in (*staff, *theirs)},
            replays=replays,
            holds=_picked(self.holds, [*reads.holds, *replayed_holds]),
            approvals=self._wanted_approvals(reads),
            logins={number: login.counts_as for number, login in _picked(self.logins, reads.logins).items()},
            lone_moves=self._wanted_lone_moves(reads),
            staff=self._staff() if reads.is_staff_wanted else (),
            originals={place: found for place in reads.originals if (found := self.original(*place)) is not None},
            default_prices={
                name: price
                for name in reads.request_types
                if (price := self.price_in_force(None, name, reads.now)) is not None
            },
            merchant_prices={
                place: price
                for place in reads.merchant_types
                if (price := self.price_in_force(*place, reads.now)) is not None
            },
        )
        ruled = [item.transfer.price_id for item in state.originals.values() if item.transfer.pricing is not None]
        state.original_prices = {price.price_id: price for price in self.prices if price.price_id in ruled}
        stretches = counted(state, reads.merchant_types, reads.now)
        state.period_counts = {
            place: count.units
            for place, count in self.period_counts.items()
            if any((start[:2]) == place[:2] and start[2] <= place[2] <= start[3] for start in stretches)
        }
        self._load_grants(state, reads, more_grants)
        state.shortfalls = {
            place: row
            for place, row in sorted(self.shortfalls.items())
            if row.owed and place[0] in state.accounts and state.accounts[place[0]].owed
        }
        state.budgets = {key: self.budget(*key) for key in budgets_wanted(state)}
        for account in state.accounts.values():
            check_account(account)
        for hold in state.holds.values():
            check_hold(hold)
        return state

    def _load_grants(self, state: BatchState, reads: ReadSet, more: Collection[int]) -> None:
        found = {
            place: grant
            for place, grant in self.grants.items()
            if (place[0], grant.idempotency_key) in reads.grant_keys
        }
        wanted = grants_wanted(state, reads, more)
        if wanted is not None:
            found |= _picked(self.grants, wanted.numbers)
            found |= {
                place: grant
                for place, grant in self.grants.items()
                if place[0] in wanted.complete
                and grant.state != GrantState.ENDED
                and (grant.state == GrantState.WAITING or grant.left or grant.expires_at)
            }
            state.grants_complete = set(wanted.complete)
            first_grants: dict[int, FirstGrants] = {}
            for merchant_id in wanted.first:
                lots = [
                    grant
                    for place, grant in self.grants.items()
                    if place[0] == merchant_id and grant.state == GrantState.OPEN and grant.left
                ]
                first = sorted(lots, key=lambda grant: grant.order)[:GRANTS_LOADED_MAX]
                by_number = {grant.number: grant.lot for grant in first}
                first_grants[merchant_id] = FirstGrants(by_number, len(first) < GRANTS_LOADED_MAX)
            state.first_grants = first_grants
        state.grants = found

    def decision(self, read_set: ReadSet, decide: Callable[[BatchState], Decision]) -> Decision:
        """Decide by what a batch asks for; if that is not enough, by more of the grants, and at last by all."""
        more: Collection[int] = ()
        while True:
            try:
                return decide(self.load(read_set, more))
            except MoreGrantsNeeded as needed:
                if needed.merchant_id in more:
                    raise AssertionError("all of these grants were there") from needed
                more = read_set.merchant_ids if more else [needed.merchant_id]

    def apply(self, decision: Decision) -> None:
        """Write a decision's rows, all or none."""
        for account in decision.accounts:
            check_account(account)
        for hold in (*decision.new_holds, *decision.changed_holds):
            check_hold(hold)
        for transfer in decision.transfers:
            book = self.books[transfer.merchant_id]
            place = (transfer.merchant_id, transfer.idempotency_key)
            assert transfer.seq == len(book) + 1, "a book has a gap"
            assert place not in self.transfers, "an idempotency key was used twice"
            book.append(transfer)
            self.transfers[place] = transfer
        for account in decision.accounts:
            self.accounts[account.merchant_id] = account
        for hold in decision.new_holds:
            assert (hold.merchant_id, hold.seq) not in self.holds, "a hold is not new"
            self.holds[hold.merchant_id, hold.seq] = hold
        for hold in decision.changed_holds:
            assert (hold.merchant_id, hold.seq) in self.holds, "there is no hold to change"
            self.holds[hold.merchant_id, hold.seq] = hold
        for grant in (*decision.new_grants, *decision.changed_grants):
            check_grant(grant)
        for grant in decision.new_grants:
            assert (grant.merchant_id, grant.number) not in self.grants, "a grant is not new"
            assert grant.idempotency_key not in {known.idempotency_key for known in self.grants_of(grant.merchant_id)}
            self.grants[grant.merchant_id, grant.number] = grant
        for grant in decision.changed_grants:
            assert (grant.merchant_id, grant.number) in self.grants, "there is no grant to change"
            self.grants[grant.merchant_id, grant.number] = grant
        for merchant_id, number, left in decision.spent_grants:
            grant = replace(self.grants[merchant_id, number], left=left)
            check_grant(grant)
            self.grants[merchant_id, number] = grant
        for count in decision.period_counts:
            place_of_count = (count.merchant_id, count.request_type, count.starts_at, count.period_unit)
            self.period_counts[*place_of_count, count.line] = count
        for row in decision.shortfalls:
            assert 0 <= row.owed <= row.amount, "more was paid than was owed"
            self.shortfalls[row.merchant_id, row.seq] = row
        for budget in decision.budgets:
            assert budget.spent >= 0, "more went back than was spent"
            assert (budget.merchant_id, budget.budget_id, budget.unit) in self.budgets, "there is no budget to change"
            self.budgets[budget.merchant_id, budget.budget_id, budget.unit] = budget
        for merchant_id, budget_id, spent in decision.spent_budgets:
            assert spent > 0, "nothing was spent"
            for budget in self.budget(merchant_id, budget_id):
                self.budgets[merchant_id, budget_id, budget.unit] = replace(budget, spent=budget.spent + spent)
        for approval in decision.new_approvals:
            place_of_approval = (approval.merchant_id, approval.approval_id)
            known_keys = {
                (known.merchant_id, known.idempotency_key)
                for known in self.approvals.values()
                if known.state == ApprovalState.PENDING
            }
            assert place_of_approval not in self.approvals, "an approval is not new"
            assert (approval.merchant_id, approval.idempotency_key) not in known_keys, "a reference is requested twice"
            self.approvals[place_of_approval] = approval
        for approval in decision.changed_approvals:
            assert (approval.merchant_id, approval.approval_id) in self.approvals, "there is no approval to change"
            self.approvals[approval.merchant_id, approval.approval_id] = approval
        for move in decision.lone_moves:
            known_moves = {(known.merchant_id, known.at, known.number) for known in self.lone_moves}
            assert (move.merchant_id, move.at, move.number) not in known_moves, "a lone move is not new"
            self.lone_moves.append(move)
        for mail in decision.approval_mails:
            self.approval_mails.setdefault(mail.account_mail_id, mail)
        for audit_entry in decision.audit_entries:
            self.log(audit_entry)
        for alert in decision.alerts:
            assert (alert.merchant_id, alert.number) not in self.alerts, "an alert's number was used twice"
            self.alerts[alert.merchant_id, alert.number] = alert
            for user in self.users_of(alert.merchant_id):
                if user.mail_kinds >> alert.kind & 1:
                    self._owe(alert, user)

    def tell_joiner(self, user: User) -> None:
        """Owe a mail to a user who has just joined, if there is something to tell."""
        account = self.accounts[user.merchant_id]
        alert = alert_on_joining(account, user.user_id, user.created_at)
        if alert is not None:
            self.accounts[user.merchant_id] = replace(account, alerts_count=alert.number)
            self.alerts[alert.merchant_id, alert.number] = alert
            self._owe(alert, user)

    def _owe(self, alert: Alert, user: User) -> None:
        mail = Delivery(
            *(alert, Channel.EMAIL, user.user_id, user.email, DeliveryState.WAITING),
            attempts=0,
            next_attempt_at=alert.fired_at,
        )
        self.deliveries[mail.key] = mail

    def do(self, *commands: Command, now: int) -> list[Outcome]:
        """Decide commands as one batch and apply what it comes to, without waiting."""
        decision = self.decision(reads(commands, now), lambda state: decide(state, commands, now))
        assert len(commands) == len(decision.outcomes)
        if decision.changes_anything:
            self.apply(decision)
        else:
            nothing = (decision.transfers, decision.new_holds, decision.changed_holds, decision.alerts)
            assert ([], [], [], [], []) == (*nothing, decision.new_grants)
        return decision.outcomes

    def copy(self) -> Self:
        """Return the same rows, which go their own way from here."""
        twin = type(self)()
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if hasattr(value, "copy") else value)
        twin.books = {number: book.copy() for number, book in self.books.items()}
        return twin

    def rows(self) -> dict[str, list[Any]]:
        """Return every row that commands write, to be compared with another store's."""
        return {
            "accounts": sorted(self.accounts.values(), key=lambda account: account.merchant_id),
            "transfers": [transfer for _, book in sorted(self.books.items()) for transfer in book],
            "holds": [hold for _, hold in sorted(self.holds.items())],
            "grants": [grant for _, grant in sorted(self.grants.items())],
            "shortfalls": [row for _, row in sorted(self.shortfalls.items())],
            "period_counts": [count for _, count in sorted(self.period_counts.items())],
            "budgets": [budget for _, budget in sorted(self.budgets.items())],
            "alerts": [alert for _, alert in sorted(self.alerts.items())],
            "mails": [mail for _, mail in sorted(self.deliveries.items())],
            "approvals": [approval for _, approval in sorted(self.approvals.items())],
            "lone_moves": sorted(self.lone_moves, key=lambda move: (move.merchant_id, move.at, move.number)),
            "audit_entries": [audit_entry for _, audit_entry in sorted(self.audit_entries.items())],
        }

    def log(self, audit_entry: AuditEntry | None) -> None:
        """Write an entry of the audit log, once."""
        if audit_entry is not None:
            self.audit_entries.setdefault(
                (audit_entry.merchant_id or 0, audit_entry.at, audit_entry.entry_id), audit_entry
            )

    def check_open(self) -> None:
        """Refuse if the connector is not open."""
        if not self.is_open:
            raise StoreUnavailable("the store is not open")

    def merchant(self, merchant_id: int) -> Merchant:
        """Find a merchant that has to be there."""
        if merchant_id not in self.merchants:
            raise NotFound("no such merchant")
        return self.merchants[merchant_id]

    def key(self, key_id: int) -> ApiKey:
        """Find a key that has to be there."""
        if key_id not in self.keys:
            raise NotFound("no such key")
        return self.keys[key_id]

    def budget(self, merchant_id: int, budget_id: int) -> list[Budget]:
        """List a budget's limits."""
        return [item for key, item in sorted(self.budgets.items()) if key[:2] == (merchant_id, budget_id)]

    def users_of(self, merchant_id: int) -> list[User]:
        """List a merchant's users, oldest first."""
        found = [user for user in self.users.values() if user.merchant_id == merchant_id]
        return sorted(found, key=lambda user: user.user_id)

    def grants_of(self, merchant_id: int) -> list[Grant]:
        """List a merchant's grants, oldest first."""
        return [grant for place, grant in sorted(self.grants.items()) if place[0] == merchant_id]

    def _wanted_approvals(self, reads: ReadSet) -> Sequence[Approval]:
        if not reads.approvals and not reads.approval_keys:
            return ()
        known = [item for _, item in sorted(self.approvals.items())]
        by_key = [
            item for key in reads.approval_keys for item in known if (item.merchant_id, item.idempotency_key) == key
        ]
        return [*_picked(self.approvals, reads.approvals).values(), *by_key]

    def _wanted_lone_moves(self, reads: ReadSet) -> Sequence[LoneMove]:
        if not reads.lone_moves:
            return ()
        since = reads.now - ALONE_MICROS
        return sorted(
            (move for move in self.lone_moves if move.merchant_id in reads.lone_moves and move.at > since),
            key=lambda move: (move.merchant_id, move.at, move.number),
        )

    def _staff(self) -> list[StaffAccount]:
        told = {mail.login_id for mail in self.approval_mails.values()}
        return [
            StaffAccount(login.login_id, login.email, login.counts_as)
            for _, login in sorted(self.logins.items())
            if login.realm == Realm.SUPPORT and login.disabled_at is None and login.login_id not in told
        ]

    def price_in_force(self, merchant_id: int | None, request_type: str, now: int) -> Price | None:
        """Find the price of a type at a time."""
        in_force = [
            price
            for price in self.prices
            if (price.merchant_id, price.request_type) == (merchant_id, request_type)
            and price.starts_at <= now
            and price.withdrawn_at is None
        ]
        return max(in_force, key=lambda price: (price.starts_at, price.price_id), default=None)

    def original(self, merchant_id: int, seq: int) -> Original | None:
        """Find a transfer, and what was given back of it."""
        book = self.books.get(merchant_id, [])
        if not 1 <= seq <= len(book):
            return None
        returned = sum(item.amount for item in book if item.refers_to == seq and item.kind in _GIVING_BACK)
        transfer = book[seq - 1]
        if transfer.key_id is None:
            return Original(transfer, returned)
        is_capture = transfer.kind == Kind.CAPTURE and transfer.refers_to is not None
        counted_at = book[(transfer.refers_to or 0) - 1].committed_at if is_capture else None
        return Original(transfer, returned, self.keys[transfer.key_id].budget_id, counted_at)


def key_record(key: ApiKey) -> KeyRecord:
    """Make of a key what a batch sees of it."""
    kind = KeyKind.MERCHANT if key.merchant_id is not None else key.kind
    validity = (key.expires_at, key.revoked_at)
    name = key.name if key.merchant_id is None else None
    return KeyRecord(
        key.key_id, kind, key.merchant_id, *validity, key.roles, key.budget_id, key.suspended_at, name, key.people
    )


def _picked(table: Mapping[_Key, _Row], places: Sequence[_Key]) -> dict[_Key, _Row]:
    return {place: table[place] for place in places if place in table}
