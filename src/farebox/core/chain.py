"""The hash chain: each transfer's hash covers the one before, so a statement can be checked offline.

hash = BLAKE2b-256(previous hash + canonical bytes). The canonical bytes are the fields below, in this order, each as
text, joined by one newline (10), in UTF-8. Numbers are plain decimals, the fingerprint is lower-case hexadecimal, and
what is absent is empty. No field can hold a newline or be empty when present, so the text has one reading only. The
first transfer's previous hash is 32 zero bytes.

A transfer that was priced by a rule is written in the second encoding: the same fields, and what it was priced by after
the price's id. One that tells of given credit, left something uncollected or names an API key is written in the third:
after the price's id stand what it was priced by, what of it was given, what is uncollected and the key, each empty if
there is none.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from farebox.core import ids
from farebox.core.accounts import DEBIT_AND_CREDIT, KIND_WORDS, Kind
from farebox.core.transfers import Transfer

HASH_BYTES: Final = 32
ENCODING: Final = "farebox-transfer-1"
PRICED_ENCODING: Final = "farebox-transfer-2"
FULL_ENCODING: Final = "farebox-transfer-3"

KIND_LINES: Final[dict[int, str]] = {kind: "\n".join((KIND_WORDS[kind], *DEBIT_AND_CREDIT[kind])) for kind in Kind}


def canonical_bytes(merchant: str, transfer: Transfer) -> bytes:
    """Write a transfer's fields, all but its hash, as the bytes that the hash covers.

    Args:
        merchant: the merchant's public id, which a caller with many transfers writes once.
        transfer: the transfer; its `hash` is not read.
    """
    price = price_text(transfer.price_id) if transfer.price_id else ""
    refers_to = (
        ids.book_id(ids.TRANSFER, merchant_id=transfer.merchant_id, seq=transfer.refers_to)
        if transfer.refers_to
        else ""
    )
    encoding, more = (ENCODING, "") if transfer.pricing is None else (PRICED_ENCODING, f"{transfer.pricing}\n")
    if transfer.given is not None or transfer.uncollected is not None or transfer.key_id is not None:
        key = key_text(transfer.key_id) if transfer.key_id else ""
        encoding = FULL_ENCODING
        more = f"{transfer.pricing or ''}\n{transfer.given or ''}\n{transfer.uncollected or ''}\n{key}\n"
    return (
        f"{encoding}\n{merchant}\n{transfer.seq}\n{transfer.committed_at}\n{KIND_LINES[transfer.kind]}\n"
        f"{transfer.amount}\n{transfer.wallet_after}\n{transfer.held_after}\n"
        f"{transfer.request_type or ''}\n{transfer.quantity or ''}\n{transfer.unit_price or ''}\n{price}\n{more}"
        f"{transfer.idempotency_key}\n{transfer.fingerprint.hex()}\n{refers_to}\n"
        f"{transfer.reference or ''}\n{transfer.note or ''}"
    ).encode()


def link(previous_hash: bytes, canonical: bytes) -> bytes:
    """Return the hash of the transfer with these canonical bytes after the one with `previous_hash`."""
    return blake2b(previous_hash + canonical, digest_size=HASH_BYTES).digest()


@lru_cache(maxsize=4096)
def key_text(key_id: int) -> str:
    """Write a key's public id; the text of one that is used a lot is kept, too."""
    return ids.public_id(ids.KEY, key_id)


@lru_cache(maxsize=4096)
def price_text(price_id: int) -> str:
    """Write a price's public id; few prices serve many transfers, so the text is kept."""
    return ids.public_id(ids.PRICE, price_id)
