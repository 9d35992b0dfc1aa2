"""Statements of any history, whole or in parts that continue one another: what Farebox wrote is clean, offline too."""

import asyncio
import io
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.inputs import format_time
from farebox.service.statements.check import Ending, check_statement
from farebox.service.statements.grant_check import GrantCheck
from farebox.service.statements.price_check import PriceCheck
from farebox.service.statements.reader import QueryLimits, Statements
from farebox.storage.stores import Stores
from farebox_client import statement as offline
from tests.core.scenarios import MERCHANTS, Scenario, played, scenarios
from tests.support.effort import examples

CUTS_MAX: Final = 3


@examples(15)
@given(scenario=scenarios(), data=st.data())
def test_statements_of_any_history_are_clean(
    tmp_path_factory: pytest.TempPathFactory, scenario: Scenario, data: st.DataObject
) -> None:
    """Also each part for itself, though it begins with holds, counts and credit from before it."""
    path = tmp_path_factory.getbasetemp() / "statement.jsonl"
    store, _ = played(scenario)
    for merchant_id in MERCHANTS:
        times = sorted({transfer.committed_at for transfer in store.books[merchant_id]})
        cuts = data.draw(st.sets(st.sampled_from(times), max_size=CUTS_MAX)) if times else set()
        ends = [None, *sorted(cuts), None]
        after: Ending | None = None
        prices, grants = PriceCheck(), GrantCheck()
        for start, end in [(None, None), *pairwise(ends)]:
            part = asyncio.run(_exported(store.stores, merchant_id, start, end))
            assert [] == check_statement(io.BytesIO(part)).faults
            path.write_bytes(part)
            assert offline.verify(str(path)).startswith("Clean: ")
            if len(ends) > 2 and (start, end) != (None, None):
                report = check_statement(io.BytesIO(part), after=after, prices=prices, grants=grants)
                assert [] == report.faults
                after = report.ending
        assert after is None or after.seq == len(store.books[merchant_id])


async def _exported(stores: Stores, merchant_id: int, start: int | None, end: int | None) -> bytes:
    times = [None if time is None else format_time(time) for time in (start, end)]
    statements = Statements(stores, QueryLimits(export_rows=7))
    pieces = await statements.export_lines(merchant_id, start=times[0], end=times[1])
    return b"".join([piece async for piece in pieces])
