"""Rules that every account, hold and grant keeps, checked before each write and after each read, under `-O` too."""

from typing import Final

from farebox.core.accounts import Account
from farebox.core.credit.grants import Grant, GrantState
from farebox.core.holds import Hold, HoldState
from farebox.core.money import BALANCE_MICROS_MAX
from farebox.core.thresholds import THRESHOLDS_MAX

_GRANT_OPEN: Final = GrantState.OPEN
_GRANT_ENDED: Final = GrantState.ENDED
"""Python 3.11 takes long to look a member of an enumeration up."""


class InvariantViolation(Exception):
    """The books are wrong: a rule that never breaks is broken. Nothing may be written."""


def account_faults(account: Account) -> list[str]:
    """Name what is wrong with an account's row, in words; an empty list if nothing is."""
    faults = []
    # Every charge comes through here twice, so what is looked at often is read once, and compared without a call.
    wallet, held, revenue, given = account.wallet, account.held, account.revenue, account.given
    funding, adjustments, promotions = account.funding, account.adjustments, account.promotions
    if wallet + held + revenue + funding + adjustments + promotions != 0:
        faults.append("the book's six accounts do not sum to zero")
    if wallet - given + account.credit_limit < 0:
        faults.append("the paid money in the wallet is below the credit limit")
    if held < 0:
        faults.append("held is negative")
    if revenue < 0:
        faults.append("more was refunded than was charged")
    if funding > 0:
        faults.append("more was reversed than was topped up")
    if account.credit_limit < 0:
        faults.append("the credit limit is negative")
    if promotions > 0:
        faults.append("more given credit ended than was given")
    if given < 0:
        faults.append("more given credit was spent than there is")
    if account.owed < 0:
        faults.append("more was paid of what is owed than is owed")
    if account.closed_at is not None and (wallet or held or given or account.owed):
        faults.append("a closed merchant has money")
    if (
        not -BALANCE_MICROS_MAX <= wallet <= BALANCE_MICROS_MAX
        or not -BALANCE_MICROS_MAX <= adjustments <= BALANCE_MICROS_MAX
        or held > BALANCE_MICROS_MAX
        or revenue > BALANCE_MICROS_MAX
        or funding < -BALANCE_MICROS_MAX
        or promotions < -BALANCE_MICROS_MAX
    ):
        faults.append("a balance is beyond the largest that is kept")
    if account.thresholds:
        faults.extend(_threshold_faults(account))
    return faults


def _threshold_faults(account: Account) -> list[str]:
    faults = []
    if len(account.thresholds) > THRESHOLDS_MAX:
        faults.append("there are more thresholds than may be")
    posted = account.wallet + account.held
    for threshold in account.thresholds:
        # Those of a book that no money has moved in are armed, whatever they are: its first move tells of them.
        if posted < threshold.amount and threshold.is_armed and not account.is_new:
            faults.append(f"the threshold {threshold.amount} is armed above the posted balance")
    return faults


def hold_faults(hold: Hold) -> list[str]:
    """Name what is wrong with a hold's row, in words; an empty list if nothing is."""
    faults = []
    if hold.amount < 0:
        faults.append("a hold's amount is negative")
    if not 0 <= hold.captured <= hold.amount:
        faults.append("more was captured than was held")
    if hold.captured > 0 and hold.state != HoldState.CAPTURED:
        faults.append("a hold has a captured amount without being captured")
    return faults


def grant_faults(grant: Grant) -> list[str]:
    """Name what is wrong with a grant's row, in words; an empty list if nothing is."""
    faults = []
    if grant.amount <= 0:
        faults.append("a grant's amount is not above zero")
    if not 0 <= grant.left <= grant.amount:
        faults.append("more of a grant is left than was given, or less than nothing")
    if grant.left and grant.state != _GRANT_OPEN:
        faults.append("something is left of a grant that is not open")
    if grant.expires_at is not None and grant.expires_at <= grant.starts_at:
        faults.append("a grant ends before it starts")
    if (grant.ended_at is not None) != (grant.state == _GRANT_ENDED):
        faults.append("a grant that has ended has no end, or one that has not has one")
    if grant.transfer_seq is None and grant.state == _GRANT_OPEN:
        faults.append("a grant is open that no transfer brought")
    return faults


def check_account(account: Account) -> None:
    """Refuse an account that breaks a rule.

    Raises:
        InvariantViolation: naming the merchant and every fault.
    """
    faults = account_faults(account)
    if faults:
        raise InvariantViolation(f"merchant {account.merchant_id}: {'; '.join(faults)}")


def check_grant(grant: Grant) -> None:
    """Refuse a grant that breaks a rule.

    Raises:
        InvariantViolation: naming the grant and every fault.
    """
    faults = grant_faults(grant)
    if faults:
        raise InvariantViolation(f"{grant.id}: {'; '.join(faults)}")


def check_hold(hold: Hold) -> None:
    """Refuse a hold that breaks a rule.

    Raises:
        InvariantViolation: naming the hold and every fault.
    """
    faults = hold_faults(hold)
    if faults:
        raise InvariantViolation(f"{hold.id}: {'; '.join(faults)}")
