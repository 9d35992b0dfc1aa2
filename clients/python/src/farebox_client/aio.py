"""The asynchronous client."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from farebox_client import messages
from farebox_client.answers import Balance, Charge, Hold, OpenHold, Transfer
from farebox_client.asking import as_method, batch_headers, checked_key, request_headers
from farebox_client.batching.aio import AsyncBatcher
from farebox_client.batching.queue import BatchLimits, charge_text
from farebox_client.charge_batches import ChargeBatch, chunks
from farebox_client.errors import FareboxError
from farebox_client.holds import HeldMoney, log_unended
from farebox_client.keys import key_or_new
from farebox_client.messages import BATCH_PATH, Amount, Call, ChargeFields
from farebox_client.metering.meters import AsyncMeter
from farebox_client.metering.spool import RefusedCharge
from farebox_client.metering.spool_thread import MeterLimits, SpoolThread
from farebox_client.retries import Attempts, Retries
from farebox_client.tracing import present_trace
from farebox_client.transport import Answer, BlockingHttpTransport, BlockingTransport, HttpTransport, Transport

P = ParamSpec("P")
T = TypeVar("T")


def _asks(build: Callable[P, Call[T]]) -> "Callable[Concatenate[AsyncFarebox, P], Coroutine[Any, Any, T]]":
    """Make a method that asks what a function of `messages` builds, with the same arguments and words."""

    async def ask(client: "AsyncFarebox", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.ask(build(*args, **kwargs))

    method: Callable[Concatenate[AsyncFarebox, P], Coroutine[Any, Any, T]] = as_method(ask, build)
    return method


class AsyncFarebox:
    """Asks a Farebox server, from asyncio; the blocking client has the same names.

        async with AsyncFarebox("https://farebox.example", key=SERVICE_KEY) as farebox:
            charge = await farebox.charge(merchant=api_key, type="search")

    One client serves all tasks of a loop. Everything it asks has a time-out and is asked again where that helps, under
    the same idempotency key: money moves once or not at all.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str,
        timeout: float = 10.0,
        attempts: int = 6,
        give_up_after: float = 60.0,
        batch: bool | BatchLimits = True,
        transport: Transport | None = None,
    ) -> None:
        """Connect when something is asked.

        Args:
            base_url: Where Farebox is, without `/api`.
            key: The API key of a service, or of a merchant, which reads its own account.
            timeout: How many seconds one attempt may last.
            attempts: How often something is asked at most.
            give_up_after: How many seconds all attempts and the pauses between them may last.
            batch: Whether charges that are made at the same time share requests, and how.
            transport: What carries requests, in place of HTTP to `base_url`.
        """
        self._key = checked_key(key)
        self._retries = Retries(attempts=attempts, timeout=timeout, give_up_after=give_up_after)
        self._transport = HttpTransport(base_url) if transport is None else transport
        self._base_url = base_url
        self._batch_headers = batch_headers(self._key)
        self._batcher = None
        if batch:
            limits = BatchLimits() if batch is True else batch
            self._batcher = AsyncBatcher(self._send_batch, self._retries, limits)
        self._currency: str | None = None
        self._endings: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "AsyncFarebox":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Wait for charges under way, and until the holds of cancelled tasks are released; close every connection."""
        if self._batcher is not None:
            await self._batcher.close(self._retries.timeout)
        while self._endings:
            await asyncio.wait(self._endings)
        await self._transport.close()

    # What a merchant reads.

    account = _asks(messages.account)
    prices = _asks(messages.prices)
    quote = _asks(messages.quote)
    transfer_page = _asks(messages.transfer_page)
    hold_page = _asks(messages.hold_page)

    async def balance(self) -> Balance:
        """Read the available balance of the merchant whose key this is."""
        if self._currency is None:
            account = await self.account()
            # It is fixed for ever.
            self._currency = account.currency
            return Balance(account.available, account.currency)
        return Balance(await self.ask(messages.available()), self._currency)

    async def transfers(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        kind: str | None = None,
        type: str | None = None,
        reference: str | None = None,
    ) -> AsyncIterator[Transfer]:
        """Go over a merchant's statement, newest first, page by page as it is read; arguments as `transfer_page`."""
        cursor = None
        while True:
            page = await self.transfer_page(
                since=since, until=until, kind=kind, type=type, reference=reference, cursor=cursor
            )
            for transfer in page.transfers:
                yield transfer
            if (cursor := page.next_cursor) is None:
                return

    async def holds(self, *, merchant: str | None = None) -> AsyncIterator[OpenHold]:
        """Go over a merchant's open holds, the soonest end first; arguments as `hold_page`."""
        cursor = None
        while True:
            page = await self.hold_page(merchant=merchant, cursor=cursor)
            for hold in page.holds:
                yield hold
            if (cursor := page.next_cursor) is None:
                return

    # What a service moves.

    check_key = _asks(messages.check_key)
    open_hold = _asks(messages.open_hold)
    capture = _asks(messages.capture)
    release = _asks(messages.release)
    extend = _asks(messages.extend)
    refund = _asks(messages.refund)

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
    ) -> Charge:
        """Deduct the cost of a request; arguments as `ChargeFields`.

        Raises:
            FareboxError: it was refused, or nobody knows; `InsufficientBalance`, for example.
        """
        key = key_or_new(key)
        fields = (merchant, type, quantity, quantities, amount, reference, above, requested_at, key)
        if self._batcher is not None:
            return await self._batcher.charge(key, charge_text(*fields))
        return await self.ask(messages.charge(ChargeFields(*fields)))

    async def charge_batch(self, charges: Sequence[ChargeFields]) -> list[Charge | FareboxError]:
        """Deduct the cost of many requests, each on its own: one that is refused leaves the others be.

        It raises nothing that a server says: each charge that was not made has its error in its place of the outcomes,
        which are in the charges' order. Those alone are asked again that may be answered otherwise soon.

        Args:
            charges: The charges, as many as there are: they travel in requests of 10,000 at most.
        """
        outcomes: list[Charge | FareboxError] = []
        for chunk in chunks(charges):
            outcomes += await self._charge_chunk(chunk)
        return outcomes

    async def _charge_chunk(self, charges: Sequence[ChargeFields]) -> list[Charge | FareboxError]:
        batch, attempts = ChargeBatch(charges), Attempts(self._retries)
        while True:
            try:
                reason = batch.take(await self._attempt(batch.call, attempts.timeout))
            except FareboxError as failure:
                reason = batch.take_failure(failure)
            if reason is None or (pause := attempts.pause_or_none(reason)) is None:
                return batch.outcomes
            await asyncio.sleep(pause)

    def meter(
        self,
        folder: Path | str,
        *,
        limits: MeterLimits | None = None,
        when_full: Literal["wait", "raise"] = "wait",
        on_refused: Callable[[RefusedCharge], None] | None = None,
        transport: BlockingTransport | None = None,
    ) -> AsyncMeter:
        """Charge in the background: a charge is accepted once it is on disk, and made as soon as that can be.

            async with farebox.meter("/var/lib/shop/charges") as meter:
                await meter.charge(merchant=api_key, type="search")

        Charges that a killed process accepted are made by the next one that uses the folder. Several may share it.

        Args:
            folder: Where charges wait; for this server and this service alone.
            limits: How much is kept at most.
            when_full: What happens to a charge when as many wait as may: it waits for room, or raises `SpoolFull`.
            on_refused: Is told of each charge that was refused, in a thread of its own, until it returned once.
            transport: What carries requests, in place of HTTP to the base URL.
        """
        spool = SpoolThread(
            Path(folder),
            BlockingHttpTransport(self._base_url) if transport is None else transport,
            self._batch_headers,
            timeout=self._retries.timeout,
            limits=limits,
            when_full=when_full,
            on_refused=on_refused,
        )
        return AsyncMeter(spool)

    def hold(
        self,
        *,
        merchant: str,
        type: str,
        quantity: int | None = None,
        quantities: Mapping[str, int] | None = None,
        amount: Amount | None = None,
        reference: str | None = None,
        requested_at: datetime | None = None,
        ttl: int | None = None,
        key: str | None = None,
    ) -> "AsyncHold":
        """Hold the cost of a request for as long as a block lasts; arguments as `open_hold`.

            async with farebox.hold(merchant=api_key, type="chat", quantities=at_most) as hold:
                used = await generate()
                hold.capture_with(quantities=used)

        The hold is captured if the block succeeds, and released if it raises or is cancelled.
        """
        opening = messages.open_hold(
            merchant=merchant,
            type=type,
            quantity=quantity,
            quantities=quantities,
            amount=amount,
            reference=reference,
            requested_at=requested_at,
            ttl=ttl,
            key=key,
        )
        return AsyncHold(self, opening)

    # How something is asked.

    async def ask(self, call: Call[T]) -> T:
        """Ask something, again where that helps.

        Raises:
            FareboxError: it was refused, or not answered.
        """
        attempts = Attempts(self._retries)
        while True:
            try:
                return await self._attempt(call, attempts.timeout)
            except FareboxError as failure:
                failure.key = call.key
                pause = attempts.pause_after(failure)
            await asyncio.sleep(pause)

    async def _send_batch(self, body: bytes, trace: Mapping[str, str], timeout: float) -> Answer:
        headers = {**self._batch_headers, **trace}
        return await self._transport.send("POST", BATCH_PATH, body, headers, timeout=timeout)

    async def _attempt(self, call: Call[T], timeout: float) -> T:
        headers = {**request_headers(self._key, call), **present_trace()}
        return call.read(await self._transport.send(call.method, call.path, call.content, headers, timeout=timeout))

    def ask_to_the_end(self, call: Call[T]) -> "asyncio.Task[T]":
        """Ask something in a task of its own, which the client's end waits for, whatever becomes of the caller."""
        task = asyncio.ensure_future(self.ask(call))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task


class AsyncHold(HeldMoney):
    """A hold that lasts as long as a block: `async with`."""

    def __init__(self, farebox: AsyncFarebox, opening: Call[Hold]) -> None:
        """Hold what `opening` asks for, once the block is entered."""
        super().__init__()
        self._farebox = farebox
        self._opening = opening

    async def __aenter__(self) -> "AsyncHold":
        self._ensure_new()
        task = self._farebox.ask_to_the_end(self._opening)
        try:
            self._hold = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._release_unused)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._farebox.ask_to_the_end(self._ending(is_success=error is None))
        try:
            self.result = await asyncio.shield(task)
        except asyncio.CancelledError:
            # It goes on by itself; the client's end waits for it.
            task.add_done_callback(_log_failure)
            raise
        except FareboxError as failure:
            if error is None:
                raise
            log_unended(failure)

    def _release_unused(self, made: "asyncio.Task[Hold]") -> None:
        """Release a hold whose task was cancelled while it was made."""
        if not made.cancelled() and made.exception() is None:
            release = self._farebox.ask_to_the_end(messages.release(made.result()))
            release.add_done_callback(_log_failure)


def _log_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and isinstance(failure := task.exception(), FareboxError):
        log_unended(failure)
