"""A shell over a database with its schema, on each engine."""

import pytest

from tests.cli.shell import Shell


@pytest.fixture
def shell(database_url: str) -> Shell:
    """A shell in which the database is ready."""
    return Shell(database_url)
