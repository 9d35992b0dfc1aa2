"""The mail server is away for an hour, in each way in which one is: every mail arrives once, and as soon as told."""

from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest

from farebox.alerts.relay import PAUSE_SECONDS_MAX
from farebox.storage.records import DeliveryState
from tests.alerts.mailserver import HANGS, Answer, MailServer
from tests.alerts.test_delivery import dispatcher_of
from tests.alerts.test_smtp import SHORT_S
from tests.support.ledger import Ledger

EMAILS: Final = [f"user{number}@example.com" for number in range(6)]
OUTAGE_SECONDS: Final = 3_600
STEP_SECONDS: Final = 20
LATER: Final = "451 4.7.1 Try again later"


class Outage:
    """A ledger that owes mails, and their server."""

    def __init__(self, ledger: Ledger, server: MailServer) -> None:
        self.ledger = ledger
        self.server = server
        self._dispatcher = dispatcher_of(ledger, server.url)
        self._short_of_time = dispatcher_of(ledger, server.url, timeout_seconds=SHORT_S)

    async def pass_time(
        self, seconds: int, *, is_over: Callable[[], bool] = lambda: False, is_short_of_time: bool = False
    ) -> int:
        """Send what is due, again and again, for so long by the ledger's clock; return how long it took."""
        dispatcher = self._short_of_time if is_short_of_time else self._dispatcher
        for passed in range(0, seconds, STEP_SECONDS):
            await dispatcher.run_once()
            if is_over():
                return passed
            self.ledger.clock.move(STEP_SECONDS)
        return seconds

    def is_delivered(self) -> bool:
        return Counter(EMAILS) == Counter(self.server.recipients)

    async def states(self) -> set[DeliveryState]:
        return {DeliveryState(mail.state) for mail in (await self.ledger.mails()).values()}


@pytest.fixture
async def outage(ledger: Ledger, server: MailServer) -> Outage:
    await ledger.fire(*EMAILS)
    return Outage(ledger, server)


async def _assert_over(outage: Outage, *, within: int) -> None:
    """Hold that each mail arrives once, and that none is sent again later."""
    assert await outage.pass_time(within + STEP_SECONDS, is_over=outage.is_delivered) <= within
    assert {DeliveryState.SENT} == await outage.states()
    await outage.pass_time(2 * OUTAGE_SECONDS // 10)
    assert outage.is_delivered()
    assert len(EMAILS) == len({str(message["Message-ID"]) for message in outage.server.messages})


async def test_a_server_that_refused_connections_has_every_mail_within_five_minutes_of_its_return(
    outage: Outage,
) -> None:
    await outage.server.stop()
    await outage.pass_time(OUTAGE_SECONDS)
    assert {DeliveryState.WAITING} == await outage.states()
    await outage.server.start()
    await _assert_over(outage, within=PAUSE_SECONDS_MAX)


async def test_a_server_that_hung_has_every_mail_within_five_minutes_of_its_return(outage: Outage) -> None:
    hanging: list[Answer] = [HANGS] * 10_000
    outage.server.mail.extend(hanging)
    await outage.pass_time(OUTAGE_SECONDS, is_short_of_time=True)
    assert {DeliveryState.WAITING} == await outage.states()
    outage.server.mail.clear()
    await _assert_over(outage, within=PAUSE_SECONDS_MAX)


@pytest.mark.parametrize("is_retried", [False, True], ids=["by itself", "retried"])
async def test_a_server_that_put_mails_off_has_each_when_its_own_wait_ends_or_at_once_if_told(
    outage: Outage, is_retried: bool
) -> None:
    """It answers, so it is not given up: each mail waits for itself, longer and longer, up to an hour."""
    for email in EMAILS:
        outage.server.rcpt[email].extend([LATER] * 10_000)
    await outage.pass_time(OUTAGE_SECONDS)
    assert {DeliveryState.WAITING} == await outage.states()
    assert [] == outage.server.recipients
    outage.server.rcpt.clear()
    if is_retried:
        await outage.ledger.stores.deliveries.retry_mails(outage.ledger.clock.now())
    await _assert_over(outage, within=0 if is_retried else OUTAGE_SECONDS)
