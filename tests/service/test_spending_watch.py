"""The watch over spending: a leaked key is told of within five minutes, by name, once, and honest days are not."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.alerts.account_mail import AccountMails
from farebox.alerts.transport import Withdrawn
from farebox.bootstrap import Farebox
from farebox.core import ids
from farebox.core.alerts import Alert, AlertKind
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import StaffRole
from farebox.core.state import Decision
from farebox.service.insight.unusual_spending import DAYS_MIN, HISTORY_DAYS
from farebox.service.operator.merchants import NewKey
from farebox.service.operator.spending_watch import LOOK_SECONDS, QUIET_SECONDS, SpendingWatch
from farebox.storage.interface import StoreUnavailable
from farebox.storage.records import AccountMail, Purpose, SpendingPeak
from tests.alerts.test_messages import MAIL_SETTINGS, text_of
from tests.support.app_client import AppClient, open_client
from tests.support.clock import at
from tests.support.ledger import NOW, SECOND
from tests.support.report_writer import report_mails, staff_warnings
from tests.support.server import Seeds, open_farebox, seed, staff_member

DAY: Final = 24 * 3600 * SECOND
TODAY: Final = NOW // DAY
IMAGE: Final = 10_000
"""What an image costs, in micros."""

USUAL: Final = 15 * 4
"""How many images a merchant of these tests asks for in a usual five minutes."""


class Shop:
    """A merchant with two keys, whose requests come every few seconds."""

    def __init__(self, farebox: Farebox, client: AppClient, seeds: Seeds, keys: list[NewKey]) -> None:
        self.farebox = farebox
        self.client = client
        self.seeds = seeds
        self.keys = keys
        self.now = NOW
        self._count = 0

    async def remember(self, *peaks: int, until: int = TODAY) -> None:
        """Let the five minutes in which most was spent on the days before have been these, in images."""
        days = range(until - len(peaks), until)
        rows = [SpendingPeak(self.seeds.merchant_id, day, peak * IMAGE) for day, peak in zip(days, peaks, strict=True)]
        await self.farebox.stores.spending.put_peaks(rows, keep_days=HISTORY_DAYS)

    async def spend(self, seconds: float, images: int, key: int | None = 0, watch: SpendingWatch | None = None) -> None:
        """Ask for so many images every LOOK_SECONDS, each a request of its own, and look at each end.

        `watch` is that of another process: it learns of the totals by one of the requests, whoever made the others.
        """
        payer = self.seeds.merchant if key is None else self.keys[key].text
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.now += round(LOOK_SECONDS * SECOND)
            with at(self.farebox, self.now):
                charges: list[dict[str, Any]] = []
                for _ in range(images):
                    self._count += 1
                    name = f"charge-{self._count}"
                    charges.append({"merchant": payer, "type": "image", "quantity": 1, "idempotencyKey": name})
                if charges:
                    body = {"charges": charges}
                    reply = await self.client.post("/api/charges/batch", self.seeds.service_key, body)
                    assert 200 == reply.status, reply
                if watch is not None:
                    account = await self.farebox.stores.accounts.find(self.seeds.merchant_id)
                    assert account is not None
                    watch.note(Decision([], accounts=[account]))
                await (watch or self.farebox.spending_watch).look()

    async def alerts(self) -> list[Alert]:
        """List what was told of unusual spending, newest first."""
        alerts = await self.farebox.stores.deliveries.alerts(self.seeds.merchant_id, 99)
        return [alert for alert in alerts if alert.kind == AlertKind.UNUSUAL_SPENDING]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        with at(farebox, NOW - DAY):
            seeds = await seed(farebox, balance="5000")
            keys = [
                await farebox.services.merchants.create_key(KeyKind.MERCHANT, merchant_id=seeds.merchant_id, name=name)
                for name in ("shop", "jobs")
            ]
            client = await open_client(farebox)
        yield Shop(farebox, client, seeds, keys)


async def test_a_leak_is_told_within_five_minutes_with_the_key_that_does_it(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    await shop.spend(600, images=4)
    assert [] == await shop.alerts()
    began_at = shop.now
    await shop.spend(300, images=20, key=1)
    (alert,) = await shop.alerts()
    assert alert.fired_at - began_at <= 300 * SECOND
    facts = alert.read_facts
    key = shop.keys[1].key
    assert (key.key_id, key.hint, "jobs") == (facts["key_id"], facts["key_hint"], facts["key_name"])
    assert (300, USUAL * IMAGE) == (facts["window_seconds"], facts["highest"])
    assert USUAL * IMAGE * 3 // 2 < facts["spent"]
    # It began half a minute ago, and the other key has spent more in these five minutes.
    assert facts["spent"] / 3 < facts["key_spent"] < facts["spent"] / 2


async def test_a_leak_at_a_merchant_that_rested_is_told_with_its_key_at_the_first_look(shop: Shop) -> None:
    await shop.remember(*[20] * 30)
    await shop.spend(20, images=1)
    await shop.spend(180, images=0)
    await shop.spend(20, images=40, key=1)
    (alert,) = await shop.alerts()
    assert (shop.keys[1].key.key_id, 40 * IMAGE) == (alert.read_facts["key_id"], alert.read_facts["key_spent"])


async def test_a_rush_that_is_over_is_told_once_the_database_is_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that moves afterwards brings the merchant up again."""
    await shop.remember(*[20] * 30)
    await shop.spend(20, images=1)

    async def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(shop.farebox.stores.spending, "find", fail)
        with pytest.raises(StoreUnavailable):
            await shop.spend(20, images=40, key=1)
    assert [] == await shop.alerts()
    await shop.spend(20, images=0)
    (alert,) = await shop.alerts()
    assert 40 * IMAGE == alert.read_facts["spent"]


async def test_staff_who_may_suspend_the_key_are_warned_by_mail_within_five_minutes_once(shop: Shop) -> None:
    farebox, services = shop.farebox, shop.farebox.services
    ben, viewer = await staff_member(farebox, "ben"), await staff_member(farebox, "vi")
    await farebox.stores.logins.set_roles(viewer.login_id or 0, StaffRole.VIEWER)
    await shop.remember(*[USUAL] * 30)
    began_at = shop.now
    await shop.spend(300, images=40, key=1)

    async def warned() -> list[AccountMail]:
        mails = await farebox.stores.account_mails.list(99)
        return [mail for mail in mails if mail.purpose == Purpose.UNUSUAL_SPENDING]

    mails = {mail.login_id: mail for mail in await warned()}
    assert ben.login_id in mails
    assert viewer.login_id not in mails
    assert all(mail.next_attempt_at - began_at <= 300 * SECOND for mail in mails.values())
    await shop.spend(300, images=40, key=1)
    assert len(mails) == len(await warned())
    reports = report_mails(farebox.stores, farebox.clock, MAIL_SETTINGS)
    warnings = staff_warnings(farebox.stores, farebox.clock, MAIL_SETTINGS)
    queue = AccountMails(
        *(farebox.stores, services.sign_in, MAIL_SETTINGS, farebox.clock, services.approvals, reports, warnings)
    )
    key = shop.keys[1].key
    path = f"/support/merchants/{shop.seeds.merchant}/keys/{ids.public_id(ids.KEY, key.key_id)}/suspend"
    with at(farebox, shop.now):
        message = await queue.compose(mails[ben.login_id or 0])
    assert f"Northwind Imaging: the key {key.hint} spends far more than is usual" == message["Subject"]
    assert f"{MAIL_SETTINGS.public_url}{path}" in text_of(message)
    link = str(message["List-Unsubscribe"]).strip("<>")
    assert link.startswith(f"{MAIL_SETTINGS.public_url}/unsubscribe/warnings/")
    assert "List-Unsubscribe=One-Click" == message["List-Unsubscribe-Post"]
    assert link in text_of(message)
    # The button leads to a page, for which one signs in first.
    assert 303 == (await shop.client.get(path)).status


async def test_staff_who_want_no_such_warning_get_none_even_of_what_is_owed(shop: Shop) -> None:
    farebox, services = shop.farebox, shop.farebox.services
    ben, una = await staff_member(farebox, "ben"), await staff_member(farebox, "una")
    choices = services.warning_choices
    await choices.set(ben.name, ["destination.disabled"], principal=ben)
    await shop.remember(*[USUAL] * 30)
    await shop.spend(300, images=40, key=1)
    owed = {
        mail.login_id: mail
        for mail in await farebox.stores.account_mails.list(99)
        if mail.purpose == Purpose.UNUSUAL_SPENDING
    }
    assert una.login_id in owed
    assert ben.login_id not in owed
    warnings, name = staff_warnings(farebox.stores, farebox.clock, MAIL_SETTINGS), "<mail@farebox.example>"
    await farebox.stores.logins.set_roles(una.login_id or 0, StaffRole.VIEWER)
    with pytest.raises(Withdrawn, match="they have no role any more that may act on it"):
        await warnings.compose(owed[una.login_id or 0], await choices.find(una.name), name)
    await farebox.stores.logins.set_roles(una.login_id or 0, StaffRole.SUPPORT)
    await choices.set(una.name, [], principal=una)
    with pytest.raises(Withdrawn, match="they want no such warnings any more"):
        await warnings.compose(owed[una.login_id or 0], await choices.find(una.name), name)


async def test_a_rush_of_twenty_times_is_told_within_a_minute(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    await shop.spend(300, images=4)
    began_at = shop.now
    await shop.spend(60, images=80, key=1)
    (alert,) = await shop.alerts()
    assert alert.fired_at - began_at <= 60 * SECOND


async def test_a_leak_is_told_once_and_again_after_it_was_quiet(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    await shop.spend(600, images=60)
    assert 1 == len(await shop.alerts())
    shop.now += QUIET_SECONDS * SECOND - 400 * SECOND
    await shop.spend(120, images=100)
    assert 1 == len(await shop.alerts())
    shop.now += QUIET_SECONDS * SECOND + 60 * SECOND
    await shop.spend(120, images=100)
    assert 2 == len(await shop.alerts())


async def test_another_process_that_sees_the_same_tells_nothing_more(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    other = SpendingWatch(shop.farebox.stores, shop.farebox.clock)
    await shop.spend(60, images=100)
    assert 1 == len(await shop.alerts())
    await shop.spend(100, images=100, watch=other)
    assert 1 == len(await shop.alerts())


async def test_spending_that_names_no_key_names_none(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    await shop.spend(60, images=100, key=None)
    (alert,) = await shop.alerts()
    assert (None, None, 0) == (alert.read_facts["key_id"], alert.read_facts["key_hint"], alert.read_facts["key_spent"])


async def test_a_new_merchant_is_told_nothing(shop: Shop) -> None:
    await shop.remember(*[USUAL] * (DAYS_MIN - 1))
    await shop.spend(300, images=100)
    assert [] == await shop.alerts()
    await shop.remember(USUAL, until=TODAY - DAYS_MIN)
    assert [] == await shop.alerts()


async def test_a_slow_leak_is_not_found(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    await shop.spend(1200, images=5)
    assert [] == await shop.alerts()


async def test_days_are_remembered_as_what_they_came_to_at_most(shop: Shop) -> None:
    await shop.spend(600, images=4)
    (peak,) = await shop.farebox.stores.spending.peaks([shop.seeds.merchant_id], first_day=0)
    assert TODAY == peak.day
    assert USUAL * IMAGE * 0.8 < peak.amount <= USUAL * IMAGE


async def test_a_leak_raises_the_profile_by_no_more_than_its_limit(shop: Shop) -> None:
    await shop.remember(*[USUAL] * 30)
    await shop.spend(300, images=200)
    peaks = await shop.farebox.stores.spending.peaks([shop.seeds.merchant_id], first_day=TODAY)
    assert [USUAL * IMAGE * 3 // 2] == [peak.amount for peak in peaks]


async def test_what_a_process_found_at_its_start_is_in_no_window(shop: Shop) -> None:
    """A merchant that spent for days is not told of because a process has just begun to look."""
    await shop.remember(*[USUAL] * 30)
    await shop.spend(300, images=4)
    fresh = SpendingWatch(shop.farebox.stores, shop.farebox.clock)
    await shop.spend(60, images=4, watch=fresh)
    assert [] == await shop.alerts()


async def test_a_merchant_that_does_not_move_costs_nothing(shop: Shop) -> None:
    await shop.spend(40, images=4)
    watch = shop.farebox.spending_watch
    calls = []
    fetch = shop.farebox.stores.connector.fetch

    async def counted(statement: str, *values: Any) -> Any:
        calls.append(statement)
        return await fetch(statement, *values)

    shop.farebox.stores.connector.fetch = counted  # type: ignore[method-assign]
    for _ in range(50):
        await watch.look()
    assert [] == calls
