"""What a story's requests left uncollected, and what is owed of its top-ups, by what clients asked for."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from farebox.core.accounts import Kind
from farebox.core.commands import Charge, ReverseTopUp, TransferCommand
from farebox.core.credit.shortfalls import Above
from farebox.core.outcomes import Outcome
from farebox.core.transfers import Transfer

_UNIT: Final = 1_000_000
_SPENDING: Final = (Kind.CHARGE, Kind.HOLD)


def check_shortfalls(
    asked: Mapping[tuple[int, str], TransferCommand],
    told: Mapping[tuple[int, str], Outcome],
    rows: Mapping[str, list[Any]],
) -> None:
    """See that no part of what was due is forgotten, and that nothing is spent while money is owed."""
    for place, command in asked.items():
        transfer = told[place].transfer
        if transfer is None:
            continue
        due = transfer.amount + (transfer.uncollected or 0)
        if isinstance(command, ReverseTopUp):
            assert command.amount in (None, due), (command, transfer)
            assert transfer.uncollected is None or command.is_owed
        elif isinstance(command, Charge):
            # One image costs one unit of money.
            assert command.request_type != "image" or due == command.quantity * _UNIT
            assert transfer.uncollected is None or command.above is Above.UNCOLLECTED
    owed: Counter[int] = Counter()
    for transfer in rows["transfers"]:
        merchant_id = transfer.merchant_id
        assert not (owed[merchant_id] and transfer.kind in _SPENDING and transfer.amount), transfer
        if transfer.kind == Kind.TOP_UP_REVERSAL:
            owed[merchant_id] += -transfer.amount if _is_payment(transfer) else transfer.uncollected or 0
            assert owed[merchant_id] >= 0
    for account in rows["accounts"]:
        assert account.owed == owed[account.merchant_id]


def count_shortfalls(rows: Mapping[str, list[Any]]) -> Counter[str]:
    """Count what became of what was due and was not there: left uncollected, charged above a hold, owed, paid."""
    seen: Counter[str] = Counter()
    for transfer in rows["transfers"]:
        if transfer.kind == Kind.CHARGE and transfer.refers_to is not None:
            seen["charged above a hold"] += 1
            seen["uncollected above a hold"] += transfer.uncollected is not None
        elif transfer.uncollected is not None:
            seen["uncollected" if transfer.kind == Kind.CHARGE else "owed"] += 1
        seen["paid"] += _is_payment(transfer)
    return +seen


def _is_payment(transfer: Transfer) -> bool:
    return transfer.kind == Kind.TOP_UP_REVERSAL and transfer.idempotency_key.startswith("owed ")
