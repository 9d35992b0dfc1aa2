"""The cost of the first look at a runway in an hour: eight weeks of hours read and learnt from, however many types.

Each merchant asks for every one of its types in every hour, and has as many transfers as a server leaves without being
rolled up. Of many times that were measured the shortest is told, as others share the machine.

    python -m benchmarks.backtest.hours
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from benchmarks import ledgers
from farebox.bootstrap import Farebox
from farebox.core.accounts import Account, Kind
from farebox.core.book import Book
from farebox.core.outcomes import DONE
from farebox.core.state import BatchState, Decision, ReadSet
from farebox.service.insight.burn_model import DAY, HOUR
from farebox.service.insight.forecast import read_forecast
from farebox.service.insight.usage import ROLLUP_TRANSFERS_MIN
from farebox.storage.interface import Fetch
from tests.support.ledger import add_merchant

TYPES: Final = (1, 50, 2_000)
HISTORY_DAYS: Final = 56
TIMES: Final = 30
NOW: Final = 1_800_000_000_000_000
_FUNDS: Final = 1_000_000_000
_PRICE: Final = 1_000
_DAY_HOURS: Final = DAY // HOUR

_FILL: Final = """
WITH RECURSIVE hours (hour) AS (SELECT {first} UNION ALL SELECT hour + 1 FROM hours WHERE hour < {last}),
    types (type) AS (SELECT 0 UNION ALL SELECT type + 1 FROM types WHERE type + 1 < {types})
INSERT INTO usage_quarter (merchant_id, quarter, request_type, requests, cost, refunded)
SELECT {merchant}, 4 * hour + type % 4, 'type ' || type, 3, 3000 + hour % 24 * 100, 0 FROM hours CROSS JOIN types
"""

_SUM: Final = """
INSERT INTO usage_hour (merchant_id, hour, spent)
SELECT merchant_id, quarter / 4, sum(cost - refunded) FROM usage_quarter WHERE merchant_id = {merchant} GROUP BY 1, 2
"""


class Cost(Struct, frozen=True):
    """What a look cost, in milliseconds: to read the hours, and to read and learn from them."""

    engine: str
    types: int
    read_ms: float
    look_ms: float


async def measure(engine: ledgers.Engine, types: Sequence[int]) -> Sequence[Cost]:
    """Have a merchant for each number of types, and look at each one's runway."""
    found = []
    async with ledgers.opened(engine.create(), clock=ledgers.StoppedClock(NOW)) as farebox:
        for merchant_id, count in enumerate(types, 1):
            account = await _with_history(farebox, merchant_id, count)
            hours = {"first_hour": (NOW - 84 * DAY) // HOUR, "last_hour": NOW // HOUR}
            read = await _shortest(lambda: farebox.stores.usage.spent_by_hour(account.merchant_id, **hours))  # noqa: B023
            look = await _shortest(lambda: read_forecast(farebox.stores, account, NOW))  # noqa: B023
            found.append(Cost(engine.name, count, read, look))
    return found


async def _with_history(farebox: Farebox, merchant_id: int, types: int) -> Account:
    """Add a merchant with its past, and with transfers that wait to be rolled up."""
    stores = farebox.stores
    await add_merchant(stores, merchant_id, funds=_FUNDS)

    async def fill(fetch: Fetch) -> None:
        # A day at a time, as a statement has only so long.
        for hour in range((NOW - HISTORY_DAYS * DAY) // HOUR, NOW // HOUR, _DAY_HOURS):
            await fetch(_FILL.format(merchant=merchant_id, types=types, first=hour, last=hour + _DAY_HOURS - 1))
        await fetch(_SUM.format(merchant=merchant_id))

    await stores.connector.run_in_transaction(fill)

    def spend(state: BatchState) -> Decision:
        book = Book(state.accounts[merchant_id])
        transfers = [
            book.post(
                Kind.CHARGE,
                _PRICE,
                NOW,
                idempotency_key=f"key {number}",
                fingerprint=bytes(8),
                request_type=f"type {number % types}",
                quantity=1,
            )
            for number in range(ROLLUP_TRANSFERS_MIN - 2)
        ]
        return Decision([DONE], accounts=[book.account()], transfers=transfers)

    await stores.connector.transact(ReadSet(NOW, [merchant_id]), spend)
    account = await stores.accounts.find(merchant_id)
    if account is None:
        raise LookupError(merchant_id)
    return account


async def _shortest(look: Callable[[], Awaitable[Any]]) -> float:
    """Look many times, and tell how many milliseconds the shortest took."""
    shortest = float("inf")
    for _ in range(TIMES):
        started = time.perf_counter()
        await look()
        shortest = min(shortest, time.perf_counter() - started)
    return 1_000 * shortest


def table(costs: Sequence[Cost]) -> Iterator[str]:
    """Write what looks cost as a table in Markdown."""
    yield "| engine | types | read, ms | read and learnt, ms |"
    yield "| --- | --- | --- | --- |"
    for cost in costs:
        yield f"| {cost.engine} | {cost.types:,} | {cost.read_ms:.2f} | {cost.look_ms:.2f} |"


def main() -> None:
    """Measure both engines and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--types", type=int, nargs="+", default=TYPES, help="how many types each merchant has")
    types = parser.parse_args().types
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ledgers.ENGINES:
            with ledgers.engine(name, Path(folder)) as engine:
                costs += asyncio.run(measure(engine, types))
    print("\n".join(table(costs)))


if __name__ == "__main__":
    main()
