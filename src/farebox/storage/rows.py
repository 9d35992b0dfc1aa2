"""How values become rows and back: each in the order of its table in columns.py, checked where money is at stake."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert
from farebox.core.approvals import Approval, ApprovalMail, StaffAccount
from farebox.core.audit_log import AuditEntry
from farebox.core.credit.budgets import Budget, BudgetKey, Spent
from farebox.core.credit.grants import Grant, GrantLot
from farebox.core.credit.shortfalls import Shortfall
from farebox.core.holds import Hold
from farebox.core.invariants import InvariantViolation, check_account, check_grant, check_hold
from farebox.core.period_counts import Key
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.core.state import Original
from farebox.core.thresholds import Threshold
from farebox.core.transfers import Transfer
from farebox.storage.columns import (
    ACCOUNT,
    ALERT,
    DEFAULT_PRICE,
    HOLD,
    MERCHANT_KEY,
    MERCHANT_PRICE,
    SHORTFALL,
    SPENDING,
    STAFF_KEY,
    TRANSFER,
)
from farebox.storage.mailboxes import mailbox_of
from farebox.storage.records import (
    AccountMail,
    ApiKey,
    BookRows,
    Delivery,
    DeliveryState,
    Login,
    OpenHold,
    Purpose,
    ShortTransfer,
    TransferFilter,
    User,
)

_OPERATOR: Final = 0
_BILLION: Final = 10**9
_APPROVAL_MAIL_MICROS: Final = 7 * 24 * 3600 * 1_000_000
_THRESHOLDS_DECODER: Final = msgspec.json.Decoder(tuple[Threshold, ...])
_RULE_DECODER: Final = msgspec.json.Decoder(Rule)
_RULES_KEPT: Final = 16_384
_NO_THRESHOLDS: Final = "[]"
_SPENDING: Final = attrgetter(*SPENDING)
_NOT_SPENDING: Final = attrgetter(*(name for name in ACCOUNT.names if name not in SPENDING))
_TRUTH_VALUES: Final = (ACCOUNT.names.index("is_frozen"), ACCOUNT.names.index("is_exhausted"))


def account_from_row(row: Sequence[Any]) -> Account:
    """Make an account of a row, unchecked. SQLite keeps truth values as numbers, and both keep thresholds as JSON."""
    values = list(row)
    for place in _TRUTH_VALUES:
        values[place] = bool(values[place])
    values[-1] = () if values[-1] == _NO_THRESHOLDS else _THRESHOLDS_DECODER.decode(values[-1])
    return Account(*values)


def checked_account_from_row(row: Sequence[Any]) -> Account:
    """Make an account of a row and check every rule.

    Raises:
        InvariantViolation: the stored row breaks a rule.
    """
    try:
        account = account_from_row(row)
    except ValueError as error:
        raise InvariantViolation(f"merchant {row[0]}: the thresholds can't be read: {error}") from error
    check_account(account)
    return account


def account_to_row(account: Account) -> tuple[Any, ...]:
    """Write an account, having checked every rule.

    Raises:
        InvariantViolation: the account breaks a rule.
    """
    check_account(account)
    row = msgspec.structs.astuple(account)
    return (*row[:-1], msgspec.json.encode(account.thresholds).decode() if account.thresholds else _NO_THRESHOLDS)


def accounts_to_rows(
    accounts: Iterable[Account], stored: Mapping[int, Account]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Write accounts, having checked every rule: those that only spent, as ACCOUNT_SPENDING has it, and the others.

    Args:
        accounts: as they are to be.
        stored: as they are, by merchant.

    Raises:
        InvariantViolation: an account breaks a rule.
    """
    spending, others = [], []
    for account in accounts:
        before = stored.get(account.merchant_id)
        if before is not None and _NOT_SPENDING(account) == _NOT_SPENDING(before):
            check_account(account)
            spending.append(_SPENDING(account))
        else:
            others.append(account_to_row(account))
    return spending, others


def transfer_from_row(row: Sequence[Any]) -> Transfer:
    """Make a transfer of a row."""
    return Transfer(*row)


transfer_to_row = msgspec.structs.astuple
"""Write a transfer."""


def transfers_by_seq(rows: Sequence[Sequence[Any]]) -> Mapping[int, Transfer]:
    """Make transfers of one book of rows, by their seq."""
    return {transfer.seq: transfer for transfer in map(transfer_from_row, rows)}


def original_from_row(row: Sequence[Any]) -> Original:
    """Make an original of a transfer's row and, after it, what was given back, its budget, and when that counted."""
    width = len(TRANSFER.columns)
    return Original(Transfer(*row[:width]), *row[width:])


def ruled_originals(originals: Iterable[Original]) -> list[tuple[int, str, int]]:
    """Name the prices, each by merchant, type and number, of the originals that were priced by a rule."""
    named = {
        (original.transfer.merchant_id, original.transfer.request_type or "", original.transfer.price_id or 0)
        for original in originals
        if original.transfer.pricing is not None
    }
    return sorted(named)


def filter_to_values(wanted: TransferFilter) -> tuple[int, str | None, str | None]:
    """Write a filter as a statement takes it: the set of kinds as bits (all of them for none named), and the texts."""
    kinds = wanted.kinds or tuple(Kind)
    return sum(1 << kind for kind in set(kinds)), wanted.request_type, wanted.reference


def price_from_row(row: Sequence[Any]) -> Price:
    """Make a price of a row. SQLite keeps truth values as numbers, and both keep rules as JSON.

    Raises:
        InvariantViolation: the stored rule can't be read.
    """
    price_id, request_type, unit_price, starts_at, merchant_id, rule, is_end, withdrawn_at = row
    read = None if rule is None else _rule(rule)
    return Price(price_id, request_type, unit_price, starts_at, merchant_id, read, bool(is_end), withdrawn_at)


def price_to_row(price: Price) -> tuple[Any, ...]:
    """Write a price as the table that keeps its kind has it."""
    row = (DEFAULT_PRICE if price.merchant_id is None else MERCHANT_PRICE).row_of(price)
    return tuple(msgspec.json.encode(value).decode() if isinstance(value, Rule) else value for value in row)


@lru_cache(maxsize=_RULES_KEPT)
def _rule(text: str) -> Rule:
    """Read a rule; few serve many charges, so those that were read are kept."""
    try:
        return _RULE_DECODER.decode(text)
    except ValueError as error:
        raise InvariantViolation(f"the rule of a price can't be read: {error}") from error


def period_counts_from_rows(found: Iterable[Sequence[Any]]) -> dict[Key, int]:
    """Make counts of rows: the units, by merchant, type, the period's start and unit, and line."""
    return {(row[0], row[1], row[2], row[3], row[4]): row[5] for row in found}


def shortfalls_from_rows(found: Iterable[Sequence[Any]]) -> dict[tuple[int, int], Shortfall]:
    """Make shortfalls of rows, by merchant and seq."""
    return {(row[0], row[1]): Shortfall(*row) for row in found}


def budgets_from_rows(found: Iterable[Sequence[Any]]) -> dict[BudgetKey, list[Budget]]:
    """Make budgets of rows: their limits, by merchant and number."""
    budgets: dict[BudgetKey, list[Budget]] = {}
    for row in found:
        budgets.setdefault((row[0], row[1]), []).append(Budget(*row))
    return budgets


def spent_budgets(spent: Iterable[Spent], stored: Mapping[BudgetKey, Sequence[Budget]]) -> Iterator[Budget]:
    """Tell how the limits of budgets are to be that were spent of alike; `stored` is how they are."""
    for merchant_id, budget_id, micros in spent:
        for limit in stored[merchant_id, budget_id]:
            yield msgspec.structs.replace(limit, spent=limit.spent + micros)


def whole_sum(billions: int, rest: int) -> int:
    """Put a sum together that is kept as whole billions and a rest."""
    return billions * _BILLION + rest


def short_transfer_from_row(row: Sequence[Any]) -> ShortTransfer:
    """Make a shortfall with its transfer of a row: its own columns, then the transfer's."""
    width = len(SHORTFALL.columns)
    return ShortTransfer(Shortfall(*row[:width]), transfer_from_row(row[width:]))


def hold_from_row(row: Sequence[Any]) -> Hold:
    """Make a hold of a row, unchecked."""
    return Hold(*row)


def open_hold_from_row(row: Sequence[Any]) -> OpenHold:
    """Make an open hold of a row: its own columns, then those of the transfer that made it."""
    width = len(HOLD.columns)
    return OpenHold(hold_from_row(row[:width]), transfer_from_row(row[width:]))


def checked_hold_from_row(row: Sequence[Any]) -> Hold:
    """Make a hold of a row and check every rule.

    Raises:
        InvariantViolation: the stored row breaks a rule.
    """
    hold = hold_from_row(row)
    check_hold(hold)
    return hold


def hold_to_row(hold: Hold) -> tuple[Any, ...]:
    """Write a hold, having checked every rule.

    Raises:
        InvariantViolation: the hold breaks a rule.
    """
    check_hold(hold)
    return msgspec.structs.astuple(hold)


def grant_from_row(row: Sequence[Any]) -> Grant:
    """Make a grant of a row, unchecked."""
    return Grant(*row)


def checked_grant_from_row(row: Sequence[Any]) -> Grant:
    """Make a grant of a row and check every rule.

    Raises:
        InvariantViolation: the stored row breaks a rule.
    """
    grant = grant_from_row(row)
    check_grant(grant)
    return grant


def grant_to_row(grant: Grant) -> tuple[Any, ...]:
    """Write a grant, having checked every rule.

    Raises:
        InvariantViolation: the grant breaks a rule.
    """
    check_grant(grant)
    return msgspec.structs.astuple(grant)


def spent_grants(spent: Iterable[tuple[int, int, int]], stored: Mapping[tuple[int, int], Grant]) -> Iterator[Grant]:
    """Tell how grants are to be that were only spent: `stored` is how they are, by merchant and number."""
    for merchant_id, number, left in spent:
        yield msgspec.structs.replace(stored[merchant_id, number], left=left)


def checked_lot(
    merchant_id: int, amount: int, number: int, left: int, priority: int, expires_at: int | None, types: str | None
) -> GrantLot:
    """Make what a charge must know of a grant of `amount` that has something left.

    Raises:
        InvariantViolation: more is left of it than was given, or nothing.
    """
    if not 0 < left <= amount:
        raise InvariantViolation(f"merchant {merchant_id}: more is left of grant {number} than was given, or nothing")
    return GrantLot(number, left, priority, expires_at, types)


def by_merchant(found: Iterable[Any]) -> dict[int, list[Any]]:
    """Sort rows that begin with a merchant's number by merchant."""
    sorted_rows: dict[int, list[Any]] = {}
    for row in found:
        sorted_rows.setdefault(row[0], []).append(row)
    return sorted_rows


def book_from_rows(
    account: Any, transfers: Sequence[Any], holds: Sequence[Any], alerts: Sequence[Any], grants: Sequence[Any]
) -> BookRows | None:
    """Make a book of its rows, unchecked; None if one of them can't be read."""
    try:
        return BookRows(
            account_from_row(account),
            transfers,
            [hold_from_row(row) for row in holds],
            [alert_from_row(row) for row in alerts],
            [grant_from_row(row) for row in grants],
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


approval_to_row = msgspec.structs.astuple
"""Write an approval."""


def approval_to_closing(approval: Approval) -> tuple[Any, ...]:
    """Write which approval was decided, and how."""
    decision = (approval.state, approval.decided_by, approval.decided_at, approval.transfer_seq)
    return (approval.merchant_id, approval.approval_id, *decision, approval.decided_people)


lone_move_to_row = msgspec.structs.astuple
"""Write what people moved alone."""


def untold_staff(staff: Iterable[Any], told: Iterable[Any]) -> list[StaffAccount]:
    """Make the staff accounts of rows, but for those that the other rows begin with: they have a mail that waits."""
    login_ids = {row[0] for row in told}
    return [StaffAccount(*row) for row in staff if row[0] not in login_ids]


def approval_mail_to_row(mail: ApprovalMail) -> tuple[Any, ...]:
    """Write a mail that tells of approvals as the account mail that it is; it has no link, so its seed is no secret."""
    return msgspec.structs.astuple(
        AccountMail(
            account_mail_id=mail.account_mail_id,
            purpose=Purpose.APPROVAL,
            login_id=mail.login_id,
            merchant_id=None,
            email=mail.email,
            seed=bytes(32),
            created_at=mail.at,
            expires_at=mail.at + _APPROVAL_MAIL_MICROS,
            used_at=None,
            state=DeliveryState.WAITING,
            attempts=0,
            next_attempt_at=mail.at,
        )
    )


def audit_to_row(audit_entry: AuditEntry) -> tuple[Any, ...]:
    """Write an audit entry; merchant 0 stands for the operator as a whole."""
    entry_id, merchant_id, *values = msgspec.structs.astuple(audit_entry)
    return (entry_id, merchant_id or _OPERATOR, *values)


def audit_from_row(row: Sequence[Any]) -> AuditEntry:
    """Make an audit entry of a row."""
    entry_id, merchant_id, *values = row
    return AuditEntry(entry_id, merchant_id or None, *values)


alert_to_row = msgspec.structs.astuple
"""Write an alert."""


def alert_from_row(row: Sequence[Any]) -> Alert:
    """Make an alert of a row."""
    return Alert(*row)


def delivery_from_row(row: Sequence[Any]) -> Delivery:
    """Make a mail of a row: its alert's columns, then its own."""
    width = len(ALERT.columns)
    return Delivery(Alert(*row[:width]), *row[width:])


def user_to_row(user: User) -> tuple[Any, ...]:
    """Write a user, and after it the mailbox that its address reaches."""
    return (*msgspec.structs.astuple(user), mailbox_of(user.email))


def login_to_row(login: Login) -> tuple[Any, ...]:
    """Write a login, and after it the mailbox that its address reaches."""
    return (*msgspec.structs.astuple(login), mailbox_of(login.email))


def api_key_to_row(key: ApiKey) -> tuple[Any, ...]:
    """Write an API key as the table that keeps its kind has it."""
    return (STAFF_KEY if key.merchant_id is None else MERCHANT_KEY).row_of(key)
