"""Metering in the background: a charge is accepted once it is on disk, and made as soon as that can be.

    with farebox.meter("/var/lib/shop/charges") as meter:
        meter.charge(merchant=api_key, type="search")

A process that is killed loses nothing that it accepted: the next one that uses the folder goes on, under the same
idempotency keys. `Meter` is for threads, `AsyncMeter` for tasks.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Final, Literal, TypeVar

from farebox_client.batching.queue import charge_text
from farebox_client.keys import key_or_new
from farebox_client.messages import Amount
from farebox_client.metering.spool import RefusedCharge, Spool
from farebox_client.metering.spool_thread import SpoolThread, Ticket

T = TypeVar("T")

CLOSE_SECONDS: Final = 10.0
"""How long the end of a meter waits for what was accepted to be made."""


class Meter:
    """Accepts charges, and makes them in the background. Threads may share it; a forked process has its own spool."""

    def __init__(self, spool: SpoolThread) -> None:
        """Keep charges in a spool. `Farebox.meter` makes both."""
        self._spool = spool

    def __enter__(self) -> "Meter":
        """Make the spool's file, and go on with what processes before have left."""
        self._spool.ask(_nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def charge(
        self,
        *,
        merchant: str,
        type: str,
        quantity: int | None = None,
        quantities: Mapping[str, int] | None = None,
        amount: Amount | None = None,
        reference: str | None = None,
        above: Literal["refuse", "uncollected"] | None = None,
        requested_at: datetime | None = None,
        key: str | None = None,
    ) -> str:
        """Accept a charge, and return its idempotency key once it is on disk; arguments as `ChargeFields`.

        Raises:
            SpoolFull: as many charges wait as may, and the meter was made to raise then.
            SpoolFailed: it could not be written, and is not accepted.
        """
        key = key_or_new(key)
        text = charge_text(merchant, type, quantity, quantities, amount, reference, above, requested_at, key)
        ticket = Ticket()
        self._spool.accept(key, text, ticket)
        ticket.wait()
        return key

    @property
    def waiting(self) -> int:
        """How many accepted charges wait to be made."""
        return self._spool.waiting_count

    def refused(self) -> list[RefusedCharge]:
        """List the charges that were refused, the first one first, until they are asked again or forgotten."""
        return self._spool.ask(Spool.refused)

    def ask_again(self, keys: Sequence[str] | None = None) -> int:
        """Let refused charges wait again, under the keys they had; return how many there were.

        Args:
            keys: The keys of those that are asked again; all, if left out.
        """
        return self._spool.ask(lambda spool: spool.put_back(_chosen(spool, keys)))

    def forget(self, keys: Sequence[str] | None = None) -> int:
        """Drop refused charges for good; return how many there were.

        Args:
            keys: The keys of those that are dropped; all, if left out.
        """
        return self._spool.ask(lambda spool: spool.forget(_chosen(spool, keys)))

    def flush(self, time_limit: float = CLOSE_SECONDS) -> int:
        """Wait until all that was accepted is made or refused; return how many are not when the time is over.

        Args:
            time_limit: How many seconds it waits at most.
        """
        return self._spool.flush(time_limit)

    def close(self, time_limit: float = CLOSE_SECONDS) -> int:
        """Accept no more, flush, and give the spool up; return how many are left on disk, for the next process.

        Args:
            time_limit: How many seconds it waits at most until all is made.
        """
        return self._spool.close(time_limit)


class AsyncMeter:
    """Accepts charges, and makes them in the background, in threads: they go on whatever becomes of the event loop."""

    def __init__(self, spool: SpoolThread) -> None:
        """Keep charges in a spool. `AsyncFarebox.meter` makes both."""
        self._spool = spool
        self._meter = Meter(spool)

    async def __aenter__(self) -> "AsyncMeter":
        """Make the spool's file, and go on with what processes before have left."""
        await asyncio.to_thread(self._spool.ask, _nothing)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def charge(
        self,
        *,
        merchant: str,
        type: str,
        quantity: int | None = None,
        quantities: Mapping[str, int] | None = None,
        amount: Amount | None = None,
        reference: str | None = None,
        above: Literal["refuse", "uncollected"] | None = None,
        requested_at: datetime | None = None,
        key: str | None = None,
    ) -> str:
        """Accept a charge, as `Meter.charge`. If it is cancelled meanwhile, it may have been accepted or not."""
        key = key_or_new(key)
        text = charge_text(merchant, type, quantity, quantities, amount, reference, above, requested_at, key)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._spool.accept(key, text, Ticket(future))
        return await future

    @property
    def waiting(self) -> int:
        """How many accepted charges wait to be made."""
        return self._meter.waiting

    async def refused(self) -> list[RefusedCharge]:
        """List the charges that were refused, as `Meter.refused`."""
        return await asyncio.to_thread(self._meter.refused)

    async def ask_again(self, keys: Sequence[str] | None = None) -> int:
        """Let refused charges wait again, as `Meter.ask_again`."""
        return await asyncio.to_thread(self._meter.ask_again, keys)

    async def forget(self, keys: Sequence[str] | None = None) -> int:
        """Drop refused charges for good, as `Meter.forget`."""
        return await asyncio.to_thread(self._meter.forget, keys)

    async def flush(self, time_limit: float = CLOSE_SECONDS) -> int:
        """Wait until all that was accepted is made or refused, as `Meter.flush`."""
        return await asyncio.to_thread(self._meter.flush, time_limit)

    async def close(self, time_limit: float = CLOSE_SECONDS) -> int:
        """Accept no more, flush, and give the spool up, as `Meter.close`."""
        return await asyncio.to_thread(self._meter.close, time_limit)


def _nothing(_: Spool) -> None:
    """Ask nothing of a spool but that it is there."""


def _chosen(spool: Spool, keys: Sequence[str] | None) -> Sequence[str]:
    return [each.key for each in spool.refused()] if keys is None else keys
