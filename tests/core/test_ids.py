"""Public ids: written in Crockford's base32, and in the order of their numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids

NUMBERS = st.integers(0, ids.NUMBER_MAX)
SEQS = st.integers(0, ids.SEQ_MAX)
PREFIXES = [ids.MERCHANT, ids.TRANSFER, ids.HOLD, ids.ALERT, ids.PRICE, ids.USER, ids.KEY]
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def slowly(number: int, chars: int) -> str:
    """Write a number character by character."""
    return "".join(CROCKFORD[number // 32 ** (chars - 1 - place) % 32] for place in range(chars))


@given(NUMBERS, SEQS, st.sampled_from(PREFIXES))
def test_an_id_is_its_prefix_and_its_numbers_in_base_32(number: int, seq: int, prefix: str) -> None:
    assert prefix + slowly(number, 13) == ids.public_id(prefix, number)
    assert prefix + slowly(number, 13) + slowly(seq, 8) == ids.book_id(prefix, merchant_id=number, seq=seq)


@given(st.tuples(NUMBERS, SEQS), st.tuples(NUMBERS, SEQS))
def test_ids_sort_as_their_numbers_do(first: tuple[int, int], second: tuple[int, int]) -> None:
    texts = [ids.book_id(ids.TRANSFER, merchant_id=number, seq=seq) for number, seq in (first, second)]
    assert (first < second) is (texts[0] < texts[1])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0000000000000"),
        (1, "0000000000001"),
        (31, "000000000000Z"),
        (32, "0000000000010"),
        (2**63 - 1, "7ZZZZZZZZZZZZ"),
    ],
)
def test_a_number_is_thirteen_characters(number: int, text: str) -> None:
    assert text == ids.encode_number(number)


def test_a_new_number_is_the_time_and_then_random_bits() -> None:
    assert 1_800_000_000_000 << 21 | 5 == ids.new_number(1_800_000_000_000, 5)
    assert ids.new_number(1, 2**21 - 1) < ids.new_number(2, 0)
    assert ids.NUMBER_MAX == ids.new_number(2**42 - 1, 2**21 - 1)


@pytest.mark.parametrize(("time_ms", "random_bits"), [(-1, 0), (2**42, 0), (0, -1), (0, 2**21)])
def test_a_time_or_randomness_out_of_range_is_refused(time_ms: int, random_bits: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ids.new_number(time_ms, random_bits)
