"""Requests over real HTTP on real server processes: what comes through a second, and what each costs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from benchmarks import apps
from benchmarks.ledgers import Acknowledged
from benchmarks.load import Order
from benchmarks.rounds import Figure, figure
from benchmarks.serving import Measured, Server, put_load
from benchmarks.workload import Population, Variant, balance_request, charge_request, draws
from farebox.core.money import parse_amount

What = Literal["balance", "charge"]

CEILING: Final = "ceiling"
CONNECTIONS: Final = (64, 256)
SAVINGS: Final = {"through the router": apps.THROUGH_ROUTER, "default collector": apps.DEFAULT_COLLECTOR}
"""Farebox without one of its savings each, by the name under which it is measured."""

_WARM_UP_PART: Final = 0.2
_MICROSECONDS: Final = 1e6


class Case(Struct, frozen=True):
    """One thing to measure: what is asked for, of which merchants, over how many connections."""

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


class HttpResult(Struct, frozen=True):
    """One case on one subject over all rounds.

    `server_us` and `database_us` are microseconds of processor time per request, `of_ceiling` the ratio to what the
    same server gives a trivial application in the same round. Shares are of one processor core: if `load_share` is near
    1, the load generator was the limit, and `others_share` tells what else ran on the machine. `failures` counts every
    answer but 200, and connections that broke.
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
    failures: dict[str, int]


def cases(connections: Sequence[int] = CONNECTIONS) -> Iterator[list[Case]]:
    """Yield the cases in groups that share a ceiling."""
    yield [Case("balance", "spread", connections[0])]
    for count in connections:
        yield [Case("charge", "spread", count), Case("charge", "hot", count)]


def measure(
    ceiling: Subject, subjects: Sequence[Subject], groups: Sequence[Sequence[Case]], *, rounds: int, seconds: float
) -> list[HttpResult]:
    """Measure every case on every subject, in alternating rounds, each group after the ceiling that it is held to."""
    samples: dict[tuple[str, Case], list[Sample]] = {}
    for _ in range(rounds):
        for group in groups:
            limit = _sample(ceiling, group[0], seconds, None)
            samples.setdefault((ceiling.name, group[0]), []).append(limit)
            for case in group:
                for subject in subjects:
                    sample = _sample(subject, case, seconds, limit)
                    samples.setdefault((subject.name, case), []).append(sample)
    return [_result(name, case, found) for (name, case), found in samples.items()]


def order(population: Population, case: Case, port: int, seconds: float) -> Order:
    """Compose what the load generator is to send."""
    drawn = draws(len(population.members), case.variant)
    places = {key: at for at, key in enumerate(dict.fromkeys((it.place, it.request_type) for it in drawn))}
    if case.what == "balance":
        requests = [(balance_request(population.members[place]), "") for place, _ in places]
    else:
        service_key = population.service_key
        requests = [charge_request(population.members[place], name, service_key) for place, name in places]
    return Order(
        port=port,
        connections=case.connections,
        seconds=seconds,
        warm_up_seconds=seconds * _WARM_UP_PART,
        requests=requests,
        sequence=[places[it.place, it.request_type] for it in drawn],
    )


def _sample(subject: Subject, case: Case, seconds: float, ceiling: Sample | None) -> Sample:
    sent = order(subject.population, case, subject.server.port, seconds)
    measured = put_load(sent, subject.server, subject.database_pid)
    report, spent = measured.report, measured.spent
    if case.what == "charge":
        subject.acknowledged.charges += sum(report.costs.values())
        subject.acknowledged.micros += sum(parse_amount(cost) * count for cost, count in report.costs.items())
    completed = report.completed or 1
    per_second = report.completed / report.seconds
    return Sample(
        per_second=per_second,
        of_ceiling=per_second / ceiling.per_second if ceiling and ceiling.per_second else 1.0,
        server_us=spent.server * _MICROSECONDS / completed,
        database_us=spent.database * _MICROSECONDS / completed,
        latencies_ms=report.latencies_ms,
        server_share=spent.server / report.seconds,
        load_share=report.cpu_seconds / report.seconds,
        others_share=(spent.machine - spent.server - spent.database - report.cpu_seconds) / report.seconds,
        failures=_failures(measured),
    )


def _failures(measured: Measured) -> dict[str, int]:
    failures = {status: count for status, count in measured.report.answers.items() if status != "200"}
    if measured.report.broken:
        failures["broken"] = measured.report.broken
    return failures


def _result(name: str, case: Case, samples: Sequence[Sample]) -> HttpResult:
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
        failures=dict(sum((Counter(it.failures) for it in samples), Counter())),
    )
