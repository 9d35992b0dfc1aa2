"""The dispatcher over a real ledger: each mail owed is sent, once, whatever goes wrong on its way."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.alerts.delivery_loop import CLAIM_MAX
from farebox.alerts.dispatcher import (
    ATTEMPTS_MAX,
    BACKOFF_SECONDS_MAX,
    LEASE_SECONDS,
    Dispatcher,
    backoff_seconds,
)
from farebox.alerts.outbox import Outbox
from farebox.alerts.relay import (
    CONNECTIONS_MAX,
    SEND_SECONDS_MAX,
    Relay,
)
from farebox.alerts.transport import Compose, PermanentFailure, TransientFailure, Transport
from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind
from farebox.service.insight.burn_model import DAY
from farebox.service.insight.forecast import Runway, RunwayReader
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.storage.interface import NotFound, StoreUnavailable
from farebox.storage.records import Delivery, DeliveryState
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.alerts.mailserver import until
from tests.alerts.running import running
from tests.alerts.test_messages import MAIL_SETTINGS, text_of
from tests.support.ledger import NORTHWIND, NOW, SECOND, Ledger
from tests.support.watched_stores import watched_stores

NEVER_S: Final = 3600.0
"""A pause that no test waits for."""

QUICK_S: Final = 0.01
SERVER: Final = "mail.example:587"


class Post:
    """A transport that keeps what it is given, and does as a test says before it takes a mail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, EmailMessage]] = []
        self.tried: Counter[str] = Counter()
        self.on_send: Callable[[str], Awaitable[None]] | None = None

    async def send(self, compose: Compose[EmailMessage], to: str) -> None:
        self.tried[to] += 1
        if self.on_send is not None:
            await self.on_send(to)
        self.sent.append((to, await compose()))

    @property
    def recipients(self) -> list[str]:
        return sorted(to for to, _ in self.sent)


class FlakyStores:
    """Stores some of whose calls fail before they do anything, as often as a test says."""

    def __init__(self, stores: Stores) -> None:
        self.stores = watched_stores(stores, self._call)
        self.failures: Counter[str] = Counter()
        self.error: Exception = StoreUnavailable("the database is away")

    async def _call(self, name: str, method: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        if self.failures[name] > 0:
            self.failures[name] -= 1
            raise self.error
        return await method(*args, **options)


class FixedRunways(RunwayReader):
    """Every account lasts as long as RUNWAY says."""

    def __init__(self) -> None:
        pass

    async def read(self, account: Account) -> Runway | None:
        return Runway(now=NOW, until=NOW + 5 * DAY, until_low=NOW + 4 * DAY, until_high=NOW + 7 * DAY, burn_per_day=1)


class BrokenRunways(FixedRunways):
    """A forecast that fails."""

    async def read(self, account: Account) -> Runway | None:
        raise ZeroDivisionError


@pytest.fixture
def post() -> Post:
    return Post()


def dispatcher_of(ledger: Ledger, transport: Transport[EmailMessage], **options: Any) -> Dispatcher[Delivery]:
    defaults: dict[str, Any] = {
        "stores": ledger.stores,
        "runways": FixedRunways(),
        "poll_seconds": QUICK_S,
        "stop_seconds_max": QUICK_S,
    }
    chosen = defaults | options
    stores, runways = chosen.pop("stores"), chosen.pop("runways")
    of_relay = {name: chosen.pop(name) for name in ("connections_max", "send_seconds_max") if name in chosen}
    relay = Relay(transport, stores.mail_servers, ledger.clock, server=SERVER, **of_relay)
    outbox = Outbox(stores, runways, MAIL_SETTINGS, Unsubscribing(stores, Signer(""), ledger.clock))
    return Dispatcher(outbox, relay, ledger.clock, **chosen)


async def hang(to: str) -> None:
    await asyncio.sleep(NEVER_S)


def failing(error: Exception) -> Callable[[str], Awaitable[None]]:
    async def fail(to: str) -> None:
        raise error

    return fail


async def test_each_user_gets_one_mail_for_an_alert(ledger: Ledger, post: Post) -> None:
    emails = [f"user{number}@example.com" for number in range(25)]
    await ledger.fire(*emails)
    dispatcher = dispatcher_of(ledger, post)
    counts = [await dispatcher.run_once() for _ in range(4)]
    assert [CLAIM_MAX, CLAIM_MAX, 25 - 2 * CLAIM_MAX, 0] == counts
    assert sorted(emails) == post.recipients
    for mail in (await ledger.mails()).values():
        assert (DeliveryState.SENT, NOW, None, 1) == (mail.state, mail.sent_at, mail.last_error, mail.attempts)


async def test_a_mail_tells_what_the_ledger_and_the_forecast_tell(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann@example.com")
    await dispatcher_of(ledger, post).run_once()
    text = text_of(post.sent[0][1])
    assert "What brought it down  a charge of 0.50 USD for 1 x image\n" in text
    assert "Lasts                 about 5 days, likely 4 to 7 days\n" in text


async def test_without_users_nothing_is_owed(ledger: Ledger, post: Post) -> None:
    await ledger.fire()
    assert 0 == await dispatcher_of(ledger, post).run_once()
    alerts = await ledger.stores.deliveries.alerts(NORTHWIND, 10)
    assert [AlertKind.LOW_BALANCE, AlertKind.TOP_UP] == [alert.kind for alert in alerts]


async def test_an_idle_dispatcher_writes_nothing(ledger: Ledger, post: Post) -> None:
    flaky = FlakyStores(ledger.stores)
    flaky.failures["deliveries.claim_mails"] = 1
    assert 0 == await dispatcher_of(ledger, post, stores=flaky.stores).run_once()
    assert 1 == flaky.failures["deliveries.claim_mails"]


def test_backoff_doubles_up_to_an_hour() -> None:
    waits = [backoff_seconds(attempts) for attempts in range(1, 11)]
    assert [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600] == waits
    assert BACKOFF_SECONDS_MAX == backoff_seconds(10**6)


def test_a_lease_outlasts_a_mail() -> None:
    assert 2 * SEND_SECONDS_MAX < LEASE_SECONDS


async def test_a_mail_that_never_goes_is_given_up_after_three_days(
    ledger: Ledger, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.fire("ann@example.com")
    post.on_send = failing(TransientFailure("the mail server can't be reached"))
    dispatcher = dispatcher_of(ledger, post)
    while (due_at := await ledger.stores.deliveries.next_mail_at()) is not None:
        ledger.clock.time = due_at - 1
        assert 0 == await dispatcher.run_once()
        ledger.clock.time = due_at
        assert 1 == await dispatcher.run_once()
    assert ATTEMPTS_MAX == post.tried["ann@example.com"]
    assert 71 <= (ledger.clock.now() - NOW) / SECOND / 3600 <= 73
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.GIVEN_UP, "the mail server can't be reached") == (mail.state, mail.last_error)
    assert "is given up after attempt 78" in caplog.text
    # What the operator has mended, `farebox outbox retry` sends.
    post.on_send = None
    assert 1 == await ledger.stores.deliveries.retry_mails(ledger.clock.now())
    assert 1 == await dispatcher.run_once()
    assert ["ann@example.com"] == post.recipients


async def test_a_permanent_refusal_gives_up_one_mail_and_no_other(ledger: Ledger, post: Post) -> None:
    async def refuse_ann(to: str) -> None:
        if to == "ann@example.com":
            raise PermanentFailure("550 no such user")

    await ledger.fire("ann@example.com", "ben@example.com")
    post.on_send = refuse_ann
    assert 2 == await dispatcher_of(ledger, post).run_once()
    mails = await ledger.mails()
    assert (DeliveryState.GIVEN_UP, "550 no such user") == (
        mails["ann@example.com"].state,
        mails["ann@example.com"].last_error,
    )
    assert DeliveryState.SENT == mails["ben@example.com"].state


async def test_an_address_that_is_none_is_given_up(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann", "ben@example.com")
    assert 2 == await dispatcher_of(ledger, post).run_once()
    mails = await ledger.mails()
    assert (DeliveryState.GIVEN_UP, "'ann' is not an e-mail address") == (mails["ann"].state, mails["ann"].last_error)
    assert ["ben@example.com"] == post.recipients


async def test_a_mail_that_takes_too_long_is_tried_again(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann@example.com")
    post.on_send = hang
    await dispatcher_of(ledger, post, send_seconds_max=QUICK_S).run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.WAITING, NOW + 60 * SECOND) == (mail.state, mail.next_attempt_at)
    assert "the mail server took too long" == mail.last_error


async def test_what_nobody_foresaw_is_logged_and_tried_again(
    ledger: Ledger, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.fire("ann@example.com")
    post.on_send = failing(ZeroDivisionError("what\n\x00now?"))
    await dispatcher_of(ledger, post).run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.WAITING, "ZeroDivisionError: what now?") == (mail.state, mail.last_error)
    assert "Traceback" in caplog.text


async def test_a_long_reason_is_cut(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann@example.com")
    post.on_send = failing(TransientFailure("x" * 100_000))
    await dispatcher_of(ledger, post).run_once()
    assert "x" * 500 == (await ledger.mails())["ann@example.com"].last_error


async def test_a_forecast_that_fails_does_not_hold_up_the_warning(
    ledger: Ledger, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.fire("ann@example.com")
    await dispatcher_of(ledger, post, runways=BrokenRunways()).run_once()
    assert ["ann@example.com"] == post.recipients
    assert "Lasts" not in text_of(post.sent[0][1])
    assert "goes without a runway" in caplog.text


@pytest.mark.parametrize("method", ["merchants.find", "accounts.find", "transfers.at"])
async def test_a_database_that_goes_away_while_a_mail_is_written(ledger: Ledger, post: Post, method: str) -> None:
    await ledger.fire("ann@example.com")
    flaky = FlakyStores(ledger.stores)
    flaky.failures[method] = 1
    await dispatcher_of(ledger, post, stores=flaky.stores).run_once()
    mail = (await ledger.mails())["ann@example.com"]
    assert DeliveryState.WAITING == mail.state
    assert "can't be read: the database is away" in str(mail.last_error)
    assert [] == post.sent


async def test_a_sent_mail_is_written_down_when_the_database_is_back(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann@example.com")
    flaky = FlakyStores(ledger.stores)
    flaky.failures["deliveries.settle"] = 3
    await dispatcher_of(ledger, post, stores=flaky.stores).run_once()
    assert DeliveryState.SENT == (await ledger.mails())["ann@example.com"].state
    assert 1 == post.tried["ann@example.com"]


async def test_after_its_lease_a_mail_is_no_longer_ours_to_write_down(
    ledger: Ledger, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    async def take_the_whole_lease(to: str) -> None:
        ledger.clock.move(LEASE_SECONDS)

    await ledger.fire("ann@example.com")
    flaky = FlakyStores(ledger.stores)
    flaky.failures["deliveries.settle"] = 1
    post.on_send = take_the_whole_lease
    await dispatcher_of(ledger, post, stores=flaky.stores).run_once()
    assert "can't be written down: the database is away" in caplog.text
    assert DeliveryState.WAITING == (await ledger.mails())["ann@example.com"].state


@pytest.mark.parametrize("error", [NotFound("no such mail"), ZeroDivisionError("a bug")])
async def test_a_mail_that_can_not_be_written_down_harms_no_other(
    ledger: Ledger, post: Post, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.fire("ann@example.com", "ben@example.com")
    flaky = FlakyStores(ledger.stores)
    flaky.error = error
    flaky.failures["deliveries.settle"] = 1
    assert 2 == await dispatcher_of(ledger, post, stores=flaky.stores).run_once()
    assert 1 == sum(mail.state == DeliveryState.SENT for mail in (await ledger.mails()).values())
    assert caplog.text


async def test_the_log_names_alerts_and_addresses_and_nobody(
    ledger: Ledger, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ledger.fire("ann@example.com")
    await dispatcher_of(ledger, post).run_once()
    lines = [record.getMessage() for record in caplog.records if record.name == "farebox.alerts"]
    assert ["alert_38RRBH800000700000002 was sent to ann@example.com"] == lines


async def test_run_sends_what_falls_due_while_it_runs(ledger: Ledger, post: Post) -> None:
    async with running(dispatcher_of(ledger, post)):
        await ledger.fire("ann@example.com")
        await until(lambda: ["ann@example.com"] == post.recipients)
        await ledger.top_up(100)
        await ledger.charge(images=200)
        await until(lambda: 2 == len(post.sent))
    assert 2 == len({message["Message-ID"] for _, message in post.sent})


async def test_a_mail_that_falls_due_is_not_slept_through(ledger: Ledger, post: Post) -> None:
    is_asleep = asyncio.Event()

    async def look(name: str, method: Callable[..., Awaitable[Any]], *args: Any, **options: Any) -> Any:
        if name == "deliveries.next_mail_at":
            # The dispatcher looks without a pause in between, so this comes about when it pauses.
            asyncio.get_running_loop().call_soon(is_asleep.set)
        return await method(*args, **options)

    await ledger.fire("ann@example.com")
    (mail,) = await ledger.stores.deliveries.claim_mails(NOW, lease_until=NOW + 1, limit=1)
    await ledger.stores.deliveries.settle(replace(mail, next_attempt_at=NOW + SECOND // 20))
    stores = watched_stores(ledger.stores, look)
    async with running(dispatcher_of(ledger, post, stores=stores, poll_seconds=NEVER_S)):
        await is_asleep.wait()
        ledger.clock.move(1)
        await until(lambda: ["ann@example.com"] == post.recipients)


async def test_one_that_hangs_holds_up_one_connection_and_nobody_else(ledger: Ledger, post: Post) -> None:
    async def hang_for_ann(to: str) -> None:
        if to.startswith("ann"):
            await hang(to)

    anns = [f"ann{number}@example.com" for number in range(CONNECTIONS_MAX - 1)]
    bens = [f"ben{number}@example.com" for number in range(2 * CONNECTIONS_MAX)]
    await ledger.fire(*anns, *bens)
    post.on_send = hang_for_ann
    async with running(dispatcher_of(ledger, post)):
        await until(lambda: sorted(bens) == post.recipients)
        assert {1} == {post.tried[ann] for ann in anns}


async def test_no_more_than_so_many_are_on_their_way_at_once(ledger: Ledger, post: Post) -> None:
    await ledger.fire(*[f"user{number}@example.com" for number in range(CONNECTIONS_MAX + 1)])
    post.on_send = hang
    async with running(dispatcher_of(ledger, post)):
        await until(lambda: CONNECTIONS_MAX == post.tried.total())
        for _ in range(10):
            await asyncio.sleep(QUICK_S)
        assert CONNECTIONS_MAX == post.tried.total()
        # The one that waits is not leased: another process may send it meanwhile.
        assert NOW == await ledger.stores.deliveries.next_mail_at()


async def test_a_stop_gives_back_what_was_on_its_way(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann@example.com")
    post.on_send = hang
    async with running(dispatcher_of(ledger, post)):
        await until(lambda: 1 == post.tried["ann@example.com"])
    mail = (await ledger.mails())["ann@example.com"]
    assert (DeliveryState.WAITING, NOW) == (mail.state, mail.next_attempt_at)
    assert "the server was stopped while this mail was on its way" == mail.last_error
    post.on_send = None
    assert 1 == await dispatcher_of(ledger, post).run_once()
    assert ["ann@example.com"] == post.recipients


async def test_a_stop_lets_a_mail_come_through(ledger: Ledger, post: Post) -> None:
    leave = asyncio.Event()

    async def wait_for_leave(to: str) -> None:
        await leave.wait()

    await ledger.fire("ann@example.com")
    post.on_send = wait_for_leave
    async with running(dispatcher_of(ledger, post, stop_seconds_max=NEVER_S)) as (task,):
        await until(lambda: 1 == post.tried["ann@example.com"])
        task.cancel()
        await asyncio.sleep(QUICK_S)
        leave.set()
    assert DeliveryState.SENT == (await ledger.mails())["ann@example.com"].state


async def test_a_stop_does_not_forget_that_a_mail_was_sent(ledger: Ledger, post: Post) -> None:
    await ledger.fire("ann@example.com")
    flaky = FlakyStores(ledger.stores)
    flaky.failures["deliveries.settle"] = 10**9
    async with running(dispatcher_of(ledger, post, stores=flaky.stores, poll_seconds=NEVER_S, stop_seconds_max=0)) as (
        task,
    ):
        await until(lambda: flaky.failures["deliveries.settle"] < 10**9)
        flaky.failures.clear()
        task.cancel()
    assert DeliveryState.SENT == (await ledger.mails())["ann@example.com"].state


@pytest.mark.parametrize("error", [StoreUnavailable("the database is away"), ZeroDivisionError("a bug")])
@pytest.mark.parametrize("method", ["deliveries.next_mail_at", "deliveries.claim_mails"])
async def test_a_database_that_is_away_is_waited_for(
    ledger: Ledger, post: Post, method: str, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await ledger.fire("ann@example.com")
    flaky = FlakyStores(ledger.stores)
    flaky.error = error
    flaky.failures[method] = 5
    async with running(dispatcher_of(ledger, post, stores=flaky.stores)) as (task,):
        await until(lambda: ["ann@example.com"] == post.recipients)
        assert not task.done()
    if isinstance(error, StoreUnavailable):
        assert 1 == caplog.text.count("mails wait: the database is away")
        assert 1 == caplog.text.count("mails go on")


async def test_two_dispatchers_on_one_database_send_each_mail_once(ledger: Ledger, post: Post) -> None:
    async def dawdle(to: str) -> None:
        await asyncio.sleep(0)

    post.on_send = dawdle
    emails = [f"user{number}@example.com" for number in range(60)]
    await ledger.fire(*emails)
    other = Stores.over(SqliteConnector(ledger.path))
    await other.connector.open()
    try:
        async with running(dispatcher_of(ledger, post)), running(dispatcher_of(ledger, post, stores=other)):
            await until(ledger.is_all_sent)
    finally:
        await other.connector.close()
    assert dict.fromkeys(emails, 1) == post.tried
