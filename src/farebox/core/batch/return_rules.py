"""The rules of giving back: what may be refunded or reversed, and how much of it."""

from typing import Final

from farebox.core.accounts import KIND_NAMES, RETURNABLE_KINDS
from farebox.core.commands import Refund, ReverseTopUp
from farebox.core.currencies import format_money_with_code
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.state import Original

TRANSFER_NOT_FOUND: Final = refused(Code.TRANSFER_NOT_FOUND, "The merchant has no such transfer")


def return_refusal(original: Original | None, command: Refund | ReverseTopUp, currency: str) -> Outcome | None:
    """Tell why a transfer can't be given back as asked for, or None if the command may give it back."""
    if original is None:
        return TRANSFER_NOT_FOUND
    is_refund = isinstance(command, Refund)
    if original.transfer.kind not in RETURNABLE_KINDS[command.kind]:
        name = KIND_NAMES[original.transfer.kind]
        what = f"{'An' if name[0] in 'ae' else 'A'} {name}"
        return (
            refused(Code.TRANSFER_NOT_REFUNDABLE, f"{what} can't be refunded; a charge or capture can")
            if is_refund
            else refused(Code.TRANSFER_NOT_REVERSIBLE, f"{what} can't be reversed; a top-up can")
        )
    left = original.transfer.amount - original.returned
    if left == 0 or amount_to_return(original, command) > left:
        return refused(
            Code.REFUND_EXCEEDS_TRANSFER if is_refund else Code.REVERSAL_EXCEEDS_TOP_UP,
            f"Only {format_money_with_code(left, currency)} of {original.transfer.id} is left to give back",
        )
    return None


def amount_to_return(original: Original, command: Refund | ReverseTopUp) -> int:
    """Tell how much a command gives back, in micros: what it names, or all that is left."""
    return original.transfer.amount - original.returned if command.amount is None else command.amount
