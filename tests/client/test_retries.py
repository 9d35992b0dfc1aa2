"""When something is asked again: pauses that grow and are left to chance, an end in time, and no more than is known."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox_client import (
    FareboxError,
    IdempotencyConflict,
    InsufficientBalance,
    InvalidApiKey,
    OutcomeUnknown,
    Overloaded,
    Unreachable,
)
from farebox_client.retries import Attempts, Retries, as_known, may_be_asked_again, retry_after_seconds


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.integers(1, 80),
    st.floats(0, 1),
    st.floats(0, 10),
    st.floats(0, 100),
    st.one_of(st.none(), st.floats(0, 50)),
)
def test_pauses_grow_up_to_their_most_and_are_never_shorter_than_asked_for(
    attempts: int, chance: float, pause: float, pause_max: float, wanted: float | None
) -> None:
    retries = Retries(attempts=attempts, give_up_after=1e9, pause=pause, pause_max=pause_max)
    asked = Attempts(retries, now=Clock(), chance=lambda: chance)
    pauses = [asked.pause_or_none(Overloaded("not now", status=503, retry_after=wanted)) for _ in range(attempts)]
    assert pauses[-1] is None
    for number, told in enumerate(pauses[:-1]):
        assert told is not None
        longest = min(pause_max, pause * 2.0 ** min(number, 60))
        assert (wanted or 0) + chance * longest == pytest.approx(told)


def test_nothing_goes_on_beyond_the_deadline() -> None:
    clock = Clock()
    asked = Attempts(Retries(attempts=100, timeout=4, give_up_after=10, pause=0), now=clock)
    assert 4 == asked.timeout
    clock.now += 8
    assert (2, 0) == (asked.timeout, asked.pause_after(Overloaded("not now", status=503)))
    with pytest.raises(Overloaded):
        asked.pause_after(Overloaded("not now", status=503, retry_after=2))
    clock.now += 5
    assert 0 < asked.timeout < 0.1
    with pytest.raises(Overloaded):
        asked.pause_after(Overloaded("not now", status=503))


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (Overloaded("", status=503), True),
        (FareboxError("", status=429, code="rate_limited"), True),
        (FareboxError("", status=408), True),
        (FareboxError("", status=502), True),
        (FareboxError("", status=504), True),
        (OutcomeUnknown("", status=500), True),
        # The balance says 500 where others say 503.
        (FareboxError("", status=500, code="unavailable"), True),
        (Unreachable(""), True),
        (FareboxError("", status=500, code="internal_error"), False),
        (FareboxError("", status=501), False),
        (IdempotencyConflict("", status=409), False),
        (InsufficientBalance("", status=402), False),
        (InvalidApiKey("", status=401), False),
        (FareboxError("", status=200, code="unexpected_answer"), False),
    ],
)
def test_what_is_asked_again(failure: FareboxError, expected: bool) -> None:
    assert expected is may_be_asked_again(failure)


def test_what_is_told_after_a_lost_answer() -> None:
    """A repeat is answered before the balance is looked at, so that refusal tells of the first attempt, too."""
    for failure, kind, is_known in (
        (InsufficientBalance("", status=402, key="k"), InsufficientBalance, True),
        (IdempotencyConflict("", status=409, key="k"), IdempotencyConflict, True),
        (InvalidApiKey("", status=401, key="k"), InvalidApiKey, False),
        (Unreachable("", key="k"), Unreachable, False),
        (Overloaded("", status=503, key="k"), OutcomeUnknown, False),
    ):
        told = as_known(failure, is_uncertain=True)
        assert (kind, is_known, "k") == (type(told), told.is_known, told.key)
    for failure in (Overloaded("", status=503, key="k"), InvalidApiKey("", status=401, key="k")):
        assert failure is as_known(failure, is_uncertain=False)
        assert failure.is_known
    read = Overloaded("", status=503)
    assert read is as_known(read, is_uncertain=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0.0), ("7", 7.0), ("-3", 0.0), ("9" * 400, 1e9), (None, None), ("soon", None), ("", None)],
)
def test_retry_after_is_read(text: str | None, expected: float | None) -> None:
    assert expected == retry_after_seconds(text)


def test_retry_after_may_name_a_time() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    seconds = retry_after_seconds(later)
    assert seconds is not None
    assert 25 < seconds <= 30
    assert 0.0 == retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT")


@pytest.mark.parametrize(
    "settings", [{"attempts": 0}, {"timeout": 0}, {"give_up_after": -1}, {"pause": -1}, {"pause_max": -0.1}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"one attempt|above zero"):
        Retries(**settings)  # type: ignore[arg-type]
