"""The middle of the WSGI middleware: admits requests, and takes what they came to, in the threads of a server."""

import atexit
import heapq
import threading
import time
from types import TracebackType
from typing import Any, TypeVar

from farebox_client.blocking import Farebox
from farebox_client.errors import FareboxError
from farebox_client.middleware.charge_steps import FIRST_EXTENSION, Steps, extending, giving_back, log, taking
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


class BlockingCharging(ChargingRules):
    """Admits requests and charges for them, through a client of its own. All threads of a process share one."""

    def _connect(self, base_url: str, key: str, give_up_after: float) -> None:
        self.farebox = Farebox(base_url, key=key, timeout=give_up_after, give_up_after=give_up_after)
        self._lock = threading.Condition()
        self._extensions: list[tuple[float, int, RequestCharge]] = []
        self._running: set[int] = set()
        self._is_closed = False
        self._retry_at: float | None = None
        self._pause = RETRY_SECONDS
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "BlockingCharging":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Take over what processes that ended still owe; the first request does it too.

        It must come after a server forks its workers, so it is not done as the application is loaded.
        """
        with self._lock:
            if self._thread is not None:
                return
            self._is_closed = False
            self.book.open()
            if len(self.book):
                self._retry_at = time.monotonic()
            thread = threading.Thread(target=self._work, name="farebox", daemon=True)
            thread.start()
            self._thread = thread
            # A WSGI application is not told that its process ends.
            atexit.register(self.close)

    def close(self) -> None:
        """Take what is owed, for some seconds; the rest stays in the spool. Then close every connection."""
        atexit.unregister(self.close)
        with self._lock:
            self._is_closed = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(FLUSH_SECONDS)
            self._thread = None
        ends_at = time.monotonic() + FLUSH_SECONDS
        try:
            self._take_owed(ends_at)
        except FareboxError as error:
            log.warning("%s requests are not charged yet: %s", len(self.book), error)
        self.book.close()
        self.farebox.close()

    def admit(self, method: str, path: str, api_keys: list[str]) -> RequestCharge | None:
        """Let a request through or not.

        Returns:
            Its charge; None if it is free.

        Raises:
            Refused: it may not be served.
        """
        self.start()
        charge = self.begin(method, path, api_keys)
        if charge is not None and charge.price is not None:
            self.open(charge, charge.price)
        return charge

    def open(self, charge: RequestCharge, price: RoutePrice) -> None:
        """Hold what a request costs, or have its key checked.

        Raises:
            Refused: it may not be served.
        """
        self._run(self.opening(charge, price))
        if charge.hold is not None:
            self._extend_after(FIRST_EXTENSION, charge)

    def end(self, charge: RequestCharge) -> None:
        """Take what a request came to, or give it back."""
        with self._lock:
            self._running.discard(id(charge))
        owed = self.owed(charge)
        if owed is None:
            self._run(giving_back(charge))
            return
        try:
            self._take(owed)
        except FareboxError as error:
            log.warning("%s is taken later: %s", owed.key, error)
            self.book.keep(owed)
            with self._lock:
                if self._retry_at is None:
                    self._retry_at = time.monotonic() + self._pause
                    self._lock.notify()

    def _take(self, owed: Owed) -> None:
        self.book.settle(owed.key, self._run(taking(owed)))

    # Done by one thread beside the requests

    def _extend_after(self, share: float, charge: RequestCharge) -> None:
        with self._lock:
            self._running.add(id(charge))
            heapq.heappush(self._extensions, (time.monotonic() + share * self.hold_for, id(charge), charge))
            if self._extensions[0][2] is charge:
                self._lock.notify()

    def _work(self) -> None:
        """Let holds of requests that run last longer, and try again what could not be taken."""
        while True:
            with self._lock:
                if self._is_closed:
                    return
                now = time.monotonic()
                charge = self._due_extension(now)
                is_retry = charge is None and self._retry_at is not None and self._retry_at <= now
                if charge is None and not is_retry:
                    self._lock.wait(self._next_in(now))
                    continue
            if charge is not None:
                self._extend(charge)
            else:
                self._retry()

    def _due_extension(self, now: float) -> RequestCharge | None:
        """Find a request that runs and whose hold is to last longer; those that have ended are dropped on the way."""
        while self._extensions and (self._extensions[0][0] <= now or self._extensions[0][1] not in self._running):
            _, number, charge = heapq.heappop(self._extensions)
            if number in self._running:
                return charge
        return None

    def _next_in(self, now: float) -> float | None:
        times = [each for each in (self._retry_at, self._extensions[0][0] if self._extensions else None) if each]
        return max(0.0, min(times) - now) if times else None

    def _extend(self, charge: RequestCharge) -> None:
        share = self._run(extending(charge, self.hold_for))
        if share is not None and id(charge) in self._running:
            self._extend_after(share, charge)

    def _retry(self) -> None:
        try:
            self._take_owed(None)
        except Exception as error:
            log.warning("%s requests are charged later: %s", len(self.book), error)
            with self._lock:
                self._retry_at = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, RETRY_SECONDS_MAX)
        else:
            with self._lock:
                self._retry_at, self._pause = None, RETRY_SECONDS

    def _take_owed(self, ends_at: float | None) -> None:
        """Take what is owed, the oldest first, until a time.

        Raises:
            FareboxError: Farebox can't be asked; what is left stays owed.
        """
        while (some := self.book.some(TAKEN_AT_ONCE)) and (ends_at is None or time.monotonic() < ends_at):
            for owed in some:
                self._take(owed)

    def _run(self, steps: Steps[T]) -> T:
        """Ask what steps ask."""
        try:
            call = next(steps)
            while True:
                try:
                    answer: Any = self.farebox.ask(call)
                except FareboxError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
