"""Debts outlive their process, go to one other, and are read by nobody else."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from farebox_client import spool_files
from farebox_client.metering.spool import Spool, SpoolFailed
from farebox_client.middleware.owed import Owed
from farebox_client.middleware.owed_spool import OwedSpool


def owed(key: str, amount: str = "1.00") -> Owed:
    return Owed(key, "mer_X", "call", "2026-01-01T00:00:00+00:00", amount=amount)


def refused(folder: Path) -> list[tuple[Owed, str]]:
    """Read what a closed spool has set aside, as an operator does."""
    (path,) = folder.glob("*.owed")
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT owed, refusal FROM owed WHERE refusal IS NOT NULL ORDER BY rowid")
        return [(Owed.of_json(text), refusal) for text, refusal in rows]


def test_what_is_written_is_read_and_forgotten(tmp_path: Path) -> None:
    spool = OwedSpool(tmp_path / "spool")
    for each in (owed("a"), owed("b"), owed("a", "2.00"), owed("c")):
        spool.put(each)
    spool.remove("b")
    spool.refuse("c", "no such key")
    assert [owed("a", "2.00")] == spool.waiting(10)
    spool.close()
    assert [(owed("c"), "no such key")] == refused(tmp_path / "spool")
    again = OwedSpool(tmp_path / "spool")
    assert [owed("a", "2.00")] == again.waiting(10)
    again.close()
    assert [(owed("c"), "no such key")] == refused(tmp_path / "spool")


def test_an_empty_spool_leaves_no_file(tmp_path: Path) -> None:
    spool = OwedSpool(tmp_path)
    spool.put(owed("a"))
    spool.remove("a")
    spool.close()
    assert [] == list(tmp_path.iterdir())


def test_a_spool_is_its_owners_alone_and_readable_by_nobody_else(tmp_path: Path) -> None:
    one, other = OwedSpool(tmp_path / "spool"), OwedSpool(tmp_path / "spool")
    one.put(owed("a"))
    third = OwedSpool(tmp_path / "spool")
    assert ([], []) == (other.waiting(10), third.waiting(10))
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").glob("*.owed*")}
    for spool in (one, other, third):
        spool.close()


def test_a_process_that_is_killed_leaves_what_it_owes_to_one_other(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from farebox_client.middleware.owed import Owed
from farebox_client.middleware.owed_spool import OwedSpool
spool = OwedSpool(Path({str(tmp_path)!r}))
for number in range(1000):
    spool.put(Owed(str(number), "mer_X", "call", "2026-01-01T00:00:00+00:00"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert -9 == subprocess.run([sys.executable, "-c", code], check=False).returncode
    heirs = [OwedSpool(tmp_path) for _ in range(3)]
    assert [1000, 0, 0] == [len(heir.waiting(10_000)) for heir in heirs]
    for heir in heirs:
        heir.close()
    assert 1 == len(list(tmp_path.glob("*.owed")))


class Others:
    """Other processes that look a folder over: they lock the first new files of this one before it can."""

    def __init__(self, count: int, create: Callable[[Path], None]) -> None:
        self._count = count
        self._create = create
        self._locks = ExitStack()
        self.made = 0

    def create(self, path: Path) -> None:
        self._create(path)
        self.made += 1
        if self.made <= self._count:
            lock = self._locks.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            lock.execute("BEGIN EXCLUSIVE")

    def close(self) -> None:
        self._locks.close()


@pytest.mark.parametrize("kind", [OwedSpool, Spool])
def test_a_new_file_that_another_process_takes_is_not_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[OwedSpool | Spool]
) -> None:
    with closing(Others(2, spool_files.create)) as others:
        monkeypatch.setattr(spool_files, "create", others.create)
        spool = kind(tmp_path)
        assert others.made > 2
        spool.close()


@pytest.mark.parametrize(("kind", "error"), [(OwedSpool, OSError), (Spool, SpoolFailed)])
def test_a_folder_where_nothing_can_be_locked_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[OwedSpool | Spool], error: type[Exception]
) -> None:
    with closing(Others(spool_files.NEW_FILES_MAX, spool_files.create)) as others:
        monkeypatch.setattr(spool_files, "create", others.create)
        with pytest.raises(error, match="no file can be"):
            kind(tmp_path)
    assert spool_files.NEW_FILES_MAX == others.made
