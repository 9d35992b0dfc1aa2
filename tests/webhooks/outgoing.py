"""Destinations and alerts of a test's making, and a transport that answers as a script says."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any, Final

from farebox.core.accounts import Account
from farebox.core.alerts import AlertKind, kind_set
from farebox.storage.columns import DESTINATION
from farebox.storage.destination_records import Channel, Destination, DestinationState
from farebox.storage.interface import Fetch
from farebox.storage.messages.queue import OwedMessage, _message
from farebox.storage.records import Delivery
from farebox.storage.stores import Stores
from farebox.webhooks.dispatcher import DeliveryTimes, DestinationDispatcher
from farebox.webhooks.send_result import SendResult
from tests.support.ledger import ANN, NOW, HeldClock

HOOKS: Final = 7_000
"""A destination of Ann's."""

TAKEN: Final = SendResult(200, "thanks", 1_000)
FAULTY: Final = SendResult(500, "sorry", 1_000)
AWAY: Final = SendResult(None, "nobody listens", 1_000)
GONE: Final = SendResult(410, "gone", 1_000)


def destination(destination_id: int = HOOKS, merchant_id: int | None = ANN, **fields: Any) -> Destination:
    """Make up a destination that wants everything."""
    values: dict[str, Any] = {
        "destination_id": destination_id,
        "merchant_id": merchant_id,
        "user_id": None,
        "channel": Channel.WEBHOOK,
        "name": "hooks",
        "url": "https://hooks.example/",
        "kinds": kind_set(*AlertKind),
        "state": DestinationState.ON,
        "secret": b"secret",
        "secret_before": None,
        "secret_before_until": None,
        "created_at": NOW,
        **fields,
    }
    return Destination(**values)


async def tell(
    stores: Stores, merchant_id: int = ANN, *, kind: AlertKind = AlertKind.FROZEN, now: int = NOW, **facts: Any
) -> int:
    """Tell something of a merchant; return the alert's number."""

    async def due(_: Fetch, __: Account) -> Mapping[str, Any]:
        return facts

    alert = await stores.deliveries.tell(merchant_id, kind, now, due)
    assert alert is not None
    return alert.number


class Script:
    """A transport that answers by destination as it is told, and else that a message was taken."""

    def __init__(self) -> None:
        self.answers: defaultdict[int, deque[SendResult | asyncio.Event]] = defaultdict(deque)
        self.always: dict[int, SendResult | asyncio.Event] = {}
        self.tried: list[tuple[int, int, int]] = []
        """Destination, merchant and alert of each attempt."""
        self.taken: list[tuple[int, int, int]] = []

    def numbers(self, destination_id: int = HOOKS) -> list[int]:
        """List the alerts that a destination took."""
        return [number for taker, _, number in self.taken if taker == destination_id]

    async def send(self, message: OwedMessage, destination: Destination, now: int) -> SendResult:
        place = (destination.destination_id, message.delivery.alert.merchant_id, message.delivery.alert.number)
        self.tried.append(place)
        script = self.answers[destination.destination_id]
        answer = script.popleft() if script else self.always.get(destination.destination_id, TAKEN)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = AWAY
        if answer.is_delivered:
            self.taken.append(place)
        return answer


def dispatcher(stores: Stores, script: Script, clock: HeldClock, **more: Any) -> DestinationDispatcher:
    """Make a dispatcher whose waits have no chance in them."""
    return DestinationDispatcher(
        stores.message_queue,
        script,
        clock,
        channel=Channel.WEBHOOK,
        chance=lambda: 0.5,
        **{"times": DeliveryTimes(), "poll_seconds": 0.01, **more},
    )


async def deliveries(stores: Stores, destination_id: int = HOOKS) -> dict[int, Delivery]:
    """Read what is owed to a destination or was, by alert, of one merchant."""
    keys = await stores.connector.fetch(
        "SELECT merchant_id, alert_number, channel, recipient_id FROM delivery WHERE recipient_id = $1", destination_id
    )
    found = [await stores.connector.fetch(stores.message_queue._sql["owed_message"], *key) for key in keys]
    messages = [_message(rows[0]) for rows in found]
    return {message.delivery.alert.number: message.delivery for message in messages}


async def health(stores: Stores, destination_id: int = HOOKS) -> Destination:
    """Read a destination."""
    rows = await stores.connector.fetch(
        f"SELECT {DESTINATION.selected()} FROM destination WHERE destination_id = $1", destination_id
    )
    return Destination(*rows[0])


async def attempts(stores: Stores) -> list[tuple[Any, ...]]:
    """Read the history: alert, number, status and answer of each attempt, in order."""
    return [
        tuple(row)
        for row in await stores.connector.fetch(
            "SELECT alert_number, number, status, answer FROM delivery_attempt ORDER BY alert_number, number"
        )
    ]


async def add(stores: Stores, *destinations: Destination) -> None:
    """Write destinations."""

    async def write(fetch: Fetch) -> None:
        for item in destinations:
            await fetch(
                f"INSERT INTO destination ({DESTINATION.part('stored', 1)}) VALUES ({DESTINATION.part('values', 1)})",
                *DESTINATION.row_of(item),
            )

    await stores.connector.run_in_transaction(write)
