"""A ledger that was spread by an earlier program is brought up to date as it is, with its rows."""

from collections.abc import Sequence
from typing import Any, Final
from unittest import mock

import pytest

from farebox.storage import sql
from farebox.storage.postgres import distribution
from tests.service.books import keep_given_book
from tests.storage.engines import CitusEngine, Engine, forget_events
from tests.storage.test_earlier_versions import leave_as_version
from tests.storage.test_spread_migrations import later_scripts
from tests.support import originals
from tests.support.citus import CitusDatabases
from tests.support.ledger import ANN, NOW, add_merchant, charge, do, everything, faults, fire

VERSIONS: Final = len(sql.migrations("postgres"))
BOB: Final = ANN + 1

# The coordinator has the shards of copied tables, whose names end in a number.
_COLUMNS: Final = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' AND table_name !~ '_[0-9]+$' ORDER BY 1, 2
"""
_CONDITIONS: Final = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text !~ '_[0-9]+$' ORDER BY 1, 2
"""


@pytest.mark.parametrize("version", range(VERSIONS - len(later_scripts()), VERSIONS))
async def test_a_spread_ledger_of_an_earlier_version_comes_up_to_date(
    citus_server: CitusDatabases, version: int
) -> None:
    with originals.postgres_original(citus_server) as one, citus_server.database() as other:
        full, earlier = CitusEngine(one), CitusEngine(other)
        stores = full.stores()
        await stores.connector.open()
        await keep_given_book(stores)
        await add_merchant(stores, BOB)
        await fire(stores, merchant_id=BOB)
        await forget_events(full)
        before = await everything(stores, [ANN, BOB])
        await stores.connector.close()
        await _leave_spread(full, earlier, version)

        stores = earlier.stores()
        assert VERSIONS - version == len(await stores.connector.migrate(NOW + 1))
        await stores.connector.open()
        assert before == await everything(stores, [ANN, BOB])
        assert [] == await faults(stores)
        (outcome,) = await do(stores, charge(1, "after"), now=NOW + 10**9)
        assert outcome.is_ok
        assert [] == await faults(stores)
        for catalog in (_COLUMNS, _CONDITIONS):
            assert await full.execute(catalog) == await earlier.execute(catalog)
        await stores.connector.close()


async def _leave_spread(full: Engine, earlier: Engine, version: int) -> None:
    """Leave a ledger as a program of this version did: spread, as far as it had tables."""
    scripts = "".join(script for _, script in sql.migrations("postgres")[:version])

    def there(tables: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(table for table in tables if f"CREATE TABLE {table} (" in scripts or table == "delivery")

    with (
        mock.patch.object(distribution, "SPREAD", there(distribution.SPREAD)),
        mock.patch.object(distribution, "COPIED", there(distribution.COPIED)),
    ):
        await leave_as_version(version, full, earlier)
