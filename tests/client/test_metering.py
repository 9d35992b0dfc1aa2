"""A meter loses nothing that it accepted, whatever is killed, and charges it exactly once."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from farebox_client import AsyncFarebox, Farebox, MeterLimits, RefusedCharge, SpoolFailed, SpoolFull, Unreachable
from farebox_client.metering.spool import Spool
from farebox_client.transport import Answer
from tests.client.conftest import Site, on_each_engine
from tests.client.waiting import eventually

KILLS: Final = 8
TIME_LIMIT_S: Final = 60
QUICK: Final = MeterLimits(take_over_seconds=0.2)

METERING: Final = """
import sys, threading
from farebox_client import Farebox
url, key, merchant, folder, name = sys.argv[1:]
with Farebox(url, key=key).meter(folder) as meter:
    def accept(thread):
        for number in range(100_000):
            reference = f"{name}-{thread}-{number}"
            meter.charge(merchant=merchant, type="call", amount="0.0001", reference=reference)
            # One write, so that a line is whole or not there.
            sys.stdout.write(reference + "\\n")
            sys.stdout.flush()
    threads = [threading.Thread(target=accept, args=(thread,)) for thread in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
"""A process that meters without end, and tells what was accepted."""


class Recording:
    """A server in a few lines, of which a test says what it does."""

    def __init__(self) -> None:
        self.is_there = True
        self.made: Counter[str] = Counter()
        self.refuse: Callable[[dict[str, Any]], bool] = lambda charge: False

    def send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float) -> Answer:
        if not self.is_there:
            raise Unreachable("nobody is there", is_known=True)
        outcomes = [self._outcome(charge) for charge in json.loads(body or b"")["charges"]]
        told = {"isSuccess": True, "statusCode": 200, "errorMessage": None, "data": {"outcomes": outcomes}}
        return Answer(200, {}, json.dumps(told).encode())

    def _outcome(self, charge: dict[str, Any]) -> dict[str, Any]:
        if self.refuse(charge):
            words = {"errorCode": "insufficient_balance", "errorMessage": "too little", "isReplay": False, "data": None}
            return {"isSuccess": False, "statusCode": 402, **words}
        key = charge["idempotencyKey"]
        is_replay = key in self.made
        self.made[key] |= 1
        data = {"transferId": f"x-{key}", "cost": "1", "balance": "1", "available": "1"}
        return {"isSuccess": True, "statusCode": 200, "isReplay": is_replay, "data": data}

    def close(self) -> None:
        pass


@pytest.fixture
def server() -> Recording:
    return Recording()


@pytest.fixture
def farebox() -> Iterator[Farebox]:
    with Farebox("http://farebox.example", key="k") as client:
        yield client


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def charged(site: Site) -> Counter[str]:
    with Farebox(site.server.url, key=site.seeds.merchant_key) as merchant:
        return Counter(str(each.reference) for each in merchant.transfers(kind="charge"))


@contextlib.contextmanager
def metering(site: Site, folder: Path, name: str) -> Iterator[list[str]]:
    """Run a process that meters, kill it at the end of the block, and tell then what it had accepted."""
    accepted: list[str] = []
    arguments = [site.server.url, site.seeds.service_key, site.seeds.merchant, str(folder), name]
    process = subprocess.Popen([sys.executable, "-c", METERING, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        # It is in the middle of it.
        accepted.append(process.stdout.readline().decode().strip())
        yield accepted
    finally:
        process.send_signal(signal.SIGKILL)
        # A line is whole only with its end.
        accepted.extend(process.stdout.read().decode().rpartition("\n")[0].split("\n"))
        process.stdout.close()
        process.wait()
        accepted[:] = [reference for reference in accepted if reference]


@on_each_engine
def test_processes_that_are_killed_again_and_again_lose_nothing(site: Site, tmp_path: Path) -> None:
    accepted: list[str] = []
    for number in range(KILLS):
        with metering(site, tmp_path, f"one{number}") as one, metering(site, tmp_path, f"other{number}") as other:
            time.sleep(0.05 * number)
        accepted += one + other
        if number == KILLS // 2:
            site.server.kill()
            site.server.start()
    with Farebox(site.server.url, key=site.seeds.service_key) as farebox, farebox.meter(tmp_path) as meter:
        assert 0 == meter.flush(TIME_LIMIT_S)
        assert [] == meter.refused()
    booked = charged(site)
    assert {1} == set(booked.values())
    assert len(accepted) == len(set(accepted)) > KILLS
    assert set() == set(accepted) - set(booked)
    # Charges that were on disk before their process could tell are made, too.
    assert [] == list(tmp_path.iterdir())


@on_each_engine
def test_a_server_that_is_away_is_waited_for(site: Site, tmp_path: Path) -> None:
    site.server.kill()
    with Farebox(site.server.url, key=site.seeds.service_key) as farebox, farebox.meter(tmp_path) as meter:
        keys = [meter.charge(merchant=site.seeds.merchant, type="image", reference=f"away-{n}") for n in range(20)]
        assert 20 == meter.waiting == len(set(keys))
        site.server.start()
        assert 0 == meter.flush(TIME_LIMIT_S)
    booked = charged(site)
    assert [1] * 20 == [booked[f"away-{n}"] for n in range(20)]


def test_what_can_not_be_made_before_the_end_is_made_by_the_next(
    farebox: Farebox, server: Recording, tmp_path: Path
) -> None:
    server.is_there = False
    meter = farebox.meter(tmp_path, transport=server)
    keys = [meter.charge(merchant="m", type="t") for _ in range(10)]
    assert 10 == meter.close(0.05)
    with pytest.raises(RuntimeError, match="closed"):
        meter.charge(merchant="m", type="t")
    assert {".lock", ".spool"} <= set(files(tmp_path))
    server.is_there = True
    with farebox.meter(tmp_path, transport=server) as following:
        assert 0 == following.flush(TIME_LIMIT_S)
    assert dict.fromkeys(keys, 1) == dict(server.made)
    assert [] == files(tmp_path)


def test_a_request_that_is_under_way_at_the_end_is_not_made_again(
    farebox: Farebox, server: Recording, tmp_path: Path
) -> None:
    may_fail = threading.Event()
    asked: list[bytes | None] = []

    def hang(method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float) -> Answer:
        asked.append(body)
        may_fail.wait(TIME_LIMIT_S)
        raise Unreachable("nobody is there", is_known=True)

    hanging = Recording()
    hanging.send = hang  # type: ignore[method-assign]
    meter = farebox.meter(tmp_path, transport=hanging)
    key = meter.charge(merchant="m", type="t")
    eventually(lambda: len(asked) == 1)
    assert 1 == meter.close(0)
    may_fail.set()
    eventually(lambda: not any(thread.name == "farebox-charges" for thread in threading.enumerate()))
    assert 1 == len(asked)
    with farebox.meter(tmp_path, transport=server) as following:
        assert 0 == following.flush(TIME_LIMIT_S)
    assert {key: 1} == dict(server.made)


def test_refused_charges_are_put_aside_told_and_asked_again(
    farebox: Farebox, server: Recording, tmp_path: Path
) -> None:
    told: list[RefusedCharge] = []
    server.refuse = lambda charge: charge["type"] == "dear"
    with farebox.meter(tmp_path, transport=server, on_refused=told.append) as meter:
        keys = [meter.charge(merchant="m", type=kind) for kind in ("cheap", "dear", "cheap", "dear", "dear")]
        assert 0 == meter.flush(TIME_LIMIT_S)
        refused = meter.refused()
        assert [keys[1], keys[3], keys[4]] == [each.key for each in refused]
        assert ("insufficient_balance", 402, True) == (refused[0].code, refused[0].status, refused[0].is_known)
        assert "dear" == json.loads(refused[0].charge)["type"]
        eventually(lambda: len(told) == 3, within_s=TIME_LIMIT_S)
        assert refused == told
    with farebox.meter(tmp_path, transport=server, on_refused=told.append) as meter:
        # They were told once, and are still there.
        eventually(lambda: len(meter.refused()) == 3, within_s=TIME_LIMIT_S)
        server.refuse = lambda charge: False
        assert 1 == meter.forget([keys[3], "none of these"])
        assert 1 == meter.ask_again([keys[1]])
        assert 1 == meter.ask_again()
        assert 0 == meter.flush(TIME_LIMIT_S)
        assert [] == meter.refused()
    assert {keys[0], keys[1], keys[2], keys[4]} == set(server.made)
    assert [] == files(tmp_path)


def test_a_callback_that_fails_is_called_for_the_others(farebox: Farebox, server: Recording, tmp_path: Path) -> None:
    told: list[str] = []

    def fail(refused: RefusedCharge) -> None:
        told.append(refused.key)
        raise ValueError("it fails")

    server.refuse = lambda charge: True
    with farebox.meter(tmp_path, transport=server, on_refused=fail) as meter:
        keys = [meter.charge(merchant="m", type="t") for _ in range(3)]
        eventually(lambda: len(told) == 3, within_s=TIME_LIMIT_S)
        assert sorted(keys) == sorted(told)
        assert 3 == meter.forget()


@pytest.mark.parametrize("when_full", ["wait", "raise"])
def test_a_full_spool_lets_wait_or_raises(farebox: Farebox, server: Recording, tmp_path: Path, when_full: Any) -> None:
    server.is_there = False
    limits = MeterLimits(waiting_max=3)
    with farebox.meter(tmp_path, transport=server, limits=limits, when_full=when_full) as meter:
        for _ in range(3):
            meter.charge(merchant="m", type="t")
        if when_full == "raise":
            with pytest.raises(SpoolFull):
                meter.charge(merchant="m", type="t")
            assert 3 == meter.close(0)
            return
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(meter.charge, merchant="m", type="t")
            time.sleep(0.2)
            assert not waiting.done()
            server.is_there = True
            assert waiting.result(TIME_LIMIT_S) in server.made or meter.flush(TIME_LIMIT_S) == 0
        assert 0 == meter.flush(TIME_LIMIT_S)
    assert 4 == len(server.made)


async def test_tasks_share_a_meter_and_its_transactions(server: Recording, tmp_path: Path) -> None:
    async with (
        AsyncFarebox("http://farebox.example", key="k") as farebox,
        farebox.meter(tmp_path, transport=server) as meter,
    ):
        keys = await asyncio.gather(*[meter.charge(merchant="m", type="t") for _ in range(500)])
        assert 0 == await meter.flush(TIME_LIMIT_S)
        assert ([], 0, 0, 0) == (await meter.refused(), await meter.ask_again(), await meter.forget(), meter.waiting)
        cancelled = asyncio.create_task(meter.charge(merchant="m", type="t"))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    assert set(keys) <= set(server.made)
    assert 501 >= len(server.made)


def test_limits_leave_room_for_something() -> None:
    with pytest.raises(ValueError, match="above zero"):
        MeterLimits(waiting_max=0)
    with pytest.raises(ValueError, match="above one"):
        MeterLimits(sending_max=1)


def test_files_are_their_owners_alone(farebox: Farebox, server: Recording, tmp_path: Path) -> None:
    server.is_there = False
    folder = tmp_path / "spools" / "charges"
    meter = farebox.meter(folder, transport=server)
    meter.charge(merchant="m", type="t")
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    meter.close(0)


def test_a_live_process_keeps_its_file(farebox: Farebox, server: Recording, tmp_path: Path) -> None:
    server.is_there = False
    one = farebox.meter(tmp_path, transport=server, limits=QUICK)
    other = farebox.meter(tmp_path, transport=server, limits=QUICK)
    for meter in (one, other):
        meter.charge(merchant="m", type="t")
    time.sleep(0.5)
    assert (1, 1) == (one.waiting, other.waiting)
    assert 1 == one.close(0)
    eventually(lambda: other.waiting == 2, within_s=TIME_LIMIT_S)
    server.is_there = True
    assert 0 == other.close(TIME_LIMIT_S)
    assert 2 == len(server.made)
    assert [] == files(tmp_path)


# Python 3.12 warns of a fork beside threads, which is what this is about.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_its_own_spool_and_spoils_none(
    farebox: Farebox, server: Recording, tmp_path: Path
) -> None:
    server.is_there = False
    meter = farebox.meter(tmp_path, transport=server)
    before = meter.charge(merchant="m", type="before")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(write, meter.charge(merchant="m", type="child").encode())
            # The end of a process closes what is left of its objects; nothing of the parent's may be.
            sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the process ends.
            status = 0
        finally:
            os._exit(status)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    of_child = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    after = meter.charge(merchant="m", type="after")
    server.is_there = True
    assert 0 == meter.close(TIME_LIMIT_S)
    with farebox.meter(tmp_path, transport=server) as following:
        assert 0 == following.flush(TIME_LIMIT_S)
    assert {before, of_child, after} == set(server.made)


FORKING: Final = """
import os, sys
from farebox_client import Farebox
meter = Farebox("http://127.0.0.1:9", key="k").meter(sys.argv[1])
print(meter.charge(merchant="m", type="t"), flush=True)
if os.fork() == 0:
    sys.exit(0)
os.wait()
print(meter.charge(merchant="m", type="t"), flush=True)
os.kill(os.getpid(), 9)
"""


def test_the_end_of_a_forked_process_leaves_its_parents_spool_alone(
    farebox: Farebox, server: Recording, tmp_path: Path
) -> None:
    ended = subprocess.run([sys.executable, "-c", FORKING, str(tmp_path)], capture_output=True, text=True, check=False)
    assert -signal.SIGKILL == ended.returncode, ended.stderr
    with farebox.meter(tmp_path, transport=server) as meter:
        assert 0 == meter.flush(TIME_LIMIT_S)
    assert set(ended.stdout.split()) == set(server.made)
    assert 2 == len(server.made)


def test_a_folder_that_can_not_be_written_accepts_nothing(farebox: Farebox, server: Recording, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    meter = farebox.meter(tmp_path / "file" / "folder", transport=server)
    for _ in range(2):
        with pytest.raises(SpoolFailed):
            meter.charge(merchant="m", type="t")
    with pytest.raises(SpoolFailed), meter:
        raise AssertionError("it is not entered")
    assert 0 == meter.close(1)


def test_a_broken_file_of_another_process_is_left_and_does_no_harm(
    farebox: Farebox, server: Recording, tmp_path: Path
) -> None:
    (tmp_path / "broken.lock").touch()
    (tmp_path / "broken.spool").write_bytes(b"no database at all" * 100)
    (tmp_path / "lonely.lock").touch()
    with farebox.meter(tmp_path, transport=server) as meter:
        meter.charge(merchant="m", type="t")
        assert 0 == meter.flush(TIME_LIMIT_S)
    assert {"broken.lock", "broken.spool"} == {path.name for path in tmp_path.iterdir()}


def test_a_file_in_two_places_for_a_moment_is_charged_once(farebox: Farebox, server: Recording, tmp_path: Path) -> None:
    """A process that is killed after it emptied another's file, and before that is gone."""
    server.is_there = False
    meter = farebox.meter(tmp_path / "one", transport=server)
    keys = {meter.charge(merchant="m", type="t") for _ in range(5)}
    meter.close(0)
    for path in list((tmp_path / "one").iterdir()):
        (tmp_path / "one" / f"copy{path.suffix}").write_bytes(path.read_bytes())
    server.is_there = True
    with farebox.meter(tmp_path / "one", transport=server) as following:
        assert 0 == following.flush(TIME_LIMIT_S)
    assert dict.fromkeys(keys, 1) == dict(server.made)


def test_a_spool_writes_all_or_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write([("a", "{}"), ("b", "{}")], (), ())
    with pytest.raises(SpoolFailed):
        spool.write([("c", "{}"), ("d", None)], [1], ())  # type: ignore[list-item]
    assert ["a", "b"] == [charge.key for charge in spool.page(0, 10)]
    assert 2 == spool.waiting_count
    with sqlite3.connect(next(tmp_path.glob("*.spool"))) as reader:
        assert [("wal",)] == reader.execute("PRAGMA journal_mode").fetchall()
        assert [(2,)] == reader.execute("SELECT count(*) FROM waiting").fetchall()
    reader.close()
    spool.close()


def test_threads_share_transactions(farebox: Farebox, server: Recording, tmp_path: Path) -> None:
    with farebox.meter(tmp_path, transport=server) as meter, ThreadPoolExecutor(32) as threads:
        keys = list(threads.map(lambda _: meter.charge(merchant="m", type="t"), range(1_000)))
        assert 0 == meter.flush(TIME_LIMIT_S)
    assert set(keys) == set(server.made)
    assert not any(thread.name == "farebox-spool" for thread in threading.enumerate())
