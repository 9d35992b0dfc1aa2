"""Runs of the verification write down how far they are, and a server starts one in a process of its own."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from farebox.bootstrap import Farebox
from farebox.config import Settings
from farebox.core.accounts import Account
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.errors import Conflict
from farebox.service.operator import verifications
from farebox.service.operator.verifications import Run
from farebox.service.people.api_keys import Principal
from farebox.storage.interface import StoreUnavailable
from farebox.storage.records import Verification
from tests.cli.shell import Shell
from tests.support.server import open_farebox, seed

SAM = Principal("sam@farebox.example", roles=EVERY_ROLE)


@pytest.fixture
async def farebox(tmp_path: Path) -> AsyncIterator[Farebox]:
    """The parts over an SQLite ledger."""
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        yield farebox


async def _ended(farebox: Farebox) -> Verification:
    """Wait until the latest run has ended."""
    while True:
        run = (await farebox.services.verifications.latest(1))[0]
        if run.finished_at is not None:
            return run
        await asyncio.sleep(0.05)


async def test_a_run_tells_how_far_it_is_and_how_it_ended(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Verification] = []
    async with open_farebox(database_url) as farebox:
        await seed(farebox)
        await seed(farebox)
        write = farebox.stores.verifications.update

        async def update(row: Verification) -> None:
            told.append(row)
            await write(row)

        monkeypatch.setattr(farebox.stores.verifications, "update", update)
        run = farebox.services.verifications.run("ann", progress_micros=0)
        assert [] == [fault async for fault in run.faults()]
        assert [(2, 2, 2), (2, 2, 2)] == [(row.merchants, row.merchants_done, row.transfers_done) for row in told]
        (row,) = await farebox.services.verifications.latest(5)
    assert ("ann", 2, 2, 2, 0, None) == (
        row.started_by,
        row.merchants,
        row.merchants_done,
        row.transfers_done,
        row.problems,
        row.first_problem,
    )
    assert row.finished_at is not None
    assert not farebox.services.verifications.is_under_way(row)


async def test_a_run_counts_what_is_wrong_and_keeps_the_first(farebox: Farebox) -> None:
    seeds = await seed(farebox)
    other = await seed(farebox)
    account = await farebox.stores.accounts.find(seeds.merchant_id)
    assert isinstance(account, Account)
    await farebox.stores.connector.run_in_transaction(
        lambda fetch: fetch("UPDATE account SET wallet = wallet + 1, funding = funding - 1"),
    )
    found = [fault async for fault in farebox.services.verifications.run("ann").faults()]
    (row,) = await farebox.services.verifications.latest(1)
    assert {seeds.merchant_id, other.merchant_id} == {fault.merchant_id for fault in found}
    assert len(found) == row.problems
    assert f"{seeds.merchant}: {found[0].text}" == row.first_problem


async def test_the_command_line_writes_its_runs_down_but_not_those_over_one_merchant(database_url: str) -> None:
    shell = Shell(database_url)
    await asyncio.to_thread(shell.ok, "init")
    merchant = await asyncio.to_thread(shell.merchant)
    await asyncio.to_thread(shell.ok, "verify", "--merchant", merchant)
    await asyncio.to_thread(shell.ok, "verify")
    async with open_farebox(database_url) as farebox:
        (row,) = await farebox.services.verifications.latest(5)
    assert row.started_by.startswith("shell:")
    assert (1, 0) == (row.merchants_done, row.problems)
    assert row.finished_at is not None


async def test_a_server_starts_a_process_with_its_own_settings(farebox: Farebox) -> None:
    await seed(farebox)
    await farebox.services.verifications.start(principal=SAM)
    (begun,) = await farebox.services.verifications.latest(5)
    assert farebox.services.verifications.is_under_way(begun)
    with pytest.raises(Conflict, match="under way already"):
        await farebox.services.verifications.start(principal=SAM)
    row = await _ended(farebox)
    assert (begun.verification_id, "sam@farebox.example", 1, 0) == (
        row.verification_id,
        row.started_by,
        row.merchants_done,
        row.problems,
    )
    await farebox.services.verifications.start(principal=SAM)
    await farebox.services.verifications.close()
    assert 2 == len(await farebox.services.verifications.latest(5))


async def test_a_run_that_is_silent_is_taken_for_dead(farebox: Farebox) -> None:
    now = farebox.clock.now()
    old = Verification(1, "ann", now - 60_000_000, now - verifications.LOST_MICROS - 1_000_000)
    await farebox.stores.verifications.begin(old)
    assert not farebox.services.verifications.is_under_way(old)
    assert farebox.services.verifications.is_under_way(msgspec.structs.replace(old, seen_at=now))
    # So it does not keep anybody from starting another.
    await farebox.services.verifications.start(principal=SAM)
    assert 1 < (await _ended(farebox)).verification_id


async def test_a_ledger_that_takes_no_writes_is_verified_all_the_same(
    farebox: Farebox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed(farebox)

    async def refuse(_: Verification) -> None:
        raise StoreUnavailable("read-only")

    monkeypatch.setattr(farebox.stores.verifications, "begin", refuse)
    run: Run = farebox.services.verifications.run("ann")
    assert [] == [fault async for fault in run.faults()]
    assert 1 == run.audit.transfers_count
    assert [] == await farebox.services.verifications.latest(5)


def test_settings_go_to_a_process_by_its_environment(tmp_path: Path) -> None:
    settings = Settings.of(database_url="sqlite:///a.db", smtp_url="smtp://u:p@h:25", approval_above="100")
    assert settings == Settings.load(settings.environment, tmp_path)
