"""Rate limits, kept by each server process on its own: so many requests a key, so many bad keys an address.

A bucket lets a burst through and then a steady rate. All that is kept of one is the time at which it would be full
again ("generic cell rate algorithm", ATM Forum TM 4.0, section 4.4.2). See docs/how-to/limits.md.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from farebox.core.commands import KeyKind
from farebox.core.outcomes import Code
from farebox.service.people.api_keys import ParsedKey
from farebox.web.client_address import Addresses, source_of
from farebox.web.envelope import ApiError

KEY_BURST_SECONDS: Final = 5.0
"""How many seconds' worth of requests a key may send at once."""

FAILURE_BURST_SECONDS: Final = 10.0
"""How many seconds' worth of bad keys an address may send at once."""

BUCKETS_MAX: Final = 100_000
"""How many keys, and how many addresses, are remembered; the one first seen is forgotten first."""

DEBT_SECONDS_MAX: Final = 60.0
"""How far a bucket may be overdrawn, by bad keys that were under way together: it lets the next one through after this
and the time of one more, so that others behind the same address are not kept out for long."""

_ROUNDING_SECONDS: Final = 1e-6


class Buckets:
    """One bucket per name, each with the same rate."""

    def __init__(
        self, per_second: float, burst_seconds: float, now: Callable[[], float], *, names_max: int = BUCKETS_MAX
    ) -> None:
        """Let `per_second` through, and `burst_seconds` of that at once; `now` is in seconds and never goes back."""
        self._interval = 1 / per_second
        # However low the rate, one gets through.
        self._burst_seconds = max(burst_seconds, self._interval)
        self._now = now
        self._names_max = names_max
        # Ordered, since a plain dict takes ever longer to find its first entry once many before it are gone.
        self._full_at: OrderedDict[bytes | str, float] = OrderedDict()

    def wait(self, name: bytes | str) -> float:
        """Tell how many seconds it takes until one more gets through; 0 if it would now."""
        full_at = self._full_at.get(name)
        if full_at is None:
            return 0.0
        # A microsecond less, for what floating point makes of sums: nobody waits for that.
        return max(full_at + self._interval - self._now() - self._burst_seconds - _ROUNDING_SECONDS, 0.0)

    def take(self, name: bytes | str) -> None:
        """Count one, whether it would get through or not."""
        now = self._now()
        full_at = self._full_at.get(name, now)
        overdrawn_at = now + self._burst_seconds + DEBT_SECONDS_MAX
        self._keep(name, min(max(full_at, now) + self._interval, overdrawn_at))

    def acquire(self, name: bytes | str) -> float:
        """Count one if it gets through now (0), or else tell how many seconds it takes until one would."""
        # As `wait` and `take`, but with one look at the clock and the table: this is on every request's way.
        now = self._now()
        full_at = self._full_at.get(name)
        if full_at is None:
            self._keep(name, now + self._interval)
            return 0.0
        full_at = (full_at if full_at > now else now) + self._interval
        wait = full_at - now - self._burst_seconds - _ROUNDING_SECONDS
        if wait > 0:
            return wait
        self._full_at[name] = full_at
        return 0.0

    def _keep(self, name: bytes | str, full_at: float) -> None:
        if name not in self._full_at and len(self._full_at) >= self._names_max:
            self._full_at.popitem(last=False)
        self._full_at[name] = full_at

    def __len__(self) -> int:
        """Count the buckets that are remembered."""
        return len(self._full_at)


class GoodKeys:
    """The keys that opened something lately, by their digests."""

    def __init__(self, names_max: int) -> None:
        self._digests: OrderedDict[bytes, None] = OrderedDict()
        self._names_max = names_max

    def __contains__(self, digest: bytes) -> bool:
        """Tell whether a key is one of these."""
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        """Remember a key."""
        if digest not in self._digests:
            if len(self._digests) >= self._names_max:
                self._digests.popitem(last=False)
            self._digests[digest] = None

    def remove(self, digest: bytes) -> None:
        """Forget a key."""
        self._digests.pop(digest, None)

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return len(self._digests)


class CheckedKeys:
    """How often services may ask whose a key is that opens nothing: each so often, whoever sends it such keys.

    A key that was good lately is looked up all the same.
    """

    def __init__(
        self,
        failures_per_service: float,
        now: Callable[[], float] = time.monotonic,
        names_max: int = BUCKETS_MAX,
    ) -> None:
        """Let each service ask about so many bad keys a second; 0 for any."""
        self._failures = _buckets(failures_per_service, FAILURE_BURST_SECONDS, now, names_max)
        self._good = GoodKeys(names_max)

    def admit(self, service: ParsedKey, checked: bytes | None) -> None:
        """Let a service ask about a key, by its digest; None for a text that is no key.

        Raises:
            ApiError: 429.
        """
        if self._failures is not None and (checked is None or checked not in self._good):
            wait = self._failures.wait(service.digest)
            if wait:
                raise _too_many("Too many checks of bad API keys", wait)

    def record_success(self, checked: bytes) -> None:
        """Hear that a key is good."""
        self._good.add(checked)

    def record_failure(self, service: ParsedKey, checked: bytes | None) -> None:
        """Hear that a service asked about a key that opens nothing."""
        if checked is not None:
            self._good.remove(checked)
        if self._failures is not None:
            self._failures.take(service.digest)


class Limits:
    """What one server process lets through."""

    def __init__(
        self,
        addresses: Addresses,
        *,
        per_merchant_key: float,
        per_staff_key: float,
        failures_per_address: float,
        on_good: Callable[[ParsedKey], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        names_max: int = BUCKETS_MAX,
    ) -> None:
        """Limit what comes through a second; 0 for no limit.

        Args:
            addresses: tells where requests come from.
            per_merchant_key: requests of each merchant's key.
            per_staff_key: requests of each service's and support's key.
            failures_per_address: bad keys, and requests without one, of each address; and bad keys that each service
                asks about.
            on_good: hears of each key that opened something, each time.
            now: seconds, from a clock that never goes back.
            names_max: how many keys, and how many addresses, are remembered.
        """
        self._addresses = addresses
        merchants = _buckets(per_merchant_key, KEY_BURST_SECONDS, now, names_max)
        staff = _buckets(per_staff_key, KEY_BURST_SECONDS, now, names_max)
        self._keys = {KeyKind.MERCHANT: merchants, KeyKind.SERVICE: staff, KeyKind.SUPPORT: staff}
        self._failures = _buckets(failures_per_address, FAILURE_BURST_SECONDS, now, names_max)
        self._good = GoodKeys(names_max)
        self._on_good = on_good
        self.checked_keys = CheckedKeys(failures_per_address, now, names_max)

    def admit(self, scope: Scope, key: ParsedKey | None) -> None:
        """Let a request pass, or not.

        A key that opened something lately is let through even from where many bad ones come: one that guesses keys
        behind a proxy must not lock out who shares it. The key is looked up all the same.

        Raises:
            ApiError: 429.
        """
        if key is None:
            self._admit_unproven(scope)
            return
        if key.digest not in self._good:
            # First, so that keys that are made up do not fill the table of those that are counted.
            self._admit_unproven(scope)
        buckets = self._keys[key.kind]
        if buckets is not None:
            wait = buckets.acquire(key.digest)
            if wait:
                raise _too_many("Too many requests with this API key", wait)

    def record_success(self, key: ParsedKey | None) -> None:
        """Hear that a key opened something, even if what it asked for was then refused."""
        if key is None:
            return
        if self._on_good is not None:
            self._on_good(key)
        self._good.add(key.digest)

    def record_failure(self, scope: Scope, key: ParsedKey | None) -> None:
        """Hear that a key opened nothing, or that there was none."""
        if key is not None:
            self._good.remove(key.digest)
        if self._failures is not None:
            self._failures.take(source_of(self._addresses.of(scope)))

    def record_refusal(self, scope: Scope, key: ParsedKey | None, refusal: ApiError) -> None:
        """Hear that a request was refused: as its key is bad, or with a good one; other refusals tell nothing of it.

        The ledger's own refusals come after the look-up of the key, which was good then.
        """
        if refusal.code == Code.INVALID_API_KEY:
            self.record_failure(scope, key)
        elif isinstance(refusal.code, Code):
            self.record_success(key)

    def _admit_unproven(self, scope: Scope) -> None:
        if self._failures is not None and len(self._failures):
            wait = self._failures.wait(source_of(self._addresses.of(scope)))
            if wait:
                raise _too_many("Too many requests with bad API keys", wait)


def _buckets(per_second: float, burst_seconds: float, now: Callable[[], float], names_max: int) -> Buckets | None:
    return Buckets(per_second, burst_seconds, now, names_max=names_max) if per_second else None


def _too_many(words: str, wait: float) -> ApiError:
    seconds = math.ceil(wait)
    return ApiError(429, "rate_limited", f"{words}; try again in {seconds} s", [(b"retry-after", b"%d" % seconds)])
