"""Mails that are not sent after all: to users who were removed, and of what is over by the time of sending."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest

from farebox.core.commands import Refund, SetCreditLimit
from farebox.storage.records import DeliveryState
from tests.alerts.mailserver import MailServer
from tests.alerts.test_delivery import dispatcher_of
from tests.support.ledger import NORTHWIND, NOW, UNIT, Ledger

ANN: Final = "ann@example.com"
BEN: Final = "ben@example.com"

Event = Callable[[Ledger], Awaitable[object]]


async def remove(ledger: Ledger) -> None:
    await ledger.stores.users.remove(NORTHWIND, ANN, is_owner_needed=False)


async def remove_the_threshold(ledger: Ledger) -> None:
    await ledger.set_thresholds(5)


async def top_up(ledger: Ledger) -> None:
    await ledger.top_up(1)


async def raise_the_limit(ledger: Ledger) -> None:
    await ledger.run(SetCreditLimit(NORTHWIND, UNIT))


async def below(ledger: Ledger) -> None:
    await ledger.fire(ANN)


async def used_up(ledger: Ledger) -> None:
    await ledger.add_user(ANN, 1)
    await ledger.refused(images=1)


WITHDRAWALS: Final = [
    (below, remove, "the user was removed from the account"),
    (below, remove_the_threshold, "the threshold of 400.00 USD was removed"),
    (below, top_up, "money brought the balance back to the threshold: it is 400.50 USD"),
    (used_up, remove, "the user was removed from the account"),
    (used_up, top_up, "money has arrived since, or the credit limit was raised"),
    (used_up, raise_the_limit, "money has arrived since, or the credit limit was raised"),
]


@pytest.mark.parametrize("when", ["before it is claimed", "while the mail server is slow"])
@pytest.mark.parametrize(("cause", "event", "reason"), WITHDRAWALS)
async def test_a_mail_is_withdrawn_last_thing_before_it_would_be_sent(
    ledger: Ledger, server: MailServer, cause: Event, event: Event, reason: str, when: str
) -> None:
    await cause(ledger)
    if when == "before it is claimed":
        await event(ledger)
    else:
        server.rcpt[ANN].append(lambda: event(ledger))
    assert 1 == await dispatcher_of(ledger, server.url).run_once()
    assert [] == server.received
    assert ([] if when == "before it is claimed" else [ANN]) == server.asked
    mail = (await ledger.mails())[ANN]
    assert (DeliveryState.WITHDRAWN, reason, None) == (mail.state, mail.last_error, mail.sent_at)
    # For good: no retry, by hand or by the clock, brings it back.
    assert 0 == await ledger.stores.deliveries.retry_mails(NOW)
    assert await ledger.stores.deliveries.next_mail_at() is None


async def test_a_mail_is_withdrawn_even_if_the_mail_server_is_down(ledger: Ledger, server: MailServer) -> None:
    await ledger.fire(ANN)
    await remove(ledger)
    await server.stop()
    await dispatcher_of(ledger, server.url).run_once()
    assert DeliveryState.WITHDRAWN == (await ledger.mails())[ANN].state


async def test_others_are_mailed_all_the_same(ledger: Ledger, server: MailServer) -> None:
    await ledger.fire(ANN, BEN)
    await remove(ledger)
    await dispatcher_of(ledger, server.url).run_once()
    assert [BEN] == server.recipients


async def test_who_is_registered_anew_is_told_as_one_who_joins(ledger: Ledger, server: MailServer) -> None:
    await ledger.fire(ANN)
    await remove(ledger)
    await ledger.add_user(ANN)
    await dispatcher_of(ledger, server.url).run_once()
    assert [ANN] == server.recipients


async def test_a_refund_withdraws_nothing_as_it_ends_no_episode(ledger: Ledger, server: MailServer) -> None:
    """Were the mail withdrawn, nobody would hear of the balance when it falls below again."""
    decision = await ledger.fire(ANN)
    await ledger.run(Refund(NORTHWIND, decision.transfers[0].seq, "refund"))
    await dispatcher_of(ledger, server.url).run_once()
    assert ["Northwind Imaging: balance back at 400.00 USD, was below 400.00 USD"] == [
        message["Subject"] for message in server.messages
    ]
    await ledger.charge(images=1)
    assert 0 == await dispatcher_of(ledger, server.url).run_once()


async def test_of_mails_that_waited_over_several_episodes_the_last_is_sent(ledger: Ledger, server: MailServer) -> None:
    await ledger.fire(ANN, BEN)
    for _ in range(3):
        await ledger.top_up(1)
        await ledger.charge(images=3)
    await dispatcher_of(ledger, server.url).run_once()
    assert [ANN, BEN] == sorted(server.recipients)
    mails = await ledger.stores.deliveries.mails(merchant_id=NORTHWIND, limit=100)
    newest = max(mail.alert.number for mail in mails)
    assert [(newest, DeliveryState.SENT)] * 2 == [(mail.alert.number, mail.state) for mail in mails if mail.sent_at]
    assert {"a newer mail tells the user the same"} == {mail.last_error for mail in mails if not mail.sent_at}


async def test_lower_thresholds_and_being_used_up_are_told_of_beside_higher_ones(
    ledger: Ledger, server: MailServer
) -> None:
    await ledger.fire(ANN)
    await ledger.set_thresholds(400, 100)
    await ledger.charge(images=700)
    await ledger.refused(images=100)
    await dispatcher_of(ledger, server.url).run_once()
    assert {
        "Northwind Imaging: balance below 400.00 USD",
        "Northwind Imaging: balance below 100.00 USD",
        "Northwind Imaging: a request was refused, 49.50 USD can be spent",
    } == {message["Subject"] for message in server.messages}
