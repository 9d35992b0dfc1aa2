"""Thresholds in days left, told by the walk that keeps the runways: within minutes, once, whichever process walks."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from farebox.bootstrap import Farebox
from farebox.core.alerts import Alert, AlertKind
from farebox.service.insight.runway_snapshots import MOVED_SECONDS, NEAR_SECONDS, RunwaySnapshots
from farebox.web.schemas.spending import ChargeRequest
from tests.support.clock import at
from tests.support.ledger import NOW, SECOND
from tests.support.server import Seeds, open_farebox, seed

HOUR: Final = 3_600 * SECOND
DAYS: Final = 21


class Shop:
    """A merchant that spends 0.10 an hour, day and night, and has done so for three weeks."""

    def __init__(self, farebox: Farebox, seeds: Seeds) -> None:
        self.farebox = farebox
        self.seeds = seeds
        self.now = NOW - DAYS * 24 * HOUR
        self.walks = [RunwaySnapshots(farebox.stores, farebox.clock, merchant_seconds=0) for _ in range(2)]

    async def spend(self, hours: int) -> None:
        """Let hours pass, with a charge in each."""
        for _ in range(hours):
            self.now += HOUR
            await self.charge()

    async def charge(self, quantity: int = 10) -> None:
        with at(self.farebox, self.now):
            request = ChargeRequest(self.seeds.merchant, "image", f"at-{self.now}-{quantity}", quantity=quantity)
            outcome = await self.farebox.services.operations.charge(request, caller=None)
            assert outcome.is_ok

    async def top_up(self, amount: str) -> None:
        with at(self.farebox, self.now):
            outcome = await self.farebox.services.operations.top_up(
                self.seeds.merchant_id, amount=amount, reference=f"at {self.now}", note=None, principal=None
            )
            assert outcome.is_ok

    async def walk(self, seconds: int) -> None:
        """Let so many seconds pass, half a minute after half a minute, in which both processes walk."""
        for _ in range(seconds // 30):
            self.now += 30 * SECOND
            with at(self.farebox, self.now):
                for walk in self.walks:
                    await walk.run_once()

    async def alerts(self) -> list[Alert]:
        alerts = await self.farebox.stores.deliveries.alerts(self.seeds.merchant_id, 99)
        return [alert for alert in alerts if alert.kind == AlertKind.RUNWAY_SHORT]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        with at(farebox, NOW - (DAYS + 1) * 24 * HOUR):
            # About 2.4 a day: after three weeks it lasts for some 20 days.
            seeds = await seed(farebox, balance="100")
        shop = Shop(farebox, seeds)
        await shop.spend(DAYS * 24)
        yield shop


async def test_a_threshold_that_is_set_above_the_days_left_is_told_within_minutes_and_once(shop: Shop) -> None:
    await shop.walk(30)
    with at(shop.farebox, shop.now):
        await shop.farebox.services.runway_thresholds.set(shop.seeds.merchant_id, [30, 90])
    began_at = shop.now
    await shop.walk(600)
    (alert,) = await shop.alerts()
    assert alert.fired_at - began_at <= 3 * NEAR_SECONDS * SECOND
    assert 30 == alert.read_facts["days"]
    assert alert.read_facts["until"] - alert.fired_at < 30 * 24 * HOUR
    assert {"until_low", "until_high", "burn_per_day"} <= set(alert.read_facts)


async def test_a_threshold_below_the_days_left_is_told_when_the_money_goes(shop: Shop) -> None:
    with at(shop.farebox, shop.now):
        await shop.farebox.services.runway_thresholds.set(shop.seeds.merchant_id, [7])
    await shop.walk(600)
    assert [] == await shop.alerts()
    # All but some days is spent at once.
    began_at = shop.now
    await shop.charge(3_500)
    await shop.walk(MOVED_SECONDS + 3 * NEAR_SECONDS)
    (alert,) = await shop.alerts()
    assert 7 == alert.read_facts["days"]
    assert alert.fired_at - began_at <= (MOVED_SECONDS + 2 * NEAR_SECONDS) * SECOND


async def test_money_that_arrives_ends_it_and_it_is_told_anew(shop: Shop) -> None:
    with at(shop.farebox, shop.now):
        await shop.farebox.services.runway_thresholds.set(shop.seeds.merchant_id, [90])
    await shop.walk(300)
    assert 1 == len(await shop.alerts())
    await shop.top_up("1")
    await shop.walk(MOVED_SECONDS + 4 * NEAR_SECONDS)
    assert 2 == len(await shop.alerts())
