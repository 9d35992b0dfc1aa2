"""`farebox serve` as a process: how it ends, what outlives it, and what it says when it can't start."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import Final

import psutil
import pytest

from farebox.bootstrap import Farebox
from tests.cli.shell import Shell
from tests.e2e.traffic import Traffic, check_books
from tests.support.ledger import book
from tests.support.server import Seeds, Server, is_listening, open_farebox, seed

IMAGE_MICROS: Final = 10_000
PAID_MICROS: Final = 100_000_000
CHARGES: Final = 500
TIMEOUT_S: Final = 20
KEYS: Final = tuple(f"k{number}" for number in range(CHARGES))


async def _working(first: psutil.Process, *, workers: int, without: int = 0) -> list[psutil.Process]:
    """Wait until so many processes are at work, one of a certain number not among them, and return them."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            found = [child for child in first.children() if child.pid != without and is_listening(child)]
            if len(found) == workers:
                return found
            await asyncio.sleep(0.02)


async def _check(farebox: Farebox, seeds: Seeds, charged: int) -> None:
    await check_books(farebox, seeds, charged=charged, balance_micros=PAID_MICROS - charged * IMAGE_MICROS)


@pytest.mark.parametrize(
    ("signal_number", "workers"), [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGINT, 1)], ids=str
)
async def test_a_server_that_is_told_to_stop_has_answered_each_charge_it_made_and_says_nothing(
    database_url: str, signal_number: signal.Signals, workers: int
) -> None:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        with Server(database_url, workers=workers, environment={"FAREBOX_SECRET_KEY": token_hex(32)}) as server:
            process = server.first_process()
            await _working(process, workers=workers)
            traffic = Traffic([server], seeds)
            # More than can be charged before the signal is heeded, however long that takes on a busy machine.
            running = asyncio.create_task(traffic.charge_once([f"k{number}" for number in range(4 * CHARGES)]))
            await traffic.reached(100)
            process.send_signal(signal_number)
            assert 0 == await asyncio.to_thread(process.wait, TIMEOUT_S)
            await running
            log = server.log()
        assert traffic.lost
        assert not traffic.troubles
        answered = {key: answer.transfer_id for key, answer in traffic.acknowledged.items()}
        _, *charges = await book(farebox.stores, seeds.merchant_id)
        assert answered == {charge.idempotency_key: charge.id for charge in charges}
        await _check(farebox, seeds, len(answered))
        processes = "1 process" if workers == 1 else f"{workers} processes"
        assert (
            f"Farebox serves {server.url} with {farebox.stores.connector.engine} and {processes}. Ctrl-C stops it.\n"
            f"Links in mails begin with {server.url}.\n" == log
        )


async def test_a_server_without_a_secret_key_warns_of_it_once(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(database_url):
        pass
    with Server(database_url, workers=2) as server:
        await _working(server.first_process(), workers=2)
        assert 1 == server.log().count("warning: FAREBOX_SECRET_KEY is not set")


async def test_two_processes_killed_on_one_file_leave_a_ledger_that_verifies_and_takes_retries(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
    with Server(database_url, workers=2) as server:
        before = Traffic([server], seeds)
        running = asyncio.create_task(before.charge_once(KEYS))
        await before.reached(100)
        server.kill()
        await running
        assert before.lost
        found = (await asyncio.to_thread(Shell(database_url).ok, "verify", "--json")).data
        assert (True, 1) == (found["isClean"], found["merchants"])
        assert len(before.acknowledged) <= found["transfers"] - 1 < CHARGES
        async with open_farebox(database_url) as farebox:
            _, *charges = await book(farebox.stores, seeds.merchant_id)
        made = {charge.idempotency_key: charge.id for charge in charges}
        assert {key: answer.transfer_id for key, answer in before.acknowledged.items()}.items() <= made.items()
        server.start()
        after = Traffic([server], seeds)
        await after.charge_once(KEYS)
    assert CHARGES == len(after.acknowledged)
    assert set(made) == {key for key, answer in after.answers.items() if answer.is_replay}
    assert {key: answer.body for key, answer in before.acknowledged.items()}.items() <= {
        key: answer.body for key, answer in after.answers.items()
    }.items()
    async with open_farebox(database_url) as farebox:
        await _check(farebox, seeds, CHARGES)


async def test_a_process_that_dies_is_replaced_and_no_charge_is_lost_or_made_twice(database_url: str) -> None:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        with Server(database_url, workers=2) as server:
            first = server.first_process()
            workers = await _working(first, workers=2)
            traffic = Traffic([server], seeds)
            running = asyncio.create_task(traffic.charge_until_answered(KEYS))
            await traffic.reached(100)
            # The system may give every connection to one of the two.
            *_, victim = sorted(workers, key=lambda process: len(process.net_connections()))
            victim.kill()
            await running
            assert traffic.lost
            assert CHARGES == len({answer.transfer_id for answer in traffic.acknowledged.values()})
            await _check(farebox, seeds, CHARGES)
            successors = await _working(first, workers=2, without=victim.pid)
            assert victim.pid not in {process.pid for process in first.children()}
            assert 1 == len(set(workers) & set(successors))
            # Both workers know what was charged before.
            again = Traffic([server], seeds)
            await again.charge_once(KEYS)
            assert {(200, True)} == {(answer.status, answer.is_replay) for answer in again.answers.values()}
            assert 0 == await asyncio.to_thread(server.stop)


# A failed start says why in one line. (A database without a schema, or a newer one: tests/e2e/test_faults.py.)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database that is ready."""
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    Shell(url).ok("init")
    return url


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def _serve(database_url: str, *options: str) -> tuple[int, str, str]:
    """Run a server that can't start, and return its exit status and what it printed where."""
    with subprocess.Popen(
        [sys.executable, "-m", "farebox", "serve", *options],
        env={**os.environ, "FAREBOX_DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        finally:
            # Should it have started after all, its processes must not stay.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, out, err


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["one process", "two processes"])
def test_a_busy_port_is_named_in_one_line(sqlite_url: str, busy_port: int, options: tuple[str, ...]) -> None:
    message = f"127.0.0.1:{busy_port} can't be listened on: Address already in use; choose another with --port"
    assert (1, "", f"farebox: {message}\n") == _serve(sqlite_url, "--port", str(busy_port), *options)


def test_a_busy_port_is_named_in_json(sqlite_url: str, busy_port: int) -> None:
    status, out, err = _serve(sqlite_url, "--port", str(busy_port), "--json")
    message = f"127.0.0.1:{busy_port} can't be listened on: Address already in use; choose another with --port"
    assert (1, "") == (status, out)
    assert {"error": "port_unavailable", "message": message} == json.loads(err)


def test_an_address_of_another_machine_is_named_in_one_line(sqlite_url: str) -> None:
    """192.0.2.1 is set apart for documents: no machine has it."""
    message = "192.0.2.1:8000 can't be listened on: Cannot assign requested address; choose another with --port"
    assert (1, "", f"farebox: {message}\n") == _serve(sqlite_url, "--host", "192.0.2.1")


async def test_a_second_server_on_the_port_does_not_disturb_the_first(sqlite_url: str) -> None:
    async with open_farebox(sqlite_url) as farebox:
        seeds = await seed(farebox)
        with Server(sqlite_url) as server:
            traffic = Traffic([server], seeds)
            running = asyncio.create_task(traffic.charge_once(KEYS))
            await traffic.reached(50)
            status, _, _ = await asyncio.to_thread(_serve, sqlite_url, "--port", str(server.port))
            assert 1 == status
            await running
            assert (CHARGES, 0) == (len(traffic.acknowledged), traffic.lost)
        await _check(farebox, seeds, CHARGES)
