"""A Store in memory: plain dicts, no transactions to lose. It obeys the contract and nothing more.

`load` gives a batch what its ReadSet asks for and no row besides, so a command that forgot to ask is found out.
"""

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from farebox.core.accounts import Account, Kind
from farebox.core.approvals import Approval
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import Command, KeyKind
from farebox.core.decide import decide
from farebox.core.holds import Hold, HoldState
from farebox.core.invariants import check_account, check_hold
from farebox.core.outcomes import Outcome
from farebox.core.pricing import Price
from farebox.core.state import Alert, BatchState, Decision, KeyRecord, Original, ReadSet, reads
from farebox.core.transfers import Transfer
from farebox.storage.interface import AlreadyExists, Decide, NotFound, Snapshot, StorageError, StoreUnavailable
from farebox.storage.rows import ApiKey, BookRows, MailState, Merchant, OutboxMail, TransferFilter, Usage, User

_FUNDING = {Kind.TOP_UP, Kind.TOP_UP_REVERSAL, Kind.ADJUSTMENT_CREDIT, Kind.ADJUSTMENT_DEBIT}
_GIVING_BACK = {Kind.REFUND, Kind.TOP_UP_REVERSAL}
_USED = {Kind.CHARGE, Kind.CAPTURE, Kind.REFUND}
_QUARTER = 900_000_000
_Key = TypeVar("_Key")
_Row = TypeVar("_Row")
_Result = TypeVar("_Result")


def at_once(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine that never waits, as those of a store in memory are."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: _Result = stop.value
        return result
    raise AssertionError("it waits")


class MemoryStore:
    """A `Store` that forgets everything when it goes."""

    def __init__(self) -> None:
        self._is_open = True
        self._merchants: dict[int, Merchant] = {}
        self._accounts: dict[int, Account] = {}
        self._users: dict[tuple[int, str], User] = {}
        self._keys: dict[int, ApiKey] = {}
        self._prices: list[Price] = []
        self._books: dict[int, list[Transfer]] = {}
        self._transfers: dict[tuple[int, str], Transfer] = {}
        self._holds: dict[tuple[int, int], Hold] = {}
        self._alerts: dict[tuple[int, int], Alert] = {}
        self._outbox: dict[tuple[int, int, int], OutboxMail] = {}
        self._approvals: dict[tuple[int, int], Approval] = {}
        self._entries: dict[tuple[int, int, int], AuditEntry] = {}
        self._summed: dict[int, int] = {}

    # What `decide` needs, without waiting.

    def load(self, reads: ReadSet) -> BatchState:
        """Find what a batch asks for."""
        staff = [key for key in self._keys.values() if key.merchant_id is None and key.digest in reads.staff_digests]
        theirs = [key for key in self._keys.values() if (key.merchant_id, key.digest) in reads.merchant_digests]
        replays = _picked(self._transfers, reads.idempotency_keys)
        replayed_holds = [(item.merchant_id, item.seq) for item in replays.values() if item.kind == Kind.HOLD]
        state = BatchState(
            accounts=_picked(self._accounts, reads.merchant_ids),
            keys={key.digest: _record(key) for key in (*staff, *theirs)},
            replays=replays,
            holds=_picked(self._holds, [*reads.holds, *replayed_holds]),
            approvals=self._wanted_approvals(reads),
            originals={place: found for place in reads.originals if (found := self._original(*place)) is not None},
            default_prices={
                name: price for name in reads.request_types if (price := self._price(None, name, reads.now)) is not None
            },
            merchant_prices={
                place: price for place in reads.merchant_types if (price := self._price(*place, reads.now)) is not None
            },
        )
        for account in state.accounts.values():
            check_account(account)
        for hold in state.holds.values():
            check_hold(hold)
        return state

    def apply(self, decision: Decision) -> None:
        """Write a decision's rows, all or none."""
        for account in decision.accounts:
            check_account(account)
        for hold in (*decision.new_holds, *decision.changed_holds):
            check_hold(hold)
        for transfer in decision.transfers:
            book = self._books[transfer.merchant_id]
            place = (transfer.merchant_id, transfer.idempotency_key)
            assert transfer.seq == len(book) + 1, "a book has a gap"
            assert place not in self._transfers, "an idempotency key was used twice"
            book.append(transfer)
            self._transfers[place] = transfer
        for account in decision.accounts:
            self._accounts[account.merchant_id] = account
        for hold in decision.new_holds:
            assert (hold.merchant_id, hold.seq) not in self._holds, "a hold is not new"
            self._holds[hold.merchant_id, hold.seq] = hold
        for hold in decision.changed_holds:
            assert (hold.merchant_id, hold.seq) in self._holds, "there is no hold to change"
            self._holds[hold.merchant_id, hold.seq] = hold
        for approval in decision.new_approvals:
            place_of_approval = (approval.merchant_id, approval.approval_id)
            known_keys = {(known.merchant_id, known.idempotency_key) for known in self._approvals.values()}
            assert place_of_approval not in self._approvals, "an approval is not new"
            assert (approval.merchant_id, approval.idempotency_key) not in known_keys, "a reference is requested twice"
            self._approvals[place_of_approval] = approval
        for approval in decision.changed_approvals:
            assert (approval.merchant_id, approval.approval_id) in self._approvals, "there is no approval to change"
            self._approvals[approval.merchant_id, approval.approval_id] = approval
        for audit_entry in decision.audit_entries:
            self._log(audit_entry)
        for alert in decision.alerts:
            assert (alert.merchant_id, alert.number) not in self._alerts, "an alert's number was used twice"
            self._alerts[alert.merchant_id, alert.number] = alert
            for user in self._users_of(alert.merchant_id):
                place_of_mail = (alert.merchant_id, alert.number, user.user_id)
                self._outbox[place_of_mail] = OutboxMail(
                    alert, user.user_id, user.email, MailState.WAITING, attempts=0, next_attempt_at=alert.fired_at
                )

    def do(self, *commands: Command, now: int) -> list[Outcome]:
        """Decide commands as one batch and apply what it comes to, without waiting."""
        decision = decide(self.load(reads(commands, now)), commands, now)
        assert len(commands) == len(decision.outcomes)
        if decision.changes_anything:
            self.apply(decision)
        else:
            nothing = (decision.transfers, decision.new_holds, decision.changed_holds, decision.alerts)
            assert ([], [], [], []) == nothing
        return decision.outcomes

    # The Store protocol.

    @property
    def engine(self) -> str:
        return "memory"

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False

    async def migrate(self, now: int) -> list[str]:
        return []

    def route(self, merchant_id: int) -> int:
        return 0

    async def transact(self, reads: ReadSet, decide: Decide) -> Decision:
        self._check_open()
        decision = decide(self.load(reads))
        if decision.changes_anything:
            self.apply(decision)
        return decision

    async def balances(self, keys: Sequence[tuple[int, bytes]], now: int) -> Mapping[bytes, int]:
        self._check_open()
        wanted = set(keys)
        return {
            key.digest: self._accounts[key.merchant_id].wallet
            for key in self._keys.values()
            if key.merchant_id is not None and (key.merchant_id, key.digest) in wanted and _record(key).is_valid_at(now)
        }

    async def find_key(self, merchant_id: int | None, digest: bytes) -> KeyRecord | None:
        found = [key for key in self._keys.values() if (key.merchant_id, key.digest) == (merchant_id, digest)]
        return _record(found[0]) if found else None

    async def account(self, merchant_id: int) -> Account | None:
        self._check_open()
        return self._accounts.get(merchant_id)

    async def merchant(self, merchant_id: int) -> Merchant | None:
        return self._merchants.get(merchant_id)

    async def merchants(self, after: int, limit: int) -> Sequence[tuple[Merchant, Account]]:
        numbers = [number for number in sorted(self._merchants) if number > after]
        return [(self._merchants[number], self._accounts[number]) for number in numbers[:limit]]

    async def transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, limit: int, newest_first: bool
    ) -> Sequence[Transfer]:
        found = [item for item in self._books.get(merchant_id, []) if first_seq <= item.seq <= last_seq]
        return (found[::-1] if newest_first else found)[:limit]

    async def find_transfers(
        self, merchant_id: int, *, first_seq: int, last_seq: int, wanted: TransferFilter
    ) -> Sequence[Transfer]:
        return [
            item
            for item in reversed(self._books.get(merchant_id, []))
            if first_seq <= item.seq <= last_seq
            and (not wanted.kinds or item.kind in wanted.kinds)
            and wanted.request_type in (None, item.request_type)
            and wanted.reference in (None, item.reference)
        ]

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        return {item.seq: item for item in self._books.get(merchant_id, []) if item.seq in seqs}

    async def funding_after(self, merchant_id: int, first_seq: int) -> Sequence[Transfer]:
        book = self._books.get(merchant_id, [])
        return [item for item in book if item.seq >= first_seq and item.kind in _FUNDING]

    async def due_holds(self, now: int, limit: int) -> Sequence[Hold]:
        due = [hold for hold in self._holds.values() if hold.state == HoldState.HELD and hold.expires_at <= now]
        return sorted(due, key=lambda hold: hold.expires_at)[:limit]

    async def create_merchant(
        self, merchant: Merchant, account: Account, key: ApiKey, audit_entry: AuditEntry | None = None
    ) -> None:
        check_account(account)
        if merchant.merchant_id in self._merchants:
            raise AlreadyExists("there is such a merchant")
        self._merchants[merchant.merchant_id] = merchant
        self._accounts[merchant.merchant_id] = account
        self._books[merchant.merchant_id] = []
        self._keys[key.key_id] = key
        self._log(audit_entry)

    async def rename_merchant(self, merchant_id: int, name: str, audit_entry: AuditEntry | None = None) -> None:
        self._merchants[merchant_id] = replace(self._existing(merchant_id), name=name)
        self._log(audit_entry)

    async def add_user(self, user: User, audit_entry: AuditEntry | None = None) -> None:
        self._existing(user.merchant_id)
        if (user.merchant_id, user.email) in self._users:
            raise AlreadyExists("the address is registered already")
        self._users[user.merchant_id, user.email] = user
        self._log(audit_entry)

    async def users(self, merchant_id: int) -> Sequence[User]:
        return self._users_of(merchant_id)

    async def create_key(self, key: ApiKey, audit_entry: AuditEntry | None = None) -> None:
        if key.merchant_id is not None:
            self._existing(key.merchant_id)
        self._keys[key.key_id] = key
        self._log(audit_entry)

    async def keys(self, merchant_id: int | None) -> Sequence[ApiKey]:
        return [key for _, key in sorted(self._keys.items()) if key.merchant_id == merchant_id]

    async def key(self, key_id: int) -> ApiKey | None:
        return self._keys.get(key_id)

    async def expire_key(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        key = self._existing_key(key_id)
        self._keys[key_id] = replace(key, expires_at=_earlier(key.expires_at, at))
        self._log(audit_entry)

    async def revoke_key(self, key_id: int, at: int, audit_entry: AuditEntry | None = None) -> None:
        key = self._existing_key(key_id)
        self._keys[key_id] = replace(key, revoked_at=_earlier(key.revoked_at, at))
        self._log(audit_entry)

    async def rotate_key(
        self, key_id: int, *, successor: ApiKey, expires_at: int, audit_entry: AuditEntry | None = None
    ) -> None:
        key = self._existing_key(key_id)
        self._keys[key_id] = replace(key, expires_at=_earlier(key.expires_at, expires_at))
        self._keys[successor.key_id] = successor
        self._log(audit_entry)

    async def set_price(self, price: Price, created_at: int, audit_entry: AuditEntry | None = None) -> None:
        if price.merchant_id is not None:
            self._existing(price.merchant_id)
        if price.price_id in {known.price_id for known in self._prices}:
            raise AlreadyExists("there is such a price")
        self._prices.append(price)
        self._log(audit_entry)

    async def prices(self, merchant_id: int | None) -> Sequence[Price]:
        found = [price for price in self._prices if price.merchant_id == merchant_id]
        return sorted(found, key=lambda price: (price.request_type, price.starts_at, price.price_id))

    async def approval(self, merchant_id: int, number: int) -> Approval | None:
        return self._approvals.get((merchant_id, number))

    async def approvals(self, *, merchant_id: int | None, before: int, limit: int) -> Sequence[Approval]:
        found = [item for item in self._approvals.values() if merchant_id in (None, item.merchant_id)]
        newest_first = sorted(found, key=lambda item: item.approval_id, reverse=True)
        return [item for item in newest_first if item.approval_id < before][:limit]

    async def audit_entries(
        self, *, merchant_id: int | None, before: tuple[int, int], limit: int
    ) -> Sequence[AuditEntry]:
        found = [item for item in self._entries.values() if merchant_id in (None, item.merchant_id)]
        newest_first = sorted(found, key=lambda item: (item.at, item.entry_id), reverse=True)
        return [item for item in newest_first if (item.at, item.entry_id) < before][:limit]

    async def roll_up_usage(self, merchant_id: int, *, transfers_max: int) -> int:
        self._existing(merchant_id)
        done = self._summed.get(merchant_id, 0)
        last = min(done + transfers_max, len(self._books[merchant_id]))
        self._summed[merchant_id] = last
        return last - done

    async def books_to_roll_up(self, after: int, *, transfers_min: int, limit: int) -> Sequence[int]:
        numbers = [number for number in sorted(self._books) if number > after]
        return [
            number for number in numbers if len(self._books[number]) - self._summed.get(number, 0) >= transfers_min
        ][:limit]

    async def usage(
        self, merchant_id: int, *, first_quarter: int, last_quarter: int, offset_quarters: int, bucket_quarters: int
    ) -> Sequence[Usage]:
        found: dict[tuple[int, str], list[int]] = {}
        for item in self._books.get(merchant_id, []):
            quarter = item.committed_at // _QUARTER
            if item.kind in _USED and first_quarter <= quarter <= last_quarter:
                place = ((quarter + offset_quarters) // bucket_quarters, item.request_type or "")
                sums = found.setdefault(place, [0, 0, 0])
                if item.kind == Kind.REFUND:
                    sums[2] += item.amount
                else:
                    sums[0] += item.quantity or 0
                    sums[1] += item.amount
        return [Usage(*place, *sums) for place, sums in sorted(found.items())]

    async def alerts(self, merchant_id: int, limit: int) -> Sequence[Alert]:
        found = [alert for place, alert in sorted(self._alerts.items(), reverse=True) if place[0] == merchant_id]
        return found[:limit]

    async def claim_mails(self, now: int, *, lease_until: int, limit: int) -> Sequence[OutboxMail]:
        waiting = [item for item in self._outbox.items() if item[1].state == MailState.WAITING]
        due = sorted((mail.next_attempt_at, place) for place, mail in waiting if mail.next_attempt_at <= now)
        claimed = [place for _, place in due[:limit]]
        for place in claimed:
            mail = self._outbox[place]
            self._outbox[place] = replace(mail, attempts=mail.attempts + 1, next_attempt_at=lease_until)
        return [self._outbox[place] for place in claimed]

    async def settle_mail(self, mail: OutboxMail) -> None:
        place = (mail.alert.merchant_id, mail.alert.number, mail.user_id)
        self._outbox[place] = mail

    async def mails(self, *, merchant_id: int | None, limit: int) -> Sequence[OutboxMail]:
        found = [mail for mail in self._outbox.values() if merchant_id in (None, mail.alert.merchant_id)]

        def newest_first(mail: OutboxMail) -> tuple[int, ...]:
            by_time = () if merchant_id is not None else (-mail.alert.fired_at, mail.alert.merchant_id)
            return (*by_time, -mail.alert.number, mail.user_id)

        return sorted(found, key=newest_first)[:limit]

    async def retry_mails(self, now: int) -> int:
        unsent = [place for place, mail in self._outbox.items() if mail.state != MailState.SENT]
        for place in unsent:
            self._outbox[place] = replace(self._outbox[place], state=MailState.WAITING, next_attempt_at=now)
        return len(unsent)

    async def next_mail_at(self) -> int | None:
        return min(
            (mail.next_attempt_at for mail in self._outbox.values() if mail.state == MailState.WAITING), default=None
        )

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return _snapshot(self)

    async def backup(self, path: Path) -> None:
        raise StorageError("what is in memory can't be backed up")

    def copy(self) -> "MemoryStore":
        """Return a store with the same rows, which goes its own way from here."""
        twin = MemoryStore()
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if hasattr(value, "copy") else value)
        twin._books = {number: book.copy() for number, book in self._books.items()}
        return twin

    def rows(self) -> dict[str, list[Any]]:
        """Return every row that commands write, to be compared with another store's."""
        return {
            "accounts": sorted(self._accounts.values(), key=lambda account: account.merchant_id),
            "transfers": [transfer for _, book in sorted(self._books.items()) for transfer in book],
            "holds": [hold for _, hold in sorted(self._holds.items())],
            "alerts": [alert for _, alert in sorted(self._alerts.items())],
            "mails": [mail for _, mail in sorted(self._outbox.items())],
            "approvals": [approval for _, approval in sorted(self._approvals.items())],
            "audit_entries": [audit_entry for _, audit_entry in sorted(self._entries.items())],
        }

    def _log(self, audit_entry: AuditEntry | None) -> None:
        if audit_entry is not None:
            self._entries.setdefault((audit_entry.merchant_id or 0, audit_entry.at, audit_entry.entry_id), audit_entry)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable("the store is not open")

    def _existing(self, merchant_id: int) -> Merchant:
        if merchant_id not in self._merchants:
            raise NotFound("no such merchant")
        return self._merchants[merchant_id]

    def _existing_key(self, key_id: int) -> ApiKey:
        if key_id not in self._keys:
            raise NotFound("no such key")
        return self._keys[key_id]

    def _users_of(self, merchant_id: int) -> list[User]:
        found = [user for user in self._users.values() if user.merchant_id == merchant_id]
        return sorted(found, key=lambda user: user.user_id)

    def _wanted_approvals(self, reads: ReadSet) -> Sequence[Approval]:
        by_key = {(item.merchant_id, item.idempotency_key): item for item in self._approvals.values()}
        found = [*_picked(self._approvals, reads.approvals).values(), *_picked(by_key, reads.approval_keys).values()]
        return found if reads.approvals or reads.approval_keys else ()

    def _price(self, merchant_id: int | None, request_type: str, now: int) -> Price | None:
        in_force = [
            price
            for price in self._prices
            if (price.merchant_id, price.request_type) == (merchant_id, request_type) and price.starts_at <= now
        ]
        return max(in_force, key=lambda price: (price.starts_at, price.price_id), default=None)

    def _original(self, merchant_id: int, seq: int) -> Original | None:
        book = self._books.get(merchant_id, [])
        if not 1 <= seq <= len(book):
            return None
        returned = sum(item.amount for item in book if item.refers_to == seq and item.kind in _GIVING_BACK)
        return Original(book[seq - 1], returned)


class _MemorySnapshot:
    """A copy of the rows."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def merchant_ids(self) -> list[int]:
        return [merchant.merchant_id for merchant, _ in await self._store.merchants(0, 10**9)]

    async def books(self, merchant_ids: Sequence[int]) -> Mapping[int, BookRows]:
        return {}

    async def account(self, merchant_id: int) -> Account | None:
        return await self._store.account(merchant_id)

    async def transfers(self, merchant_id: int) -> AsyncIterator[Sequence[Transfer]]:
        book = await self._store.transfers(merchant_id, first_seq=1, last_seq=10**9, limit=10**9, newest_first=False)
        if book:
            yield book

    async def transfers_at(self, merchant_id: int, seqs: Sequence[int]) -> Mapping[int, Transfer]:
        return await self._store.transfers_at(merchant_id, seqs)

    async def holds(self, merchant_id: int) -> Sequence[Hold]:
        return [hold for hold in self._store.rows()["holds"] if hold.merchant_id == merchant_id]


@asynccontextmanager
async def _snapshot(store: MemoryStore) -> AsyncIterator[_MemorySnapshot]:
    yield _MemorySnapshot(store.copy())


def _record(key: ApiKey) -> KeyRecord:
    kind = KeyKind.MERCHANT if key.merchant_id is not None else key.kind
    return KeyRecord(key.key_id, kind, key.merchant_id, key.expires_at, key.revoked_at, key.name)


def _earlier(known: int | None, time: int) -> int:
    return time if known is None else min(known, time)


def _picked(table: Mapping[_Key, _Row], places: Sequence[_Key]) -> dict[_Key, _Row]:
    return {place: table[place] for place in places if place in table}
