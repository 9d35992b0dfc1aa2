"""The middle of the ASGI middleware: admits requests, and takes what they came to. It knows nothing of HTTP."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, TypeVar

from farebox_client.aio import AsyncFarebox
from farebox_client.errors import FareboxError
from farebox_client.middleware.charge_steps import Steps, extending, giving_back, log, taking
from farebox_client.middleware.charging_rules import (
    FLUSH_SECONDS,
    RETRY_SECONDS,
    RETRY_SECONDS_MAX,
    TAKEN_AT_ONCE,
    ChargingRules,
)
from farebox_client.middleware.owed import Owed
from farebox_client.middleware.request_charge import RequestCharge
from farebox_client.middleware.routes import RoutePrice

T = TypeVar("T")


class Charging(ChargingRules):
    """Admits requests and charges for them, through a client of its own. All middlewares of a process share one."""

    def _connect(self, base_url: str, key: str, give_up_after: float) -> None:
        self.farebox = AsyncFarebox(base_url, key=key, timeout=give_up_after, give_up_after=give_up_after)
        self._endings: set[asyncio.Task[None]] = set()
        self._retrying: asyncio.Task[None] | None = None
        self._has_failed = asyncio.Event()

    async def __aenter__(self) -> "Charging":
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def start(self) -> None:
        """Take over what processes that ended still owe; the first request does it too."""
        if self._retrying is None:
            self.book.open()
            if len(self.book):
                self._has_failed.set()
            self._retrying = asyncio.create_task(self._retry(), name="farebox: what is owed")

    async def aclose(self) -> None:
        """Take what is owed, for some seconds; the rest stays in the spool. Then close every connection."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=FLUSH_SECONDS)
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.wait([self._retrying])
            self._retrying = None
        with contextlib.suppress(FareboxError, asyncio.TimeoutError):
            await asyncio.wait_for(self._take_owed(), FLUSH_SECONDS)
        self.book.close()
        await self.farebox.aclose()

    async def admit(self, method: str, path: str, api_keys: list[str]) -> RequestCharge | None:
        """Let a request through or not.

        Returns:
            Its charge; None if it is free.

        Raises:
            Refused: it may not be served.
        """
        self.start()
        charge = self.begin(method, path, api_keys)
        if charge is not None and charge.price is not None:
            await self.open(charge, charge.price)
        return charge

    async def open(self, charge: RequestCharge, price: RoutePrice) -> None:
        """Hold what a request costs, or have its key checked.

        Raises:
            Refused: it may not be served.
        """
        await self._run(self.opening(charge, price))

    def end(self, charge: RequestCharge) -> "asyncio.Task[None]":
        """Take what a request came to, or give it back: in a task of its own, which no cancellation reaches."""
        task = asyncio.create_task(self._end(charge), name="farebox: the end of a request")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    async def extend(self, charge: RequestCharge) -> float | None:
        """Let a request's hold last longer; tell after which share of its time to do so again, if at all."""
        return await self._run(extending(charge, self.hold_for))

    async def _end(self, charge: RequestCharge) -> None:
        owed = self.owed(charge)
        if owed is None:
            await self._run(giving_back(charge))
            return
        try:
            await self._take(owed)
        except FareboxError as error:
            log.warning("%s is taken later: %s", owed.key, error)
            self.book.keep(owed)
            self._has_failed.set()

    async def _take(self, owed: Owed) -> None:
        self.book.settle(owed.key, await self._run(taking(owed)))

    async def _retry(self) -> None:
        """Try again what could not be taken, whenever there is any."""
        pause = RETRY_SECONDS
        while True:
            await self._has_failed.wait()
            self._has_failed.clear()
            try:
                await self._take_owed()
            except Exception as error:
                log.warning("%s requests are charged later: %s", len(self.book), error)
                self._has_failed.set()
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS_MAX)
            else:
                pause = RETRY_SECONDS

    async def _take_owed(self) -> None:
        """Take what is owed, the oldest first.

        Raises:
            FareboxError: Farebox can't be asked; what is left stays owed.
        """
        while some := self.book.some(TAKEN_AT_ONCE):
            for failure in await asyncio.gather(*map(self._take, some), return_exceptions=True):
                if failure is not None:
                    raise failure

    async def _run(self, steps: Steps[T]) -> T:
        """Ask what steps ask."""
        try:
            call = next(steps)
            while True:
                try:
                    answer: Any = await self.farebox.ask(call)
                except FareboxError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
