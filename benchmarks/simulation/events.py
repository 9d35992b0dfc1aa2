"""The simulation itself: requests, batches, locks, processors and disks as discrete events on a clock of its own.

Each server is one process that commits as the committer does: a batch is what came while the last one was committed,
of one group. A batch holds the locks of its accounts, taken in sorted order, from its first read to the end of its
COMMIT, so batches that share a merchant wait for one another. COMMITs that wait for the disk at the same time share a
write. Clients send the next request once they are answered. All choices are seeded: the same costs give the same
figures.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

from benchmarks.simulation.model import Assumptions, Costs, Simulated
from benchmarks.workload import SEED, ZIPF_EXPONENT
from farebox.service.ledger.committer import LIMITS

SERVERS: Final = (4, 8, 16, 32, 64)
SHARDS: Final = (1, 4, 16)

ROUND_TRIPS_LOADING: Final = 2
ROUND_TRIPS_WRITING: Final = 3
"""Of the six round trips of a batch, those that are made with its accounts locked: all but BEGIN."""

_WARM_UP_PART: Final = 0.25
_DRAWS: Final = 65_536
_SECOND: Final = 1e-6


def simulate_all(costs: Costs, assumptions: Assumptions, servers: Sequence[int] = SERVERS) -> list[Simulated]:
    """Simulate every number of servers over every number of shards, and over one with requests routed by merchant."""
    kinds = [*((shards, False) for shards in SHARDS), (1, True)]
    return [
        simulate(costs, assumptions, servers=count, shards=shards, is_routed=is_routed)
        for shards, is_routed in kinds
        for count in servers
    ]


SPREAD: Final = (2, 4, 8, 16)


def simulate_spread(costs: Costs, assumptions: Assumptions, servers: Sequence[int] = SERVERS) -> list[Simulated]:
    """Simulate every number of servers over a Citus of so many workers, requests routed by merchant and not."""
    return [
        simulate(costs, assumptions, servers=count, shards=workers, is_routed=is_routed)
        for is_routed in (False, True)
        for workers in SPREAD
        for count in servers
    ]


def simulate(
    costs: Costs, assumptions: Assumptions, *, servers: int, shards: int, is_routed: bool = False
) -> Simulated:
    """Simulate one installation."""
    return _Simulation(costs, assumptions, servers, shards, is_routed=is_routed).run()


class _Batch:
    """A batch on its way: whose it is, its accounts in sorted order and how many of them are locked, its requests."""

    def __init__(self, server: "_Server", shard: "_Shard", group: int, requests: list[tuple[int, float]]) -> None:
        self.server = server
        self.shard = shard
        self.group = group
        self.requests = requests
        self.accounts = sorted({merchant for merchant, _ in requests})
        self.locked = 0


class _Shard:
    """A database server: its cores, its disk, and who holds or awaits which account."""

    def __init__(self, cores: int) -> None:
        self.cores_free_at = [0.0] * cores
        self.queues: dict[int, deque[_Batch]] = {}
        self.held_since: dict[int, float] = {}
        self.held_seconds: dict[int, float] = {}
        self.busy_seconds = self.disk_seconds = 0.0
        self.is_syncing = False
        self.awaiting_sync: list[_Batch] = []


class _Server:
    """A server process: one core, and a queue per shard."""

    def __init__(self, merchants: Iterable[int]) -> None:
        self.merchants = itertools.cycle(merchants)
        self.free_at = self.busy_seconds = 0.0
        self.workers = LIMITS.workers
        self.queues: dict[int, deque[tuple[int, float]]] = {}
        self.ready: deque[int] = deque()


class _Simulation:
    """The clock, what happens next, and all that is counted once the warm-up is over."""

    def __init__(self, costs: Costs, assumptions: Assumptions, servers: int, shards: int, *, is_routed: bool) -> None:
        self._costs = costs
        self._assumptions = assumptions
        self._is_routed = is_routed
        self._shards = [_Shard(assumptions.shard_cores) for _ in range(shards)]
        self._groups = assumptions.groups or shards
        self._coordinator = _Shard(assumptions.shard_cores) if costs.has_coordinator else None
        weights = itertools.accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, assumptions.merchants + 1))
        drawn = Random(SEED).choices(range(assumptions.merchants), cum_weights=list(weights), k=_DRAWS)
        own = [[it for it in drawn if it % servers == number] for number in range(servers)] if is_routed else []
        self._servers = [
            _Server(own[number] if is_routed else drawn[number * _DRAWS // servers :] + drawn)
            for number in range(servers)
        ]
        self._now = 0.0
        self._next: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._warm_up = assumptions.seconds * _WARM_UP_PART
        self._answered = self._batches = 0
        self._latencies: list[float] = []

    def run(self) -> Simulated:
        """Let it run from the first request to the end of the measured time."""
        for server in self._servers:
            self._arrive(server, self._assumptions.clients_per_server)
        end = self._warm_up + self._assumptions.seconds
        while self._next and self._next[0][0] < end:
            self._now, _, happen = heapq.heappop(self._next)
            happen()
        seconds, cores = self._assumptions.seconds, self._assumptions.shard_cores
        for shard in self._shards:
            for account in shard.held_since:
                self._count_lock(shard, account, end)
        held = [max(shard.held_seconds.values(), default=0.0) for shard in self._shards]
        ordered = sorted(self._latencies) or [0.0]
        return Simulated(
            servers=len(self._servers),
            shards=len(self._shards),
            is_routed=self._is_routed,
            per_second=round(self._answered / seconds),
            mean_batch=round(self._answered / max(self._batches, 1), 1),
            p50_ms=round(ordered[len(ordered) // 2] * 1000, 2),
            server_share=_share(max(it.busy_seconds for it in self._servers) / seconds),
            database_share=_share(max(it.busy_seconds for it in self._shards) / seconds / cores),
            disk_share=_share(max(it.disk_seconds for it in self._shards) / seconds),
            lock_share=_share(max(held) / seconds),
            coordinator_share=0.0
            if self._coordinator is None
            else _share(self._coordinator.busy_seconds / seconds / cores),
        )

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._next, (time, next(self._number), happen))

    def _arrive(self, server: _Server, count: int) -> None:
        """Let so many clients send: their requests are in their queues once the server has read them."""
        ready_at = self._on_server(server, count * self._costs.request_us)
        sent_at = self._now

        def queue() -> None:
            for merchant in itertools.islice(server.merchants, count):
                group = merchant % self._groups
                waiting = server.queues.get(group)
                if waiting is None:
                    waiting = server.queues[group] = deque()
                    server.ready.append(group)
                waiting.append((merchant, sent_at))
            self._work(server)

        self._at(ready_at, queue)

    def _work(self, server: _Server) -> None:
        """Give free workers the groups that have waited longest; a group has one worker at most."""
        while server.workers and server.ready:
            group = server.ready.popleft()
            waiting = server.queues[group]
            server.workers -= 1
            taken = [waiting.popleft() for _ in range(min(len(waiting), LIMITS.batch_commands_max))]
            batch = _Batch(server, self._shards[group % len(self._shards)], group, taken)
            # BEGIN is one round trip; then the accounts are asked for.
            spent = self._costs.server_batch_us / 2
            self._at(self._on_server(server, spent) + self._round_trips(1), lambda batch=batch: self._lock(batch))  # type: ignore[misc]

    def _lock(self, batch: _Batch) -> None:
        """Lock account after account, in order; wait where another batch holds one."""
        shard = batch.shard
        while batch.locked < len(batch.accounts):
            account = batch.accounts[batch.locked]
            queue = shard.queues.setdefault(account, deque())
            if batch not in queue:
                queue.append(batch)
            if queue[0] is not batch:
                return
            shard.held_since[account] = self._now
            batch.locked += 1
        self._load(batch)

    def _load(self, batch: _Batch) -> None:
        """Let the database look all up, the server decide, the database write; then comes COMMIT."""
        count = len(batch.requests)
        database_us = (self._costs.database_batch_us + self._costs.database_row_us * count) / 2
        server_us = self._costs.server_batch_us / 2 + self._costs.server_row_us * count

        def decide() -> None:
            self._at(self._on_server(batch.server, server_us), write)

        def write() -> None:
            self._at(self._on_database(batch, database_us) + self._round_trips(ROUND_TRIPS_WRITING), commit)

        def commit() -> None:
            self._sync(batch)

        self._at(self._on_database(batch, database_us) + self._round_trips(ROUND_TRIPS_LOADING), decide)

    def _sync(self, batch: _Batch) -> None:
        """Wait for the disk, together with all that wait by then."""
        shard = batch.shard
        shard.awaiting_sync.append(batch)
        if shard.is_syncing:
            return
        shard.is_syncing = True
        together, shard.awaiting_sync = shard.awaiting_sync, []
        seconds = self._costs.sync_us * _SECOND
        shard.disk_seconds += self._counted(self._now, self._now + seconds)

        def synced() -> None:
            shard.is_syncing = False
            if shard.awaiting_sync:
                self._sync(shard.awaiting_sync.pop())
            for each in together:
                self._commit(each)

        self._at(self._now + seconds, synced)

    def _commit(self, batch: _Batch) -> None:
        """Give the locks back, answer the clients, and let the server go on."""
        shard, server = batch.shard, batch.server
        for account in batch.accounts:
            self._count_lock(shard, account, self._now)
            del shard.held_since[account]
            queue = shard.queues[account]
            queue.popleft()
            if not queue:
                del shard.queues[account]
            else:
                self._at(self._now, lambda other=queue[0]: self._lock(other))  # type: ignore[misc]
        if self._now >= self._warm_up:
            self._batches += 1
            self._answered += len(batch.requests)
            self._latencies.extend(self._now - sent_at for _, sent_at in batch.requests)
        server.workers += 1
        group = batch.group
        if server.queues[group]:
            server.ready.append(group)
        else:
            del server.queues[group]
        self._arrive(server, len(batch.requests))
        self._work(server)

    def _on_server(self, server: _Server, microseconds: float) -> float:
        """Spend a server's time once it is free; return when that is done."""
        start = max(server.free_at, self._now)
        server.free_at = start + microseconds * _SECOND
        server.busy_seconds += self._counted(start, server.free_at)
        return server.free_at

    def _on_database(self, batch: _Batch, microseconds: float) -> float:
        """Spend a database's time on half of a batch, once the coordinator has done its part, if there is one."""
        ready_at = self._now
        if self._coordinator is not None:
            costs = self._costs
            part = (costs.coordinator_batch_us + costs.coordinator_row_us * len(batch.requests)) / 2
            ready_at = self._on_shard(self._coordinator, part, ready_at)
        return self._on_shard(batch.shard, microseconds, ready_at)

    def _on_shard(self, shard: _Shard, microseconds: float, ready_at: float) -> float:
        start = max(heapq.heappop(shard.cores_free_at), ready_at)
        end = start + microseconds * _SECOND
        heapq.heappush(shard.cores_free_at, end)
        shard.busy_seconds += self._counted(start, end)
        return end

    def _round_trips(self, count: int) -> float:
        hops = 1 if self._coordinator is None else 2
        return count * hops * self._assumptions.round_trip_us * _SECOND

    def _count_lock(self, shard: _Shard, account: int, until: float) -> None:
        held = self._counted(shard.held_since[account], until)
        shard.held_seconds[account] = shard.held_seconds.get(account, 0.0) + held

    def _counted(self, start: float, end: float) -> float:
        """Tell how much of a stretch of time lies within the measured time."""
        over = self._warm_up + self._assumptions.seconds
        return max(min(end, over) - max(start, self._warm_up), 0.0)


def _share(value: float) -> float:
    return round(min(value, 1.0), 3)
