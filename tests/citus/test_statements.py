"""Every statement is one that Citus plans, whatever its values."""

from typing import Any, Final

import asyncpg

from farebox.storage import sql
from farebox.storage.postgres.limits import PostgresLimits

_OTHERS: Final = {
    *("copy_table", "spread_table", "write_small_batch", "write_small_batch_and_more", "claim_mails"),
    "insert_attempt",
}
"""Those that spread tables, those that a spread ledger does without, and one whose made-up values refer to no delivery:
Citus tells that as an error of its own."""

_VALUES: Final[dict[str, Any]] = {
    **dict.fromkeys(("int8", "int4", "int2"), 1),
    "text": "x",
    "bytea": b"x" * 32,
    "bool": True,
    "float8": 1.0,
}


async def test_citus_plans_every_statement(spread_url: str) -> None:
    connection = await asyncpg.connect(spread_url, server_settings=PostgresLimits(is_sharded=True).session())
    refused = {}
    try:
        for name, text in [(name, sql.statements("citus")[name]) for name in sql.statements("citus")]:
            if name in _OTHERS:
                continue
            transaction = connection.transaction()
            await transaction.start()
            try:
                statement = await connection.prepare(text)
                types = [parameter.name for parameter in statement.get_parameters()]
                await statement.fetch(*[[_VALUES[it[:-2]]] if it.endswith("[]") else _VALUES[it] for it in types])
            except asyncpg.IntegrityConstraintViolationError:
                pass
            except asyncpg.PostgresError as error:
                refused[name] = str(error)
            await transaction.rollback()
    finally:
        await connection.close()
    assert {} == refused
