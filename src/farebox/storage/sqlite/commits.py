"""COMMIT in a thread of its own, so that requests go on being read while it waits for the disk.

There is one at a time, some thousand a second, so the way to the thread and back is short: a queue there, a call of the
event loop back. An executor of asyncio has a future on either side, and locks between them.
"""

import asyncio
import threading
import weakref
from queue import SimpleQueue
from typing import Final

import apsw

THREAD_NAME: Final = "farebox-commit"


class Commit:
    """One COMMIT under way. All but `run` is for the loop's thread."""

    __slots__ = ("_connection", "_is_done", "_loop", "_waiter", "failure")

    def __init__(self, connection: apsw.Connection) -> None:
        """Prepare to commit a connection's transaction."""
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._is_done = False
        self.failure: Exception | None = None
        """What it failed with, once it has ended."""

    def run(self) -> None:
        """Commit, and tell the loop."""
        failure: Exception | None = None
        try:
            self._connection.execute("COMMIT")
        except Exception as error:
            failure = error
        self._loop.call_soon_threadsafe(self._end, failure)

    async def see_through(self) -> None:
        """Wait until it has ended, however often the caller is cancelled meanwhile.

        Raises:
            CancelledError: the caller was; the COMMIT has ended all the same.
        """
        cancelled: asyncio.CancelledError | None = None
        while not self._is_done:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _end(self, failure: Exception | None) -> None:
        self._is_done, self.failure = True, failure
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Commits:
    """The thread that commits; the first COMMIT starts it."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._queue: SimpleQueue[Commit | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # The thread ends with this, should nobody close it.
        weakref.finalize(self, self._queue.put, None)

    def begin(self, connection: apsw.Connection) -> Commit:
        """Begin to commit a connection's transaction."""
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._queue,), name=THREAD_NAME, daemon=True)
            self._thread.start()
        commit = Commit(connection)
        self._queue.put(commit)
        return commit

    def close(self) -> None:
        """Finish what runs, and end the thread. Safe to repeat; should there be another COMMIT, it starts another."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None


def _work(queue: "SimpleQueue[Commit | None]") -> None:
    while (commit := queue.get()) is not None:
        commit.run()
