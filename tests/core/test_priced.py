"""What a transfer says it was priced by: one text, with one reading."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.pricing.priced import Priced, priced_text, read_priced
from tests.support.price_rules import LINE_NAMES

NUMBERS = st.integers(0, 12) | st.integers(0, 10**12)
UNITS = st.integers(1, 9 * 10**18)
PRICED = st.builds(
    Priced,
    st.dictionaries(st.sampled_from(LINE_NAMES), NUMBERS, min_size=1),
    st.none() | st.integers(1, 9),
    st.none() | st.integers(1, 16),
    st.dictionaries(st.sampled_from(LINE_NAMES), UNITS),
    st.none() | st.integers(0, 10**17),
)


@given(PRICED)
def test_what_is_written_is_read_back(priced: Priced) -> None:
    assert priced == read_priced(priced_text(priced))


@pytest.mark.parametrize(
    ("priced", "text"),
    [
        (Priced({"requests": 1}), "requests=1"),
        (Priced({"output": 350, "input": 1200}), "input=1200,output=350"),
        (Priced({"input": 0}, tier=1), "input=0;tier=1"),
        (Priced({"input": 1}, before={"input": 0}), "input=1"),
        (
            Priced({"output": 350, "input": 1200}, 1, 2, {"input": 4_999_950, "cached": 7}, 1_774_735_200_000_000),
            "input=1200,output=350;tier=1;window=2;before=cached:7,input:4999950;at=1774735200000000",
        ),
    ],
)
def test_the_text_is_as_documented(priced: Priced, text: str) -> None:
    assert text == priced_text(priced)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "input",
            "input=",
            "input=x",
            "=1=",
            "input=1=2",
            "input=01",
            "input=+1",
            "input=1_0",
            "input= 1",
            "input=\uff11",
        ),
        *("output=1,input=2", "input=1,input=1", "input=1,", ",input=1", "input=1;", ";;", "input=1;tier"),
        *("input=1;tier=", "input=1;tier=x", "input=1;tier=1;tier=1", "input=1;window=1;tier=1", "input=1;other=1"),
        *("input=1;before=", "input=1;before=input:0", "input=1;before=output:1,input:1", "input=1;before=input=1"),
        *("input=1;at=1;before=input:1", "input=1;at=", "input=1;at=1.5", "input=1\n", "input:1"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_priced(text)


PIECES = st.sampled_from([*"ab=,;:01-+_ \n", "tier", "window", "before", "at", "a=1", ";at=1"])


@given(st.lists(PIECES, max_size=12).map("".join))
def test_whatever_is_read_is_written_the_same(text: str) -> None:
    with suppress(ValueError):
        assert text == priced_text(read_priced(text))
