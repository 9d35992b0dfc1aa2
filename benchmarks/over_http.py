"""Requests over real HTTP on real server processes: what comes through a second, and what each costs."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal, get_args

from msgspec import Struct, field

from benchmarks import apps
from benchmarks.ledgers import Acknowledged
from benchmarks.load import Order, Report, Stream, StreamReport
from benchmarks.rounds import Figure, figure
from benchmarks.serving import Measured, Server, put_load, serving
from benchmarks.workload import Population, Variant, batch_head, charge_body, charge_request, choices, read_request
from farebox.service.parsing import parse_amount

What = Literal["balance", "balance beside charges", "statement", "usage", "charge", "batch"]
FAREBOX_WHATS: Final[frozenset[What]] = frozenset({"balance", "balance beside charges", "charge", "batch"})
BASELINE_WHATS: Final[frozenset[What]] = frozenset({"balance", "charge"})
BESIDE: Final = "balance beside charges"
"""Balances read as fast as they come, while charges come at half the rate that the same server had just managed."""

CEILING: Final = "ceiling"
BASELINE: Final = "baseline"
TIGERBEETLE: Final = "tigerbeetle"
CONNECTIONS: Final = (1, 64, 256)
BATCH_CONNECTIONS: Final = 4
BATCH_CHARGES: Final = 1_000
SAVINGS: Final = {
    "through the router": apps.THROUGH_ROUTER,
    "default collector": apps.DEFAULT_COLLECTOR,
    "single commits": apps.SINGLE_COMMITS,
}
"""Farebox without one of its savings each, by the name under which it is measured."""

OBSERVED: Final = {"metrics": apps.METRICS, "traces": apps.TRACES}
"""Farebox while it is observed in each way."""

_PATHS: Final[dict[What, str]] = {
    "balance": "/api/balance",
    BESIDE: "/api/balance",
    "statement": "/api/transfers",
    "usage": "/api/usage",
}
WARM_UP_PART: Final = 0.2
_BESIDE_PART: Final = 0.5
_MICROSECONDS: Final = 1e6


class Case(Struct, frozen=True):
    """One thing to measure: what is asked for, of which merchants, over how many connections.

    Charges of the spread variant have random keys if they come in batches, else all keys are in order of time.
    """

    what: What
    variant: Variant
    connections: int


class Subject(Struct):
    """A server under measurement. `database_pid` is its database's first process, if that has one."""

    name: str
    server: Server
    population: Population
    database_pid: int | None = None
    acknowledged: Acknowledged = field(default_factory=Acknowledged)
    whats: frozenset[What] = frozenset(get_args(What))
    """What it is measured in."""

    connections_min: int = 1

    def takes(self, case: Case) -> bool:
        """Tell whether it is measured in this case."""
        return case.what in self.whats and case.connections >= self.connections_min

    def put(self, case: Case, seconds: float, *, charges_per_second: float = 0.0) -> Measured:
        """Put load on it as the case says, with so many charges a second beside balances."""
        sent = order(self.population, case, self.server.port, seconds, charges_per_second=charges_per_second)
        return put_load(sent, self.server, self.database_pid)


@contextlib.contextmanager
def serving_ceiling(url: str, population: Population) -> Iterator[Subject]:
    """Serve the application that does nothing, which others are held to."""
    with serving(apps.CEILING, url) as server:
        yield Subject(CEILING, server, population, whats=frozenset({"balance", "charge"}))


class Sample(Struct, frozen=True):
    """One case measured on one subject in one round; shares are of one processor core."""

    per_second: float
    of_ceiling: float
    server_us: float
    database_us: float
    latencies_ms: tuple[float, float, float]
    server_share: float
    load_share: float
    others_share: float
    failures: dict[str, int]
    beside_part: float = 0.0


class HttpResult(Struct, frozen=True):
    """One case on one subject over all rounds; of batches, `per_second` and the costs are those of single charges.

    `server_us` and `database_us` are microseconds of processor time per request, `of_ceiling` the ratio to what the
    same server gives a trivial application in the same round, 0 without one. `beside_part` is which part of their
    maximum charges had beside the balances that were read. Shares are of one processor core: if `load_share` is near 1,
    the load generator was the limit, and `others_share` tells what else ran on the machine. `failures` counts every
    answer but 200, charges of a batch that were refused, and connections that broke.
    """

    subject: str
    what: What
    variant: Variant
    connections: int
    per_second: Figure
    of_ceiling: Figure
    server_us: Figure
    database_us: Figure
    p50_ms: Figure
    p95_ms: Figure
    p99_ms: Figure
    server_share: Figure
    load_share: Figure
    others_share: Figure
    beside_part: Figure
    failures: dict[str, int]


def cases(connections: Sequence[int] = CONNECTIONS) -> Iterator[list[Case]]:
    """Yield the cases in groups that share a ceiling. Balances are read over the second number of connections."""
    many = connections[min(1, len(connections) - 1)]
    for count in connections:
        yield [Case("charge", "spread", count), Case("charge", "hot", count)]
        if count == many:
            yield [Case("balance", "spread", many), Case(BESIDE, "spread", many)]
    yield [Case("batch", "spread", BATCH_CONNECTIONS), Case("batch", "hot", BATCH_CONNECTIONS)]


def measure(
    ceiling: Subject, subjects: Sequence[Subject], groups: Sequence[Sequence[Case]], *, rounds: int, seconds: float
) -> list[HttpResult]:
    """Measure every case on every subject, in alternating rounds, each group after the ceiling that it is held to."""
    samples: dict[tuple[str, Case], list[Sample]] = {}
    for _ in range(rounds):
        for group in groups:
            limit = None
            if ceiling.takes(group[0]):
                limit = sample(ceiling, group[0], seconds)
                samples.setdefault((ceiling.name, group[0]), []).append(limit)
            for case, subject in itertools.product(group, subjects):
                if subject.takes(case):
                    charged = samples.get((subject.name, Case("charge", case.variant, case.connections)))
                    found = sample(subject, case, seconds, limit, charged[-1].per_second if charged else 0.0)
                    samples.setdefault((subject.name, case), []).append(found)
    return [result(name, case, found) for (name, case), found in samples.items()]


def order(population: Population, case: Case, port: int, seconds: float, *, charges_per_second: float = 0.0) -> Order:
    """Compose what the load generator is to send."""
    streams = [_stream(population, case)]
    if case.what == BESIDE and charges_per_second:
        beside = _stream(population, Case("charge", case.variant, case.connections))
        beside.per_second = charges_per_second
        streams.append(beside)
    return Order(port=port, seconds=seconds, warm_up_seconds=seconds * WARM_UP_PART, streams=streams)


def _stream(population: Population, case: Case) -> Stream:
    chosen = choices(len(population.members), case.variant)
    members, service_key = population.members, population.service_key
    stream = Stream(case.connections, [], chosen.sequence)
    if case.what in _PATHS:
        stream.requests = [(read_request(members[it.place], _PATHS[case.what]), "") for it in chosen.distinct]
    elif case.what == "charge":
        stream.requests = [charge_request(members[it.place], it.request_type, service_key) for it in chosen.distinct]
    else:
        stream.requests = [charge_body(members[it.place], it.request_type) for it in chosen.distinct]
        stream.batch_head, stream.batch = batch_head(service_key), BATCH_CHARGES
        stream.has_random_keys = case.variant == "spread"
    return stream


def sample(
    subject: Subject, case: Case, seconds: float, ceiling: Sample | None = None, charges_per_second: float = 0.0
) -> Sample:
    """Measure one case once; `charges_per_second` is what the subject managed alone, half of which comes beside."""
    measured = subject.put(case, seconds, charges_per_second=charges_per_second * _BESIDE_PART)
    report, spent = measured.report, measured.spent
    for stream in report.streams:
        acknowledge(subject.acknowledged, stream)
    main = report.streams[0]
    completed = main.completed or 1
    per_second = main.completed / report.seconds
    beside = sum(it.completed for it in report.streams[1:]) / report.seconds
    return Sample(
        per_second=per_second,
        of_ceiling=per_second / ceiling.per_second if ceiling and ceiling.per_second else 0.0,
        server_us=spent.server * _MICROSECONDS / completed,
        database_us=spent.database * _MICROSECONDS / completed,
        latencies_ms=main.latencies_ms,
        server_share=spent.server / report.seconds,
        load_share=report.cpu_seconds / report.seconds,
        others_share=(spent.machine - spent.server - spent.database - report.cpu_seconds) / report.seconds,
        failures=_failures(report),
        beside_part=beside / charges_per_second if charges_per_second else 0.0,
    )


def acknowledge(acknowledged: Acknowledged, report: StreamReport) -> None:
    """Note what a stream's clients were told."""
    acknowledged.charges += sum(report.costs.values())
    acknowledged.micros += sum(parse_amount(cost) * count for cost, count in report.costs.items())


def _failures(report: Report) -> dict[str, int]:
    failures: Counter[str] = Counter()
    for stream in report.streams:
        failures.update({status: count for status, count in stream.answers.items() if status != "200"})
        failures["broken"] += stream.broken
    return dict(+failures)


def result(name: str, case: Case, samples: Sequence[Sample]) -> HttpResult:
    """Sum up all rounds of a case on a subject."""
    return HttpResult(
        subject=name,
        what=case.what,
        variant=case.variant,
        connections=case.connections,
        per_second=figure((it.per_second for it in samples), 4),
        of_ceiling=figure(it.of_ceiling for it in samples),
        server_us=figure(it.server_us for it in samples),
        database_us=figure(it.database_us for it in samples),
        p50_ms=figure(it.latencies_ms[0] for it in samples),
        p95_ms=figure(it.latencies_ms[1] for it in samples),
        p99_ms=figure(it.latencies_ms[2] for it in samples),
        server_share=figure(it.server_share for it in samples),
        load_share=figure(it.load_share for it in samples),
        others_share=figure(max(it.others_share, 0.0) for it in samples),
        beside_part=figure(it.beside_part for it in samples),
        failures=dict(sum((Counter(it.failures) for it in samples), Counter())),
    )
