"""A new version comes while the one before it serves: the database is upgraded under it, and the new one takes over."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from farebox.storage import sql
from tests.e2e import newer
from tests.e2e.traffic import Traffic, check_books
from tests.support.server import Seeds, Server, ServerError, open_farebox, seed

ROOT: Final = Path(__file__).parents[2]
NEXT: Final = "tests.e2e.newer"
IMAGE_MICROS: Final = 10_000
PAID_MICROS: Final = 1_000_000_000_000
REACHED: Final = 100


async def test_servers_go_on_while_the_database_is_upgraded_and_hand_over_to_newer_ones(
    database_url: str, tmp_path: Path
) -> None:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox, balance=str(PAID_MICROS // 1_000_000))
    environment = {"PYTHONPATH": str(ROOT)}
    with Server(database_url) as older, Server(database_url) as other:
        with (
            pytest.raises(ServerError, match="lacks 9998_more; run: farebox init"),
            Server(database_url, program=NEXT, environment=environment),
        ):
            pass
        before = Load([older, other], seeds, "before")
        await before.traffic.reached(REACHED)
        assert "applied 9998_more" in await asyncio.to_thread(_upgrade, database_url, tmp_path)
        await before.traffic.reached(len(before.traffic.acknowledged) + REACHED)
        charged = await before.end()
        assert not before.traffic.lost

        with Server(database_url, program=NEXT, environment=environment) as next_one:
            after = Load([older, next_one], seeds, "after")
            await after.traffic.reached(REACHED)
            assert 0 == await asyncio.to_thread(older.stop)
            await after.traffic.reached(len(after.traffic.acknowledged) + REACHED)
            charged += await after.end()
            with pytest.raises(ServerError, match="the database is newer than this program"):
                older.start()
    with mock.patch.object(sql, "migrations", newer.migrations):
        async with open_farebox(database_url) as farebox:
            await check_books(farebox, seeds, charged=charged, balance_micros=PAID_MICROS - charged * IMAGE_MICROS)


class Load:
    """Clients that charge until they are told to end, each key until it is answered."""

    def __init__(self, servers: Sequence[Server], seeds: Seeds, name: str) -> None:
        self.traffic = Traffic(servers, seeds)
        self._name = name
        self._count = 0
        self._is_over = False
        self._running = asyncio.create_task(self.traffic.charge_until_answered(self._keys()))

    async def end(self) -> int:
        """Wait for the answers that are owed, and return how many charges there were: every one of them."""
        self._is_over = True
        await self._running
        assert self._count == len(self.traffic.acknowledged)
        return self._count

    def _keys(self) -> Iterator[str]:
        while not self._is_over:
            self._count += 1
            yield f"{self._name}-{self._count}"


def _upgrade(database_url: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", NEXT, "init"],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FAREBOX_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout
