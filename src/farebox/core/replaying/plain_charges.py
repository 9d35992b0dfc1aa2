"""The bytes that the hash of a plain charge covers, written in fewer steps than those of any transfer."""

from typing import Final

from farebox.core.accounts import Kind
from farebox.core.chain import ENCODING, FULL_ENCODING, KIND_LINES, key_text, price_text
from farebox.core.transfers import Transfer

_CHARGE_LINES: Final = KIND_LINES[Kind.CHARGE]


def plain_charge_bytes(merchant: str, charge: Transfer) -> bytes:
    """Write a charge as `canonical_bytes` does, one with a type, a quantity and a price, but for a key nothing more."""
    key_id = charge.key_id
    encoding, more = (ENCODING, "") if key_id is None else (FULL_ENCODING, f"\n\n\n{key_text(key_id)}\n")
    return (
        f"{encoding}\n{merchant}\n{charge.seq}\n{charge.committed_at}\n{_CHARGE_LINES}\n{charge.amount}\n"
        f"{charge.wallet_after}\n{charge.held_after}\n{charge.request_type}\n{charge.quantity}\n"
        f"{charge.unit_price or ''}\n{price_text(charge.price_id or 0)}\n{more}"
        f"{charge.idempotency_key}\n{charge.fingerprint.hex()}\n\n\n"
    ).encode()
