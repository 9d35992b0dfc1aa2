"""A new version comes while the one before it serves: the database is upgraded under it, and the new one takes over."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from farebox.storage import sql
from tests.e2e import newer
from tests.e2e.traffic import Traffic, check_books
from tests.support.server import Server, ServerError, open_farebox, seed

ROOT: Final = Path(__file__).parents[2]
NEXT: Final = "tests.e2e.newer"
IMAGE_MICROS: Final = 10_000
PAID_MICROS: Final = 100_000_000
CHARGES_BEFORE: Final = 8_000
"""So many that the load outlasts the upgrade."""

CHARGES_AFTER: Final = 1_500
REACHED: Final = 100


async def test_servers_go_on_while_the_database_is_upgraded_and_hand_over_to_newer_ones(
    database_url: str, tmp_path: Path
) -> None:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
    environment = {"PYTHONPATH": str(ROOT)}
    with Server(database_url) as older, Server(database_url) as other:
        with (
            pytest.raises(ServerError, match="lacks 9998_more; run: farebox init"),
            Server(database_url, program=NEXT, environment=environment),
        ):
            pass
        traffic = Traffic([older, other], seeds)
        running = asyncio.create_task(
            traffic.charge_until_answered(f"first-{number}" for number in range(CHARGES_BEFORE))
        )
        await traffic.reached(REACHED)
        assert "applied 9998_more" in await asyncio.to_thread(_upgrade, database_url, tmp_path)
        assert not running.done(), "the upgrade was to happen under load"
        await running
        assert not traffic.lost

        with Server(database_url, program=NEXT, environment=environment) as next_one:
            traffic = Traffic([older, next_one], seeds)
            running = asyncio.create_task(
                traffic.charge_until_answered(f"then-{number}" for number in range(CHARGES_AFTER))
            )
            await traffic.reached(REACHED)
            assert 0 == await asyncio.to_thread(older.stop)
            await running
            with pytest.raises(ServerError, match="the database is newer than this program"):
                older.start()
    assert CHARGES_AFTER == len(traffic.acknowledged)
    with mock.patch.object(sql, "migrations", newer.migrations):
        async with open_farebox(database_url) as farebox:
            charged = CHARGES_BEFORE + CHARGES_AFTER
            await check_books(farebox, seeds, charged=charged, balance_micros=PAID_MICROS - charged * IMAGE_MICROS)


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
