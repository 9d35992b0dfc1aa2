"""Rules that alerts keep with the book that they tell of, as far as the book alone can tell."""

from collections.abc import Iterable, Iterator, Mapping

from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert, AlertKind
from farebox.core.book import ARRIVING_KINDS, LOWERING_KINDS
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer

_TELLING_KINDS = LOWERING_KINDS | ARRIVING_KINDS


def named_seqs(alerts: Iterable[Alert]) -> set[int]:
    """List the transfers that alerts name, by seq."""
    return {alert.transfer_seq for alert in alerts if alert.transfer_seq is not None}


def alert_faults(
    account: Account, alerts: Iterable[Alert], named: Mapping[int, Transfer], last_arrival_seq: int
) -> Iterator[str]:
    """Yield what is wrong with a merchant's alerts, naming the seq or the alert.

    Args:
        account: the account's row.
        alerts: all of the merchant's alerts, in order of their numbers.
        named: the transfers that `named_seqs` lists, by seq.
        last_arrival_seq: the last transfer that brought money; 0 if none did.
    """
    number, refused_after = 0, None
    for alert in alerts:
        number += 1
        if alert.number != number:
            yield f"seq {account.seq}: alert {alert.number} follows alert {number - 1}"
            number = alert.number
        if alert.transfer_seq is not None:
            yield from _named_faults(alert, named.get(alert.transfer_seq))
        if alert.kind == AlertKind.USED_UP and alert.user_id is None:
            refused_after = alert.transfer_seq or 0
    if account.alerts_count != number:
        yield f"seq {account.seq}: the account counts {account.alerts_count} alerts, there are {number}"
    if account.is_exhausted and (refused_after is None or refused_after < last_arrival_seq):
        yield f"seq {account.seq}: the account is used up, and no refusal was told of since money arrived"


def _named_faults(alert: Alert, transfer: Transfer | None) -> Iterator[str]:
    where = f"seq {alert.transfer_seq}"
    if transfer is None:
        yield f"{where}: alert {alert.number} names a transfer that is not there"
        return
    if alert.kind == AlertKind.CREDIT_ENDS:
        # It tells of the balance at its own time, which is not that of the transfer.
        if transfer.kind != Kind.GRANT:
            yield f"{where}: alert {alert.number} names a transfer that brought no credit"
        return
    if alert.kind == AlertKind.LOW_BALANCE and transfer.kind not in _TELLING_KINDS:
        yield f"{where}: alert {alert.number} names a transfer that begins no episode"
    if alert.posted != transfer.posted_after:
        yield (
            f"{where}: alert {alert.number} tells of {format_amount(alert.posted)}, "
            f"posted after it is {format_amount(transfer.posted_after)}"
        )
