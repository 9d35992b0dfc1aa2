"""The ledger's figures, on both engines: true, bounded, and read by indexes alone."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.core.commands import Charge, CreateHold, Payer, SetThresholds, TopUp
from farebox.metrics.ledger import LedgerFigures, Values
from farebox.storage import sql
from farebox.storage.destination_records import Channel
from farebox.storage.figures import FigureStore
from farebox.storage.interface import Connector, StoreUnavailable
from farebox.storage.records import User
from farebox.storage.stores import Stores
from tests.storage.engines import CitusEngine, Engine, PostgresEngine
from tests.storage.postgres_ledger import planning_session
from tests.support.clock import StoppableClock
from tests.support.ledger import ANN, BEN, NOW, UNIT, add_merchant, add_price, do

SECOND: Final = 1_000_000


def _told(values: Values) -> dict[str, dict[tuple[str, ...], float]]:
    told: dict[str, dict[tuple[str, ...], float]] = {}
    for metric, labels, value in values:
        told.setdefault(metric.name, {})[labels] = value
    return told


async def test_figures_tell_what_waits_is_open_and_is_at_risk(stores: Stores) -> None:
    for merchant in (ANN, BEN):
        await add_merchant(stores, merchant)
    await add_price(stores)
    await stores.users.add(User(ANN, 3, "one@example.com", NOW))
    await do(stores, TopUp(ANN, 10 * UNIT, "R"), SetThresholds(ANN, (10 * UNIT,)), now=NOW)
    await do(stores, CreateHold(Payer(ANN), "image", 2, "hold", ttl_seconds=60), now=NOW + 5 * SECOND)
    await do(stores, CreateHold(Payer(ANN), "image", 7, "all", ttl_seconds=900), now=NOW + 6 * SECOND)
    await do(stores, Charge(Payer(ANN), "image", 1, "charge"), now=NOW + 7 * SECOND)
    clock = StoppableClock()
    clock.stopped_at = NOW + 75 * SECOND
    figures = LedgerFigures(stores.connector, clock, kept_seconds=0)
    assert "farebox_merchants" not in _told(await figures.values())
    assert 10.0 == await figures.look_for_risks()
    told = _told(await figures.values())
    assert {(): 1.0} == told["farebox_database_up"]
    assert {(): 2.0} == told["farebox_open_holds"]
    assert {(): 70.0} == told["farebox_oldest_hold_seconds"]
    assert {(): 10.0} == told["farebox_overdue_hold_seconds"]
    assert {(): 2.0} == told["farebox_merchants"]
    assert {("below_threshold",): 1.0, ("exhausted",): 1.0} == told["farebox_balances_at_risk"]
    assert "farebox_last_verify_problems" not in told
    assert set(told["farebox_undelivered"]) == {("email",), ("webhook",), ("chat",), ("account_mail",)}
    assert 68.0 == told["farebox_oldest_undelivered_seconds"]["email",]
    assert 0.0 == told["farebox_oldest_undelivered_seconds"]["chat",]
    is_file = stores.connector.dialect == "sqlite"
    assert is_file == ("farebox_wal_bytes" in told) == ("farebox_disk_free_bytes" in told)


async def test_a_database_that_is_away_is_told_as_that(stores: Stores) -> None:
    figures = LedgerFigures(stores.connector, StoppableClock(), kept_seconds=0)
    await figures.values()
    await stores.connector.close()
    told = _told(await figures.values())
    assert {(): 0.0} == told["farebox_database_up"]
    assert "farebox_open_holds" not in told


class _Counting:
    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    async def check(self) -> None:
        self.reads += 1
        await asyncio.sleep(0)
        raise StoreUnavailable("away")


async def test_those_who_ask_at_once_or_soon_after_share_one_reading(tmp_path: Path, stores: Stores) -> None:
    connector: Any = _Counting(stores.connector)
    figures = LedgerFigures(connector, StoppableClock(), kept_seconds=60)
    await asyncio.gather(*(figures.values() for _ in range(20)))
    await figures.values()
    assert 1 == connector.reads


PLANS: Final = [
    ("oldest_event", (1, 5), "delivery_due"),
    ("waiting_events", (1, 5), "delivery_(due|turn)"),
    ("oldest_account_mail", (5,), "letter_due"),
    ("waiting_account_mails", (5,), "letter_(due|turn)"),
    ("open_holds_figures", (5,), "hold_due"),
    ("oldest_hold", (5,), "hold_due"),
    ("last_verification", (), "verification"),
    ("accounts_after", (1, 5), "account"),
]


async def test_every_statement_is_in_the_table_of_plans(stores: Stores) -> None:
    text = (Path(sql.__file__).parent / "sql" / "shared" / "figures.sql").read_text()
    assert {name for name, *_ in PLANS} == set(re.findall(r"^-- ([a-z_]+): ", text, re.MULTILINE))


@pytest.mark.parametrize(("name", "values", "index"), PLANS)
async def test_no_figure_is_read_by_a_scan(
    engine: Engine, stores: Stores, name: str, values: tuple[int, ...], index: str
) -> None:
    if isinstance(engine, CitusEngine):
        # Which index a worker takes is not told to the coordinator.
        return
    dialect = stores.connector.dialect
    text = sql.statements(dialect)[name]
    for number, value in enumerate(values, start=1):
        text = text.replace(f"{'$' if dialect == 'postgres' else '?'}{number}", str(value))
    if isinstance(engine, PostgresEngine):
        async with planning_session(engine.url) as connection:
            rows: Sequence[Any] = await connection.fetch(f"EXPLAIN {text}")
    else:
        rows = await engine.execute(f"EXPLAIN QUERY PLAN {text}")
    plan = "\n".join(str(row) for row in rows)
    assert re.search(rf"{index}", plan), plan
    assert not re.search(r"SCAN (delivery|letter|hold|account|transfer|alert)(?! USING)|Seq Scan", plan), plan
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


async def test_a_walk_over_many_merchants_sees_each_once(stores: Stores) -> None:
    for number in range(1, 8):
        await add_merchant(stores, number)
    figures = FigureStore(stores.connector)
    rows = await figures.risks(-1, 5)
    rows = [*rows, *await figures.risks(rows[-1].merchant_id, 5)]
    assert list(range(1, 8)) == [row.merchant_id for row in rows]
    assert not any(row.is_exhausted or row.is_below_threshold for row in rows)
    assert 0 == (await figures.waiting(Channel.WEBHOOK)).count
