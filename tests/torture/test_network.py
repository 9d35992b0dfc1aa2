"""The short form of the network torture; `make torture` runs the long one."""

from tests.torture.network import network_torture


async def test_a_bad_network_loses_nothing_and_doubles_nothing(postgres_url: str) -> None:
    figures, transfers, balances, proxy = await network_torture(
        postgres_url, seed_number=1, rounds=1, stall_s=2, program="tests.torture.short_timeouts_server"
    )
    assert proxy.cuts > 0
    assert proxy.commit_cuts > 0
    assert figures.done > 100
    assert figures.unanswered > 0
    assert transfers > figures.done
    assert {200, 500} == set(balances)
