"""Charges of several shapes over one server: each shape in turn, in alternating rounds, held against the first one."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from benchmarks.load import Order, Stream
from benchmarks.over_http import Subject, acknowledge
from benchmarks.rounds import Figure, figure
from benchmarks.serving import put_load

_WARM_UP_PART: Final = 0.2
_MICROSECONDS: Final = 1e6


class ShapeResult(Struct, frozen=True):
    """Charges of one shape over all rounds; `of_first` is the ratio to the first shape in the same round."""

    subject: str
    shape: str
    connections: int
    per_second: Figure
    of_first: Figure
    server_us: Figure
    p50_ms: Figure
    p99_ms: Figure


def measure(
    subject: Subject, streams: Mapping[str, Stream], *, connections: int, rounds: int, seconds: float
) -> list[ShapeResult]:
    """Charge by each shape's stream in turn, in alternating rounds, over one server."""
    samples: dict[str, list[tuple[float, float, float, float]]] = {}
    for number in range(rounds):
        for shape in list(streams)[:: 1 if number % 2 == 0 else -1]:
            order = Order(
                port=subject.server.port,
                seconds=seconds,
                warm_up_seconds=seconds * _WARM_UP_PART,
                streams=[streams[shape]],
            )
            measured = put_load(order, subject.server, subject.database_pid)
            main = measured.report.streams[0]
            acknowledge(subject.acknowledged, main)
            if set(main.answers) - {"200"}:
                raise RuntimeError(f"charges of {shape} were answered {main.answers}")
            completed = main.completed or 1
            p50, _, p99 = main.latencies_ms
            samples.setdefault(shape, []).append(
                (main.completed / measured.report.seconds, measured.spent.server * _MICROSECONDS / completed, p50, p99)
            )
    first = samples[next(iter(streams))]
    return [
        ShapeResult(
            subject.name,
            shape,
            connections,
            figure(it[0] for it in found),
            figure(it[0] / other[0] for it, other in zip(found, first, strict=True)),
            *(figure(it[place] for it in found) for place in (1, 2, 3)),
        )
        for shape, found in ((shape, samples[shape]) for shape in streams)
    ]
