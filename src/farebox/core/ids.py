"""Public ids: a prefix that says the kind, then Crockford base32 that sorts as the number does.

A merchant's number is 63 bits: 42 of milliseconds since 1970, so ids sort by time, and 21 of randomness. What lives in
a merchant's book (transfers, holds, alerts) is numbered within it, and its public id is the merchant's number followed
by its own: `xfer_` + 13 characters + 8 characters. Such an id needs no column and no index, names the merchant whose
shard to ask, and sorts in the order of the book. See docs/decisions/0002-derived-ids.md.
"""

from functools import lru_cache
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BITS_PER_CHAR: Final = 5
_PAIRS: Final = tuple(high + low for high in ALPHABET for low in ALPHABET)

NUMBER_CHARS: Final = 13
SEQ_CHARS: Final = 8
NUMBER_MAX: Final = 2**63 - 1
SEQ_MAX: Final = 2 ** (_BITS_PER_CHAR * SEQ_CHARS) - 1
RANDOM_BITS: Final = 21
_TIME_MS_MAX: Final = 2**42 - 1
_KEPT_MAX: Final = 16_384

MERCHANT: Final = "mer_"
TRANSFER: Final = "xfer_"
HOLD: Final = "hold_"
ALERT: Final = "alert_"
PRICE: Final = "price_"
USER: Final = "user_"
KEY: Final = "key_"
APPROVAL: Final = "appr_"
NOTE: Final = "note_"
GRANT: Final = "grant_"
ACCOUNT_MAIL: Final = "let_"
DESTINATION: Final = "dest_"


def new_number(time_ms: int, random_bits: int) -> int:
    """Compose a merchant's, user's, key's or price's number from the time and RANDOM_BITS random bits.

    Args:
        time_ms: milliseconds since 1970, below 2^42 (the year 2109).
        random_bits: 0 to 2^RANDOM_BITS - 1. Of two processes' numbers of one millisecond that also agree here, one
            chance in two million, the second is refused by the database's primary key, with nothing changed.

    Raises:
        ValueError: one of them is out of range.
    """
    if not (0 <= time_ms <= _TIME_MS_MAX and 0 <= random_bits < 1 << RANDOM_BITS):
        raise ValueError("an id's time or random part is out of range")
    return time_ms << RANDOM_BITS | random_bits


@lru_cache(maxsize=_KEPT_MAX)
def encode_number(number: int) -> str:
    """Write a number of up to 63 bits as 13 base32 characters; few merchants make most charges, so the text is kept."""
    pairs = _PAIRS
    return (
        ALPHABET[number >> 60]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )


def encode_seq(seq: int) -> str:
    """Write a number within a merchant's book, up to 2^40 - 1, as 8 base32 characters."""
    pairs = _PAIRS
    return pairs[seq >> 30 & 1023] + pairs[seq >> 20 & 1023] + pairs[seq >> 10 & 1023] + pairs[seq & 1023]


def public_id(prefix: str, number: int) -> str:
    """Name a merchant, user, key or price: its prefix and number."""
    return prefix + encode_number(number)


def book_id(prefix: str, *, merchant_id: int, seq: int) -> str:
    """Name a transfer, hold or alert: its prefix, its merchant's number and its own within the merchant's book."""
    return prefix + encode_number(merchant_id) + encode_seq(seq)
