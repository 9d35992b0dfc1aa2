"""Open holds in words: how old they are."""

import pytest

from farebox.presenters.holds import span_words

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (-5 * SECOND, "0 seconds"),
        (SECOND - 1, "0 seconds"),
        (SECOND, "1 second"),
        (59 * SECOND, "59 seconds"),
        (60 * SECOND, "1 minute"),
        (3_599 * SECOND, "59 minutes"),
        (3_600 * SECOND, "1 hour"),
        (86_399 * SECOND, "23 hours"),
        (7 * 86_400 * SECOND, "7 days"),
    ],
)
def test_a_span_is_told_to_its_largest_unit(micros: int, words: str) -> None:
    assert words == span_words(micros)
