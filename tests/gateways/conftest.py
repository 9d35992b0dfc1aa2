"""A Farebox with a gate, an API that knows nothing of it, and each proxy that is installed between the two."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.gateways.programs import PROGRAMS, SECRET, Gateway, Program, takes_connections
from tests.gateways.relay import Relay
from tests.support.server import Seeds, Server, free_port, open_farebox, seed
from tests.tidy.files import ROOT

RULES: Final = """
[[route]]
method = "POST"
path = "/v1/search"
type = "image"

[[route]]
method = ["GET", "HEAD"]
path = "/v1/items/{id}"
type = "image"

[[route]]
method = "POST"
path = "/v1/held"
type = "image"
mode = "hold"
hold_for = 60

[[route]]
method = "*"
path = "/free/**"
free = true

[[route]]
method = "*"
path = "/closed/**"
refuse = true
"""
PRICE: Final = Decimal("0.01")


class Api:
    """The API, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "api.log"
        self.log.touch()
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateways.upstream", str(self.port), str(self.log)], cwd=ROOT
        )
        deadline = time.monotonic() + 30
        while not takes_connections(self.port):
            assert time.monotonic() < deadline
            assert self._process.poll() is None
            time.sleep(0.02)

    def requests(self) -> list[dict[str, Any]]:
        """Return what reached it and is over."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass
class Merchant:
    """Who asks, and what it has."""

    key: str
    url: str

    def available(self) -> Decimal:
        """Return the balance that the merchant can spend."""
        answer = httpx.get(f"{self.url}/api/balance", headers={"x-api-key": self.key}, trust_env=False)
        return Decimal(answer.json()["data"])


@dataclass
class Stand:
    """All that a test of one proxy has."""

    program: Program
    gateway: Gateway
    relay: Relay
    farebox: Server
    api: Api
    merchant: Merchant
    poor: Merchant
    frozen: Merchant

    @property
    def port(self) -> int:
        """Where clients come in."""
        return self.gateway.port


async def _prepare(url: str) -> tuple[Seeds, Seeds, Seeds]:
    async with open_farebox(url) as farebox:
        rich, poor, frozen = await seed(farebox), await seed(farebox, balance=None), await seed(farebox)
        outcome = await farebox.services.operations.set_frozen(frozen.merchant_id, is_frozen=True, principal=None)
        assert outcome.is_ok
    return rich, poor, frozen


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    api = Api(tmp_path_factory.mktemp("api"))
    yield api
    api.close()


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, tuple[Seeds, Seeds, Seeds]]]:
    """A server with a gate, and three merchants: with money, without, and frozen."""
    folder = tmp_path_factory.mktemp("farebox")
    url = f"sqlite:///{folder / 'farebox.db'}"
    seeds = asyncio.run(_prepare(url))
    (folder / "gate.toml").write_text(RULES)
    with Server(url, environment=gate_environment(folder / "gate.toml")) as server:
        yield server, seeds


def gate_environment(rules: Path) -> dict[str, str]:
    """Return the settings that a gate needs."""
    return {"FAREBOX_GATE_FILE": str(rules), "FAREBOX_GATE_SECRET": SECRET, "FAREBOX_BAD_KEYS": "0"}


@pytest.fixture(
    scope="module", params=[program for program in PROGRAMS.values() if program.is_there], ids=lambda it: it.name
)
def placed(
    request: pytest.FixtureRequest, api: Api, gated: tuple[Server, tuple[Seeds, Seeds, Seeds]]
) -> Iterator[Stand]:
    """Each proxy in turn."""
    server, seeds = gated
    with Relay(server.port) as relay, Gateway(request.param, api_port=api.port, farebox_port=relay.port) as gateway:
        rich, poor, frozen = (Merchant(seeds.merchant_key, server.url) for seeds in seeds)
        yield Stand(request.param, gateway, relay, server, api, rich, poor, frozen)


@pytest.fixture
def stand(placed: Stand) -> Stand:
    """Each proxy in turn, on a good way to the gate."""
    placed.relay.reset()
    return placed
