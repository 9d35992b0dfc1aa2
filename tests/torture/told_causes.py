"""What causes events: each merchant runs low, is used up, is frozen and recovers, cycle by cycle, through the API.

Each request is asked for again, of one server after the other, until there is an answer; so what has to be told is
known, in order, whatever was killed meanwhile.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from farebox.core import ids
from farebox.core.alerts import AlertKind
from tests.support.server import Seeds, Server
from tests.support.wire import Client
from tests.torture.requests import TROUBLES, Contradiction

THRESHOLDS: Final = (5_000_000, 10_000_000)
FULL: Final = 20
"""What a merchant has at the beginning of each cycle, in whole units."""

TOLD_KINDS: Final = (
    AlertKind.LOW_BALANCE,
    AlertKind.USED_UP,
    AlertKind.RECOVERED,
    AlertKind.TOP_UP,
    AlertKind.FROZEN,
    AlertKind.UNFROZEN,
)
HURRIES: Final = 0.1
"""The share of cycles in which a merchant does not wait for its mails."""

NEWS_S: Final = 5.0
"""How long it waits for each, in the others."""

_PAUSE_S: Final = 0.05


@dataclass(frozen=True)
class Told:
    """An event that has to be told: its type, and one fact of it by which it is known."""

    type: str
    fact: str = ""
    value: str = ""

    def is_told_by(self, event: dict[str, Any]) -> bool:
        """Tell whether a webhook says this."""
        return event["type"] == self.type and (not self.fact or event["data"][self.fact] == self.value)


@dataclass
class Causes:
    """The servers that are asked, for how long, and all that is to be told."""

    servers: Sequence[Server]
    events: int
    is_mailed: Callable[[str], bool]
    """Tells whether the mail of an alert was taken."""

    told: dict[int, list[Told]] = field(default_factory=dict)
    told_before: dict[int, int] = field(default_factory=dict)
    """How many alerts each merchant had before anybody was to hear of them."""

    @property
    def count(self) -> int:
        """How many events there were."""
        return sum(map(len, self.told.values()))

    async def run(self, merchants: Sequence[Seeds], seed_number: int) -> None:
        """Let all merchants live at once until there were so many events."""
        async with asyncio.TaskGroup() as group:
            for place, seeds in enumerate(merchants):
                life = _Life(self, seeds, Random(seed_number + place), place)
                group.create_task(life.run())


class _Life:
    """One merchant's cycles; its requests are made one after the other."""

    def __init__(self, causes: Causes, seeds: Seeds, random: Random, turn: int) -> None:
        self._causes = causes
        self._seeds = seeds
        self._random = random
        self._turn = turn
        self._clients: dict[tuple[int, str], Client] = {}
        self._told = causes.told.setdefault(seeds.merchant_id, [])
        self._requests = 0
        self._is_in_a_hurry = False

    async def run(self) -> None:
        try:
            while self._causes.count < self._causes.events:
                await self._cycle()
        finally:
            for client in self._clients.values():
                await client.close()

    async def _cycle(self) -> None:
        """Spend below one threshold or both, perhaps until a request is refused, and recover.

        In a hurry, so that mails are of what is over, or with time for each mail to be sent.
        """
        self._is_in_a_hurry = self._random.random() < HURRIES
        left = FULL - self._random.randint(11, 14)
        await self._charge(FULL - left)
        await self._tell("balance.low", "threshold", "10.00")
        if self._random.random() < 0.2:
            await self._freeze()
        if self._random.random() < 0.6:
            spent = left - self._random.randint(0, 4)
            await self._charge(spent)
            left -= spent
            await self._tell("balance.low", "threshold", "5.00")
            if self._random.random() < 0.7:
                await self._charge(left + 1, is_refused=True)
                await self._tell("balance.exhausted")
        await self._top_up(FULL - left)

    async def _tell(self, *told: str) -> None:
        """Note what is to be told, and give it time."""
        self._told.append(Told(*told))
        number = self._causes.told_before[self._seeds.merchant_id] + len(self._told)
        alert_id = ids.book_id(ids.ALERT, merchant_id=self._seeds.merchant_id, seq=number)
        until = time.monotonic() + NEWS_S
        while not (self._is_in_a_hurry or self._causes.is_mailed(alert_id) or time.monotonic() > until):
            await asyncio.sleep(_PAUSE_S)

    async def _charge(self, amount: int, *, is_refused: bool = False) -> None:
        content = {
            "merchant": self._seeds.merchant,
            "type": "call",
            "amount": str(amount),
            "idempotencyKey": self._name("charge"),
        }
        code = await self._ask("/api/charges", content, self._seeds.service_key)
        if code != ("insufficient_balance" if is_refused else None):
            raise Contradiction(f"a charge of {amount} came to {code}")

    async def _top_up(self, amount: int) -> None:
        reference = self._name("INV")
        await self._support("topups", {"amount": str(amount), "reference": reference})
        self._told.append(Told("topup.posted", "reference", reference))
        await self._tell("balance.recovered")

    async def _freeze(self) -> None:
        for path, event in (("freeze", "merchant.frozen"), ("unfreeze", "merchant.unfrozen")):
            await self._support(path, {"reason": "torture"})
            await self._tell(event)

    async def _support(self, path: str, content: dict[str, Any]) -> None:
        path = f"/api/admin/merchants/{self._seeds.merchant}/{path}"
        code = await self._ask(path, content, self._seeds.support_key)
        if code is not None:
            raise Contradiction(f"{path} was refused: {code}")

    def _name(self, what: str) -> str:
        self._requests += 1
        return f"{what}-{self._seeds.merchant_id}-{self._requests}"

    async def _ask(self, path: str, content: dict[str, Any], key: str) -> str | None:
        """Ask for something until there is an answer; return the code of its refusal, None if it was done."""
        while True:
            port = self._causes.servers[self._turn % len(self._causes.servers)].port
            client = self._clients.setdefault((port, key), Client(port, key))
            try:
                status, headers, body = await client.send("POST", path, json.dumps(content).encode())
            except (OSError, EOFError):
                status = 503
            else:
                code = headers.get("x-error-code")
                if status == 200:
                    return None
                if status < 500:
                    return code
                if code not in TROUBLES:
                    raise Contradiction(f"an answer that nobody should get: {body!r}")
            self._turn += 1
            await asyncio.sleep(_PAUSE_S)
