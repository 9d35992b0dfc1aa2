"""What plain charges of a batch have in common, and the bytes that their hashes cover, as `core.chain` writes them."""

from typing import Final

from msgspec import Struct

from farebox.core.accounts import Kind
from farebox.core.chain import ENCODING, FULL_ENCODING, KIND_LINES, key_text, price_text

_CHARGE_LINES: Final = KIND_LINES[Kind.CHARGE]


class ChargeForm(Struct, frozen=True, gc=False):
    """What charges by the same key, of the same type, quantity and price have in common: columns, and written fields.

    `head` stands before what a charge has of its own, `middle` between its time and its balances, `tail` behind these,
    and `end` behind what was taken of a grant.
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
    end: str


def charge_form(
    merchant: str,
    *,
    amount: int,
    request_type: str,
    quantity: int,
    unit_price: int,
    price_id: int,
    key_id: int | None,
    is_given: bool,
) -> ChargeForm:
    """Write what charges at a unit price have in common.

    Args:
        merchant: the public id.
        amount: micros, as is the unit price.
        request_type: its name.
        quantity: how many requests.
        unit_price: what each costs.
        price_id: the price's number.
        key_id: the number of the merchant's key, if the charges name one.
        is_given: whether a grant pays for them.
    """
    encoding, pricing, end = ENCODING, "", ""
    if is_given or key_id is not None:
        encoding, pricing, end = FULL_ENCODING, "\n", f"\n\n{key_text(key_id) if key_id else ''}\n"
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
        f"\n{request_type}\n{quantity}\n{unit_price}\n{price}\n{pricing}",
        end,
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
    given: str | None,
) -> bytes:
    """Write a charge as `canonical_bytes` does, in a third of the time."""
    return (
        f"{form.head}{seq}\n{committed_at}{form.middle}{wallet}\n{held}{form.tail}{given or ''}{form.end}"
        f"{idempotency_key}\n{fingerprint.hex()}\n\n{reference or ''}\n"
    ).encode()
