"""The charge of one request: what its handler states that it came to, what was delivered, and how it therefore ends.

A middleware tells a `RequestCharge` what happens to its request; the handler finds it by the request:

    charge_for(request, quantities={"input": 812, "output": 344})  # all of what it came to
    count_for(request, {"output": 16})                             # said before each piece of a stream
    waive(request)                                                 # this one is free
"""

import contextvars
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final

from farebox_client.keys import new_key
from farebox_client.middleware.refusals import Refusal
from farebox_client.middleware.routes import RoutePrice

SCOPE_KEY: Final = "farebox.charge"
"""Where an ASGI scope and a WSGI environment have the request's charge."""

CURRENT: "Final[contextvars.ContextVar[RequestCharge | None]]" = contextvars.ContextVar("farebox_charge", default=None)
"""The charge of the request that is handled in this context."""

_SERVER_ERROR: Final = 500


class NotCharged(RuntimeError):
    """Nothing is charged for this request: no middleware is before the handler, or its route is free."""


class TooLate(RuntimeError):
    """The answer is complete, and what the request came to is settled: say it before the last piece is sent."""


@dataclass(frozen=True)
class ChargeEnding:
    """The sum that a request is charged at its end; without quantities and amount, what was held."""

    quantities: Mapping[str, int] | None = None
    amount: Decimal | None = None


Counted = tuple[Mapping[str, int], Decimal | None]
"""Units by their names, and an amount."""


@dataclass(frozen=True)
class Rules:
    """Which ends of a request are charged."""

    statuses: frozenset[int] = frozenset(range(200, 300))
    """Answers that are charged though the handler told nothing of what they came to."""
    charges_those_who_left: bool = False
    """Whether a client that left before any output is charged."""


class RequestCharge:
    """The charge of a request.

    Its handler may run in another thread than the middleware, so each change is one assignment.
    """

    def __init__(self, price: RoutePrice | None, rules: Rules, api_key: str | None) -> None:
        """Begin with what the route says; None if the handler is to say it."""
        self.key = new_key()
        """The idempotency key of what takes the money."""
        self.requested_at = datetime.now(timezone.utc)
        self.rules = rules
        self.api_key = api_key
        self.price = price
        self.type: str | None = None if price is None else price.type
        self.merchant: str | None = None
        """The merchant's id; None before the key was checked, and if Farebox could not be asked."""
        self.hold: str | None = None
        """The hold's id; None if nothing is held."""
        self.is_open = False
        """Whether the client may be served and charged: its key is good, or it was let through without asking."""
        self.refusal: Refusal | None = None
        """The answer in place of the handler's."""
        self.ask: Callable[[RoutePrice], Awaitable[None]] = _nobody_to_ask
        """Asks for a price that the handler names, through the middleware that is before it."""
        self.ask_and_wait: Callable[[RoutePrice], None] = _nobody_to_ask
        """Does so in a handler that is not asynchronous."""
        self.written_at: float | None = None
        """When what it comes to was last written down, on `time.monotonic`."""
        self._stated: ChargeEnding | None = None
        self._counted: Counted = ({}, None)
        self._delivered: Counted = ({}, None)
        self._is_waived = False
        self._status: int | None = None
        self._has_output = False
        self._has_left = False
        self._is_complete = False

    # For the handler

    def charge_for(
        self,
        *,
        quantities: Mapping[str, int] | None = None,
        amount: Decimal | str | None = None,
        type: str | None = None,
    ) -> None:
        """Say what all of the request came to; the last word counts, and goes before what was counted.

        Raises:
            NotCharged: no key was asked for.
            TooLate: the answer is complete.
        """
        self._ensure_may_say()
        if type is not None and type != self.type:
            if self.hold is not None:
                raise ValueError(f"a hold of the type {self.type!r} can't be captured as {type!r}")
            self.type = type
        exact = None if amount is None else Decimal(amount)
        self._stated = ChargeEnding(None if quantities is None else dict(quantities), exact)

    def count_for(self, quantities: Mapping[str, int] | None = None, *, amount: Decimal | str | None = None) -> None:
        """Add to what the request came to, before the piece of the answer that it is for.

        Raises:
            NotCharged: no key was asked for.
            TooLate: the answer is complete.
        """
        self._ensure_may_say()
        counted, total = self._counted
        if quantities:
            units = dict(counted)
            for name, number in quantities.items():
                units[name] = units.get(name, 0) + number
            counted = units
        if amount is not None:
            total = (total or Decimal(0)) + Decimal(amount)
        self._counted = (counted, total)

    def waive(self) -> None:
        """Let the request be free, whatever it comes to.

        Raises:
            TooLate: the answer is complete.
        """
        self._ensure_may_say()
        self._is_waived = True

    # For the middleware

    @property
    def has_answered(self) -> bool:
        """Whether the answer has begun."""
        return self._status is not None

    @property
    def untold_refusal(self) -> Refusal | None:
        """The refusal that the client is yet to be told, in place of what the framework makes of it."""
        return None if self.has_answered else self.refusal

    def answered(self, status: int) -> None:
        """Hear the status of the answer, which goes with its first piece."""
        self._status = status

    def delivered(self) -> None:
        """Hear that a piece went to the client; what was counted until now went with it, if the client was there."""
        if not self._has_left:
            self._has_output = True
            self._delivered = self._counted

    def completed(self) -> None:
        """Hear that the last piece went out."""
        self.delivered()
        self._is_complete = not self._has_left

    def left(self) -> None:
        """Hear that the client is gone."""
        if not self._is_complete:
            self._has_left = True

    def ending(self) -> ChargeEnding | None:
        """Tell what is charged by what happened until now, None if all is given back.

        A request that isn't complete failed or was left.
        """
        if self._has_output:
            return self._ending(self._delivered, is_complete=self._is_complete, has_left=self._has_left)
        if self._has_left and self.rules.charges_those_who_left:
            return self._ending(self._counted, is_complete=True, has_left=True)
        return None

    def ending_with_piece(self, *, is_last: bool) -> ChargeEnding | None:
        """Tell how the request would end with the piece that is sent next, if it were delivered."""
        return self._ending(self._counted, is_complete=is_last, has_left=False)

    def _ending(self, counted: Counted, *, is_complete: bool, has_left: bool) -> ChargeEnding | None:
        if not self.is_open or self._is_waived or self.refusal is not None:
            return None
        if self._status is not None and self._status >= _SERVER_ERROR:
            return None
        if self._stated is not None:
            return self._stated
        quantities, amount = counted
        if quantities or amount is not None:
            return ChargeEnding(quantities or None, amount)
        if self.price is None or self.price.is_metered or not (is_complete or has_left):
            return None
        # One that left before it was answered is charged as if it had been answered well.
        is_charged = self._status is None or self._status in self.rules.statuses
        return ChargeEnding() if is_charged else None

    def _ensure_may_say(self) -> None:
        if not self.is_open:
            raise NotCharged(NotCharged.__doc__)
        if self._is_complete:
            raise TooLate(TooLate.__doc__)


def _nobody_to_ask(price: RoutePrice) -> Any:
    raise NotCharged(NotCharged.__doc__)


def charge_of(request: Any) -> RequestCharge:
    """Find the charge of a request: Starlette's, FastAPI's, Litestar's, Flask's or Django's, a scope or an environment.

    Raises:
        NotCharged: it has none.
    """
    for holder in (request, *(getattr(request, name, None) for name in ("scope", "environ", "META"))):
        if isinstance(holder, Mapping):
            charge = holder.get(SCOPE_KEY)
            if isinstance(charge, RequestCharge):
                return charge
    raise NotCharged(NotCharged.__doc__)


def charge_for(
    request: Any,
    *,
    quantities: Mapping[str, int] | None = None,
    amount: Decimal | str | None = None,
    type: str | None = None,
) -> None:
    """Say what all of this request came to; see `RequestCharge.charge_for`."""
    charge_of(request).charge_for(quantities=quantities, amount=amount, type=type)


def count_for(
    request: Any, quantities: Mapping[str, int] | None = None, *, amount: Decimal | str | None = None
) -> None:
    """Add to what this request came to, before the piece that it is for; see `RequestCharge.count_for`."""
    charge_of(request).count_for(quantities, amount=amount)


def waive(request: Any) -> None:
    """Let this request be free."""
    charge_of(request).waive()
