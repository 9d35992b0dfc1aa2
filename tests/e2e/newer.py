"""A program of the next version, with a migration more: `python -m tests.e2e.newer`, as `farebox`."""

from typing import Final
from unittest import mock

from starlette.types import ASGIApp

from farebox import server
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command
from farebox.storage import sql

MIGRATION: Final = (
    "9998_more",
    "ALTER TABLE account ADD COLUMN more INTEGER NOT NULL DEFAULT 7; ALTER TABLE transfer ADD COLUMN more INTEGER; "
    "CREATE INDEX transfer_more ON transfer (merchant_id, more); CREATE TABLE more (x INTEGER)",
)
"""A charge meets all of it: tables that get columns, and an index that is made."""

_KNOWN: Final = {dialect: sql.migrations(dialect) for dialect in ("sqlite", "postgres")}


def migrations(dialect: str) -> list[tuple[str, str]]:
    """Know one migration more."""
    return [*_KNOWN[dialect], MIGRATION]


def web_app() -> ASGIApp:
    """Make the next version's application."""
    mock.patch.object(sql, "migrations", migrations).start()
    return server.web_app()


def main() -> None:
    """Run a command of the next version."""
    cli.add_command(make_command(application="tests.e2e.newer:web_app"))
    with mock.patch.object(sql, "migrations", migrations):
        cli()


if __name__ == "__main__":
    main()
