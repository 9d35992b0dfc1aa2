"""A batch's rows: what most batches need is read in one statement, and what they come to is written in as few."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec
from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.approvals import ALONE_MICROS, Approval, LoneMove
from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import Budget, BudgetKey
from farebox.core.credit.grants import GRANTS_LOADED_MAX, Grant, GrantLot
from farebox.core.holds import Hold
from farebox.core.period_counts import Key
from farebox.core.prices import Price
from farebox.core.staff_roles import StaffRole
from farebox.core.state import (
    BatchState,
    Decision,
    GrantsWanted,
    KeyRecord,
    Original,
    ReadSet,
    budgets_of_originals,
    counted_originals,
    counted_within,
    grants_wanted,
)
from farebox.core.transfers import Transfer
from farebox.storage import rows, sql
from farebox.storage.batch_grants import put_grants
from farebox.storage.columns import ACCOUNT, BUDGET, GRANT, PERIOD_COUNT, TRANSFER
from farebox.storage.postgres.pool import Connection
from farebox.storage.postgres.shards import owe_deliveries

SMALL_BATCH_TRANSFERS_MAX: Final = 32
"""Up to so many transfers are written in one round trip with their accounts; COPY is cheaper for more."""

_TAG_WIDTH: Final = 4
_CURRENCY_CHARS: Final = 3
_ACCOUNT_NUMBERS: Final = ACCOUNT.names.index("alerts_count") - 2
"""How many numbers of an account stand before those after its last time: its currency and last hash stand apart."""
_FIRST: Final = "first"
"""Tags a grant that is one of the first of its merchant in the order of spending."""
_GrantRow: TypeAlias = tuple[str, bytes, Sequence[Any]]
"""A grant as the load gives it: its texts in one, its fingerprint, and its numbers."""
_SQL: Final = sql.statements("postgres")
_CITUS: Final = sql.statements("citus")


async def load(connection: Connection, reads: ReadSet) -> BatchState:
    """Read all that a batch needs, in one statement if it is like most; its accounts are locked."""
    found: list[Any] = await connection.fetch(
        _SQL["load"],
        reads.now,
        reads.staff_digests,
        *as_columns(reads.merchant_digests, 2),
        reads.request_types,
        *as_columns(reads.merchant_types, 2),
        *as_columns(reads.idempotency_keys, 2),
        *as_columns(reads.holds, 2),
        *as_columns(reads.originals, 2),
        reads.merchant_ids,
        *counted_within(reads.now),
        GRANTS_LOADED_MAX,
    )
    first_grants: list[_GrantRow] = []
    state = state_from_rows(found, first_grants)
    await _load_more(connection, reads, state, first_grants)
    return state


def state_from_rows(found: Iterable[Any], first_grants: list[_GrantRow]) -> BatchState:
    """Sort the rows of the load by what they are; the first grants of those who have given credit are put aside."""
    accounts: dict[int, Account] = {}
    keys: dict[bytes, KeyRecord] = {}
    default_prices: dict[str, Price] = {}
    merchant_prices: dict[tuple[int, str], Price] = {}
    replays: dict[tuple[int, str], Transfer] = {}
    holds: dict[tuple[int, int], Hold] = {}
    originals: dict[tuple[int, int], Original] = {}
    counts: dict[Key, int] = {}
    budgets: dict[BudgetKey, list[Budget]] = {}
    for row in found:
        what, name, digest, numbers = row[:_TAG_WIDTH]
        if what == "account":
            merchant_id, *balances, seq, last_at = numbers[:_ACCOUNT_NUMBERS]
            currency, thresholds = name[:_CURRENCY_CHARS], name[_CURRENCY_CHARS:]
            told = (*numbers[_ACCOUNT_NUMBERS:], thresholds)
            accounts[merchant_id] = rows.checked_account_from_row(
                (merchant_id, currency, *balances, seq, digest, last_at, *told)
            )
        elif what == "key":
            # A merchant's key has neither a name nor people.
            keys[digest] = KeyRecord(*numbers, *(name.split("\n") if name else ()))
        elif what == "price":
            price_id, unit_price, starts_at, merchant_id, is_end = numbers
            request_type, rule = name.split("\n", 1)
            price = rows.price_from_row(
                (price_id, request_type, unit_price, starts_at, merchant_id, rule or None, is_end, None)
            )
            if merchant_id is None:
                default_prices[request_type] = price
            else:
                merchant_prices[merchant_id, request_type] = price
        elif what == "hold":
            hold = rows.checked_hold_from_row((*numbers, name))
            holds[hold.merchant_id, hold.seq] = hold
        elif what == "count":
            merchant_id, starts_at, units = numbers
            request_type, unit, line = name.split("\n")
            counts[merchant_id, request_type, starts_at, unit, line] = units
        elif what == "grant":
            first_grants.append((name, digest, numbers))
        elif what == "budget":
            merchant_id, budget_id, unit, amount, *times = numbers
            budget = Budget(merchant_id, budget_id, unit, amount, name, *times)
            budgets.setdefault((merchant_id, budget_id), []).append(budget)
        else:
            transfer = rows.transfer_from_row(row[_TAG_WIDTH:])
            if what == "replay":
                replays[transfer.merchant_id, transfer.idempotency_key] = transfer
            else:
                originals[transfer.merchant_id, transfer.seq] = Original(transfer, *numbers)
    return BatchState(
        accounts=accounts,
        keys=keys,
        default_prices=default_prices,
        merchant_prices=merchant_prices,
        replays=replays,
        holds=holds,
        originals=originals,
        period_counts=counts,
        budgets=budgets,
    )


async def load_other_keys(connection: Connection, reads: ReadSet, state: BatchState) -> None:
    """Read the keys of merchants whose accounts are not the batch's, which may be in other shards."""
    theirs = frozenset(reads.merchant_ids)
    found = {
        digest: await connection.fetch(_CITUS["merchant_key_record"], merchant_id, digest)
        for merchant_id, digest in reads.merchant_digests
        if merchant_id not in theirs
    }
    if found:
        state.keys = {**state.keys, **{digest: KeyRecord(*row[0][0]) for digest, row in found.items() if row}}


def _grant_from_parts(texts: str, fingerprint: bytes, numbers: Sequence[Any]) -> Grant:
    """Put a grant together as the load gives it: its texts in one, and its numbers."""
    idempotency_key, types, reference, reason = texts.split("\n", 3)
    merchant_id, number, amount, left, priority, starts_at, expires_at, *ends = numbers
    told = (reference, reason, idempotency_key, fingerprint, priority, starts_at, expires_at, types or None)
    return rows.checked_grant_from_row((merchant_id, number, amount, left, *told, *ends))


class _FoundGrants(Mapping[tuple[int, int], Grant]):
    """Grants by merchant and number: each is made of its row, and checked, once somebody asks for it. Few are."""

    def __init__(self, grants: Mapping[tuple[int, int], Grant], found: Mapping[tuple[int, int], _GrantRow]) -> None:
        self._grants = dict(grants)
        self._found = found

    def __getitem__(self, place: tuple[int, int]) -> Grant:
        grant = self._grants.get(place)
        if grant is None:
            grant = self._grants[place] = _grant_from_parts(*self._found[place])
        return grant

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter({**self._found, **self._grants})

    def __len__(self) -> int:
        return len(self._found.keys() | self._grants.keys())


async def _load_more(
    connection: Connection, reads: ReadSet, state: BatchState, first_grants: Sequence[_GrantRow]
) -> None:
    """Read what few batches need, each in a statement of its own."""
    owing = [account.merchant_id for account in state.accounts.values() if account.owed]
    if owing:
        owed: list[Any] = await connection.fetch(_SQL["owed_shortfalls"], owing)
        state.shortfalls = rows.shortfalls_from_rows(owed)
    await _load_for_originals(connection, state)
    await _load_for_approvals(connection, reads, state)
    wanted = grants_wanted(state, reads)
    if wanted is None:
        return
    others: list[Grant] = []
    if wanted.complete or wanted.numbers or reads.grant_keys:
        _, others = await _find_grants(connection, reads, replace(wanted, first=()))
    found: dict[tuple[int, int], _GrantRow] = {}
    lots: list[tuple[int, GrantLot]] = []
    theirs = frozenset(wanted.first)
    for row in first_grants:
        merchant_id, number, amount, left, priority, _, expires_at, *_ = row[2]
        if merchant_id not in theirs:
            continue
        types = row[0].split("\n", 2)[1] or None
        found[merchant_id, number] = row
        lots.append((merchant_id, rows.checked_lot(merchant_id, amount, number, left, priority, expires_at, types)))
    _put_grants(state, wanted, lots, others)
    state.grants = _FoundGrants(state.grants, found)


async def load_more_grants(connection: Connection, reads: ReadSet, state: BatchState, more: frozenset[int]) -> None:
    """Read the grants that a batch needs anew, all of the merchants in `more` among them."""
    wanted = grants_wanted(state, reads, more)
    if wanted is not None:
        first, others = await _find_grants(connection, reads, wanted)
        _put_grants(state, wanted, [(grant.merchant_id, grant.lot) for grant in first], [*first, *others])


def _put_grants(
    state: BatchState, wanted: GrantsWanted, first: Iterable[tuple[int, GrantLot]], whole: Iterable[Grant]
) -> None:
    """Put grants into a batch's state: lots by their merchants, of those of whom the first are wanted, and grants."""
    theirs: dict[int, list[GrantLot]] = {merchant_id: [] for merchant_id in wanted.first}
    for merchant_id, lot in first:
        theirs[merchant_id].append(lot)
    # The statement reads the right ones; in which order their rows come, it does not say.
    for lots in theirs.values():
        if len(lots) > 1:
            lots.sort(key=attrgetter("order"))
    by_merchant = {merchant_id: {lot.number: lot for lot in lots} for merchant_id, lots in theirs.items()}
    has_more = {merchant_id for merchant_id, lots in theirs.items() if len(lots) == GRANTS_LOADED_MAX}
    put_grants(state, wanted, by_merchant, has_more, whole)


async def _find_grants(connection: Connection, reads: ReadSet, wanted: GrantsWanted) -> tuple[list[Grant], list[Grant]]:
    """Read grants: those that are the first ones of their merchants, and others."""
    found: list[Any] = await connection.fetch(
        _SQL["load_grants"],
        wanted.complete,
        wanted.first,
        GRANTS_LOADED_MAX,
        *as_columns(wanted.numbers, 2),
        *as_columns(reads.grant_keys, 2),
    )
    first: list[Grant] = []
    others: list[Grant] = []
    for row in found:
        (first if row[0] == _FIRST else others).append(rows.checked_grant_from_row(row[1:]))
    return first, others


async def _load_for_originals(connection: Connection, state: BatchState) -> None:
    """Read what is needed of originals to give them back: versions, counts of periods, and budgets."""
    named = rows.ruled_originals(state.originals.values())
    if named:
        versions: list[Any] = await connection.fetch(_SQL["prices_of_numbers"], *as_columns(named, 3))
        state.original_prices = {row[0]: rows.price_from_row(row) for row in versions}
    stretches = counted_originals(state)
    if stretches:
        counts: list[Any] = await connection.fetch(_SQL["period_counts_within"], *as_columns(stretches, 4))
        state.period_counts = {**state.period_counts, **rows.period_counts_from_rows(counts)}
    budgets = budgets_of_originals(state)
    if budgets:
        limits: list[Any] = await connection.fetch(_SQL["budgets_of"], *as_columns(budgets, 2))
        state.budgets = {**state.budgets, **rows.budgets_from_rows(limits)}


async def _load_for_approvals(connection: Connection, reads: ReadSet, state: BatchState) -> None:
    """Read what moves by hand need. They are rare: nothing of this is what a charge should pay for."""
    asked = [await connection.fetch(_SQL["approval"], *place) for place in reads.approvals]
    if reads.approval_keys:
        asked.append(await connection.fetch(_SQL["approvals_of_keys"], *as_columns(reads.approval_keys, 2)))
    if asked:
        state.approvals = [Approval(*row) for found in asked for row in found]
    if reads.logins:
        logins = [(login_id, await connection.fetch(_SQL["login_counts_as"], login_id)) for login_id in reads.logins]
        state.logins = {login_id: found[0][0] for login_id, found in logins if found}
    if reads.lone_moves:
        moves = await connection.fetch(_SQL["lone_moves"], reads.lone_moves, reads.now - ALONE_MICROS)
        state.lone_moves = [LoneMove(*row) for row in moves]
    if reads.is_staff_wanted:
        told = await connection.fetch(_SQL["untaken_approval_mails"])
        state.staff = rows.untold_staff(await connection.fetch(_SQL["open_staff"], StaffRole.SUPPORT), told)


async def apply(connection: Connection, state: BatchState, decision: Decision, *, is_sharded: bool = False) -> None:
    """Write the rows of what was decided on this state; the transaction is the caller's.

    Of sharded tables, a statement writes one.
    """
    grants = [*decision.changed_grants, *rows.spent_grants(decision.spent_grants, state.grants)]
    counts = decision.period_counts
    budgets = [*decision.budgets, *rows.spent_budgets(decision.spent_budgets, state.budgets)]
    if 0 < len(decision.transfers) <= SMALL_BATCH_TRANSFERS_MAX and not is_sharded:
        accounts = zip(*map(rows.account_to_row, decision.accounts), strict=True)
        transfers = zip(*map(rows.transfer_to_row, decision.transfers), strict=True)
        if grants or counts or budgets:
            more = (
                *as_columns([rows.grant_to_row(grant) for grant in grants], len(GRANT.stored)),
                *as_columns([msgspec.structs.astuple(count) for count in counts], len(PERIOD_COUNT.stored)),
                *as_columns([msgspec.structs.astuple(budget) for budget in budgets], len(BUDGET.stored)),
            )
            await connection.fetch(_SQL["write_small_batch_and_more"], *accounts, *transfers, *more)
            grants, counts, budgets = [], [], []
        else:
            await connection.fetch(_SQL["write_small_batch"], *accounts, *transfers)
    else:
        if decision.transfers:
            # COPY takes half the time of an INSERT from arrays, and a fifth of this process's own.
            records = map(rows.transfer_to_row, decision.transfers)
            await connection.copy_records_to_table("transfer", records=records, columns=TRANSFER.names)
        if decision.accounts:
            await _write(connection, "update_accounts", map(rows.account_to_row, decision.accounts))
    if decision.new_holds:
        await _write(connection, "insert_holds", map(rows.hold_to_row, decision.new_holds))
    if decision.changed_holds:
        await _write(connection, "update_holds", map(rows.hold_to_row, decision.changed_holds))
    if decision.new_grants:
        await _write(connection, "insert_grants", map(rows.grant_to_row, decision.new_grants))
    if grants:
        await _write(connection, "update_grants", map(rows.grant_to_row, grants))
    if counts:
        await _write(connection, "put_period_counts", map(msgspec.structs.astuple, counts))
    if decision.shortfalls:
        await _write(connection, "put_shortfalls", map(msgspec.structs.astuple, decision.shortfalls))
    if budgets:
        await _write(connection, "update_budgets", map(msgspec.structs.astuple, budgets))
    if decision.alerts:
        await _write(connection, "insert_alerts", map(rows.alert_to_row, decision.alerts))
        if is_sharded:
            await owe_deliveries(connection, [(alert.merchant_id, alert.number) for alert in decision.alerts])
    for audit_entry in decision.audit_entries:
        await insert_audit_entry(connection, audit_entry)
    for approval in decision.new_approvals:
        await connection.execute(_SQL["insert_approval"], *rows.approval_to_row(approval))
    for approval in decision.changed_approvals:
        await connection.execute(_SQL["close_approval"], *rows.approval_to_closing(approval))
    for move in decision.lone_moves:
        await connection.execute(_SQL["insert_lone_move"], *rows.lone_move_to_row(move))
    for mail in decision.approval_mails:
        await connection.execute(_SQL["insert_staff_mail"], *rows.approval_mail_to_row(mail))


async def _write(connection: Connection, name: str, new_rows: Iterable[tuple[Any, ...]]) -> None:
    """Run a statement that takes its rows, at least one, as columns."""
    await connection.fetch(_SQL[name], *zip(*new_rows, strict=True))


def as_columns(pairs: Sequence[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    """Turn rows into as many columns as `width` says, empty ones if there is no row."""
    return list(zip(*pairs, strict=True)) or [()] * width


async def insert_audit_entry(connection: Connection, audit_entry: AuditEntry) -> None:
    """Write an entry of the audit log; one that is there already stays as it is."""
    await connection.execute(_SQL["insert_audit_entry"], *rows.audit_to_row(audit_entry))


def must_last(decision: Decision) -> bool:
    """Whether a batch tells of anything done, be it by an earlier one: COMMIT then waits until the log is safe.

    Rows that were found may not be safe yet. A primary that was killed while its COMMIT waited for a synchronous
    standby shows the transaction when it is back, without having told the standby.
    """
    return decision.changes_anything or any(outcome.is_ok for outcome in decision.outcomes)
