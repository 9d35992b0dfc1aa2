"""The commands of docs/how-to/back-up.md, under load: what they bring back verifies, and is the ledger of a moment."""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from tests.support.postgres import PostgresServer
from tests.support.server import Seeds, Server, open_farebox
from tests.torture.checker import check, check_beginning
from tests.torture.crashes import USERS, prepare
from tests.torture.load import Load
from tests.torture.requests import MOVING_NOTHING, Request, Script

PAGE: Final = Path(__file__).parents[2] / "docs/how-to/back-up.md"
LOGIN: Final = "postgresql://farebox:secret@db.example"
RECOVERED_URL: Final = "postgresql://farebox:secret@restored.example/farebox"
MOMENT: Final = "2026-11-23 14:05:00+00"
PROGRAMS: Final = Path(sys.executable).parent
REQUESTS: Final = 60
WAIT_S: Final = 60
POLL_PAUSE_S: Final = 0.05


def _blocks(heading: str, places: Mapping[str, str]) -> list[str]:
    """Return the blocks of code below a heading, with these places in place of the page's."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```\w+\n(.*?)^```$", _put(section, places), re.MULTILINE | re.DOTALL)


def _put(text: str, places: Mapping[str, str]) -> str:
    """Put these places where the page's own are."""
    for name, place in places.items():
        assert name in text, f"{name} is not in the page's commands"
        text = text.replace(name, place)
    return text


async def _shell(script: str, environment: Mapping[str, str] | None = None) -> str:
    """Run commands in which `farebox` is this one, and return what they say."""
    shell = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-eu", "-c", script),
        env={**os.environ, "PATH": f"{PROGRAMS}:{os.environ['PATH']}", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await shell.communicate()
    assert 0 == shell.returncode, f"{script}\n{output.decode()}"
    return output.decode()


def _done(script: Script) -> list[Request]:
    return [request for request in script.requests if request.state == "done"]


async def _check(restored_url: str, original_url: str, merchants: list[Seeds], told: list[Request]) -> None:
    """Check that a restored ledger is a beginning of the original, and not all of it, with all that had been told."""
    async with open_farebox(restored_url) as restored, open_farebox(original_url) as original:
        count, original_count = await check_beginning(restored, original, merchants, told)
    moved = [request for request in told if request.kind not in MOVING_NOTHING]
    assert len(moved) < count < original_count


async def test_sqlite_is_backed_up_under_load_and_restored(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    places = {"/srv/backup": str(tmp_path / "backup"), "/var/lib/farebox": str(tmp_path)}
    back_up, restore = _blocks("SQLite", places)
    merchants = await prepare(url)
    script = Script(merchants, 1)
    told: list[Request] = []
    with Server(url, workers=1) as server:
        load = Load([server], script)

        async def save() -> None:
            await load.done(REQUESTS)
            told.extend(_done(script))
            await _shell(back_up, {"FAREBOX_DATABASE_URL": url})
            await load.done(REQUESTS)

        await load.run(save())
    assert "Clean:" in await _shell(restore)
    await _check(f"sqlite:///{tmp_path / 'restored.db'}", url, merchants, told)
    async with open_farebox(url) as farebox:
        await check(farebox, merchants, script.requests, users=USERS)


async def test_postgresql_is_backed_up_under_load_and_restored_from_a_copy_and_to_a_point_in_time() -> None:
    with PostgresServer() as postgres:
        backup = postgres.folder / "backup"
        url = postgres.create_database()
        login, _, database = url.rpartition("/")
        places = {"/srv/backup": str(backup), f"{LOGIN}/farebox": url, LOGIN: login}
        dump, restore, check_copy = _blocks("PostgreSQL: a copy", places)
        places = {"/srv/backup": str(backup), LOGIN: login}
        settings, copy_all, recover, check_recovered = _blocks("PostgreSQL: any point in time", places)
        postgres.shell(f"mkdir -p {backup}/wal; cat >> data/postgresql.conf <<'END'\n{settings}END")
        postgres.stop()
        postgres.start()
        merchants = await prepare(url)
        script = Script(merchants, 1)
        before_dump: list[Request] = []
        before_moment: list[Request] = []
        moment = ""
        with Server(url, workers=1) as server:
            load = Load([server], script)

            async def save() -> None:
                nonlocal moment
                await asyncio.to_thread(postgres.shell, copy_all)
                await load.done(REQUESTS)
                before_dump.extend(_done(script))
                await asyncio.to_thread(postgres.shell, dump)
                await load.done(REQUESTS)
                before_moment.extend(_done(script))
                moment = datetime.now(UTC).isoformat(" ")
                await load.done(REQUESTS)

            await load.run(save())
        await asyncio.to_thread(postgres.shell, restore)
        assert "Clean:" in await _shell(check_copy)
        await _check(f"{login}/restored", url, merchants, before_dump)
        await _archive_all(url)

        def fill(data: Path) -> None:
            postgres.shell(_put(recover, {"/var/lib/postgresql/restored": str(data), MOMENT: moment}))

        with PostgresServer(original=postgres, fill=fill) as recovered:
            recovered_url = recovered.url(database)
            await _until_it_takes_writes(recovered_url)
            assert "Clean:" in await _shell(_put(check_recovered, {RECOVERED_URL: recovered_url}))
            await _check(recovered_url, url, merchants, before_moment)
        async with open_farebox(url) as farebox:
            await check(farebox, merchants, script.requests, users=USERS)


async def _archive_all(url: str) -> None:
    """Wait until all of the log so far is in the archive."""
    connection = await asyncpg.connect(url)
    try:
        segment = await connection.fetchval("SELECT pg_walfile_name(pg_switch_wal())")
        deadline = time.monotonic() + WAIT_S
        while (await connection.fetchval("SELECT last_archived_wal FROM pg_stat_archiver") or "") < segment:
            assert time.monotonic() < deadline, "the log is not archived"
            await asyncio.sleep(POLL_PAUSE_S)
    finally:
        await connection.close()


async def _until_it_takes_writes(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        deadline = time.monotonic() + WAIT_S
        while await connection.fetchval("SELECT pg_is_in_recovery()"):
            assert time.monotonic() < deadline, "recovery does not end"
            await asyncio.sleep(POLL_PAUSE_S)
    finally:
        await connection.close()
