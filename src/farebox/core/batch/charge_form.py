"""What plain charges of a batch have in common, and the bytes that their hashes cover, as `core.chain` writes them."""

from typing import Final

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.chain import ENCODING, FULL_ENCODING, KIND_LINES, key_text, price_text

_CHARGE_LINES: Final = KIND_LINES[Kind.CHARGE]


class ChargeForm(Struct, frozen=True, gc=False):
    """What charges by the same key, of the same type, quantity and price have in common: columns, and written fields.

    `head` stands before what a charge has of its own, `middle` between its time and its balances, `tail` behind these.
    """

    amount: int
    request_type: str
    quantity: int
    unit_price: int
    price_id: int
    key_id: int | None
    head: str
    middle: str
    tail: str


def charge_form(
    merchant: str,
    *,
    amount: int,
    request_type: str,
    quantity: int,
    unit_price: int,
    price_id: int,
    key_id: int | None,
) -> ChargeForm:
    """Write what charges at a unit price have in common; `merchant` is the public id, the amounts are micros."""
    encoding, more = ENCODING, ""
    if key_id is not None:
        encoding, more = FULL_ENCODING, f"\n\n\n{key_text(key_id) if key_id else ''}\n"
    price = price_text(price_id) if price_id else ""
    return ChargeForm(
        amount,
        request_type,
        quantity,
        unit_price,
        price_id,
        key_id,
        f"{encoding}\n{merchant}\n",
        f"\n{_CHARGE_LINES}\n{amount}\n",
        f"\n{request_type}\n{quantity}\n{unit_price}\n{price}\n{more}",
    )


def charge_bytes(
    form: ChargeForm,
    *,
    seq: int,
    committed_at: int,
    wallet: int,
    held: int,
    idempotency_key: str,
    fingerprint: bytes,
    reference: str | None,
) -> bytes:
    """Write a charge as `canonical_bytes` does, in a third of the time."""
    return (
        f"{form.head}{seq}\n{committed_at}{form.middle}{wallet}\n{held}{form.tail}"
        f"{idempotency_key}\n{fingerprint.hex()}\n\n{reference or ''}\n"
    ).encode()
