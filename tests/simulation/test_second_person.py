"""Stories of people who want to raise balances alone, against the whole service on both engines.

Each is told from a seed, which a failure names.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.config import Settings
from tests.simulation.people_story import LIMITS_SETTING, PRICE, START, WORDS, PeopleStory
from tests.simulation.test_simulation import SEEDS
from tests.support.clock import StoppableClock
from tests.support.postgres import Databases

STORIES: Final = SEEDS // 10
"""On each engine: these stories wait for disks, as those in memory do not."""

_STORIES_PER_DATABASE: Final = 100
"""They leave accounts behind, and each change of the staff looks at all of them."""


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[int], AbstractContextManager[str]]:
    """Lend an empty database of a number, on each engine in turn."""
    if request.param == "sqlite":
        return lambda number: nullcontext(f"sqlite:///{tmp_path / str(number)}.db")
    server: Databases = request.getfixturevalue("postgres_server")
    return lambda _: server.database()


@asynccontextmanager
async def _teller(database_url: str) -> AsyncIterator[Callable[[int], PeopleStory]]:
    """Prepare two processes over one database, by one clock, and lend what makes the story of a seed there."""
    clock = StoppableClock()
    clock.stopped_at = START
    settings = Settings.of(database_url=database_url, approval_above=LIMITS_SETTING)
    fareboxes = [Farebox.build(settings, clock=clock) for _ in range(2)]
    await fareboxes[0].stores.connector.migrate(START)
    async with fareboxes[0].running(), fareboxes[1].running():
        await fareboxes[0].services.prices.set(PRICE, None)
        yield lambda seed: PeopleStory(seed, fareboxes, clock)


@pytest.mark.timeout(3_600)
async def test_nobody_raises_more_than_the_limit_alone(database: Callable[[int], AbstractContextManager[str]]) -> None:
    """They make keys and accounts of all kinds; each answer is the slow model's. The stories come to every outcome."""
    tally: Counter[tuple[str, str]] = Counter()
    for first in range(0, STORIES, _STORIES_PER_DATABASE):
        with database(first) as url:
            async with _teller(url) as story_of:
                for seed in range(first, min(first + _STORIES_PER_DATABASE, STORIES)):
                    story = story_of(seed)
                    try:
                        await story.tell()
                    except BaseException as error:
                        error.add_note(f"the story's seed is {seed}")
                        raise
                    tally.update(story.tally)
    assert set() == {(action, word) for action, words in WORDS.items() for word in words} - tally.keys()
