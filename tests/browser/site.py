"""A site to walk through: the demo's merchants with their past, people who can sign in, and a server over it all."""

import asyncio
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from playwright.async_api import Page

from farebox.bootstrap import Farebox
from farebox.cli import demo
from farebox.config import Settings
from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service import parsing
from farebox.service.people.api_keys import Principal
from farebox.storage.records import Login, Realm, Role
from tests.support import plain_http
from tests.support.destinations import add_destinations
from tests.support.server import Server, open_farebox

OWNER = "ann@northwind.example"
MEMBER = "bob@northwind.example"
VIEWER = "vera@northwind.example"
CODES = "cora@farebox.example"
"""One of the staff who has one-time codes, and counts as the one who added her."""
STRANGER = "carla@contoso.example"


@dataclass(frozen=True)
class Site:
    """A running server, and what its ledger has."""

    server: Server
    database_url: str
    merchant: str
    merchant_id: int
    other: str
    service_key: str
    support_key: str
    approval: str
    """A request that waits."""
    _destinations: dict[str, str] = field(default_factory=dict)

    @classmethod
    def serve(cls, folder: Path) -> Self:
        """Put the demo's ledger into this folder, and start a server over it."""
        content, named = _original()
        path = folder / "farebox.db"
        path.touch(mode=0o600, exist_ok=False)
        path.write_bytes(content)
        database_url = f"sqlite:///{path}"
        server = Server(database_url, environment={"FAREBOX_SUPPORT_CONTACT": "support@farebox.example"})
        server.start()
        return cls(server, database_url, **named)

    @property
    def other_id(self) -> int:
        """The number of another merchant."""
        return parsing.parse_public_id(ids.MERCHANT, self.other)

    @property
    def account(self) -> str:
        """Where the merchant's dashboard is."""
        return f"{self.server.url}/accounts/{self.merchant}"

    async def destinations(self, farebox: Farebox, **named: str) -> Mapping[str, str]:
        """Return the ids of a webhook of the merchant's, of one of the operator's, and of an event that both have.

        They are added when they are first asked for, with what else `add_destinations` takes.
        """
        if not self._destinations:
            self._destinations.update(await add_destinations(farebox, self.merchant_id, **named))
        return self._destinations

    async def sign_in(self, page: Page, email: str) -> None:
        """Sign somebody in as they do it: by the form."""
        path = "/support/sign-in" if email == demo.STAFF else "/sign-in"
        await page.goto(f"{self.server.url}{path}")
        await page.get_by_label("E-mail address").fill(email)
        await page.get_by_label("Password").fill(demo.PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(lambda url: "sign-in" not in url)

    async def hold(self, quantity: int, **more: str | int) -> str:
        """Set some of the merchant's money aside as a service does, for a week; return the hold's id."""
        body = {
            "merchant": self.merchant,
            "type": "image",
            "quantity": quantity,
            "idempotencyKey": str(uuid4()),
            "ttlSeconds": 604_800,
            **more,
        }
        async with plain_http.async_client() as client:
            answer = await client.post(
                f"{self.server.url}/api/holds", json=body, headers={"x-api-key": self.service_key}
            )
        assert answer.status_code == 200, answer.text
        hold_id: str = answer.json()["data"]["holdId"]
        return hold_id

    async def charge(self, request_type: str = "image", quantity: int = 1, **more: str) -> dict[str, str]:
        """Charge the merchant as a service does."""
        body = {
            "merchant": self.merchant,
            "type": request_type,
            "quantity": quantity,
            "idempotencyKey": str(uuid4()),
            **more,
        }
        async with plain_http.async_client() as client:
            answer = await client.post(
                f"{self.server.url}/api/charges", json=body, headers={"x-api-key": self.service_key}
            )
        assert answer.status_code == 200, answer.text
        data: dict[str, str] = answer.json()["data"]
        return data

    async def balance_status(self, key: str) -> int:
        """Ask for the balance with a key, as a merchant's program does, and return the status."""
        async with plain_http.async_client() as client:
            answer = await client.get(f"{self.server.url}/api/balance", headers={"x-api-key": key})
        return answer.status_code


@cache
def _original() -> tuple[bytes, dict[str, Any]]:
    """Write the demo's ledger once for all sites of a process, and return the file and the members of `Site` in it."""
    with tempfile.TemporaryDirectory(prefix="farebox-site-") as folder, ThreadPoolExecutor(1) as executor:
        path = Path(folder) / "farebox.db"
        # Callers have a loop of their own, in which none can be run.
        named = executor.submit(asyncio.run, _write(f"sqlite:///{path}")).result()
        assert ["farebox.db"] == [file.name for file in Path(folder).iterdir()]
        return path.read_bytes(), named


async def _write(database_url: str) -> dict[str, Any]:
    """Write the demo's ledger, people who can sign in and a request that waits, and return the members of `Site`."""
    seeded = await demo.seed(Settings.of(database_url=database_url))
    async with open_farebox(database_url) as farebox:
        merchant_id = parsing.parse_public_id(ids.MERCHANT, seeded.merchant_id)
        others = [it.merchant_id for it, _ in await farebox.services.merchants.list() if it.merchant_id != merchant_id]
        await farebox.services.merchants.add_user(merchant_id, VIEWER, role=Role.VIEWER)
        hashed = await farebox.passwords.hash(demo.PASSWORD)
        for number, email in enumerate((MEMBER, VIEWER)):
            await farebox.stores.logins.add(Login(number + 1, Realm.MERCHANT, email, email, 0, hashed))
        await farebox.stores.logins.add(
            Login(3, Realm.SUPPORT, CODES, "Cora", 0, hashed, bytes(32), roles=EVERY_ROLE, counts_as="7")
        )
        approval = await _request_approval(database_url, merchant_id)
        support = await farebox.services.merchants.create_key(KeyKind.SUPPORT, name="sam@farebox.example")
    return {
        "merchant": seeded.merchant_id,
        "merchant_id": merchant_id,
        "other": ids.public_id(ids.MERCHANT, others[0]),
        "service_key": seeded.service_key,
        "support_key": support.text,
        "approval": approval,
    }


async def _request_approval(database_url: str, merchant_id: int) -> str:
    """Ask for a top-up that needs a second person, and return the request's id."""
    farebox = Farebox.build(Settings.of(database_url=database_url, approval_above="10000"))
    async with farebox.running():
        outcome = await farebox.services.operations.top_up(
            merchant_id,
            amount="25000",
            reference="INV-2041",
            note="annual",
            principal=Principal("tess@farebox.example", roles=EVERY_ROLE),
        )
    assert outcome.approval is not None
    return outcome.approval.id
