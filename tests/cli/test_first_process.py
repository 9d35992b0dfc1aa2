"""The first process and its workers: a worker that can not start ends the server, one that dies is replaced once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

import psutil
import pytest

from tests.cli.small_server import DIED
from tests.support import plain_http

ROOT: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 30

T = TypeVar("T")


class Small:
    """A small server that runs."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port

    def worker(self) -> int | None:
        """Return the number of the worker that answers; None if none does."""
        with suppress(Exception):
            return int(plain_http.get(f"http://127.0.0.1:{self.port}/").text)
        return None

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return its status, and its output."""
        _, output = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, output


@contextmanager
def _running(port: int, **environment: str) -> Iterator[Small]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.small_server", str(port)],
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield Small(process, port)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _awaited(look: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + TIMEOUT_S
    while (found := look()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    ("fails", "line"),
    [("start", "the server does not start: there is no database"), ("make", "ValueError: there is no such setting")],
)
def test_a_worker_that_cant_start_ends_the_server_and_says_why(free_port: int, fails: str, line: str) -> None:
    with _running(free_port, SMALL_SERVER_FAILS=fails) as server:
        status, output = server.ended()
    assert 1 == status
    assert 1 == output.count(line)
    assert "worker-1 ended by itself, with exit status 1" in output


def test_a_worker_that_is_killed_is_replaced_and_the_server_ends_well(free_port: int) -> None:
    with _running(free_port) as server:
        killed = _awaited(server.worker)
        os.kill(killed, signal.SIGKILL)
        assert killed != _awaited(server.worker)
        server.process.terminate()
        status, output = server.ended()
    assert 0 == status
    assert 1 == output.count("worker-1 ended by itself, with exit status -9")


def test_a_replacement_that_dies_at_once_ends_the_server(free_port: int, tmp_path: Path) -> None:
    with _running(free_port, SMALL_SERVER_STARTED=str(tmp_path / "started")) as server:
        os.kill(_awaited(server.worker), signal.SIGKILL)
        status, output = server.ended()
    assert 1 == status
    assert f"worker-1 ended by itself, with exit status {DIED}" in output


def test_a_worker_takes_no_notice_of_signals_that_are_for_the_first_process(free_port: int) -> None:
    """A terminal that is closed, or Ctrl-C in it, tells every process of the group."""
    with _running(free_port) as server:
        worker = _awaited(server.worker)
        for number in (signal.SIGHUP, signal.SIGINT):
            os.kill(worker, number)
        time.sleep(0.1)
        assert worker == _awaited(server.worker)
        os.killpg(server.process.pid, signal.SIGINT)
        assert (0, "") == server.ended()
        assert not psutil.pid_exists(worker)


@pytest.mark.parametrize("is_group", [False, True])
def test_a_server_that_is_told_to_stop_before_its_worker_listens_ends_well(free_port: int, is_group: bool) -> None:
    with _running(free_port, SMALL_SERVER_START_SECONDS="1") as server:
        first = psutil.Process(server.process.pid)
        (worker,) = _awaited(lambda: first.children() or None)
        if is_group:
            os.killpg(server.process.pid, signal.SIGTERM)
        else:
            server.process.terminate()
        assert (0, "") == server.ended()
        assert not psutil.pid_exists(worker.pid)
