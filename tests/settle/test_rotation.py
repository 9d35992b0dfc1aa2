"""A log is read to its end over rotations, whoever rotates it, and while the settler is away."""

import errno
import gzip
import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farebox.settle.followed_log import FollowedLog
from farebox.settle.positions import Positions
from farebox.settle.sources import RawLine


class Reader:
    """Follows a log as the settler does, and applies at its own pace; it can be killed and begun again."""

    def __init__(self, log: Path, *, drain_seconds: float = 600.0) -> None:
        self.log = log
        self.warnings: list[str] = []
        self.applied: list[str] = []
        self._drain_seconds = drain_seconds
        self._under_way: list[RawLine] = []
        self._begin()

    def _begin(self) -> None:
        self.positions = Positions(self.log.parent / "settle.db")
        self._followed = FollowedLog(self.log, self.positions, self.warnings.append, drain_seconds=self._drain_seconds)

    def read(self) -> None:
        self._under_way += self._followed.read()

    def apply(self, chance: random.Random) -> None:
        """Apply some of the lines that are under way, in any order."""
        chance.shuffle(self._under_way)
        for _ in range(chance.randint(0, len(self._under_way))):
            line = self._under_way.pop()
            if line.text:
                self.applied.append(line.text.decode())
            line.finish()

    def save(self) -> None:
        self.positions.save(self._followed.changed_positions(), [])

    def catch_up(self) -> None:
        """Read and apply all that there is."""
        while True:
            self.read()
            for line in self._under_way:
                if line.text:
                    self.applied.append(line.text.decode())
                line.finish()
            is_at_end, self._under_way = self._followed.is_at_end and not self._under_way, []
            if is_at_end:
                self.save()
                return

    def begin_again(self) -> None:
        """Be killed, and begin again."""
        self._under_way = []
        self._followed.close()
        self.positions.close()
        self._begin()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.touch()
    return path


@pytest.fixture
def reader(log: Path) -> Iterator[Reader]:
    made = Reader(log)
    yield made
    made.positions.close()


_NUMBERS = itertools.count(1)


def write(path: Path, count: int = 1, *, mode: str = "a") -> list[str]:
    """Write lines as a proxy does, each unlike all others from early on."""
    lines = [f'{{"proxy":"nginx","time":"1795967570.{next(_NUMBERS):06}","rest":"{"x" * 100}"}}' for _ in range(count)]
    with path.open(mode) as file:
        file.write("".join(line + "\n" for line in lines))
    return lines


def rename(log: Path, *, suffix: str = ".1") -> Path:
    """Rotate as logrotate does by default."""
    for number in range(40, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{number + 1}"))
    rotated = log.with_name(log.name + suffix)
    log.rename(rotated)
    log.touch()
    return rotated


def copy_and_cut(log: Path) -> Path:
    """Rotate as logrotate's copytruncate does."""
    for number in range(40, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.rename(log.with_name(f"{log.name}.{number + 1}"))
    rotated = log.with_name(log.name + ".1")
    shutil.copy2(log, rotated)
    with log.open("r+") as file:
        file.truncate(0)
    return rotated


def compress(path: Path, suffix: str = ".gz") -> None:
    """Compress as logrotate does: the time of the original stays."""
    compressed = path.with_name(path.name + suffix)
    with path.open("rb") as plain, gzip.open(compressed, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    shutil.copystat(path, compressed)
    path.unlink()


@pytest.mark.parametrize("rotate", [rename, copy_and_cut])
def test_lines_before_and_after_a_rotation_are_read_once(
    log: Path, reader: Reader, rotate: Callable[[Path], Path]
) -> None:
    written = write(log, 3)
    reader.catch_up()
    written += write(log, 2)
    rotate(log)
    written += write(log, 4)
    reader.catch_up()
    assert written == reader.applied
    assert [] == reader.warnings


def test_a_server_that_writes_on_into_the_renamed_file_is_heard(log: Path, reader: Reader) -> None:
    written = write(log, 2)
    reader.catch_up()
    rotated = rename(log)
    written += write(log, 1)
    reader.catch_up()
    written += write(rotated, 2)
    reader.catch_up()
    assert sorted(written) == sorted(reader.applied)


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("rotate", [rename, copy_and_cut])
def test_rotations_while_the_settler_was_away_lose_nothing(
    log: Path, reader: Reader, rotate: Callable[[Path], Path], is_compressed: bool
) -> None:
    written = write(log, 5)
    reader.catch_up()
    written += write(log, 2)
    for _ in range(3):
        rotated = rotate(log)
        if is_compressed:
            compress(rotated)
            for older in sorted(log.parent.glob("access.log.*.gz"), reverse=True):
                number = int(older.name.split(".")[2])
                older.rename(older.with_name(f"access.log.{number + 1}.gz"))
        time.sleep(0.02)
        written += write(log, 3)
    reader.begin_again()
    reader.catch_up()
    assert sorted(written) == sorted(reader.applied)
    reader.begin_again()
    reader.catch_up()
    assert len(written) == len(reader.applied)
    assert [] == reader.warnings


def test_names_with_a_date_are_found(log: Path, reader: Reader) -> None:
    written = write(log, 2)
    reader.catch_up()
    written += write(log, 1)
    log.rename(log.with_name("access-2026-11-29T15-53-10.123.log"))
    written += write(log, 1)
    reader.begin_again()
    reader.catch_up()
    assert written == reader.applied


def test_older_files_of_before_the_first_start_are_not_read(log: Path, reader: Reader) -> None:
    for name in ("access.log.1", "access.log.other", "access-20261128.log"):
        write(older := log.with_name(name), 3)
        os.utime(older, (time.time() - 60, time.time() - 60))
    written = write(log, 2)
    reader.begin_again()
    reader.catch_up()
    assert written == reader.applied
    reader.begin_again()
    reader.catch_up()
    assert written == reader.applied


def test_a_log_that_is_emptied_without_a_copy_is_told(log: Path, reader: Reader) -> None:
    written = write(log, 3)
    reader.catch_up()
    log.write_text("")
    written += write(log, 1)
    reader.read()
    reader._followed._cut = [(file, since - 60) for file, since in reader._followed._cut]
    reader.catch_up()
    assert written == reader.applied
    (warning,) = reader.warnings
    assert "behind its line 3" in warning


def test_a_file_that_can_not_be_read_is_told_once_until_it_can(
    log: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = {log, rename(log)}
    open_file = os.open

    def refuse(path: Path, *more: int) -> int:
        if path in denied:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_file(path, *more)

    monkeypatch.setattr(os, "open", refuse)
    told = {f"{path} can't be read: Permission denied" for path in denied}
    for _ in range(3):
        reader.read()
    assert (told, 2) == (set(reader.warnings), len(reader.warnings))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_file)
        reader.read()
    for _ in range(3):
        reader.read()
    assert (told, 4) == (set(reader.warnings), len(reader.warnings))


def test_a_gap_of_zero_bytes_before_a_line_is_passed_over(log: Path, reader: Reader) -> None:
    """A server that does not append writes on at its own offset after the file was cut off."""
    with log.open("w") as server:
        first = write(log, 2)
        reader.catch_up()
        copy_and_cut(log)
        server.seek(300)
        server.write('{"proxy":"nginx","after":"the cut"}\n')
        server.flush()
        reader.catch_up()
    assert [*first, '{"proxy":"nginx","after":"the cut"}'] == reader.applied


def test_a_file_that_nobody_writes_into_any_more_is_closed_with_its_half_line(log: Path) -> None:
    reader = Reader(log, drain_seconds=0.05)
    written = write(log, 1)
    with log.open("a") as file:
        file.write("half a line")
    reader.catch_up()
    rename(log)
    written += write(log, 1)
    reader.catch_up()
    time.sleep(0.1)
    reader.catch_up()
    assert sorted([*written, "half a line"]) == sorted(reader.applied)
    reader.positions.close()


@pytest.mark.parametrize("seed", range(25))
def test_any_order_of_writes_rotations_and_kills_applies_each_line(tmp_path: Path, seed: int) -> None:
    """At least once, and once where nothing was killed; a cut takes no line along that was written before the copy."""
    chance = random.Random(seed)
    log = tmp_path / "access.log"
    log.touch()
    reader, written, has_been_killed = Reader(log), [], False
    for _ in range(80):
        step = chance.choice(["write", "write", "read", "read", "apply", "save", "rename", "copy", "kill", "compress"])
        if step == "write":
            written += write(log, chance.randint(1, 4))
        elif step == "read":
            reader.read()
        elif step == "apply":
            reader.apply(chance)
        elif step == "save":
            reader.save()
        elif step == "rename" and log.stat().st_size:
            rename(log)
        elif step == "copy" and log.stat().st_size:
            copy_and_cut(log)
            # Without a copy that is found at once, the next cut could overtake it.
            reader.read()
        elif step == "compress" and (rotated := sorted(log.parent.glob("access.log.?"))):
            compress(chance.choice(rotated), f"-{next(_NUMBERS)}.gz")
        elif step == "kill":
            has_been_killed = True
            reader.begin_again()
            reader.read()
    reader.catch_up()
    reader.positions.close()
    assert set(written) == set(reader.applied)
    assert has_been_killed or len(written) == len(reader.applied)
    assert [] == reader.warnings
