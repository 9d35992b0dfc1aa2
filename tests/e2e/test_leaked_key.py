"""A key leaks: owners and support are mailed in time, by real servers, and the mail's button ends it.

The server's clock goes ten times as fast, so that minutes of spending take seconds.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import httpx

from farebox.bootstrap import Farebox
from farebox.core.alerts import AlertKind
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import StaffRole
from farebox.service.operator.merchants import NewKey
from farebox.storage.records import Login, Realm, Role, SpendingPeak
from tests.alerts.mailserver import MailServer, until
from tests.alerts.test_messages import html_of, text_of
from tests.support.server import Seeds, Server, open_farebox, seed

ROOT: Final = Path(__file__).parents[2]
DAY: Final = 86_400_000_000
BOUND_MICROS: Final = 300_000_000
"""Within which unusual spending is told."""

IMAGE_MICROS: Final = 10_000
PAUSE_SECONDS: Final = 0.5
"""Between batches: five seconds by the server's clock."""

USUAL: Final = 60
"""How many images the merchant asks for in five minutes: one a batch. The leak asks for ten times as many."""

OWNER: Final = "owner@shop.example"
SUPPORT: Final = "support@farebox.example"
COOKIES: Final = {OWNER: "farebox", SUPPORT: "farebox-support"}


@dataclass
class Shop:
    """A merchant that spends as it always did, and the one who has found its other key."""

    client: httpx.AsyncClient
    seeds: Seeds
    till: NewKey
    leaked: NewKey
    sessions: dict[str, str]
    is_leaking: bool = False
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    _count: int = 0

    async def charge(self, *keys: NewKey) -> list[dict[str, Any]]:
        """Charge an image to each of these keys, and return what became of it."""
        charges = []
        for key in keys:
            self._count += 1
            charges.append(
                {"merchant": key.text, "type": "image", "quantity": 1, "idempotencyKey": f"job-{self._count}"}
            )
        reply = await self.client.post(
            "/api/charges/batch", headers={"x-api-key": self.seeds.service_key}, json={"charges": charges}
        )
        assert 200 == reply.status_code, reply.text
        outcomes: list[dict[str, Any]] = reply.json()["data"]["outcomes"]
        return outcomes

    async def go_on(self) -> None:
        """Charge again and again."""
        while True:
            keys = [self.till, *[self.leaked] * (10 if self.is_leaking else 0)]
            self.outcomes += await self.charge(*keys)
            await asyncio.sleep(PAUSE_SECONDS)

    async def page(self, who: str, url: str) -> httpx.Response:
        return await self.client.get(url, headers={"cookie": f"{COOKIES[who]}={self.sessions[who]}"})

    async def press(self, who: str, url: str) -> httpx.Response:
        """Press the one button of a page."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', (await self.page(who, url)).text)
        assert token is not None
        return await self.client.post(
            url, headers={"cookie": f"{COOKIES[who]}={self.sessions[who]}"}, data={"csrf_token": token[1]}
        )


async def _session(farebox: Farebox, number: int, realm: Realm, email: str) -> str:
    """Let somebody be signed in, and return their session's token."""
    roles = StaffRole.SUPPORT if realm == Realm.SUPPORT else 0
    login = Login(number, realm, email, email, farebox.clock.now(), "no password", roles=roles)
    await farebox.stores.logins.add(login)
    return (await farebox.services.sign_in.begin(login, farebox.clock.now(), address=None, agent="a test")).token


@asynccontextmanager
async def leaking_shop(farebox: Farebox, server: Server) -> AsyncIterator[Shop]:
    """A merchant with a profile, which charges as it always did, beside a server that runs already."""
    seeds, merchants = await seed(farebox, balance="1000"), farebox.services.merchants
    till, leaked = [
        await merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id, name=name)
        for name in ("till 3", "forgotten")
    ]
    await merchants.add_user(seeds.merchant_id, OWNER, role=Role.OWNER)
    today = farebox.clock.now() // DAY
    peaks = [SpendingPeak(seeds.merchant_id, day, USUAL * IMAGE_MICROS) for day in range(today - 20, today)]
    await farebox.stores.spending.put_peaks(peaks, keep_days=56)
    sessions = {
        OWNER: await _session(farebox, 1, Realm.MERCHANT, OWNER),
        SUPPORT: await _session(farebox, 2, Realm.SUPPORT, SUPPORT),
    }
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        shop = Shop(client, seeds, till, leaked, sessions)
        going = asyncio.create_task(shop.go_on())
        try:
            yield shop
        finally:
            going.cancel()
            await asyncio.wait([going])


async def test_owner_and_support_are_mailed_in_time_and_the_button_ends_it(database_url: str) -> None:
    mail_server = MailServer()
    await mail_server.start()
    environment = {"PYTHONPATH": str(ROOT), "FAREBOX_SMTP_URL": mail_server.url}

    def mailed() -> dict[str, EmailMessage]:
        return {
            str(message["To"]): message for message in mail_server.messages if "spends far more" in message["Subject"]
        }

    try:
        async with open_farebox(database_url) as farebox:
            with Server(database_url, program="tests.e2e.hurried_server", environment=environment) as server:
                async with leaking_shop(farebox, server) as shop:
                    await asyncio.sleep(6 * PAUSE_SECONDS)
                    assert {} == mailed()
                    shop.is_leaking = True
                    await until(lambda: {OWNER, SUPPORT} <= mailed().keys())
                    await _ended_by_the_button(shop, server, mailed())
                await _told_in_time(farebox, shop)
    finally:
        await mail_server.stop()


async def _ended_by_the_button(shop: Shop, server: Server, mails: dict[str, EmailMessage]) -> None:
    hint = shop.leaked.key.hint
    links = {}
    for who in (OWNER, SUPPORT):
        assert f": the key {hint} spends far more than is usual" in mails[who]["Subject"]
        (links[who],) = set(re.findall(rf"{server.url}/\S+/suspend", text_of(mails[who])))
        assert f'href="{links[who]}"' in html_of(mails[who])
        assert f"Suspend the key {hint}?" in (await shop.page(who, links[who])).text
        # Without a session the button leads to the page to sign in.
        assert 303 == (await shop.client.get(links[who])).status_code
    assert all(outcome["statusCode"] == 200 for outcome in shop.outcomes)
    assert 303 == (await shop.press(OWNER, links[OWNER])).status_code
    refused, accepted = await shop.charge(shop.leaked, shop.till)
    assert (404, "merchant_not_found") == (refused["statusCode"], refused["errorCode"])
    assert 200 == accepted["statusCode"]


async def _told_in_time(farebox: Farebox, shop: Shop) -> None:
    """Compare when it was told with the first charge of the leak, both by the server's clock."""
    merchant_id = shop.seeds.merchant_id
    alerts = await farebox.stores.deliveries.alerts(merchant_id, 9)
    (alert,) = [alert for alert in alerts if alert.kind == AlertKind.UNUSUAL_SPENDING]
    assert shop.leaked.key.key_id == alert.read_facts["key_id"]
    rows = await farebox.stores.connector.fetch(
        "SELECT min(committed_at) FROM transfer WHERE merchant_id = $1 AND key_id = $2",
        *(merchant_id, shop.leaked.key.key_id),
    )
    assert 0 < alert.fired_at - rows[0][0] <= BOUND_MICROS
