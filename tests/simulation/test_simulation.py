"""Thousands of simulated days: whatever goes wrong, nothing is lost or doubled. A failure names its seed."""

import asyncio
import logging
import os
from collections import Counter
from typing import Final

import pytest

from tests.simulation.alert_story import CLAIMS, AlertStory
from tests.simulation.shortfall_checks import count_shortfalls
from tests.simulation.story import Story
from tests.simulation.world import WorldLoop, run

SEEDS: Final = int(os.environ.get("FAREBOX_TEST_SEEDS", "480"))
"""`make simulation` tries more: what loses or doubles a batch whose fate is unknown is found by every third seed."""

_BUNDLES: Final = 8


@pytest.fixture(autouse=True)
def _quiet() -> None:
    # Every trouble is logged, as it should be; here there are too many to read.
    logging.getLogger("farebox").setLevel(logging.CRITICAL + 1)


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("bundle", range(_BUNDLES))
def test_whatever_goes_wrong_nothing_is_lost_or_doubled(bundle: int) -> None:
    for seed in range(bundle, SEEDS, _BUNDLES):
        try:
            run(Story(seed).tell())
        except BaseException as error:
            error.add_note(f"replay it with: run(Story({seed}).tell())")
            raise


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("bundle", range(_BUNDLES))
def test_whatever_goes_wrong_users_are_told_once_and_only_what_is_true(bundle: int) -> None:
    for seed in range(bundle, SEEDS // 2, _BUNDLES):
        try:
            run(AlertStory(seed).tell())
        except BaseException as error:
            error.add_note(f"replay it with: run(AlertStory({seed}).tell())")
            raise


def test_alert_stories_come_to_every_mail_and_fate() -> None:
    """They say little of mails that are never owed, sent late, or withdrawn."""
    tally: Counter[str] = Counter()
    for seed in range(150):
        story = AlertStory(seed)
        run(story.tell())
        tally.update(story.tally())
    assert {*CLAIMS, "withdrawn", "sent", "given up", "joined", "too late for who left"} == tally.keys()


def test_stories_come_to_every_trouble() -> None:
    """A simulation says little of what never happens in it."""
    troubles: Counter[str] = Counter()
    extensions: Counter[str] = Counter()
    given: Counter[str] = Counter()
    budgets: Counter[str] = Counter()
    shortfalls: Counter[str] = Counter()
    mails = 0
    for seed in range(100):
        story = Story(seed)
        run(story.tell())
        troubles.update(story.troubles)
        extensions.update(story.extensions)
        given.update(story.given)
        budgets.update(story.budgets)
        shortfalls.update(count_shortfalls(story.rows()))
        mails += story.mails_taken
    assert {"committed", "failed before", "lost", "lost answer", "late", "late and lost"} == troubles.keys()
    assert {"ok", "again", "hold_expired", "hold_already_captured", "hold_already_released"} <= extensions.keys()
    assert {"given", "charged", "held", "captured", "came back"} <= given.keys()
    assert {"ended in its time", "ended at once", "ended by support"} <= given.keys()
    assert {"set", "changed", "taken away", "spent", "refused"} == budgets.keys()
    assert {"uncollected", "charged above a hold", "uncollected above a hold", "owed", "paid"} == shortfalls.keys()
    assert mails > 20


def test_a_seed_tells_the_same_story_again() -> None:
    first, second = Story(11), Story(11)
    run(first.tell())
    run(second.tell())
    assert first.rows() == second.rows()


def test_the_worlds_time_passes_at_once() -> None:
    async def sleep() -> float:
        await asyncio.sleep(86_400)
        return asyncio.get_running_loop().time()

    loop = WorldLoop()
    try:
        assert 86_400 <= loop.run_until_complete(sleep()) < 86_401
    finally:
        loop.close()
