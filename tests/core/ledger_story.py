"""One merchant's book with a transfer of every kind and of every shape, told command by command."""

from typing import Final

from farebox.core.accounts import Kind
from farebox.core.commands import (
    Adjust,
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    ExpireHold,
    Payer,
    Refund,
    ReleaseHold,
    ReverseTopUp,
    SetThresholds,
    TopUp,
)
from tests.core import strategies as some
from tests.core.applied import Books

STORY_MERCHANT: Final = some.ANN

_ME: Final = Payer(STORY_MERCHANT)
_UNIT: Final = some.UNIT
_STORY: Final[tuple[tuple[int, Command], ...]] = (
    (0, SetThresholds(STORY_MERCHANT, ())),
    (0, TopUp(STORY_MERCHANT, 40 * _UNIT, "INV-1", note="first")),
    (1, Charge(_ME, "image", 3, "c1", reference="job-1")),
    (1, Charge(_ME, "image", 1, "c2")),
    (2, Charge(_ME, "review", 1, "c3", amount=123_456)),
    (2, CreateHold(_ME, "image", 4, "h1", reference="job-2")),
    (3, CaptureHold(STORY_MERCHANT, 5, "k1", amount=_UNIT, reference="job-2")),
    (4, CreateHold(_ME, "image", 2, "h2", ttl_seconds=5)),
    (5, ReleaseHold(STORY_MERCHANT, 8, "r1", reference="job-3")),
    (6, CreateHold(_ME, "review", 1, "h3", amount=_UNIT, ttl_seconds=1)),
    (8, ExpireHold(STORY_MERCHANT, 10)),
    (7, CreateHold(_ME, "image", 1, "h4")),
    (8, CaptureHold(STORY_MERCHANT, 12, "k2")),
    (9, Refund(STORY_MERCHANT, 2, "f1", amount=_UNIT, note="half of it")),
    (9, Refund(STORY_MERCHANT, 6, "f2", reference="job-2")),
    (9, TopUp(STORY_MERCHANT, 2 * _UNIT, "INV-2")),
    (9, ReverseTopUp(STORY_MERCHANT, 16, "BACK-1", "bounced")),
    (9, Adjust(STORY_MERCHANT, 7, True, "A-1", "a gift")),
    (9, Adjust(STORY_MERCHANT, 5, False, "A-2", "a mistake")),
    (9, CreateHold(_ME, "pixel", 9, "h5")),
)


def told() -> Books:
    """Tell the story; every command goes through, and one hold stays open."""
    books = some.new_books()
    for seconds, command in _STORY:
        outcome = books.run([command], some.START + seconds * some.SECOND).outcomes[0]
        assert outcome.is_ok, (command, outcome)
    assert set(Kind) == {Kind(row.kind) for row in books.book(STORY_MERCHANT)}
    assert books.accounts[STORY_MERCHANT].held > 0
    return books
