"""Moving the log into the file, beside the charges: no COMMIT has to wait for it.

A checkpoint runs on a connection and thread of its own whenever the log has grown by so many frames. It stands in
nobody's way, but while charges go on being committed it never reaches the log's end, and the log begins anew only once
all of it is in the file. So when the log is long, and little of it is left to be moved, transactions wait for that
little: the next one then writes the log from its beginning.

A long read keeps what it still needs in the log, which grows until that read ends. The first COMMIT to the log that
begins anew cuts off what it grew by.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing, suppress
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from farebox.storage.interface import StorageError
from farebox.storage.sqlite.connection import SqliteLimits, connect, thread
from farebox.storage.sqlite.file import DatabaseFile

_PASSES_MAX: Final = 4
"""How often the log is moved before transactions wait for the rest: each time less has been committed meanwhile."""

_LITTLE_PART: Final = 8
"""Which part of what is moved at a time is little enough for transactions to wait for."""


class _Moved(Struct, frozen=True):
    """What a checkpoint did: how many frames the log had, and how many of them are in the file now."""

    log_frames: int
    moved_frames: int


class Checkpoints:
    """The checkpoints of one process on its database. Other processes have their own; SQLite lets one run at a time."""

    def __init__(
        self,
        path: Path,
        limits: SqliteLimits,
        file: DatabaseFile,
        hold_transactions: Callable[[], AbstractAsyncContextManager[object]],
    ) -> None:
        """Name the file; it is opened when there is something to move.

        `hold_transactions` lets no transaction of any process begin within its block.
        """
        self._path = path
        self._limits = limits
        self._file = file
        self._hold_transactions = hold_transactions
        self._log_frames = 0
        self._looked_at_frames = 0
        self._thread = thread("farebox-checkpoint")
        self._task: asyncio.Task[None] | None = None

    def committed(self, _: apsw.Connection, __: str, log_frames: int) -> int:
        """Take note of the log's length. A writer calls it after each COMMIT, as its hook, in the thread of that."""
        self._log_frames = log_frames
        return apsw.SQLITE_OK

    def begin_if_due(self) -> None:
        """Begin to move the log if it has grown by enough, and nothing moves it yet."""
        # It was begun anew.
        self._looked_at_frames = min(self._looked_at_frames, self._log_frames)
        is_due = self._log_frames - self._looked_at_frames >= self._limits.checkpoint_frames
        if is_due and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Finish what runs."""
        if self._task is not None:
            await asyncio.wait([self._task])
        self._log_frames = self._looked_at_frames = 0
        self._thread.shutdown()
        self._thread = thread("farebox-checkpoint")

    async def _run(self) -> None:
        # Another process may move it just now; of a disk that is full or failing, those who write tell.
        with suppress(apsw.Error, StorageError):
            await self._move()
        self._looked_at_frames = self._log_frames

    async def _move(self) -> None:
        """Move the log as far as readers let it, and let it be begun anew if it is long."""
        little = self._limits.checkpoint_frames // _LITTLE_PART
        for _ in range(_PASSES_MAX):
            moved = await self._move_once()
            if moved.log_frames - moved.moved_frames > little:
                # A long read needs the rest.
                return
            if self._log_frames - moved.moved_frames <= little:
                break
        if self._log_frames >= self._limits.log_frames_max:
            async with self._hold_transactions():
                await self._move_once()

    async def _move_once(self) -> _Moved:
        # A log must not get into a file that it is not of.
        self._file.check()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._checkpoint)

    def _checkpoint(self) -> _Moved:
        # It waits for nobody, and nobody for it.
        with closing(connect(self._path, busy_timeout_ms=0)) as connection:
            # The last one to be closed would move the log, too: that is for those that charge.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
            self._file.check_connection(connection)
            return _Moved(*connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE))
