"""Signals to the processes of `farebox serve`: whenever and however many come, it ends and leaves nobody behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import psutil
import pytest

from farebox.cli.serving.serve import port_problem
from tests.cli.shell import Shell

TIMEOUT_S: Final = 90


@pytest.fixture(scope="module")
def database_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that is ready; the processes do not care which."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"
    Shell(url).ok("init")
    return url


@contextmanager
def _serve(database_url: str, *, workers: int) -> Iterator[tuple["subprocess.Popen[bytes]", list[psutil.Process], int]]:
    """Start a server and go on as soon as its processes are there, long before they listen."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "farebox", "serve", "--port", str(port), "--workers", str(workers)],
        env={**os.environ, "FAREBOX_DATABASE_URL": database_url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        first = psutil.Process(process.pid)
        _await(lambda: len(first.children()) == workers)
        yield process, first.children(), port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _await(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(("delay_s", "times"), [(0, 1), (0.2, 1)])
def test_a_server_that_is_told_to_stop_while_it_starts_ends_at_once(
    database_url: str, delay_s: float, times: int
) -> None:
    with _serve(database_url, workers=1) as (process, workers, _):
        time.sleep(delay_s)
        for _ in range(times):
            for told in (psutil.Process(process.pid), *workers):
                with suppress(psutil.NoSuchProcess):
                    told.terminate()
        assert 0 == process.wait(TIMEOUT_S)
        assert not psutil.wait_procs(workers, TIMEOUT_S)[1]


def test_no_process_is_left_on_the_port_when_the_first_one_is_killed(database_url: str) -> None:
    with _serve(database_url, workers=2) as (process, workers, port):
        process.kill()
        process.wait()
        assert not psutil.wait_procs(workers, TIMEOUT_S)[1]
        assert port_problem("127.0.0.1", port) is None
