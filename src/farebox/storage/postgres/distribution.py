"""How the ledger's tables are spread over servers where the extension Citus is in the database.

All rows of one merchant are in one shard of every table, so that one server has what a batch reads and writes. Small
tables that are joined with these are copied to each server. The others stay on the coordinator.
"""

from typing import Any, Final

from farebox.storage import sql
from farebox.storage.interface import StorageError
from farebox.storage.postgres.pool import Connection

SPREAD: Final = (
    *("merchant", "account", "transfer", "hold", "credit_grant", "shortfall", "period_count", "key_budget"),
    *("merchant_price", "merchant_key", "merchant_user", "merchant_note", "approval", "lone_move", "audit_log"),
    *("alert", "delivery", "delivery_attempt", "runway_episode", "spending_peak", "unusual_spending", "outlook"),
    *("usage_quarter", "usage_hour", "usage_hour_mark", "usage_component", "usage_mark", "usage_key", "usage_key_mark"),
    *("refusal", "revenue_month", "balance_month", "revenue_mark"),
)
"""Tables that are divided by merchant_id, all as the first one is, which the others refer to."""

COPIED: Final = ("default_price", "staff_key", "destination", "login")
"""Small tables of which each server has a copy; a change of one is committed on all of them, in two phases."""

LOCAL: Final = (
    *("session", "letter", "report", "report_choice", "signing_seed", "mail_server", "repeat", "verification"),
    *("imported_key", "farebox_migration", "ledger_move", "ledger_change"),
)
"""Tables that stay on the coordinator."""

NOT_KEPT: Final = frozenset({("destination", "merchant")})
"""References that Citus can't keep, from a copied table to a divided one. No merchant is ever removed."""

CITUS_MIN: Final = 13

_SQL: Final = sql.statements("citus")


async def distribute(connection: Connection) -> None:
    """Spread the tables that are not spread yet, none without the extension; the transaction is the caller's.

    Raises:
        StorageError: Citus is too old, or has workers and no address of the coordinator.
    """
    found: list[Any] = await connection.fetch(_SQL["citus_version"])
    if not found:
        return
    there = {row[0] for row in await connection.fetch(_SQL["spread_tables"])}
    missing = [table for table in (*SPREAD, *COPIED) if table not in there]
    if not missing:
        return
    if int(found[0][0].partition(".")[0].partition("-")[0]) < CITUS_MIN:
        raise StorageError(f"Citus {CITUS_MIN} or newer is needed; this is {found[0][0]}")
    workers, coordinators = (await connection.fetch(_SQL["citus_servers"]))[0]
    if workers and not coordinators:
        raise StorageError(
            "Citus has workers, but no address of this coordinator; run in this database, with the host by which the "
            "workers reach it: SELECT citus_set_coordinator_host('HOST', PORT)"
        )
    # Tables are made one after the other, as they refer to each other.
    await connection.execute("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
    references: list[Any] = await connection.fetch(_SQL["references_of"], missing)
    for table, name, *_ in references:
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for table in COPIED:
        if table in missing:
            await connection.execute(_SQL["copy_table"], table)
    for table in SPREAD:
        if table in missing:
            await connection.execute(_SQL["spread_table"], table, "none" if table == SPREAD[0] else SPREAD[0])
    for table, name, definition, target in references:
        if (table, target) not in NOT_KEPT:
            await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
