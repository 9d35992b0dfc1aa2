"""Ledgers without rows, copied from one whose schema was made by every migration: that takes ten times as long."""

import asyncio
import functools
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from farebox.storage.postgres import PostgresConnector
from farebox.storage.sqlite import SqliteConnector
from tests.support.ledger import NOW
from tests.support.postgres import Databases

_SQLITE: Final = "sqlite:///"


def copy_ledger(path: Path) -> Path:
    """Put a ledger without rows, its owner's alone, where no file is yet."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(_sqlite_original())
    return path


def copy_ledger_to(database_url: str) -> None:
    """Put a ledger without rows where this URL says, if that is a file that is not there yet."""
    path = Path(database_url.removeprefix(_SQLITE))
    if database_url.startswith(_SQLITE) and not path.exists():
        copy_ledger(path)


@contextmanager
def postgres_original(server: Databases) -> Iterator[str]:
    """Lend the URL of a database with the schema, that `Databases.copy` copies."""
    with server.database() as url:
        _run(PostgresConnector(url).migrate(NOW))
        yield url


@functools.cache
def _sqlite_original() -> bytes:
    with tempfile.TemporaryDirectory(prefix="farebox-original-") as folder:
        path = Path(folder) / "farebox.db"
        _run(SqliteConnector(path).migrate(NOW))
        assert ["farebox.db"] == [file.name for file in Path(folder).iterdir()]
        return path.read_bytes()


def _run(work: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine for callers that may have a loop of their own."""
    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, work).result()
