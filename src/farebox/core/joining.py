"""Who joins a merchant's account is told how it stands: users who were there have been told already."""

from farebox.core.accounts import Account
from farebox.core.alerts import Alert, AlertKind, written_facts
from farebox.core.thresholds import Threshold, lowest_above


def alert_on_joining(account: Account, user_id: int, now: int) -> Alert | None:
    """Make the alert for a user who joins at `now`, in microseconds since 1970; None if there is nothing to tell.

    An account that is below a threshold and whose balance is used up is one alert, whose mail tells both. An empty
    book is below nothing.
    """
    running: list[Threshold] = [threshold for threshold in account.thresholds if not threshold.is_armed]
    threshold = lowest_above(running, account.posted) if account.seq > 0 else None
    if threshold is None and not account.is_exhausted:
        return None
    kind = AlertKind.USED_UP if threshold is None else AlertKind.LOW_BALANCE
    return Alert(
        *(account.merchant_id, account.alerts_count + 1, threshold, account.posted, now, None, kind),
        user_id=user_id,
        facts=written_facts(account),
    )
