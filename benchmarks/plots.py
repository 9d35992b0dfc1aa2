"""The pictures of a run: which results become which chart."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.drawing import Bar, Series, draw_bars, draw_lines
from benchmarks.footprint import Memory
from benchmarks.growth import GrowthResults, per_subject
from benchmarks.over_http import HttpResult
from benchmarks.results import Results
from benchmarks.rounds import Figure
from benchmarks.simulation.model import Simulated


def draw(results: Results) -> Iterator[tuple[str, str]]:
    """Draw a standard run: names and SVG."""
    connections = sorted({it.connections for it in results.http if it.what == "charge"})
    groups = [
        (f"{variant}, {count} connection{'s' if count > 1 else ''}", _rates(results.http, variant, count))
        for count in connections
        for variant in ("spread", "hot")
    ]
    yield "charges", draw_bars("Charges a second", groups)
    reads = [_bar(it.subject, it.per_second) for it in results.http if it.what == "balance"]
    yield "balances", draw_bars("Balances read a second", [("spread", reads)])
    batches = [
        (
            variant,
            [_bar(it.subject, it.per_second) for it in results.http if (it.what, it.variant) == ("batch", variant)],
        )
        for variant in ("spread", "hot")
    ]
    yield "batches", draw_bars("Charges a second, 1,000 in a request", batches)
    yield from draw_memory(results.memory)
    if results.simulated:
        title = "Charges a second, simulated"
        yield "servers", draw_lines(title, list(_servers(results.simulated)), x="servers", y="", is_log=True)


def draw_memory(memory: Sequence[Memory]) -> Iterator[tuple[str, str]]:
    """Draw memory over time."""
    series = [Series(it.subject, list(zip(it.seconds, it.megabytes, strict=True))) for it in memory]
    yield "memory", draw_lines("Memory while charging at full load", series, x="seconds", y="MB")


def draw_growth(growth: GrowthResults) -> Iterator[tuple[str, str]]:
    """Draw a run of growth."""
    for subject in dict.fromkeys(it.subject for it in growth.points):
        series = [
            Series(what, [(it.transfers, it.relative.median) for it in points])
            for (name, what), points in per_subject(growth.points)
            if name == subject
        ]
        title = f"As good as the empty ledger, {subject}"
        yield f"growth-{subject}", draw_lines(title, series, x="transfers", y="1 is as good")
    for along in dict.fromkeys(it.along for it in growth.scaling):
        series = [
            Series(
                subject,
                [(it.at, it.per_second.median) for it in growth.scaling if (it.subject, it.along) == (subject, along)],
            )
            for subject in dict.fromkeys(it.subject for it in growth.scaling)
        ]
        yield f"growth-{along}", draw_lines(f"Charges a second against {along}", series, x=along, y="", is_log=True)


def write(pictures: Iterator[tuple[str, str]], folder: Path, prefix: str) -> list[Path]:
    """Write pictures as SVG files."""
    paths: list[Path] = []
    for name, picture in pictures:
        paths.append(folder / f"{prefix}-{name}.svg")
        paths[-1].write_text(picture)
    return paths


def _rates(found: Sequence[HttpResult], variant: str, connections: int) -> list[Bar]:
    return [
        _bar(it.subject, it.per_second)
        for it in found
        if (it.what, it.variant, it.connections) == ("charge", variant, connections)
    ]


def _bar(label: str, it: Figure) -> Bar:
    return Bar(label, it.median, it.lowest, it.highest)


def _servers(simulated: Sequence[Simulated]) -> Iterator[Series]:
    series: dict[tuple[int, bool], Series] = {}
    for it in simulated:
        databases = "1 database" if it.shards == 1 else f"{it.shards} databases"
        name = f"{databases}, routed by merchant" if it.is_routed else databases
        line = series.setdefault((it.shards, it.is_routed), Series(name, []))
        line.points.append((it.servers, it.per_second))
    yield from series.values()
