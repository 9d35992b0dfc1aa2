"""The short form of the crash torture; `make torture` runs the long one."""

import pytest

from tests.torture.crashes import crash_torture


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed_number", [1])
async def test_servers_killed_under_load_lose_nothing_and_double_nothing(database_url: str, seed_number: int) -> None:
    servers = 1 if database_url.startswith("sqlite") else 2
    figures, transfers = await crash_torture(database_url, servers=servers, rounds=6, seed_number=seed_number)
    assert 6 == figures.rounds
    assert figures.done > 100
    assert figures.unanswered > 0
    assert figures.over_budget > 0
    assert figures.short > 0
    assert transfers > figures.done
