"""`farebox doctor` on a real Citus."""

from farebox.cli.doctor.citus_checks import check_citus
from farebox.cli.doctor.findings import Level
from farebox.storage.postgres import PostgresConnector
from farebox.storage.postgres.examination import examine
from farebox.storage.stores import Stores
from tests.storage.engines import CitusEngine
from tests.support.ledger import NOW
from tests.support.postgres import Databases


async def test_a_spread_ledger_is_told_of_with_its_workers(spread_url: str) -> None:
    facts = await examine(spread_url, lambda: NOW)
    assert facts.citus is not None
    assert facts.citus.version == facts.citus.installed_version
    assert [] == list(facts.citus.unspread)
    assert facts.citus.is_coordinator_known
    assert 2 <= len(facts.citus.workers)
    assert all(worker.shards and not worker.problem for worker in facts.citus.workers)
    assert {facts.citus.version} == {worker.version for worker in facts.citus.workers}
    found = check_citus(facts.citus, "here", has_schema=True)
    # A cluster for tests may do without a disk.
    assert [] == [one for one in found if one.check == "database.citus" and one.level is not Level.OK]


async def test_a_ledger_that_was_not_spread_is_told_of_until_init(citus_url: str, postgres_server: Databases) -> None:
    assert (await examine(citus_url, lambda: NOW)).citus is not None
    stores = Stores.over(PostgresConnector(citus_url))
    await stores.connector.migrate(NOW)
    await CitusEngine(citus_url).execute("SELECT undistribute_table('usage_hour')")
    facts = await examine(citus_url, lambda: NOW)
    assert facts.citus is not None
    assert ["usage_hour"] == list(facts.citus.unspread)
    assert any("usage_hour" in one.found for one in check_citus(facts.citus, "here", has_schema=True))
    await stores.connector.migrate(NOW)
    facts = await examine(citus_url, lambda: NOW)
    assert facts.citus is not None
    assert [] == list(facts.citus.unspread)
    with postgres_server.database() as plain:
        assert (await examine(plain, lambda: NOW)).citus is None
