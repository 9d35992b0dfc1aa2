"""A real Farebox for tests of the client, and what its books say of a merchant."""

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tests.cli.shell import Shell
from tests.support import plain_http
from tests.support.server import Seeds, Server, seeded

CHAT: Final = {"lines": [{"name": "input", "amount": "0.001"}, {"name": "output", "amount": "0.002"}]}
"""The price of the type `chat`; an `image` costs 0.01, and a `call` what is named."""

_SETTLED_WITHIN_S: Final = 20


@dataclass(frozen=True)
class Payer:
    """A merchant of its own for a test."""

    id: str
    key: str
    key_id: str


class Books:
    """A server, its operator, and what is in its books."""

    def __init__(self, server: Server, seeds: Seeds) -> None:
        self.server = server
        self.seeds = seeds

    @property
    def url(self) -> str:
        return self.server.url

    def ask(self, method: str, path: str, key: str | None = None, **members: Any) -> Any:
        """Ask the API, as support unless a key is named, and return the answer's data."""
        answer = plain_http.request(
            method,
            f"{self.url}{path}",
            headers={"x-api-key": key or self.seeds.support_key, "idempotency-key": secrets.token_hex(8)},
            json=members if method != "GET" else None,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def payer(self, balance: str | None = "100.00") -> Payer:
        """Add a merchant with money."""
        made = self.ask("POST", "/api/admin/merchants", name="Northwind", currency="USD")
        merchant, key = made["merchantId"], made["apiKey"]
        if balance is not None:
            self.ask("POST", f"/api/admin/merchants/{merchant}/topups", amount=balance, reference="INV-1")
        (listed,) = self.ask("GET", f"/api/admin/merchants/{merchant}/keys")["keys"]
        return Payer(merchant, key, listed["keyId"])

    def transfers(self, payer: Payer) -> list[dict[str, Any]]:
        """Read a merchant's statement, oldest first."""
        found: list[dict[str, Any]] = self.ask("GET", "/api/transfers?limit=1000", payer.key)["transfers"]
        return found[::-1]

    def charged(self, payer: Payer) -> Decimal:
        """Sum up what was charged and captured, without what went back."""
        signs = {"charge": 1, "capture": 1, "refund": -1}
        return sum((signs.get(each["kind"], 0) * Decimal(each["amount"]) for each in self.transfers(payer)), Decimal(0))

    def held(self, payer: Payer) -> Decimal:
        return Decimal(self.ask("GET", "/api/account", payer.key)["held"])

    def assert_settled(self, payer: Payer, charged: str) -> None:
        """Wait until nothing is held, and compare what was charged."""
        ends_at = time.monotonic() + _SETTLED_WITHIN_S
        while (state := (self.charged(payer), self.held(payer))) != (Decimal(charged), Decimal(0)):
            assert time.monotonic() < ends_at, f"charged {state[0]} and held {state[1]}, not {charged}"
            time.sleep(0.05)


@contextlib.contextmanager
def open_books(database_url: str) -> Iterator[Books]:
    """Serve a new ledger; when it ends, every book is replayed."""
    seeds = seeded(database_url)
    with Server(database_url) as server:
        books = Books(server, seeds)
        books.ask("POST", "/api/admin/prices", type="chat", rule=CHAT)
        yield books
        Shell(database_url).ok("verify")
