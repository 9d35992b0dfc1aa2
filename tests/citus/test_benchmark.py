"""The benchmark of spread ledgers, in short."""

import pytest

from benchmarks.spread import CASES, WORKERS, run


@pytest.mark.timeout(900)
async def test_a_spread_ledger_is_measured_beside_a_plain_one() -> None:
    found = await run(merchants=20, rounds=1, seconds=0.3)
    assert [(case, workers) for case, *_ in CASES for workers in (0, *WORKERS)] == [
        (it.case, it.workers) for it in found
    ]
    assert all(it.per_second > 0 for it in found)
    assert all((it.workers_us > 0) is (it.workers > 0) for it in found)
