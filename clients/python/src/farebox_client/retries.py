"""When to ask again, and after how long: decided here for both clients, which only wait.

Every attempt of a call carries the same idempotency key, so however often it is asked, money moves once or not at all.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final

from farebox_client.errors import FareboxError, OutcomeUnknown, Unreachable

_ASKED_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
"""The statuses that promise another answer later; 502 and 504 are those of proxies."""

_CODES_ASKED_AGAIN: Final = frozenset({"outcome_unknown", "overloaded", "unavailable", "clock_behind", "unreachable"})

# The server refuses by these before it looks whether the same was done before: after an attempt whose answer was lost,
# they tell nothing of it.
_BEFORE_REPEATS: Final = frozenset({"invalid_api_key", "forbidden", "merchant_not_found", "merchant_closed"})


_SECONDS_MAX: Final = 1_000_000_000

draw_chance: Final[Callable[[], float]] = random.SystemRandom().random
"""From 0 to 1, of a source that is this client's own: where programs seed `random`, they would all pause alike."""


@dataclass(frozen=True)
class Retries:
    """How often something is asked, and for how long.

    Attributes:
        attempts: How often at most.
        timeout: For how many seconds one attempt may last.
        give_up_after: For how many seconds all attempts and the pauses between them may last.
        pause: How many seconds the first pause lasts at most; the next ones up to twice as long as the one before.
        pause_max: How many seconds any pause lasts at most, unless the server asks for more.
    """

    attempts: int = 6
    timeout: float = 10.0
    give_up_after: float = 60.0
    pause: float = 0.1
    pause_max: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("there is one attempt at least")
        if min(self.timeout, self.give_up_after) <= 0 or min(self.pause, self.pause_max) < 0:
            raise ValueError("times are above zero")

    def pause_seconds(self, failures: int, chance: Callable[[], float]) -> float:
        """Choose a pause after so many failures, from nothing to a most, so that many callers don't come back at once.

        The most doubles from failure to failure; `chance` draws from 0 to 1.
        """
        return chance() * min(self.pause_max, self.pause * 2.0 ** min(failures - 1, 60))


class Attempts:
    """The attempts of one call."""

    def __init__(
        self,
        retries: Retries,
        *,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = draw_chance,
    ) -> None:
        """Begin now; `chance` is from 0 to 1."""
        self._retries = retries
        self._now = now
        self._chance = chance
        self._ends_at = now() + retries.give_up_after
        self._made = 0
        self._is_uncertain = False

    @property
    def timeout(self) -> float:
        """How many seconds the next attempt may last."""
        return max(0.001, min(self._retries.timeout, self._ends_at - self._now()))

    def pause_or_none(self, failure: FareboxError) -> float | None:
        """Tell how many seconds to wait before the next attempt; None if there is none."""
        self._made += 1
        pause = (failure.retry_after or 0.0) + self._retries.pause_seconds(self._made, self._chance)
        if self._made >= self._retries.attempts or self._now() + pause >= self._ends_at:
            return None
        return pause

    def pause_after(self, failure: FareboxError) -> float:
        """Tell how many seconds to wait before the next attempt.

        Raises:
            FareboxError: there is none: this failure, or what is true in view of the attempts before it.
        """
        pause = self.pause_or_none(failure) if may_be_asked_again(failure) else None
        if pause is None:
            raise as_known(failure, is_uncertain=self._is_uncertain)
        self._is_uncertain = self._is_uncertain or not failure.is_known
        return pause


def as_known(failure: FareboxError, *, is_uncertain: bool) -> FareboxError:
    """Say no more than is known: if `is_uncertain`, an attempt before, whose answer was lost, may have moved money."""
    if not is_uncertain or failure.key is None:
        return failure
    if isinstance(failure, Unreachable) or failure.code in _BEFORE_REPEATS:
        failure.is_known = False
        return failure
    if not may_be_asked_again(failure):
        return failure
    unknown = OutcomeUnknown(
        f"an attempt may have been done whose answer was lost; the last one was answered: {failure}",
        status=failure.status,
        data=failure.data,
        key=failure.key,
        retry_after=failure.retry_after,
        is_known=False,
    )
    unknown.__cause__ = failure
    return unknown


def may_be_asked_again(failure: FareboxError) -> bool:
    """Tell whether the same request may be answered otherwise soon."""
    return failure.status in _ASKED_AGAIN or failure.code in _CODES_ASKED_AGAIN


def retry_after_seconds(value: str | None) -> float | None:
    """Read the header Retry-After, which is in seconds, or names a time; None if it can't be read."""
    if value is None:
        return None
    try:
        return float(min(max(0, int(value)), _SECONDS_MAX))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return max(0.0, (moment - datetime.now(timezone.utc)).total_seconds())
