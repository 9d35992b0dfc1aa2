"""What a book must have told: each top-up, each hold that expired, each grant that ended with something left."""

from collections.abc import Iterable

from farebox.core.accounts import Kind
from farebox.core.alerts import MAILED_FROM_THE_START, Alert, AlertKind
from farebox.core.commands import end_key
from farebox.core.credit.grants import read_given
from farebox.core.transfers import Transfer


def is_mailed(alert: Alert) -> bool:
    """Tell whether users who have chosen nothing are mailed of an alert."""
    return bool(MAILED_FROM_THE_START >> alert.kind & 1)


def untold(transfers: Iterable[Transfer], alerts: Iterable[Alert]) -> list[str]:
    """List where one merchant's alerts tell of other transfers than they must, or in another order."""
    book, told = list(transfers), list(alerts)
    faults = []
    for kind, wanted in (
        (AlertKind.TOP_UP, [item.seq for item in book if item.kind == Kind.TOP_UP]),
        (AlertKind.HOLD_EXPIRED, [item.seq for item in book if item.kind == Kind.EXPIRE]),
        (AlertKind.CREDIT_ENDED, [item.seq for item in book if _ends_a_grant(item)]),
    ):
        found = [alert.transfer_seq for alert in told if alert.kind == kind]
        if found != wanted:
            faults.append(f"{kind.name} was told of {found}, it must be of {wanted}")
    return faults


def _ends_a_grant(transfer: Transfer) -> bool:
    """Tell whether a grant ends by a transfer; what comes back into one that has ended ends by others."""
    if transfer.kind != Kind.GRANT_EXPIRY:
        return False
    ((number, _),) = read_given(transfer.given)
    return transfer.idempotency_key == end_key(number)
