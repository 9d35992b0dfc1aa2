"""The SQLite file is moved, or another one put in its place, under load; each time it comes back a moment later."""

import asyncio
import shutil
from pathlib import Path
from random import Random
from typing import Final

from tests.support.server import Server, open_farebox
from tests.torture.checker import check
from tests.torture.crashes import USERS, prepare
from tests.torture.load import Figures, Load
from tests.torture.requests import Script

REQUESTS: Final = 30
"""How many requests are done before the file goes, each time."""

WORKERS: Final = 2


async def file_torture(folder: Path, *, rounds: int, seed_number: int) -> tuple[Figures, int]:
    """Take the file away so many times, and return what it came to, and how many transfers there are."""
    path = folder / "data" / "farebox.db"
    path.parent.mkdir()
    url = f"sqlite:///{path}"
    merchants = await prepare(url)
    # The file that stands in is a ledger that would take every one of these charges.
    shutil.copyfile(path, folder / "other.db")
    random = Random(seed_number)
    script = Script(merchants, seed_number)
    with Server(url, workers=WORKERS) as server:
        load = Load([server], script)

        async def take_away() -> None:
            for _ in range(rounds):
                await load.done(REQUESTS)
                await asyncio.sleep(random.uniform(0, 0.1))
                way = random.choice((_move_file, _move_folder, _replace))
                back = way(path)
                await asyncio.sleep(random.uniform(0, 0.5))
                back[1].rename(back[0])
                load.figures.rounds += 1
            await load.done(REQUESTS)

        figures = await load.run(take_away())
        assert server.is_running()
    async with open_farebox(url) as farebox:
        return figures, await check(farebox, merchants, script.requests, users=USERS)


def _move_file(path: Path) -> tuple[Path, Path]:
    """Move the file; return where it belongs, and where it is."""
    away = path.with_suffix(".away")
    path.rename(away)
    return path, away


def _move_folder(path: Path) -> tuple[Path, Path]:
    folder = path.parent
    away = folder.with_name("away")
    folder.rename(away)
    return folder, away


def _replace(path: Path) -> tuple[Path, Path]:
    moved = _move_file(path)
    shutil.copyfile(path.parent.with_name("other.db"), path)
    return moved
