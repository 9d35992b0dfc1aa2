"""What given credit and budgets cost: charges to merchants with ever more grants, and by keys with budgets."""

import time
from typing import Final

from benchmarks import shapes
from benchmarks.load import Stream
from benchmarks.over_http import Subject
from benchmarks.shapes import ShapeResult
from benchmarks.workload import Member, Population, charge_request
from farebox.bootstrap import Farebox
from farebox.core.commands import GiveCredit
from farebox.core.outcomes import Outcome

BUDGETED: Final = "three grants, a budget"
SHAPES: Final = {"no grants": 0, "three grants": 3, BUDGETED: 3, "ten grants": 10, "a thousand grants": 1_000}
"""How many grants the merchants have that each shape charges."""

LIMITS: Final = {"day": "1000000", "month": "10000000"}
"""The budget of the keys of one shape: amounts that no run comes near."""

GROUP_MAX: Final = 40
"""How many merchants each shape charges, at most: each has as many grants as its shape says."""

TYPE: Final = "image"
GRANT_MICROS: Final = 1_000 * 1_000_000
"""What a grant has: so much that a run does not use it up, and takes from one at a time, as most requests do."""

_GIVE_AT_ONCE: Final = 1_000
_YEAR_MICROS: Final = 365 * 86_400 * 1_000_000


async def give_credit(farebox: Farebox, population: Population) -> None:
    """Give each shape its grants, which end one after the other a year from now, and its budgets."""
    end = time.time_ns() // 1_000 + _YEAR_MICROS
    commands = [
        GiveCredit(member.merchant_id, GRANT_MICROS, f"G-{number}", "benchmark", expires_at=end + number)
        for shape, count in SHAPES.items()
        for member in _group(population, shape)
        for number in range(count)
    ]
    for first in range(0, len(commands), _GIVE_AT_ONCE):
        for outcome in await farebox.committer.submit_all(commands[first : first + _GIVE_AT_ONCE]):
            if not isinstance(outcome, Outcome) or outcome.grant is None:
                raise RuntimeError(f"credit was not given: {outcome}")
    for member in _group(population, BUDGETED):
        for key in await farebox.services.merchants.keys(member.merchant_id):
            await farebox.services.key_budgets.set(key.key_id, LIMITS, zone="Europe/Berlin")


def measure(subject: Subject, *, connections: int, rounds: int, seconds: float) -> list[ShapeResult]:
    """Charge the merchants of each shape in turn."""
    streams = {shape: _stream(subject.population, shape, connections) for shape in SHAPES}
    return shapes.measure(subject, streams, connections=connections, rounds=rounds, seconds=seconds)


def _group(population: Population, shape: str) -> list[Member]:
    """Tell whom a shape charges: as many merchants as every other shape, and no other's."""
    place = list(SHAPES).index(shape)
    return population.members[place :: len(SHAPES)][:GROUP_MAX]


def _stream(population: Population, shape: str, connections: int) -> Stream:
    """Charge the merchants of a shape one after the other."""
    members = _group(population, shape)
    requests = [charge_request(member, TYPE, population.service_key) for member in members]
    return Stream(connections, requests, list(range(len(requests))))
