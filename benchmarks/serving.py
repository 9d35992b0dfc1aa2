"""Server processes to be measured, the load put on them, and what both cost in processor time."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import msgspec
import psutil
from msgspec import Struct

from benchmarks.load import ENDED, STARTED, Report

START_SECONDS_MAX: Final = 30
STOP_SECONDS_MAX: Final = 30

ROOT: Final = Path(__file__).parents[1]
_ENVIRONMENT: Final = {"FAREBOX_RATE_LIMIT": "1000000"}
"""Merchants' requests are held to a limit, as in production, and none reaches it."""
_PORT_ATTEMPTS_MAX: Final = 10
_POLL_SECONDS: Final = 0.005
_MEGABYTE: Final = 1_000_000


class ServerFailed(Exception):
    """A server did not come up, or the load generator did not end well."""


class Server(Struct, frozen=True):
    """A running server: where it listens, its first process, and how long it took to its first answer."""

    port: int
    pid: int
    start_seconds: float = 0.0


class Spent(Struct, frozen=True):
    """Processor seconds spent by a server, by its database's own processes, and by anybody on the machine."""

    server: float
    database: float
    machine: float


class Measured(Struct, frozen=True):
    """What the load generator reports, and the processor time spent meanwhile."""

    report: Report
    spent: Spent


@contextlib.contextmanager
def serving(target: str, database_url: str, *, processes: int = 1) -> Iterator[Server]:
    """Serve an application, named as module:factory, in processes of its own, in a folder of its own."""
    with running(lambda port: ["-m", "benchmarks.serve", target, str(port), str(processes)], database_url) as server:
        yield server


@contextlib.contextmanager
def running(
    arguments: Callable[[int], list[str]], database_url: str, *, python: str = sys.executable, root: Path = ROOT
) -> Iterator[Server]:
    """Run a Python program that serves the port it is given, until the end of the `with` block.

    Args:
        arguments: those of the program, by its port.
        database_url: the ledger that it serves.
        python: runs the program.
        root: the checkout whose benchmarks the program may import.
    """
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as folder:
        port = free_port()
        started = time.perf_counter()
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                [python, *arguments(port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(root),
                    "FAREBOX_DATABASE_URL": database_url,
                    **_ENVIRONMENT,
                },
                start_new_session=True,
            )
        try:
            _await_answer(process, port, Path(folder) / "log")
            yield Server(port, process.pid, time.perf_counter() - started)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            finally:
                # A worker that did not end with its parent is not left behind.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()


def put_load(order: Struct, server: Server, database_pid: int | None, *, program: str = "benchmarks.load") -> Measured:
    """Run a load generator against a server, with the order that it takes, and measure what both spend.

    Raises:
        ServerFailed: the load generator did not end well.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    with process:
        if process.stdin is None or process.stdout is None:
            raise ServerFailed("the load generator has no pipes")
        process.stdin.write(msgspec.json.encode(order).decode())
        process.stdin.close()
        _expect(process.stdout.readline(), STARTED)
        before = _spent(server, database_pid)
        _expect(process.stdout.readline(), ENDED)
        after = _spent(server, database_pid)
        report = msgspec.json.decode(process.stdout.readline(), type=Report)
    spent = Spent(after.server - before.server, after.database - before.database, after.machine - before.machine)
    return Measured(report, spent)


def resident_mb(server: Server) -> float:
    """Tell how many megabytes the largest of a server's processes has resident."""
    first = psutil.Process(server.pid)
    sizes = [0]
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes) / _MEGABYTE


def _expect(line: str, word: str) -> None:
    if line.strip() != word:
        raise ServerFailed(f"the load generator said {line!r} instead of {word!r}")


def _spent(server: Server, database_pid: int | None) -> Spent:
    machine = psutil.cpu_times()
    return Spent(
        tree_seconds(server.pid),
        0.0 if database_pid is None else tree_seconds(database_pid),
        # The share that a virtual machine is not given counts as used by others.
        sum(machine) - machine.idle - machine.iowait - machine.guest - machine.guest_nice,
    )


def tree_seconds(pid: int) -> float:
    """Sum up what a process and all below it have spent, those that have ended included."""
    first = psutil.Process(pid)
    seconds = 0.0
    for process in (first, *first.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _await_answer(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerFailed(f"the server did not come up:\n{log.read_text()[-4000:]}")
        time.sleep(_POLL_SECONDS)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    """Find a free port below those that the system gives to clients."""
    for _ in range(_PORT_ATTEMPTS_MAX):
        port = random.randint(15_000, 32_000)
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(("127.0.0.1", port))
            return port
    raise ServerFailed("no port is free")
