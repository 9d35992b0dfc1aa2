"""What a price that is a rule costs: charges of one server by a unit price, by rules, and over a month."""

from typing import Final

from msgspec import Struct

from benchmarks.load import Order, Stream
from benchmarks.over_http import Subject, acknowledge
from benchmarks.rounds import Figure, figure
from benchmarks.serving import put_load
from benchmarks.workload import Population, charge_request, draws
from farebox.bootstrap import Farebox
from farebox.core.pricing.rules import Line, Period, PeriodUnit, Rates, Rule, Step

MILLION: Final = 10**6
LINES: Final = ("input", "cached", "output", "reasoning")
UNIT: Final = "unit price"
UNIT_PRICE: Final = "0.0085"
SHAPES: Final[dict[str, tuple[Rule | None, str]]] = {
    UNIT: (None, '"quantity":3'),
    "one line": (Rule(Rates((Line("input", 150_000, MILLION),))), '"quantities":{"input":1200}'),
    "four lines": (
        Rule(Rates(tuple(Line(name, 150_000, MILLION) for name in LINES))),
        '"quantities":{"input":1200,"cached":800,"output":350,"reasoning":90}',
    ),
    "over a month": (
        Rule(
            Rates((Line("input", 0, steps=(Step(1, 0), Step(1_001, 1_500_000, 1_000))),)),
            period=Period(PeriodUnit.MONTH, "Europe/Berlin"),
        ),
        '"quantities":{"input":1200}',
    ),
}
"""The prices that are compared, and what a charge by each names."""

_WARM_UP_PART: Final = 0.2
_MICROSECONDS: Final = 1e6


class PriceResult(Struct, frozen=True):
    """Charges by one kind of price over all rounds; `of_unit` is the ratio to the unit price in the same round."""

    subject: str
    shape: str
    connections: int
    per_second: Figure
    of_unit: Figure
    server_us: Figure
    p50_ms: Figure
    p99_ms: Figure


async def set_prices(farebox: Farebox) -> None:
    """Set the prices that are compared."""
    for shape, (rule, _) in SHAPES.items():
        await farebox.services.prices.set(request_type(shape), UNIT_PRICE if rule is None else None, rule=rule)


def measure(subject: Subject, *, connections: int, rounds: int, seconds: float) -> list[PriceResult]:
    """Charge by each price in turn, in alternating rounds, over one server."""
    samples: dict[str, list[tuple[float, float, float, float]]] = {}
    for number in range(rounds):
        for shape in list(SHAPES)[:: 1 if number % 2 == 0 else -1]:
            order = Order(
                port=subject.server.port,
                seconds=seconds,
                warm_up_seconds=seconds * _WARM_UP_PART,
                streams=[_stream(subject.population, shape, connections)],
            )
            measured = put_load(order, subject.server, subject.database_pid)
            main = measured.report.streams[0]
            acknowledge(subject.acknowledged, main)
            if set(main.answers) - {"200"}:
                raise RuntimeError(f"charges by {shape} were answered {main.answers}")
            completed = main.completed or 1
            p50, _, p99 = main.latencies_ms
            samples.setdefault(shape, []).append(
                (main.completed / measured.report.seconds, measured.spent.server * _MICROSECONDS / completed, p50, p99)
            )
    return [
        PriceResult(
            subject.name,
            shape,
            connections,
            figure(it[0] for it in found),
            figure(it[0] / unit[0] for it, unit in zip(found, samples[UNIT], strict=True)),
            *(figure(it[place] for it in found) for place in (1, 2, 3)),
        )
        for shape, found in samples.items()
    ]


def request_type(shape: str) -> str:
    """Name the request type that is charged by a price."""
    return shape.replace(" ", "-")


def _stream(population: Population, shape: str, connections: int) -> Stream:
    """Charge merchants as spread as elsewhere, by one price."""
    drawn = draws(len(population.members), "spread")
    places = {place: at for at, place in enumerate(dict.fromkeys(it.place for it in drawn))}
    named = SHAPES[shape][1]
    requests = [
        charge_request(population.members[place], request_type(shape), population.service_key, named)
        for place in places
    ]
    return Stream(connections, requests, [places[it.place] for it in drawn])
