"""The example of an API that knows nothing of money, behind nginx and Caddy."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from tests.gateways.asking import ask
from tests.gateways.conftest import Merchant
from tests.gateways.load import statement_of
from tests.gateways.parts import gate_environment
from tests.gateways.programs import EXAMPLES, PROGRAMS, Gateway, takes_connections
from tests.gateways.settling import Settler
from tests.support.server import Server, free_port, seeded

PRICE: Final = Decimal("0.01")


@dataclass
class Example:
    """What the example's commands start."""

    gateway: Gateway
    merchant: Merchant
    settler: Settler


@pytest.fixture(params=["nginx", "caddy"])
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Example]:
    """The example with this proxy."""
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    seeds = seeded(url, balance="10")
    port = free_port()
    api = subprocess.Popen([sys.executable, str(EXAMPLES / "api.py"), str(port)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not takes_connections(port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with (
            Server(url, environment=gate_environment(EXAMPLES / "gate.toml")) as farebox,
            Gateway(PROGRAMS[request.param], api_port=port, farebox_port=farebox.port) as gateway,
        ):
            settler = Settler(farebox.url, seeds.service_key, gateway.access_log, tmp_path / "settle.db")
            yield Example(gateway, Merchant(seeds.merchant_key, farebox.url), settler)
    finally:
        api.kill()
        api.wait()


def test_an_api_is_paid_for_that_knows_nothing_of_money(example: Example) -> None:
    port, merchant = example.gateway.port, example.merchant
    assert ask(port, "/health", method="GET").status == 200
    paid = ask(port, "/v1/images", key=merchant.key, body=b"{}")
    assert (paid.status, paid.told["took"]) == (200, 2)
    assert paid.told["merchant"].startswith("mer_")
    assert ask(port, "/v1/images", body=b"{}").status == 401
    assert ask(port, "/v1/images/7", method="GET", key=merchant.key).told["transfer"] == "-"
    assert ask(port, "/v1/broken", key=merchant.key).status == 500
    assert ask(port, "/v1/else", key=merchant.key).status == 404
    assert merchant.available() == 10 - 2 * PRICE

    assert "refunded 1" in example.settler.finish()
    assert merchant.available() == 10 - PRICE
    statement = asyncio.run(statement_of(merchant.url, merchant.key))
    assert ["top_up", "charge", "charge", "refund"] == [item["kind"] for item in statement]
    assert paid.told["transfer"] in {item["transferId"] for item in statement}


def test_the_folder_says_what_is_in_it() -> None:
    told = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}/`" in told for name in PROGRAMS)
