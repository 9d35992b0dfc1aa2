"""Clients of a server that is restarted again and again, and what they notice of it."""

import asyncio
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.support.kept import KeptClient, LostRequest
from tests.support.server import Seeds, Server, ServerError, is_listening, open_farebox, seed

BUSY_CLIENTS: Final = 48
IDLE_CLIENTS: Final = 16
NEW_CLIENTS: Final = 8
IDLE_S_MAX: Final = 3.0
END_TIMEOUT_S: Final = 60
PAUSE_S: Final = 0.02


class Succeeded(Server):
    """A server that hands its socket over to a successor, by SIGHUP, as often as it is asked."""

    first: psutil.Process | None = None

    def hand_over(self) -> psutil.Process:
        """Have a successor started, wait until it alone listens, and return the one before, which drains."""
        before = self.first or self.first_process()
        others = {child.pid for child in before.children()}
        before.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + END_TIMEOUT_S
        while True:
            # The one before ends as soon as it has no connections.
            with suppress(psutil.NoSuchProcess):
                family = before.children()
                self.first = next((child for child in family if child.pid not in others), self.first)
                if not any(is_listening(process) for process in (before, *family) if process != self.first):
                    return before
            if not before.is_running():
                return before
            if time.monotonic() > deadline:
                raise ServerError(f"No successor came.\n{self.log()}")
            time.sleep(PAUSE_S)

    def end(self) -> None:
        """Stop the last one."""
        assert self.first is not None
        self.first.terminate()
        await_end(self.first)


def await_end(process: psutil.Process) -> None:
    """Wait until a process has ended; nobody may have buried it yet."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            raise ServerError(f"Process {process.pid} stays on.")
        time.sleep(PAUSE_S)


@dataclass
class Clients:
    """Clients that charge, hold and capture; some are never idle, some for seconds, some connect for each request."""

    server: Server
    seeds: Seeds
    answers: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    charged: int = 0
    slowest_s: float = 0
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Send requests until it is over."""
        async with asyncio.TaskGroup() as group:
            for number in range(BUSY_CLIENTS):
                group.create_task(self._work(f"busy-{number}", self._capture if number % 4 == 0 else self._charge))
            for number in range(IDLE_CLIENTS):
                group.create_task(self._work(f"idle-{number}", self._charge, idle_s_max=IDLE_S_MAX))
            for number in range(NEW_CLIENTS):
                group.create_task(self._work(f"new-{number}", self._charge, is_kept=False))

    async def _work(
        self,
        name: str,
        work: Callable[[KeptClient, str], Awaitable[None]],
        *,
        idle_s_max: float = PAUSE_S,
        is_kept: bool = True,
    ) -> None:
        client = KeptClient(self.server.port, self.seeds.service_key, is_kept=is_kept)
        count = 0
        while not self.is_over.is_set():
            count += 1
            try:
                await work(client, f"{name}-{count}")
            except LostRequest as error:
                self.lost.append(f"{name}: {error}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.is_over.wait(), random.uniform(0, idle_s_max))
        await client.close()

    async def _charge(self, client: KeptClient, key: str) -> None:
        content = {"merchant": self.seeds.merchant, "type": "image", "idempotencyKey": key}
        if await self._ask(client, "POST", "/api/charges", content) is not None:
            self.charged += 1

    async def _capture(self, client: KeptClient, key: str) -> None:
        content = {"merchant": self.seeds.merchant, "type": "image", "idempotencyKey": key}
        hold = await self._ask(client, "POST", "/api/holds", content)
        if hold is not None:
            await asyncio.sleep(PAUSE_S)
            path = f"/api/holds/{hold['holdId']}/capture"
            if await self._ask(client, "POST", path, {"idempotencyKey": f"{key}-c"}) is not None:
                self.charged += 1

    async def _ask(self, client: KeptClient, method: str, path: str, content: dict[str, str]) -> dict[str, str] | None:
        began = time.monotonic()
        status, _, body = await client.send(method, path, json.dumps(content).encode())
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        self.answers[status] += 1
        data: dict[str, str] | None = json.loads(body)["data"]
        return data if 200 <= status < 300 else None


async def restart_under_load(database_url: str, *, restarts: int, workers: int = 1) -> Clients:
    """Restart a server under load, and return what its clients came to."""
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox, balance="1000000")
    with Succeeded(database_url, workers=workers) as server:
        clients = Clients(server, seeds)
        running = asyncio.create_task(clients.run())
        for _ in range(restarts):
            await asyncio.sleep(random.uniform(0.5, 1.5))
            before = await asyncio.to_thread(server.hand_over)
            await asyncio.to_thread(await_end, before)
        await asyncio.sleep(0.5)
        clients.is_over.set()
        await running
        await asyncio.to_thread(server.end)
    return clients
