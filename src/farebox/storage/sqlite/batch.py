"""A batch's rows: each kind is read, and written, in one pass over its sorted keys."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw
import msgspec

from farebox.core.accounts import Kind
from farebox.core.approvals import ALONE_MICROS, Approval, LoneMove
from farebox.core.credit.grants import GRANTS_LOADED_MAX, Grant, GrantLot
from farebox.core.staff_roles import StaffRole
from farebox.core.state import BatchState, Decision, KeyRecord, ReadSet, budgets_wanted, counted, grants_wanted
from farebox.storage import rows, sql
from farebox.storage.batch_grants import put_grants

_SQL: Final = sql.statements("sqlite")
_LITTLE: Final = 4
"""Of a grant of which less than one part of so many is left, a charge may well take all and more."""


def load(cursor: apsw.Cursor, reads: ReadSet) -> BatchState:
    """Read what a batch needs, each kind of row in one pass over its sorted keys."""
    many = cursor.executemany
    now = reads.now
    state = BatchState()
    found = many(_SQL["account"], [(merchant_id,) for merchant_id in reads.merchant_ids])
    state.accounts = {row[0]: rows.checked_account_from_row(row) for row in found}
    owing = [account.merchant_id for account in state.accounts.values() if account.owed]
    if owing:
        state.shortfalls = rows.shortfalls_from_rows(cursor.execute(_SQL["owed_shortfalls"], (owing,)))
    found = many(_SQL["load_staff_key"], [(digest,) for digest in reads.staff_digests])
    keys = {row[0]: KeyRecord(*row[1:]) for row in found}
    if reads.merchant_digests:
        keys |= {row[0]: KeyRecord(*row[1:]) for row in many(_SQL["load_merchant_key"], reads.merchant_digests)}
    state.keys = keys
    if reads.request_types:
        found = many(_SQL["default_price_at"], [(name, now) for name in reads.request_types])
        state.default_prices = {row[1]: rows.price_from_row(row) for row in found}
        found = many(_SQL["merchant_price_at"], [(*pair, now) for pair in reads.merchant_types])
        state.merchant_prices = {(row[4], row[1]): rows.price_from_row(row) for row in found}
    found = many(_SQL["load_replay"], reads.idempotency_keys)
    state.replays = {(row[0], row[4]): rows.transfer_from_row(row) for row in found}
    replayed_holds = [(item.merchant_id, item.seq) for item in state.replays.values() if item.kind == Kind.HOLD]
    if reads.holds or replayed_holds:
        found = many(_SQL["load_hold"], sorted({*reads.holds, *replayed_holds}))
        state.holds = {(row[0], row[1]): rows.checked_hold_from_row(row) for row in found}
    if reads.originals:
        found = many(_SQL["load_original"], reads.originals)
        state.originals = {(row[0], row[1]): rows.original_from_row(row) for row in found}
        found = many(_SQL["price_of_number"], rows.ruled_originals(state.originals.values()))
        state.original_prices = {row[0]: rows.price_from_row(row) for row in found}
    wanted = counted(state, reads.merchant_types, now)
    if wanted:
        state.period_counts = rows.period_counts_from_rows(many(_SQL["period_counts"], wanted))
    budgets = budgets_wanted(state)
    if budgets:
        state.budgets = rows.budgets_from_rows(many(_SQL["budget"], budgets))
    if reads.approvals or reads.approval_keys:
        by_number, by_key = many(_SQL["approval"], reads.approvals), reads.approval_keys
        state.approvals = [Approval(*row) for row in (*by_number, *many(_SQL["approval_of_key"], by_key))]
    if reads.logins:
        asked = [(number, cursor.execute(_SQL["login_counts_as"], (number,)).fetchone()) for number in reads.logins]
        state.logins = {number: row[0] for number, row in asked if row is not None}
    if reads.lone_moves:
        found = cursor.execute(_SQL["lone_moves"], (reads.lone_moves, now - ALONE_MICROS))
        state.lone_moves = [LoneMove(*row) for row in found]
    if reads.is_staff_wanted:
        told = cursor.execute(_SQL["untaken_approval_mails"]).fetchall()
        state.staff = rows.untold_staff(cursor.execute(_SQL["open_staff"], (StaffRole.SUPPORT,)), told)
    load_grants(cursor, reads, state)
    return state


def load_grants(cursor: apsw.Cursor, reads: ReadSet, state: BatchState, more: frozenset[int] = frozenset()) -> None:
    """Read the grants that a batch needs, all of the merchants in `more` among them; most batches need none."""
    wanted = grants_wanted(state, reads, more)
    if wanted is None:
        return
    first, has_more = _first_lots(cursor, wanted.first, reads)
    whole: list[Grant] = []
    if wanted.complete or wanted.numbers or reads.grant_keys:
        many = cursor.executemany
        whole += _grants(many(_SQL["load_all_grants"], [(merchant_id,) for merchant_id in wanted.complete]))
        whole += _grants(many(_SQL["find_grant"], wanted.numbers))
        whole += _grants(many(_SQL["grant_of_key"], reads.grant_keys))
    put_grants(state, wanted, first, has_more, whole)


def _first_lots(
    cursor: apsw.Cursor, merchant_ids: Sequence[int], reads: ReadSet
) -> tuple[dict[int, dict[int, GrantLot]], set[int]]:
    """Read the first grants of merchants in the order of spending, and tell of whom there may be more.

    A charge takes from one as a rule, so of a merchant with one charge one is read, and of others one more than there
    are charges. The next ones are read as well where one pays for some types alone, or little is left of the only one.
    """
    first: dict[int, dict[int, GrantLot]] = {merchant_id: {} for merchant_id in merchant_ids}
    limits = dict.fromkeys(merchant_ids, 1)
    if len(reads.idempotency_keys) > len(reads.merchant_ids):
        charges = Counter([merchant_id for merchant_id, _ in reads.idempotency_keys])
        limits |= {
            merchant_id: min(count + 1, GRANTS_LOADED_MAX) for merchant_id, count in charges.items() if count > 1
        }
    asked: Iterable[tuple[int, int]] = [(merchant_id, limits[merchant_id]) for merchant_id in merchant_ids]
    while asked:
        again = {}
        for row in cursor.executemany(_SQL["first_lots"], asked):
            merchant_id, amount = row[:2]
            lot = rows.checked_lot(*row)
            first[merchant_id][lot.number] = lot
            limit = limits[merchant_id]
            if limit < GRANTS_LOADED_MAX and (lot.types is not None or (limit == 1 and lot.left * _LITTLE < amount)):
                again[merchant_id] = limits[merchant_id] = GRANTS_LOADED_MAX
        asked = list(again.items())
    return first, {merchant_id for merchant_id, lots in first.items() if len(lots) == limits[merchant_id]}


def _grants(found: Iterable[tuple[Any, ...]]) -> list[Grant]:
    return [rows.checked_grant_from_row(row) for row in found]


def apply(cursor: apsw.Cursor, state: BatchState, decision: Decision) -> None:
    """Write the rows of what was decided on this state; the transaction is the caller's."""
    many = cursor.executemany
    many(_SQL["insert_transfer"], map(rows.transfer_to_row, decision.transfers))
    spending, others = rows.accounts_to_rows(decision.accounts, state.accounts)
    many(_SQL["update_account_spending"], spending)
    if others:
        many(_SQL["update_account"], others)
    if decision.new_holds:
        many(_SQL["insert_hold"], map(rows.hold_to_row, decision.new_holds))
    if decision.changed_holds:
        many(_SQL["update_hold"], map(rows.hold_to_row, decision.changed_holds))
    if decision.new_grants:
        many(_SQL["insert_grant"], map(rows.grant_to_row, decision.new_grants))
    if decision.changed_grants:
        many(_SQL["update_grant"], map(rows.grant_to_row, decision.changed_grants))
    if decision.spent_grants:
        many(_SQL["spend_grant"], decision.spent_grants)
    if decision.period_counts:
        many(_SQL["put_period_count"], map(msgspec.structs.astuple, decision.period_counts))
    if decision.shortfalls:
        many(_SQL["put_shortfall"], map(msgspec.structs.astuple, decision.shortfalls))
    if decision.budgets:
        many(_SQL["update_budget"], map(msgspec.structs.astuple, decision.budgets))
    if decision.spent_budgets:
        many(_SQL["add_to_budget"], decision.spent_budgets)
    if decision.alerts:
        many(_SQL["insert_alert"], map(rows.alert_to_row, decision.alerts))
        many(_SQL["owe_deliveries"], [(alert.merchant_id, alert.number) for alert in decision.alerts])
    if decision.audit_entries:
        many(_SQL["insert_audit_entry"], map(rows.audit_to_row, decision.audit_entries))
    if decision.new_approvals:
        many(_SQL["insert_approval"], map(rows.approval_to_row, decision.new_approvals))
    if decision.changed_approvals:
        many(_SQL["close_approval"], map(rows.approval_to_closing, decision.changed_approvals))
    if decision.lone_moves:
        many(_SQL["insert_lone_move"], map(rows.lone_move_to_row, decision.lone_moves))
    if decision.approval_mails:
        many(_SQL["insert_staff_mail"], map(rows.approval_mail_to_row, decision.approval_mails))
