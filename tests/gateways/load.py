"""Clients that ask in a hurry and leave as they like, and what came of their requests by two accounts.

The one is the API's own log: what reached it, and what it answered. The other is the merchant's statement.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support import plain_http

FAIL_SHARE: Final = 0.10
HANG_SHARE: Final = 0.01
LEAVE_SHARE: Final = 0.10
SLOW_S_MAX: Final = 0.05
LEAVE_S_MAX: Final = 0.2
"""After how long a client leaves at the latest, if it does not stay for the answer."""

PAGE_SECONDS: Final = 60


@dataclass
class Load:
    """Clients of one proxy, each of which sends one request after the other until it is told to stop."""

    port: int
    key: str
    target: str
    clients: int = 16
    seed: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    """How often each status came back; 0 is none."""
    left: set[str] = field(default_factory=set)
    """The requests whose clients did not mean to stay for their answer."""
    tasks: Counter[str] = field(default_factory=Counter)
    """How often the API was asked for each: to hang, to fail or to be slow."""

    def __post_init__(self) -> None:
        self._is_over = asyncio.Event()
        self._asked = 0

    async def run(self) -> None:
        """Ask until stopped."""
        await asyncio.gather(*(self._client(random.Random(f"{self.seed} {number}")) for number in range(self.clients)))

    def stop(self) -> None:
        """Let each client finish its request."""
        self._is_over.set()

    async def _client(self, chance: random.Random) -> None:
        while not self._is_over.is_set():
            status = await self._ask(chance)
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status in {0, 503}:
                # A proxy that is gone would be asked thousands of times a second.
                await asyncio.sleep(0.05)

    async def _ask(self, chance: random.Random) -> int:
        self._asked += 1
        name = f"{self.seed}-{self._asked}"
        is_leaving = chance.random() < LEAVE_SHARE
        if is_leaving:
            self.left.add(name)
        stays_s = chance.uniform(0, LEAVE_S_MAX) if is_leaving else 30
        drawn = chance.random()
        # Where a client leaves and the API fails at once, nobody can tell what was first.
        task = (
            "hang" if drawn < HANG_SHARE
            else "fail=500" if drawn < HANG_SHARE + FAIL_SHARE and not is_leaving
            else f"slow={chance.uniform(0, SLOW_S_MAX):.3f}"
        )  # fmt: skip
        self.tasks[task.partition("=")[0]] += 1
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return 0
        try:
            head = (
                f"POST {self.target} HTTP/1.1\r\nhost: api\r\nx-api-key: {self.key}\r\nx-do: {task}\r\n"
                f"x-client: {name}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
            )
            writer.write(head.encode())
            line = await asyncio.wait_for(reader.readline(), stays_s)
            with contextlib.suppress(asyncio.TimeoutError, OSError):
                await asyncio.wait_for(reader.read(), stays_s)
            return int(line.split()[1]) if line else 0
        except (TimeoutError, OSError):
            return 0
        finally:
            writer.transport.abort()


@dataclass(frozen=True)
class Accounts:
    """Requests by the seq of what the gate made for each."""

    delivered: frozenset[str]
    """What the API answered below 500, or had under way when the client left."""
    undelivered: frozenset[str]
    """What it failed at, or took too long for."""
    unsure: frozenset[str]
    """What a client left, and the API had under way far longer than that: nobody can tell what ended it."""
    paid: frozenset[str]
    """The requests that were charged and not given back, or held and captured."""
    made: frozenset[str]
    """All that the gate charged or held."""

    @property
    def lost(self) -> frozenset[str]:
        """The requests that are not accounted for alike."""
        return (self.paid ^ self.delivered) - self.unsure


def accounts(
    api: Sequence[Mapping[str, Any]], statement: Sequence[Mapping[str, Any]], *, left: Set[str], limit_s: float
) -> Accounts:
    """Compare the API's log with a merchant's statement.

    Args:
        api: The API's log.
        statement: The merchant's.
        left: The requests whose clients did not stay for their answer.
        limit_s: How long the proxy waits for the API.
    """
    delivered: set[str] = set()
    undelivered: set[str] = set()
    unsure: set[str] = set()
    for line in api:
        made = _number(line["x-transfer-id"] if line["x-transfer-id"] != "-" else line["x-hold-id"])
        status = line["status"]
        if status is not None:
            (delivered if status < 500 else undelivered).add(made)
        elif line["seconds"] < limit_s / 2:
            delivered.add(made)
        else:
            # Clients leave long before, proxies later. On a machine with much else to do the API may begin late, or see
            # late that it was left.
            (unsure if line["x-client"] in left else undelivered).add(made)
    charged = {_number(item["transferId"]) for item in statement if _is_of_gate(item, "charge")}
    held = {_number(item["transferId"]) for item in statement if _is_of_gate(item, "hold")}
    refunded = {_number(item["refersTo"]) for item in statement if item["kind"] == "refund"}
    captured = {_number(item["refersTo"]) for item in statement if item["kind"] == "capture"}
    late = {
        _number(item["idempotencyKey"])
        for item in statement
        if item["kind"] == "charge" and item["idempotencyKey"].startswith("settle:")
    }
    paid = (charged - refunded) | (held & (captured | late))
    return Accounts(
        frozenset(delivered),
        frozenset(undelivered),
        frozenset(unsure),
        frozenset(paid),
        frozenset(charged | held),
    )


def _is_of_gate(item: Mapping[str, Any], kind: str) -> bool:
    return bool(item["kind"] == kind) and str(item["idempotencyKey"]).startswith("gate:")


def _number(made: str) -> str:
    """Return what the ids of a hold and of the transfer that made it have in common."""
    return made.rpartition("_")[2]


async def statement_of(url: str, key: str) -> list[dict[str, Any]]:
    """Read a merchant's whole statement, oldest first."""
    async with plain_http.async_client(timeout=PAGE_SECONDS) as client:
        answer = await client.get(f"{url}/api/transfers?format=jsonl", headers={"x-api-key": key})
    items = [json.loads(line) for line in answer.text.splitlines()]
    return [item for item in items if "kind" in item and "transferId" in item]
