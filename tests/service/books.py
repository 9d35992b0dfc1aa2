"""Books with a transfer of every kind, on any store, for tests of statements."""

from typing import Final

from farebox.core.accounts import Kind
from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    EndGrant,
    ExpireHold,
    GiveCredit,
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
GRANT_END: Final = NOW + 100 * SECOND
GIVEN_KINDS: Final = frozenset({Kind.GRANT, Kind.GRANT_EXPIRY})


def memory_stores() -> Stores:
    """Make stores that forget everything when they go; a reader of statements asks for no more than they have."""
    return MemoryConnector().stores


async def keep_book(stores: Stores) -> None:
    """Give Ann transfers of every kind that paid money has, from the ninth on four seconds apart.

    Her wallet ends below zero.
    """
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
    assert set(Kind) - GIVEN_KINDS == {transfer.kind for transfer in transfers}


async def keep_given_book(stores: Stores) -> None:
    """Give Ann the same transfers, and then credit: it is charged, held and refunded, some ends, and some waits."""
    await keep_book(stores)
    payer, later = Payer(ANN), NOW + 60 * SECOND
    end = later + 30 * SECOND
    outcomes = await do(
        stores,
        GiveCredit(ANN, 5 * UNIT, "G-1", "welcome", expires_at=end),
        GiveCredit(ANN, 20 * UNIT, "G-2", "sorry", types="call image", priority=2),
        GiveCredit(ANN, UNIT, "G-3", "later", starts_at=end + SECOND),
        Charge(payer, "image", 6, "given"),
        CreateHold(payer, "image", 2, "given hold"),
        now=later,
    )
    outcomes += await do(stores, Refund(ANN, TRANSFERS + 3, "given refund"), EndGrant(ANN, 2, "mistake"), now=end)
    assert {Code.OK} == {outcome.code for outcome in outcomes}, outcomes
    assert set(Kind) == {transfer.kind for transfer in await book(stores)}


async def keep_spent_grants(stores: Stores) -> None:
    """Give Ann credit of four kinds, and take of it in every way: 16 transfers, mostly ten seconds apart.

    The first grant ends at GRANT_END, which posts transfer 12 ahead of the next command.
    """
    await add_merchant(stores, funds=20)
    await add_price(stores)
    await add_price(stores, 2, request_type="scan")
    payer = Payer(ANN)
    commands: list[Command] = [
        GiveCredit(ANN, 5 * UNIT, "ends", "gift", expires_at=GRANT_END),
        GiveCredit(ANN, 5 * UNIT, "stays", "gift"),
        GiveCredit(ANN, 5 * UNIT, "scans", "gift", types="scan"),
        GiveCredit(ANN, 5 * UNIT, "last", "gift", priority=2),
        Charge(payer, "image", 7, "a charge"),
        CreateHold(payer, "image", 25, "a hold"),
        Refund(ANN, 6, "a part", 3 * UNIT),
        CaptureHold(ANN, 7, "a capture", 4 * UNIT),
        TopUp(ANN, UNIT, "more"),
        Charge(payer, "scan", 4, "of two"),
        Refund(ANN, 6, "the rest"),
        EndGrant(ANN, 3, "a mistake"),
    ]
    for number, command in enumerate(commands):
        (outcome,) = await do(stores, command, now=NOW + (number + number // 9) * 10 * SECOND)
        assert outcome.is_ok, outcome
