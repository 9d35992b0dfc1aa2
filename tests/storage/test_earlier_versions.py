"""Databases that earlier programs left: brought up to date with all that is in them, whatever version they are of."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import apsw
import asyncpg
import pytest

from farebox.core.accounts import Kind
from farebox.core.alerts import AlertKind
from farebox.core.audit_log import Action, AuditEntry
from farebox.core.commands import CaptureHold, Charge, CreateHold, KeyKind, Payer, ReleaseHold, TopUp
from farebox.core.ids import NUMBER_MAX
from farebox.core.outcomes import Code
from farebox.core.period_counts import PeriodCount
from farebox.core.prices import Price
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule
from farebox.core.staff_roles import EVERY_ROLE
from farebox.core.thresholds import Threshold
from farebox.storage import rows, sql
from farebox.storage.months import Month
from farebox.storage.records import ApiKey, Login, Realm, Usage
from farebox.storage.stores import Stores
from farebox.storage.sums.book_rollup import BookRollup
from tests.service.books import TRANSFERS, keep_book, keep_given_book
from tests.storage.engines import TABLES, Engine, PostgresEngine, SqliteEngine, forget_events
from tests.storage.postgres_ledger import is_waiting_for_a_lock, stranger, until
from tests.support.ledger import (
    ANN,
    BEN,
    NOW,
    UNIT,
    account_of,
    add_merchant,
    charge,
    do,
    everything,
    faults,
    fire,
    merchant_key,
)
from tests.support.originals import copy_ledger
from tests.support.postgres import Databases
from tests.support.revenue_books import CURRENCIES, RevenueWriter, seeded_writer
from tests.support.revenue_scan import scanned

VERSIONS: Final = len(sql.migrations("sqlite"))
BOB: Final = ANN + 1
MERCHANTS: Final = (ANN, BOB)


@pytest.fixture(params=["sqlite", "postgres"])
def engines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Engine, Engine]]:
    """A database with today's schema and one without anything, on each engine in turn."""
    if request.param == "sqlite":
        yield SqliteEngine(copy_ledger(tmp_path / "one.db")), SqliteEngine(tmp_path / "other.db")
        return
    server: Databases = request.getfixturevalue("postgres_server")
    original: str = request.getfixturevalue("postgres_original")
    with server.copy(original) as one, server.database() as other:
        yield PostgresEngine(one), PostgresEngine(other)


@pytest.mark.parametrize("version", range(1, VERSIONS))
async def test_a_database_of_an_earlier_version_keeps_all_that_is_in_it(
    engines: tuple[Engine, Engine], version: int
) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    await (keep_book if version <= GRANTS else keep_given_book)(stores)
    await add_merchant(stores, BOB)
    await fire(stores, merchant_id=BOB)
    await forget_events(full)
    await stores.api_keys.create(merchant_key(1))
    before, keys, used = await everything(stores, MERCHANTS), await stores.api_keys.list(ANN), await _usage(stores)
    await stores.connector.close()
    await leave_as_version(version, full, earlier)

    stores = earlier.stores()
    assert VERSIONS - version == len(await stores.connector.migrate(NOW + 1))
    await stores.connector.open()
    now = await everything(stores, MERCHANTS)
    known = {name for name, table in _KEPT_IN.items() if await _is_table(full, earlier, table, version)}
    assert {name: before[name] for name in known} == {name: now[name] for name in known}
    assert (2, 1) == (len(now["accounts"]), len(now["alerts"]))
    assert (TRANSFERS, 0) == (len(now["transfers"]), len(now["grants"])) or version > GRANTS
    assert keys == await stores.api_keys.list(ANN)
    for _ in range(2):
        assert used == await _usage(stores)
        await stores.usage.roll_up(ANN, transfers_max=len(now["transfers"]))
    assert [] == await faults(stores)
    # And goes on.
    (outcome,) = await do(stores, charge(1, "after"), now=NOW + 10**9)
    assert outcome.code is Code.OK
    assert [] == await faults(stores)
    await stores.connector.close()


GRANTS: Final = [name for name, _ in sql.migrations("sqlite")].index("0011_grants")
"""How many versions came before credit was given."""

RULES: Final = [name for name, _ in sql.migrations("sqlite")].index("0009_price_rules")
"""How many versions came before prices were rules."""

_CONSTRAINTS: Final = {
    "sqlite": "SELECT name, sql FROM sqlite_schema WHERE name IN ('hold', 'transfer') ORDER BY name",
    "postgres": (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' "
        "AND conrelid IN ('hold'::regclass, 'transfer'::regclass) ORDER BY conname"
    ),
}


async def test_books_of_before_rules_have_free_requests_from_then_on_and_one_version_for_each_start(
    engines: tuple[Engine, Engine],
) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    await keep_book(stores)
    await forget_events(full)
    before = await everything(stores, [ANN])
    assert {1, 2} <= {hold.state for hold in before["holds"]}
    await stores.connector.close()
    await leave_as_version(RULES, full, earlier)
    for number, (table, more) in enumerate(
        (("default_price", ("", "")), ("merchant_price", ("merchant_id, ", f"{ANN}, ")))
    ):
        for place, (starts_at, created_at) in enumerate(((NOW, NOW), (NOW, NOW + 5), (NOW, NOW + 3), (NOW + 9, NOW))):
            price_id = 900 + 10 * number + place
            await earlier.execute(
                f"INSERT INTO {table} ({more[0]}price_id, request_type, unit_price, starts_at, created_at) "
                f"VALUES ({more[1]}{price_id}, 'twice', {price_id}, {starts_at}, {created_at})"
            )

    stores = earlier.stores()
    await stores.connector.migrate(NOW + 10)
    await stores.connector.open()
    assert before == await everything(stores, [ANN])
    for merchant_id, first in ((None, 900), (ANN, 910)):
        versions = [price for price in await stores.prices.list(merchant_id) if price.request_type == "twice"]
        assert [(first, NOW + 5), (first + 1, NOW + 5), (first + 2, None), (first + 3, None)] == [
            (price.price_id, price.withdrawn_at) for price in versions
        ]
    (outcome,) = await do(stores, Charge(Payer(ANN), "twice", 1, "twice"), now=NOW + 8)
    assert outcome.transfer is not None
    assert 912 == outcome.transfer.price_id

    # Both rules of amounts were loosened where they stand, and nothing else.
    dialect = "sqlite" if isinstance(earlier, SqliteEngine) else "postgres"
    found = dict(await earlier.execute(_CONSTRAINTS[dialect]))
    assert dict(await full.execute(_CONSTRAINTS[dialect])) == found
    if isinstance(earlier, SqliteEngine):
        assert [("ok",)] == await earlier.execute("PRAGMA integrity_check")
        assert "CHECK (state = 2 OR captured = 0)" in found["hold"]
        assert "CHECK (amount >= 0)" in found["hold"]
        assert "pricing IS NOT NULL OR" in found["transfer"]
        assert "OR kind IN (7, 8)" in found["transfer"]
    else:
        assert "captured = 0" in found["hold_check1"]
        assert "amount >= 0" in found["hold_amount_check"]
        assert "pricing IS NOT NULL" in found["transfer_amount_check"]
    free = Rule(Rates((Line("requests", 0),)))
    await stores.prices.add(Price(999, "free", None, NOW, rule=free), NOW)
    outcomes = await do(
        stores,
        Charge(Payer(ANN), "free", 1, "free"),
        *(CreateHold(Payer(ANN), "free", 1, f"free {number}") for number in range(2)),
        now=NOW + 20,
    )
    seqs = [outcome.hold.seq for outcome in outcomes if outcome.hold is not None]
    outcomes += await do(
        stores, CaptureHold(ANN, seqs[0], "free-capture"), ReleaseHold(ANN, seqs[1], "free-release"), now=NOW + 20
    )
    assert [0] * 5 == [outcome.transfer.amount for outcome in outcomes if outcome.transfer is not None]
    assert [] == await faults(stores)
    await stores.connector.close()


REVENUE: Final = [name for name, _ in sql.migrations("sqlite")].index("0015_revenue")
"""How many versions came before months were kept."""


async def test_months_of_before_are_those_of_the_books_whatever_was_rolled_up(engines: tuple[Engine, Engine]) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    writer = await seeded_writer(stores)
    december = Month(2026, 12)
    for number, month in enumerate((december, december.plus(1), december.plus(1), december.plus(3))):
        at = month.starts_at + number
        await writer.write(ANN, Kind.GRANT, 9 * UNIT, at, given=f"{number + 1}:{9 * UNIT};types=image")
        await writer.write(ANN, Kind.TOP_UP, 5 * UNIT, at)
        await writer.write(BEN, Kind.CHARGE, UNIT, at, uncollected=3)
        await writer.write(ANN, Kind.TOP_UP_REVERSAL, UNIT, at, uncollected=None if number % 2 else 5 * UNIT)
        await writer.write(ANN, Kind.TOP_UP_REVERSAL, UNIT, at, is_payment=True)
        await writer.write(ANN, Kind.HOLD, 6 * UNIT, at, given=f"1:{UNIT},{number + 1}:{UNIT}")
        await writer.write(ANN, Kind.CAPTURE, 2 * UNIT, at, given=f"1:{UNIT},{number + 1}:{UNIT // 2}")
    await stores.usage.roll_up(ANN, transfers_max=15)
    await stores.connector.close()
    await leave_as_version(REVENUE, full, earlier)

    stores = earlier.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    kept = [await earlier.execute(f"SELECT count(*) FROM {table}") for table in ("revenue_month", "balance_month")]
    assert [[(8,)], [(2,)]] == kept
    books = await RevenueWriter(stores).books()
    for _ in range(2):
        for begin, end in ((0, 0), (1, 1), (2, 3), (0, 4)):
            first, last = december.plus(begin), december.plus(end)
            assert scanned(books, first=first, last=last) == await stores.revenue.months(first, last)
        for merchant_id in CURRENCIES:
            await stores.usage.roll_up(merchant_id, transfers_max=99)
    await stores.connector.close()


HOURS: Final = [name for name, _ in sql.migrations("sqlite")].index("0022_usage_hours")
"""How many versions came before hours were kept."""

HOUR: Final = 3_600_000_000


async def test_hours_of_before_are_those_of_the_books_whatever_was_rolled_up(engines: tuple[Engine, Engine]) -> None:
    full, earlier = engines
    expected = await _spend_by_hour(full)
    await leave_as_version(HOURS, full, earlier)
    stores = earlier.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    assert [(ANN, 2)] == await earlier.execute("SELECT merchant_id, count(*) FROM usage_hour GROUP BY merchant_id")
    assert [(ANN, 14)] == await earlier.execute("SELECT merchant_id, seq FROM usage_hour_mark")
    for _ in range(2):
        for merchant_id in CURRENCIES:
            assert expected.get(merchant_id, {}) == await _by_hour(stores, merchant_id)
            await stores.usage.roll_up(merchant_id, transfers_max=99)
    await stores.connector.close()


@pytest.mark.parametrize("table", ["usage_mark", "usage_quarter"])
async def test_hours_begin_at_one_moment_while_an_earlier_server_rolls_up(
    postgres_server: Databases, postgres_original: str, table: str
) -> None:
    """It rolls a book up further while the migration waits for one of the two tables that it reads."""
    with postgres_server.copy(postgres_original) as one, postgres_server.database() as other:
        full, earlier = PostgresEngine(one), PostgresEngine(other)
        expected = await _spend_by_hour(full)
        await leave_as_version(HOURS, full, earlier)
        stores, statements = earlier.stores(), sql.statements("postgres")
        async with stranger(earlier.url) as server, stranger(earlier.url) as watcher:

            async def fetch(statement: str, *values: Any) -> Sequence[Sequence[Any]]:
                return [tuple(row) for row in await server.fetch(statement, *values)]

            await server.execute(f"BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            migrating = asyncio.create_task(stores.connector.migrate(NOW))
            await until(lambda: is_waiting_for_a_lock(watcher))
            ((done,),) = await fetch(statements["lock_rolled_up_seq"], ANN)
            account = rows.account_from_row((await fetch(statements["account"], ANN))[0])
            assert 5 == await BookRollup(fetch, statements, account, 5).usage(done)
            await server.execute("COMMIT")
            assert "0022_usage_hours" in await migrating
        await stores.connector.open()
        assert expected[ANN] == await _by_hour(stores, ANN)
        await stores.connector.close()


async def _spend_by_hour(full: Engine) -> Mapping[int, Mapping[int, int]]:
    """Write books of which one is rolled up in part, and tell what was spent in each hour."""
    stores = full.stores()
    await stores.connector.open()
    writer = await seeded_writer(stores)
    for number in range(8):
        at = NOW + number * HOUR // 2
        await writer.write(ANN, Kind.CHARGE, 5 * UNIT, at, request_type=("image", "scan", "call")[number % 3])
        await writer.write(ANN, Kind.REFUND, UNIT * (number + 1), at + 1)
        await writer.write(ANN, Kind.HOLD, 2 * UNIT, at + 2)
        await writer.write(ANN, Kind.CAPTURE, UNIT, at + 3)
        await writer.write(BEN, Kind.CHARGE, 3 * UNIT, at)
    await stores.usage.roll_up(ANN, transfers_max=14)
    spent = {number: await _by_hour(stores, number) for number in (ANN, BEN)}
    # Charges and captures of 6 units each half an hour, less refunds of one unit more each time.
    assert 8 * 6 - sum(range(1, 9)) == sum(spent[ANN].values()) // UNIT
    await stores.connector.close()
    return spent


async def _by_hour(stores: Stores, merchant_id: int) -> Mapping[int, int]:
    return await stores.usage.spent_by_hour(merchant_id, first_hour=0, last_hour=NOW)


CHARGES: Final = 150


@pytest.mark.parametrize("version", sorted({3, GRANTS}))
async def test_an_earlier_server_goes_on_while_the_database_comes_up_to_date(
    engines: tuple[Engine, Engine], version: int
) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    await keep_book(stores)
    await do(stores, TopUp(ANN, 1_000 * UNIT, "more"), now=NOW + 10**8)
    await leave_as_version(version, full, earlier)
    first_seq = (await account_of(stores)).seq + 1
    for number in range(CHARGES):
        await do(stores, charge(1, f"charge {number}"), now=NOW + 10**8 + number)
    expected = await everything(stores, [ANN])
    await stores.connector.close()
    columns = (await _columns(earlier))["transfer"]
    written = await full.execute(
        f"SELECT {', '.join(columns)} FROM transfer WHERE seq >= {first_seq} ORDER BY merchant_id, seq"
    )

    stores = earlier.stores()
    half = asyncio.Event()

    async def migrate() -> list[str]:
        await half.wait()
        return await stores.connector.migrate(NOW + 1)

    async with earlier_server(earlier) as batch, asyncio.TaskGroup() as group:
        migrating = group.create_task(migrate())
        for number, row in enumerate(written):
            if number == CHARGES // 3:
                half.set()
            await batch(dict(zip(columns, row, strict=True)))
            await asyncio.sleep(0.002)
    assert VERSIONS - version == len(migrating.result())
    await stores.connector.open()
    found = await everything(stores, [ANN])
    assert {name: expected[name] for name in ("accounts", "transfers")} == {
        name: found[name] for name in ("accounts", "transfers")
    }
    assert [] == await faults(stores)
    (outcome,) = await do(stores, charge(1, "after"), now=NOW + 10**9)
    assert outcome.is_ok
    assert [] == await faults(stores)
    await stores.connector.close()


@asynccontextmanager
async def earlier_server(engine: Engine) -> AsyncIterator[Callable[[dict[str, Any]], Awaitable[None]]]:
    """Lend what commits a charge as servers of every version do: the account locked, a transfer, the account."""
    lock = "SELECT wallet FROM account WHERE merchant_id = $1 FOR UPDATE"
    update = (
        "UPDATE account SET wallet = $2, revenue = revenue + $3, seq = $4, last_hash = $5, last_at = $6"
        " WHERE merchant_id = $1"
    )

    def values(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in ("merchant_id", "wallet_after", "amount", "seq", "hash", "committed_at"))

    def insert(row: dict[str, Any]) -> str:
        return f"INSERT INTO transfer ({', '.join(row)}) VALUES ({', '.join(f'${n + 1}' for n in range(len(row)))})"

    if isinstance(engine, SqliteEngine):
        connection = apsw.Connection(str(engine.path))
        connection.set_busy_timeout(10_000)

        def commit(row: dict[str, Any]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(sql.in_dialect(insert(row), "sqlite"), tuple(row.values()))
            connection.execute(sql.in_dialect(update, "sqlite"), values(row))
            connection.execute("COMMIT")

        async def batch(row: dict[str, Any]) -> None:
            await asyncio.to_thread(commit, row)

        yield batch
        connection.close()
        return
    assert isinstance(engine, PostgresEngine)
    server = await asyncpg.connect(engine.url)

    async def run(row: dict[str, Any]) -> None:
        async with server.transaction():
            await server.fetch(lock, row["merchant_id"])
            # Time enough for a migration to come between.
            await asyncio.sleep(0.001)
            await server.execute(insert(row), *row.values())
            await server.execute(update, *values(row))

    yield run
    await server.close()


async def test_units_that_were_counted_keep_to_the_unit_that_their_prices_have(engines: tuple[Engine, Engine]) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    await add_merchant(stores)
    daily, monthly, uncounted = (
        Rule(Rates((Line("calls", 1),)), period=None if unit is None else Period(unit, "UTC"))
        for unit in (PeriodUnit.DAY, PeriodUnit.MONTH, None)
    )
    kept: dict[str, list[tuple[int | None, Rule]]] = {
        "day": [(None, daily), (None, uncounted)],
        "month": [(None, monthly)],
        "own": [(None, uncounted), (ANN, daily)],
        "both": [(None, daily), (ANN, monthly)],
        "none": [],
    }
    for number, (request_type, rules) in enumerate(kept.items()):
        for place, (merchant_id, rule) in enumerate(rules):
            price = Price(10 * number + place + 1, request_type, None, NOW + place, merchant_id, rule)
            await stores.prices.add(price, NOW)
    await stores.connector.close()
    await leave_as_version(GRANTS, full, earlier)
    for request_type in kept:
        await earlier.execute(
            "INSERT INTO period_count (merchant_id, request_type, starts_at, line, units)"
            f" VALUES ({ANN}, '{request_type}', 5, 'calls', 7)"
        )
    stores = earlier.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    units = {"day": "day", "month": "month", "own": "day", "both": "month", "none": "month"}
    for request_type, unit in units.items():
        expected = [PeriodCount(ANN, request_type, 5, unit, "calls", 7)]
        assert expected == await stores.prices.period_counts(ANN, request_type, 5)
    await stores.connector.close()


async def _usage(stores: Stores) -> Sequence[Usage]:
    """Sum up all that a merchant used, whatever part of its book is rolled up already."""
    return await stores.usage.buckets(ANN, first_quarter=0, last_quarter=NOW, offset_quarters=0, bucket_quarters=NOW)


EPISODES: Final = 4
"""The version that tells of low balances by episode."""


async def test_thresholds_of_before_keep_their_states_and_those_of_new_books_wait_for_money(
    engines: tuple[Engine, Engine],
) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    silent = (Threshold(100 * UNIT, False),)
    for number in range(4):
        await add_merchant(stores, ANN + number, thresholds=silent)
    new, below, reached, told = (ANN + number for number in range(4))
    await stores.connector.close()
    balances = {below: (80, "false", 0), reached: (200, "true", 0), told: (0, "false", 1)}
    for number, (units, is_armed, alerts_count) in balances.items():
        await full.execute(
            f"UPDATE account SET wallet = {units * UNIT}, funding = {-units * UNIT}, alerts_count = {alerts_count},"
            f" thresholds = '[[{100 * UNIT},{is_armed}]]' WHERE merchant_id = {number}"
        )
    await leave_as_version(EPISODES - 1, full, earlier)
    stores = earlier.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    assert {new: True, below: False, reached: True, told: False} == {
        number: (await account_of(stores, number)).thresholds[0].is_armed for number in (new, below, reached, told)
    }
    # The first money that leaves one below is told of.
    await do(stores, TopUp(new, 80 * UNIT, "INV-1"), TopUp(below, UNIT, "INV-1"))
    for number in (new, below):
        alert, _ = await stores.deliveries.alerts(number, 9)
        assert (100 * UNIT, 1, AlertKind.LOW_BALANCE) == (alert.threshold, alert.transfer_seq, alert.kind)
    await stores.connector.close()


CONTROL: Final = 5
"""The version that knows people: whom keys, staff accounts and requests count as."""

UNKNOWN: Final = "0"
COMMAND_LINE: Final = "1"
SHELL: Final = "shell:root"
FIRST, SECOND, OF_KEY, UNTOLD = (f"{name}@farebox.example" for name in ("first", "second", "of-key", "untold"))
NUMBERS: Final = {FIRST: 11, SECOND: 12, OF_KEY: 13, UNTOLD: 14}
SUPPORT_KEY: Final = 90

ADDED_BY: Final = {FIRST: (SHELL, None), SECOND: (FIRST, None), OF_KEY: (SHELL, SUPPORT_KEY)}
"""Who added each account, as the audit log names them: by name, and a key by its number, too."""

COUNTS_AS: Final = {FIRST: "", SECOND: UNKNOWN, OF_KEY: UNKNOWN, UNTOLD: UNKNOWN}
"""An account of the staff's own adding may be a puppet; a key may have been given any name, the shell's too."""

KEYS: Final[dict[str, tuple[tuple[str, int | None] | None, str]]] = {
    "by the shell": ((SHELL, None), COMMAND_LINE),
    "by the first": ((FIRST, None), "11"),
    "by the first again": ((FIRST, None), "11"),
    "by the second": ((SECOND, None), UNKNOWN),
    "by a key": (("by the first", SUPPORT_KEY), UNKNOWN),
    "by a key in the shell's name": ((SHELL, SUPPORT_KEY), UNKNOWN),
    "by a key in the first's name": ((FIRST, SUPPORT_KEY), UNKNOWN),
    "by nobody who is there": (("gone@farebox.example", None), UNKNOWN),
    "by nobody who is known": (None, UNKNOWN),
}
"""Who made each key, and whom it counts as."""

REQUESTS: Final = {
    (SHELL, None): COMMAND_LINE,
    (FIRST, None): "11",
    (SECOND, None): UNKNOWN,
    (FIRST, SUPPORT_KEY): UNKNOWN,
    ("by the first", SUPPORT_KEY): UNKNOWN,
}
"""Who asked for what waits, and whom the request counts as."""


async def test_keys_accounts_and_requests_of_before_belong_to_those_whom_the_audit_log_names(
    engines: tuple[Engine, Engine],
) -> None:
    full, earlier = engines
    stores = full.stores()
    await stores.connector.open()
    await add_merchant(stores)
    for email, number in NUMBERS.items():
        await stores.logins.add(Login(number, Realm.SUPPORT, email, email, NOW))
        if email in ADDED_BY:
            await _write_entry(stores, ADDED_BY[email], Action.ADD_STAFF, subject=email)
    for number, (name, (maker, _)) in enumerate(KEYS.items(), start=SUPPORT_KEY):
        kind = KeyKind.SERVICE if name == "by the first again" else KeyKind.SUPPORT
        key = ApiKey(number, kind, bytes([number]) * 32, f"fbu_…{number}", NOW + number, name=name)
        await stores.api_keys.create(key)
        if maker is not None:
            await _write_entry(stores, maker, Action.CREATE_KEY, at=key.created_at, detail=f"{key.hint} {name}")
    # Another key of the same name, made when the audit log told of somebody else's.
    await stores.api_keys.create(
        ApiKey(200, KeyKind.SUPPORT, bytes(32), "fbu_…200", NOW + SUPPORT_KEY, name="by the shell")
    )
    for number, (asker, at) in enumerate(zip(REQUESTS, range(NOW, NOW + 9), strict=False)):
        await full.execute(
            "INSERT INTO approval (merchant_id, number, kind, amount, reference, idempotency_key, content,"
            " requested_by, requested_at, state, requested_people)"
            f" VALUES ({ANN}, {number}, 1, 5, 'R', 'top_up R{number}', {full.blob(bytes(8))},"
            f" '{asker[0]}', {at}, 1, '7')"
        )
        await _write_entry(stores, asker, Action.REQUEST_APPROVAL, at=at, merchant_id=ANN)
    await stores.connector.close()
    await leave_as_version(CONTROL - 1, full, earlier)

    stores = earlier.stores()
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    staff = await stores.logins.list(Realm.SUPPORT)
    assert COUNTS_AS == {login.email: login.counts_as for login in staff}
    assert {EVERY_ROLE} == {login.roles for login in staff}
    *keys, other = await stores.api_keys.list(None)
    assert {name: people for name, (_, people) in KEYS.items()} == {key.name: key.people for key in keys}
    assert UNKNOWN == other.people
    assert {KeyKind.SERVICE: 0, KeyKind.SUPPORT: EVERY_ROLE} == {key.kind: key.roles for key in keys}
    waiting = await stores.approvals.pending(9)
    assert list(REQUESTS.values()) == [approval.requested_people for approval in waiting]
    await stores.connector.close()


async def _write_entry(
    stores: Stores,
    person: tuple[str, int | None],
    action: Action,
    *,
    at: int = NOW,
    subject: str | None = None,
    detail: str = "",
    merchant_id: int | None = None,
) -> None:
    name, key_id = person
    number = len(await stores.audit_log.list(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=999))
    await stores.audit_log.append(AuditEntry(number, merchant_id, at, name, key_id, None, action, subject, detail))


_KEPT_IN: Final = {
    "accounts": "account",
    "transfers": "transfer",
    "holds": "hold",
    "alerts": "alert",
    "mails": "delivery",
    "approvals": "approval",
    "audit_entries": "audit_log",
    "grants": "credit_grant",
}


_FORMER: Final = {"delivery": ("outbox", {"recipient_id": "user_id"})}
"""Tables that had another name, and columns too, in versions that have none of today's name."""


async def leave_as_version(version: int, full: Engine, earlier: Engine) -> None:
    """Make a database as a program of this version would have, with the rows of one of today's."""
    await forget_events(full)
    first = {dialect: sql.migrations(dialect)[:version] for dialect in ("sqlite", "postgres")}
    with mock.patch.object(sql, "migrations", first.__getitem__):
        assert version == len(await earlier.stores().connector.migrate(NOW))
    columns_of = await _columns(earlier)
    # What refers to other rows comes after them.
    for table in reversed(TABLES):
        former, names = (table, {}) if table in columns_of else _FORMER.get(table, (table, {}))
        columns = columns_of.get(former, [])
        today = [next((new for new, old in names.items() if old == column), column) for column in columns]
        rows = await full.execute(f"SELECT {', '.join(today)} FROM {table}") if columns else ()
        if values := ", ".join(f"({', '.join(_literal(earlier, value) for value in row)})" for row in rows):
            await earlier.execute(f"INSERT INTO {former} ({', '.join(columns)}) VALUES {values}")


async def _columns(engine: Engine) -> dict[str, list[str]]:
    """Name the columns of each table, in their order, but for those that the database itself computes."""
    if isinstance(engine, SqliteEngine):
        asked = "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'table'"
    else:
        asked = (
            "SELECT relname, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace AND attnum > 0 AND attgenerated = '' ORDER BY c.oid, attnum"
        )
    columns: defaultdict[str, list[str]] = defaultdict(list)
    for table, name in await engine.execute(asked):
        columns[table].append(name)
    return columns


async def _is_table(full: Engine, earlier: Engine, table: str, version: int) -> bool:
    """Tell whether a version had this table: today's have it, and the first migrations made it."""
    dialect = "sqlite" if isinstance(earlier, SqliteEngine) else "postgres"
    scripts = "".join(script for _, script in sql.migrations(dialect)[:version])
    names = (table, _FORMER.get(table, (table, {}))[0])
    return any(f"CREATE TABLE {name} (" in scripts for name in names) and table in await _columns(full)


def _literal(engine: Engine, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return engine.blob(value)
    if isinstance(value, bool | int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"
