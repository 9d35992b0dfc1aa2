"""The calls around a request, step by step: generators, which both middlewares run.

A step that yields a call is sent its answer, or has its error thrown in. Nothing here sends or waits.
"""

import logging
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Final, TypeVar

from farebox_client import messages
from farebox_client.errors import FareboxError, HoldExpired, RequestedAtOutOfBounds
from farebox_client.messages import Call
from farebox_client.middleware.owed import Owed, merchant_of_hold
from farebox_client.middleware.refusals import OPERATORS_FAULT, CannotAsk, Refused, is_outage, raise_refusal
from farebox_client.middleware.request_charge import RequestCharge
from farebox_client.middleware.routes import RoutePrice

T = TypeVar("T")
Steps = Generator[Call[Any], Any, T]

log: Final = logging.getLogger("farebox_client.middleware")

FIRST_EXTENSION: Final = 0.5
"""The share of a hold's time after which it is extended."""

_SOON: Final = 0.1
_DONE_BEFORE: Final = frozenset({"hold_already_captured", "idempotency_conflict"})


def opening(charge: RequestCharge, price: RoutePrice, *, hold_for: int, is_fail_open: bool) -> Steps[None]:
    """Ask whether a client may be served: hold what its request costs, or have its key checked.

    Raises:
        Refused: it may not; or Farebox can't be asked, and nobody is let through then.
    """
    charge.price, charge.type = price, price.type or charge.type
    api_key = charge.api_key or ""
    try:
        if price.is_held and price.type is not None:
            hold = yield messages.open_hold(
                merchant=api_key, type=price.type, quantities=price.quantities, amount=price.amount, ttl=hold_for
            )
            charge.hold, charge.merchant = hold.hold_id, merchant_of_hold(hold.hold_id)
        else:
            charge.merchant = (yield messages.check_key(api_key)).merchant_id
    except FareboxError as error:
        try:
            raise_refusal(error)
        except CannotAsk as cause:
            if not is_fail_open:
                raise Refused(cause.refusal) from error
            log.warning("a request is let through, and charged later: %s", error)
    charge.is_open = True


def giving_back(charge: RequestCharge) -> Steps[None]:
    """Release what is held for a request that is not charged; if that fails, the hold runs out by itself."""
    if charge.hold is None:
        return
    try:
        yield messages.release(charge.hold)
    except FareboxError as error:
        log.warning("%s could not be released, and runs out by itself: %s", charge.hold, error)


def extending(charge: RequestCharge, hold_for: int) -> Steps[float | None]:
    """Let a hold last longer while its request runs; tell after which share of `hold_for` to do so again, if at all."""
    if charge.hold is None:
        return None
    try:
        yield messages.extend(charge.hold, ttl=hold_for)
    except FareboxError as error:
        log.warning("%s could not be extended: %s", charge.hold, error)
        return _SOON if is_outage(error) else None
    return FIRST_EXTENSION


def taking(owed: Owed) -> Steps[str | None]:
    """Take what a request came to.

    Returns:
        None if it is taken, or why Farebox will never take it.

    Raises:
        FareboxError: it may be taken later.
    """
    if owed.hold is not None:
        try:
            yield messages.capture(
                owed.hold, quantities=owed.quantities, amount=owed.amount, above="uncollected", key=owed.key
            )
        except HoldExpired:
            log.info("%s had run out, and is charged", owed.hold)
        except FareboxError as error:
            return (yield from _refused(owed, error))
        else:
            return None
    fields = owed.charge
    try:
        try:
            yield messages.charge(fields)
        except RequestedAtOutOfBounds:
            # It was owed for longer than Farebox looks back.
            yield messages.charge(replace(fields, requested_at=None))
    except FareboxError as error:
        return (yield from _refused(replace(owed, hold=None), error))
    return None


def _refused(owed: Owed, error: FareboxError) -> Steps[str | None]:
    """Tell whether what was refused is taken already, will be, or never is."""
    if error.code in _DONE_BEFORE:
        return None
    if is_outage(error) or not error.is_known or error.code in OPERATORS_FAULT:
        raise error
    log.error("%s can't be taken of %s: %s", owed.key, owed.hold or owed.payer, error)
    if owed.hold is not None:
        try:
            yield messages.release(owed.hold)
        except FareboxError:
            log.warning("%s could not be released, and runs out by itself", owed.hold)
    return str(error)
