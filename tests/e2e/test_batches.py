"""Batches of many merchants' charges, sent again and again to a server that is killed in the middle of them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from farebox.bootstrap import Farebox
from farebox.service.operator.verifier import Verifier
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import Client

MERCHANTS: Final = 20
CHARGES: Final = 3_000
"""More than are committed at a time, so that a server that is killed at the first COMMIT is in the middle of them."""
KILLS: Final = 4
IMAGE_MICROS: Final = 10_000


def _batch(merchants: Sequence[Seeds], number: int) -> bytes:
    charges = [
        {"merchant": merchants[place % MERCHANTS].merchant, "type": "image", "idempotencyKey": f"{number}-{place}"}
        for place in range(CHARGES)
    ]
    return json.dumps({"charges": charges}).encode()


async def _answer(client: Client, body: bytes) -> Sequence[Mapping[str, Any]] | None:
    """Send a batch; None if there is no answer, or not all of it."""
    try:
        status, _, answer = await client.send("POST", "/api/charges/batch", body)
    except (OSError, EOFError):
        return None
    assert 200 == status
    outcomes: Sequence[Mapping[str, Any]] = json.loads(answer)["data"]["outcomes"]
    return outcomes


async def _charged(farebox: Farebox) -> int:
    """Count the charges of all books, which begin with a top-up each."""
    ((transfers,),) = await farebox.stores.connector.fetch("SELECT CAST(sum(seq) AS BIGINT) FROM account")
    return int(transfers) - MERCHANTS


async def test_a_batch_that_is_sent_again_after_a_kill_charges_each_once(database_url: str) -> None:
    async with open_farebox(database_url) as farebox:
        merchants = [await seed(farebox) for _ in range(MERCHANTS)]
        with Server(database_url) as server:
            client = Client(server.port, merchants[0].service_key)
            kills = batches = 0
            while kills < KILLS:
                charged = CHARGES * batches
                body = _batch(merchants, batches)
                batches += 1
                sending = asyncio.create_task(_answer(client, body))
                while not sending.done() and await _charged(farebox) == charged:
                    await asyncio.sleep(0)
                server.kill()
                kills += await sending is None
                server.start()
                before = await _charged(farebox) - charged
                while (again := await _answer(client, body)) is None:
                    # The connection was of the server before.
                    pass
                assert {True} == {outcome["isSuccess"] for outcome in again}
                # PostgreSQL may still have been at a COMMIT of the server that is gone.
                assert 0 < before <= sum(outcome["isReplay"] for outcome in again)
                assert CHARGES == len({outcome["data"]["transferId"] for outcome in again})
            await client.close()
        each_charged = batches * CHARGES // MERCHANTS
        for each in merchants:
            account = await farebox.stores.accounts.find(each.merchant_id)
            assert account is not None
            assert (1 + each_charged, 100_000_000 - each_charged * IMAGE_MICROS) == (account.seq, account.wallet)
        assert [] == [fault async for fault in Verifier(farebox.stores.connector).faults(None)]
