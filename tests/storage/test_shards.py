"""Tables spread over shards by Citus: what of it can be shown without one.

`make citus` runs the store's suite on a real one. Here the statements that Citus is sent run on a plain PostgreSQL,
which takes them as well, and are read: each has to name the merchants on every table that is divided by them.
"""

import inspect
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import asyncpg
import msgspec
import pglast
import pytest
from pglast import ast, enums

from farebox.core.alerts import AlertKind
from farebox.core.commands import (
    Caller,
    CaptureHold,
    Charge,
    CreateHold,
    GiveCredit,
    KeyKind,
    Payer,
    Refund,
    SetThresholds,
)
from farebox.core.state import BatchState, KeyRecord
from farebox.storage import sql
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.interface import GroupsChanged, StorageError, StoreFaulty, StoreUnavailable
from farebox.storage.postgres import PostgresConnector, batch, connector, shards
from farebox.storage.postgres.distribution import COPIED, LOCAL, NOT_KEPT, SPREAD, distribute
from farebox.storage.postgres.errors import translation
from farebox.storage.postgres.shards import ShardedConnection, ShardMap, hash_of, read_shard_map
from farebox.storage.records import User
from farebox.storage.stores import Stores
from tests.storage.engines import PostgresEngine
from tests.support.ledger import ANN, BEN, NOW, UNIT, add_merchant, add_price, do, loaded, merchant_key, wallet

STATEMENTS: Final = sql.statements("citus")
FIRST_HASHES: Final = (-(2**31), -(2**30), 0, 2**30)
ONE_TABLE_EACH: Final = frozenset({"write_small_batch", "write_small_batch_and_more"})
"""Statements that change two tables: a sharded batch does without them."""


# Which shard a merchant is in.


async def test_a_merchants_number_is_hashed_as_postgresql_does(postgres_url: str) -> None:
    numbers = [0, 1, -1, 2**31, 2**32 - 1, 2**32, ANN, BEN, 2**63 - 1, -(2**63), *(7**place for place in range(20))]
    connection = await asyncpg.connect(postgres_url)
    try:
        rows = await connection.fetch("SELECT number, hashint8(number) FROM unnest($1::bigint[]) number", numbers)
    finally:
        await connection.close()
    assert {row[0]: row[1] for row in rows} == {number: hash_of(number) for number in numbers}


def test_each_shard_has_the_hashes_from_its_first_one_on() -> None:
    shard_map = ShardMap(reversed(FIRST_HASHES))
    numbers = range(1, 200)
    assert {0, 1, 2, 3} == {shard_map.shard_of(number) for number in numbers}
    for number in numbers:
        shard = shard_map.shard_of(number)
        assert FIRST_HASHES[shard] <= hash_of(number)
        assert shard == 3 or hash_of(number) < FIRST_HASHES[shard + 1]


def test_keys_are_sorted_by_the_shard_of_their_merchant() -> None:
    shard_map = ShardMap(FIRST_HASHES)
    groups = shard_map.grouped((number, str(number)) for number in range(50))
    assert 4 == len(groups)
    assert list(range(50)) == sorted(number for group in groups for number, _ in group)
    assert all(1 == len({shard_map.shard_of(number) for number, _ in group}) for group in groups)


# Which tables are spread.


async def rows_of(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def test_every_table_is_spread_or_copied_or_stays(postgres_ledger: PostgresEngine) -> None:
    found = await rows_of(
        postgres_ledger.url,
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace('public')",
    )
    assert sorted((*SPREAD, *COPIED, *LOCAL)) == sorted(name for (name,) in found)


async def test_whatever_is_unique_in_a_divided_table_holds_its_merchant(postgres_ledger: PostgresEngine) -> None:
    """Citus keeps what is unique in a shard, and no more."""
    found = await rows_of(
        postgres_ledger.url,
        """
        SELECT c.relname, i.indexrelid::regclass::text, EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum = ANY(i.indkey::smallint[]) AND a.attname = 'merchant_id'
        )
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE i.indisunique AND c.relnamespace = to_regnamespace('public')
        """,
    )
    assert set(SPREAD) <= {table for table, *_ in found}
    assert [] == [(table, index) for table, index, is_theirs in found if table in SPREAD and not is_theirs]


async def test_references_are_kept_within_a_shard_but_for_those_that_are_named(postgres_ledger: PostgresEngine) -> None:
    found = await rows_of(
        postgres_ledger.url,
        """
        SELECT c.relname, t.relname, pg_get_constraintdef(r.oid)
        FROM pg_constraint r JOIN pg_class c ON c.oid = r.conrelid JOIN pg_class t ON t.oid = r.confrelid
        WHERE r.contype = 'f' AND c.relnamespace = to_regnamespace('public')
        """,
    )
    lost = set()
    for table, target, definition in found:
        if table in SPREAD:
            assert target in COPIED or (target in SPREAD and "FOREIGN KEY (merchant_id" in definition), definition
        elif target in SPREAD:
            lost.add((table, target))
    assert NOT_KEPT == lost


# What statements name.


def names_in(module: Any) -> set[str]:
    """The statements that a module runs."""
    source = inspect.getsource(module)
    return set(re.findall(r'_(?:SQL|CITUS)\["([a-z_]+)"\]', source)) | set(
        re.findall(r'_write\(\w+, "([a-z_]+)"', source)
    )


HOT: Final = sorted(
    (
        names_in(batch)
        | {
            "lock_accounts",
            "balances",
            "insert_into_transfer",
            "insert_into_delivery",
            "owed_deliveries",
            "lease_mails",
        }
        | {"settle_delivery", "lease_delivery"}
    )
    - ONE_TABLE_EACH
)


def test_what_batches_run_is_found() -> None:
    assert {"load", "load_grants", "update_accounts", "insert_holds", "insert_alerts", "budgets_of"} <= set(HOT)
    assert ONE_TABLE_EACH <= names_in(batch)
    assert "balances" in names_in(connector)


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_names_its_merchants_on_each_divided_table(name: str) -> None:
    assert [] == list(unnamed(pglast.parse_sql(STATEMENTS[name])[0].stmt))


@pytest.mark.parametrize("name", [*sorted(ONE_TABLE_EACH), "claim_mails"])
def test_a_statement_that_citus_can_not_send_to_one_shard_is_told(name: str) -> None:
    assert list(unnamed(pglast.parse_sql(sql.statements("postgres")[name])[0].stmt))


@pytest.mark.parametrize("name", ["load", "load_grants", "update_accounts", "insert_holds"])
def test_statements_of_a_plain_postgresql_name_no_shard(name: str) -> None:
    assert "$shard" not in sql.statements("postgres")[name]
    assert "{in shard" not in sql.statements("postgres")[name]
    assert shards._SHAPES[sql.statements("postgres")[name]].names_shard


def is_a(node: Any, *kinds: Any) -> bool:
    return isinstance(node, kinds)


def unnamed(node: Any, ctes: frozenset[str] = frozenset()) -> Iterator[str]:
    """The divided tables within a statement of which it does not name the merchants by its parameters."""
    if is_a(node, tuple):
        for item in node:
            yield from unnamed(item, ctes)
        return
    if not is_a(node, ast.Node):
        return
    if is_a(node, ast.SelectStmt, ast.UpdateStmt, ast.DeleteStmt, ast.InsertStmt) and node.withClause:
        ctes |= {cte.ctename for cte in node.withClause.ctes}
    if is_a(node, ast.InsertStmt) and node.relation.relname in SPREAD and not gives_merchant(node):
        yield node.relation.relname
    tables, conditions = read_of(node)
    for table in tables:
        alias = table.alias.aliasname if table.alias else table.relname
        if table.relname in SPREAD and table.relname not in ctes:
            is_alone = len(tables) == 1
            if not any(names_merchant(condition, alias, is_alone=is_alone) for condition in conditions):
                yield f"{table.relname} {alias}"
    for field in node:
        yield from unnamed(getattr(node, field), ctes)


def read_of(node: Any) -> tuple[list[Any], list[Any]]:
    """The tables that a SELECT or a change itself names, and the conditions that all its rows meet."""
    tables: list[Any] = []
    conditions: list[Any] = []
    if is_a(node, ast.SelectStmt, ast.UpdateStmt, ast.DeleteStmt):
        if not is_a(node, ast.SelectStmt):
            tables.append(node.relation)
        for item in (node.usingClause if is_a(node, ast.DeleteStmt) else node.fromClause) or ():
            join(item, tables, conditions)
        conditions += conjuncts(node.whereClause)
    return tables, conditions


def join(item: Any, tables: list[Any], conditions: list[Any]) -> None:
    """Take a FROM apart, but for its subqueries, which are looked at on their own."""
    if is_a(item, ast.RangeVar):
        tables.append(item)
    elif is_a(item, ast.JoinExpr):
        join(item.larg, tables, conditions)
        join(item.rarg, tables, conditions)
        if item.jointype == enums.JoinType.JOIN_INNER:
            conditions += conjuncts(item.quals)


def conjuncts(condition: Any) -> list[Any]:
    if condition is None:
        return []
    if is_a(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.AND_EXPR:
        return [part for arg in condition.args for part in conjuncts(arg)]
    return [condition]


def names_merchant(condition: Any, alias: str, *, is_alone: bool) -> bool:
    """Whether a condition is `alias.merchant_id = $1` or `alias.merchant_id = ANY($1)`."""
    if not is_a(condition, ast.A_Expr) or condition.name[0].sval != "=":
        return False
    if condition.kind not in (enums.A_Expr_Kind.AEXPR_OP, enums.A_Expr_Kind.AEXPR_OP_ANY):
        return False
    if not is_a(condition.lexpr, ast.ColumnRef):
        return False
    column = [part.sval for part in condition.lexpr.fields]
    is_merchant = column == [alias, "merchant_id"] or (is_alone and column == ["merchant_id"])
    return is_merchant and is_parameter(condition.rexpr)


def is_parameter(value: Any) -> bool:
    return is_a(value.arg if is_a(value, ast.TypeCast) else value, ast.ParamRef)


def gives_merchant(node: Any) -> bool:
    """Whether an INSERT takes the merchant from a parameter, or from a table that it reads."""
    place = [column.name for column in node.cols].index("merchant_id")
    select = node.selectStmt
    if select.valuesLists:
        return all(is_parameter(row[place]) for row in select.valuesLists)
    target = select.targetList[place].val
    return is_a(target, ast.ColumnRef) and target.fields[-1].sval == "merchant_id" and target.fields[0].sval != "u"


# The same statements on a plain PostgreSQL.


@pytest.fixture
async def sharded(postgres_ledger: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stores]:
    """Stores over a plain PostgreSQL that are told that it is spread over four shards."""

    async def told(_: Any) -> ShardMap:
        return ShardMap(FIRST_HASHES)

    monkeypatch.setattr(connector, "read_shard_map", told)
    stores = postgres_ledger.stores()
    await postgres_ledger.clear()
    await stores.connector.open()
    yield stores
    await stores.connector.close()


async def test_a_sharded_ledger_has_a_group_for_each_shard(sharded: Stores) -> None:
    assert {0, 1, 2, 3} == {sharded.connector.route(number) for number in range(1, 100)}
    assert sharded.connector.route(ANN) != sharded.connector.route(BEN)


async def test_a_sharded_ledger_does_all_that_a_batch_may(sharded: Stores) -> None:
    await add_merchant(sharded, funds=100)
    await add_merchant(sharded, BEN, funds=100)
    await add_price(sharded)
    await sharded.users.add(User(ANN, 1, "ann@example.com", NOW))
    await do(sharded, SetThresholds(ANN, (95 * UNIT,)))
    await do(sharded, GiveCredit(ANN, 10 * UNIT, "gift", "welcome"))
    many = [Charge(Payer(ANN), "image", 1, f"charge {number}") for number in range(40)]
    assert all(outcome.is_ok for outcome in await do(sharded, *many, Charge(Payer(BEN), "image", 1, "other")))
    (made,) = await do(sharded, CreateHold(Payer(ANN), "image", 2, "hold"))
    assert made.transfer is not None
    (captured,) = await do(sharded, CaptureHold(ANN, made.transfer.seq, "capture"))
    assert captured.transfer is not None
    assert (await do(sharded, Refund(ANN, captured.transfer.seq, "refund", UNIT)))[0].is_ok
    assert (await do(sharded, many[0]))[0].is_replay
    assert 99 == await wallet(sharded, BEN)
    assert AlertKind.LOW_BALANCE in [alert.kind for alert in await sharded.deliveries.alerts(ANN, 10)]
    claimed = await sharded.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=10)
    assert {"ann@example.com"} == {delivery.email for delivery in claimed}
    assert not await sharded.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=10)


async def test_a_key_of_a_merchant_in_another_shard_is_known_and_refused(sharded: Stores) -> None:
    await add_merchant(sharded, funds=5)
    await add_merchant(sharded, BEN, funds=5)
    await add_price(sharded)
    commands = [
        Charge(Payer(ANN), "image", 1, "by a stranger", caller=Caller(merchant_key(BEN, BEN).digest, BEN)),
        Charge(Payer(ANN), "image", 1, "by nobody", caller=Caller(b"x" * 32, BEN)),
    ]
    plain = [KeyRecord(BEN, KeyKind.MERCHANT, BEN, None, None)]
    state = await loaded(sharded, *commands)
    assert plain == [msgspec.structs.replace(key, name=None) for key in state.keys.values()]


async def test_snapshots_and_balances_are_read_shard_by_shard(sharded: Stores) -> None:
    numbers = [ANN, BEN, *range(1, 6)]
    for number in numbers:
        await add_merchant(sharded, number, funds=1)
    async with sharded.connector.snapshot() as snapshot:
        books = await snapshot.books(numbers)
        assert 1 == len(await snapshot.transfers_at(ANN, [1]))
    assert dict.fromkeys(numbers, 1) == {number: len(book.transfers) for number, book in books.items()}
    keys = [(number, merchant_key(number, number).digest) for number in numbers]
    assert {digest: UNIT for _, digest in keys} == await sharded.connector.balances(keys, NOW)


async def test_a_message_that_is_first_of_its_lane_is_found(sharded: Stores) -> None:
    await add_merchant(sharded, funds=100)
    await add_price(sharded)
    what = (Channel.WEBHOOK, "hook", "https://example.com/hook", 1 << AlertKind.LOW_BALANCE, DestinationState.ON)
    destination = Destination(7, ANN, None, *what, b"s", None, None, NOW)
    await sharded.destinations.add(destination, count_max=5, own_count_max=5)
    await do(sharded, SetThresholds(ANN, (99 * UNIT,)), *[Charge(Payer(ANN), "image", 1, f"{n}") for n in range(3)])
    (key,) = await sharded.message_queue.heads(Channel.WEBHOOK, NOW, after=0, limit=5)
    assert (ANN, Channel.WEBHOOK, 7) == (key[0], *key[2:])
    assert 1 == len(await sharded.message_queue.lease([key], NOW, until=NOW + 1))
    assert not await sharded.message_queue.heads(Channel.WEBHOOK, NOW, after=0, limit=5)


async def test_a_process_knows_what_it_committed_on_each_new_connection(sharded: Stores) -> None:
    await add_merchant(sharded, funds=1)
    assert isinstance(sharded.connector, PostgresConnector)
    sharded.connector._pool.renew()
    assert 1 == await wallet(sharded, ANN)


async def test_a_shard_that_was_split_is_learnt_of_when_a_batch_is_refused(
    sharded: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_merchant(sharded, funds=1)
    causes: list[Exception] = [asyncpg.FeatureNotSupportedError("could not run distributed query with FOR UPDATE")]

    async def refused(*_: Any, **__: Any) -> None:
        raise StorageError("PostgreSQL: refused") from causes[0]

    async def split(_: Any) -> ShardMap:
        return ShardMap([*FIRST_HASHES, *(first + 2**29 for first in FIRST_HASHES)])

    with monkeypatch.context() as patched:
        patched.setattr(connector, "run_transaction", refused)
        patched.setattr(connector, "read_shard_map", split)
        with pytest.raises(GroupsChanged, match="divided the tables anew"):
            await do(sharded, Charge(Payer(ANN), "image", 1, "1"))
        with pytest.raises(GroupsChanged, match="divided the tables anew"):
            await sharded.merchants.rename(ANN, "Ann")
        causes[0] = asyncpg.DataError("another reason")
        with pytest.raises(StorageError, match="refused"):
            await do(sharded, Charge(Payer(ANN), "image", 1, "1"))
        with pytest.raises(StorageError, match="refused"):
            await sharded.merchants.rename(ANN, "Ann")
    assert 8 == len({sharded.connector.route(number) for number in range(200)})


async def test_a_statement_that_is_refused_for_how_tables_are_divided_is_told_apart(sharded: Stores) -> None:
    """A plain PostgreSQL refuses this one with the same SQLSTATE."""
    with pytest.raises(GroupsChanged, match="divided the tables anew"):
        await sharded.connector.fetch("SELECT max(wallet) FROM account FOR UPDATE")
    with pytest.raises(StorageError, match="does not exist") as caught:
        await sharded.connector.fetch("SELECT nothing FROM account")
    assert not isinstance(caught.value, GroupsChanged)


async def test_balances_are_read_again_by_the_shards_that_there_are(
    sharded: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_merchant(sharded, funds=3)
    fetch, refusals = sharded.connector.fetch, [GroupsChanged("refused")]

    async def refused_once(statement: str, *values: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await fetch(statement, *values)

    monkeypatch.setattr(sharded.connector, "fetch", refused_once)
    digest = merchant_key(ANN, ANN).digest
    assert {digest: 3 * UNIT} == await sharded.connector.balances([(ANN, digest)], NOW)
    assert [] == refusals


async def test_a_batch_of_nobody_meets_nothing(sharded: Stores) -> None:
    assert BatchState() == await loaded(sharded)


class Answers:
    """A connection that notes statements, and answers from a table."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.noted: list[str] = []

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        return self.answers.get(statement, [])

    async def fetchval(self, statement: str) -> Any:
        return 1

    async def execute(self, statement: str, *values: Any) -> str:
        self.noted.append(" ".join(map(str, (statement, *values))))
        return "INSERT 0 1"


def answering(answers: dict[str, list[Any]]) -> Any:
    return Answers(answers)


async def test_rows_that_find_no_account_fail_the_batch() -> None:
    connection = ShardedConnection(answering({}), [ANN])
    with pytest.raises(StorageError, match="wrote 1 of 2 rows"):
        await connection.fetch(sql.statements("postgres")["insert_holds"], [ANN, ANN], *[[1, 2]] * 7)


# How tables are spread.


REFERENCES: Final = [
    ("account", "account_fkey", "FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)", "merchant"),
    ("destination", "destination_fkey", "FOREIGN KEY (merchant_id) REFERENCES merchant(merchant_id)", "merchant"),
]


def answers(version: str = "13.2-1", *, there: tuple[str, ...] = (), servers: tuple[int, int] = (2, 1)) -> Any:
    return Answers(
        {
            STATEMENTS["citus_version"]: [(version,)] if version else [],
            STATEMENTS["spread_tables"]: [(table,) for table in there],
            STATEMENTS["citus_servers"]: [servers],
            STATEMENTS["references_of"]: REFERENCES,
        }
    )


@pytest.mark.parametrize("connection", [answers(""), answers(there=(*SPREAD, *COPIED))], ids=["no Citus", "spread"])
async def test_tables_are_left_as_they_are_if_there_is_nothing_to_do(connection: Any) -> None:
    await distribute(connection)
    assert [] == connection.noted


async def test_tables_are_spread_without_references_which_are_added_again() -> None:
    connection = answers(there=("merchant", "default_price"))
    await distribute(connection)
    drops = [f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, *_ in REFERENCES]
    assert drops == connection.noted[1:3]
    assert [f"{STATEMENTS['copy_table']} {table}" for table in COPIED[1:]] == connection.noted[3:6]
    assert [f"{STATEMENTS['spread_table']} {table} merchant" for table in SPREAD[1:]] == connection.noted[6:-1]
    assert [f"ALTER TABLE account ADD CONSTRAINT account_fkey {REFERENCES[0][2]}"] == connection.noted[-1:]


async def test_the_first_table_is_divided_like_no_other() -> None:
    connection = answers(servers=(0, 0))
    await distribute(connection)
    assert f"{STATEMENTS['spread_table']} merchant none" in connection.noted


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        (answers("12.1-1"), "Citus 13 or newer is needed; this is 12.1-1"),
        (answers(servers=(2, 0)), r"run in this database, .*: SELECT citus_set_coordinator_host\('HOST', PORT\)"),
    ],
    ids=["too old", "no coordinator"],
)
async def test_a_citus_that_will_not_do_is_refused(connection: Any, message: str) -> None:
    with pytest.raises(StorageError, match=message):
        await distribute(connection)
    assert [] == connection.noted


async def test_the_shard_map_is_read() -> None:
    shard_map = await read_shard_map(answering({STATEMENTS["shards"]: [(first,) for first in FIRST_HASHES]}))
    assert shard_map is not None
    assert {0, 1, 2, 3} == {shard_map.shard_of(number) for number in range(100)}
    assert await read_shard_map(answering({})) is None


def test_a_worker_that_is_lost_is_told_by_words_of_citus() -> None:
    """What its client library says of a connection has no SQLSTATE, so it comes as an internal error."""
    lost = asyncpg.InternalServerError("terminating connection due to unexpected postmaster exit")
    assert type(translation(lost)) is StoreUnavailable
    broken = asyncpg.InternalServerError("cache lookup failed for relation 16402")
    assert type(translation(broken)) is StoreFaulty
