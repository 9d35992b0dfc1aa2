"""What the console shows of many merchants, on both engines; and that PostgreSQL walks no table for it."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core import audit_log
from farebox.core.commands import Actor, KeyKind
from farebox.core.ids import NUMBER_MAX
from farebox.storage import sql
from farebox.storage.interface import AlreadyExists, Database
from farebox.storage.office import Office
from farebox.storage.rows import Counts, MerchantOrder, RunwaySnapshot, RunwaySnapshotAge, User, Verification
from tests.storage.engines import Engine
from tests.storage.test_postgres import planning_session
from tests.support.ledger import ANN, BEN, NOBODY, NOW, UNIT, add_merchant, digest, do, fire, merchant_key, staff_key

CLEO: Final = NOBODY
ORDERS: Final = tuple(MerchantOrder)


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Database]:
    """An open store without rows."""
    store: Any = engine.store()
    await store.migrate(NOW)
    await engine.clear()
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def office(store: Database) -> Office:
    """What the operator sees of the store."""
    return Office(store)


def runway_snapshot(merchant_id: int, **fields: Any) -> RunwaySnapshot:
    """Make up a merchant's prospects."""
    return replace(RunwaySnapshot(merchant_id, 0, 0, NOW, None, None, NOW), **fields)


async def test_prospects_are_written_over_and_read_back(office: Office) -> None:
    assert await office.runway_snapshot(ANN) is None
    await office.put_runway_snapshots([])
    await office.put_runway_snapshots([runway_snapshot(BEN), runway_snapshot(ANN, available=-5)])
    most = runway_snapshot(
        ANN, seq=7, available=UNIT, last_at=NOW + 1, runs_out_at=NOW + 2, burn_per_day=9, computed_at=NOW + 3
    )
    await office.put_runway_snapshots([most])
    assert [most, runway_snapshot(BEN)] == [await office.runway_snapshot(number) for number in (ANN, BEN)]
    await office.put_runway_snapshots([runway_snapshot(ANN)])
    assert runway_snapshot(ANN) == await office.runway_snapshot(ANN)


async def test_merchants_are_listed_in_each_order_page_by_page(store: Database, office: Office) -> None:
    for number in (ANN, BEN, CLEO):
        await add_merchant(store, number)
    await office.put_runway_snapshots(
        [
            runway_snapshot(ANN, available=5, last_at=NOW + 1, runs_out_at=NOW + 9),
            runway_snapshot(BEN, available=-5, last_at=NOW + 1, runs_out_at=NOW + 8),
            runway_snapshot(CLEO, available=5, last_at=NOW + 3),
        ]
    )
    expected = {
        MerchantOrder.RUNS_OUT: [BEN, ANN],
        MerchantOrder.AVAILABLE: [BEN, ANN, CLEO],
        MerchantOrder.LAST: [CLEO, BEN, ANN],
        MerchantOrder.AGE: [CLEO, BEN, ANN],
    }
    assert set(ORDERS) == set(expected)
    for order, numbers in expected.items():
        assert numbers == await office.list_merchants(order, limit=9, offset=0)
        assert numbers[1:2] == await office.list_merchants(order, limit=1, offset=1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("acme", [ANN]),
        ("ACME", [ANN]),
        ("100%", [ANN]),
        ("1%0", []),
        ("%", [ANN]),
        ("_", [BEN]),
        ("!", [BEN]),
        ("Ärzte", [CLEO]),
        ("ärzte", []),
        ("ÄRZTE", [CLEO]),
        ("ben@", [BEN]),
        ("@", [CLEO, BEN]),
        ("", [CLEO, BEN, ANN]),
        ("\0", []),
        ("acme\0", []),
        ("nobody", []),
    ],
)
async def test_a_search_finds_what_is_written_and_takes_no_character_for_a_wildcard(
    store: Database, office: Office, text: str, found: list[int]
) -> None:
    for number, name in ((ANN, "Acme 100%"), (BEN, "snake_case!"), (CLEO, "Ärzte")):
        await add_merchant(store, number)
        await store.rename_merchant(number, name)
    for number in (BEN, CLEO):
        await store.add_user(User(number, 1, "Ben@northwind.example" if number == BEN else "c@x.example", NOW))
        await store.add_user(User(number, 2, "d@x.example", NOW))
    assert found == await office.search_merchants(text, limit=9, offset=0)
    assert found[1:2] == await office.search_merchants(text, limit=1, offset=1)


async def test_marks_tell_how_far_books_and_prospects_are(store: Database, office: Office) -> None:
    for number, funds in ((ANN, 5), (BEN, 0), (CLEO, 0)):
        await add_merchant(store, number, funds=funds)
    await office.put_runway_snapshots([runway_snapshot(ANN, seq=0), runway_snapshot(CLEO, computed_at=NOW + 1)])
    marks = [
        RunwaySnapshotAge(ANN, 1, 0, NOW),
        RunwaySnapshotAge(BEN, 0, None, None),
        RunwaySnapshotAge(CLEO, 0, 0, NOW + 1),
    ]
    assert marks == await office.runway_snapshot_ages(-1, 9)
    assert marks[1:2] == await office.runway_snapshot_ages(ANN, 1)
    assert [] == await office.runway_snapshot_ages(CLEO, 9)


async def test_the_last_use_of_keys_is_kept_and_never_goes_back(store: Database, office: Office) -> None:
    await add_merchant(store)
    await store.create_key(staff_key(2))
    await store.create_key(staff_key(3, KeyKind.SUPPORT))
    await store.create_key(merchant_key(4))
    both: list[tuple[int | None, bytes]] = [(None, digest(2)), (ANN, digest(4))]
    await office.note_keys([*both, (None, digest(99)), (BEN, digest(4)), (None, digest(4))], NOW + 5)
    await office.note_keys([both[0]], NOW + 4)
    await office.note_keys([both[1]], NOW + 6)
    assert {2: NOW + 5, 3: None} == {key.key_id: key.used_at for key in await store.keys(None)}
    assert {ANN: None, 4: NOW + 6} == {key.key_id: key.used_at for key in await store.keys(ANN)}


async def test_verifications_are_kept_and_listed_newest_first(office: Office) -> None:
    begun = Verification(1, "sam", NOW, NOW)
    await office.begin_verification(begun)
    await office.begin_verification(replace(begun, verification_id=2))
    with pytest.raises(AlreadyExists):
        await office.begin_verification(begun)
    ended = replace(
        begun,
        seen_at=NOW + 1,
        finished_at=NOW + 2,
        merchants=3,
        merchants_done=4,
        transfers_done=5,
        problems=6,
        first_problem="Ünsound",
    )
    await office.update_verification(ended)
    await office.update_verification(replace(ended, verification_id=9))
    assert [replace(begun, verification_id=2), ended] == await office.verifications(9)
    assert [replace(begun, verification_id=2)] == await office.verifications(1)


async def test_what_is_there_is_counted(store: Database, office: Office) -> None:
    assert Counts(0, 0, 0, 0) == await office.counts()
    await add_merchant(store, funds=5)
    await add_merchant(store, BEN)
    await fire(store, User(ANN, 1, "one@example.com", NOW), User(ANN, 2, "two@example.com", NOW))
    await do(store)
    assert Counts(2, 1, 2, 0) == await office.counts()


async def test_a_look_is_noted_in_the_audit_log(store: Database, office: Office) -> None:
    actor = Actor(1, "sam")
    audit_entry = audit_log.audit_entry(actor, merchant_id=ANN, at=NOW, action="look_as_merchant", subject="mer_1")
    await office.note(audit_entry)
    assert [audit_entry] == list(await store.audit_entries(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=9))


# How PostgreSQL goes about it.

WALKS: Final = {"counts", "retry_account_mails", "search_merchants"}
"""Statements that look at a whole table by their nature, when somebody asks for that."""

IN_ORDER: Final = {
    **{f"merchants_by_{order}": "outlook" for order in ("runs_out", "available", "last")},
    "merchants_by_age": "merchant_pkey",
    "account_mails": "letter_pkey",
    "verifications": "verification_pkey",
}
"""Statements that read an index from one of its ends, as far as they are asked to, and which."""


async def test_no_statement_walks_a_table_that_grows(postgres_url: str) -> None:
    statements = sql.shared_statements("postgres")
    async with planning_session(postgres_url) as connection:
        walking = []
        for name in set(statements) - WALKS:
            count = max(int(number) for number in re.findall(r"\$(\d+)", statements[name] + "$0"))
            await connection.execute(f"PREPARE {name} AS {statements[name]}")
            call = f"{name}({', '.join(['NULL'] * count)})" if count else name
            found = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {call}")
            for scan in scans(json.loads(found)[0]["Plan"]):
                is_from_an_end = scan.get("Index Name", "").startswith(IN_ORDER.get(name, "letter_due"))
                if not is_from_an_end and "Index Cond" not in scan:
                    walking.append((name, scan))
        assert [] == walking


async def test_a_walk_over_many_merchants_looks_at_each_once(postgres_url: str) -> None:
    """Wherever the walk is, its next stretch costs the same: it does not begin at the first merchant's prospects."""
    merchants, stretch = 20_000, 500
    statement = sql.shared_statements("postgres")["runway_snapshot_ages"]
    numbers = f"FROM generate_series(1, {merchants}) n"
    async with planning_session(postgres_url) as connection:
        await connection.execute(f"INSERT INTO merchant SELECT n, 'Acme', 1 {numbers}")
        await connection.execute(
            "INSERT INTO account (merchant_id, currency, wallet, held, revenue, funding, adjustments, credit_limit,"
            f" is_frozen, seq, last_hash, last_at, alerts_count, thresholds) SELECT n, 'USD', 0, 0, 0, 0, 0, 0, false,"
            f" 0, sha256('x'), 0, 0, '[]' {numbers}"
        )
        await connection.execute(f"INSERT INTO outlook SELECT n, 0, 0, 0, NULL, NULL, 0 {numbers}")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute(f"PREPARE marks AS {statement}")
        read = []
        for after in (0, merchants - stretch):
            found = await connection.fetchval(
                f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE marks({after}, {stretch})"
            )
            plan = json.loads(found)[0]["Plan"]
            assert stretch == plan["Actual Rows"]
            read.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        assert read[1] < 2 * read[0], read


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a plan that read a table or an index."""
    if "Index Name" in plan or plan["Node Type"] == "Seq Scan":
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans(child)
