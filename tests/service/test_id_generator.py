"""Ids never come twice, and sort in the order they were made."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.service.id_generator import IdGenerator
from tests.support.ledger import NOW, HeldClock


@given(st.lists(st.integers(-2_000, 2_000), max_size=50))
def test_numbers_rise_whatever_the_clock_does(steps: list[int]) -> None:
    clock = HeldClock()
    id_generator = IdGenerator(clock)
    made = [id_generator.next()]
    for step in steps:
        clock.move(micros=step)
        made.append(id_generator.next())
    assert made == sorted(set(made))


def test_a_number_says_when_it_was_made() -> None:
    assert NOW // 1000 == IdGenerator(HeldClock()).next() >> ids.RANDOM_BITS


def test_numbers_of_a_spent_millisecond_go_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbits", lambda bits: 2**bits - 1)
    id_generator = IdGenerator(HeldClock())
    first = id_generator.next()
    assert [first + 1, first + 2] == [id_generator.next(), id_generator.next()]
    assert NOW // 1000 + 1 == first + 1 >> ids.RANDOM_BITS


def test_two_processes_that_make_numbers_in_one_millisecond_differ() -> None:
    clock = HeldClock()
    assert len({IdGenerator(clock).next() for _ in range(8)}) > 1
