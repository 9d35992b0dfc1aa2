"""Clients that never give up, and somebody who kills the servers under them."""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.support.server import Server
from tests.support.wire import Client
from tests.torture.requests import MOVING_NOTHING, Contradiction, Request, Script

CLIENTS: Final = 24
PAUSE_S: Final = 0.01
SETTLE_S: Final = 60


@dataclass
class Figures:
    """What a torture came to."""

    rounds: int = 0
    kills: int = 0
    requests: int = 0
    done: int = 0
    """How many were acknowledged of those that move money."""
    refused: int = 0
    unanswered: int = 0
    """How many requests got no answer, or one that said that nobody knows."""
    over_budget: int = 0
    """How many were refused because of their API key's budget."""
    short: int = 0
    """How many took less than was due: what is missing is uncollected, or owed."""


class Load:
    """Clients of some servers on one ledger, asking for what a script says."""

    def __init__(self, servers: Sequence[Server], script: Script) -> None:
        self._servers = servers
        self._script = script
        self._is_making_up = True
        self.figures = Figures()

    async def run(self, trouble: Awaitable[None]) -> Figures:
        """Go on until this trouble is over, and see every request through to an answer."""
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(self._work(number)) for number in range(CLIENTS)]
            await trouble
            self._is_making_up = False
            await asyncio.wait_for(asyncio.gather(*clients), SETTLE_S)
        self.figures.over_budget = sum(item.code == "key_budget_exceeded" for item in self._script.requests)
        self.figures.short = sum(bool({"uncollected", "owed"} & item.data.keys()) for item in self._script.requests)
        states = [request.state for request in self._script.requests]
        self.figures.done = sum(
            item.state == "done" and item.kind not in MOVING_NOTHING for item in self._script.requests
        )
        self.figures.refused = states.count("refused")
        if "unknown" in states:
            raise Contradiction("something was never settled")
        return self.figures

    async def kills(self, rounds: int, seed: int) -> None:
        """Kill servers at random moments, so many times."""
        random = Random(seed)
        for _ in range(rounds):
            await asyncio.sleep(random.uniform(0.02, 0.6))
            victims = random.sample(self._servers, random.randint(1, len(self._servers)))
            await asyncio.gather(*[asyncio.to_thread(server.kill) for server in victims])
            self.figures.kills += len(victims)
            self.figures.rounds += 1
            await asyncio.gather(*[asyncio.to_thread(server.start) for server in victims])

    async def done(self, count: int) -> None:
        """Wait until so many more requests have been done."""
        async with asyncio.timeout(SETTLE_S):
            before = self._done_count()
            while self._done_count() < before + count:
                await asyncio.sleep(PAUSE_S)

    def _done_count(self) -> int:
        return sum(request.state == "done" for request in self._script.requests)

    async def _work(self, number: int) -> None:
        clients: dict[tuple[int, str], Client] = {}
        turn = number
        try:
            while True:
                unsettled = self._script.unsettled()
                if not self._is_making_up and not unsettled:
                    if not any(request.is_on_its_way for request in self._script.requests):
                        return
                    await asyncio.sleep(PAUSE_S)
                    continue
                # Old troubles first: a retry may be what settles whether the first attempt went through.
                request = unsettled[0] if unsettled else self._script.next()
                if request.is_on_its_way:
                    await asyncio.sleep(PAUSE_S)
                    continue
                server = self._servers[turn % len(self._servers)]
                place = (server.port, request.key)
                client = clients.setdefault(place, Client(server.port, request.key))
                if not await self._ask(client, request):
                    turn += 1
                    await asyncio.sleep(PAUSE_S)
        finally:
            for client in clients.values():
                await client.close()

    async def _ask(self, client: Client, request: Request) -> bool:
        request.is_on_its_way = True
        self.figures.requests += 1
        sent_at = _now()
        request.asked_at = request.asked_at or sent_at
        try:
            answer = await client.send("POST", request.path, request.body)
            is_settled = request.hear_at((sent_at, _now()), *answer)
        except (OSError, EOFError):
            is_settled, request.may_be_done = False, True
        finally:
            request.is_on_its_way = False
        if not is_settled:
            self.figures.unanswered += 1
            if request.state == "refused":
                # A refusal is not remembered: this time it may have gone through.
                request.state = "unknown"
        return is_settled


def _now() -> int:
    """Return the present time, as servers on the same machine tell it, in microseconds since 1970."""
    return time.time_ns() // 1_000
