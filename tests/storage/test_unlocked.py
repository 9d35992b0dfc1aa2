"""Batches on PostgreSQL that are decided without a lock: written only if nobody changed their accounts meanwhile."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import asyncpg
import pytest

from farebox.core.commands import Charge, Command, CreateHold, GiveCredit, Payer, SetThresholds
from farebox.core.decide import decide
from farebox.core.outcomes import Code, Outcome
from farebox.core.prices import Price
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule
from farebox.core.state import BatchState, Decision, ReadSet, reads
from farebox.storage.interface import CommitUnknown, StoreUnavailable
from farebox.storage.postgres import PostgresConnector, unlocked
from farebox.storage.postgres.batch import load
from farebox.storage.postgres.limits import PostgresLimits
from farebox.storage.postgres.unlocked import PASSES_MAX, Chances, is_plain, load_unlocked, write_unlocked
from farebox.storage.stores import Stores
from tests.storage.engines import opened_postgres
from tests.storage.postgres_ledger import (
    FAILING_COMMIT,
    FUNDS,
    MERCHANT,
    NOW,
    SLOW_COMMIT,
    UNIT,
    Wire,
    charge,
    is_waiting_for_a_lock,
    kill_sessions,
    ledger,
    stranger,
    until,
    wallet,
)
from tests.support.postgres import PostgresServer

FREEZE: Final = f"UPDATE account SET is_frozen = true WHERE merchant_id = {MERCHANT}"


def asked(*commands: Command) -> ReadSet:
    wanted = reads(commands, NOW)
    wanted.is_lock_wanted = False
    return wanted


async def run(stores: Stores, *commands: Command) -> list[Outcome]:
    decision = await stores.connector.transact(asked(*commands), lambda state: decide(state, commands, NOW))
    return decision.outcomes


def meanwhile(url: str, statement: str) -> None:
    """Commit a statement of somebody else's; also from within `decide`, which can't await."""

    async def execute() -> None:
        async with stranger(url) as connection:
            await connection.execute(statement)

    with ThreadPoolExecutor(1) as executor:
        executor.submit(asyncio.run, execute()).result()


async def statements_of(server: PostgresServer, work: Callable[[], Awaitable[Any]]) -> int:
    before = len(server.log())
    await work()
    return len(re.findall(r"LOG:  (?:statement|execute)", server.log()[before:]))


async def test_a_small_batch_of_charges_is_two_statements(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            for size in (1, 10, unlocked.COMMANDS_MAX):
                charges = [charge(f"{size}-{number}", MERCHANT + number % 2) for number in range(size)]
                assert 2 == await statements_of(server, lambda charges=charges: run(stores, *charges))  # type: ignore[misc]
            too_many = [charge(f"more-{number}") for number in range(unlocked.COMMANDS_MAX + 1)]
            assert 5 == await statements_of(server, lambda: run(stores, *too_many))
            refused = Charge(Payer(MERCHANT), "unknown", 1, "refused")
            assert 1 == await statements_of(server, lambda: run(stores, refused))


async def test_an_account_that_changed_meanwhile_is_met_as_it_is(funded: Stores, postgres_url: str) -> None:
    commands = [charge("a"), charge("b", MERCHANT + 1)]
    frozen: list[bool] = []

    def decide_beside_a_change(state: BatchState) -> Decision:
        decision = decide(state, commands, NOW)
        frozen.append(state.accounts[MERCHANT].is_frozen)
        if len(frozen) == 1:
            meanwhile(postgres_url, FREEZE)
        return decision

    decision = await funded.connector.transact(asked(*commands), decide_beside_a_change)
    assert [False, True] == frozen
    assert [Code.MERCHANT_FROZEN, Code.OK] == [outcome.code for outcome in decision.outcomes]
    assert [FUNDS, FUNDS - UNIT] == [await wallet(funded), await wallet(funded, MERCHANT + 1)]


async def test_what_was_read_before_another_batch_is_not_written(funded: Stores, postgres_url: str) -> None:
    """Its keys are other ones, so nothing but the versions of the accounts tells."""
    commands = [charge("a"), charge("b", MERCHANT + 1)]
    async with stranger(postgres_url) as connection:
        found = await load_unlocked(connection, asked(*commands))
        assert found is not None
        state, versions = found
        decision = decide(state, commands, NOW)
        await run(funded, charge("other"))
        assert not await write_unlocked(connection, decision, versions, 1000)
        assert [FUNDS - UNIT, FUNDS] == [await wallet(funded), await wallet(funded, MERCHANT + 1)]


@pytest.mark.parametrize(("end", "is_written"), [("COMMIT", False), ("ROLLBACK", True)])
async def test_it_waits_for_who_changes_its_accounts(
    funded: Stores, postgres_url: str, end: str, is_written: bool
) -> None:
    commands = [charge("a")]
    async with stranger(postgres_url) as changing, stranger(postgres_url) as connection:
        found = await load_unlocked(connection, asked(*commands))
        assert found is not None
        state, versions = found
        await changing.execute(f"BEGIN; {FREEZE}")
        decision = decide(state, commands, NOW)
        task = asyncio.create_task(write_unlocked(connection, decision, versions, 10_000))
        await until(lambda: is_waiting_for_a_lock(changing))
        await changing.execute(end)
        assert is_written == await task
        assert FUNDS - UNIT * is_written == await wallet(funded)


async def test_two_stores_charge_the_same_accounts(funded: Stores, postgres_url: str) -> None:
    async def work(which: Stores, name: str) -> None:
        for number in range(25):
            commands = [charge(f"{name} {number} {place}", MERCHANT + place) for place in (1, 0)]
            assert all(outcome.is_ok for outcome in await run(which, *commands))

    async with opened_postgres(postgres_url) as other:
        await asyncio.gather(work(funded, "a"), work(other, "b"))
    assert [FUNDS - 50 * UNIT] * 2 == [await wallet(funded), await wallet(funded, MERCHANT + 1)]


async def test_one_key_from_two_stores_at_once_is_one_charge(funded: Stores, postgres_url: str) -> None:
    async with opened_postgres(postgres_url) as other:
        for number in range(20):
            first, second = await asyncio.gather(*[run(which, charge(f"key-{number}")) for which in (funded, other)])
            assert first[0].transfer == second[0].transfer
            assert {False, True} == {first[0].is_replay, second[0].is_replay}
    assert FUNDS - 20 * UNIT == await wallet(funded)


async def test_it_sees_what_a_locked_load_sees(funded: Stores, postgres_url: str) -> None:
    await funded.prices.add(Price(7, "image", 2 * UNIT, NOW, MERCHANT), NOW)
    await run(funded, charge("a"))
    wanted = asked(charge("a"), charge("b", MERCHANT + 1), charge("c", MERCHANT + 2))
    async with stranger(postgres_url) as connection:
        found = await load_unlocked(connection, wanted)
        assert found is not None
        assert await load(connection, wanted) == found[0]
        assert {MERCHANT, MERCHANT + 1} == found[1].keys()


MORE: Final[dict[str, tuple[Command, ...]]] = {
    "given credit": (GiveCredit(MERCHANT, UNIT, "grant", reason="welcome"),),
    "a hold under the key": (CreateHold(Payer(MERCHANT), "image", 1, "key"),),
    "an alert": (SetThresholds(MERCHANT, (FUNDS,)),),
}


@pytest.mark.parametrize("what", MORE)
async def test_what_needs_more_goes_under_a_lock(server: PostgresServer, what: str) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            commands, now = MORE[what], NOW
            setup = await stores.connector.transact(reads(commands, now), lambda state: decide(state, commands, now))
            assert all(outcome.is_ok for outcome in setup.outcomes)
            known = await stores.accounts.find(MERCHANT)
            before = len(server.log())
            (outcome,) = await run(stores, charge("key"))
            assert "BEGIN" in server.log()[before:]
            assert outcome.is_ok == (what != "a hold under the key")
            account = await stores.accounts.find(MERCHANT)
            assert account is not None
            assert known is not None
            assert (what == "an alert") == (account.alerts_count > known.alerts_count)


async def test_a_price_that_counts_goes_under_a_lock(funded: Stores, postgres_url: str) -> None:
    rule = Rule(Rates((Line("calls", UNIT),)), period=Period(PeriodUnit.MONTH, "UTC"))
    await funded.prices.add(Price(8, "image", None, NOW, MERCHANT, rule), NOW)
    async with stranger(postgres_url) as connection:
        assert await load_unlocked(connection, asked(charge("a"))) is None


async def test_a_replay_is_committed_again(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            await run(stores, charge("a"))
            before = len(server.log())
            assert (await run(stores, charge("a")))[0].is_replay
            assert "COMMIT" in server.log()[before:]


async def test_an_error_of_commit_means_unknown(funded: Stores, postgres_url: str) -> None:
    """The batch is run again under a lock, whose COMMIT fails as well."""
    async with stranger(postgres_url) as connection:
        await connection.execute(FAILING_COMMIT)
        with pytest.raises(CommitUnknown, match="lost a race"):
            await run(funded, charge("a"))
        await connection.execute("DROP FUNCTION fail CASCADE")
    assert (await run(funded, charge("a")))[0].is_replay is False
    assert FUNDS - UNIT == await wallet(funded)


async def test_a_connection_killed_during_commit_means_unknown(funded: Stores, postgres_url: str) -> None:
    async with stranger(postgres_url) as connection:
        await connection.execute(SLOW_COMMIT)
        task = asyncio.create_task(run(funded, charge("a")))
        await until(lambda: connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        kill_sessions(postgres_url)
        with pytest.raises(CommitUnknown, match="during COMMIT"):
            await task
    async with stranger(postgres_url) as connection:
        await connection.execute("DROP FUNCTION dawdle CASCADE")
    assert (await run(funded, charge("a")))[0].is_replay is False
    assert FUNDS - UNIT == await wallet(funded)


async def test_a_statement_that_comes_after_its_batch_was_looked_up_writes_nothing(postgres_url: str) -> None:
    """It held no lock before it came, so nothing that was looked up had waited for it."""
    commands = [charge("a")]

    def leave_alone(_: BatchState) -> Decision:
        return Decision([])

    async with (
        Wire(postgres_url) as wire,
        ledger(postgres_url, through=wire.url, limits=PostgresLimits(commit_timeout_ms=500)) as stores,
        stranger(postgres_url) as late,
    ):
        found = await load_unlocked(late, asked(*commands))
        assert found is not None
        state, versions = found
        wire.spoiled, wire.is_passed_on = b"INSERT INTO transfer", False
        with pytest.raises(CommitUnknown):
            await run(stores, *commands)
        await stores.connector.transact(reads(commands, NOW), leave_alone)
        assert not await write_unlocked(late, decide(state, commands, NOW), versions, 1000)
        assert FUNDS == await wallet(stores)
        assert (await run(stores, *commands))[0].is_replay is False


async def test_an_account_locked_for_too_long_is_told(postgres_url: str) -> None:
    async with ledger(postgres_url, limits=PostgresLimits(lock_timeout_ms=50)) as stores:
        async with stranger(postgres_url) as connection:
            await connection.execute("BEGIN")
            await connection.fetch("SELECT FROM account WHERE merchant_id = $1 FOR UPDATE", MERCHANT)
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                await run(stores, charge("a"))
        assert FUNDS == await wallet(stores)
        assert (await run(stores, charge("a")))[0].is_ok


async def test_an_error_while_it_is_read_is_run_again_under_a_lock(
    funded: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise asyncpg.SerializationError("lost a race")

    monkeypatch.setattr("farebox.storage.postgres.connector.load_unlocked", fail)
    assert (await run(funded, charge("a")))[0].is_ok


async def test_a_database_that_was_put_back_is_told(funded: Stores, postgres_url: str) -> None:
    assert isinstance(funded.connector, PostgresConnector)
    await run(funded, charge("a"))
    meanwhile(postgres_url, f"UPDATE account SET seq = seq - 1 WHERE merchant_id = {MERCHANT}")
    with pytest.raises(StoreUnavailable, match="earlier time"):
        await run(funded, charge("b"))


def test_after_each_try_in_vain_twice_as_many_batches_go_under_a_lock() -> None:
    chances, wanted = Chances(), asked(charge("a"))
    passed = []
    for _ in range(12):
        assert chances.are_good(wanted)
        chances.learn(was_in_vain=True)
        left = 0
        while not chances.are_good(wanted):
            left += 1
        passed.append(left)
    assert [1, 3, 7, 15, 31, 63, 127, 255, PASSES_MAX, PASSES_MAX, PASSES_MAX, PASSES_MAX] == passed
    chances.learn(was_in_vain=False)
    assert chances.are_good(wanted)


def test_only_charges_are_tried() -> None:
    chances = Chances()
    assert not chances.are_good(reads([charge("a")], NOW))
    assert not chances.are_good(asked(SetThresholds(MERCHANT, ())))
    for name in ("holds", "originals", "grants", "grant_keys", "wallets", "approvals", "approval_keys"):
        wanted = asked(charge("a"))
        setattr(wanted, name, [(MERCHANT, 1)])
        assert not chances.are_good(wanted), name


def test_plain_is_what_writes_transfers_and_accounts_alone() -> None:
    others = [name for name in Decision.__struct_fields__ if name not in ("outcomes", "accounts", "transfers")]
    some: Any = [None]
    assert is_plain(Decision([], transfers=some))
    assert not is_plain(Decision([]))
    for name in others:
        assert not is_plain(Decision([], transfers=some, **{name: some})), name
