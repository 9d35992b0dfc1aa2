"""What the console shows of many merchants, on both engines; and that PostgreSQL walks no table for it."""

import asyncio
import json
import re
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core import audit_log
from farebox.core.audit_log import Action
from farebox.core.commands import Actor, KeyKind, SetClosed
from farebox.core.ids import NUMBER_MAX
from farebox.core.invariants import InvariantViolation
from farebox.storage import sql
from farebox.storage.interface import AlreadyExists, NotFound
from farebox.storage.records import (
    Counts,
    MerchantFilter,
    MerchantNote,
    MerchantOrder,
    RunwaySnapshot,
    RunwaySnapshotAge,
    User,
    Verification,
)
from farebox.storage.stores import Stores
from farebox.storage.verifications import UnderWay
from tests.storage.engines import CitusEngine, Engine
from tests.storage.postgres_ledger import planning_session
from tests.support.ledger import (
    ANN,
    BEN,
    NOBODY,
    NOW,
    UNIT,
    account_of,
    add_merchant,
    digest,
    do,
    fire,
    merchant_key,
    staff_key,
)

CLEO: Final = NOBODY
ORDERS: Final = tuple(MerchantOrder)


def runway_snapshot(merchant_id: int, **fields: Any) -> RunwaySnapshot:
    """Make up a merchant's runway snapshot."""
    return replace(RunwaySnapshot(merchant_id, 0, 0, NOW, None, None, NOW), **fields)


async def test_runway_snapshots_are_written_over_and_read_back(stores: Stores) -> None:
    assert await stores.runway_snapshots.find(ANN) is None
    await stores.runway_snapshots.put([])
    await stores.runway_snapshots.put([runway_snapshot(BEN), runway_snapshot(ANN, available=-5)])
    most = runway_snapshot(
        ANN, seq=7, available=UNIT, last_at=NOW + 1, runs_out_at=NOW + 2, burn_per_day=9, computed_at=NOW + 3
    )
    await stores.runway_snapshots.put([most])
    assert [most, runway_snapshot(BEN)] == [await stores.runway_snapshots.find(number) for number in (ANN, BEN)]
    await stores.runway_snapshots.put([runway_snapshot(ANN)])
    assert runway_snapshot(ANN) == await stores.runway_snapshots.find(ANN)


async def test_merchants_are_listed_in_each_order_page_by_page(stores: Stores) -> None:
    for number, funds in ((ANN, 9), (BEN, 8), (CLEO, 0)):
        await add_merchant(stores, number, funds=funds)
    await stores.runway_snapshots.put(
        [
            # What the snapshots have for a balance counts for nothing where the money runs out.
            runway_snapshot(ANN, available=5, last_at=NOW + 1, runs_out_at=NOW + 7, burn_per_day=2),
            runway_snapshot(BEN, available=-5, last_at=NOW + 1, runs_out_at=NOW + 8, burn_per_day=2),
            runway_snapshot(CLEO, available=5, last_at=NOW + 3),
        ]
    )
    expected = {
        MerchantOrder.RUNS_OUT: [BEN, ANN],
        MerchantOrder.AVAILABLE: [BEN, ANN, CLEO],
        MerchantOrder.LAST: [CLEO, BEN, ANN],
        MerchantOrder.AGE: [CLEO, BEN, ANN],
    }
    assert set(ORDERS) == {*expected, MerchantOrder.CLOSING}
    for order, numbers in expected.items():
        assert numbers == await stores.merchants.in_order(order, limit=9, offset=0)
        assert numbers[1:2] == await stores.merchants.in_order(order, limit=1, offset=1)


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
    stores: Stores, text: str, found: list[int]
) -> None:
    for number, name in ((ANN, "Acme 100%"), (BEN, "snake_case!"), (CLEO, "Ärzte")):
        await add_merchant(stores, number)
        await stores.merchants.rename(number, name)
    for number in (BEN, CLEO):
        await stores.users.add(User(number, 1, "Ben@northwind.example" if number == BEN else "c@x.example", NOW))
        await stores.users.add(User(number, 2, "d@x.example", NOW))
    assert found == await stores.merchants.search(text, limit=9, offset=0)
    assert found[1:2] == await stores.merchants.search(text, limit=1, offset=1)


async def test_merchants_are_read_together_in_the_order_in_which_they_are_named(stores: Stores) -> None:
    for number, name in ((ANN, "Ann"), (BEN, "Ben")):
        await add_merchant(stores, number, name=name, funds=number - ANN + 1)
    await stores.runway_snapshots.put([runway_snapshot(BEN, seq=1)])
    ann, ben = [
        (
            await stores.merchants.find(number),
            await account_of(stores, number),
            await stores.runway_snapshots.find(number),
        )
        for number in (ANN, BEN)
    ]
    assert ann[2] is None
    assert [ben, ann] == await stores.merchants.with_accounts([BEN, NOBODY, ANN])
    assert [] == await stores.merchants.with_accounts([])
    assert {ANN: "Ann", BEN: "Ben"} == await stores.merchants.names([NOBODY, BEN, ANN])
    assert {} == await stores.merchants.names([])


async def test_an_account_that_breaks_a_rule_is_not_listed(engine: Engine, stores: Stores) -> None:
    await add_merchant(stores, funds=5)
    await engine.execute(f"UPDATE account SET thresholds = '[[{6 * UNIT},true]]'")
    with pytest.raises(InvariantViolation, match="armed above"):
        await stores.merchants.with_accounts([ANN])


async def test_marks_tell_how_far_books_and_snapshots_are(stores: Stores) -> None:
    for number, funds in ((ANN, 5), (BEN, 0), (CLEO, 0)):
        await add_merchant(stores, number, funds=funds)
    await stores.runway_snapshots.put([runway_snapshot(ANN, seq=0), runway_snapshot(CLEO, computed_at=NOW + 1)])
    marks = [
        RunwaySnapshotAge(ANN, 1, 0, NOW),
        RunwaySnapshotAge(BEN, 0, None, None),
        RunwaySnapshotAge(CLEO, 0, 0, NOW + 1),
    ]
    assert marks == await stores.runway_snapshots.ages(-1, 9)
    assert marks[1:2] == await stores.runway_snapshots.ages(ANN, 1)
    assert [] == await stores.runway_snapshots.ages(CLEO, 9)


async def test_the_last_use_of_keys_is_kept_and_never_goes_back(stores: Stores) -> None:
    await add_merchant(stores)
    await stores.api_keys.create(staff_key(2))
    await stores.api_keys.create(staff_key(3, KeyKind.SUPPORT))
    await stores.api_keys.create(merchant_key(4))
    both: list[tuple[int | None, bytes]] = [(None, digest(2)), (ANN, digest(4))]
    await stores.api_keys.note_use([*both, (None, digest(99)), (BEN, digest(4)), (None, digest(4))], NOW + 5)
    await stores.api_keys.note_use([both[0]], NOW + 4)
    await stores.api_keys.note_use([both[1]], NOW + 6)
    assert {2: NOW + 5, 3: None} == {key.key_id: key.used_at for key in await stores.api_keys.list(None)}
    assert {ANN: None, 4: NOW + 6} == {key.key_id: key.used_at for key in await stores.api_keys.list(ANN)}


async def test_of_several_who_begin_a_verification_at_once_one_does(stores: Stores, engine: Engine) -> None:
    """One that is silent for long keeps nobody from it."""
    await stores.verifications.begin(Verification(1, "ann", NOW - 9, NOW - 9))
    async with AsyncExitStack() as stack:
        rivals = [stores]
        for _ in range(3):
            rivals.append(engine.stores())
            await rivals[-1].connector.open()
            stack.push_async_callback(rivals[-1].connector.close)
        found = await asyncio.gather(
            *[
                rival.verifications.begin_alone(Verification(number, "ann", NOW, NOW), heard_since=NOW - 8)
                for number, rival in enumerate(rivals, start=2)
            ],
            return_exceptions=True,
        )
    assert 3 == len([error for error in found if isinstance(error, UnderWay)])
    assert 2 == len(await stores.verifications.list(9))


async def test_verifications_are_kept_and_listed_newest_first(stores: Stores) -> None:
    begun = Verification(1, "sam", NOW, NOW)
    await stores.verifications.begin(begun)
    await stores.verifications.begin(replace(begun, verification_id=2))
    with pytest.raises(AlreadyExists):
        await stores.verifications.begin(begun)
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
    await stores.verifications.update(ended)
    await stores.verifications.update(replace(ended, verification_id=9))
    assert [replace(begun, verification_id=2), ended] == await stores.verifications.list(9)
    assert [replace(begun, verification_id=2)] == await stores.verifications.list(1)


async def test_what_is_there_is_counted(stores: Stores) -> None:
    assert Counts(0, 0, 0, 0, 0) == await stores.merchants.counts()
    await add_merchant(stores, funds=5)
    await add_merchant(stores, BEN)
    await fire(stores, User(ANN, 1, "one@example.com", NOW), User(ANN, 2, "two@example.com", NOW))
    await do(stores)
    assert Counts(2, 0, 1, 2, 0) == await stores.merchants.counts()
    await do(stores, SetClosed(BEN, True, "gone"))
    assert Counts(1, 1, 1, 2, 0) == await stores.merchants.counts()


async def test_closed_merchants_are_in_a_list_of_their_own(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    # Both spend.
    snapshots = [RunwaySnapshot(number, 1, UNIT, NOW, NOW, UNIT, NOW) for number in (ANN, BEN)]
    await stores.runway_snapshots.put(snapshots)

    async def listed() -> dict[str, list[int]]:
        return {order.name: list(await stores.merchants.in_order(order, limit=9, offset=0)) for order in MerchantOrder}

    everywhere = [order.name for order in MerchantOrder if order is not MerchantOrder.CLOSING]
    both = {name: {ANN, BEN} for name in everywhere}
    assert {**both, "CLOSING": set()} == {name: set(numbers) for name, numbers in (await listed()).items()}
    await do(stores, SetClosed(ANN, True, "gone"))
    assert {**{name: [BEN] for name in everywhere}, "CLOSING": [ANN]} == await listed()
    assert [ANN] == await stores.merchants.search("acme", limit=1, offset=1)
    await do(stores, SetClosed(BEN, True, "gone"), now=NOW + 1)
    assert [BEN, ANN] == (await listed())["CLOSING"]


async def test_what_was_noted_is_read_newest_first(stores: Stores) -> None:
    await add_merchant(stores)
    notes = [MerchantNote(ANN, number, NOW + number, "sam", f"note {number}") for number in range(3)]
    for note in notes:
        await stores.merchants.add_note(note)
    assert notes[::-1] == await stores.merchants.notes(ANN, before=9, limit=9)
    assert [notes[1]] == await stores.merchants.notes(ANN, before=2, limit=1)
    assert [] == await stores.merchants.notes(BEN, before=9, limit=9)


async def test_a_tag_is_found_as_a_whole_and_stands_for_itself(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    await stores.merchants.set_tags(ANN, ",50%,eu_west,vip,")
    await stores.merchants.set_tags(BEN, ",eu-west,vip plus,")
    for tag, numbers in {"vip": [ANN], "vip plus": [BEN], "eu_west": [ANN], "50%": [ANN], "5": [], "%": []}.items():
        assert numbers == await stores.merchants.with_tag(tag, limit=9, offset=0), tag
        page = await stores.merchants.page(0, 9, MerchantFilter(tag=tag))
        assert numbers == [merchant.merchant_id for merchant, _ in page], tag
    ((merchant, _),) = await stores.merchants.page(0, 9, MerchantFilter(tag="vip"))
    assert ["50%", "eu_west", "vip"] == merchant.tag_list
    with pytest.raises(NotFound):
        await stores.merchants.set_tags(NOBODY, "")


async def test_the_closed_and_the_others_are_listed_apart(stores: Stores) -> None:
    await add_merchant(stores)
    await add_merchant(stores, BEN)
    await do(stores, SetClosed(BEN, True, "gone"))
    for is_closed, numbers in ((None, [ANN, BEN]), (False, [ANN]), (True, [BEN])):
        page = await stores.merchants.page(0, 9, MerchantFilter(is_closed))
        assert numbers == [merchant.merchant_id for merchant, _ in page]


async def test_a_look_is_noted_in_the_audit_log(stores: Stores) -> None:
    actor = Actor(1, "sam")
    audit_entry = audit_log.audit_entry(actor, merchant_id=ANN, at=NOW, action=Action.LOOK_AS_MERCHANT, subject="mer_1")
    await stores.audit_log.append(audit_entry)
    assert [audit_entry] == list(
        await stores.audit_log.list(merchant_id=None, before=(NUMBER_MAX, NUMBER_MAX), limit=9)
    )


# How PostgreSQL goes about it.


async def test_a_walk_over_many_merchants_looks_at_each_once(ledger_url: str) -> None:
    """Each stretch of the walk costs the same: it does not begin at the first merchant's snapshot."""
    merchants, stretch = 20_000, 500
    statement = sql.statements("postgres")["runway_snapshot_ages"]
    numbers = f"FROM generate_series(1, {merchants}) n"
    async with planning_session(ledger_url) as connection:
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


@pytest.mark.parametrize(
    ("name", "values", "index"),
    [("open_holds", ("-1", "0", "0", "50"), "hold_due"), ("open_holds_of", ("-1", "0", "0", "1", "50"), "hold_open")],
)
async def test_open_holds_are_read_by_the_index_that_has_no_others(
    engine: Engine, stores: Stores, name: str, values: tuple[str, ...], index: str
) -> None:
    """However many holds there were: the engines walk over those that are open alone, of one merchant or of all."""
    if isinstance(engine, CitusEngine):
        # It joins both tables in each shard, in a statement of its own.
        return
    dialect = stores.connector.dialect
    numbers = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)"
    columns = "merchant_id, seq, amount, expires_at, state, captured, quantity, request_type"
    await engine.execute(
        f"INSERT INTO hold ({columns}) {numbers}"
        " SELECT CASE WHEN n % 4 = 0 THEN 2 ELSE 1 END, n, 5, n, CASE WHEN n % 4 = 0 OR n % 2001 = 0 THEN 1 ELSE 3 END,"
        " 0, 1, 'x' FROM n"
    )
    await engine.execute("ANALYZE")
    text = sql.statements(dialect)[name]
    for number, value in enumerate(values, start=1):
        text = text.replace(f"{'$' if dialect == 'postgres' else '?'}{number}", value)
    plan = "\n".join(
        str(row) for row in await engine.execute(f"EXPLAIN {'QUERY PLAN ' if dialect == 'sqlite' else ''}{text}")
    )
    assert index in plan
    assert "hold_pkey" not in plan
    assert not re.search(r"SCAN hold(?! USING)|Seq Scan on hold|SEARCH hold USING INDEX sqlite_autoindex", plan), plan
