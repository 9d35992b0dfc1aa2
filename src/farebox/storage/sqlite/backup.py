"""A consistent copy of a database that is in use."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from farebox.storage.interface import AlreadyExists, StorageError
from farebox.storage.sqlite.connection import READER_BUSY_TIMEOUT_MS, begin_reading, connect, create_private, translated


def backup(
    source_path: Path, target_path: Path, step_pages: int, on_progress: Callable[[int, int], None] | None = None
) -> None:
    """Copy page by page from one read transaction, so that writers are not held up and the copy never starts anew.

    After so many pages `on_progress` hears how many bytes are copied, and of how many.

    Raises:
        AlreadyExists: there is a file at the target.
        StorageError: it can't be read, or the copy can't be written.
    """
    with translated(), closing(connect(source_path, busy_timeout_ms=READER_BUSY_TIMEOUT_MS)) as source:
        begin_reading(source)
        try:
            create_private(target_path)
        except FileExistsError as error:
            raise AlreadyExists(f"{target_path} exists already") from error
        except OSError as error:
            raise StorageError(f"the copy can't be written: {target_path}: {error.strerror}") from error
        try:
            with closing(apsw.Connection(str(target_path))) as target:
                page_bytes = int(source.pragma("page_size"))
                with target.backup("main", source, "main") as copying:
                    while not copying.done:
                        copying.step(step_pages)
                        if on_progress is not None:
                            on_progress(
                                (copying.page_count - copying.remaining) * page_bytes, copying.page_count * page_bytes
                            )
                target.pragma("journal_mode", "wal")
        except BaseException:
            # Half a copy must not be taken for one.
            target_path.unlink()
            raise
