"""The short form of the torture on a Citus of the test's own."""

from collections.abc import Iterator
from functools import partial

import pytest

from tests.support.citus import CitusCluster
from tests.torture.crashes import crash_torture
from tests.torture.spread import Trouble, kill_workers, move_shards, spread_torture


@pytest.fixture(scope="module")
def cluster() -> Iterator[CitusCluster]:
    """A coordinator and two workers."""
    with CitusCluster(workers=2) as cluster:
        yield cluster


@pytest.mark.timeout(900)
async def test_servers_killed_under_load_lose_nothing_and_double_nothing(cluster: CitusCluster) -> None:
    with cluster.database() as url:
        figures, transfers = await crash_torture(url, servers=2, rounds=6, seed_number=1)
    assert 6 == figures.rounds
    assert figures.done > 100
    assert figures.unanswered > 0
    assert transfers > figures.done


@pytest.mark.timeout(900)
async def test_workers_killed_under_load_lose_nothing_and_double_nothing(cluster: CitusCluster) -> None:
    trouble: Trouble = partial(kill_workers, cluster, rounds=4, seed_number=1)
    with cluster.database() as url:
        figures, transfers, balances = await spread_torture(url, trouble, seed_number=1)
    assert (4, 4) == (figures.rounds, figures.kills)
    assert figures.done > 100
    assert figures.unanswered > 0
    assert transfers > figures.done
    assert {200, 500} >= set(balances)


@pytest.mark.timeout(900)
async def test_shards_moved_and_split_under_load_lose_nothing_and_double_nothing(cluster: CitusCluster) -> None:
    with cluster.database() as url:
        trouble: Trouble = partial(move_shards, url, rounds=3, seed_number=1)
        figures, transfers, balances = await spread_torture(url, trouble, seed_number=1)
    assert 3 == figures.rounds
    assert figures.done > 100
    assert transfers > figures.done
    assert {200, 500} >= set(balances)
