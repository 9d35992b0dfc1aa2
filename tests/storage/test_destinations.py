"""Destinations, on every engine: kept and changed, what was sent there, and what is sent there once more."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind, kind_set
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.interface import Fetch, NotFound
from farebox.storage.messages.destinations import TooMany
from farebox.storage.records import DeliveryState, Role, User
from farebox.storage.stores import Stores
from tests.storage.engines import Engine
from tests.support.ledger import ANN, BEN, NOW, add_merchant

SECOND: Final = 1_000_000
EVERY_KIND: Final = kind_set(*AlertKind)
NEWEST: Final = 10**9


def destination(number: int, merchant_id: int | None = ANN, **fields: Any) -> Destination:
    made = Destination(
        *(number, merchant_id, None, Channel.WEBHOOK, f"hook {number}", f"https://example.com/{number}", EVERY_KIND),
        *(DestinationState.ON, b"secret", None, None, NOW),
    )
    return replace(made, **fields)


async def add(stores: Stores, *destinations: Destination, count_max: int = 99, own_count_max: int = 99) -> None:
    for each in destinations:
        await stores.destinations.add(each, count_max=count_max, own_count_max=own_count_max)


async def tell(stores: Stores, at: int, kind: AlertKind = AlertKind.RUNWAY_SHORT, merchant_id: int = ANN) -> None:
    async def due(_: Fetch, __: Account) -> dict[str, Any]:
        return {"days": 7}

    await stores.deliveries.tell(merchant_id, kind, at, due)


async def settle(stores: Stores, one: Destination, alert_number: int, state: DeliveryState, at: int = NOW) -> None:
    found = await stores.destinations.delivery(one, one.merchant_id or ANN, alert_number)
    assert found is not None
    sent_at = at if state == DeliveryState.SENT else None
    await stores.deliveries.settle(replace(found, state=state, attempts=3, sent_at=sent_at, last_error="503"))


async def attempted(
    engine: Engine, one: Destination, alert_number: int, number: int, at: int, status: int | None = 503
) -> None:
    written = "NULL" if status is None else str(status)
    await engine.execute(
        "INSERT INTO delivery_attempt "
        "(merchant_id, alert_number, channel, recipient_id, number, at, took, status, answer) VALUES "
        f"({ANN}, {alert_number}, {one.channel}, {one.destination_id}, {number}, "
        f"{at}, 7, {written}, 'answer {number}')"
    )


@pytest.fixture
async def ready(stores: Stores) -> Stores:
    for merchant_id in (ANN, BEN):
        await add_merchant(stores, merchant_id)
    return stores


async def test_destinations_are_kept_whole_and_listed_by_whose_they_are(ready: Stores) -> None:
    await ready.users.add(User(ANN, 5, "ann@example.com", NOW))
    own = destination(2, user_id=5, channel=Channel.CHAT)
    others = [destination(3, BEN), destination(4, None)]
    await add(ready, destination(1), own, *others)
    assert [destination(1), own] == await ready.destinations.list(ANN)
    assert [others[0]] == await ready.destinations.list(BEN)
    assert [others[1]] == await ready.destinations.list(None)
    assert own == await ready.destinations.find(2)
    assert await ready.destinations.find(9) is None


async def test_there_are_no_more_than_there_may_be(ready: Stores) -> None:
    await add(ready, destination(1, user_id=5), destination(2), destination(3, None))
    for one, bounds in ((destination(7), (2, 9)), (destination(7, user_id=5), (9, 1)), (destination(7, None), (1, 9))):
        with pytest.raises(TooMany):
            await add(ready, one, count_max=bounds[0], own_count_max=bounds[1])
    await add(ready, destination(4, user_id=6), count_max=3, own_count_max=1)
    await add(ready, destination(5, BEN), count_max=1)


async def test_a_merchants_must_be_there(ready: Stores) -> None:
    with pytest.raises(NotFound):
        await add(ready, destination(1, 77))


async def test_what_is_changed_is_changed_and_nothing_else(ready: Stores) -> None:
    await add(ready, destination(1), destination(2))
    changed = destination(1, name="orders", url="https://example.com/x", kinds=2, secret=b"other", version=2)
    await ready.destinations.change(replace(changed, state=DestinationState.OFF, created_at=1))
    assert [changed, destination(2)] == await ready.destinations.list(ANN)


async def test_a_rotated_secret_leaves_the_one_before_for_a_while(ready: Stores) -> None:
    await add(ready, destination(1))
    await ready.destinations.rotate(destination(1), b"second", overlap_until=NOW + 1)
    rotated = destination(1, secret=b"second", secret_before=b"secret", secret_before_until=NOW + 1)
    assert rotated == await ready.destinations.find(1)
    # What the caller had read before is not gone by.
    await ready.destinations.rotate(destination(1), b"third", overlap_until=NOW + 2)
    assert b"second" == (await ready.destinations.find(1) or rotated).secret_before
    await ready.destinations.rotate(destination(1), b"fourth", overlap_until=None)
    assert destination(1, secret=b"fourth") == await ready.destinations.find(1)


async def test_turned_on_it_has_never_failed(ready: Stores) -> None:
    disabled = destination(
        1,
        state=DestinationState.DISABLED,
        failing_since=NOW,
        failures=7,
        paused_until=NOW + 9,
        disabled_at=NOW,
        disabled_reason="410 Gone",
    )
    await add(ready, disabled)
    assert disabled == await ready.destinations.find(1)
    await ready.destinations.set_state(disabled, DestinationState.ON)
    assert destination(1) == await ready.destinations.find(1)
    await ready.destinations.set_state(disabled, DestinationState.OFF)
    assert destination(1, state=DestinationState.OFF) == await ready.destinations.find(1)


async def test_what_is_deleted_is_gone_for_every_call(ready: Stores) -> None:
    one = destination(1)
    await add(ready, one)
    await ready.destinations.delete(one)
    assert [] == await ready.destinations.list(ANN)
    for call in (
        ready.destinations.delete(one),
        ready.destinations.change(one),
        ready.destinations.rotate(one, b"other", overlap_until=None),
        ready.destinations.set_state(one, DestinationState.ON),
    ):
        with pytest.raises(NotFound):
            await call


async def test_with_a_user_go_their_own_destinations(ready: Stores) -> None:
    for number, merchant_id in ((5, ANN), (6, ANN), (7, BEN)):
        await ready.users.add(User(merchant_id, number, f"user{number % 6}@example.com", NOW, Role.OWNER))
    kept = [destination(2, user_id=6), destination(3)]
    await add(ready, destination(1, user_id=5), *kept)
    await ready.users.remove(ANN, "user5@example.com", is_owner_needed=True)
    assert kept == await ready.destinations.list(ANN)


async def test_a_user_is_mailed_what_they_chose(ready: Stores) -> None:
    await ready.users.add(User(ANN, 5, "Ann@example.com", NOW))
    await ready.users.set_mail_kinds(ANN, "ann@example.com", 6)
    assert User(ANN, 5, "Ann@example.com", NOW, mail_kinds=6) == await ready.users.find(ANN, "ann@example.com")
    assert await ready.users.find(BEN, "ann@example.com") is None
    with pytest.raises(NotFound):
        await ready.users.set_mail_kinds(BEN, "ann@example.com", 6)


async def test_what_was_sent_is_listed_newest_first_with_the_last_attempt(engine: Engine, ready: Stores) -> None:
    one = destination(1)
    await add(ready, one, destination(2))
    for at in range(3):
        await tell(ready, NOW + at)
    for number in (1, 2):
        await attempted(engine, one, 2, number, NOW + number, status=None)
    found = await ready.destinations.sent(one, before=NEWEST, limit=9)
    assert [3, 2, 1] == [sent.delivery.alert.number for sent in found]
    assert [None, "answer 2", None] == [sent.attempt and sent.attempt.answer for sent in found]
    (middle,) = await ready.destinations.sent(one, before=3, limit=1)
    assert found[1] == middle
    attempts = await ready.destinations.attempts(middle.delivery, 9)
    assert [(2, NOW + 2, 7, None), (1, NOW + 1, 7, None)] == [
        (attempt.number, attempt.at, attempt.took, attempt.status) for attempt in attempts
    ]


async def test_of_the_operators_every_attempt_is_listed_the_last_first(engine: Engine, ready: Stores) -> None:
    one = destination(1, None)
    await add(ready, one)
    for at in range(3):
        await tell(ready, NOW + at)
    for alert_number, number, at in ((2, 1, 1), (1, 1, 2), (2, 2, 3)):
        await attempted(engine, one, alert_number, number, NOW + at)
    found = await ready.destinations.sent(one, before=NOW + SECOND, limit=9)
    assert [(2, "answer 2"), (1, "answer 1"), (2, "answer 1")] == [
        (sent.delivery.alert.number, sent.attempt and sent.attempt.answer) for sent in found
    ]
    assert found[1:] == await ready.destinations.sent(one, before=NOW + 3, limit=9)


async def test_one_event_is_sent_once_more(ready: Stores) -> None:
    one = destination(1)
    await add(ready, one)
    await tell(ready, NOW)
    await settle(ready, one, 1, DeliveryState.SENT)
    delivery = await ready.destinations.delivery(one, ANN, 1)
    assert delivery is not None
    await ready.destinations.replay(delivery, NOW + 9)
    anew = replace(
        delivery, state=DeliveryState.WAITING, attempts=0, next_attempt_at=NOW + 9, sent_at=None, last_error=None
    )
    assert anew == await ready.destinations.delivery(one, ANN, 1)
    with pytest.raises(NotFound):
        await ready.destinations.replay(replace(delivery, recipient_id=9), NOW)


async def replay(stores: Stores, one: Destination, **fields: Any) -> int:
    values = {"since": NOW, "until": NOW + SECOND, "now": NOW + 2 * SECOND, "is_all": False, "limit": 99}
    return await stores.destinations.replay_range(one, **{**values, **fields})


async def due(stores: Stores, one: Destination, merchant_id: int = ANN) -> list[int]:
    """List the alerts that are due there anew."""
    found = [await stores.destinations.delivery(one, merchant_id, number) for number in range(1, 9)]
    return [delivery.alert.number for delivery in found if delivery and delivery.next_attempt_at == NOW + 2 * SECOND]


@pytest.mark.parametrize("whose", [ANN, None])
async def test_what_was_given_up_or_missed_is_sent_once_more_but_not_what_was_taken(
    whose: int | None, ready: Stores
) -> None:
    one = destination(1, whose)
    await add(ready, one)
    for at in range(2):
        await tell(ready, NOW + at)
    await ready.destinations.set_state(one, DestinationState.OFF)
    await tell(ready, NOW + 2)
    await tell(ready, NOW + SECOND)
    await settle(ready, one, 1, DeliveryState.SENT)
    await settle(ready, one, 2, DeliveryState.GIVEN_UP)
    assert await ready.destinations.delivery(one, ANN, 3) is None
    assert 2 == await replay(ready, one)
    assert [2, 3] == await due(ready, one)
    delivery = await ready.destinations.delivery(one, ANN, 2)
    assert delivery is not None
    assert (DeliveryState.WAITING, 0, None) == (delivery.state, delivery.attempts, delivery.last_error)


@pytest.mark.parametrize("whose", [ANN, None])
async def test_all_of_a_time_is_sent_once_more_the_oldest_first_up_to_a_bound(whose: int | None, ready: Stores) -> None:
    one = destination(1, whose)
    await add(ready, one)
    for at in range(3):
        await tell(ready, NOW + at)
        await settle(ready, one, at + 1, DeliveryState.SENT)
    assert 2 == await replay(ready, one, is_all=True, limit=2)
    assert [1, 2] == await due(ready, one)
    assert 1 == await replay(ready, one, is_all=True, since=NOW + 2)
    assert [1, 2, 3] == await due(ready, one)


async def test_nothing_is_sent_once_more_that_is_not_wanted_or_not_ones_own(engine: Engine, ready: Stores) -> None:
    one = destination(1, kinds=kind_set(AlertKind.RUNWAY_SHORT, AlertKind.APPROVAL_WAITING))
    await add(ready, one)
    for kind in (AlertKind.FROZEN, AlertKind.APPROVAL_WAITING, AlertKind.RUNWAY_SHORT, AlertKind.RUNWAY_SHORT):
        await tell(ready, NOW, kind)
    await tell(ready, NOW, merchant_id=BEN)
    # An alert of a time that kept no facts.
    await engine.execute(f"UPDATE alert SET facts = NULL WHERE merchant_id = {ANN} AND number = 4")
    assert 1 == await replay(ready, one)
    assert [3] == await due(ready, one)
    assert [] == await due(ready, one, BEN)
