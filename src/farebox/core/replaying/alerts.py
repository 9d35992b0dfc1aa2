"""Rules that alerts keep with the book that they tell of, as far as the book alone can tell."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from farebox.core.accounts import Account, Kind
from farebox.core.alerts import Alert, AlertKind
from farebox.core.book import ARRIVING_KINDS, LOWERING_KINDS
from farebox.core.money import format_amount
from farebox.core.transfers import Transfer

_NAMED_KINDS: Final[Mapping[int, frozenset[Kind]]] = {
    AlertKind.LOW_BALANCE: LOWERING_KINDS | ARRIVING_KINDS,
    AlertKind.CREDIT_ENDS: frozenset({Kind.GRANT}),
    AlertKind.RECOVERED: ARRIVING_KINDS,
    AlertKind.TOP_UP: frozenset({Kind.TOP_UP}),
    AlertKind.CREDIT_ENDED: frozenset({Kind.GRANT_EXPIRY}),
    AlertKind.HOLD_EXPIRED: frozenset({Kind.EXPIRE}),
}
"""The transfers that an alert may name, if it names one."""

_OF_A_TRANSFER: Final = frozenset(
    {AlertKind.CREDIT_ENDS, AlertKind.TOP_UP, AlertKind.CREDIT_ENDED, AlertKind.HOLD_EXPIRED}
)
"""Those that tell of a transfer itself: each names one, and none is told of twice."""

_AS_OF_TRANSFER: Final = frozenset({*_NAMED_KINDS, AlertKind.USED_UP}) - {AlertKind.CREDIT_ENDS}
"""Those whose balances are the ones after the transfer that they name; others tell of a balance at their own time."""

_AMOUNTS: Final[Mapping[int, str]] = {
    AlertKind.TOP_UP: "amount",
    AlertKind.CREDIT_ENDED: "left",
    AlertKind.HOLD_EXPIRED: "amount",
}
"""By which name facts tell the transfer's own amount."""


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
    told: set[tuple[int, int | None]] = set()
    for alert in alerts:
        number += 1
        if alert.number != number:
            yield f"seq {account.seq}: alert {alert.number} follows alert {number - 1}"
            number = alert.number
        if alert.kind in _OF_A_TRANSFER:
            if alert.transfer_seq is None:
                yield f"seq {account.seq}: alert {alert.number} names no transfer"
            elif (alert.kind, alert.transfer_seq) in told:
                yield f"seq {alert.transfer_seq}: alert {alert.number} tells once more of its transfer"
            told.add((alert.kind, alert.transfer_seq))
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
    kinds = _NAMED_KINDS.get(alert.kind)
    if kinds is not None and transfer.kind not in kinds:
        yield f"{where}: alert {alert.number} names a transfer of another kind than it tells of"
    if alert.kind not in _AS_OF_TRANSFER:
        return
    if alert.posted != transfer.posted_after:
        yield (
            f"{where}: alert {alert.number} tells of {format_amount(alert.posted)}, "
            f"posted after it is {format_amount(transfer.posted_after)}"
        )
    yield from _facts_faults(alert, transfer)


def _facts_faults(alert: Alert, transfer: Transfer) -> Iterator[str]:
    """Compare the facts with the transfer that they are about; an alert of before facts has none."""
    try:
        facts = alert.read_facts
    except ValueError:
        yield f"seq {transfer.seq}: the facts of alert {alert.number} can't be read"
        return
    expected: dict[str, int | None] = {"available": transfer.wallet_after, "held": transfer.held_after}
    amount = _AMOUNTS.get(alert.kind)
    if amount is not None:
        expected[amount] = transfer.amount
    if alert.kind == AlertKind.HOLD_EXPIRED:
        expected["hold"] = transfer.refers_to
    if alert.facts is not None and any(facts.get(name) != value for name, value in expected.items()):
        yield f"seq {transfer.seq}: the facts of alert {alert.number} are not those of the transfer that it names"
