"""A leak from its first request to its end: charges, the alert within five minutes, its mail, and the suspended key."""

import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.mail import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.relay import Relay
from farebox.alerts.transport import FolderTransport
from farebox.bootstrap import Farebox
from farebox.core.alerts import AlertKind
from farebox.core.commands import KeyKind
from farebox.service.insight.forecast import RunwayReader
from farebox.service.operator.merchants import NewKey
from farebox.service.operator.spending_watch import LOOK_SECONDS
from farebox.service.people.users import Realm, Role
from farebox.storage.records import SpendingPeak
from tests.support.app_client import AppClient, open_client
from tests.support.clock import at
from tests.support.ledger import SECOND
from tests.support.server import Seeds, open_farebox, seed
from tests.web.console.visitor import Visitor

DAY: Final = 24 * 3600 * SECOND
USUAL: Final = 600_000
"""What the merchant spends at most in five minutes of a day, in micros: sixty images."""


class Shop:
    """A merchant with a key that will leak, its owner and a member, and one of the staff who moves money."""

    def __init__(self, farebox: Farebox, client: AppClient, seeds: Seeds, key: NewKey, **visitors: Visitor) -> None:
        self.farebox = farebox
        self.client = client
        self.seeds = seeds
        self.key = key
        self.owner, self.member, self.sam = visitors["owner"], visitors["member"], visitors["sam"]
        self.url = f"/accounts/{seeds.merchant}"
        self.now = farebox.clock.now()
        self._count = 0

    async def charge(self, images: int) -> int:
        """Charge the key for so many images at once, and return the status of the last one."""
        charges: list[dict[str, Any]] = []
        for _ in range(images):
            self._count += 1
            name = f"charge-{self._count}"
            charges.append({"merchant": self.key.text, "type": "image", "quantity": 1, "idempotencyKey": name})
        reply = await self.client.post("/api/charges/batch", self.seeds.service_key, {"charges": charges})
        status: int = reply.data["outcomes"][-1]["statusCode"]
        return status

    async def spend(self, seconds: float, images: int) -> None:
        """Charge again and again, and let the server look as often as it does."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.now += round(LOOK_SECONDS * SECOND)
            with at(self.farebox, self.now):
                await self.charge(images)
                await self.farebox.spending_watch.look()

    async def mails(self, folder: Path) -> list[EmailMessage]:
        """Have what is owed mailed into a folder, and read it."""
        farebox = self.farebox
        stores, clock = farebox.stores, farebox.clock
        relay = Relay(FolderTransport(folder), stores.mail_servers, clock, server="folder", connections_max=1)
        runways = RunwayReader(stores, clock)
        settings = MailSettings("alerts@northwind.example", "https://pay.example", "help@northwind.example")
        with at(farebox, self.now):
            dispatcher = Dispatcher(Outbox(stores, runways, settings, farebox.services.unsubscribing), relay, clock)
            for _ in range(3):
                await dispatcher.run_once()
        texts = [path.read_bytes() for path in sorted(folder.glob("*.eml"))]
        return [message_from_bytes(text, policy=policy.default) for text in texts]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        client = await open_client(farebox)
        seeds = await seed(farebox)
        merchants = farebox.services.merchants
        key = await merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id, name="till 3")
        visitors = {"sam": await Visitor.sign_in(farebox, client, Realm.SUPPORT, "sam@farebox.example", "Sam")}
        for role in (Role.OWNER, Role.MEMBER):
            name = role.name.lower()
            await merchants.add_user(seeds.merchant_id, f"{name}@shop.example", role=role)
            visitors[name] = await Visitor.sign_in(farebox, client, Realm.MERCHANT, f"{name}@shop.example")
        today = farebox.clock.now() // DAY
        peaks = [SpendingPeak(seeds.merchant_id, day, USUAL) for day in range(today - 20, today)]
        await farebox.stores.spending.put_peaks(peaks, keep_days=56)
        yield Shop(farebox, client, seeds, key, **visitors)


async def test_a_leak_is_told_within_five_minutes_and_ended_by_the_mails_button(shop: Shop, tmp_path: Path) -> None:
    await shop.spend(300, images=4)
    began_at = shop.now
    await shop.spend(120, images=40)
    alert, *_ = await shop.farebox.stores.deliveries.alerts(shop.seeds.merchant_id, 9)
    assert AlertKind.UNUSUAL_SPENDING == alert.kind
    assert 0 < alert.fired_at - began_at <= 300 * SECOND

    mails = await shop.mails(tmp_path / "mail")
    assert ["member@shop.example", "owner@shop.example"] == sorted(str(mail["To"]) for mail in mails)
    text = mails[0].get_body(("plain",))
    assert text is not None
    (link,) = re.findall(r"https://pay\.example(/\S+/suspend)", text.get_content())

    with at(shop.farebox, shop.now):
        shown = await shop.owner.page(link)
        assert f"Suspend the key {shop.key.key.hint}?" in shown
        assert 200 == await shop.charge(1)
        assert "The key is suspended" in await shop.owner.done(link)
        assert 404 == await shop.charge(1)
        assert 401 == (await shop.client.get("/api/balance", shop.key.text)).status
        assert 200 == (await shop.client.get("/api/balance", shop.seeds.merchant_key)).status
        assert "which is suspended" in await shop.owner.page(shop.url)


async def test_pages_tell_of_it_and_those_who_may_suspend_have_a_button(shop: Shop) -> None:
    await shop.spend(120, images=60)
    console = f"/support/merchants/{shop.seeds.merchant}"
    with at(shop.farebox, shop.now):
        for visitor, path, may_suspend in (
            (shop.owner, shop.url, True),
            (shop.member, shop.url, False),
            (shop.sam, console, True),
            (shop.sam, "/support", True),
        ):
            shown = await visitor.get(path)
            text = shown.body.decode()
            assert "spent far more in five minutes than ever in the weeks before" in text, path
            assert shop.key.key.hint in text
            assert "till 3" in text
            assert may_suspend == ("Suspend this key</a>" in text), path
            assert may_suspend == ("/suspend" in text), path
    with at(shop.farebox, shop.now + 2 * DAY):
        assert await shop.farebox.services.unusual_spendings.of(shop.seeds.merchant_id) is None
        assert [] == await shop.farebox.services.unusual_spendings.latest(9)
