"""Given credit in words: what ends when, what it pays for, and how much of a transfer it was."""

from datetime import UTC
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from farebox.core.accounts import Kind
from farebox.core.credit.grants import Grant, GrantTerms
from farebox.core.transfers import Transfer
from farebox.presenters.grant_words import ends_words, given_words, requested_terms, terms_words, types_words

FIRST_OF_DECEMBER: Final = 1_796_083_200_000_000
"""1 December 2026, 00:00 UTC."""


def _grant(types: str | None = None) -> Grant:
    return Grant(
        7, 1, 50_000_000, 20_000_000, "W", "trial", "grant W", bytes(8), expires_at=FIRST_OF_DECEMBER, types=types
    )


def _transfer(kind: Kind, amount: int, given: str | None) -> Transfer:
    return Transfer(7, 5, kind, amount, "key", bytes(8), 0, 0, FIRST_OF_DECEMBER, bytes(32), given=given)


def test_what_ends_is_told_with_the_time_of_the_reader() -> None:
    assert "20.00 ends on 1 December 2026, 00:00" == ends_words(_grant(), "USD", UTC)
    assert "20.00 ends on 30 November 2026, 19:00" == ends_words(_grant(), "USD", ZoneInfo("America/New_York"))
    assert "20.00 for image alone ends on 1 December 2026, 00:00" == ends_words(_grant("image"), "USD", UTC)
    assert "20 ends on 1 December 2026, 00:00" == ends_words(_grant(), "JPY", UTC)


@pytest.mark.parametrize(
    ("types", "words"),
    [
        (None, "every request type"),
        ("image", "image alone"),
        ("audio image", "audio and image alone"),
        ("a b c d", "a, b, c and d alone"),
        ("a b c d e", "a, b, c and 2 more alone"),
    ],
)
def test_few_types_are_named_and_many_counted(types: str | None, words: str) -> None:
    assert words == types_words(types)


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (Kind.CHARGE, None, ""),
        (Kind.CHARGE, "1:1500000", "1.50 of it given credit"),
        (Kind.CAPTURE, "1:1000000,2:500000", "1.50 of it given credit"),
        (Kind.HOLD, "1:4000000", "all of it given credit"),
        (Kind.REFUND, "1:1500000", "1.50 of it back to given credit"),
        (Kind.RELEASE, "3:4000000", "all of it back to given credit"),
        (Kind.EXPIRE, "3:1", "0.000001 of it back to given credit"),
        (Kind.GRANT, "1:4000000;priority=5", ""),
        (Kind.GRANT_EXPIRY, "1:4000000", ""),
    ],
)
def test_a_transfer_tells_how_much_of_it_was_given(kind: Kind, given: str | None, words: str) -> None:
    assert words == given_words(_transfer(kind, 4_000_000, given), "USD")


def test_terms_are_told_each_with_its_label() -> None:
    assert [
        ("Starts", "at once"),
        ("Ends", "not by itself"),
        ("Pays for", "every request type"),
        ("Priority", "0, spent before paid money"),
    ] == terms_words(GrantTerms(1), UTC)
    assert "It starts at once, ends 1 Dec 2026, 00:00 UTC, pays for image alone" == requested_terms(
        f"0:5000000;expires={FIRST_OF_DECEMBER};types=image", UTC
    )
    terms = GrantTerms(1, 5, FIRST_OF_DECEMBER, FIRST_OF_DECEMBER + 86_400_000_000, "image")
    assert [
        ("Starts", "1 Dec 2026, 00:00 UTC"),
        ("Ends", "2 Dec 2026, 00:00 UTC"),
        ("Pays for", "image alone"),
        ("Priority", "5, spent after paid money"),
    ] == terms_words(terms, UTC)
