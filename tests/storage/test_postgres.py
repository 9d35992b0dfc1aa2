"""What PostgreSQL alone has to show: plans, races, broken connections, a COMMIT whose fate is unknown, restarts."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import apsw
import asyncpg
import msgspec
import pytest

from farebox.core.commands import (
    CaptureHold,
    Charge,
    Command,
    CreateHold,
    GiveCredit,
    Payer,
    Refund,
    ReleaseHold,
    SetCreditLimit,
    SetThresholds,
    TopUp,
)
from farebox.core.credit.budgets import BudgetUnit
from farebox.core.decide import decide
from farebox.core.invariants import InvariantViolation
from farebox.core.prices import Price
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule
from farebox.core.replaying.books import Replay
from farebox.core.state import BatchState, Decision, reads
from farebox.storage import migrate, sql
from farebox.storage.interface import CommitUnknown, NotFound, StorageError, StoreUnavailable
from farebox.storage.postgres import PostgresConnector, pool, schema
from farebox.storage.postgres.limits import PostgresLimits
from farebox.storage.postgres.pool import Pool
from farebox.storage.postgres.transaction import TRANSACTION_ATTEMPTS_MAX, run_transaction
from farebox.storage.records import User
from farebox.storage.stores import Stores
from tests.storage.engines import opened_postgres
from tests.storage.postgres_ledger import (
    CATALOG,
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
    planning_session,
    run,
    stranger,
    until,
    wallet,
)
from tests.support.postgres import Databases, PostgresServer

BOOK_ROWS: Final = 200_000
NOV_2023: Final = 1_698_796_800_000_000
"""When the month of NOW began, in UTC."""
STATEMENTS: Final = sql.statements("postgres")


def pool_of(stores: Stores) -> Pool:
    assert isinstance(stores.connector, PostgresConnector)
    return stores.connector._pool


# How many statements a batch takes, and how they are planned.


async def _logged_statements(server: PostgresServer, stores: Stores, *commands: Command) -> int:
    before = len(server.log())
    outcomes = await run(stores, *commands)
    assert all(outcome.is_ok for outcome in outcomes)
    return len(re.findall(r"LOG:  (?:statement|execute)", server.log()[before:]))


async def test_a_batch_takes_the_same_statements_whatever_its_size(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            await run(stores, charge("warm-up"))
            counts = [
                await _logged_statements(
                    server, stores, *[charge(f"{size}-{number}", MERCHANT + number % 2) for number in range(size)]
                )
                for size in (1, 10, 300)
            ]
            assert [4, 4, 5] == counts


async def test_holds_and_alerts_add_a_statement_each(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            await stores.users.add(User(MERCHANT, 1, "a@example.com", NOW))

            def round_of(size: int) -> list[list[Command]]:
                names = [f"{size}-{number}" for number in range(size)]
                return [
                    [CreateHold(Payer(MERCHANT), "image", 1, f"hold {name}") for name in names],
                    [charge(name) for name in names],
                ]

            async def counts(size: int) -> list[int]:
                holds, charges = round_of(size)
                await run(stores, SetThresholds(MERCHANT, (await wallet(stores) - size * UNIT,)))
                found = [await _logged_statements(server, stores, *holds)]
                account = await stores.accounts.find(MERCHANT)
                assert account is not None
                await run(stores, SetThresholds(MERCHANT, (account.posted,)))
                captures = [CaptureHold(MERCHANT, account.seq - at, f"capture {size}-{at}") for at in range(size)]
                found.append(await _logged_statements(server, stores, *captures))
                found.append(await _logged_statements(server, stores, *charges))
                return found

            await counts(2)
            assert [5, 6, 4] == await counts(1)
            # Beyond SMALL_BATCH_TRANSFERS_MAX transfers and accounts are written apart.
            assert [6, 7, 5] == await counts(50)


async def test_given_credit_adds_a_statement_to_a_large_batch_alone(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            give = [GiveCredit(MERCHANT, 50 * UNIT, f"G-{number}", "welcome") for number in range(3)]
            await run(stores, charge("warm-up"), *give)
            other = MERCHANT + 1
            # A top-up reads whether a request of its reference waits, and no grants; and it is told.
            assert [4, 4, 4, 6, 6, 6] == [
                await _logged_statements(server, stores, *commands)
                for commands in (
                    [charge("a", other)],
                    [charge("b")],
                    [charge("c"), charge("d", other)],
                    [TopUp(MERCHANT, UNIT, "more")],
                    [TopUp(other, UNIT, "more")],
                    [charge(f"large-{number}") for number in range(40)],
                )
            ]


async def test_counts_and_budgets_add_a_statement_each_to_a_large_batch_alone(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            monthly = Rule(Rates((Line("calls", UNIT),)), period=Period(PeriodUnit.MONTH, "UTC"))
            await stores.prices.add(Price(2, "calls", None, NOW, rule=monthly), NOW)
            await stores.prices.add(Price(3, "own", UNIT, NOW), NOW)
            await stores.prices.add(Price(4, "own", None, NOW, MERCHANT, rule=monthly), NOW)
            await stores.budgets.put(MERCHANT, 0, [(BudgetUnit.DAY, FUNDS)], zone="UTC")
            payer = Payer(MERCHANT, bytes(32))

            def charges(request_type: str, size: int, payer: Payer = payer) -> list[Command]:
                return [Charge(payer, request_type, 1, f"{request_type}-{size}-{n}") for n in range(size)]

            await run(stores, *charges("calls", 2), *charges("own", 2))
            assert [4, 4, 4, 5, 7] == [
                await _logged_statements(server, stores, *commands)
                for commands in (
                    charges("calls", 3),
                    charges("own", 3),
                    charges("own", 4, Payer(MERCHANT + 1)),
                    charges("own", 40, Payer(MERCHANT + 1)),
                    charges("calls", 40),
                )
            ]
            assert [45] == [count.units for count in await stores.prices.period_counts(MERCHANT, "calls", NOV_2023)]
            assert [5] == [count.units for count in await stores.prices.period_counts(MERCHANT, "own", NOV_2023)]
            assert [50 * UNIT] == [budget.spent for budget in await stores.budgets.list(MERCHANT)]


async def test_a_thousand_grants_cost_a_charge_what_ten_do(postgres_url: str) -> None:
    """However many have ended or are used up besides; planned when the table was empty."""
    read = []
    async with planning_session(postgres_url) as connection:
        await connection.execute(f"PREPARE load_grants AS {STATEMENTS['load_grants']}")
        await connection.execute(f"PREPARE load AS {STATEMENTS['load']}")
        await connection.execute("INSERT INTO merchant SELECT n, 'Acme', 1 FROM generate_series(1, 3) n")
        for merchant_id, open_count in ((1, 10), (2, 1_000), (3, 10_000)):
            await connection.execute(
                "INSERT INTO credit_grant (merchant_id, number, amount, remaining, starts_at, expires_at, ended_at,"
                " transfer_seq, priority, state, fingerprint, idempotency_key, reference, reason)"
                f" SELECT {merchant_id}, n, 5, CASE WHEN n % 3 = 0 THEN 5 ELSE 0 END, 1, 10 + n,"
                " CASE WHEN n % 3 = 1 THEN 5 END, n, 0, CASE WHEN n % 3 = 1 THEN 3 ELSE 2 END, '12345678', 'key ' || n,"
                f" 'R', 'r' FROM generate_series(1, {3 * open_count}) n"
            )
            await connection.execute(
                "INSERT INTO account (merchant_id, currency, wallet, held, revenue, funding, adjustments, promotions,"
                " given, credit_limit, is_frozen, seq, last_hash, last_at, thresholds, alerts_count)"
                f" VALUES ({merchant_id}, 'USD', 5, 0, 0, 0, 0, -5, 5, 0, false, 0, sha256('x'), 0, '[]', 0)"
            )
            nothing = ", ".join(["'{}'"] * 12)
            # The first ones; and another by its number, or the account.
            for execute in (
                f"load_grants('{{}}', '{{{merchant_id}}}', 16, '{{{merchant_id}}}', '{{7}}', '{{}}', '{{}}')",
                f"load({NOW}, {nothing}, '{{{merchant_id}}}', 0, 0, 16)",
            ):
                plan = await _plan(connection, execute, ", ANALYZE, BUFFERS, TIMING OFF")
                assert min(open_count, 16) + 1 == plan["Actual Rows"]
                read.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    assert max(read) < 60, read


def _scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in node:
        # The condition of a bitmap scan stands with the index below it.
        for below in node.get("Plans", ()):
            node = {**below, **node, **{name: below[name] for name in ("Index Name", "Index Cond") if name in below}}
        yield node
    for below in node.get("Plans", ()):
        yield from _scans(below)


async def _plan(connection: "asyncpg.Connection[asyncpg.Record]", execute: str, options: str = "") -> dict[str, Any]:
    found = await connection.fetchval(f"EXPLAIN (FORMAT JSON {options}) EXECUTE {execute}")
    plan: dict[str, Any] = msgspec.json.decode(found)[0]["Plan"]
    return plan


async def test_looking_keys_up_never_walks_a_book(postgres_url: str) -> None:
    """The plan that was made when the tables were empty is still used when a book is long, and it is good for both."""
    keys = ", ".join(f"'key-{number * 1000}'" for number in range(60))
    merchants = f"array_fill({MERCHANT}, ARRAY[60])::bigint[]"
    seqs = f"ARRAY[{', '.join(str(number * 1000) for number in range(60))}]"
    empty = "'{}', '{}'"
    found_by_keys = f"{merchants}, ARRAY[{keys}], {empty}, {merchants}, {seqs}"
    execute = f"load({NOW}, '{{}}', {empty}, '{{}}', {empty}, {found_by_keys}, '{{}}', 0, 0, 16)"
    async with planning_session(postgres_url) as connection:
        await connection.execute(f"PREPARE load AS {STATEMENTS['load']}")
        for step in ("empty", "filled", "analyzed"):
            if step == "filled":
                await connection.execute(
                    "INSERT INTO transfer (merchant_id, seq, amount, wallet_after, held_after, committed_at, kind,"
                    " idempotency_key, content, hash, refers_to)"
                    f" SELECT {MERCHANT}, n, 1, 1, 0, 1, 4, 'key-' || n, '12345678', sha256('x'), nullif(n - 1, 0)"
                    f" FROM generate_series(1, {BOOK_ROWS}) n"
                )
            elif step == "analyzed":
                await connection.execute("ANALYZE transfer")
            plan = await _plan(connection, execute, ", ANALYZE, BUFFERS, TIMING OFF")
            indexes = {scan["Index Name"]: scan["Index Cond"] for scan in _scans(plan) if "transfer" in scan.values()}
            assert {
                "transfer_merchant_id_idempotency_key_key",
                "transfer_pkey",
                "transfer_refers_to",
            } == indexes.keys(), step
            assert all("merchant_id" in condition and "AND" in condition for condition in indexes.values()), step
            assert (0 if step == "empty" else 59 + 59) == plan["Actual Rows"], step
            # For each look-up three levels of index and a page or two of the table; the book has thousands.
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 3 * 60 * 6, step


WHOLE_TABLES: Final = {
    *(
        "all_mails",
        "default_prices",
        "default_prices_page",
        *("merchant_ids", "transfers_total"),
        "retry_mails",
        "staff_keys",
        "books_to_roll_up",
    ),
    *(
        "counts",
        "merchants_by_runs_out",
        "price_made_after",
        "retry_account_mails",
        "search_merchants",
        "merchants_with_tag",
        "resume_mail_servers",
        *("open_staff", "warned_staff"),
        "revenue_not_rolled_up",
        "balances_before",
        "spent_by_merchants",
        "uncollected_between",
        "failed_deliveries",
    ),
    # A person is looked for by address, wherever it stands, to be deleted: rare, and nothing else asks for it.
    *("written_addresses", "kept_of_person", "logins_of_person"),
    *("forget_recipient", "forget_in_details", "forget_in_audit_log"),
    # What the operator has sent to its own webhooks once more, of all merchants: by time, as nothing else asks for it.
    "replay_deliveries_of_all",
    # What support does to prices, and that somebody verifies: rare, and these tables are short.
    *("default_price_versions", "default_prices_made_with", "withdraw_default_price", "verification_under_way"),
    # What `farebox doctor` asks the system's catalogue, and since when the oldest of all that waits does.
    *("examined_invalid_indexes", "examined_server", "examined_other_tables", "examined_dead_rows", "oldest_waiting"),
}
"""Statements that list or look through most of a table by their nature, or that know the outbox alone."""

IN_ORDER: Final = {
    **{f"merchants_by_{order}": "outlook" for order in ("available", "last")},
    "merchants_by_age": "merchant_pkey",
    "merchants_by_closing": "account_closed",
    "account_mails": "letter_pkey",
    "pending_approvals": "approval_pending",
    "verifications": "verification_pkey",
    "last_verification": "verification_pkey",
    **dict.fromkeys(("oldest_hold", "open_holds_figures"), "hold_due"),
}
"""Statements that read an index from one of its ends, as far as they are asked to, and which."""


FUNDING_INDEXES: Final = {
    *("transfer_funding", "transfer_pkey", "transfer_refers_to"),
    *("credit_grant_transfer", "credit_grant_pkey"),
}
"""By which the burn between two moments finds what came in: none walks over requests."""


async def test_no_statement_reads_a_whole_table(postgres_url: str) -> None:
    """Not even one that was planned when all tables were empty."""
    walks = []
    async with planning_session(postgres_url) as connection:
        for name in set(STATEMENTS) - WHOLE_TABLES:
            text = STATEMENTS[name]
            if re.search(r"^LOCK TABLE", text, re.MULTILINE):
                # It reads nothing.
                continue
            count = max(int(number) for number in re.findall(r"\$(\d+)", text + "$0"))
            await connection.execute(f"PREPARE {name} AS {text}")
            plan = await _plan(connection, f"{name}({', '.join(['NULL'] * count)})" if count else name)
            from_an_end = tuple({"delivery_due", "letter_due", "letter_turn", IN_ORDER.get(name, "delivery_due")})
            for scan in _scans(plan):
                is_probe = not {"Index Cond", "TID Cond"}.isdisjoint(scan) or scan["Node Type"] == "ModifyTable"
                if not is_probe and not scan.get("Index Name", "").startswith(from_an_end):
                    walks.append((name, scan))
                assert name != "funding_after" or scan["Index Name"] in FUNDING_INDEXES
    assert [] == walks


# Races.


async def test_two_stores_charge_one_account_and_the_book_is_whole(funded: Stores, postgres_url: str) -> None:
    async with opened_postgres(postgres_url) as other:

        async def charges(which: Stores, name: str) -> None:
            for batch in range(20):
                outcomes = await run(which, *[charge(f"{name}-{batch}-{number}") for number in range(5)])
                assert all(outcome.is_ok for outcome in outcomes)

        tasks = [charges(which, f"{at}-{way}") for at, which in enumerate((funded, other)) for way in range(3)]
        await asyncio.gather(*tasks)
        async with funded.connector.snapshot() as snapshot:
            replay = Replay(MERCHANT)
            async for chunk in snapshot.transfers(MERCHANT):
                assert [] == [fault for transfer in chunk for fault in replay.feed(transfer)]
            account = await snapshot.account(MERCHANT)
        assert account is not None
        assert [] == list(replay.finish(account, [], {}))
        assert (FUNDS - 600 * UNIT, 601) == (account.wallet, account.seq)


async def test_one_key_from_two_stores_at_once_is_one_charge(funded: Stores, postgres_url: str) -> None:
    """The one that waited for the lock sees what the other committed meanwhile."""
    async with opened_postgres(postgres_url) as other:
        for number in range(20):
            first, second = await asyncio.gather(*[run(which, charge(f"key-{number}")) for which in (funded, other)])
            assert first[0].transfer == second[0].transfer
            assert {False, True} == {first[0].is_replay, second[0].is_replay}
    assert FUNDS - 20 * UNIT == await wallet(funded)


async def test_spending_the_last_money_from_two_stores_goes_through_once(funded: Stores, postgres_url: str) -> None:
    await funded.prices.add(Price(2, "all", FUNDS, NOW), NOW)
    async with opened_postgres(postgres_url) as other:
        found = await asyncio.gather(
            *[run(which, Charge(Payer(MERCHANT), "all", 1, f"key-{at}")) for at, which in enumerate((funded, other))]
        )
    assert [False, True] == sorted(outcome.is_ok for (outcome,) in found)
    assert 0 == await wallet(funded)


async def test_a_deadlock_is_run_again_on_fresh_state(funded: Stores, postgres_url: str) -> None:
    seen: list[int] = []

    def watch(state: BatchState) -> Decision:
        seen.append(len(state.accounts))
        return decide(state, commands, NOW)

    commands = [charge("a"), charge("b", MERCHANT + 1)]
    lock = "SELECT FROM account WHERE merchant_id = $1 FOR UPDATE"
    # Who finds the deadlock is the one to fail, so the stranger looks for it last.
    async with stranger(postgres_url, deadlock_timeout="30s") as connection:
        await connection.execute("BEGIN")
        await connection.fetch(lock, MERCHANT + 1)
        task = asyncio.create_task(funded.connector.transact(reads(commands, NOW), watch))
        async with stranger(postgres_url) as watcher:
            await until(lambda: is_waiting_for_a_lock(watcher))
        await connection.fetch(lock, MERCHANT)
        await connection.execute("ROLLBACK")
        assert all(outcome.is_ok for outcome in (await task).outcomes)
    assert [2] == seen
    assert FUNDS - UNIT == await wallet(funded) == await wallet(funded, MERCHANT + 1)


FAIL_SOME_TIMES: Final = """
CREATE SEQUENCE attempt;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('attempt') <= {times} THEN
        RAISE EXCEPTION 'lost a race' USING ERRCODE = '40001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT ON transfer FOR EACH ROW EXECUTE FUNCTION fail();
"""


@pytest.mark.parametrize("times", [1, TRANSACTION_ATTEMPTS_MAX - 1])
async def test_a_serialization_failure_is_run_again(funded: Stores, postgres_url: str, times: int) -> None:
    async with stranger(postgres_url) as connection:
        await connection.execute(FAIL_SOME_TIMES.format(times=times))
    wallets: list[int] = []

    def watch(state: BatchState) -> Decision:
        wallets.append(state.accounts[MERCHANT].wallet)
        return decide(state, commands, NOW)

    commands = [charge("a")]
    decision = await funded.connector.transact(reads(commands, NOW), watch)
    assert [False] == [outcome.is_replay for outcome in decision.outcomes]
    assert [FUNDS] * (times + 1) == wallets
    assert FUNDS - UNIT == await wallet(funded)


async def test_races_lost_too_often_change_nothing(funded: Stores, postgres_url: str) -> None:
    async with stranger(postgres_url) as connection:
        await connection.execute(FAIL_SOME_TIMES.format(times=TRANSACTION_ATTEMPTS_MAX))
    with pytest.raises(StoreUnavailable, match="lost a race"):
        await run(funded, charge("a"))
    assert FUNDS == await wallet(funded)
    assert (await run(funded, charge("a")))[0].is_ok


async def test_a_table_changed_under_a_prepared_statement_goes_unnoticed(funded: Stores, postgres_url: str) -> None:
    assert (await run(funded, charge("a")))[0].is_ok
    async with stranger(postgres_url) as connection:
        await connection.execute("ALTER TABLE account ALTER COLUMN currency TYPE varchar(3)")
    assert (await run(funded, charge("b")))[0].is_ok
    assert FUNDS - 2 * UNIT == await wallet(funded)


async def test_mails_claimed_at_once_go_to_one_claimer_each(funded: Stores, postgres_url: str) -> None:
    for number in range(40):
        await funded.users.add(User(MERCHANT, number, f"{number}@example.com", NOW))
    await run(funded, SetThresholds(MERCHANT, (FUNDS + UNIT,)))
    async with opened_postgres(postgres_url) as other:
        found = await asyncio.gather(
            *[
                which.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=7)
                for which in (funded, other)
                for _ in range(4)
            ]
        )
        claimed = [mail.recipient_id for mails in found for mail in mails]
        assert len(claimed) == len(set(claimed))
        assert not await other.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=7) or len(claimed) < 40


# A failure before COMMIT leaves nothing behind.


async def _open_transactions(url: str) -> int:
    async with stranger(url) as connection:
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            " AND xact_start IS NOT NULL AND backend_type = 'client backend'"
        )
    assert isinstance(found, int)
    return found


async def test_a_broken_rule_rolls_back_and_is_told(funded: Stores, postgres_url: str) -> None:
    def broken(state: BatchState) -> Decision:
        decision = decide(state, commands, NOW)
        decision.accounts[0] = msgspec.structs.replace(decision.accounts[0], wallet=0)
        return decision

    commands = [charge("a")]
    with pytest.raises(InvariantViolation, match="do not sum to zero"):
        await funded.connector.transact(reads(commands, NOW), broken)
    assert 0 == await _open_transactions(postgres_url)
    assert (await run(funded, charge("a")))[0].is_replay is False


async def test_a_refusal_is_not_written(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            # The first one for lack of money is told of, and that is written.
            assert not (await run(stores, Charge(Payer(MERCHANT), "image", 2_000_000, "first")))[0].is_ok
            before = len(server.log())
            assert not (await run(stores, Charge(Payer(MERCHANT), "image", 2_000_000, "a")))[0].is_ok
            log = server.log()[before:]
            assert "statement: ROLLBACK" in log
            assert "statement: COMMIT" not in log
            assert 0 == await _open_transactions(url)


async def test_what_is_told_again_is_committed_again(server: PostgresServer) -> None:
    """Nothing is written, but COMMIT waits until what was found is as safe as what is new."""
    with server.database() as url:
        async with ledger(url) as stores:
            await run(stores, charge("a"))
            before = len(server.log())
            assert (await run(stores, charge("a")))[0].is_replay
            log = server.log()[before:]
            assert "statement: COMMIT" in log
            assert "INSERT" not in log
            assert "UPDATE account" not in log


async def test_a_connection_killed_before_commit_is_told_and_replaced(funded: Stores, postgres_url: str) -> None:
    def kill(state: BatchState) -> Decision:
        kill_sessions(postgres_url)
        return decide(state, commands, NOW)

    commands = [charge("a")]
    with pytest.raises(StoreUnavailable):
        await funded.connector.transact(reads(commands, NOW), kill)
    assert FUNDS == await wallet(funded)
    assert (await run(funded, charge("a")))[0].is_replay is False


async def test_a_connection_killed_while_idle_is_replaced(funded: Stores, postgres_url: str) -> None:
    await asyncio.to_thread(kill_sessions, postgres_url)
    await asyncio.sleep(0.1)
    assert FUNDS == await wallet(funded)


async def test_an_account_locked_for_too_long_is_told(postgres_url: str) -> None:
    async with (
        ledger(postgres_url, limits=PostgresLimits(lock_timeout_ms=100)) as stores,
        stranger(postgres_url) as connection,
    ):
        await connection.execute("BEGIN; SELECT FROM account FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="lock timeout"):
            await run(stores, charge("a"))
        await connection.execute("ROLLBACK")
        assert (await run(stores, charge("a")))[0].is_ok


async def test_a_transaction_that_lies_idle_loses_its_locks(postgres_url: str) -> None:
    async with ledger(postgres_url, limits=PostgresLimits(idle_in_transaction_timeout_ms=50)) as stores:

        def dawdle(state: BatchState) -> Decision:
            time.sleep(0.3)
            return decide(state, commands, NOW)

        commands = [charge("a")]
        with pytest.raises(StoreUnavailable):
            await stores.connector.transact(reads(commands, NOW), dawdle)
        assert 0 == await _open_transactions(postgres_url)
        assert (await run(stores, charge("a")))[0].is_replay is False


async def test_a_database_that_takes_no_writes_is_told(funded: Stores, postgres_url: str) -> None:
    database = urlsplit(postgres_url).path.lstrip("/")
    async with stranger(postgres_url) as connection:
        await connection.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    await asyncio.to_thread(kill_sessions, postgres_url)
    await asyncio.sleep(0.1)
    assert FUNDS == await wallet(funded)
    with pytest.raises(StoreUnavailable, match="read-only"):
        await run(funded, charge("a"))
    async with stranger(postgres_url, default_transaction_read_only="off") as connection:
        await connection.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
    # The session that was refused is not used again, so the change is seen.
    assert (await run(funded, charge("a")))[0].is_ok


async def test_a_caller_that_goes_away_before_commit_takes_all_of_it_along(funded: Stores, postgres_url: str) -> None:
    async with stranger(postgres_url) as connection:
        await connection.execute("BEGIN; SELECT FROM account FOR UPDATE")
        task = asyncio.create_task(run(funded, charge("a")))
        async with stranger(postgres_url) as watcher:
            await until(lambda: is_waiting_for_a_lock(watcher))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await connection.execute("ROLLBACK")
    assert (await run(funded, charge("a")))[0].is_replay is False


async def test_a_server_that_falls_silent_is_told(postgres_url: str) -> None:
    async with (
        Wire(postgres_url) as wire,
        ledger(postgres_url, through=wire.url, limits=PostgresLimits(command_timeout_ms=500)) as stores,
    ):
        wire.spoiled, wire.is_passed_on = b"BEGIN", False
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await run(stores, charge("a"))
        assert (await run(stores, charge("a")))[0].is_replay is False


async def test_no_free_connection_is_told(postgres_url: str) -> None:
    async with (
        ledger(postgres_url, limits=PostgresLimits(connections_max=1, connect_timeout_ms=1000)) as stores,
        stranger(postgres_url) as connection,
    ):
        await connection.execute("BEGIN; SELECT FROM account FOR UPDATE")
        task = asyncio.create_task(run(stores, charge("a")))
        async with stranger(postgres_url) as watcher:
            await until(lambda: is_waiting_for_a_lock(watcher))
        with pytest.raises(StoreUnavailable, match="TimeoutError"):
            await stores.accounts.find(MERCHANT)
        await connection.execute("ROLLBACK")
        assert (await task)[0].is_ok


async def test_what_can_not_be_kept_is_no_fault_of_the_database(funded: Stores) -> None:
    with pytest.raises(StorageError, match="0x00") as found:
        await funded.merchants.rename(MERCHANT, "a\0b")
    assert StorageError is type(found.value)
    with pytest.raises(StorageError, match="out of int64 range") as found:
        await funded.merchants.find(1 << 70)
    assert StorageError is type(found.value)
    with pytest.raises(StorageError, match="merchant_name_check") as found:
        await funded.merchants.rename(MERCHANT, "")
    assert StorageError is type(found.value)
    with pytest.raises(NotFound):
        await funded.merchants.rename(1, "name")


# COMMIT.


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


async def test_any_error_of_commit_means_unknown_even_a_lost_race(funded: Stores, postgres_url: str) -> None:
    async with stranger(postgres_url) as connection:
        await connection.execute(FAILING_COMMIT)
        calls: list[None] = []

        def watch(state: BatchState) -> Decision:
            calls.append(None)
            return decide(state, commands, NOW)

        commands = [charge("a")]
        with pytest.raises(CommitUnknown, match="lost a race"):
            await funded.connector.transact(reads(commands, NOW), watch)
        assert 1 == len(calls)
        await connection.execute("DROP FUNCTION fail CASCADE")
    assert (await run(funded, charge("a")))[0].is_replay is False


async def test_a_lost_answer_to_commit_means_unknown_and_the_charge_is_there(postgres_url: str) -> None:
    async with Wire(postgres_url) as wire, ledger(postgres_url, through=wire.url) as stores:
        wire.spoiled, wire.is_reply_lost = b"COMMIT\0", True
        with pytest.raises(CommitUnknown):
            await run(stores, charge("a"))
        assert FUNDS - UNIT == await wallet(stores)
        assert (await run(stores, charge("a")))[0].is_replay


async def test_no_answer_to_commit_in_time_means_unknown(postgres_url: str) -> None:
    async with (
        Wire(postgres_url) as wire,
        ledger(postgres_url, through=wire.url, limits=PostgresLimits(commit_timeout_ms=100)) as stores,
    ):
        wire.spoiled, wire.is_passed_on = b"COMMIT\0", False
        with pytest.raises(CommitUnknown):
            await run(stores, charge("a"))
        # The server sees the connection closed and rolls back what was never committed.
        assert (await run(stores, charge("a")))[0].is_replay is False


async def test_commit_is_seen_through_though_its_caller_goes_away(postgres_url: str) -> None:
    async with Wire(postgres_url) as wire, ledger(postgres_url, through=wire.url) as stores:
        wire.spoiled = b"COMMIT\0"
        task = asyncio.create_task(run(stores, charge("a")))
        await wire.reached.wait()
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0.05)
            assert not task.done()
        wire.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert FUNDS - UNIT == await wallet(stores)
        assert (await run(stores, charge("a")))[0].is_replay


async def test_a_rollback_that_gets_no_answer_does_not_hide_the_error(postgres_url: str) -> None:
    def broken(_: BatchState) -> Decision:
        raise InvariantViolation("the books are wrong")

    async with (
        Wire(postgres_url) as wire,
        ledger(postgres_url, through=wire.url, limits=PostgresLimits(rollback_timeout_ms=100)) as stores,
    ):
        wire.spoiled, wire.is_passed_on = b"ROLLBACK\0", False
        with pytest.raises(InvariantViolation):
            await stores.connector.transact(reads([charge("a")], NOW), broken)
        wire.reached.clear()
        wire.spoiled = None
        patient = PostgresConnector(wire.url)
        await patient.open()
        wire.spoiled = b"ROLLBACK\0"
        task = asyncio.create_task(patient.transact(reads([charge("a")], NOW), broken))
        await wire.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await patient.close()
        assert (await run(stores, charge("a")))[0].is_ok


async def test_a_transaction_given_up_by_the_server_is_never_taken_for_committed(funded: Stores) -> None:
    async def hide_an_error(connection: Any) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")

    with pytest.raises(StoreUnavailable, match="given the transaction up"):
        await run_transaction(pool_of(funded), hide_an_error, commit_timeout_ms=5000)


async def test_a_connection_that_breaks_after_commit_changes_nothing_about_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_down(_: Any) -> None:
        raise ConnectionResetError

    await Stores.over(PostgresConnector(postgres_url)).connector.migrate(NOW)
    monkeypatch.setattr(pool, "_leave_as_it_is", break_down)
    async with ledger(postgres_url) as stores:
        assert (await run(stores, charge("a")))[0].is_replay is False
        assert FUNDS - UNIT == await wallet(stores)


async def test_no_session_answers_before_the_disk_does(postgres_url: str) -> None:
    await Stores.over(PostgresConnector(postgres_url)).connector.migrate(NOW)
    for asked, expected in (("off", "on"), ("local", "on"), ("on", "on"), ("remote_apply", "remote_apply")):
        async with (
            opened_postgres(f"{postgres_url}?synchronous_commit={asked}") as stores,
            pool_of(stores).connection() as connection,
        ):
            assert expected == await connection.fetchval("SHOW synchronous_commit")


# The server comes and goes.


@pytest.mark.parametrize("end", ["fast", "immediate", "kill"])
async def test_a_server_that_comes_back_is_used_again(server: PostgresServer, end: str) -> None:
    with server.database() as url:
        async with ledger(url) as stores:
            await asyncio.gather(*[run(stores, charge(f"before-{number}")) for number in range(4)])
            if end == "kill":
                server.kill()
            else:
                server.stop("fast" if end == "fast" else "immediate")
            for _ in range(6):
                with pytest.raises(StoreUnavailable):
                    await run(stores, charge("meanwhile"))
                with pytest.raises(StoreUnavailable):
                    await stores.accounts.find(MERCHANT)
                with pytest.raises(StoreUnavailable):
                    async with stores.connector.snapshot():
                        pass
            server.start()
            found = await asyncio.gather(*[run(stores, charge(f"after-{number}")) for number in range(4)])
            assert all(outcome.is_ok for (outcome,) in found)
            assert FUNDS - 8 * UNIT == await wallet(stores)


async def test_opening_while_the_server_is_down_can_be_repeated(server: PostgresServer) -> None:
    with server.database() as url:
        async with ledger(url):
            pass
        stores = Stores.over(PostgresConnector(url))
        assert "PostgreSQL" == stores.connector.engine
        server.stop()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await stores.connector.open()
            with pytest.raises(StoreUnavailable, match="not open"):
                await stores.accounts.find(MERCHANT)
        with pytest.raises(StoreUnavailable):
            await stores.connector.migrate(NOW)
        server.start()
        await stores.connector.open()
        assert FUNDS == await wallet(stores)
        assert stores.connector.engine.startswith("PostgreSQL 1")
        await stores.connector.close()
        await stores.connector.close()


async def test_too_many_connections_are_told() -> None:
    with PostgresServer(settings={"max_connections": "4"}) as server, server.database() as url:
        async with ledger(url) as stores:
            await stores.connector.close()
            held = [await asyncpg.connect(url) for _ in range(4)]
            with pytest.raises(StoreUnavailable, match=r"connection slots|too many clients"):
                await stores.connector.open()
            for connection in held:
                await connection.close()
            await stores.connector.open()
            assert FUNDS == await wallet(stores)


async def test_closing_does_not_wait_for_ever(postgres_url: str) -> None:
    async with (
        ledger(postgres_url, limits=PostgresLimits(close_timeout_ms=100)) as stores,
        stranger(postgres_url) as connection,
    ):
        await connection.execute("BEGIN; SELECT FROM account FOR UPDATE")
        task = asyncio.create_task(run(stores, charge("a")))
        async with stranger(postgres_url) as watcher:
            await until(lambda: is_waiting_for_a_lock(watcher))
        await stores.connector.close()
        with pytest.raises(StoreUnavailable):
            await task


# The schema.


async def _schema(url: str) -> list[list[tuple[Any, ...]]]:
    async with stranger(url) as connection:
        return [[tuple(row) for row in await connection.fetch(query)] for query in CATALOG]


async def test_migrated_is_the_same_as_fresh(postgres_server: Databases) -> None:
    """A database that had its first migrations long ago comes to what a new one gets at once."""
    known = sql.migrations("postgres")
    with postgres_server.database() as fresh, postgres_server.database() as old:
        assert [name for name, _ in known] == await Stores.over(PostgresConnector(fresh)).connector.migrate(NOW)
        async with stranger(old) as connection:
            await connection.execute(migrate.MIGRATION_TABLE)
            await connection.execute(known[0][1])
            await connection.execute("INSERT INTO farebox_migration VALUES ($1, $2)", known[0][0], NOW)
        assert [name for name, _ in known[1:]] == await Stores.over(PostgresConnector(old)).connector.migrate(NOW)
        assert await _schema(fresh) == await _schema(old)
        assert [] == await Stores.over(PostgresConnector(old)).connector.migrate(NOW)


async def test_migrating_at_once_applies_each_migration_once(postgres_url: str) -> None:
    found = await asyncio.gather(
        *[Stores.over(PostgresConnector(postgres_url)).connector.migrate(NOW) for _ in range(5)]
    )
    assert [name for name, _ in sql.migrations("postgres")] == sorted(name for names in found for name in names)


async def test_both_engines_keep_the_same_columns(postgres_url: str) -> None:
    await Stores.over(PostgresConnector(postgres_url)).connector.migrate(NOW)
    async with stranger(postgres_url) as connection:
        found = await connection.fetch(
            "SELECT table_name, column_name, is_nullable = 'NO' FROM information_schema.columns"
            " WHERE table_schema = 'public'"
        )
    sqlite = apsw.Connection(":memory:")
    for script in (migrate.MIGRATION_TABLE, *(script for _, script in sql.migrations("sqlite"))):
        sqlite.execute(script)
    expected = {
        (table, name, bool(is_required or is_key))
        for (table,) in sqlite.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for name, is_required, is_key in sqlite.execute(
            'SELECT name, "notnull", pk FROM pragma_table_xinfo(?)', (table,)
        )
    }
    sqlite.close()
    assert expected == {tuple(row) for row in found}


async def test_every_unique_of_the_hot_path_holds_the_merchant(postgres_url: str) -> None:
    """So that the tables can be spread over machines by merchant."""
    await Stores.over(PostgresConnector(postgres_url)).connector.migrate(NOW)
    async with stranger(postgres_url) as connection:
        found = await connection.fetch(
            "SELECT indrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " JOIN pg_class ON pg_class.oid = indrelid WHERE indisunique AND relnamespace = 'public'::regnamespace"
        )
    shared = {
        "default_price",
        "staff_key",
        # It tells whose a key is, so that what is asked of it names no merchant.
        "imported_key",
        "farebox_migration",
        "login",
        "session",
        "letter",
        "verification",
        "mail_server",
        "repeat",
        "report",
        "destination",
        "signing_seed",
        *("ledger_move", "ledger_change"),
    }
    columns = [(definition.partition("(")[2], definition) for table, definition in found if table not in shared]
    assert [] == [definition for named, definition in columns if "merchant_id" not in named]


async def test_an_old_server_is_refused(funded: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "VERSION_MIN", 99)
    with pytest.raises(StorageError, match="PostgreSQL 99 or newer is needed; this is 1"):
        await funded.connector.migrate(NOW)
    with pytest.raises(StorageError, match="PostgreSQL 99 or newer is needed; this is 1"):
        await funded.connector.open()


async def test_a_database_that_can_not_keep_every_text_is_refused(postgres_url: str) -> None:
    database = f"{urlsplit(postgres_url).path.lstrip('/')}_latin"
    async with stranger(postgres_url) as connection:
        await connection.execute(
            f"CREATE DATABASE {database} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        try:
            with pytest.raises(StorageError, match="ENCODING 'UTF8'"):
                await Stores.over(PostgresConnector(f"{postgres_url}_latin")).connector.migrate(NOW)
        finally:
            await connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


async def test_backup_says_how(funded: Stores, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="pg_dump"):
        await funded.connector.backup(tmp_path / "copy")


# What a batch loads beyond charges, and what a snapshot sees.


async def test_a_batch_sees_prices_holds_and_what_was_given_back(funded: Stores) -> None:
    await funded.prices.add(Price(2, "image", 3 * UNIT, NOW, MERCHANT), NOW)
    held = (await run(funded, CreateHold(Payer(MERCHANT), "image", 1, "hold")))[0]
    assert held.hold is not None
    assert 3 * UNIT == held.hold.amount
    again = (await run(funded, CreateHold(Payer(MERCHANT), "image", 1, "hold")))[0]
    assert (True, held.hold) == (again.is_replay, again.hold)
    assert (await run(funded, ReleaseHold(MERCHANT, held.hold.seq, "release")))[0].is_ok
    bought = (await run(funded, charge("bought")))[0].transfer
    assert bought is not None
    for part in ("one", "two", "three"):
        assert (await run(funded, Refund(MERCHANT, bought.seq, part, UNIT)))[0].is_ok
    assert "refund_exceeds_transfer" == (await run(funded, Refund(MERCHANT, bought.seq, "four")))[0].code
    assert (await run(funded, SetCreditLimit(MERCHANT, UNIT)))[0].is_ok


async def test_a_snapshot_sees_one_moment_in_chunks(funded: Stores, postgres_url: str) -> None:
    in_chunks = PostgresConnector(postgres_url, PostgresLimits(snapshot_chunk_rows=10))
    await run(funded, *[charge(f"before-{number}") for number in range(24)])

    async def chunks(of: AsyncIterator[Sequence[Any]]) -> list[int]:
        return [len(chunk) async for chunk in of]

    async with in_chunks.snapshot() as snapshot:
        await run(funded, *[charge(f"after-{number}") for number in range(24)])
        assert [10, 10, 5] == await chunks(snapshot.transfers(MERCHANT))
        account = await snapshot.account(MERCHANT)
        assert account is not None
        assert FUNDS - 24 * UNIT == account.wallet
        assert {25} == (await snapshot.transfers_at(MERCHANT, [25, 26])).keys()
        assert [MERCHANT, MERCHANT + 1] == await snapshot.merchant_ids()
        assert [] == await snapshot.holds(MERCHANT)
        assert await snapshot.account(1) is None
