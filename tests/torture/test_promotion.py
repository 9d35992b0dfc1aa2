"""The short form of the promotion torture; `make torture` runs the long one."""

from tests.torture.promotion import promotion_torture


async def test_promoted_standbys_have_all_that_was_acknowledged_and_the_server_finds_them() -> None:
    figures, transfers, balances = await promotion_torture(
        ["killed", "dark"], seed_number=1, program="tests.torture.short_timeouts_server"
    )
    assert 2 == figures.rounds
    assert figures.done > 100
    assert figures.unanswered > 0
    assert transfers > figures.done
    assert balances[200] > 0
