"""Which servers and databases will do, and how the schema comes into them."""

from collections.abc import Mapping
from typing import Any, Final

from farebox.storage import migrate, sql
from farebox.storage.interface import StorageError
from farebox.storage.postgres.distribution import distribute
from farebox.storage.postgres.pool import Connection
from farebox.storage.upgrades import data_steps

VERSION_MIN: Final = 14
_MIGRATION_LOCK_KEY: Final = 0x_FA4E_B0C5


def checked_version(connection: Connection) -> str:
    """Return the server's version if Farebox can work with it, and with how the database keeps texts.

    Raises:
        StorageError: it can't.
    """
    version = connection.get_server_version()
    if version.major < VERSION_MIN:
        raise StorageError(f"PostgreSQL {VERSION_MIN} or newer is needed; this is {version.major}.{version.micro}")
    encoding = connection.get_settings().server_encoding
    if encoding != "UTF8":
        raise StorageError(f"the database keeps texts in {encoding}; create one with ENCODING 'UTF8'")
    return f"{version.major}.{version.micro}"


async def applied_migrations(connection: Connection) -> list[str]:
    """Name the migrations that the database has had."""
    if await connection.fetchval("SELECT to_regclass('farebox_migration')") is None:
        return []
    return [row[0] for row in await connection.fetch("SELECT name FROM farebox_migration ORDER BY name")]


async def spread(connection: Connection) -> None:
    """Spread what is not spread yet of a database with Citus, in a transaction that keeps other runs out."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK_KEY)
        await distribute(connection)


async def migrate_one(
    connection: Connection, migrations: Mapping[str, str], now: int, *, is_spread: bool = False
) -> str | None:
    """Apply the first migration that is missing, in a transaction that keeps other runs out; None if none is.

    Tables that are spread are changed by one statement at a time: Citus sends workers the whole text that it was sent.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK_KEY)
        await connection.execute(migrate.MIGRATION_TABLE)
        pending = migrate.pending(list(migrations), await applied_migrations(connection))
        if not pending:
            return None
        for part in data_steps.parts(pending[0], migrations[pending[0]]):
            if isinstance(part, str):
                for statement in sql.single_statements(part) if is_spread else (part,):
                    await connection.execute(statement)
                continue
            tables: list[Any] = [await connection.fetch(statement) for statement in part.reads]
            for statement, values in part.plan(tables, now):
                await connection.execute(statement, *values)
        await connection.execute("INSERT INTO farebox_migration VALUES ($1, $2)", pending[0], now)
        return pending[0]
