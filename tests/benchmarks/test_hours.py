"""The cost of a look at a runway, measured in short."""

from pathlib import Path

from benchmarks import ledgers
from benchmarks.backtest.hours import measure, table


async def test_merchants_with_few_and_many_types_are_looked_at(tmp_path: Path) -> None:
    with ledgers.engine("sqlite", tmp_path) as engine:
        costs = await measure(engine, (1, 3))
    assert [("sqlite", 1), ("sqlite", 3)] == [(cost.engine, cost.types) for cost in costs]
    # To learn from eight weeks takes milliseconds of arithmetic, whatever the machine.
    assert all(0 < cost.read_ms < cost.look_ms for cost in costs)
    assert 2 + len(costs) == len(list(table(costs)))
