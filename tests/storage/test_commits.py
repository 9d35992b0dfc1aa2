"""The thread that commits: it begins when there is something to commit, and ends with those who need it."""

import asyncio
import gc
import threading
import time
from pathlib import Path

import apsw
import pytest

from farebox.storage.sqlite.commits import THREAD_NAME, Commits

ENDS_S = 10.0


@pytest.fixture
def connection(tmp_path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(tmp_path / "some.db"))
    connection.execute("CREATE TABLE number (value INTEGER)")
    return connection


def threads() -> int:
    return sum(thread.name == THREAD_NAME for thread in threading.enumerate())


async def put(commits: Commits, connection: apsw.Connection, value: int) -> None:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO number VALUES (?)", (value,))
    await commits.begin(connection).see_through()


async def test_one_thread_is_there_from_the_first_commit_until_it_is_closed(connection: apsw.Connection) -> None:
    before = threads()
    commits = Commits()
    assert before == threads()
    for value in range(3):
        await put(commits, connection, value)
    assert before + 1 == threads()
    commits.close()
    commits.close()
    assert before == threads()
    await put(commits, connection, 3)
    assert before + 1 == threads()
    commits.close()
    assert [(0,), (1,), (2,), (3,)] == connection.execute("SELECT value FROM number").fetchall()


async def test_the_thread_ends_with_those_whom_nobody_closed(connection: apsw.Connection) -> None:
    before = threads()
    commits = Commits()
    await put(commits, connection, 1)
    del commits
    gc.collect()
    until = time.monotonic() + ENDS_S
    while threads() > before and time.monotonic() < until:
        await asyncio.sleep(0.01)
    assert before == threads()


async def test_what_a_commit_failed_with_is_told(connection: apsw.Connection) -> None:
    commits = Commits()
    commit = commits.begin(connection)
    await commit.see_through()
    assert "no transaction" in str(commit.failure)
    await put(commits, connection, 1)
    commits.close()
