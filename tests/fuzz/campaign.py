"""All that is fuzzed, and so many inputs of it, spread over the machine's processors."""

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Final

from tests.fuzz.gate import gate_targets
from tests.fuzz.price_lists import price_list_targets
from tests.fuzz.records import record_targets
from tests.fuzz.requests import request_targets
from tests.fuzz.rules import rule_targets
from tests.fuzz.target import FAILURES_SHOWN_MAX, Tally, Target, fuzz
from tests.fuzz.texts import text_targets
from tests.fuzz.whole import SHARES, open_whole, whole_targets

PARTS: Final[tuple[Target[Any], ...]] = (
    *text_targets(),
    *rule_targets(),
    *request_targets(),
    *record_targets(),
    *price_list_targets(),
    *gate_targets(),
)
_PIECE: Final = 2_000
"""How many inputs are tried at once, and how much a ledger sees before another one is taken and it is verified."""


@dataclass
class Campaign:
    """The result of a run: inputs by target, failures in words, transfers that were made and verified."""

    inputs: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    told: list[str] = field(default_factory=list)
    transfers: int = 0

    def add(self, name: str, tally: Tally, transfers: int) -> None:
        """Count one piece."""
        self.inputs[name] += tally.inputs
        self.failures += tally.failures
        self.told += tally.told
        self.transfers += transfers


def campaign(inputs: int, *, seed: int, processes: int | None = None) -> Iterator[Campaign]:
    """Try so many inputs, and yield what came of them so far after each piece; it stops when enough has failed."""
    found = Campaign()
    # Each process starts afresh: a loop and a database are no heritage.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes or os.cpu_count() or 1, mp_context=context) as pool:
        pieces = {pool.submit(try_piece, *piece, seed=seed): piece[0] for piece in _pieces(inputs)}
        for done in as_completed(pieces):
            found.add(pieces[done], *done.result())
            yield found
            if found.failures >= FAILURES_SHOWN_MAX:
                pool.shutdown(cancel_futures=True)
                return


def try_piece(name: str, first: int, inputs: int, *, seed: int) -> tuple[Tally, int]:
    """Try some inputs of one target; return what came of them, and how many transfers they made."""
    if name not in SHARES:
        (target,) = [target for target in PARTS if target.name == name]
        return fuzz(target, inputs=inputs, seed=seed, first=first), 0
    with open_whole() as whole:
        (target,) = [target for target in whole_targets(whole) if target.name == name]
        return fuzz(target, inputs=inputs, seed=seed, first=first), whole.verify()


def _pieces(inputs: int) -> list[tuple[str, int, int]]:
    shares = {**{target.name: target.share for target in PARTS}, **SHARES}
    total = sum(shares.values())
    wanted = {name: -(-inputs * share // total) for name, share in shares.items()}
    pieces = [
        (name, first, min(_PIECE, count - first)) for name, count in wanted.items() for first in range(0, count, _PIECE)
    ]
    # The longest first, so that no processor waits for the last one.
    return sorted(pieces, key=lambda piece: piece[0] not in SHARES)
