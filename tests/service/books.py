"""Books with a transfer of every kind, on any store, for tests of statements."""

from typing import Final

from farebox.core.accounts import Kind
from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetCreditLimit,
    TopUp,
)
from farebox.core.outcomes import Code
from farebox.storage.stores import Stores
from tests.support.ledger import ANN, NOW, SECOND, UNIT, add_merchant, add_price, book, do
from tests.support.memory import MemoryConnector

TRANSFERS: Final = 15


def memory_stores() -> Stores:
    """Make stores that forget everything when they go; a reader of statements asks for no more than they have."""
    return MemoryConnector().stores


async def keep_book(stores: Stores) -> None:
    """Give Ann transfers of every kind, from the ninth on four seconds apart; her wallet ends below zero."""
    await add_merchant(stores)
    await add_price(stores)
    payer = Payer(ANN)
    outcomes = await do(
        stores,
        TopUp(ANN, 100 * UNIT, "=SUM(A1)", 'Grüße, "x"'),
        Charge(payer, "image", 10, "charge", reference="R-1"),
        CreateHold(payer, "image", 9, "first"),
        # The rest of the hold is released as transfer 5.
        CaptureHold(ANN, 3, "capture", 4 * UNIT, "R-2"),
        CreateHold(payer, "image", 5, "second"),
        ReleaseHold(ANN, 6, "release", "R-3"),
        CreateHold(payer, "image", 6, "third", ttl_seconds=1),
    )
    later: list[Command] = [
        ExpireHold(ANN, 8),
        Refund(ANN, 2, "refund", 3_000_001, "R-4", "Sorry"),
        ReverseTopUp(ANN, 1, "R-5", "bounced", 20 * UNIT),
        Adjust(ANN, 2 * UNIT, True, "R-6", "-mistake"),
        Adjust(ANN, UNIT, False, "R-7", "mistake"),
        CreateHold(payer, "image", 7, "still open"),
        SetCreditLimit(ANN, 100 * UNIT),
        Charge(payer, "image", 100, "last"),
    ]
    for number, command in enumerate(later):
        outcomes += await do(stores, command, now=NOW + (2 + 4 * number) * SECOND)
    assert {Code.OK} == {outcome.code for outcome in outcomes}, outcomes
    transfers = await book(stores)
    assert TRANSFERS == len(transfers)
    assert set(Kind) == {transfer.kind for transfer in transfers}
