"""The dispatcher of one channel's messages to destinations: in order, lane by lane, and none held up by another's.

docs/decisions/0034-webhooks.md has the reasons.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.alerts.delivery_loop import MICROS_PER_SECOND, POLL_SECONDS, DeliveryLoop
from farebox.core import ids
from farebox.core.alerts import EVENT_TYPES
from farebox.service.clock import Clock
from farebox.storage.destination_records import Destination, DestinationState
from farebox.storage.messages.queue import (
    DISABLED,
    HELD_ATTEMPTS_MAX,
    AttemptResult,
    DestinationHealth,
    Key,
    MessageQueueStore,
    OwedMessage,
)
from farebox.storage.records import Delivery, DeliveryState
from farebox.webhooks.send_result import SendResult
from farebox.webhooks.transport import MessageTransport

CONNECTIONS_MAX: Final = 100
"""How many messages of one process are on their way at once."""

SLOW_CONNECTIONS_MAX: Final = 50
"""How many of them may be to destinations that fail or are slow: they leave the other half to all others."""

DESTINATION_CONNECTIONS_MAX: Final = 4
"""How many of them may be to one destination: the operator's has a lane for each merchant."""

SLOW_SECONDS: Final = 2.0
"""A destination whose last answer took longer is slow."""

SLOW_KNOWN_MAX: Final = 10_000
"""How many slow destinations a process remembers."""

LEASE_SECONDS: Final = 60
"""Longer than an attempt by enough to write a result down while the database comes back. A process that is killed holds
the lanes of what it had claimed for so long."""

BACKOFF_SECONDS: Final = (10, 30, 90, 240, 600, 1_200, 1_500)
"""How long to wait after each of the first failed attempts, an hour in all; from then on, an hour each."""

BACKOFF_SECONDS_MAX: Final = 3_600
JITTER: Final = 0.1
"""By which part of it a wait is longer or shorter, by chance: what failed together is not tried together again."""

ATTEMPTS_MAX: Final = HELD_ATTEMPTS_MAX + 71
"""Three days: then a delivery is given up."""

DISABLED_AFTER_SECONDS: Final = 3 * 86_400
"""A destination to which nothing has come through for so long is disabled."""

FAILURES_MAX: Final = 3
"""After so many failures of its server in a row a destination is paused: one message tries it when the pause ends."""

PAUSE_SECONDS_MIN: Final = 30
PAUSE_SECONDS_MAX: Final = 300
"""A pause is twice as long as the one before, up to here."""

_PAUSE_DOUBLINGS_MAX: Final = 10
_ERROR_CHARS_MAX: Final = 500

_log = logging.getLogger("farebox.webhooks")


class DeliveryTimes(Struct, frozen=True):
    """How long waits are; tests have shorter ones."""

    backoff_seconds: Sequence[float] = BACKOFF_SECONDS
    backoff_seconds_max: float = BACKOFF_SECONDS_MAX
    pause_seconds_min: float = PAUSE_SECONDS_MIN
    pause_seconds_max: float = PAUSE_SECONDS_MAX
    lease_seconds: int = LEASE_SECONDS
    disabled_after_seconds: float = DISABLED_AFTER_SECONDS

    def backoff(self, attempts: int, chance: float) -> float:
        """Tell how long to wait after this many failed attempts; `chance` is from 0 to 1."""
        steps = self.backoff_seconds
        seconds = steps[attempts - 1] if attempts <= len(steps) else self.backoff_seconds_max
        return seconds * (1 + JITTER * (2 * chance - 1))

    def pause(self, failures: int) -> float:
        """Tell how long a destination is left alone after this many failures of its server in a row."""
        if failures < FAILURES_MAX:
            return 0
        return min(
            self.pause_seconds_min * (1 << min(failures - FAILURES_MAX, _PAUSE_DOUBLINGS_MAX)), self.pause_seconds_max
        )


class OutgoingMessage(Struct, frozen=True):
    """A message that was claimed, and once it was tried, what came of it."""

    message: OwedMessage
    attempt: AttemptResult | None = None
    health: DestinationHealth | None = None
    disabled_for: str | None = None
    """Why the destination is to be disabled; None if it is not."""


class DestinationDispatcher(DeliveryLoop[OutgoingMessage]):
    """Sends the messages of one channel."""

    def __init__(
        self,
        queue: MessageQueueStore,
        transport: MessageTransport,
        clock: Clock,
        *,
        channel: int,
        times: DeliveryTimes | None = None,
        chance: Callable[[], float] = random.random,
        connections_max: int = CONNECTIONS_MAX,
        poll_seconds: float = POLL_SECONDS,
        on_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Prepare.

        Args:
            queue: what is owed.
            transport: takes each message to its destination.
            clock: tells the time.
            channel: whose messages these are.
            times: how long waits are; those of this module, if None.
            chance: draws a number from 0 to 1.
            connections_max: how many messages are on their way at once.
            poll_seconds: how often to look for what is due.
            on_stop: called once nothing is on its way any more.
        """
        self._on_stop = on_stop
        self._times = times or DeliveryTimes()
        super().__init__(clock, lease_seconds=self._times.lease_seconds, poll_seconds=poll_seconds)
        self._queue = queue
        self._transport = transport
        self._channel = channel
        self._chance = chance
        self._free = asyncio.Semaphore(connections_max)
        self._slow_max = max(1, connections_max * SLOW_CONNECTIONS_MAX // CONNECTIONS_MAX)
        self._in_flight: Counter[int] = Counter()
        self._slow: dict[int, None] = {}
        self._last_destination_id = -1

    async def start_due(self) -> float:
        """Start what is due; as soon as a message is through, the next of its lane follows."""
        while True:
            while await self._start():
                pass
            if not self._sending:
                return self._poll_seconds
            await asyncio.wait(self._sending, timeout=self._poll_seconds, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            if self._on_stop is not None:
                await self._on_stop()

    async def _seconds_until_due(self) -> float:
        # A claim reads before it writes.
        return 0

    async def _acquire(self, limit: int) -> int:
        await self._free.acquire()
        count = 1
        while count < limit and not self._free.locked():
            await self._free.acquire()
            count += 1
        return count

    def _release(self, count: int = 1) -> None:
        for _ in range(count):
            self._free.release()

    async def _claim(self, now: int, *, lease_until: int, limit: int) -> Sequence[OutgoingMessage]:
        """Take the first of each lane that is due, destinations in turn; then those that are late."""
        chosen: list[Key] = []
        taken: Counter[int] = Counter()
        start = after = self._last_destination_id
        is_second_lap = start < 0
        while len(chosen) < limit:
            heads = await self._queue.heads(self._channel, now, after=after, limit=limit)
            if is_second_lap:
                heads = [key for key in heads if start < 0 or key[3] <= start]
            chosen += self._with_room(heads, taken, limit - len(chosen))
            if heads:
                after = heads[-1][3]
            elif is_second_lap:
                break
            else:
                after, is_second_lap = -1, True
        if len(chosen) < limit:
            late = await self._queue.late(self._channel, now, limit=limit)
            chosen += self._with_room(late, taken, limit - len(chosen))
        if chosen:
            self._last_destination_id = chosen[-1][3]
        leased = await self._queue.lease(chosen, now, until=lease_until)
        self._in_flight.update(message.delivery.recipient_id for message in leased)
        return [OutgoingMessage(message) for message in leased]

    def _with_room(self, keys: Sequence[Key], taken: Counter[int], limit: int) -> list[Key]:
        """Choose those to whose destinations another connection may be made; `taken` counts those that are chosen."""
        chosen: list[Key] = []
        for key in keys:
            destination_id = key[3]
            in_use = self._in_flight[destination_id] + taken[destination_id]
            if len(chosen) == limit or in_use >= DESTINATION_CONNECTIONS_MAX:
                continue
            if destination_id in self._slow:
                in_all = self._in_flight + taken
                if in_use or sum(count for slow, count in in_all.items() if slow in self._slow) >= self._slow_max:
                    continue
            taken[destination_id] += 1
            chosen.append(key)
        return chosen

    def _ended(self, item: OutgoingMessage) -> None:
        destination_id = item.message.delivery.recipient_id
        self._in_flight[destination_id] -= 1
        if not self._in_flight[destination_id]:
            del self._in_flight[destination_id]

    async def _attempt(self, item: OutgoingMessage) -> OutgoingMessage:
        message, began_at = item.message, self._clock.now()
        destination = message.destination
        if destination is not None and destination.state == DestinationState.DISABLED:
            # Another message was the last straw while this one was taken up: it is given up with those that wait.
            delivery = replace(message.delivery, state=DeliveryState.GIVEN_UP, last_error=DISABLED)
            return OutgoingMessage(OwedMessage(delivery, destination))
        if destination is None or destination.state != DestinationState.ON:
            reason = "the destination was deleted" if destination is None else "the destination was turned off"
            _log.info("%s is withdrawn: %s", self._name(item), reason)
            delivery = replace(message.delivery, state=DeliveryState.WITHDRAWN, last_error=reason)
            return OutgoingMessage(OwedMessage(delivery, destination))
        try:
            answer = await self._transport.send(message, destination, began_at)
        except Exception as error:
            _log.exception("%s failed in a way nobody foresaw", self._name(item))
            answer = SendResult(None, f"{type(error).__name__}: {error}", 0)
        return self._judged(message, destination, answer, began_at)

    def _judged(
        self, message: OwedMessage, destination: Destination, answer: SendResult, began_at: int
    ) -> OutgoingMessage:
        """Say what is to be written down of an answer."""
        self._note_slowness(destination.destination_id, answer)
        attempt = AttemptResult(began_at, answer.took, answer.status, answer.text)
        now = self._clock.now()
        if answer.is_delivered:
            _log.info("%s was taken", self._name(OutgoingMessage(message)))
            delivery = replace(message.delivery, state=DeliveryState.SENT, sent_at=now, last_error=None)
            is_back = destination.failures >= FAILURES_MAX
            return OutgoingMessage(
                OwedMessage(delivery, destination), attempt, DestinationHealth(is_good=True, is_back=is_back)
            )
        failures = destination.failures + 1 if answer.is_of_server else 0
        pause = max(self._times.pause(failures), answer.retry_after_seconds or 0)
        paused_until = now + round(pause * MICROS_PER_SECOND) if pause else 0
        return OutgoingMessage(
            OwedMessage(self._failed(message, answer, now, paused_until), destination),
            attempt,
            DestinationHealth(is_good=False, failures=failures, paused_until=paused_until),
            self._reason_to_disable(destination, answer, now),
        )

    def _failed(self, message: OwedMessage, answer: SendResult, now: int, paused_until: int) -> Delivery:
        delivery = message.delivery
        is_over = delivery.attempts >= ATTEMPTS_MAX
        wait = self._times.backoff(delivery.attempts, self._chance())
        name = self._name(OutgoingMessage(message))
        if is_over:
            _log.error("%s is given up after attempt %d: %s", name, delivery.attempts, answer.words)
        else:
            _log.warning("%s waits %d seconds, not taken: %s", name, wait, answer.words)
        return replace(
            delivery,
            state=DeliveryState.GIVEN_UP if is_over else DeliveryState.WAITING,
            next_attempt_at=max(now + round(wait * MICROS_PER_SECOND), paused_until),
            last_error=answer.words[:_ERROR_CHARS_MAX],
        )

    def _reason_to_disable(self, destination: Destination, answer: SendResult, now: int) -> str | None:
        since = now if destination.failing_since is None else destination.failing_since
        is_over = now - since >= self._times.disabled_after_seconds * MICROS_PER_SECOND
        if not answer.is_gone and not is_over:
            return None
        return answer.words[:_ERROR_CHARS_MAX]

    def _note_slowness(self, destination_id: int, answer: SendResult) -> None:
        is_slow = not answer.is_delivered or answer.took > SLOW_SECONDS * MICROS_PER_SECOND
        if not is_slow:
            self._slow.pop(destination_id, None)
            return
        self._slow[destination_id] = None
        if len(self._slow) > SLOW_KNOWN_MAX:
            del self._slow[next(iter(self._slow))]

    async def _settle(self, item: OutgoingMessage) -> None:
        now = self._clock.now()
        hurry = now + self._lease_seconds * MICROS_PER_SECOND
        await self._queue.settle(item.message.delivery, item.attempt, item.health, now=now, hurry=hurry)
        destination = item.message.destination
        if item.disabled_for is None or destination is None:
            return
        if await self._queue.disable(destination, item.disabled_for, now):
            _log.error("destination %s is disabled: %s", destination.id, item.disabled_for)

    def _given_back(self, item: OutgoingMessage) -> OutgoingMessage:
        reason = "the server was stopped while this message was on its way"
        delivery = item.message.delivery
        given_back = replace(
            delivery, attempts=delivery.attempts - 1, next_attempt_at=self._clock.now(), last_error=reason
        )
        return OutgoingMessage(OwedMessage(given_back, item.message.destination))

    def _name(self, item: OutgoingMessage) -> str:
        alert = item.message.delivery.alert
        destination_id = ids.public_id(ids.DESTINATION, item.message.delivery.recipient_id)
        return f"{EVENT_TYPES[alert.kind]} {alert.id} to {destination_id}"
