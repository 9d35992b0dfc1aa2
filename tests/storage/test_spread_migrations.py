"""Migrations of a ledger that Citus has spread already: they come to what those of a plain PostgreSQL come to."""

from typing import Any, Final

import pglast
import pytest
from pglast import ast, enums

from farebox.storage import sql
from farebox.storage.postgres import PostgresConnector, connector
from farebox.storage.postgres.distribution import COPIED, SPREAD
from farebox.storage.postgres.shards import ShardMap
from tests.storage.postgres_ledger import CATALOG, stranger
from tests.support.ledger import NOW
from tests.support.postgres import Databases

FIRST_SPREAD: Final = "0022_usage_hours"
"""The newest migration of the oldest ledger that may have been spread."""

_PLAIN: Final = frozenset(
    {enums.ConstrType.CONSTR_NOTNULL, enums.ConstrType.CONSTR_NULL, enums.ConstrType.CONSTR_DEFAULT}
)


def later_scripts() -> dict[str, str]:
    """The migrations that a spread ledger may still have to have, by their names, as it gets them."""
    return {name: script for name, script in sql.migrations("citus") if name > FIRST_SPREAD}


def refused(statement: Any) -> str | None:
    """Tell what of a statement Citus would refuse on a table that it has spread; None if it takes it.

    It takes no column together with a condition, and no condition that has no name.
    """
    table = getattr(getattr(statement, "relation", None), "relname", "")
    if not isinstance(statement, ast.AlterTableStmt) or table not in (*SPREAD, *COPIED):
        return None
    for command in statement.cmds or ():
        definition: Any = command.def_
        if command.subtype == enums.AlterTableType.AT_AddColumn:
            if any(condition.contype not in _PLAIN for condition in definition.constraints or ()):
                return f"{table}.{definition.colname} comes together with a condition"
        elif command.subtype == enums.AlterTableType.AT_AddConstraint and definition.conname is None:
            return f"a condition of {table} has no name"
    return None


@pytest.mark.parametrize("name", later_scripts())
def test_a_spread_ledger_gets_statements_that_citus_takes(name: str) -> None:
    statements = sql.single_statements(later_scripts()[name])
    parsed = [pglast.parse_sql(statement) for statement in statements]
    assert [1] * len(pglast.parse_sql(later_scripts()[name])) == [len(each) for each in parsed]
    assert [] == [fault for (each,) in parsed if (fault := refused(each.stmt)) is not None]


def test_what_citus_refuses_is_told() -> None:
    scripts = dict(sql.migrations("postgres"))
    found = {name: [refused(it.stmt) for it in pglast.parse_sql(scripts[name])] for name in later_scripts()}
    assert ["alert.traceparent comes together with a condition"] == found["0026_alert_traces"]


def test_a_spread_ledger_has_the_migrations_of_any_other_in_their_order() -> None:
    assert [name for name, _ in sql.migrations("postgres")] == [name for name, _ in sql.migrations("citus")]


async def test_a_ledger_comes_to_the_same_whether_it_was_spread_or_not(
    postgres_server: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain PostgreSQL takes the statements that Citus gets as well."""
    with postgres_server.database() as plain, postgres_server.database() as spread:
        await PostgresConnector(plain).migrate(NOW)

        async def told(_: Any) -> ShardMap:
            return ShardMap([0])

        monkeypatch.setattr(connector, "read_shard_map", told)
        await PostgresConnector(spread).migrate(NOW)
        found = []
        for url in (plain, spread):
            async with stranger(url) as connection:
                found.append([[tuple(row) for row in await connection.fetch(query)] for query in CATALOG])
    assert found[0] == found[1]
