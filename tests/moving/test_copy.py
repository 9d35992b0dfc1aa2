"""A copy has every row of every table, on each engine from each; one that was killed goes on, and never looks whole."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from farebox.bootstrap import make_connector
from farebox.config import Settings
from farebox.moving import copier
from farebox.moving.database import BeingServed, Database
from farebox.moving.tables import INTEGER, NOT_COPIED, tables_to_copy
from farebox.setting_types import DatabaseUrl
from farebox.storage.interface import AlreadyExists, Connector, CopyUnfinished, LedgerMoved, SchemaMismatch
from farebox.storage.ledger_move import MoveState
from farebox.storage.stores import Stores
from tests.moving.parts import Fuse, Killed, Mortal, all_rows, at, copied, fill, names, no_faults, opened, rows_of
from tests.service.books import keep_book
from tests.support.ledger import ANN, NOW, add_merchant, charge, do, top_up, wallet
from tests.support.postgres import Databases

KILLED_EVERY = 11
"""Of the calls of a copy, how many lie between two at which it is killed; prime, so that it is killed at each kind."""


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """What makes the URL of an empty database of an engine."""
    numbers = itertools.count()
    with ExitStack() as stack:

        def make(engine: str) -> str:
            if engine == "sqlite":
                return f"sqlite:///{tmp_path / f'{next(numbers)}.db'}"
            server: Databases = request.getfixturevalue("postgres_server")
            return stack.enter_context(server.database())

        yield make


@asynccontextmanager
async def ledger(url: str) -> AsyncIterator[Stores]:
    """Lend the stores of a ledger."""
    stores = Stores.over(at(url).connector())
    await stores.connector.migrate(NOW)
    await stores.connector.open()
    try:
        yield stores
    finally:
        await stores.connector.close()


async def funded(url: str) -> None:
    """Make a ledger with a merchant that has a book."""
    async with ledger(url) as stores:
        await add_merchant(stores, ANN)
        await do(stores, top_up(1_000))


both_ways = pytest.mark.parametrize(
    ("source_engine", "target_engine"),
    [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"), ("postgres", "postgres")],
)


@both_ways
async def test_every_column_of_every_table_is_copied(
    url_of: Callable[[str], str], source_engine: str, target_engine: str
) -> None:
    source_url, target_url = url_of(source_engine), url_of(target_engine)
    async with ledger(source_url):
        pass
    async with opened(source_url, target_url) as (source, target):
        tables = tables_to_copy(await source.tables(), await target.tables())
        await fill(source)
        filled = await all_rows(source)
        assert {table.name: rows_of(table) for table in tables} == filled
        unset = {
            f"{table.name}.{column}"
            for table in tables
            for column, *values in zip(table.columns, *filled[table.name], strict=True)
            if not any(value is not None for value in values)
        }
        assert set() == unset
    await copied(source_url, target_url, faults=no_faults)
    async with opened(source_url, target_url) as (source, target):
        assert filled == await all_rows(target) == await all_rows(source)
        assert names(tables) == names(await target.tables())
        assert (None, None) == (await source.move_row(), await target.move_row())


async def test_only_what_tells_of_the_database_itself_is_not_copied(url_of: Callable[[str], str]) -> None:
    for engine in ("sqlite", "postgres"):
        async with ledger(url := url_of(engine)) as stores:
            statement = {
                "sqlite": "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
                "postgres": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
            }[engine]
            there = {row[0] for row in await stores.connector.fetch(statement)}
        async with opened(url, url) as (database, _):
            assert there - NOT_COPIED == {table.name for table in await database.tables()}


@pytest.mark.parametrize("target_engine", ["sqlite", "postgres"])
async def test_the_targets_schema_is_what_init_makes(url_of: Callable[[str], str], target_engine: str) -> None:
    urls = url_of("sqlite"), url_of(target_engine), url_of(target_engine)
    await funded(urls[0])
    await copied(urls[0], urls[1])
    statement = {
        "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2",
        "postgres": "SELECT conrelid::regclass::text, conname, contype::text, condeferrable, convalidated, "
        "pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2, 6",
    }[target_engine]
    schemas = []
    for url in urls[1:]:
        async with ledger(url) as stores:
            schemas.append([tuple(row) for row in await stores.connector.fetch(statement)])
    assert schemas[1] == schemas[0]
    async with ledger(urls[0]) as stores:
        assert [] == await stores.connector.fetch("SELECT name FROM sqlite_schema WHERE type = 'trigger'")


@both_ways
async def test_a_ledger_moves_and_the_old_one_is_closed(
    url_of: Callable[[str], str], source_engine: str, target_engine: str
) -> None:
    source_url, target_url = url_of(source_engine), url_of(target_engine)
    async with ledger(source_url) as stores:
        await keep_book(stores)
        await copied(source_url, target_url, is_finished=False)
        await add_merchant(stores, ANN + 7)
        await do(stores, top_up(1_000), charge(key="while it is copied"))
        with pytest.raises(CopyUnfinished, match="not finished"):
            await Stores.over(_plain(target_url)).connector.open()
        await copied(source_url, target_url, is_switched=True)
        with pytest.raises(LedgerMoved, match="has moved to"):
            await do(stores, top_up(1, "too late"))
    with pytest.raises(LedgerMoved, match="has moved to"):
        await _plain(source_url).open()
    with pytest.raises(LedgerMoved, match="has moved to"):
        await copied(source_url, target_url, is_switched=True)
    async with opened(source_url, target_url) as (source, target):
        assert await all_rows(source) == await all_rows(target)
    connector = _plain(target_url)
    await connector.open()
    await do(Stores.over(connector), top_up(1, "goes on"))
    await connector.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_what_served_the_old_ledger_reads_nothing_there_any_more(
    url_of: Callable[[str], str], engine: str
) -> None:
    source_url = url_of(engine)
    await funded(source_url)
    served = Stores.over(_plain(source_url))
    await served.connector.open()
    assert 1_000 == await wallet(served)
    await copied(source_url, url_of("sqlite"), is_switched=True)
    with pytest.raises(LedgerMoved):
        await served.connector.check()
    with pytest.raises(LedgerMoved):
        await wallet(served)
    await served.connector.close()


class LastMoment:
    """A database in whose last moment something changes, and which is counted before that alone."""

    def __init__(self, database: Database, change: Callable[[], Awaitable[None]], frozen: list[str]) -> None:
        self._database = database
        self._change = change
        self._frozen = frozen

    def __getattr__(self, name: str) -> Any:
        assert name != "count" or not self._frozen, "new servers wait for the end"
        return getattr(self._database, name)

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        await self._change()
        async with self._database.frozen():
            self._frozen.append(self._database.place)
            yield


@pytest.mark.parametrize("target_engine", ["sqlite", "postgres"])
async def test_rows_are_counted_before_the_switch_and_with_what_came_last(
    url_of: Callable[[str], str], target_engine: str
) -> None:
    source_url, target_url = url_of("sqlite"), url_of(target_engine)
    await funded(source_url)
    async with opened(source_url, target_url) as (source, target):
        mark = next(table for table in await source.tables() if table.name == "usage_mark")
        await source.insert(mark, [(1, 5), (2, 5), (3, 5)])
        other = at(source_url)
        await other.open()

        async def change() -> None:
            await other.delete(mark, [(1,), (2,)])
            await other.insert(mark, [(2, 6)])
            async with ledger(source_url) as stores:
                await do(stores, top_up(1, "in the last moment"))

        frozen: list[str] = []
        ours: Any = LastMoment(source, change, frozen)
        theirs: Any = LastMoment(target, change, frozen)
        counted = await copier.Copier(ours, theirs, lambda: NOW).run(is_finished=True, is_switched=True)
        await other.close()
        assert [source.place] == frozen
        assert {name: len(rows) for name, rows in (await all_rows(target)).items()} == counted.tables
        assert (2, 2) == (counted.tables["usage_mark"], counted.tables["transfer"])


@pytest.mark.parametrize(("target_engine", "is_switched"), [("sqlite", False), ("postgres", True)])
async def test_a_copy_that_is_killed_at_any_step_goes_on(
    url_of: Callable[[str], str], target_engine: str, *, is_switched: bool
) -> None:
    source_url, target_url = url_of("sqlite"), url_of(target_engine)
    await funded(source_url)
    done, calls = 0, 0
    while done < 1_000:
        fuse = Fuse(calls)
        try:
            await copied(
                source_url,
                target_url,
                is_switched=is_switched,
                wrap=lambda database, fuse=fuse: Mortal(database, fuse),  # type: ignore[misc]
            )
            break
        except Killed:
            done, calls = done + 1, calls + KILLED_EVERY
        async with opened(source_url, target_url) as (source, target):
            ours, theirs = await source.move_row(), await target.move_row()
        is_source_open = ours is None or ours.state == MoveState.COPIED
        if theirs is None and (not is_source_open or await _has_rows(target_url)):
            # It was killed behind the end.
            break
        if theirs is not None:
            with pytest.raises(CopyUnfinished):
                await _plain(target_url).open()
        if is_source_open and (theirs is None or theirs.state != MoveState.WHOLE):
            async with ledger(source_url) as stores:
                await do(stores, top_up(1, f"after kill {done}"))
    assert done > 10
    async with opened(source_url, target_url) as (source, target):
        assert await all_rows(source) == await all_rows(target)


async def test_a_target_must_be_empty_and_a_copy_its_own(url_of: Callable[[str], str]) -> None:
    first, second, third = (url_of("sqlite") for _ in range(3))
    await funded(first)
    await funded(second)
    with pytest.raises(AlreadyExists, match="is not empty"):
        await copied(first, second)
    await copied(first, third, is_finished=False)
    with pytest.raises(AlreadyExists, match="part of another copy"):
        await copied(second, third)
    with pytest.raises(AlreadyExists, match="is being copied to"):
        await copied(first, url_of("sqlite"))
    async with opened(first, third) as (source, _):
        assert await copier.abandon(source)
        assert not await copier.abandon(source)
    with pytest.raises(AlreadyExists, match="was given up"):
        await copied(first, third)
    with pytest.raises(CopyUnfinished):
        await _plain(third).open()


async def test_a_ledger_with_a_fault_is_not_copied_as_if_it_had_none(url_of: Callable[[str], str]) -> None:
    source_url, target_url = url_of("sqlite"), url_of("sqlite")
    await funded(source_url)
    async with opened(source_url, target_url) as (source, _):
        table = next(table for table in await source.tables() if table.name == "transfer")
        async with source.writing():
            (row,) = await source.rows_after(table, None, 2)
            place = table.columns.index("amount")
            await source.delete(table, [table.key_of(row)])
            await source.insert(table, [(*row[:place], row[place] + 1, *row[place + 1 :])])
    with pytest.raises(copier.Faulty, match="has a fault"):
        await copied(source_url, target_url)
    with pytest.raises(CopyUnfinished):
        await _plain(target_url).open()


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
async def test_a_ledger_that_is_in_use_is_told_from_one_that_is_not(url_of: Callable[[str], str], engine: str) -> None:
    url = url_of(engine)
    await funded(url)
    async with ledger(url) as stores:
        await wallet(stores)
        database = at(url)
        await database.open()
        with pytest.raises(BeingServed, match="in use"):
            await database.keep_others_out()
        await database.close()
    await database.open()
    await database.keep_others_out()
    await database.close()


async def test_two_schemas_that_differ_are_refused(url_of: Callable[[str], str]) -> None:
    async with ledger(url := url_of("sqlite")):
        pass
    async with opened(url, url) as (database, _):
        tables = await database.tables()
    with pytest.raises(SchemaMismatch, match="only one of the two"):
        tables_to_copy(tables[1:], tables)
    odd = tables[0]
    others = [type(odd)(odd.name, ("other",), (INTEGER,), 1), *tables[1:]]
    with pytest.raises(SchemaMismatch, match="other columns"):
        tables_to_copy(tables, others)
    kinds = tuple("text" if kind == INTEGER else kind for kind in odd.kinds)
    with pytest.raises(SchemaMismatch, match="in the source"):
        tables_to_copy(tables, [type(odd)(odd.name, odd.columns, kinds, odd.key_width), *tables[1:]])


async def _has_rows(url: str) -> bool:
    database = at(url)
    await database.open()
    tables = {table.name: table for table in await database.tables()}
    count = await database.count(tables["transfer"])
    await database.close()
    return bool(count)


def _plain(url: str) -> Connector:
    """Make a connector as a server has it."""
    return make_connector(Settings(database_url=DatabaseUrl.read(url)))
