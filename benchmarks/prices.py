"""What a price that is a rule costs: charges of one server by a unit price, by rules, and over a month."""

from typing import Final

from benchmarks import shapes
from benchmarks.load import Stream
from benchmarks.over_http import Subject
from benchmarks.shapes import ShapeResult
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


async def set_prices(farebox: Farebox) -> None:
    """Set the prices that are compared."""
    for shape, (rule, _) in SHAPES.items():
        await farebox.services.prices.set(request_type(shape), UNIT_PRICE if rule is None else None, rule=rule)


def measure(subject: Subject, *, connections: int, rounds: int, seconds: float) -> list[ShapeResult]:
    """Charge by each price in turn."""
    streams = {shape: _stream(subject.population, shape, connections) for shape in SHAPES}
    return shapes.measure(subject, streams, connections=connections, rounds=rounds, seconds=seconds)


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
