"""A Farebox with a gate, an API that knows nothing of it, and each proxy that is installed between the two."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import pytest

from tests.gateways.parts import Api, gate_environment
from tests.gateways.programs import PROGRAMS, Gateway, Program
from tests.gateways.relay import Relay
from tests.support import plain_http
from tests.support.server import Seeds, Server, open_farebox, seed

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


@dataclass
class Merchant:
    """Who asks, and what it has."""

    key: str
    url: str

    def available(self) -> Decimal:
        """Return the balance that the merchant can spend."""
        answer = plain_http.get(f"{self.url}/api/balance", headers={"x-api-key": self.key})
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
