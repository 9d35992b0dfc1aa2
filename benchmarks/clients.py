"""What the Python client brings: callers of one process that share requests, held to as many connections."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from benchmarks.client_load import ClientOrder
from benchmarks.over_http import WARM_UP_PART, Case, Subject, acknowledge
from benchmarks.rounds import Figure, figure, ratio
from benchmarks.serving import Measured, put_load
from benchmarks.workload import VARIANTS, Variant, choices

CONNECTIONS: Final = "connections of the load generator"
SHARING: Final = "callers of a client, sharing requests"
ALONE: Final = "callers of a client, each by itself"
WAYS: Final = (CONNECTIONS, SHARING, ALONE)
PEER: Final = "callers of TigerBeetle's client"

_MICROSECONDS: Final = 1e6


class ClientResult(Struct, frozen=True):
    """Charges in one way over all rounds; ratios are to the load generator's connections in the same round.

    `client_share` is of one processor core: it is spent by the process that charges. `of_peer` is the ratio to callers
    of TigerBeetle's client in the same round, None where that was not measured.
    """

    subject: str
    variant: Variant
    way: str
    callers: int
    per_second: Figure
    of_connections: Figure
    server_us: Figure
    client_share: Figure
    p50_ms: Figure
    p99_ms: Figure
    p99_of_connections: Figure
    of_peer: Figure | None = None


class _Sample(Struct, frozen=True):
    per_second: float
    server_us: float
    client_share: float
    p50_ms: float
    p99_ms: float


def measure(subject: Subject, peer: Subject | None, *, callers: int, rounds: int, seconds: float) -> list[ClientResult]:
    """Charge in each way in turn, in alternating rounds, over one server, and over the peer's if there is one."""
    ways = WAYS if peer is None else (*WAYS, PEER)
    samples: dict[tuple[Variant, str], list[_Sample]] = {}
    for number in range(rounds):
        for variant in VARIANTS:
            for way in ways[:: 1 if number % 2 == 0 else -1]:
                charged = peer if peer and way == PEER else subject
                measured = _charge(charged, variant, way, callers, seconds)
                samples.setdefault((variant, way), []).append(_sample(charged, measured, way))
    return [
        _result(subject, way, Case("charge", variant, callers), {each: samples[variant, each] for each in ways})
        for variant in VARIANTS
        for way in ways
    ]


def _charge(subject: Subject, variant: Variant, way: str, callers: int, seconds: float) -> Measured:
    if way in (CONNECTIONS, PEER):
        return subject.put(Case("charge", variant, callers), seconds)
    population = subject.population
    chosen = choices(len(population.members), variant)
    sent = ClientOrder(
        port=subject.server.port,
        seconds=seconds,
        warm_up_seconds=seconds * WARM_UP_PART,
        callers=callers,
        service_key=population.service_key,
        requests=[(population.members[each.place].key, each.request_type) for each in chosen.distinct],
        sequence=chosen.sequence,
        is_batching=way == SHARING,
    )
    return put_load(sent, subject.server, subject.database_pid, program="benchmarks.client_load")


def _sample(subject: Subject, measured: Measured, way: str) -> _Sample:
    report, (main,) = measured.report, measured.report.streams
    acknowledge(subject.acknowledged, main)
    if set(main.answers) - {"200"}:
        raise RuntimeError(f"charges of {way} were answered {main.answers}")
    return _Sample(
        per_second=main.completed / report.seconds,
        server_us=measured.spent.server * _MICROSECONDS / (main.completed or 1),
        client_share=report.cpu_seconds / report.seconds,
        p50_ms=main.latencies_ms[0],
        p99_ms=main.latencies_ms[2],
    )


def _result(subject: Subject, way: str, case: Case, found: Mapping[str, list[_Sample]]) -> ClientResult:
    samples, peers = found[way], found.get(PEER)
    pairs = list(zip(samples, found[CONNECTIONS], strict=True))
    return ClientResult(
        subject=subject.name,
        variant=case.variant,
        way=way,
        callers=case.connections,
        per_second=figure((each.per_second for each in samples), 4),
        of_connections=figure(ratio(each.per_second, other.per_second) for each, other in pairs),
        server_us=figure(each.server_us for each in samples),
        client_share=figure(each.client_share for each in samples),
        p50_ms=figure(each.p50_ms for each in samples),
        p99_ms=figure(each.p99_ms for each in samples),
        p99_of_connections=figure(ratio(each.p99_ms, other.p99_ms) for each, other in pairs),
        of_peer=None
        if peers is None
        else figure(ratio(each.per_second, peer.per_second) for each, peer in zip(samples, peers, strict=True)),
    )
