"""A mail server that hangs or takes nothing: it is given up for a while, holds up nobody's stop, and loses no mail."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.alerts.delivery_loop import CLAIM_MAX
from farebox.alerts.dispatcher import ATTEMPTS_MAX
from farebox.alerts.relay import CONNECTIONS_MAX, FAILURES_MAX, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MIN, Relay
from farebox.alerts.smtp import SmtpTransport
from farebox.alerts.transport import PermanentFailure, ServerFailure, TransientFailure
from farebox.core.commands import SetThresholds
from farebox.storage.interface import StoreUnavailable
from farebox.storage.records import AccountMail, Delivery, DeliveryState, Role, User
from farebox.storage.stores import Stores
from tests.alerts.hanging import WAYS, hanging_server
from tests.alerts.mailserver import composed, until
from tests.alerts.running import running
from tests.alerts.test_dispatcher import SERVER, FlakyStores, Post, dispatcher_of, failing
from tests.alerts.test_smtp import SHORT_S, a_message
from tests.support.ledger import NORTHWIND, NOW, SECOND, Ledger, add_merchant, do
from tests.support.server import Server, open_farebox, seed

STOP_S: Final = 5
"""This is promised of a stop. Farebox gives mails two seconds, and one more to write down what became of them."""

ANSWERS: Final = {"permanent": PermanentFailure("550 no such user"), "transient": TransientFailure("451 greylisted")}


@pytest.fixture
def post() -> Post:
    return Post()


def relay_of(ledger: Ledger, post: Post, **options: Any) -> Relay[EmailMessage]:
    return Relay(post, ledger.stores.mail_servers, ledger.clock, server=SERVER, **options)


async def pause_seconds(ledger: Ledger) -> float | None:
    pause = await ledger.stores.mail_servers.find(SERVER)
    return None if pause is None else (pause.paused_until - ledger.clock.now()) / SECOND


async def test_a_server_that_fails_is_given_up_and_tried_by_one_mail_at_a_time(
    ledger: Ledger, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    emails = [f"user{number}@example.com" for number in range(40)]
    await ledger.fire(*emails)
    post.on_send = failing(ServerFailure("the mail server can't be reached: no route"))
    dispatcher = dispatcher_of(ledger, post)
    assert CLAIM_MAX == await dispatcher.run_once()
    pauses = []
    for _ in range(6):
        pauses.append(await pause_seconds(ledger))
        assert 0 == await dispatcher.run_once()
        ledger.clock.move(pauses[-1] or 0)
        assert 1 == await dispatcher.run_once()
    assert [PAUSE_SECONDS_MIN, 60, 120, 240, PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX] == pauses
    assert CLAIM_MAX + 6 == post.tried.total()
    assert 1 == caplog.text.count("mail.example:587 takes no mails and is given up for 30 seconds")
    post.on_send = None
    ledger.clock.move(PAUSE_SECONDS_MAX)
    assert 1 == await dispatcher.run_once()
    assert await pause_seconds(ledger) is None
    while await dispatcher.run_once():
        pass
    assert await ledger.is_all_sent()
    assert sorted(emails) == post.recipients


async def test_a_mail_is_not_given_up_for_what_the_server_does(ledger: Ledger, post: Post) -> None:
    """A server that is away for two weeks gets the mail when it is back, at the next trial."""
    await ledger.fire("ann@example.com")
    post.on_send = failing(ServerFailure("no route"))
    dispatcher = dispatcher_of(ledger, post)
    # As often as the server is tried, for longer than a mail has attempts; then once an hour.
    for pause, count in ((PAUSE_SECONDS_MAX, 2 * ATTEMPTS_MAX), (3_600, 14 * 24)):
        for _ in range(count):
            assert await dispatcher.run_once() < 2
            ledger.clock.move(pause)
    assert post.tried.total() > 4 * ATTEMPTS_MAX
    assert ledger.clock.now() > NOW + 14 * 86_400 * SECOND
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.WAITING, "no route") == (mail.state, mail.last_error)
    assert FAILURES_MAX > mail.attempts
    post.on_send = None
    assert 1 == await dispatcher.run_once()
    assert ["ann@example.com"] == post.recipients


@pytest.mark.parametrize("answer", sorted(ANSWERS))
async def test_a_server_that_refuses_mails_answers_and_is_not_given_up(ledger: Ledger, post: Post, answer: str) -> None:
    await ledger.fire(*[f"user{number}@example.com" for number in range(CLAIM_MAX)])
    post.on_send = failing(ANSWERS[answer])
    assert CLAIM_MAX == await dispatcher_of(ledger, post).run_once()
    assert await pause_seconds(ledger) is None


async def test_an_answer_in_between_forgives_failures(ledger: Ledger, post: Post) -> None:
    relay = relay_of(ledger, post)
    for _ in range(3):
        for _ in range(FAILURES_MAX - 1):
            assert await relay.note_failure("no route") is None
        await relay.send(composed(a_message()), "ann@example.com")
    for _ in range(FAILURES_MAX - 1):
        assert await relay.note_failure("no route") is None
    assert NOW + PAUSE_SECONDS_MIN * SECOND == await relay.note_failure("no route")


async def test_all_processes_go_by_a_pause_and_any_of_them_ends_it(ledger: Ledger, post: Post) -> None:
    one, other = relay_of(ledger, post), relay_of(ledger, post)
    for _ in range(FAILURES_MAX):
        await one.note_failure("no route")
    assert [0, 0] == [await relay.acquire(5) for relay in (one, other)]
    ledger.clock.move(PAUSE_SECONDS_MIN)
    assert [1, 0] == [await other.acquire(5) for _ in range(2)]
    await other.send(composed(a_message()), "ann@example.com")
    other.release()
    assert [5, 5] == [await relay.acquire(5) for relay in (one, other)]


async def test_a_pause_that_can_not_be_read_or_written_harms_no_mail(ledger: Ledger, post: Post) -> None:
    flaky = FlakyStores(ledger.stores)
    relay = Relay(post, flaky.stores.mail_servers, ledger.clock, server=SERVER, connections_max=1)
    flaky.failures["mail_servers.find"] = 1
    with pytest.raises(StoreUnavailable):
        await relay.acquire(1)
    flaky.failures["mail_servers.pause"] = 1
    assert [None] * FAILURES_MAX == [await relay.note_failure("no route") for _ in range(FAILURES_MAX)]
    assert NOW + PAUSE_SECONDS_MIN * SECOND == await relay.note_failure("no route")
    flaky.failures["mail_servers.resume"] = 1
    await relay.send(composed(a_message()), "ann@example.com")
    assert PAUSE_SECONDS_MIN == await pause_seconds(ledger)
    await relay.send(composed(a_message()), "ann@example.com")
    assert await pause_seconds(ledger) is None
    assert 1 == await relay.acquire(1)


async def test_those_who_wait_for_a_connection_are_served_in_turn(ledger: Ledger, post: Post) -> None:
    """A backlog of alerts takes every connection, but not the one that an account mail waits for."""
    relay = relay_of(ledger, post, connections_max=2)
    assert 2 == await relay.acquire(9)
    account_mails, alerts = (asyncio.create_task(relay.acquire(9)) for _ in range(2))
    await asyncio.sleep(0)
    relay.release()
    assert 1 == await account_mails
    assert not alerts.done()
    relay.release()
    assert 1 == await alerts


async def test_one_merchants_thousands_delay_no_other_merchant(ledger: Ledger, post: Post) -> None:
    """Each mail takes a while; the other merchant's goes with the next free connection, not after 5,000."""
    other = NORTHWIND + 1
    connections_max = 4
    sent_before: list[int] = []

    async def dawdle(to: str) -> None:
        await asyncio.sleep(0.002)
        if to == "other@example.com":
            sent_before.append(len(post.sent))

    for number in range(5_000):
        await ledger.stores.users.add(User(NORTHWIND, 1_000 + number, f"user{number}@example.com", NOW))
    await ledger.fire()
    await add_merchant(ledger.stores, other)
    await ledger.stores.users.add(User(other, 1, "other@example.com", NOW))
    post.on_send = dawdle
    async with running(dispatcher_of(ledger, post, connections_max=connections_max)):
        await until(lambda: len(post.sent) > 20)
        before = len(post.sent)
        await do(ledger.stores, SetThresholds(other, (1,)), now=NOW)
        await until(lambda: bool(sent_before))
    assert sent_before[0] - before < 50 * connections_max


@pytest.mark.parametrize("way", WAYS)
async def test_a_server_that_hangs_makes_no_hours_of_queue(ledger: Ledger, way: str) -> None:
    """However many mails are owed, only some are tried before it is given up, and none is tried while it is."""

    async def is_given_up() -> bool:
        return await pause_seconds(ledger) is not None

    await ledger.fire(*[f"user{number}@example.com" for number in range(100)])
    with hanging_server(way) as url:
        transport = SmtpTransport(url, timeout_seconds=SHORT_S)
        dispatcher = dispatcher_of(ledger, transport, send_seconds_max=5 * SHORT_S)
        async with running(dispatcher):
            await until(is_given_up)
        attempted = [mail for mail in (await ledger.mails()).values() if mail.last_error is not None]
    assert FAILURES_MAX <= len(attempted) < CONNECTIONS_MAX + FAILURES_MAX
    assert {DeliveryState.WAITING} == {mail.state for mail in attempted}


async def owed(stores: Stores) -> tuple[Sequence[Delivery], Sequence[AccountMail]]:
    return await stores.deliveries.mails(merchant_id=None, limit=9), await stores.account_mails.list(9)


@asynccontextmanager
async def two_mails_on_their_way(path: Path, url: str) -> AsyncIterator[Server]:
    """Serve with an alert and an account mail on their way, to a mail server of this URL."""
    database_url = f"sqlite:///{path}"
    async with AsyncExitStack() as stack:
        farebox = await stack.enter_async_context(open_farebox(database_url))
        seeds = await seed(farebox)
        users, operations, stores = farebox.services.users, farebox.services.operations, farebox.stores
        await users.invite(seeds.merchant_id, "ann@example.com", Role.OWNER, principal=None)
        await operations.set_thresholds(seeds.merchant_id, ["1000"], principal=None)
        server = Server(database_url, environment={"FAREBOX_SMTP_URL": url})
        await asyncio.to_thread(server.start)
        stack.callback(server.close)

        async def are_tried() -> bool:
            (alert_mail,), (account_mail,) = await owed(stores)
            return (1, 1) == (alert_mail.attempts, account_mail.attempts)

        await until(are_tried)
        yield server


@pytest.mark.parametrize("way", WAYS)
async def test_a_stop_waits_for_no_mail_server(tmp_path: Path, way: str) -> None:
    with hanging_server(way) as url:
        async with two_mails_on_their_way(tmp_path / "farebox.db", url) as server:
            begun = time.monotonic()
            assert 0 == await asyncio.to_thread(server.stop)
            assert time.monotonic() - begun < STOP_S
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        (alert_mail,), (account_mail,) = await owed(farebox.stores)
        # Given back: the next process need not wait for the lease to end.
        assert max(alert_mail.next_attempt_at, account_mail.next_attempt_at) <= farebox.clock.now()
