"""How often somebody may try to sign in, or have an account mail sent."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from farebox.service import inputs
from farebox.service.people.sign_in import normal_email
from farebox.web.client_address import source_of
from farebox.web.envelope import ApiError
from farebox.web.rate_limits import BUCKETS_MAX, Buckets

ATTEMPTS_PER_SECOND: Final = 0.2
BURST_SECONDS: Final = 60.0
"""Of each address, and for each account from anywhere: a dozen attempts at once, then one in five seconds."""

_EMAIL_CHARS_MAX: Final = 300


class SignInThrottle:
    """Counts attempts by address and by account.

    From where somebody has signed in to an account lately its attempts are counted apart, so that one who guesses its
    password elsewhere does not keep them out.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic, *, burst_seconds: float = BURST_SECONDS) -> None:
        """Let `burst_seconds` of attempts through at once; `now` is in seconds and never goes back."""
        self._attempts = Buckets(ATTEMPTS_PER_SECOND, burst_seconds, now)
        self._known_sources: OrderedDict[tuple[str, str], None] = OrderedDict()

    def count_attempt(self, address: str | None, email: str, what: str = "account") -> None:
        """Count an attempt to sign in, or to have an account mail sent: `what` tells such things apart.

        Raises:
            ApiError: 429, from this address or for this account there were too many.
        """
        account, source = _account(email), source_of(address)
        apart = f" from {source}" if (account, source) in self._known_sources else ""
        for name in (f"address {source}", f"{what} {account}{apart}"):
            wait = self._attempts.acquire(name)
            if wait:
                seconds = int(wait) + 1
                words = f"Those were too many tries. Try again in {seconds} seconds"
                raise ApiError(429, "rate_limited", words, [(b"retry-after", b"%d" % seconds)])

    def record_success(self, address: str | None, email: str) -> None:
        """Remember from where somebody signed in."""
        known = _account(email), source_of(address)
        self._known_sources[known] = None
        self._known_sources.move_to_end(known)
        if len(self._known_sources) > BUCKETS_MAX:
            self._known_sources.popitem(last=False)


def _account(email: str) -> str:
    """Name the account that is meant, however its address is written."""
    return inputs.mailbox(normal_email(email) or email[:_EMAIL_CHARS_MAX])
