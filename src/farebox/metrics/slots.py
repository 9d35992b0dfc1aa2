"""The processes of one server tell one another what they counted, so that any of them can answer for all.

Each process has a slot in a folder: a file that it rewrites every second, and a lock that it holds for as long as it
lives, however it ends. One that starts takes the first slot that nobody holds, and goes on from what is counted there.
So the counts of a killed process are not lost, but for its last second; no counter ever falls; there are no more
files than processes ran at once; and only those that live are asked how much work waits.
"""

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from farebox.metrics.counts import CountsSnapshot, total

FOLDER_VARIABLE: Final = "_FAREBOX_METRICS_FOLDER"
"""What tells a server's processes the folder that its first one made. It is no setting."""

SLOTS_MAX: Final = 256
WRITE_SECONDS: Final = 1.0
"""How old what a process counted may be when another one answers."""

_DECODER: Final = msgspec.json.Decoder(CountsSnapshot)


class NoSlot(Exception):
    """No process of this server can count any more: all slots are taken."""


def server_folder() -> Path:
    """Return the folder of the server that this process is of; one of its own if it was started alone."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    folder = make_folder()
    atexit.register(remove_folder, folder)
    return folder


@contextmanager
def shared_folder() -> Iterator[None]:
    """Give the processes that are started meanwhile a folder in which they count together."""
    folder = make_folder()
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield
    finally:
        remove_folder(folder)


def make_folder() -> Path:
    """Make the folder, which this account alone may look into."""
    return Path(tempfile.mkdtemp(prefix="farebox-metrics-"))


def remove_folder(folder: Path) -> None:
    """Remove the folder once the server has stopped."""
    shutil.rmtree(folder, ignore_errors=True)


class Slot:
    """A process's place in the folder."""

    def __init__(self, folder: Path) -> None:
        """Take the first slot that is free.

        Raises:
            NoSlot: there is none.
        """
        self._folder = folder
        for number in range(SLOTS_MAX):
            lock = _open_lock(folder, number)
            if _is_locked(lock, fcntl.LOCK_EX):
                self._lock, self._number = lock, number
                break
            os.close(lock)
        else:
            raise NoSlot(f"{SLOTS_MAX} processes share {folder}")
        self.before = _read(folder, self._number)
        """The counts of processes that were in this slot and are gone."""
        self.before.gauges = {}

    def write(self, snapshot: CountsSnapshot) -> None:
        """Tell the others what was counted so far."""
        path = _path(self._folder, self._number)
        beside = path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(snapshot))
        beside.replace(path)

    def read_all(self, own: CountsSnapshot) -> tuple[CountsSnapshot, int]:
        """Add up what all processes counted, this one's as it is now; tell how many of them live as well."""
        snapshots, alive = [own], 1
        for path in self._folder.glob("*.json"):
            number = int(path.stem)
            if number == self._number:
                continue
            snapshot = _read(self._folder, number)
            if self._is_alive(number):
                alive += 1
            else:
                snapshot.gauges = {}
            snapshots.append(snapshot)
        return total(snapshots), alive

    def close(self) -> None:
        """Leave the slot to another process."""
        os.close(self._lock)

    def _is_alive(self, number: int) -> bool:
        lock = _open_lock(self._folder, number)
        try:
            return not _is_locked(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.json"


def _open_lock(folder: Path, number: int) -> int:
    return os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_locked(lock: int, how: int) -> bool:
    """Take a lock if nobody has it, and tell whether it was taken."""
    with suppress(BlockingIOError):
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        return True
    return False


def _read(folder: Path, number: int) -> CountsSnapshot:
    """Read what a slot has; nothing before its first process has written."""
    with suppress(FileNotFoundError, msgspec.DecodeError):
        return _DECODER.decode(_path(folder, number).read_bytes())
    return CountsSnapshot({}, {}, {})
