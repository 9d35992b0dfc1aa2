"""What one process has counted and measured: additions to plain numbers, without a lock, a file or a look-up of labels.

A charge's batch costs a few of them, and a request two. `slots` carries them to the other processes.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from farebox.core.commands import Charge
from farebox.core.outcomes import OK, Code
from farebox.metrics import definitions
from farebox.metrics.definitions import Metric
from farebox.service.ledger.committer import CommittedBatch

REPLAYED: Final = "replayed"
_NANOS: Final = 1_000_000_000
ROUTES_MAX: Final = 500
"""How many routes, methods and outcomes are counted apart: more than there are, and no client can make another."""

Labels = tuple[str, ...]


class Histogram(Struct):
    """How many values fell into each bucket, the last of which has no bound, and their sum."""

    counts: list[int]
    total: float = 0.0


class CountsSnapshot(Struct):
    """Everything that a process has counted: by metric, and by the values of its labels."""

    counters: dict[str, list[tuple[Labels, int]]]
    histograms: dict[str, list[tuple[Labels, Histogram]]]
    gauges: dict[str, list[tuple[Labels, float]]]


NOTHING: Final = CountsSnapshot({}, {}, {})


class _Measured:
    """A histogram of one process, and the bounds of its buckets."""

    def __init__(self, metric: Metric) -> None:
        self._bounds = metric.bounds
        self.histogram = Histogram([0] * (len(metric.bounds) + 1))

    def add(self, value: float) -> None:
        self.histogram.counts[bisect_left(self._bounds, value)] += 1
        self.histogram.total += value


class ProcessCounts:
    """ProcessCounts what a process does; it goes on from what the process had counted in whose place it is."""

    def __init__(self, before: CountsSnapshot = NOTHING) -> None:
        """Begin with what was counted before."""
        self._requests: dict[tuple[str, str, int, str], int] = {}
        self._charges: dict[str, int] = {}
        self._commands: dict[tuple[type, str], int] = {}
        self._refusals: dict[str, int] = {}
        self._request_seconds: dict[str, _Measured] = {}
        self._batch_commands = _Measured(definitions.BATCH_COMMANDS)
        self._lock, self._load, self._decide, self._apply, self._commit = self._steps = [
            _Measured(definitions.BATCH_STEP_SECONDS) for _ in STEPS
        ]
        self._before = before

    def note_request(self, route: str, method: str, status: int, outcome: str, seconds: float) -> None:
        """Count a request that was answered."""
        place = (route, method, status, outcome)
        count = self._requests.get(place)
        if count is None:
            if len(self._requests) >= ROUTES_MAX:
                return
            count = 0
        self._requests[place] = count + 1
        measured = self._request_seconds.get(route)
        if measured is None:
            measured = self._request_seconds[route] = _Measured(definitions.REQUEST_SECONDS)
        measured.add(seconds)

    def note_batch(self, batch: CommittedBatch) -> None:
        """Count a batch that was committed, and what its commands came to."""
        steps = batch.steps
        self._batch_commands.add(len(batch.commands))
        self._lock.add((steps.locked - steps.begun) / _NANOS)
        self._load.add((steps.loaded - steps.locked) / _NANOS)
        self._decide.add((steps.decided - steps.loaded) / _NANOS)
        self._apply.add((steps.applied - steps.decided) / _NANOS)
        self._commit.add((steps.committed - steps.applied) / _NANOS)
        charges, commands = self._charges, self._commands
        for command, outcome in zip(batch.commands, batch.outcomes, strict=True):
            code: str = REPLAYED if outcome.is_replay and outcome.code is OK else outcome.code
            if type(command) is Charge:
                charges[code] = charges.get(code, 0) + 1
            else:
                kind = (type(command), code)
                commands[kind] = commands.get(kind, 0) + 1

    def note_refusal(self, code: Code) -> None:
        """Count a charge or hold that was refused."""
        self._refusals[code] = self._refusals.get(code, 0) + 1

    def snapshot(self, gauges: Mapping[Metric, float]) -> CountsSnapshot:
        """Tell all that was counted, by this process and those before it in its place, and what is so now."""
        commands = {(_command_name(kind), str(code)): count for (kind, code), count in self._commands.items()}
        own = CountsSnapshot(
            counters={
                definitions.REQUESTS.name: [
                    ((route, method, str(status), outcome), count)
                    for (route, method, status, outcome), count in self._requests.items()
                ],
                definitions.CHARGES.name: [((str(code),), count) for code, count in self._charges.items()],
                definitions.COMMANDS.name: list(commands.items()),
                definitions.REFUSALS.name: [((str(code),), count) for code, count in self._refusals.items()],
            },
            histograms={
                definitions.REQUEST_SECONDS.name: [
                    ((route,), measured.histogram) for route, measured in self._request_seconds.items()
                ],
                definitions.BATCH_COMMANDS.name: [((), self._batch_commands.histogram)],
                definitions.BATCH_STEP_SECONDS.name: [
                    ((step,), measured.histogram) for step, measured in zip(STEPS, self._steps, strict=True)
                ],
            },
            gauges={},
        )
        both = total([self._before, own])
        both.gauges = {metric.name: [((), value)] for metric, value in gauges.items()}
        return both


STEPS: Final = ("lock", "load", "decide", "apply", "commit")


def total(snapshots: list[CountsSnapshot]) -> CountsSnapshot:
    """Add up what several processes counted and measured."""
    counters: dict[str, dict[Labels, int]] = {}
    histograms: dict[str, dict[Labels, Histogram]] = {}
    gauges: dict[str, dict[Labels, float]] = {}
    for snapshot in snapshots:
        for name, counted in snapshot.counters.items():
            counter = counters.setdefault(name, {})
            for labels, count in counted:
                counter[labels] = counter.get(labels, 0) + count
        for name, measured in snapshot.histograms.items():
            sums = histograms.setdefault(name, {})
            for labels, one in measured:
                sums[labels] = _added(sums.get(labels), one)
        for name, told in snapshot.gauges.items():
            gauge = gauges.setdefault(name, {})
            for labels, value in told:
                gauge[labels] = gauge.get(labels, 0.0) + value
    return CountsSnapshot(
        {name: list(counted.items()) for name, counted in counters.items()},
        {name: list(measured.items()) for name, measured in histograms.items()},
        {name: list(told.items()) for name, told in gauges.items()},
    )


def _added(one: Histogram | None, other: Histogram) -> Histogram:
    if one is None or len(one.counts) != len(other.counts):
        # Buckets with other bounds are those of an earlier program, whose folder this is not.
        return Histogram(list(other.counts), other.total)
    counts = [first + second for first, second in zip(one.counts, other.counts, strict=True)]
    return Histogram(counts, one.total + other.total)


def _command_name(kind: type) -> str:
    """Write a command's name as metrics have it: CreateHold is `create_hold`."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in kind.__name__).lstrip("_")
