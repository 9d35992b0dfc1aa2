"""From a charge to a mailbox: a real ledger, the dispatcher, and real mail servers that fail as mail servers do."""

import subprocess
import sys

import pytest

from farebox.alerts.dispatcher import LEASE_SECONDS, Dispatcher
from farebox.alerts.outbox import Outbox
from farebox.alerts.relay import Relay
from farebox.alerts.smtp import SmtpTransport
from farebox.service.insight.forecast import RunwayReader
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.storage.records import Delivery, DeliveryState
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.alerts import killed_dispatcher
from tests.alerts.mailserver import DIES, HANGS, MailServer, greeting, until
from tests.alerts.running import running
from tests.alerts.test_messages import MAIL_SETTINGS, text_of
from tests.alerts.test_smtp import SHORT_S
from tests.support.ledger import NOW, SECOND, Ledger


def dispatcher_of(
    ledger: Ledger, url: str, *, stores: Stores | None = None, timeout_seconds: float = 30
) -> Dispatcher[Delivery]:
    owner = stores or ledger.stores
    transport = SmtpTransport(url, timeout_seconds=timeout_seconds)
    return Dispatcher(
        Outbox(
            owner,
            RunwayReader(owner, ledger.clock),
            MAIL_SETTINGS,
            Unsubscribing(owner, Signer(""), ledger.clock),
        ),
        Relay(transport, owner.mail_servers, ledger.clock, server=url),
        ledger.clock,
        poll_seconds=0.01,
        stop_seconds_max=0,
    )


async def test_a_charge_ends_in_a_mailbox(ledger: Ledger, server: MailServer) -> None:
    await ledger.top_up(1000)
    for _ in range(5):
        ledger.clock.move(86_400)
        await ledger.charge(images=160)
    await ledger.set_thresholds(600)
    await ledger.add_user("ann@example.com", 1)
    async with running(dispatcher_of(ledger, server.url)):
        await ledger.charge(images=1)
        await until(lambda: 1 == len(server.received))
    (message,) = server.messages
    assert "Northwind Imaging: balance below 600.00 USD" == message["Subject"]
    text = text_of(message)
    assert "  Balance now           599.50 USD\n" in text
    assert "  Lasts                 about 7 days, likely 6 to 9 days\n" in text
    assert "a charge of 0.50 USD for 1 x image\n" in text


async def test_a_server_that_refuses_one_recipient(ledger: Ledger, server: MailServer) -> None:
    server.rcpt["ann@example.com"].append("550 5.1.1 No such user here")
    await ledger.fire("ann@example.com", "ben@example.com")
    dispatcher = dispatcher_of(ledger, server.url)
    assert 2 == await dispatcher.run_once()
    mails = await ledger.mails()
    assert (DeliveryState.GIVEN_UP, DeliveryState.SENT) == (
        mails["ann@example.com"].state,
        mails["ben@example.com"].state,
    )
    assert "the mail server refused ann@example.com: 550 5.1.1 No such user here" == mails["ann@example.com"].last_error
    assert ["ben@example.com"] == server.recipients
    ledger.clock.move(10**6)
    assert 0 == await dispatcher.run_once()


async def test_a_server_that_asks_to_wait(ledger: Ledger, server: MailServer) -> None:
    server.rcpt["ann@example.com"].extend(["451 4.7.1 Greylisted", "451 4.7.1 Greylisted"])
    await ledger.fire("ann@example.com")
    dispatcher = dispatcher_of(ledger, server.url)
    assert 1 == await dispatcher.run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.WAITING, NOW + 60 * SECOND) == (mail.state, mail.next_attempt_at)
    assert "the mail server refused ann@example.com: 451 4.7.1 Greylisted" == mail.last_error
    ledger.clock.move(59.999_999)
    assert 0 == await dispatcher.run_once()
    ledger.clock.move(0.000_001)
    assert 1 == await dispatcher.run_once()
    assert ledger.clock.now() + 120 * SECOND == await ledger.stores.deliveries.next_mail_at()
    ledger.clock.move(120)
    assert 1 == await dispatcher.run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.SENT, 3, ledger.clock.now(), None) == (
        mail.state,
        mail.attempts,
        mail.sent_at,
        mail.last_error,
    )
    assert ["ann@example.com"] == server.recipients


async def test_a_recipient_for_whom_the_server_hangs(ledger: Ledger, server: MailServer) -> None:
    server.rcpt["ann@example.com"].append(HANGS)
    await ledger.fire("ann@example.com", "ben@example.com", "cleo@example.com")

    async def others_are_sent() -> bool:
        mails = await ledger.mails()
        return {DeliveryState.SENT} == {mails["ben@example.com"].state, mails["cleo@example.com"].state}

    async with running(dispatcher_of(ledger, server.url)):
        await until(others_are_sent)
        assert ["ben@example.com", "cleo@example.com"] == sorted(server.recipients)
        assert DeliveryState.WAITING == (await ledger.mails())["ann@example.com"].state
    assert 1 == await dispatcher_of(ledger, server.url).run_once()
    assert "ann@example.com" == server.recipients[-1]


async def test_a_server_that_never_says_a_word(ledger: Ledger, server: MailServer) -> None:
    await ledger.fire("ann@example.com")
    async with greeting(b"") as url:
        assert 1 == await dispatcher_of(ledger, url, timeout_seconds=SHORT_S).run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.WAITING, NOW + 60 * SECOND) == (mail.state, mail.next_attempt_at)
    ledger.clock.move(60)
    assert 1 == await dispatcher_of(ledger, server.url).run_once()
    assert ["ann@example.com"] == server.recipients


async def test_a_server_that_takes_a_mail_and_dies_before_it_says_so(ledger: Ledger, server: MailServer) -> None:
    server.data.append(DIES)
    await ledger.fire("ann@example.com")
    dispatcher = dispatcher_of(ledger, server.url)
    assert 1 == await dispatcher.run_once()
    assert DeliveryState.WAITING == (await ledger.mails())["ann@example.com"].state
    ledger.clock.move(60)
    assert 1 == await dispatcher.run_once()
    assert DeliveryState.SENT == (await ledger.mails())["ann@example.com"].state
    first, second = server.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert (first["Date"], first["Subject"]) == (second["Date"], second["Subject"])


async def test_a_server_that_is_down_and_comes_up(ledger: Ledger, server: MailServer) -> None:
    await server.stop()
    await ledger.fire("ann@example.com")
    dispatcher = dispatcher_of(ledger, server.url)
    assert 1 == await dispatcher.run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert DeliveryState.WAITING == mail.state
    assert "the mail server can't be reached" in str(mail.last_error)
    await server.start()
    ledger.clock.move(60)
    assert 1 == await dispatcher.run_once()
    assert ["ann@example.com"] == server.recipients


async def test_a_process_that_is_killed_between_claim_and_send(ledger: Ledger, server: MailServer) -> None:
    server.rcpt["ann@example.com"].append(HANGS)
    await ledger.fire("ann@example.com")
    command = [sys.executable, killed_dispatcher.__file__, str(ledger.path), server.url, str(ledger.clock.now())]
    process = subprocess.Popen(command)
    try:
        await until(lambda: process.poll() is not None or ["ann@example.com"] == server.asked)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    dispatcher = dispatcher_of(ledger, server.url)
    assert 0 == await dispatcher.run_once()
    ledger.clock.move(LEASE_SECONDS - 0.000_001)
    assert 0 == await dispatcher.run_once()
    ledger.clock.move(0.000_001)
    assert 1 == await dispatcher.run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.SENT, 2) == (mail.state, mail.attempts)
    assert ["ann@example.com"] == server.recipients


async def test_two_processes_on_one_database_send_each_mail_once(ledger: Ledger, server: MailServer) -> None:
    emails = [f"user{number}@example.com" for number in range(40)]
    await ledger.fire(*emails)
    other = Stores.over(SqliteConnector(ledger.path))
    await other.connector.open()
    try:
        async with running(dispatcher_of(ledger, server.url), dispatcher_of(ledger, server.url, stores=other)):
            await until(ledger.is_all_sent)
    finally:
        await other.connector.close()
    assert sorted(emails) == sorted(server.recipients)
    assert len(emails) == len({message["Message-ID"] for message in server.messages})


@pytest.mark.parametrize("name", ["Bücher & Söhne 株式会社", "A" * 200])
async def test_names_arrive_in_mailboxes(ledger: Ledger, server: MailServer, name: str) -> None:
    await ledger.stores.merchants.rename(ledger.merchant_id, name)
    await ledger.fire("ann@example.com")
    await dispatcher_of(ledger, server.url).run_once()
    (message,) = server.messages
    assert f"{name}: balance below 400.00 USD" == message["Subject"]
    assert text_of(message).startswith(f"{name}\n\nYour balance fell below 400.00 USD.\n")
