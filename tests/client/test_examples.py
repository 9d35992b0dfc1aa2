"""The examples run as their readers run them, and charge what was delivered, also if they are killed."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.client.asgi_apps import Handled
from tests.client.books import Books
from tests.client.serving import Client
from tests.client.sites import Site
from tests.client.waiting import eventually
from tests.support import plain_http
from tests.tidy.files import ROOT

WORKER: Final = str(ROOT / "examples" / "queue_worker" / "worker.py")


SERVERS: Final = {
    "uvicorn": ("uvicorn", "--app-dir", "examples/fastapi_middleware", "--log-level", "error", "app:app"),
    "granian": (
        "granian",
        "--working-dir",
        "examples/fastapi_middleware",
        "--interface",
        "asgi",
        "--no-log",
        "app:app",
    ),
}


@contextlib.contextmanager
def application(books: Books, folder: Path, port: int, server: str = "uvicorn") -> Iterator[subprocess.Popen[bytes]]:
    """Run the FastAPI example."""
    command = [sys.executable, "-m", *SERVERS[server]]
    settings = {"FAREBOX_URL": books.url, "SERVICE_KEY": books.seeds.service_key, "SPOOL": str(folder / "spool")}
    process = subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, env={**os.environ, **settings})

    def is_up() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return plain_http.get(f"http://127.0.0.1:{port}/health").status_code == 200
        return False

    try:
        ends_at = time.monotonic() + 60
        while not is_up():
            assert process.poll() is None
            assert time.monotonic() < ends_at
            time.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.mark.parametrize("server", SERVERS)
def test_the_fastapi_example_charges(books: Books, tmp_path: Path, free_port: int, server: str) -> None:
    payer = books.payer()
    with application(books, tmp_path, free_port, server):
        site = Site(books, Handled(), free_port)
        paths = ["/v1/images/sunset", "/v1/images/nothing", "/v1/stories?pieces=3&pause=0", "/v1/reports", "/v1/other"]
        assert [200, 404, 200, 200, 404] == [site.get(path, payer.key).status_code for path in paths]
        books.assert_settled(payer, "1.516")
        with Client(free_port, "/v1/stories?pieces=1000&pause=0.05", payer.key) as client:
            client.read_until(b"the 10. time")
        eventually(lambda: books.charged(payer) > Decimal("1.516"))
        # Ten pieces were read; another two may have been on their way.
        assert 20 <= int(books.charged(payer) * 1000) - 1516 <= 24
        assert 401 == site.get("/v1/images/sunset", None).status_code
    assert [] == list((tmp_path / "spool").iterdir())


def test_what_was_delivered_before_a_kill_is_charged_by_the_next_process(
    books: Books, tmp_path: Path, free_port: int
) -> None:
    payer = books.payer()
    path = "/v1/stories?pieces=1000&pause=0.1"
    with application(books, tmp_path, free_port) as process, Client(free_port, path, payer.key) as client:
        client.read_until(b"the 25. time")
        process.kill()
        process.wait()
    assert 0 == books.charged(payer)
    with application(books, tmp_path, free_port):
        eventually(lambda: books.charged(payer) > 0)
        # The count is written down once a second.
        assert 15 * 2 <= int(books.charged(payer) * 1000) <= 27 * 2
        assert 0 == books.held(payer)


def work(books: Books, queue: Path, *arguments: str, seconds: str = "0") -> "subprocess.Popen[str]":
    settings = {"FAREBOX_URL": books.url, "SERVICE_KEY": books.seeds.service_key, "JOB_SECONDS": seconds}
    return subprocess.Popen(
        [sys.executable, WORKER, str(queue), *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_worker_charges_each_job_once_though_it_is_killed(books: Books, tmp_path: Path) -> None:
    payer, poor, queue = books.payer(), books.payer(None), tmp_path / "jobs.db"
    for merchant, images in ((payer.id, "1"), (payer.id, "2"), (poor.id, "1"), (payer.id, "3")):
        work(books, queue, "add", merchant, images).communicate()
    for _ in range(3):
        killed = work(books, queue, "work", seconds="0.5")
        time.sleep(1.2)
        killed.kill()
        killed.communicate()
    told, _ = work(books, queue, "work").communicate()
    states = [line.split(" ", 4)[4] for line in told.splitlines()]
    assert ["done", "done", "refused: insufficient_balance", "done"] == states
    assert "0.06" == str(books.charged(payer))[:4]


def test_the_code_of_the_how_to_runs(books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "how-to" / "charge-from-your-service.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert 2 == len(blocks)
    monkeypatch.setenv("FAREBOX_URL", books.url)
    monkeypatch.setenv("SERVICE_KEY", books.seeds.service_key)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block.replace("/var/lib/my-api/farebox", str(tmp_path)), names)
    assert {"/v1/chat", "/v1/images"} <= {route.path for route in names["app"].routes}
