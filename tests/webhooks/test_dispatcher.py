"""Messages to destinations on each engine: in order, lane by lane, none held up by another's, none lost."""

import asyncio
from contextlib import suppress
from typing import Final

import pytest
from msgspec.structs import replace

from farebox.alerts.transport import Withdrawn
from farebox.core.alerts import AlertKind
from farebox.core.staff_roles import StaffRole
from farebox.storage.destination_records import Channel, DestinationState
from farebox.storage.messages.queue import HELD_ATTEMPTS_MAX
from farebox.storage.records import DeliveryState, Login, Purpose, Realm
from farebox.storage.stores import Stores
from farebox.webhooks.dispatcher import (
    ATTEMPTS_MAX,
    BACKOFF_SECONDS,
    DESTINATION_CONNECTIONS_MAX,
    LEASE_SECONDS,
    PAUSE_SECONDS_MAX,
    PAUSE_SECONDS_MIN,
    DeliveryTimes,
)
from farebox.webhooks.send_result import SEND_SECONDS_MAX, SendResult
from tests.alerts.test_messages import MAIL_SETTINGS, text_of
from tests.support.ledger import ANN, BEN, NOW, SECOND, HeldClock, add_merchant
from tests.support.report_writer import staff_warnings
from tests.webhooks.outgoing import (
    AWAY,
    FAULTY,
    GONE,
    HOOKS,
    TAKEN,
    Script,
    add,
    attempts,
    deliveries,
    destination,
    dispatcher,
    health,
    tell,
)

HOUR: Final = 3600


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def ann(stores: Stores) -> Stores:
    """Ann and her destination."""
    await add_merchant(stores, ANN)
    await add(stores, destination())
    return stores


async def drained(stores: Stores, script: Script, clock: HeldClock, **more: object) -> None:
    """Let a dispatcher send all that is due."""
    queue = dispatcher(stores, script, clock, **more)
    while await queue.run_once():
        pass


def test_the_pace() -> None:
    """An hour until a lane goes on without one that fails, three days until it is given up."""
    times = DeliveryTimes()
    first = sum(times.backoff(attempts, 0.5) for attempts in range(1, HELD_ATTEMPTS_MAX))
    assert len(BACKOFF_SECONDS) == HELD_ATTEMPTS_MAX - 1
    assert 3_300 < first < 3_900
    whole = sum(times.backoff(attempts, 0.5) for attempts in range(1, ATTEMPTS_MAX))
    assert 71 * HOUR < whole < 73 * HOUR
    assert (9.0, 11.0) == (times.backoff(1, 0), times.backoff(1, 1))
    assert [0, 0, 30, 60, 120, 240, 300, 300] == [times.pause(failures) for failures in range(1, 9)]
    assert times.pause(10**6) == PAUSE_SECONDS_MAX
    assert LEASE_SECONDS > 3 * SEND_SECONDS_MAX


async def test_a_line_is_delivered_in_order_each_once(ann: Stores, clock: HeldClock) -> None:
    numbers = [await tell(ann) for _ in range(5)]
    script = Script()
    await drained(ann, script, clock)
    assert numbers == script.numbers()
    assert {DeliveryState.SENT} == {delivery.state for delivery in (await deliveries(ann)).values()}
    assert [(number, 1, 200, "thanks") for number in numbers] == await attempts(ann)
    assert 0 == await dispatcher(ann, script, clock).run_once()


async def test_nothing_overtakes_within_a_line_while_one_is_on_its_way(ann: Stores, clock: HeldClock) -> None:
    first, second = await tell(ann), await tell(ann)
    script, hangs = Script(), asyncio.Event()
    script.answers[HOOKS].append(hangs)
    queue = dispatcher(ann, script, clock)
    running = asyncio.create_task(queue.run_once())
    while not script.tried:
        await asyncio.sleep(0.01)
    assert 0 == await dispatcher(ann, Script(), clock).run_once()
    hangs.set()
    await running
    assert [(HOOKS, ANN, first)] == script.tried
    clock.move(BACKOFF_SECONDS[0])
    await drained(ann, script, clock)
    assert [first, second] == script.numbers()


async def test_one_that_fails_holds_its_line_for_an_hour_then_the_others_pass(ann: Stores, clock: HeldClock) -> None:
    first, second, third = [await tell(ann) for _ in range(3)]
    script = Script()
    script.answers[HOOKS].extend([FAULTY] * HELD_ATTEMPTS_MAX)
    began = clock.now()
    while not script.taken:
        await drained(ann, script, clock)
        clock.move(5)
    assert [second, third] == script.numbers()
    assert 3_300 < (clock.now() - began) / SECOND < 3_900
    assert HELD_ATTEMPTS_MAX == (await deliveries(ann))[first].attempts
    clock.move(HOUR)
    await drained(ann, script, clock)
    assert [second, third, first] == script.numbers()
    history = [row for row in await attempts(ann) if row[0] == first]
    assert [(first, number, 500, "sorry") for number in range(1, 9)] + [(first, 9, 200, "thanks")] == history


async def test_after_three_days_one_is_given_up(ann: Stores, clock: HeldClock) -> None:
    """Its destination takes others meanwhile, so that is not disabled."""
    number = await tell(ann)
    statement = f"UPDATE delivery SET attempts = {ATTEMPTS_MAX - 2}"
    await ann.connector.run_in_transaction(lambda fetch: fetch(statement))
    script = Script()
    script.always[HOOKS] = FAULTY
    await drained(ann, script, clock)
    assert DeliveryState.WAITING == (await deliveries(ann))[number].state
    clock.move(1.1 * HOUR)
    await drained(ann, script, clock)
    delivery = (await deliveries(ann))[number]
    assert (DeliveryState.GIVEN_UP, "500 sorry") == (delivery.state, delivery.last_error)
    assert DestinationState.ON == (await health(ann)).state


async def test_lines_of_other_merchants_and_destinations_go_on(ann: Stores, clock: HeldClock) -> None:
    await add_merchant(ann, BEN)
    await add(ann, destination(HOOKS + 1, BEN), destination(HOOKS + 2, None))
    script = Script()
    script.always[HOOKS] = FAULTY
    for merchant_id in (ANN, BEN, ANN, BEN):
        await tell(ann, merchant_id)
    await drained(ann, script, clock)
    assert [] == script.numbers(HOOKS)
    assert [1, 2] == script.numbers(HOOKS + 1)
    of_operator = [(merchant, number) for taker, merchant, number in script.taken if taker == HOOKS + 2]
    assert {(ANN, 1), (ANN, 2), (BEN, 1), (BEN, 2)} == set(of_operator)
    for merchant_id in (ANN, BEN):
        assert [1, 2] == [number for merchant, number in of_operator if merchant == merchant_id]


async def test_a_destination_that_hangs_holds_up_no_other_and_takes_few_connections(
    ann: Stores, clock: HeldClock
) -> None:
    """The operator's destination has a lane for each of twenty merchants; a merchant's own goes on beside it."""
    operators, hangs = HOOKS + 1, asyncio.Event()
    await add(ann, destination(operators, None))
    for merchant_id in range(BEN, BEN + 20):
        await add_merchant(ann, merchant_id)
        await tell(ann, merchant_id)
    await tell(ann)
    script = Script()
    script.always[operators] = hangs
    queue = dispatcher(ann, script, clock)
    running = asyncio.create_task(queue.start_due())
    async with asyncio.timeout(20):
        while not script.taken:
            await asyncio.sleep(0.01)
        await tell(ann)
        while len(script.taken) < 2:
            await asyncio.sleep(0.01)
    assert [1, 2] == script.numbers()
    assert DESTINATION_CONNECTIONS_MAX == sum(taker == operators for taker, _, _ in script.tried)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    hangs.set()
    await queue.stop()


async def test_a_destination_that_is_away_is_paused_and_tried_by_one(ann: Stores, clock: HeldClock) -> None:
    operators = HOOKS + 1
    await add(ann, destination(operators, None))
    merchants = range(BEN, BEN + 12)
    for merchant_id in merchants:
        await add_merchant(ann, merchant_id)
        await tell(ann, merchant_id)
    script = Script()
    script.always[operators] = AWAY
    began = clock.now()
    while clock.now() < began + 600 * SECOND:
        await drained(ann, script, clock)
        clock.move(5)
    assert len(script.tried) < 60
    found = await health(ann, operators)
    assert (began, DestinationState.ON) == (found.failing_since, found.state)
    assert clock.now() < found.paused_until <= clock.now() + PAUSE_SECONDS_MAX * SECOND
    script.always[operators] = TAKEN
    clock.time = found.paused_until
    for _ in range(3):
        await drained(ann, script, clock)
        clock.move(LEASE_SECONDS)
    assert {(operators, merchant_id, 1) for merchant_id in merchants} == set(script.taken)
    found = await health(ann, operators)
    assert (None, 0, 0) == (found.failing_since, found.failures, found.paused_until)


async def test_once_it_is_back_all_that_waits_comes_at_once_and_in_order(ann: Stores, clock: HeldClock) -> None:
    numbers = [await tell(ann) for _ in range(4)]
    script = Script()
    script.always[HOOKS] = AWAY
    for _ in range(3_000):
        await drained(ann, script, clock)
        clock.move(5)
    late = [number for number, delivery in (await deliveries(ann)).items() if delivery.attempts >= HELD_ATTEMPTS_MAX]
    assert len(late) >= 2
    script.always[HOOKS] = TAKEN
    clock.move(HOUR + 600)
    await drained(ann, script, clock)
    assert sorted(script.numbers()) == numbers
    assert len(numbers) == len(script.taken)


async def test_a_receiver_may_ask_to_be_left_alone(ann: Stores, clock: HeldClock) -> None:
    await tell(ann)
    script = Script()
    script.answers[HOOKS].append(SendResult(429, "slow down", 1_000, retry_after_seconds=1_000))
    await drained(ann, script, clock)
    clock.move(990)
    await drained(ann, script, clock)
    assert [] == script.taken
    clock.move(10)
    await drained(ann, script, clock)
    assert [1] == script.numbers()


@pytest.mark.parametrize("way", ["gone", "three days"])
async def test_a_destination_is_disabled_and_its_merchant_told(ann: Stores, clock: HeldClock, way: str) -> None:
    await add(ann, destination(HOOKS + 1))
    await tell(ann)
    await tell(ann)
    script = Script()
    script.always[HOOKS] = GONE if way == "gone" else AWAY
    if way == "three days":
        for _ in range(78):
            await drained(ann, script, clock)
            clock.move(HOUR)
    await drained(ann, script, clock)
    found = await health(ann)
    assert DestinationState.DISABLED == found.state
    assert {"gone": "410 gone", "three days": "nobody listens"}[way] == found.disabled_reason
    assert {DeliveryState.GIVEN_UP} == {delivery.state for delivery in (await deliveries(ann)).values()}
    alert = (await ann.deliveries.alerts(ANN, 1))[0]
    assert (3, AlertKind.DESTINATION_DISABLED) == (alert.number, alert.kind)
    assert (HOOKS, "hooks") == (alert.read_facts["destination_id"], alert.read_facts["name"])
    await drained(ann, script, clock)
    assert [1, 2, 3] == script.numbers(HOOKS + 1)
    await tell(ann)
    assert [1, 2] == sorted(await deliveries(ann))


async def test_the_operators_destination_is_disabled_too_and_staff_who_set_such_up_are_told(
    stores: Stores, clock: HeldClock
) -> None:
    for number, role in enumerate((StaffRole.ADMINISTRATOR, StaffRole.SUPPORT, StaffRole.VIEWER), start=1):
        email = f"staff{number}@farebox.example"
        await stores.logins.add(Login(number, Realm.SUPPORT, email, "Sam", NOW, "no password", roles=role))
    silent = Login(4, Realm.SUPPORT, "una@farebox.example", "Una", NOW, "no password", roles=StaffRole.ADMINISTRATOR)
    await stores.logins.add(replace(silent, mail_kinds=1 << AlertKind.UNUSUAL_SPENDING))
    await add_merchant(stores, ANN)
    await add(stores, destination(HOOKS, None))
    await tell(stores)
    script = Script()
    script.always[HOOKS] = GONE
    await drained(stores, script, clock)
    assert DestinationState.DISABLED == (await health(stores)).state
    assert 1 == len(await stores.deliveries.alerts(ANN, 10))
    (mail,) = await stores.account_mails.list(9)
    # One of both administrators wants no such warning.
    assert (Purpose.DESTINATION_DISABLED, 1, clock.now()) == (mail.purpose, mail.login_id, mail.next_attempt_at)
    login = await stores.logins.get(1)
    assert login is not None
    warnings = staff_warnings(stores, clock, MAIL_SETTINGS)
    message = await warnings.compose(mail, login, "<mail@farebox.example>")
    assert "1 destination of the operator was disabled" == message["Subject"]
    for words in ("hooks, disabled at ", ": 410 gone", f"{MAIL_SETTINGS.public_url}/support/webhooks"):
        assert words in text_of(message)
    on = "UPDATE destination SET state = 1, disabled_at = NULL, disabled_reason = NULL"
    await stores.connector.run_in_transaction(lambda fetch: fetch(on))
    with pytest.raises(Withdrawn):
        await warnings.compose(mail, login, "<mail@farebox.example>")


async def test_what_was_taken_up_as_its_destination_was_disabled_is_given_up_as_the_others_are(
    ann: Stores, clock: HeldClock
) -> None:
    await tell(ann)
    disabled = "UPDATE destination SET state = 3, disabled_at = 1, disabled_reason = '410 gone'"
    await ann.connector.run_in_transaction(lambda fetch: fetch(disabled))
    script = Script()
    await drained(ann, script, clock)
    (delivery,) = (await deliveries(ann)).values()
    assert (DeliveryState.GIVEN_UP, []) == (delivery.state, script.tried)
    assert "the destination was disabled" == delivery.last_error


@pytest.mark.parametrize("way", ["off", "deleted"])
async def test_what_waits_for_a_destination_that_is_off_or_gone_is_withdrawn(
    ann: Stores, clock: HeldClock, way: str
) -> None:
    await tell(ann)
    statement = {"off": "UPDATE destination SET state = 2", "deleted": "DELETE FROM destination"}[way]
    await ann.connector.run_in_transaction(lambda fetch: fetch(statement))
    script = Script()
    await drained(ann, script, clock)
    (delivery,) = (await deliveries(ann)).values()
    assert (DeliveryState.WITHDRAWN, []) == (delivery.state, script.tried)
    assert delivery.last_error is not None
    assert way in delivery.last_error


async def test_what_a_killed_process_had_claimed_is_due_when_its_lease_ends(ann: Stores, clock: HeldClock) -> None:
    first, second = await tell(ann), await tell(ann)
    keys = await ann.message_queue.heads(Channel.WEBHOOK, clock.now(), after=-1, limit=10)
    until = clock.now() + LEASE_SECONDS * SECOND
    assert 1 == len(await ann.message_queue.lease(keys, clock.now(), until=until))
    assert [] == await ann.message_queue.lease(keys, clock.now(), until=until)
    script = Script()
    await drained(ann, script, clock)
    assert [] == script.tried
    clock.move(LEASE_SECONDS)
    await drained(ann, script, clock)
    assert [first, second] == script.numbers()


async def test_many_dispatchers_deliver_each_once_and_in_order(ann: Stores, clock: HeldClock) -> None:
    merchants = range(BEN, BEN + 5)
    for merchant_id in merchants:
        await add_merchant(ann, merchant_id)
        await add(ann, destination(HOOKS + merchant_id, merchant_id))
    for _ in range(8):
        for merchant_id in merchants:
            await tell(ann, merchant_id)
    script = Script()
    await asyncio.gather(*[drained(ann, script, clock) for _ in range(4)])
    await drained(ann, script, clock)
    for merchant_id in merchants:
        assert list(range(1, 9)) == script.numbers(HOOKS + merchant_id)
    assert 40 == len(script.tried)


async def test_a_stop_gives_back_what_is_on_its_way(ann: Stores, clock: HeldClock) -> None:
    number = await tell(ann)
    script = Script()
    script.answers[HOOKS].append(asyncio.Event())
    queue = dispatcher(ann, script, clock)
    queue._stop_seconds_max = 0.05
    running = asyncio.create_task(queue.start_due())
    while not script.tried:
        await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await queue.stop()
    delivery = (await deliveries(ann))[number]
    assert (DeliveryState.WAITING, 0) == (delivery.state, delivery.attempts)
    await drained(ann, script, clock)
    assert [number] == script.numbers()


async def test_an_alert_for_another_channel_is_another_dispatchers(ann: Stores, clock: HeldClock) -> None:
    await add(ann, destination(HOOKS + 1, channel=Channel.CHAT))
    await tell(ann)
    script = Script()
    await drained(ann, script, clock)
    assert {HOOKS} == {taker for taker, _, _ in script.tried}


async def test_old_attempts_are_forgotten(ann: Stores, clock: HeldClock) -> None:
    for _ in range(3):
        await tell(ann)
        await drained(ann, Script(), clock)
        clock.move(HOUR)
    before = clock.now() - 90 * 60 * SECOND
    assert [1, 1, 0] == [await ann.message_queue.forget_attempts(before, limit=1) for _ in range(3)]
    assert [3] == [row[0] for row in await attempts(ann)]


async def test_a_transport_that_fails_in_a_way_nobody_foresaw(ann: Stores, clock: HeldClock) -> None:
    class Broken(Script):
        async def send(self, *_: object) -> SendResult:
            raise RuntimeError("what?")

    number = await tell(ann)
    await drained(ann, Broken(), clock)
    delivery = (await deliveries(ann))[number]
    assert (DeliveryState.WAITING, "RuntimeError: what?") == (delivery.state, delivery.last_error)


def test_a_pause_begins_with_half_a_minute() -> None:
    assert PAUSE_SECONDS_MIN == DeliveryTimes().pause(3)
