"""Requests to Farebox, and how their answers are read: pure functions, which both clients share.

Each returns a `Call`: what to send, under which idempotency key, and what to make of the answer. Nothing here sends.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final, Generic, Literal, TypeVar
from urllib.parse import quote as percent_encoded
from urllib.parse import urlencode

from farebox_client import answers
from farebox_client.errors import UNCERTAIN_CODES, ApprovalRequired, FareboxError, UnexpectedAnswer, error_of
from farebox_client.keys import key_or_new, new_key
from farebox_client.retries import retry_after_seconds
from farebox_client.transport import Answer

T = TypeVar("T")

Amount = Decimal | int | str
"""Money, exactly: a `Decimal`, a text such as "0.35", or whole units. A float is refused."""

BATCH_CHARGES_MAX: Final = 10_000
"""How many charges a server takes at once."""

BATCH_PATH: Final = "/api/charges/batch"

_MESSAGE_CHARS_MAX: Final = 200
_REDIRECTIONS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Call(Generic[T]):
    """One thing that is asked: it may be sent several times, and means the same each time."""

    method: str
    path: str
    decode: Callable[[Any, bool], T]
    """Makes the answer's data, and whether it is a repeat, what is returned."""
    body: Mapping[str, Any] | None = None
    key: str | None = None
    """The idempotency key, if it moves money."""
    headers: Mapping[str, str] = field(default_factory=dict)
    unchanged: T | None = None
    """What to return if the answer is that nothing changed."""

    @property
    def content(self) -> bytes | None:
        """The body as it is sent."""
        return None if self.body is None else json.dumps(self.body, separators=(",", ":")).encode()

    def read(self, answer: Answer) -> T:
        """Make an answer what is returned.

        Raises:
            FareboxError: it is none of success; of the class that its code names.
        """
        if answer.status == 304 and self.unchanged is not None:
            return self.unchanged
        try:
            envelope = json.loads(answer.content)
            is_success, message, data = envelope["isSuccess"], envelope["errorMessage"], envelope["data"]
        except (ValueError, KeyError, TypeError):
            raise self._failure(answer, None, _of_another(answer)) from None
        if not is_success:
            raise self._failure(answer, data, message)
        if answer.status == 202:
            raise ApprovalRequired("another person has to approve it first", status=202, data=data, key=self.key)
        try:
            return self.decode(data, "idempotent-replay" in answer.headers)
        except ValueError as error:
            raise UnexpectedAnswer(str(error), status=answer.status, key=self.key, is_known=False) from error

    def _failure(self, answer: Answer, data: Any, message: str) -> FareboxError:
        code = answer.headers.get("x-error-code")
        # A refusal by Farebox's own name moved nothing; one that a proxy made in its place is less certain.
        is_known = code not in UNCERTAIN_CODES if code else 400 <= answer.status < 500 and answer.status != 408
        more = {"status": answer.status, "data": data, "key": self.key, "is_known": is_known}
        wait = retry_after_seconds(answer.headers.get("retry-after"))
        return error_of(code or UnexpectedAnswer.default_code, message, retry_after=wait, **more)


def _of_another(answer: Answer) -> str:
    """Tell what came in place of an answer of Farebox."""
    if answer.status in _REDIRECTIONS and "location" in answer.headers:
        return f"the base URL leads elsewhere, to {answer.headers['location'][:_MESSAGE_CHARS_MAX]}"
    text = answer.content[:_MESSAGE_CHARS_MAX].decode("utf-8", "replace").strip()
    return f"no answer of Farebox: {text}" if text else "an empty answer"


@dataclass(frozen=True)
class ChargeFields:
    """A charge: who pays for what.

    Attributes:
        merchant: The payer: its API key, whose budget then applies, or its id.
        type: The request type, which decides the price.
        quantity: How many requests, or how much of the only line of a price; 1 if neither is named.
        quantities: How much of each line of a price, in place of a quantity.
        amount: The cost, of a variable type alone.
        reference: Anything of yours to find it by, one line.
        above: What becomes of a cost above what can be spent: `refuse`, or `uncollected` for what was served already.
        requested_at: When the request was made, if that is not now: at most 24 hours ago.
        key: The idempotency key; a new one if left out.
    """

    merchant: str
    type: str
    quantity: int | None = None
    quantities: Mapping[str, int] | None = None
    amount: Amount | None = None
    reference: str | None = None
    above: Literal["refuse", "uncollected"] | None = None
    requested_at: datetime | None = None
    key: str = field(default_factory=new_key)

    @property
    def body(self) -> dict[str, Any]:
        """The charge as it is sent; members that are None are left out."""
        body: dict[str, Any] = {"merchant": self.merchant, "type": self.type, "idempotencyKey": self.key}
        if self.quantity is not None:
            body["quantity"] = self.quantity
        if self.quantities is not None:
            body["quantities"] = _quantities(self.quantities)
        if self.amount is not None:
            body["amount"] = _amount(self.amount)
        if self.reference is not None:
            body["reference"] = self.reference
        if self.above is not None:
            body["above"] = self.above
        if self.requested_at is not None:
            body["requestedAt"] = _moment(self.requested_at)
        return body


# What a merchant reads.


def account() -> Call[answers.Account]:
    """Read the whole account of the merchant whose key this is."""
    return Call("GET", "/api/account", _reader(answers.Account))


def available() -> Call[Decimal]:
    """Read the available balance of the merchant whose key this is."""
    return Call("GET", "/api/balance", lambda data, _: Decimal(data))


def prices(*, merchant: str | None = None, known: answers.Prices | None = None) -> Call[answers.Prices]:
    """Read the prices in force: the merchant's own view, or the default prices.

    Args:
        merchant: The id of a merchant, for a service; a merchant's key reads its own.
        known: The prices as answered before: as long as they hold, they are returned again and not sent again.
    """
    headers = {} if known is None else {"if-none-match": f'"{known.version}"'}
    path = _with_query("/api/prices", merchant=merchant)
    return Call("GET", path, _reader(answers.Prices), headers=headers, unchanged=known)


def transfer_page(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    kind: str | None = None,
    type: str | None = None,
    reference: str | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[answers.TransferPage]:
    """Read a page of a merchant's statement, newest first.

    Args:
        since: Transfers from this time on.
        until: Transfers before this time.
        kind: This kind alone, such as `charge`.
        type: This request type alone.
        reference: This very reference alone.
        cursor: Where to go on: the last page's `next_cursor`.
        limit: How many at most.
    """
    query = {"from": _moment(since), "to": _moment(until), "kind": kind, "type": type, "reference": reference}
    path = _with_query("/api/transfers", **query, cursor=cursor, limit=limit)
    return Call("GET", path, _reader(answers.TransferPage))


def hold_page(
    *, merchant: str | None = None, cursor: str | None = None, limit: int | None = None
) -> Call[answers.OpenHoldPage]:
    """Read a page of a merchant's open holds, the soonest end first.

    Args:
        merchant: The merchant's id, which a service names; a merchant's key reads its own.
        cursor: Where to go on: the last page's `next_cursor`.
        limit: How many at most.
    """
    path = _with_query("/api/holds", merchant=merchant, cursor=cursor, limit=limit)
    return Call("GET", path, _reader(answers.OpenHoldPage))


def check_key(api_key: str) -> Call[answers.CheckedKey]:
    """Ask whose a merchant's API key is, ahead of the work; nothing is charged.

    A charge or hold that names the key asks the same, and need not be preceded by this.

    Args:
        api_key: The key that a caller showed.

    Raises:
        MerchantNotFound: it opens nothing.
    """
    return Call("POST", "/api/keys/check", _reader(answers.CheckedKey), {"apiKey": api_key})


def quote(
    *,
    type: str,
    merchant: str | None = None,
    quantity: int | None = None,
    quantities: Mapping[str, int] | None = None,
    amount: Amount | None = None,
    requested_at: datetime | None = None,
) -> Call[answers.Quote]:
    """Ask what a charge would cost this moment; nothing is charged, and the balance is not looked at.

    Args:
        type: The request type.
        merchant: Who would pay, by id or API key; the default price is told without one.
        quantity: How many requests.
        quantities: How much of each line of the price, in place of a quantity.
        amount: The cost, of a variable type alone.
        requested_at: When the request would be made, if that is not now.
    """
    body = _members(
        type=type,
        merchant=merchant,
        quantity=quantity,
        quantities=_quantities(quantities),
        amount=_amount(amount),
        requestedAt=_moment(requested_at),
    )
    return Call("POST", "/api/quotes", _reader(answers.Quote), body)


# What a service moves.


def charge(charge: ChargeFields) -> Call[answers.Charge]:
    """Deduct the cost of a request."""
    return Call("POST", "/api/charges", _reader(answers.Charge, charge.key), charge.body, charge.key)


def charge_batch(charges: Sequence[ChargeFields]) -> Call[Sequence[answers.Charge | FareboxError]]:
    """Deduct the cost of many requests, each on its own; the outcomes are in the charges' order."""
    body = {"charges": [charge.body for charge in charges]}
    return Call("POST", BATCH_PATH, partial(_batch_outcomes, charges), body, charges[0].key)


def open_hold(
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
) -> Call[answers.Hold]:
    """Set aside the cost of a request, to be captured or released by its `hold_id`.

    Args:
        merchant: The payer: its API key, whose budget then applies, or its id.
        type: The request type, which decides the price.
        quantity: How many requests, or how much of the only line of a price; 1 if neither is named.
        quantities: How much of each line of a price, in place of a quantity.
        amount: The cost, of a variable type alone.
        reference: Anything of yours to find it by, one line.
        requested_at: When the request was made, if that is not now.
        ttl: After how many seconds the hold expires by itself.
        key: The idempotency key; a new one if left out.
    """
    key = key_or_new(key)
    body = _members(
        merchant=merchant,
        type=type,
        quantity=quantity,
        quantities=_quantities(quantities),
        amount=_amount(amount),
        reference=reference,
        requestedAt=_moment(requested_at),
        ttlSeconds=ttl,
        idempotencyKey=key,
    )
    return Call("POST", "/api/holds", _reader(answers.Hold, key), body, key)


def capture(
    hold: answers.Hold | str,
    *,
    quantity: int | None = None,
    quantities: Mapping[str, int] | None = None,
    amount: Amount | None = None,
    reference: str | None = None,
    above: Literal["refuse", "charge", "uncollected"] | None = None,
    key: str | None = None,
) -> Call[answers.Capture]:
    """Take a hold's money, or a part of it; the rest goes back at once.

    Args:
        hold: The hold, or its id.
        quantity: How many of the held requests were done.
        quantities: How much was used after all, by the lines of the price.
        amount: How much is taken; all of the hold, if nothing is named.
        reference: Anything of yours to find it by, one line.
        above: What becomes of what the work came to above the hold: `refuse`, `charge` or `uncollected`.
        key: The idempotency key; a new one if left out.
    """
    key = key_or_new(key)
    body = _members(
        quantity=quantity,
        quantities=_quantities(quantities),
        amount=_amount(amount),
        reference=reference,
        above=above,
        idempotencyKey=key,
    )
    return Call("POST", _hold_path(hold, "capture"), _reader(answers.Capture, key), body, key)


def release(
    hold: answers.Hold | str, *, reference: str | None = None, reason: str | None = None, key: str | None = None
) -> Call[answers.Release]:
    """Give a hold's money back.

    Args:
        hold: The hold, or its id.
        reference: Anything of yours to find it by, one line.
        reason: Why, for people; one line.
        key: The idempotency key; a new one if left out.
    """
    key = key_or_new(key)
    body = _members(reference=reference, reason=reason, idempotencyKey=key)
    return Call("POST", _hold_path(hold, "release"), _reader(answers.Release, key), body, key)


def extend(
    hold: answers.Hold | str, *, ttl: int | None = None, expires_at: datetime | None = None
) -> Call[answers.Extension]:
    """Let a hold last longer. One that lasts longer already is left as it is.

    Args:
        hold: The hold, or its id.
        ttl: How many seconds from now it lasts at least.
        expires_at: Until when it lasts at least, in place of `ttl`.
    """
    body = _members(ttlSeconds=ttl, expiresAt=_moment(expires_at))
    return Call("POST", _hold_path(hold, "extend"), _reader(answers.Extension), body)


def refund(
    transfer: answers.Charge | answers.Capture | answers.Above | str,
    *,
    amount: Amount | None = None,
    reference: str | None = None,
    note: str | None = None,
    key: str | None = None,
) -> Call[answers.Refund]:
    """Give back a charge or capture, in whole or in part; several times, up to what it took.

    Args:
        transfer: The charge or capture, or its transfer's id.
        amount: How much; all that is left of it, if absent.
        reference: Anything of yours to find it by, one line.
        note: Why, for people; one line.
        key: The idempotency key; a new one if left out.
    """
    key = key_or_new(key)
    transfer_id = transfer if isinstance(transfer, str) else transfer.transfer_id
    body = _members(transferId=transfer_id, amount=_amount(amount), reference=reference, note=note, idempotencyKey=key)
    return Call("POST", "/api/refunds", _reader(answers.Refund, key), body, key)


# How members are written and answers read.


def _members(**members: Any) -> dict[str, Any]:
    """Leave out what is None."""
    return {name: value for name, value in members.items() if value is not None}


def _amount(value: Amount | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (Decimal, int)):
        raise TypeError(f"an amount is a Decimal, a text or a whole number, and not {value!r}")
    return format(value, "f")


def _quantities(values: Mapping[str, int] | None) -> dict[str, int] | None:
    return None if values is None else dict(values)


def _moment(value: datetime | None) -> str | None:
    if value is None:
        return None
    if value.utcoffset() is None:
        raise ValueError("a time must have a time zone")
    return value.isoformat()


def _with_query(path: str, **parameters: Any) -> str:
    query = urlencode(_members(**parameters))
    return f"{path}?{query}" if query else path


def _hold_path(hold: answers.Hold | str, action: str) -> str:
    hold_id = hold if isinstance(hold, str) else hold.hold_id
    return f"/api/holds/{percent_encoded(hold_id, safe='')}/{action}"


def _reader(kind: type[T], key: str | None = None) -> Callable[[Any, bool], T]:
    if key is None:
        return lambda data, _: answers.read(kind, data)
    return lambda data, is_replay: answers.read(kind, data, is_replay=is_replay, key=key)


def _batch_outcomes(charges: Sequence[ChargeFields], data: Any, _: bool) -> list[answers.Charge | FareboxError]:
    outcomes = answers.read(answers.BatchOutcomes, data).outcomes
    if len(outcomes) != len(charges):
        raise ValueError(f"there are {len(outcomes)} outcomes for {len(charges)} charges")
    return [_batch_outcome(charge, outcome) for charge, outcome in zip(charges, outcomes, strict=True)]


def _batch_outcome(charge: ChargeFields, outcome: answers.BatchOutcome) -> answers.Charge | FareboxError:
    if outcome.is_success:
        return answers.read(answers.Charge, outcome.data, is_replay=outcome.is_replay, key=charge.key)
    code = outcome.error_code or UnexpectedAnswer.default_code
    is_known = code not in UNCERTAIN_CODES
    return error_of(code, outcome.error_message or "", status=outcome.status_code, key=charge.key, is_known=is_known)
