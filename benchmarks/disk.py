"""What the disk gives: how many appends of 4 KiB a second are synced, one after the other."""

import os
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil

APPEND_BYTES: Final = 4096


def appends_per_second(folder: Path, seconds: float) -> float:
    """Append to a new file in `folder`, each time with fdatasync, as a COMMIT does at least once."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        block = os.urandom(APPEND_BYTES)
        count = 0
        started = time.perf_counter()
        while (elapsed := time.perf_counter() - started) < seconds:
            file.write(block)
            os.fdatasync(file.fileno())
            count += 1
        return count / elapsed


def file_system(folder: Path) -> str:
    """Name the kind of file system that a folder is on."""
    path = folder.resolve()
    mounts = {Path(it.mountpoint): it.fstype for it in psutil.disk_partitions(all=True)}
    return next((mounts[step] for step in (path, *path.parents) if step in mounts), "unknown")
