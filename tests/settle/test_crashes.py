"""After kills of settler and server at any moment the ledger is as the lines say, and each line was applied once."""

import asyncio
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from farebox.service.gate.tokens import Mode
from farebox.service.operator.verifier import LedgerFault, Verifier
from tests.settle.site import Site, nginx, open_site, stop
from tests.settle.test_rotation import copy_and_cut, rename
from tests.support.server import open_farebox

REQUESTS: Final = 140
KILLS: Final = 6


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path / "site") as made:
        yield made


def _line(site: Site, chance: random.Random) -> str:
    """Ask the gate, and write the line of how it ended."""
    asked = site.ask(chance.choice([Mode.HOLD, Mode.CHARGE]), ttl=chance.choice([1, 900, 900]))
    status, upstream, sent = chance.choice(
        [
            (200, "200", "80"),
            (200, "200", "80"),
            (404, "404", "80"),
            (500, "500", "80"),
            (504, "504", "80"),
            (502, "502", "0"),
            (499, "-", "80"),
            (499, "-", "0"),
        ]
    )
    return nginx(asked, status, upstream=upstream, sent=sent)


def _kill_now_and_then(
    site: Site, running: list[subprocess.Popen[bytes]], states: list[Path], chance: random.Random
) -> None:
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.1, 1.5))
        victim = chance.choice([0, 1, 2])
        if victim == len(running):
            site.server.kill()
            time.sleep(chance.uniform(0, 0.5))
            site.server.start()
        else:
            running[victim].send_signal(signal.SIGKILL)
            running[victim].communicate()
            running[victim] = site.start(state=states[victim])


def _ended(process: subprocess.Popen[bytes]) -> str:
    """End a settler, and return what it printed."""
    process.send_signal(signal.SIGTERM)
    return process.communicate(timeout=60)[0].decode()


@pytest.mark.parametrize("seed", range(2))
def test_kills_at_any_moment_change_nothing_in_the_end(site: Site, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    lines = [_line(site, chance) for _ in range(REQUESTS)]
    # Some lines are written twice, and some of those that are nobody's among them.
    log = [line for line in lines for _ in range(chance.choice([1, 1, 1, 2]))] + ["garbage", nginx("-")] * 5
    chance.shuffle(log)
    written = threading.Event()

    def write() -> None:
        mine = random.Random(seed)
        for number, line in enumerate(log):
            site.write(line)
            if number % 40 == 39:
                mine.choice([rename, copy_and_cut])(site.log)
            time.sleep(0.02)
        written.set()

    # Two settlers read the same log; both are killed now and then, and so is the server.
    states = [tmp_path / "one.db", tmp_path / "two.db"]
    site.log.touch()
    for state in states:
        # Lines that were rotated away before a settler knew of the log are none of its.
        site.settle(state=state)
    writer = threading.Thread(target=write)
    writer.start()
    running = [site.start(state=state) for state in states]
    try:
        _kill_now_and_then(site, running, states, chance)
        writer.join()
        assert written.is_set()
        site.wait_until_settled()
    finally:
        printed = [_ended(process) for process in running]
    # One that has just been started is ended by the signal itself.
    assert {process.returncode for process in running} <= {0, -signal.SIGTERM}, printed
    for state in states:
        # The lines that are left to read have been settled before.
        counts = site.settle(state=state)
        assert (0, 0, 0, 0) == tuple(counts[name] for name in ("captured", "released", "refunded", "late"))
    assert site.model() == site.ledger()
    transfers = site.read("/api/transfers?limit=1000")["transfers"]
    given_back = [transfer["refersTo"] for transfer in transfers if transfer["kind"] == "refund"]
    assert len(given_back) == len(set(given_back))
    assert {asked.subject for asked in site.asked if asked.mode is Mode.CHARGE and not asked.is_paid} == set(given_back)
    assert [] == asyncio.run(_faults(site))


async def _faults(site: Site) -> list[LedgerFault]:
    async with open_farebox(f"sqlite:///{site.folder / 'farebox.db'}") as farebox:
        return [fault async for fault in Verifier(farebox.stores.connector).faults(None)]


def test_a_settler_that_is_told_to_stop_keeps_its_position(site: Site) -> None:
    site.write(*(nginx(site.ask()) for _ in range(100)))
    with site.following() as process:
        deadline = time.monotonic() + 30
        while site.ledger()["held"] == site.model()["held"] + 1:
            assert time.monotonic() < deadline
        printed = stop(process)
    assert printed.splitlines()[-1].startswith("applied ")
    counts = site.settle()
    assert 0 == counts["repeated"]
    assert site.model() == site.ledger()
