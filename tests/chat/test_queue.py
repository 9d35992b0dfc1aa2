"""A chat from the command that causes an event to its server's answer in the history, on each engine."""

import json
from typing import Final

import pytest

from farebox.core.alerts import AlertKind
from farebox.core.commands import SetFrozen
from farebox.storage.destination_records import Channel, DestinationState
from farebox.storage.records import DeliveryState
from farebox.storage.stores import Stores
from farebox.webhooks.dispatcher import DestinationDispatcher
from tests.chat.test_transport import HOOK, SECRETS, transport, words
from tests.support.ledger import ANN, HeldClock, add_merchant, do
from tests.webhooks.outgoing import HOOKS, add, attempts, deliveries, destination, health
from tests.webhooks.receiver import Receiver, receiving

HOUR: Final = 3600
THREE_DAYS_HOURS: Final = 78


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


async def chat_of_ann(stores: Stores, receiver: Receiver) -> None:
    url = f"mmost://127.0.0.1:{receiver.port}/{HOOK}"
    await add_merchant(stores, ANN)
    await add(stores, destination(channel=Channel.CHAT, url="mmost://127.0.0.1/", secret=SECRETS.encrypt(HOOKS, url)))


async def drained(stores: Stores, clock: HeldClock) -> None:
    chats = transport()
    queue = DestinationDispatcher(
        stores.message_queue, chats, clock, channel=Channel.CHAT, chance=lambda: 0.5, poll_seconds=0.01
    )
    try:
        while await queue.run_once():
            pass
    finally:
        chats.close()


async def test_what_happens_is_told_in_order_and_its_answers_are_kept(stores: Stores, clock: HeldClock) -> None:
    async with receiving(answer="200 ok") as receiver:
        await chat_of_ann(stores, receiver)
        await do(stores, SetFrozen(ANN, True), now=clock.now())
        await do(stores, SetFrozen(ANN, False), now=clock.now())
        await drained(stores, clock)
        frozen, unfrozen = (words(json.loads(body)) for body in receiver.bodies)
    assert "Acme: the account is frozen" in frozen
    assert "Acme: the account is no longer frozen" in unfrozen
    assert [(1, 1, 200, "taken"), (2, 1, 200, "taken")] == await attempts(stores)
    assert {DeliveryState.SENT} == {delivery.state for delivery in (await deliveries(stores)).values()}


async def test_a_chat_that_always_fails_is_disabled_and_its_merchant_mailed(stores: Stores, clock: HeldClock) -> None:
    async with receiving(answer=f"503 {HOOK}") as receiver:
        await chat_of_ann(stores, receiver)
        await do(stores, SetFrozen(ANN, True), now=clock.now())
        for _ in range(THREE_DAYS_HOURS):
            await drained(stores, clock)
            clock.move(HOUR)
        await drained(stores, clock)
    disabled = await health(stores)
    assert DestinationState.DISABLED == disabled.state
    assert HOOK not in f"{disabled.disabled_reason} {await attempts(stores)}"
    assert {DeliveryState.GIVEN_UP} == {delivery.state for delivery in (await deliveries(stores)).values()}
    alert = (await stores.deliveries.alerts(ANN, 1))[0]
    assert AlertKind.DESTINATION_DISABLED == alert.kind
    assert HOOKS == alert.read_facts["destination_id"]
