"""Files that hold money, or links that let people in, are for one account alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cli.shell import Shell
from tests.support.server import Server, seeded

UMASKS: Final = (0o000, 0o022, 0o177)


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_databases_logs_and_backups_are_private(tmp_path: Path, umask: int) -> None:
    path, backup = tmp_path / "farebox.db", tmp_path / "backup.db"
    shell = Shell(f"sqlite:///{path}")
    assert 0 == shell.run("init").status
    seeded(f"sqlite:///{path}")
    with Server(f"sqlite:///{path}") as server:
        assert 0 == shell.run("backup", str(backup)).status
        files = {file.name: mode(file) for file in tmp_path.iterdir()}
        assert "may read or write" not in server.log()
    assert dict.fromkeys(("farebox.db", "farebox.db-wal", "farebox.db-shm", "backup.db"), 0o600) == files


def test_a_file_that_others_may_read_is_warned_of_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "farebox.db"
    seeded(f"sqlite:///{path}")
    path.chmod(0o640)
    (tmp_path / "farebox.toml").touch(0o604)
    with Server(f"sqlite:///{path}", folder=tmp_path, workers=2) as server:
        (warning,) = [line for line in server.log().splitlines() if "may read or write" in line]
    names = f"{tmp_path}/farebox.toml {path}"
    assert (
        f"farebox: warning: other accounts of this machine may read or write {names}; close them: chmod go= {names}"
        == warning
    )
    assert 0o640 == mode(path)
