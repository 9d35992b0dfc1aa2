"""Stores in memory, one for each subject that commands have to do with, with the methods of the real ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert
from farebox.core.approvals import Approval, ApprovalState, LoneMove
from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import COUNTED_KINDS, RETURNED_KINDS, Budget, period_of
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold, HoldState
from farebox.core.invariants import check_account
from farebox.core.people import COMMAND_LINE, UNKNOWN, People, account_people, read_people, write_people
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import CLOCK_LAG_MICROS_MAX, Price
from farebox.core.pricing.priced import read_priced
from farebox.core.state import KeyRecord
from farebox.core.transfers import Transfer
from farebox.storage.api_keys import KeyEnded, KeyUnchanged
from farebox.storage.interface import AlreadyExists, NotFound, StorageError
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.merchants import ALL_MERCHANTS
from farebox.storage.months import Month
from farebox.storage.records import (
    COMMAND_LINE_MAKER,
    ApiKey,
    Delivery,
    DeliveryState,
    KeyUsage,
    Login,
    MailServerPause,
    Maker,
    Merchant,
    MerchantFilter,
    MerchantNote,
    OpenHold,
    Repeat,
    RevenueSums,
    ShortTransfer,
    TransferFilter,
    Usage,
    User,
)
from tests.support.memory_rows import MemoryRows, key_record

_FUNDING = {
    *(Kind.TOP_UP, Kind.TOP_UP_REVERSAL, Kind.ADJUSTMENT_CREDIT, Kind.ADJUSTMENT_DEBIT),
    *(Kind.GRANT, Kind.GRANT_EXPIRY),
}
_RETURNS = {Kind.TOP_UP_REVERSAL, Kind.REFUND}
_USED = {Kind.CHARGE, Kind.CAPTURE, Kind.REFUND}
_QUARTER = 900_000_000


class _Subject:
    def __init__(self, rows: MemoryRows) -> None:
        self._rows = rows


class _Merchants(_Subject):
    async def create(
        self,
        merchant: Merchant,
        account: Account,
        key: ApiKey,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
        *,
        maker: Maker = COMMAND_LINE_MAKER,
    ) -> None:
        check_account(account)
        self._rows.claim(repeat)
        if merchant.merchant_id in self._rows.merchants:
            raise AlreadyExists("there is such a merchant")
        self._rows.merchants[merchant.merchant_id] = merchant
        self._rows.accounts[merchant.merchant_id] = account
        self._rows.books[merchant.merchant_id] = []
        self._rows.keys[key.key_id] = key
        if account.credit_limit:
            people = write_people(_people(self._rows, maker))
            place = (merchant.merchant_id, merchant.created_at, merchant.merchant_id)
            self._rows.lone_moves.append(LoneMove(*place, people, account.credit_limit))
        self._rows.log(audit_entry)

    async def add_all(self, added: Sequence[tuple[Merchant, Account, User | None]]) -> None:
        if any(merchant.merchant_id in self._rows.merchants for merchant, _, _ in added):
            raise AlreadyExists("there is such a merchant")
        for merchant, account, user in added:
            check_account(account)
            self._rows.merchants[merchant.merchant_id] = merchant
            self._rows.accounts[merchant.merchant_id] = account
            self._rows.books[merchant.merchant_id] = []
            if user is not None:
                self._rows.users[user.merchant_id, mailbox_of(user.email)] = user

    async def rename(self, merchant_id: int, name: str, audit_entry: AuditEntry | None = None) -> None:
        self._rows.merchants[merchant_id] = replace(self._rows.merchant(merchant_id), name=name)
        self._rows.log(audit_entry)

    async def find(self, merchant_id: int) -> Merchant | None:
        return self._rows.merchants.get(merchant_id)

    async def set_tags(self, merchant_id: int, tags: str, audit_entry: AuditEntry | None = None) -> None:
        self._rows.merchants[merchant_id] = replace(self._rows.merchant(merchant_id), tags=tags)
        self._rows.log(audit_entry)

    async def add_note(
        self, note: MerchantNote, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        self._rows.claim(repeat)
        self._rows.notes.append(note)
        self._rows.log(audit_entry)

    async def notes(self, merchant_id: int, *, before: int, limit: int) -> Sequence[MerchantNote]:
        noted = [note for note in self._rows.notes if note.merchant_id == merchant_id and note.note_id < before]
        return sorted(noted, key=lambda note: note.note_id, reverse=True)[:limit]

    async def page(
        self, after: int, limit: int, wanted: MerchantFilter = ALL_MERCHANTS
    ) -> Sequence[tuple[Merchant, Account]]:
        rows = self._rows
        pairs = [(rows.merchants[number], rows.accounts[number]) for number in sorted(rows.merchants) if number > after]
        return [
            (merchant, account)
            for merchant, account in pairs
            if wanted.is_closed in (None, account.closed_at is not None)
            and (wanted.tag is None or wanted.tag in merchant.tag_list)
        ][:limit]


class _Accounts(_Subject):
    async def find(self, merchant_id: int) -> Account | None:
        self._rows.check_open()
        return self._rows.accounts.get(merchant_id)


class _Transfers(_Subject):
    async def page(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> Sequence[Transfer]:
        found = [item for item in self._rows.books.get(merchant_id, []) if first_seq <= item.seq <= last_seq]
        return (found[::-1] if newest_first else found)[:limit]

    async def find(
        self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: TransferFilter
    ) -> Sequence[Transfer]:
        return [
            item
            for item in reversed(self._rows.books.get(merchant_id, []))
            if first_seq <= item.seq <= last_seq
            and (not wanted.kinds or item.kind in wanted.kinds)
            and wanted.request_type in (None, item.request_type)
            and wanted.reference in (None, item.reference)
        ]

    async def at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        return {item.seq: item for item in self._rows.books.get(merchant_id, []) if item.seq in seqs}

    async def funding_after(self, merchant_id: int, first_seq: int) -> Sequence[Transfer]:
        book = self._rows.books.get(merchant_id, [])
        return [item for item in book if item.seq >= first_seq and item.kind in _FUNDING]

    async def returns_of(self, merchant_id: int, seq: int, limit: int) -> Sequence[Transfer]:
        book = self._rows.books.get(merchant_id, [])
        return [item for item in reversed(book) if item.refers_to == seq and item.kind in _RETURNS][:limit]

    async def returned_of(self, merchant_id: int, seq: int) -> int:
        book = self._rows.books.get(merchant_id, [])
        owed = sum(
            row.owed
            for row in self._rows.shortfalls.values()
            if (row.merchant_id, row.top_up_seq) == (merchant_id, seq)
        )
        return owed + sum(item.amount for item in book if item.refers_to == seq and item.kind in _RETURNS)


class _Shortfalls(_Subject):
    async def page(
        self, merchant_id: int | None, *, before: tuple[int, int, int], limit: int
    ) -> Sequence[ShortTransfer]:
        rows = sorted(self._rows.shortfalls.values(), key=lambda row: (row.at, row.merchant_id, row.seq), reverse=True)
        return [
            ShortTransfer(row, self._rows.books[row.merchant_id][row.seq - 1])
            for row in rows
            if merchant_id in (None, row.merchant_id) and (row.at, row.merchant_id, row.seq) < before
        ][:limit]

    async def owed(self, merchant_id: int) -> Sequence[Shortfall]:
        rows = (row for _, row in sorted(self._rows.shortfalls.items()))
        return [row for row in rows if row.merchant_id == merchant_id and row.owed]


class _Holds(_Subject):
    async def due(self, now: int, limit: int) -> Sequence[Hold]:
        due = [hold for hold in self._rows.holds.values() if hold.state == HoldState.HELD and hold.expires_at <= now]
        return sorted(due, key=lambda hold: hold.expires_at)[:limit]

    async def open(self, merchant_id: int | None, *, after: tuple[int, int, int], limit: int) -> Sequence[OpenHold]:
        places = {
            (hold.expires_at, hold.merchant_id, hold.seq): hold
            for hold in self._rows.holds.values()
            if hold.state == HoldState.HELD and merchant_id in (None, hold.merchant_id)
        }
        return [
            OpenHold(hold, self._rows.books[hold.merchant_id][hold.seq - 1])
            for place, hold in sorted(places.items())
            if place > after
        ][:limit]

    async def find_open(self, merchant_id: int, seq: int) -> OpenHold | None:
        hold = self._rows.holds.get((merchant_id, seq))
        if hold is None or hold.state != HoldState.HELD:
            return None
        return OpenHold(hold, self._rows.books[merchant_id][seq - 1])


class _Grants(_Subject):
    async def find(self, merchant_id: int, number: int) -> Grant | None:
        return self._rows.grants.get((merchant_id, number))

    async def at(self, merchant_id: int, numbers: Sequence[int]) -> Sequence[Grant]:
        return [
            grant for place, grant in sorted(self._rows.grants.items()) if place in {(merchant_id, n) for n in numbers}
        ]

    async def list(self, merchant_id: int, *, before: int, limit: int) -> Sequence[Grant]:
        found = self._rows.grants_of(merchant_id)
        return [grant for grant in reversed(found) if grant.number < before][:limit]

    async def open(self, merchant_id: int, limit: int) -> Sequence[Grant]:
        found = [grant for grant in self._rows.grants_of(merchant_id) if grant.state == GrantState.OPEN and grant.left]
        return sorted(found, key=lambda grant: grant.order)[:limit]

    async def waiting(self, merchant_id: int, limit: int) -> Sequence[Grant]:
        found = [grant for grant in self._rows.grants_of(merchant_id) if grant.state == GrantState.WAITING]
        return sorted(found, key=lambda grant: (grant.starts_at, grant.number))[:limit]

    async def due(self, now: int, limit: int) -> Sequence[int]:
        due = [(grant.due_at, grant.merchant_id) for grant in self._rows.grants.values() if grant.due_at is not None]
        return [merchant_id for due_at, merchant_id in sorted(due) if due_at <= now][:limit]


class _Users(_Subject):
    async def add(self, user: User, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None) -> None:
        self._rows.merchant(user.merchant_id)
        self._rows.claim(repeat)
        if (user.merchant_id, mailbox_of(user.email)) in self._rows.users:
            raise AlreadyExists("the address is registered already")
        self._rows.users[user.merchant_id, mailbox_of(user.email)] = user
        self._rows.tell_joiner(user)
        self._rows.log(audit_entry)

    async def list(self, merchant_id: int) -> Sequence[User]:
        return self._rows.users_of(merchant_id)

    async def at(self, merchant_id: int, user_id: int) -> User | None:
        return next((user for user in self._rows.users_of(merchant_id) if user.user_id == user_id), None)

    async def remove(
        self, merchant_id: int, email: str, *, is_owner_needed: bool, audit_entry: AuditEntry | None = None
    ) -> None:
        assert not is_owner_needed
        if self._rows.users.pop((merchant_id, email), None) is None:
            raise NotFound("no such user")
        self._rows.log(audit_entry)

    async def set_mail_kinds(
        self, merchant_id: int, email: str, kinds: int, audit_entry: AuditEntry | None = None
    ) -> None:
        mailbox = mailbox_of(email)
        self._rows.users[merchant_id, mailbox] = replace(self._rows.users[merchant_id, mailbox], mail_kinds=kinds)
        self._rows.log(audit_entry)

    async def stop_mails(
        self, merchant_id: int, user_id: int, kinds: int, audit_entry: AuditEntry | None = None
    ) -> bool:
        user = await self.at(merchant_id, user_id)
        if user is None or not user.mail_kinds & kinds:
            return False
        await self.set_mail_kinds(merchant_id, user.email, user.mail_kinds & ~kinds, audit_entry)
        return True


class _ApiKeys(_Subject):
    async def create(
        self,
        key: ApiKey,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
        *,
        maker: Maker = COMMAND_LINE_MAKER,
    ) -> None:
        if key.merchant_id is not None:
            self._rows.merchant(key.merchant_id)
        else:
            key = replace(key, people=write_people(_people(self._rows, maker)))
        self._rows.claim(repeat)
        self._rows.keys[key.key_id] = key
        self._rows.log(audit_entry)

    async def authenticate(self, merchant_id: int | None, digest: bytes) -> KeyRecord | None:
        found = [key for key in self._rows.keys.values() if (key.merchant_id, key.digest) == (merchant_id, digest)]
        return key_record(found[0]) if found else None

    async def find(self, key_id: int) -> ApiKey | None:
        return self._rows.keys.get(key_id)

    async def list(self, merchant_id: int | None) -> Sequence[ApiKey]:
        return [key for _, key in sorted(self._rows.keys.items()) if key.merchant_id == merchant_id]

    async def expire(self, key_id: int, at: int, *, now: int, audit_entry: AuditEntry | None = None) -> None:
        self._rows.keys[key_id] = replace(self._valid(key_id, now), expires_at=at)
        self._rows.log(audit_entry)

    async def revoke(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        key = self._rows.key(key_id)
        if key.revoked_at is not None and key.revoked_at <= at:
            raise KeyEnded("it was closed by then")
        self._rows.keys[key_id] = replace(key, revoked_at=at)
        self._rows.log(audit_entry)

    async def suspend(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        if self._suspendable(key_id).suspended_at is not None:
            raise KeyUnchanged
        self._rows.keys[key_id] = replace(self._valid(key_id, at), suspended_at=at)
        self._rows.log(audit_entry)

    async def resume(self, key_id: int, audit_entry: AuditEntry | None = None) -> None:
        key = self._suspendable(key_id)
        if key.suspended_at is None:
            raise KeyUnchanged
        self._rows.keys[key_id] = replace(key, suspended_at=None)
        self._rows.log(audit_entry)

    async def rename(self, key: ApiKey, name: str | None, audit_entry: AuditEntry | None = None) -> None:
        self._rows.keys[key.key_id] = replace(self._rows.key(key.key_id), name=name)
        self._rows.log(audit_entry)

    async def assign(self, key_id: int, people: People, audit_entry: AuditEntry | None = None) -> None:
        self._rows.keys[key_id] = replace(self._rows.key(key_id), people=write_people(people))
        self._rows.log(audit_entry)

    async def rotate(
        self,
        key_id: int,
        *,
        successor: ApiKey,
        expires_at: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
        maker: Maker = COMMAND_LINE_MAKER,
    ) -> None:
        self._rows.claim(repeat)
        key = self._valid(key_id, successor.created_at)
        if successor.merchant_id is None:
            makers = frozenset[int]() if maker == COMMAND_LINE_MAKER else _people(self._rows, maker)
            successor = replace(successor, people=write_people(read_people(key.people) | makers))
        self._rows.keys[key_id] = replace(key, expires_at=_earlier(key.expires_at, expires_at))
        self._rows.keys[successor.key_id] = replace(successor, budget_id=key.budget_id)
        self._rows.log(audit_entry)

    def _suspendable(self, key_id: int) -> ApiKey:
        key = self._rows.key(key_id)
        if key.merchant_id is None:
            raise NotFound("no merchant has it")
        return key

    def _valid(self, key_id: int, now: int) -> ApiKey:
        key = self._rows.key(key_id)
        if min(time for time in (key.expires_at, key.revoked_at, now + 1) if time is not None) <= now:
            raise KeyEnded("it has ended")
        return key


class _Budgets(_Subject):
    async def list(self, merchant_id: int) -> Sequence[Budget]:
        return [item for _, item in sorted(self._rows.budgets.items()) if item.merchant_id == merchant_id]

    async def put(
        self,
        merchant_id: int,
        key_id: int,
        limits: Sequence[tuple[int, int]],
        *,
        zone: str,
        audit_entry: AuditEntry | None = None,
    ) -> None:
        key = self._rows.key(key_id)
        if key.merchant_id != merchant_id:
            raise NotFound("the merchant has no such key")
        budget_id = key.budget_id or key_id
        theirs = [item for item in self._rows.keys.values() if item.merchant_id == merchant_id]
        sharing = {item.key_id for item in theirs if item.budget_id == budget_id} | {key_id}
        at = self._rows.accounts[merchant_id].last_at
        for place in [place for place in self._rows.budgets if place[:2] == (merchant_id, budget_id)]:
            del self._rows.budgets[place]
        for budget in await self.would_be(merchant_id, key, limits, zone=zone, now=at):
            self._rows.budgets[merchant_id, budget_id, budget.unit] = budget
        for number in sharing:
            self._rows.keys[number] = replace(self._rows.keys[number], budget_id=budget_id if limits else None)
        self._rows.log(audit_entry)

    async def would_be(
        self, merchant_id: int, key: ApiKey, limits: Sequence[tuple[int, int]], *, zone: str, now: int
    ) -> Sequence[Budget]:
        budget_id = key.budget_id or key.key_id
        sharing = {item.key_id for item in self._rows.keys.values() if item.budget_id == budget_id} | {key.key_id}
        return [
            Budget(
                *(merchant_id, budget_id, unit, amount, zone, starts_at),
                self._spent(merchant_id, sharing, starts_at),
            )
            for unit, amount in limits
            for starts_at in (period_of(unit, zone, now)[0],)
        ]

    def _spent(self, merchant_id: int, key_ids: set[int], starts_at: int) -> int:
        book = self._rows.books[merchant_id]
        spent = 0
        for transfer in book:
            if transfer.key_id in key_ids and transfer.kind in COUNTED_KINDS | RETURNED_KINDS:
                is_returned = transfer.kind in RETURNED_KINDS
                origin = book[(transfer.refers_to or 0) - 1] if is_returned else transfer
                if origin.kind == Kind.CAPTURE:
                    origin = book[(origin.refers_to or 0) - 1]
                if origin.committed_at >= starts_at:
                    spent += -transfer.amount if is_returned else transfer.amount
        return spent


class _Logins(_Subject):
    async def add(self, login: Login, audit_entry: AuditEntry | None = None) -> None:
        self._rows.logins[login.login_id] = login
        self._rows.log(audit_entry)

    async def get(self, login_id: int) -> Login | None:
        return self._rows.logins.get(login_id)

    async def signing_seed(self) -> bytes:
        return bytes(32)

    async def find(self, realm: int, email: str) -> Login | None:
        logins = [login for login in self._rows.logins.values() if login.realm == realm]
        return next((login for login in logins if mailbox_of(login.email) == mailbox_of(email)), None)

    async def people(self, maker: Maker) -> People:
        return _people(self._rows, maker)


class _Prices(_Subject):
    async def add(
        self, price: Price, created_at: int, audit_entry: AuditEntry | None = None, repeat: Repeat | None = None
    ) -> None:
        self._rows.claim(repeat)
        if price.merchant_id is not None:
            self._rows.merchant(price.merchant_id)
        if price.is_end:
            ended = self._rows.price_in_force(price.merchant_id, price.request_type, price.starts_at)
            if ended is None or ended.is_end:
                raise NotFound("no price is in force then")
        if price.price_id in {known.price_id for known in self._rows.prices}:
            raise AlreadyExists("there is such a price")
        place = (price.merchant_id, price.request_type, price.starts_at)
        if place in {(p.merchant_id, p.request_type, p.starts_at) for p in self._rows.prices if p.withdrawn_at is None}:
            raise AlreadyExists("a price starts then")
        self._rows.prices.append(price)
        self._rows.prices_made_at[price.price_id] = created_at
        self._rows.log(audit_entry)

    async def in_force(self, merchant_id: int | None, request_type: str, now: int) -> Price | None:
        return self._rows.price_in_force(merchant_id, request_type, now)

    async def period_counts(self, merchant_id: int, request_type: str, starts_at: int) -> Sequence[PeriodCount]:
        place = (merchant_id, request_type, starts_at)
        return [count for key, count in self._rows.period_counts.items() if key[:3] == place]

    async def add_all(
        self,
        prices: Sequence[Price],
        created_at: int,
        audit_entry: AuditEntry | None = None,
        repeat: Repeat | None = None,
    ) -> None:
        kept = list(self._rows.prices)
        self._rows.claim(repeat)
        try:
            for price in prices:
                await self.add(price, created_at)
        except StorageError:
            self._rows.prices[:] = kept
            raise
        self._rows.log(audit_entry)

    async def made_with(self, merchant_id: int | None, price_id: int) -> Sequence[Price]:
        made_at = self._rows.prices_made_at
        return [price for price in await self.list(merchant_id) if made_at[price.price_id] == made_at.get(price_id)]

    async def withdraw(self, price: Price, now: Callable[[], int], audit_entry: AuditEntry | None = None) -> None:
        at = now()
        accounts = [item for item in self._rows.accounts.values() if price.merchant_id in (None, item.merchant_id)]
        is_soon = price.merchant_id is not None or price.starts_at <= at + CLOCK_LAG_MICROS_MAX
        has_started = price.starts_at <= at or (
            is_soon and any(account.last_at >= price.starts_at for account in accounts)
        )
        place = next(place for place, known in enumerate(self._rows.prices) if known.price_id == price.price_id)
        if has_started or self._rows.prices[place].withdrawn_at is not None:
            raise NotFound("the price has started")
        self._rows.prices[place] = replace(self._rows.prices[place], withdrawn_at=at)
        self._rows.log(audit_entry)

    async def shows_clock_behind(self, merchant_id: int, request_type: str, now: int) -> bool:
        account = self._rows.accounts.get(merchant_id)
        return any(
            self._rows.prices_made_at[price.price_id] > now
            or (account is not None and price.starts_at <= account.last_at)
            for price in self._rows.prices
            if price.request_type == request_type
            and price.withdrawn_at is None
            and not price.is_end
            and price.starts_at > now
            and price.merchant_id in (None, merchant_id)
        )

    async def is_any_made_after(self, now: int) -> bool:
        return any(self._rows.prices_made_at[p.price_id] > now for p in self._rows.prices if p.merchant_id is None)

    async def list(self, merchant_id: int | None) -> Sequence[Price]:
        found = [price for price in self._rows.prices if price.merchant_id == merchant_id]
        return sorted(found, key=lambda price: (price.request_type, price.starts_at, price.price_id))

    async def page(self, merchant_id: int | None, after: Price | None, *, limit: int) -> Sequence[Price]:
        prices = await self.list(merchant_id)
        return prices[0 if after is None else prices.index(after) + 1 :][:limit]

    async def find(self, merchant_id: int | None, price_id: int) -> Price | None:
        return next((price for price in await self.list(merchant_id) if price.price_id == price_id), None)

    async def named_by(self, transfer: Transfer) -> Price | None:
        return next((price for price in self._rows.prices if price.price_id == transfer.price_id), None)

    async def versions(self, merchant_id: int | None, request_type: str) -> Sequence[Price]:
        return [price for price in await self.list(merchant_id) if price.request_type == request_type]


class _Approvals(_Subject):
    async def find(self, merchant_id: int, number: int) -> Approval | None:
        return self._rows.approvals.get((merchant_id, number))

    async def pending(self, limit: int) -> Sequence[Approval]:
        found = [item for item in self._rows.approvals.values() if item.state == ApprovalState.PENDING]
        return sorted(found, key=lambda item: item.approval_id)[:limit]

    async def lone_moves(self, merchant_id: int, since: int) -> Sequence[LoneMove]:
        found = [move for move in self._rows.lone_moves if move.merchant_id == merchant_id and move.at > since]
        return sorted(found, key=lambda move: (move.at, move.number))

    async def list(self, *, merchant_id: int | None, before: int, limit: int) -> Sequence[Approval]:
        found = [item for item in self._rows.approvals.values() if merchant_id in (None, item.merchant_id)]
        newest_first = sorted(found, key=lambda item: item.approval_id, reverse=True)
        return [item for item in newest_first if item.approval_id < before][:limit]


class _AuditLog(_Subject):
    async def list(self, *, merchant_id: int | None, before: tuple[int, int], limit: int) -> Sequence[AuditEntry]:
        found = [item for item in self._rows.audit_entries.values() if merchant_id in (None, item.merchant_id)]
        newest_first = sorted(found, key=lambda item: (item.at, item.entry_id), reverse=True)
        return [item for item in newest_first if (item.at, item.entry_id) < before][:limit]


class _Deliveries(_Subject):
    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        found = [alert for place, alert in sorted(self._rows.alerts.items(), reverse=True) if place[0] == merchant_id]
        return found[:limit]

    async def mails(self, *, merchant_id: int | None, limit: int) -> Sequence[Delivery]:
        found = [mail for mail in self._rows.deliveries.values() if merchant_id in (None, mail.alert.merchant_id)]

        def newest_first(mail: Delivery) -> tuple[int, ...]:
            by_time = () if merchant_id is not None else (-mail.alert.fired_at, mail.alert.merchant_id)
            return (*by_time, -mail.alert.number, mail.recipient_id)

        return sorted(found, key=newest_first)[:limit]

    async def claim_mails(self, now: int, *, lease_until: int, limit: int, after: int = 0) -> Sequence[Delivery]:
        waiting = [item for item in self._rows.deliveries.items() if item[1].state == DeliveryState.WAITING]
        due = sorted((mail.next_attempt_at, place) for place, mail in waiting if mail.next_attempt_at <= now)
        turns: dict[int, int] = {}
        in_turn = []
        for _, place in due:
            turns[place[0]] = turns.get(place[0], 0) + 1
            in_turn.append(((turns[place[0]], place[0] <= after, place[0]), place))
        claimed = [place for _, place in sorted(in_turn)[:limit]]
        for place in claimed:
            mail = self._rows.deliveries[place]
            self._rows.deliveries[place] = replace(mail, attempts=mail.attempts + 1, next_attempt_at=lease_until)
        return [self._rows.deliveries[place] for place in claimed]

    async def is_told_anew(self, mail: Delivery) -> bool:
        return any(
            (other.alert.merchant_id, other.recipient_id) == (mail.alert.merchant_id, mail.recipient_id)
            and (other.alert.kind, other.alert.threshold) == (mail.alert.kind, mail.alert.threshold)
            and other.alert.number > mail.alert.number
            for other in self._rows.deliveries.values()
        )

    async def settle(self, mail: Delivery) -> None:
        self._rows.deliveries[mail.key] = mail

    async def retry_mails(self, now: int) -> int:
        over = (DeliveryState.SENT, DeliveryState.WITHDRAWN)
        unsent = [place for place, mail in self._rows.deliveries.items() if mail.state not in over]
        for place in unsent:
            self._rows.deliveries[place] = replace(
                self._rows.deliveries[place], state=DeliveryState.WAITING, next_attempt_at=now
            )
        return len(unsent)

    async def next_mail_at(self) -> int | None:
        return min(
            (mail.next_attempt_at for mail in self._rows.deliveries.values() if mail.state == DeliveryState.WAITING),
            default=None,
        )


class _MailServers(_Subject):
    async def find(self, server: str) -> MailServerPause | None:
        return self._rows.mail_servers.get(server)

    async def pause(self, pause: MailServerPause) -> None:
        self._rows.mail_servers[pause.server] = pause

    async def resume(self, server: str) -> None:
        self._rows.mail_servers.pop(server, None)

    async def resume_all(self) -> None:
        self._rows.mail_servers.clear()


class _Usage(_Subject):
    async def roll_up(self, merchant_id: int, *, transfers_max: int) -> int:
        self._rows.merchant(merchant_id)
        done = self._rows.rolled_up.get(merchant_id, 0)
        last = min(done + transfers_max, len(self._rows.books[merchant_id]))
        self._rows.rolled_up[merchant_id] = last
        return last - done

    async def roll_up_books(self, merchant_ids: Sequence[int], *, transfers_max: int) -> None:
        for merchant_id in merchant_ids:
            await self.roll_up(merchant_id, transfers_max=transfers_max)

    async def books_to_roll_up(self, after: int, *, transfers_min: int, limit: int) -> Sequence[int]:
        numbers = [number for number in sorted(self._rows.books) if number > after]
        return [
            number
            for number in numbers
            if len(self._rows.books[number]) - self._rows.rolled_up.get(number, 0) >= transfers_min
        ][:limit]

    async def buckets(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[Usage]:
        found: dict[tuple[int, str], list[int]] = {}
        quantities: dict[tuple[int, str], dict[str, int]] = {}
        for item in self._rows.books.get(merchant_id, []):
            quarter = item.committed_at // _QUARTER
            if item.kind in _USED and first_quarter <= quarter <= last_quarter:
                place = ((quarter + offset_quarters) // bucket_quarters, item.request_type or "")
                sums = found.setdefault(place, [0, 0, 0])
                if item.kind == Kind.REFUND:
                    sums[2] += item.amount
                else:
                    sums[0] += item.quantity or 0
                    sums[1] += item.amount
                    named = quantities.setdefault(place, {})
                    for name, number in read_priced(item.pricing or "").quantities.items():
                        named[name] = named.get(name, 0) + number
        return [
            Usage(bucket, request_type, sums[0], sums[1], sums[2], quantities.get((bucket, request_type), {}))
            for (bucket, request_type), sums in sorted(found.items())
        ]

    async def buckets_by_key(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[KeyUsage]:
        found: dict[tuple[int, int, str], list[int]] = {}
        for item in self._rows.books.get(merchant_id, []):
            quarter = item.committed_at // _QUARTER
            if item.key_id is not None and item.kind in _USED and first_quarter <= quarter <= last_quarter:
                place = ((quarter + offset_quarters) // bucket_quarters, item.key_id, item.request_type or "")
                sums = found.setdefault(place, [0, 0, 0])
                if item.kind == Kind.REFUND:
                    sums[2] += item.amount
                else:
                    sums[0] += item.quantity or 0
                    sums[1] += item.amount
        return [KeyUsage(*place, *sums) for place, sums in sorted(found.items()) if any(sums)]


class _Revenue(_Subject):
    async def months(self, first: Month, last: Month) -> RevenueSums:
        return self._rows.revenue(first, last)


class _Repeats(_Subject):
    async def claim(self, repeat: Repeat) -> None:
        self._rows.claim(repeat)

    async def find(self, key_id: int, idempotency_key: str, now: int) -> Repeat | None:
        return self._rows.repeat(key_id, idempotency_key, now)

    async def forget(self, now: int) -> None:
        known = {key: item for key, item in self._rows.repeats.items() if self._rows.repeat(*key, now)}
        self._rows.repeats.clear()
        self._rows.repeats.update(known)


def subjects_over(rows: MemoryRows) -> dict[str, Any]:
    """Put a store for each subject over these rows; nothing is kept of sessions and of what the console alone shows."""
    absent = (
        *("account_mails", "message_queue", "destinations", "sessions", "erasure", "runway_snapshots"),
        *("verifications", "refusals", "reports", "runway_episodes", "spending"),
    )
    return {
        "merchants": _Merchants(rows),
        "accounts": _Accounts(rows),
        "transfers": _Transfers(rows),
        "holds": _Holds(rows),
        "shortfalls": _Shortfalls(rows),
        "grants": _Grants(rows),
        "users": _Users(rows),
        "api_keys": _ApiKeys(rows),
        "budgets": _Budgets(rows),
        "logins": _Logins(rows),
        "prices": _Prices(rows),
        "approvals": _Approvals(rows),
        "audit_log": _AuditLog(rows),
        "deliveries": _Deliveries(rows),
        "mail_servers": _MailServers(rows),
        "usage": _Usage(rows),
        "revenue": _Revenue(rows),
        "repeats": _Repeats(rows),
        **dict.fromkeys(absent),
    }


def _people(rows: MemoryRows, maker: Maker) -> People:
    if maker.login_id is not None:
        login = rows.logins.get(maker.login_id)
        return frozenset({UNKNOWN}) if login is None else account_people(login.login_id, login.counts_as)
    if maker.digest is not None:
        made = [key.people for key in rows.keys.values() if key.digest == maker.digest]
        return read_people(made[0]) if made else frozenset({UNKNOWN})
    return frozenset({COMMAND_LINE})


def _earlier(known: int | None, time: int) -> int:
    return time if known is None else min(known, time)
