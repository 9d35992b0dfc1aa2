"""Ids never come twice, and sort in the order they were drawn."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core import ids
from farebox.service.ledger.id_generator import IdGenerator
from tests.service.conftest import START, HeldClock


@given(st.lists(st.integers(-2_000, 2_000), max_size=50))
def test_numbers_rise_whatever_the_clock_does(steps: list[int]) -> None:
    clock = HeldClock()
    numbers = IdGenerator(clock)
    drawn = [numbers.draw()]
    for step in steps:
        clock.move(micros=step)
        drawn.append(numbers.draw())
    assert drawn == sorted(set(drawn))


def test_a_number_says_when_it_was_drawn() -> None:
    assert START // 1000 == IdGenerator(HeldClock()).draw() >> ids.RANDOM_BITS


def test_numbers_of_a_spent_millisecond_go_on_in_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbits", lambda bits: 2**bits - 1)
    numbers = IdGenerator(HeldClock())
    first = numbers.draw()
    assert [first + 1, first + 2] == [numbers.draw(), numbers.draw()]
    assert START // 1000 + 1 == first + 1 >> ids.RANDOM_BITS


def test_two_processes_that_draw_in_one_millisecond_draw_apart() -> None:
    clock = HeldClock()
    assert len({IdGenerator(clock).draw() for _ in range(8)}) > 1
