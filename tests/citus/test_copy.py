"""A ledger that Citus spreads is neither copied from nor to, and whoever tries is told so before anything is done."""

import pytest

from farebox.moving.postgres_database import PostgresDatabase
from farebox.storage.interface import StorageError
from tests.support.postgres import Databases


async def test_a_copy_from_or_to_a_citus_is_refused(spread_url: str, postgres_server: Databases) -> None:
    database = PostgresDatabase(spread_url)
    with pytest.raises(StorageError, match="has the extension Citus: a ledger can't be copied"):
        await database.open()
    assert database._connection is None
    with postgres_server.database() as plain:
        other = PostgresDatabase(plain)
        await other.open()
        await other.close()
