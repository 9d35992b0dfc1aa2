"""What Farebox answers, as frozen values: money is `Decimal`, times are aware `datetime`, names are in snake_case.

A member that a newer server adds is left out here; one that an older server lacks has its default, if it may be absent.
"""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from farebox_client.prices import PriceRule, RequestCost

T = TypeVar("T")


@dataclass(frozen=True)
class Balance:
    """What a merchant can spend before its credit limit."""

    available: Decimal
    currency: str


@dataclass(frozen=True)
class Charge:
    """A charge that went through."""

    transfer_id: str
    cost: Decimal
    """The amount taken: with what is uncollected, the cost of the request."""
    balance: Decimal
    """The posted balance after it: spendable and held."""
    available: Decimal
    """The available balance after it."""
    uncollected: Decimal | None = None
    """The missing part; None if nothing was missing."""
    is_replay: bool = False
    """Whether this is the first answer again: the charge was made by an earlier request under its key."""
    key: str = ""
    """The idempotency key that it was made under."""


@dataclass(frozen=True)
class Hold:
    """A hold that was made: money set aside, to be captured or released."""

    hold_id: str
    transfer_id: str
    amount: Decimal
    expires_at: datetime
    balance: Decimal
    available: Decimal
    is_replay: bool = False
    key: str = ""


@dataclass(frozen=True)
class Above:
    """What a capture took from the balance above its hold: a charge of its own, which is refunded by itself."""

    transfer_id: str
    charged: Decimal
    uncollected: Decimal | None = None


@dataclass(frozen=True)
class Capture:
    """A hold that was captured."""

    hold_id: str
    transfer_id: str
    quantity: int
    captured: Decimal
    released: Decimal
    """The rest, which went back."""
    balance: Decimal
    available: Decimal
    above: Above | None = None
    """None if the work came to no more than was held."""
    is_replay: bool = False
    key: str = ""


@dataclass(frozen=True)
class Release:
    """A hold that was released."""

    hold_id: str
    transfer_id: str
    released: Decimal
    balance: Decimal
    available: Decimal
    is_replay: bool = False
    key: str = ""


@dataclass(frozen=True)
class Extension:
    """A hold, and when it ends now."""

    hold_id: str
    amount: Decimal
    expires_at: datetime


@dataclass(frozen=True)
class Refund:
    """A refund that went through."""

    transfer_id: str
    refers_to: str
    """The charge or capture."""
    amount: Decimal
    balance: Decimal
    available: Decimal
    is_replay: bool = False
    key: str = ""


@dataclass(frozen=True)
class Threshold:
    """An amount of posted balance that the merchant is warned below."""

    amount: Decimal
    is_armed: bool


@dataclass(frozen=True)
class Ending:
    """Given credit that ends."""

    grant_id: str
    amount: Decimal
    expires_at: datetime
    types: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Runway:
    """How long the money lasts, in whole days; None where it is over a year."""

    days: int | None
    days_low: int | None
    days_high: int | None
    until: datetime | None
    burn_per_day: Decimal


@dataclass(frozen=True)
class Account:
    """A merchant's own account."""

    merchant_id: str
    name: str
    currency: str
    posted: Decimal
    held: Decimal
    available: Decimal
    paid: Decimal
    given: Decimal
    ending: tuple[Ending, ...]
    credit_limit: Decimal
    owed: Decimal
    is_frozen: bool
    thresholds: tuple[Threshold, ...]
    runway: Runway | None
    runway_state: str
    amount_probe: Decimal
    """Nobody's amount: 1250.75, always, by which clients in other languages check how they read amounts."""
    runway_thresholds: tuple[int, ...] = ()
    """The days left that the merchant is warned below, ascending."""


@dataclass(frozen=True)
class CheckedKey:
    """A merchant's API key that is good."""

    merchant_id: str
    key_id: str
    name: str | None
    state: str
    """`valid`, or `ending`: then it is good until `expires_at`."""
    expires_at: datetime | None


@dataclass(frozen=True)
class OpenHold:
    """A hold that is neither captured nor released, and has not expired."""

    hold_id: str
    merchant_id: str
    transfer_id: str
    type: str
    amount: Decimal
    quantity: int
    pricing: str | None
    created_at: datetime
    expires_at: datetime
    reference: str | None


@dataclass(frozen=True)
class QuoteLine:
    """What one line of a price comes to."""

    name: str
    quantity: int
    units: int
    exact: str


@dataclass(frozen=True)
class QuoteRounding:
    """How the sum is rounded, once."""

    step: Decimal
    direction: str


@dataclass(frozen=True)
class QuotePeriod:
    """The day or month over which the merchant's units are counted."""

    starts_at: datetime
    before: Mapping[str, int]


@dataclass(frozen=True)
class Quote:
    """What a charge would cost this moment."""

    type: str
    price_id: str
    is_own: bool
    currency: str | None
    amount: Decimal
    exact: str
    """The amount before it was rounded: a whole number, or a fraction in lowest terms."""
    lines: tuple[QuoteLine, ...]
    base: Decimal
    minimum: Decimal
    rounding: QuoteRounding
    tier: int | None
    window: int | None
    period: QuotePeriod | None
    at: datetime


@dataclass(frozen=True)
class Price:
    """The price of a request type, as a charge of this moment would meet it."""

    price_id: str
    type: str
    unit_price: Decimal | None
    rule: Mapping[str, Any] | None
    """The rule as the API has it; None for a unit price, and for a variable type."""
    starts_at: datetime
    is_own: bool

    def cost(
        self,
        quantities: Mapping[str, int],
        *,
        at: datetime | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> RequestCost:
        """Work out what a request costs by this price, without asking; as `PriceRule.cost`.

        A type with a unit price has the quantity `requests`.

        Raises:
            RuleUnsupported: the type is variable, or its rule is newer than this version.
        """
        unit_price = None if self.unit_price is None else format(self.unit_price, "f")
        rule = PriceRule.of_price({"rule": self.rule, "unitPrice": unit_price})
        return rule.cost(quantities, at=at, counts=counts)


@dataclass(frozen=True)
class Prices:
    """The prices in force."""

    currency: str | None
    prices: tuple[Price, ...]
    changes_at: datetime | None
    version: str
    """Changes when anything here does."""

    def __getitem__(self, request_type: str) -> Price:
        """Return the price of a request type.

        Raises:
            KeyError: there is none.
        """
        for price in self.prices:
            if price.type == request_type:
                return price
        raise KeyError(request_type)


@dataclass(frozen=True)
class Transfer:
    """A transfer of a statement: all that explains it, and all that its hash covers."""

    transfer_id: str
    seq: int
    committed_at: datetime
    kind: str
    debit: str
    credit: str
    amount: Decimal
    available_before: Decimal
    available_after: Decimal
    held_before: Decimal
    held_after: Decimal
    type: str | None
    quantity: int | None
    unit_price: Decimal | None
    price_id: str | None
    reference: str | None
    note: str | None
    refers_to: str | None
    idempotency_key: str
    fingerprint: str
    hash: str
    pricing: str | None = None
    given: str | None = None
    uncollected: Decimal | None = None
    key_id: str | None = None


@dataclass(frozen=True)
class TransferPage:
    """A page of a statement, newest first."""

    transfers: tuple[Transfer, ...]
    next_cursor: str | None = None


@dataclass(frozen=True)
class OpenHoldPage:
    """A page of open holds, the soonest end first."""

    holds: tuple[OpenHold, ...]
    next_cursor: str | None = None


@dataclass(frozen=True)
class BatchOutcome:
    """What one charge of a batch came to."""

    is_success: bool
    status_code: int
    error_code: str | None
    error_message: str | None
    is_replay: bool
    data: Mapping[str, Any] | None


@dataclass(frozen=True)
class BatchOutcomes:
    """One outcome per charge, in their order."""

    outcomes: tuple[BatchOutcome, ...]


def read(kind: type[T], data: Any, **more: Any) -> T:
    """Read a value of one of these classes from the JSON of an answer; `more` are members that are not in it.

    Raises:
        ValueError: the JSON is none of this kind.
    """
    plan = _plan(typing.cast(Any, kind))
    try:
        members = {name: convert(data[member]) for name, member, convert in plan if member in data}
        return kind(**{**members, **more})
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"this is no {kind.__name__}: {error!r}") from error


@cache
def _plan(kind: Any) -> list[tuple[str, str, Callable[[Any], Any]]]:
    """List the members of a class: each one's name here and in JSON, and how it is read."""
    hints = typing.get_type_hints(kind)
    return [(each.name, _camel(each.name), _converter(hints[each.name])) for each in fields(kind)]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _converter(hint: Any) -> Callable[[Any], Any]:
    """Choose how a member of this type is read; null is let through where None may stand."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (inner,) = (each for each in arguments if each is not type(None))
        convert = _converter(inner)
        return lambda value: None if value is None else convert(value)
    if typing.get_origin(hint) is tuple:
        each = _converter(arguments[0])
        return lambda values: tuple(each(value) for value in values)
    if hint is Decimal:
        return _decimal
    if hint is datetime:
        return _time
    if is_dataclass(hint):
        return lambda value: read(typing.cast(Any, hint), value)
    return lambda value: value


def _decimal(value: object) -> Decimal:
    if not isinstance(value, str):
        raise TypeError(f"an amount is a text, and not {value!r}")
    return Decimal(value)


def _time(value: str) -> datetime:
    # Python 3.10 reads no Z.
    return datetime.fromisoformat(value.replace("Z", "+00:00"))
