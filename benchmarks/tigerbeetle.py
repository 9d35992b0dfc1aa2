"""TigerBeetle beside Farebox, where `TIGERBEETLE` names its server and its Python client is installed.

It is driven from Python, as Farebox's load is: each charge is a transfer from a merchant's account, which must not be
overdrawn, to one that no other merchant shares. One replica, which answers when its own disk has it. It looks up no key
or price, and keeps no text, alert or hash of a charge.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.ledgers import WrongLedger
from benchmarks.over_http import BATCH_CHARGES, TIGERBEETLE, WARM_UP_PART, Case, Subject
from benchmarks.report import progress
from benchmarks.serving import ROOT, Measured, Server, ServerFailed, free_port, put_load
from benchmarks.tigerbeetle_orders import Fill, Load, Order, Sum
from benchmarks.workload import FUNDS_MICROS, PRICES, Population, choices
from farebox.core.money import format_amount
from farebox.service.parsing import parse_amount

TIGERBEETLE_VARIABLE: Final = "TIGERBEETLE"
"""The variable of the environment that names the server's program."""

_PROGRAM: Final = "benchmarks.tigerbeetle_client"
_VERSION: Final = re.compile(r"version (\d+\.\d+\.\d+)")
_START_SECONDS_MAX: Final = 60
_STOP_SECONDS_MAX: Final = 30
_POLL_SECONDS: Final = 0.01
_OUTPUT_CHARS_MAX: Final = 2_000


class TigerbeetleUnusable(Exception):
    """What `TIGERBEETLE` names is no server, or its client is not installed."""


class TigerbeetleProgram(Struct, frozen=True):
    """The server's program, and its version, as 0.17.8."""

    path: str
    version: str


class TigerbeetleSubject(Subject):
    """A server of TigerBeetle under measurement, with accounts for a population's merchants by their places."""

    def put(self, case: Case, seconds: float, *, charges_per_second: float = 0.0) -> Measured:
        """Charge as the case says; its connections are callers of one client."""
        chosen = choices(len(self.population.members), case.variant)
        codes = {name: code for code, name in enumerate(PRICES, 1)}
        is_batch = case.what == "batch"
        order = Load(
            address=_address(self.server),
            seconds=seconds,
            warm_up_seconds=seconds * WARM_UP_PART,
            callers=case.connections,
            batch=BATCH_CHARGES if is_batch else 1,
            charges=[
                (it.place + 1, parse_amount(PRICES[it.request_type]), codes[it.request_type]) for it in chosen.distinct
            ],
            sequence=chosen.sequence,
            has_random_ids=is_batch and case.variant == "spread",
        )
        return put_load(order, self.server, None, program=_PROGRAM)


def find_tigerbeetle() -> TigerbeetleProgram | None:
    """Find the server that `TIGERBEETLE` names, and make sure of its client; None if it names nothing.

    Raises:
        TigerbeetleUnusable: it names no program, or one that is no TigerBeetle, or the client is not installed.
    """
    named = os.environ.get(TIGERBEETLE_VARIABLE)
    if not named:
        return None
    path = shutil.which(named)
    if path is None:
        raise TigerbeetleUnusable(
            f"{TIGERBEETLE_VARIABLE} is {named}, where no program is: give the path of TigerBeetle's server"
        )
    found = _VERSION.search(subprocess.run([path, "version"], capture_output=True, text=True, check=False).stdout)
    if found is None:
        raise TigerbeetleUnusable(f"{TIGERBEETLE_VARIABLE} is {named}, which does not tell a version of TigerBeetle")
    if importlib.util.find_spec("tigerbeetle") is None:
        raise TigerbeetleUnusable(
            f"{TIGERBEETLE_VARIABLE} is {named}, and its Python client is not installed beside Farebox: "
            f"{sys.executable} -m pip install tigerbeetle=={found[1]}"
        )
    return TigerbeetleProgram(path, found[1])


@contextlib.contextmanager
def serving_tigerbeetle(
    program: TigerbeetleProgram, population: Population, folder: Path
) -> Iterator[TigerbeetleSubject]:
    """Serve a new ledger with the population's merchants, its file below `folder`; what clients were told is verified.

    Raises:
        ServerFailed: the server did not come up, or did not take the accounts.
        WrongLedger: in the end, other sums were debited than clients were told.
    """
    with tempfile.TemporaryDirectory(prefix="farebox-bench-", dir=folder) as own:
        with _running(program, Path(own)) as server:
            subject = TigerbeetleSubject(TIGERBEETLE, server, population, whats=frozenset({"charge", "batch"}))
            merchants = len(population.members)
            progress(f"seeding TigerBeetle {program.version}")
            _ask(Fill(_address(server), merchants, FUNDS_MICROS))
            yield subject
            debited = _ask(Sum(_address(server), merchants))
        if debited != subject.acknowledged.micros:
            raise WrongLedger(
                f"TigerBeetle debited {format_amount(debited)}, "
                f"clients were told of {format_amount(subject.acknowledged.micros)}"
            )


@contextlib.contextmanager
def _running(program: TigerbeetleProgram, folder: Path) -> Iterator[Server]:
    file = folder / "0_0.tigerbeetle"
    _format(program, file)
    port = free_port()
    log = folder / "log"
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program.path, "start", f"--addresses=127.0.0.1:{port}", file],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while not _listens(port):
            if process.poll() is not None or time.perf_counter() - started > _START_SECONDS_MAX:
                raise ServerFailed(f"TigerBeetle did not come up:\n{log.read_text()[-_OUTPUT_CHARS_MAX:]}")
            time.sleep(_POLL_SECONDS)
        yield Server(port, process.pid, time.perf_counter() - started)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS_MAX)
        finally:
            process.kill()
            process.wait()


def _format(program: TigerbeetleProgram, file: Path) -> None:
    done = subprocess.run(
        [program.path, "format", "--cluster=0", "--replica=0", "--replica-count=1", file],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServerFailed(f"TigerBeetle made no ledger:\n{done.stderr[-_OUTPUT_CHARS_MAX:]}")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _address(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


def _ask(order: Order) -> int:
    """Have the client do something, and return the number that it answers with."""
    done = subprocess.run(
        [sys.executable, "-m", _PROGRAM], input=msgspec.json.encode(order), cwd=ROOT, capture_output=True, check=False
    )
    if done.returncode:
        raise ServerFailed(f"TigerBeetle's client failed:\n{done.stderr.decode()[-_OUTPUT_CHARS_MAX:]}")
    return int(done.stdout)
