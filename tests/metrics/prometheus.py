"""A real Prometheus that scrapes a real server under load, and the dashboard's queries as it would ask them."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct

from farebox.storage.records import Verification
from tests.support import plain_http
from tests.support.debian import find_program
from tests.support.server import Seeds, Server, open_farebox, seed

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "deploy" / "prometheus"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "farebox.json"
START_TIMEOUT_S: Final = 60
SCRAPE: Final = "1s"
RATE_INTERVAL: Final = "15s"


class Panel(Struct, frozen=True):
    """A panel of the dashboard: its queries, each with what its lines are called."""

    title: str
    kind: str
    unit: str
    queries: list[tuple[str, str]]


def promtool() -> str:
    return find_program(["promtool"], packages=["prometheus"], variable="FAREBOX_TEST_PROMTOOL")


def panels() -> list[Panel]:
    """List the dashboard's panels, with its variables filled in."""
    return [
        Panel(
            panel["title"],
            panel["type"],
            panel["fieldConfig"]["defaults"]["unit"],
            [
                (
                    target["expr"].replace("$instance", ".+").replace("$__rate_interval", RATE_INTERVAL),
                    target["legendFormat"],
                )
                for target in panel["targets"]
            ],
        )
        for panel in json.loads(DASHBOARD.read_text())["panels"]
    ]


@contextmanager
def prometheus(targets: list[str], folder: Path, port: int) -> Iterator[str]:
    """Run a Prometheus that scrapes these every second and goes by the rules; yield its URL."""
    program = find_program(["prometheus"], packages=["prometheus"], variable="FAREBOX_TEST_PROMETHEUS")
    for rules in RULES.glob("*.yml"):
        # Rates over minutes would say nothing of a run of seconds.
        (folder / rules.name).write_text(rules.read_text())
    config = {
        "global": {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": [rules.name for rules in RULES.glob("*.yml")],
        "scrape_configs": [{"job_name": "farebox", "static_configs": [{"targets": targets}]}],
    }
    # Any JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    url = f"http://127.0.0.1:{port}"
    arguments = (
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        try:
            _await_ready(url, folder / "prometheus.log")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _await_ready(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if plain_http.get(f"{url}/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def ask(url: str, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Ask Prometheus, and return the result."""
    answer = plain_http.get(f"{url}/api/v1/{path}", params=parameters, timeout=30).json()
    assert "success" == answer["status"], answer
    data: dict[str, Any] = answer["data"]
    result: list[dict[str, Any]] = data["result"] if "result" in data else data["groups"]
    return result


async def prepare(database_url: str) -> Seeds:
    """Make a ledger with money, and with a verification that has ended."""
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox, balance="2")
        now = farebox.clock.now()
        await farebox.stores.verifications.begin(Verification(1, "cron", now, now, now, 1, 1, 1, 0, None))
    return seeds


def put_load(server: Server, seeds: Seeds, seconds: float) -> None:
    """Charge and hold for so long; some charges are refused from the start, most once the money is gone."""
    deadline, number = time.monotonic() + seconds, 0
    with plain_http.client(base_url=server.url, headers={"x-api-key": seeds.service_key}, timeout=30) as client:
        while time.monotonic() < deadline:
            number += 1
            request_type = "image" if number % 5 else "unknown"
            body = {"merchant": seeds.merchant, "type": request_type, "quantity": 1, "idempotencyKey": f"k{number}"}
            client.post("/api/charges" if number % 7 else "/api/holds", json=body)
            if number % 20 == 0:
                client.get("/api/balance", headers={"x-api-key": seeds.merchant_key})
            time.sleep(0.02)


@contextmanager
def observed(folder: Path, metrics_port: int, port: int, *, seconds: float) -> Iterator[str]:
    """Run a server under load for so long, and the Prometheus that watches it; yield the latter's URL."""
    database_url = f"sqlite:///{folder / 'farebox.db'}"
    seeds = asyncio.run(prepare(database_url))
    address = f"127.0.0.1:{metrics_port}"
    with (
        Server(database_url, workers=2, environment={"FAREBOX_METRICS_ADDRESS": address}) as server,
        prometheus([address], folder, port) as url,
    ):
        put_load(server, seeds, seconds)
        yield url
