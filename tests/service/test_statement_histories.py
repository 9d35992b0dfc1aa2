"""Statements of any history, whole or in parts that continue one another: what Farebox wrote is clean, offline too."""

import io
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

import pytest

from farebox.service.inputs import format_time
from farebox.service.statements.check import Ending, check_statement
from farebox.service.statements.grant_check import GrantCheck
from farebox.service.statements.price_check import PriceCheck
from farebox.service.statements.reader import QueryLimits, Statements
from farebox.storage.stores import Stores
from farebox_client import statement as offline
from tests.core.scenarios import MERCHANTS, long_scenario, played
from tests.support.effort import examples

HISTORIES: Final = examples(100).max_examples
"""Short ones seldom come to a hold that is captured over a cut, or to units that a refund gave back."""

_BUNDLES: Final = 4
_CUTS_MAX: Final = 3


@pytest.mark.parametrize("bundle", range(_BUNDLES))
async def test_statements_of_any_history_are_clean(tmp_path: Path, bundle: int) -> None:
    for seed in range(bundle, HISTORIES, _BUNDLES):
        store, _ = played(long_scenario(seed))
        for merchant_id in MERCHANTS:
            times = sorted({transfer.committed_at for transfer in store.books[merchant_id]})[1:]
            cuts = Random(seed).sample(times, min(len(times), _CUTS_MAX))
            try:
                await _check(store.stores, merchant_id, cuts, tmp_path / "statement.jsonl")
            except BaseException as error:
                error.add_note(f"it is of merchant {merchant_id} in long_scenario({seed})")
                raise


async def _check(stores: Stores, merchant_id: int, cuts: list[int], path: Path) -> None:
    """See that the whole is clean, and each part, both for itself and as it continues the part before."""
    assert [] == check_statement(io.BytesIO(await _exported(stores, merchant_id, None, None, path))).faults
    after: Ending | None = None
    prices, grants = PriceCheck(), GrantCheck()
    for start, end in pairwise([None, *sorted(cuts), None]):
        part = await _exported(stores, merchant_id, start, end, path)
        assert [] == check_statement(io.BytesIO(part)).faults
        report = check_statement(io.BytesIO(part), after=after, prices=prices, grants=grants)
        assert [] == report.faults
        after = report.ending


async def _exported(stores: Stores, merchant_id: int, start: int | None, end: int | None, path: Path) -> bytes:
    """Export a stretch of a book, which the script that merchants have must find clean."""
    times = [None if time is None else format_time(time) for time in (start, end)]
    statements = Statements(stores, QueryLimits(export_rows=7))
    pieces = await statements.export_lines(merchant_id, start=times[0], end=times[1])
    part = b"".join([piece async for piece in pieces])
    path.write_bytes(part)
    assert offline.verify(str(path)).startswith("Clean: ")
    return part
