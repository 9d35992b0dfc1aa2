"""Prices: versions with a start time, never edited; a merchant's own goes before the default."""

from typing import Final

from msgspec import Struct

QUANTITY_MAX: Final = 1_000_000


class Price(Struct, frozen=True, gc=False):
    """One version of a request type's unit price, in micros, in force from `starts_at` until a later one starts.

    `merchant_id` is None for the default that all merchants share. `unit_price` is None for a variable type, whose
    callers name the amount themselves.
    """

    price_id: int
    request_type: str
    unit_price: int | None
    starts_at: int
    merchant_id: int | None = None
