"""A server is followed by another one under load: no request fails, whichever connection it comes on."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.e2e.restarts import Succeeded, await_end, restart_under_load
from tests.support import plain_http
from tests.support.kept import KeptClient
from tests.support.server import Server, open_farebox, seeded, start_guard

RESTARTS: Final = 2
IMAGE_MICROS: Final = 10_000
PAID_MICROS: Final = 1_000_000_000_000
TIMEOUT_S: Final = 60

_AS_A_SERVICE_MANAGER: Final = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "farebox", "serve", *sys.argv[2:]])
"""
"""Runs `farebox serve` as systemd does for a service that has a socket unit."""


async def test_no_request_fails_while_servers_follow_one_another(database_url: str) -> None:
    clients = await restart_under_load(database_url, restarts=RESTARTS, workers=2)
    assert ([], {200}) == (clients.lost, set(clients.answers))
    async with open_farebox(database_url) as farebox:
        account = await farebox.stores.accounts.find(clients.seeds.merchant_id)
        assert account is not None
        assert (PAID_MICROS - clients.charged * IMAGE_MICROS, 0) == (account.wallet, account.held)


@contextmanager
def _manager(path: Path) -> Iterator[socket.socket]:
    """Listen as systemd does for what a service tells of itself."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(TIMEOUT_S)
        yield manager


async def test_a_connection_that_was_idle_meanwhile_is_answered_by_the_server_before_and_told_to_close(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = await asyncio.to_thread(seeded, url)
    with (
        _manager(tmp_path / "notify") as manager,
        Succeeded(url, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as server,
    ):
        client = KeptClient(server.port, seeds.merchant_key)
        assert "connection" not in (await client.send("GET", "/api/balance"))[1]
        before = await asyncio.to_thread(server.hand_over)
        assert server.first is not None
        # Others are answered by the new one, which keeps their connections.
        other = KeptClient(server.port, seeds.merchant_key)
        assert before.is_running()
        assert "connection" not in (await other.send("GET", "/api/balance"))[1]
        status, headers, _ = await client.send("GET", "/api/balance")
        assert (200, "close") == (status, headers["connection"])
        await asyncio.to_thread(await_end, before)
        await other.close()
        await asyncio.to_thread(server.end)
        # Each of them tells that it listens; which is the main one now; and that the last one stops.
        told = {manager.recv(100).decode() for _ in range(4)}
        assert {"READY=1", f"MAINPID={server.first.pid}", "STOPPING=1"} == told


def test_a_server_goes_on_if_its_successor_does_not_start(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeded(url)
    with Server(url, folder=tmp_path) as server:
        (tmp_path / "farebox.toml").write_text('langauge = "de"')
        first = server.first_process()
        workers = first.children()
        first.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + TIMEOUT_S
        while "did not start, this server goes on" not in server.log():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "langauge is no setting; did you mean language?" in server.log()
        assert 200 == plain_http.get(f"{server.url}/healthz").status_code
        assert workers == first.children()
        assert 0 == server.stop()


@contextmanager
def _serve_on(listening: socket.socket, folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", _AS_A_SERVICE_MANAGER, str(listening.fileno()), *arguments],
        env={**os.environ, "FAREBOX_DATABASE_URL": f"sqlite:///{folder / 'farebox.db'}"},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        pass_fds=[listening.fileno()],
        start_new_session=True,
    )
    guard = start_guard(process)
    try:
        yield process
    finally:
        guard.communicate()
        process.wait()


def test_requests_wait_in_a_socket_of_the_service_manager_while_no_server_is_there(tmp_path: Path) -> None:
    seeds = seeded(f"sqlite:///{tmp_path / 'farebox.db'}")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        request = httpx.Request("GET", f"{url}/api/balance", headers={"X-Api-Key": seeds.merchant_key})
        for _ in range(2):
            # The first one finds no server yet, the second one none any more.
            with _serve_on(listening, tmp_path, "--drain-seconds", "20") as process:
                # A server that stops waits for what is still connected.
                with closing(plain_http.client(timeout=TIMEOUT_S)) as client:
                    assert 200 == client.send(request).status_code
                    process.terminate()
                    # A request on a kept connection is still for this server, or for the next one on a new connection.
                    assert 200 == client.send(request).status_code
                assert 0 == process.wait(TIMEOUT_S)


def test_each_worker_holds_the_sockets_that_it_accepts_on_and_no_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    workers = 3
    seeded(url)
    with Server(url, workers=workers) as server:
        first = server.first_process()

        def held() -> list[int]:
            return [
                sum(each.status == psutil.CONN_LISTEN for each in process.net_connections())
                for process in (first, *first.children())
            ]

        deadline = time.monotonic() + TIMEOUT_S
        while held() != [workers, *[1] * workers]:
            assert time.monotonic() < deadline, held()
            time.sleep(0.05)
