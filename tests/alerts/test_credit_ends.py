"""The mail that tells that given credit ends: what it says, when it is withdrawn, and that it comes once."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from farebox.core.commands import EndGrant, GiveCredit, SettleGrants
from farebox.service.operator.grant_notices import GrantNotices
from farebox.storage.records import DeliveryState
from tests.alerts.mailserver import MailServer
from tests.alerts.test_delivery import dispatcher_of
from tests.alerts.test_messages import html_of, text_of
from tests.support.ledger import NORTHWIND, NOW, SECOND, UNIT, Ledger

DAY: Final = 24 * 3600 * SECOND
ANN: Final = "ann@example.com"
BEN: Final = "ben@example.com"

TEXT: Final = """\
Northwind Imaging

You have 20.00 USD of given credit that ends on 22 January 2027, 08:00 UTC.

  Balance now        120.00 USD
  Given credit left  20.00 USD
                     of 20.00 USD, for trying it out
  Ends               22 January 2027, 08:00 UTC
  Pays only for      audio and image

What is left of it then can't be spent any more. Paid money does not end.

Open your account
https://pay.example/farebox/accounts/mer_38RRBH8000007

--
You get this mail because you are registered on the account of Northwind
Imaging. It comes once. You are told once of each credit that ends.

Questions? Contact support: billing@northwind.example
"""


async def _give(ledger: Ledger, *, days: int = 7, reference: str = "W-1", types: str | None = None) -> None:
    expires_at = ledger.clock.now() + days * DAY
    await ledger.run(
        GiveCredit(NORTHWIND, 20 * UNIT, reference, "for trying it out", expires_at=expires_at, types=types)
    )


async def _notice(ledger: Ledger, *, days: int = 7) -> None:
    await GrantNotices(ledger.stores.deliveries, ledger.clock, days=days).owe_due()


async def test_users_are_mailed_what_ends_and_when_once(ledger: Ledger, server: MailServer) -> None:
    for number, email in enumerate((ANN, BEN), 1):
        await ledger.add_user(email, number)
    await ledger.top_up(100)
    await _give(ledger, types="audio image")
    for _ in range(3):
        await _notice(ledger)
    dispatcher = dispatcher_of(ledger, server.url)
    await dispatcher.run_once()
    await dispatcher.run_once()
    assert [ANN, BEN] == sorted(server.recipients)
    for message in server.messages:
        assert "Northwind Imaging: 20.00 USD of given credit ends on 22 January 2027, 08:00 UTC" == message["Subject"]
        text, _, unsubscribe_url = text_of(message).removesuffix("\n").rpartition("\nNo more mails of this kind\n")
        assert TEXT.rstrip("\n") == text.rstrip("\n")
        assert f"<{unsubscribe_url}>" == message["List-Unsubscribe"]
        assert "You have 20.00 USD of given credit that ends on 22 January 2027, 08:00 UTC" in html_of(message)
        assert "To top up" not in html_of(message)
    assert await ledger.is_all_sent()


async def spend(ledger: Ledger) -> None:
    await ledger.charge(40)


async def end(ledger: Ledger) -> None:
    await ledger.run(EndGrant(NORTHWIND, 1, "by mistake"))


async def pass_the_end(ledger: Ledger) -> None:
    ledger.clock.move(7 * 24 * 3600)
    await ledger.run(SettleGrants(NORTHWIND))


async def remove(ledger: Ledger) -> None:
    await ledger.stores.users.remove(NORTHWIND, ANN, is_owner_needed=False)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (spend, "nothing is left of the credit"),
        (end, "the credit has ended"),
        (pass_the_end, "the credit has ended"),
        (remove, "the user was removed from the account"),
    ],
)
async def test_what_is_over_by_the_time_of_sending_is_withdrawn(
    ledger: Ledger, server: MailServer, event: Callable[[Ledger], Awaitable[None]], reason: str
) -> None:
    await ledger.add_user(ANN, 1)
    await _give(ledger)
    await _notice(ledger)
    await event(ledger)
    await dispatcher_of(ledger, server.url).run_once()
    assert [] == server.received
    mail = (await ledger.mails())[ANN]
    assert (DeliveryState.WITHDRAWN, reason) == (mail.state, mail.last_error)


async def test_each_credit_that_ends_is_told_of_beside_the_others(ledger: Ledger, server: MailServer) -> None:
    await ledger.add_user(ANN, 1)
    await _give(ledger)
    await _give(ledger, reference="W-2")
    await _notice(ledger)
    await dispatcher_of(ledger, server.url).run_once()
    assert 2 == len(server.received)


async def test_what_is_left_is_told_as_of_the_time_of_sending(ledger: Ledger, server: MailServer) -> None:
    await ledger.add_user(ANN, 1)
    await _give(ledger)
    await _notice(ledger)
    await ledger.charge(10)
    await dispatcher_of(ledger, server.url).run_once()
    (message,) = server.messages
    assert "15.00 USD of given credit ends" in message["Subject"]


async def test_a_mail_is_not_due_before_its_time(ledger: Ledger) -> None:
    await ledger.add_user(ANN, 1)
    await _give(ledger, days=30)
    await _notice(ledger)
    assert {} == await ledger.mails()
    ledger.clock.move(23 * 24 * 3600)
    await _notice(ledger)
    assert [ANN] == list(await ledger.mails())
    assert NOW + 23 * DAY == (await ledger.mails())[ANN].alert.fired_at
