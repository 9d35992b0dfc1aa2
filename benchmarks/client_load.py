"""Callers of one process that charge through the Python client, as a service has them; each has one charge at a time.

It runs as `python -m benchmarks.client_load` with a ClientOrder on its standard input, and tells as the load generator
does: the lines "started" and "ended" as the measured time begins and ends, then a Report.
"""

import gc
import sys

import msgspec
import uvloop
from msgspec import Struct

from benchmarks.callers import Callers
from benchmarks.load import Report, tell
from farebox_client import AsyncFarebox, FareboxError


class ClientOrder(Struct):
    """What to charge, for how long, by how many callers; `requests` are payers and types, taken by `sequence`."""

    port: int
    seconds: float
    warm_up_seconds: float
    callers: int
    service_key: str
    requests: list[tuple[str, str]]
    sequence: list[int]
    is_batching: bool


class _ClientCallers(Callers):
    def __init__(self, order: ClientOrder, farebox: AsyncFarebox) -> None:
        super().__init__(order.sequence)
        self._requests = order.requests
        self._farebox = farebox

    async def charge_once(self) -> bool:
        merchant, kind = self._requests[self.next_place()]
        try:
            charge = await self._farebox.charge(merchant=merchant, type=kind, quantity=1)
        except FareboxError as error:
            self.answers[str(error.status)] += 1
            return False
        self.answers["200"] += 1
        self.costs[format(charge.cost, "f")] += 1
        return True


async def _generate(order: ClientOrder) -> Report:
    address = f"http://127.0.0.1:{order.port}"
    async with AsyncFarebox(address, key=order.service_key, batch=order.is_batching) as farebox:
        callers = _ClientCallers(order, farebox)
        return await callers.charge(order.callers, warm_up_seconds=order.warm_up_seconds, seconds=order.seconds)


def main() -> None:
    """Read a ClientOrder, carry it out, and write the Report."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=ClientOrder)
    gc.collect()
    gc.freeze()
    tell(msgspec.json.encode(uvloop.run(_generate(order))).decode())


if __name__ == "__main__":
    main()
