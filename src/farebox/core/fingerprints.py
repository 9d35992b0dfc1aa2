"""Fingerprints: digests of what callers ask for, by which a retry is told from another request under the same key."""

from hashlib import blake2b
from typing import Final, TypeAlias

from farebox.core.credit.shortfalls import Above
from farebox.core.pricing.priced import written_quantities

Quantities: TypeAlias = tuple[tuple[str, int], ...]
"""How much was used, by the lines of a price, sorted by name."""

_FINGERPRINT_BYTES: Final = 8
_REFUSE: Final = Above.REFUSE


def digest(text: str) -> bytes:
    """Digest what was asked for, written as a text."""
    return blake2b(text.encode(), digest_size=_FINGERPRINT_BYTES).digest()


def fingerprint_of_key(idempotency_key: str) -> bytes:
    """Digest what Farebox does by itself, which its key tells in full."""
    return digest(idempotency_key)


def written_measures(quantities: Quantities | None, requested_at: int | None) -> str:
    """Write what only some charges and holds name; retries of earlier ones, which could not, stay retries."""
    if quantities is None and requested_at is None:
        return ""
    return f"\n{written_quantities(quantities or ())}\n{requested_at or ''}"


def written_above(above: Above) -> str:
    """Write what only some charges and captures say; retries of earlier ones, which could not, stay retries."""
    return "" if above is _REFUSE else f"\nabove={above}"
