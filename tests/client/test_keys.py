"""Idempotency keys are UUIDs of version 7 that rise, whatever the clock does, and are never made twice."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from farebox_client import new_key
from farebox_client.keys import KeyMaker

YEAR_2200_NS = 7_258_118_400 * 10**9


@given(st.lists(st.tuples(st.integers(0, YEAR_2200_NS), st.binary(min_size=8, max_size=8)), min_size=1, max_size=50))
def test_keys_rise_whatever_the_clock_and_chance_are(moments: list[tuple[int, bytes]]) -> None:
    clock, chance = iter(moments), iter(moments)
    maker = KeyMaker(lambda: next(clock)[0], lambda _: next(chance)[1])
    keys = [maker.make() for _ in moments]
    assert sorted(set(keys)) == keys
    for key in keys:
        read = uuid.UUID(key)
        assert (str(read), 7, uuid.RFC_4122) == (key, read.version, read.variant)


@given(st.integers(0, YEAR_2200_NS))
def test_a_key_tells_the_millisecond_it_was_made_in(moment: int) -> None:
    key = uuid.UUID(KeyMaker(lambda: moment).make())
    assert moment // 1_000_000 == key.int >> 80


def test_keys_of_later_moments_sort_later_across_processes() -> None:
    moments = range(10**6, 10 * 10**6, 250)
    keys = [KeyMaker(lambda moment=moment: moment).make() for moment in moments]  # type: ignore[misc]
    assert sorted(keys) == keys


def test_threads_never_make_the_same_key() -> None:
    def make_some(_: int) -> list[str]:
        keys = [new_key() for _ in range(2_000)]
        assert sorted(keys) == keys
        return keys

    with ThreadPoolExecutor(8) as threads:
        keys = [key for made in threads.map(make_some, range(8)) for key in made]
    assert len(keys) == len(set(keys))
    assert abs(time.time() - (uuid.UUID(new_key()).int >> 80) / 1000) < 60
