"""The fields by which requests ask for charges, holds and quotes, as the API's bodies have them: unchecked."""

from collections.abc import Mapping
from typing import Protocol


class QuoteFields(Protocol):
    """What decides about the cost of a request: a quote is asked for by these fields; the texts are unchecked."""

    @property
    def type(self) -> str: ...
    @property
    def quantity(self) -> int | None: ...
    @property
    def quantities(self) -> Mapping[str, object] | None: ...
    @property
    def requested_at(self) -> str | None: ...
    @property
    def amount(self) -> str | None: ...


class SpendFields(QuoteFields, Protocol):
    """What charges and holds ask for; `merchant` is an id or a merchant's API key, the texts are unchecked."""

    @property
    def merchant(self) -> str: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def reference(self) -> str | None: ...


class ChargeFields(SpendFields, Protocol):
    """What a charge asks for; `above` says what becomes of what is more than can be spent, as `Above` has it."""

    @property
    def above(self) -> str: ...


class HoldFields(SpendFields, Protocol):
    """What a hold asks for, and how long it lasts."""

    @property
    def ttl_seconds(self) -> int: ...
