"""The mail that tells that the money lasts for fewer days than a threshold: what it says, and when it is withdrawn."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from farebox.core.alerting.runway_thresholds import DAY, LOOK_MICROS
from farebox.storage.alerting.runway_episodes import RunwayLook
from farebox.storage.records import DeliveryState
from tests.alerts.mailserver import MailServer
from tests.alerts.test_delivery import dispatcher_of
from tests.alerts.test_messages import flowing_text_of, html_of
from tests.support.ledger import NORTHWIND, NOW, UNIT, Ledger

ANN: Final = "ann@example.com"


async def _look(ledger: Ledger, later: int, *, days: int = 5, arrived_seq: int = 0) -> None:
    now = NOW + later
    ledger.clock.time = now
    until = now + days * DAY
    facts = (("until", until), ("until_low", until), ("until_high", until), ("burn_per_day", 80 * UNIT))
    await ledger.stores.runway_episodes.tell_of(RunwayLook(NORTHWIND, now, until, arrived_seq, facts))


async def _tell(ledger: Ledger, *thresholds: int) -> None:
    await ledger.add_user(ANN, 1)
    await ledger.top_up(400)
    await ledger.stores.runway_episodes.set_thresholds(NORTHWIND, thresholds)
    for later in (0, LOOK_MICROS):
        await _look(ledger, later)


@pytest.mark.parametrize(("thresholds", "days"), [((7,), 7), ((7, 14), 7), ((14,), 14)])
async def test_users_are_told_that_the_days_left_are_few(
    ledger: Ledger, server: MailServer, thresholds: tuple[int, ...], days: int
) -> None:
    await _tell(ledger, *thresholds)
    for _ in range(2):
        await dispatcher_of(ledger, server.url).run_once()
    (message,) = server.messages
    assert f"Northwind Imaging: less than {days} days left" == message["Subject"]
    text = flowing_text_of(message)
    assert f"Your balance is likely to last for less than {days} days. Balance now 400.00 USD" in text
    assert "Spent on a usual day 80.00 USD" in text
    assert "To top up, contact support" in html_of(message)
    assert await ledger.is_all_sent()


async def _money_arrives(ledger: Ledger) -> None:
    await ledger.top_up(400)
    await _look(ledger, 2 * LOOK_MICROS, days=30, arrived_seq=2)


async def _lasts_longer(ledger: Ledger) -> None:
    await _look(ledger, 2 * LOOK_MICROS, days=9)


async def _is_removed(ledger: Ledger) -> None:
    await ledger.stores.runway_episodes.set_thresholds(NORTHWIND, [3])


@pytest.mark.parametrize("change", [_money_arrives, _lasts_longer, _is_removed])
async def test_it_is_withdrawn_when_it_is_over(
    ledger: Ledger, server: MailServer, change: Callable[[Ledger], Awaitable[None]]
) -> None:
    await _tell(ledger, 7)
    await change(ledger)
    await dispatcher_of(ledger, server.url).run_once()
    assert [] == server.messages
    (mail,) = (await ledger.mails()).values()
    assert (DeliveryState.WITHDRAWN, True) == (mail.state, "the threshold was removed" in (mail.last_error or ""))
