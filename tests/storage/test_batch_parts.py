"""Large batches on every engine, committed in as many parts as it commits at a time."""

from typing import Final

from farebox.core.commands import Charge, Payer
from farebox.core.outcomes import Code, Outcome
from farebox.service.ledger.committer import LIMITS, Committer
from farebox.storage.stores import Stores
from tests.storage.engines import every_store
from tests.support.clock import StoppableClock
from tests.support.ledger import ANN, NOW, UNIT, add_merchant, add_price, book, digest, faults

MERCHANTS: Final = range(ANN, ANN + 20)
EACH: Final = 45
PAID_IN: Final = 40
"""Of so many a merchant's 45 charges, one after the other, go through."""


@every_store
async def test_a_large_batch_comes_to_what_its_merchants_charges_come_to_one_by_one(stores: Stores) -> None:
    await add_price(stores, starts_at=0)
    for merchant_id in MERCHANTS:
        await add_merchant(stores, merchant_id, funds=PAID_IN)
    commands = [
        Charge(Payer(merchant_id, digest(merchant_id)), "image", 1, f"k{number}")
        for number in range(EACH)
        for merchant_id in MERCHANTS
    ]
    clock = StoppableClock()
    clock.stopped_at = NOW
    committer = Committer(stores.connector, clock)
    await committer.start()
    first = await committer.submit_all(commands)
    at_once = stores.connector.batches_at_once
    groups = {stores.connector.route(merchant_id) for merchant_id in MERCHANTS}
    assert max(len(groups), min(at_once, len(commands) // LIMITS.part_commands_min)) == committer.batches_count
    again = await committer.submit_all(commands)
    await committer.close()
    for place, (command, outcome, repeated) in enumerate(zip(commands, first, again, strict=True)):
        assert isinstance(outcome, Outcome)
        assert isinstance(repeated, Outcome)
        number = place // len(MERCHANTS)
        assert (Code.OK if number < PAID_IN else Code.INSUFFICIENT_BALANCE) is outcome.code
        assert (outcome.code, outcome.transfer) == (repeated.code, repeated.transfer)
        if outcome.transfer is not None:
            # The first of a book is the money that was paid in.
            told = (outcome.transfer.merchant_id, outcome.transfer.seq, outcome.transfer.wallet_after)
            assert (command.merchant_id, number + 2, (PAID_IN - number - 1) * UNIT) == told
            assert repeated.is_replay
    assert [1 + PAID_IN] * len(MERCHANTS) == [len(await book(stores, merchant_id)) for merchant_id in MERCHANTS]
    assert [] == await faults(stores)
