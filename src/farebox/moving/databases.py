"""Which database a URL names, and whether a ledger can be copied out of it, or into it."""

from pathlib import Path

from farebox.moving.database import Database
from farebox.storage.interface import SchemaMissing


def database_at(url: str, sqlite_path: Path | None) -> Database:
    """Make the database of a URL; `sqlite_path` is its file, if it is SQLite's. It is not open yet."""
    if sqlite_path is None:
        from farebox.moving.postgres_database import PostgresDatabase

        return PostgresDatabase(url)
    from farebox.moving.sqlite_database import SqliteDatabase

    return SqliteDatabase(sqlite_path)


async def open_source(database: Database) -> None:
    """Open a database that a ledger is copied from.

    Raises:
        SchemaMismatch: this program does not know its schema.
    """
    connector = database.connector()
    await connector.open()
    await connector.close()
    await database.open()


async def open_target(database: Database, now: int) -> None:
    """Open a database that a ledger is copied into, and make the schema if it has none.

    Raises:
        SchemaMismatch: it has a schema that is older or newer than this program.
    """
    connector = database.connector()
    try:
        await connector.open()
    except SchemaMissing:
        await connector.migrate(now)
    finally:
        await connector.close()
    await database.open()
