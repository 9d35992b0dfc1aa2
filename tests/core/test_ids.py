"""Public ids: what is written is read back, sorts as its number does, and nothing else is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.core.ids import InvalidId

NUMBERS = st.integers(0, ids.NUMBER_MAX)
SEQS = st.integers(0, ids.SEQ_MAX)
PREFIXES = [ids.MERCHANT, ids.TRANSFER, ids.HOLD, ids.ALERT, ids.PRICE, ids.USER, ids.KEY]
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def slowly(number: int, chars: int) -> str:
    """Write a number character by character."""
    return "".join(CROCKFORD[number // 32 ** (chars - 1 - place) % 32] for place in range(chars))


@given(NUMBERS, SEQS, st.sampled_from(PREFIXES))
def test_what_was_written_is_read_back(number: int, seq: int, prefix: str) -> None:
    assert prefix + slowly(number, 13) == ids.public_id(prefix, number)
    assert number == ids.parse_public_id(prefix, ids.public_id(prefix, number))
    assert prefix + slowly(number, 13) + slowly(seq, 8) == ids.book_id(prefix, merchant_id=number, seq=seq)
    assert (number, seq) == ids.parse_book_id(prefix, ids.book_id(prefix, merchant_id=number, seq=seq))


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
    assert number == ids.decode_number(text)


NO_NUMBERS = [
    *("", "0", "000000000000", "00000000000000", "8000000000000", "ZZZZZZZZZZZZZ"),
    *("000000000000a", "000000000000I", "000000000000L", "000000000000O", "000000000000U", "000000000000-"),
    *(" 000000000000", "000000000000 ", "000000000000\n", "00000_0000000", "+000000000000", "-000000000000"),
    *("000000000000\u0663", "000000000000\uff11", "\x00000000000000"[:13], "0x00000000000"),
]


@pytest.mark.parametrize("text", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        ids.decode_number(text)
    with pytest.raises(InvalidId):
        ids.parse_public_id(ids.MERCHANT, f"mer_{text}")
    with pytest.raises(InvalidId):
        ids.parse_book_id(ids.TRANSFER, f"xfer_{text}00000001")


@pytest.mark.parametrize(
    "text", ["", "mer_", "MER_0000000000001", "key_0000000000001", "0000000000001", " mer_0000000000001"]
)
def test_an_id_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidId, match="mer_…"):
        ids.parse_public_id(ids.MERCHANT, text)


@pytest.mark.parametrize(
    "text",
    [
        "xfer_0000000000001",
        "hold_000000000000100000001",
        "xfer_00000000000010000001",
        "xfer_0000000000001000000011",
        "xfer_00000000000010000000i",
        "xfer_0000000000001 0000001",
    ],
)
def test_what_is_no_id_of_a_book_is_refused(text: str) -> None:
    with pytest.raises(InvalidId):
        ids.parse_book_id(ids.TRANSFER, text)


def test_a_new_number_is_the_time_and_then_random_bits() -> None:
    assert 1_800_000_000_000 << 21 | 5 == ids.new_number(1_800_000_000_000, 5)
    assert ids.new_number(1, 2**21 - 1) < ids.new_number(2, 0)
    assert ids.NUMBER_MAX == ids.new_number(2**42 - 1, 2**21 - 1)


@pytest.mark.parametrize(("time_ms", "random_bits"), [(-1, 0), (2**42, 0), (0, -1), (0, 2**21)])
def test_a_time_or_randomness_out_of_range_is_refused(time_ms: int, random_bits: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        ids.new_number(time_ms, random_bits)
