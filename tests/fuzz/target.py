"""One thing that reads inputs from outside, what they look like, and what must come of each."""

import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Generic, TypeVar

from tests.fuzz.making import Make

T = TypeVar("T")
R = TypeVar("R")

FAILURES_SHOWN_MAX: Final = 5
_SHOWN_CHARS_MAX: Final = 2_000


@dataclass(frozen=True)
class Target(Generic[T]):
    """A fuzzed reader: `check` raises for an input that was neither taken for what it is nor refused by its name."""

    name: str
    make: Make[T]
    check: Callable[[T], None]
    share: int
    """How many of a thousand inputs are for this one."""


@dataclass
class Tally:
    """What so many inputs came to; the failures are told in words, the first few of them."""

    inputs: int = 0
    failures: int = 0
    told: list[str] = field(default_factory=list)


def fuzz(target: Target[Any], *, inputs: int, seed: int, first: int = 0) -> Tally:
    """Try inputs. Each is made from a seed of its own, by which a failure names it."""
    tally = Tally()
    for number in range(first, first + inputs):
        made = target.make(Random(f"{seed} {target.name} {number}"))
        tally.inputs += 1
        try:
            target.check(made)
        except Exception:
            tally.failures += 1
            if len(tally.told) < FAILURES_SHOWN_MAX:
                shown = repr(made)[:_SHOWN_CHARS_MAX]
                tally.told.append(f"{target.name}, seed {seed}, input {number}: {shown}\n{traceback.format_exc()}")
    return tally


def run_now(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run what awaits nothing that is not there yet, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    coroutine.close()
    raise AssertionError("this waits for something")
