"""TigerBeetle's Python client at work: it runs as `python -m benchmarks.tigerbeetle_client` with an order in JSON.

An order to put load tells what the load generator does: the lines "started" and "ended" as the measured time begins and
ends, then a Report. The others are answered by one number: how many accounts were made, what all of them were debited.
"""

import gc
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

import msgspec
import tigerbeetle
import uvloop

from benchmarks.callers import Callers
from benchmarks.load import Report, tell
from benchmarks.tigerbeetle_orders import Fill, Load, Order, Sum
from farebox.core.money import format_amount

_EVENTS_MAX: Final = 8_000
"""How many events are asked for in one message; a server takes 8,189 of them."""

_LEDGER: Final = 1
_FUNDING_CODE: Final = 1
_RANDOM_BITS: Final = 127
_CREATED: Final = tigerbeetle.CreateTransferStatus.CREATED


class Refused(Exception):
    """The server did not take what must go through."""


class _TransferCallers(Callers):
    def __init__(self, order: Load, client: "tigerbeetle.ClientAsync") -> None:
        super().__init__(order.sequence, batch=order.batch)
        self._order = order
        self._client = client
        self._costs = {micros: format_amount(micros) for _, micros, _ in order.charges}
        self._random = Random()

    async def charge_once(self) -> bool:
        transfers = [self._next() for _ in range(self._order.batch)]
        results = await self._client.create_transfers(transfers)
        refused = Counter(result.status.name for result in results if result.status != _CREATED)
        self.answers.update(refused or ("200",))
        created = (each for each, result in zip(transfers, results, strict=True) if result.status == _CREATED)
        self.costs.update([self._costs[transfer.amount] for transfer in created])
        return not refused

    def _next(self) -> "tigerbeetle.Transfer":
        merchant, micros, code = self._order.charges[self.next_place()]
        return tigerbeetle.Transfer(
            # 0 is no id.
            id=self._random.getrandbits(_RANDOM_BITS) or 1 if self._order.has_random_ids else tigerbeetle.id(),
            debit_account_id=_merchant_account(merchant),
            credit_account_id=_operator_account(merchant),
            amount=micros,
            ledger=_LEDGER,
            code=code,
        )


def _merchant_account(merchant: int) -> int:
    return merchant * 2


def _operator_account(merchant: int) -> int:
    """The other side of a merchant's charges, which no other merchant shares, as a book of Farebox's has it."""
    return merchant * 2 + 1


def _fill(order: Fill) -> int:
    with tigerbeetle.ClientSync(cluster_id=0, replica_addresses=order.address) as client:
        for numbers in _slices(order.merchants, _EVENTS_MAX // 2):
            accounts = [
                tigerbeetle.Account(id=number, ledger=_LEDGER, code=_FUNDING_CODE, flags=flags)
                for merchant in numbers
                for number, flags in (
                    (_merchant_account(merchant), tigerbeetle.AccountFlags.DEBITS_MUST_NOT_EXCEED_CREDITS),
                    (_operator_account(merchant), tigerbeetle.AccountFlags.NONE),
                )
            ]
            _expect_created(client.create_accounts(accounts))
            _expect_created(
                client.create_transfers(
                    [
                        tigerbeetle.Transfer(
                            id=tigerbeetle.id(),
                            debit_account_id=_operator_account(merchant),
                            credit_account_id=_merchant_account(merchant),
                            amount=order.micros,
                            ledger=_LEDGER,
                            code=_FUNDING_CODE,
                        )
                        for merchant in numbers
                    ]
                )
            )
    return order.merchants * 2


def _expect_created(
    results: "Sequence[tigerbeetle.CreateAccountResult] | Sequence[tigerbeetle.CreateTransferResult]",
) -> None:
    if refused := Counter(result.status.name for result in results if result.status.name != _CREATED.name):
        raise Refused(f"of {len(results)} events these were not created: {dict(refused)}")


def _sum(order: Sum) -> int:
    with tigerbeetle.ClientSync(cluster_id=0, replica_addresses=order.address) as client:
        return sum(
            account.debits_posted
            for numbers in _slices(order.merchants, _EVENTS_MAX)
            for account in client.lookup_accounts([_merchant_account(merchant) for merchant in numbers])
        )


def _slices(merchants: int, length: int) -> Iterator[range]:
    for first in range(1, merchants + 1, length):
        yield range(first, min(first + length, merchants + 1))


async def _load(order: Load) -> Report:
    async with tigerbeetle.ClientAsync(cluster_id=0, replica_addresses=order.address) as client:
        # A client's first request waits for its session, which can take longer than a warm-up.
        await client.lookup_accounts([_merchant_account(1)])
        callers = _TransferCallers(order, client)
        return await callers.charge(order.callers, warm_up_seconds=order.warm_up_seconds, seconds=order.seconds)


def main() -> None:
    """Read an order, carry it out, and tell what came of it."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    gc.collect()
    gc.freeze()
    if isinstance(order, Load):
        tell(msgspec.json.encode(uvloop.run(_load(order))).decode())
    else:
        tell(str(_fill(order) if isinstance(order, Fill) else _sum(order)))


if __name__ == "__main__":
    main()
