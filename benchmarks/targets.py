"""What Farebox aims at, held to what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks import pgbench
from benchmarks.books import VERIFY
from benchmarks.clients import SHARING, ClientResult
from benchmarks.growth import GrowthResults
from benchmarks.large import Large
from benchmarks.ledgers import ENGINES
from benchmarks.over_http import BASELINE, BATCH_CONNECTIONS, BESIDE, TIGERBEETLE, What
from benchmarks.results import AgainstResult, AgainstResults, ReadResult, Results
from benchmarks.tables import number, table
from benchmarks.workload import VARIANTS, Variant

LARGE_TRANSFERS: Final = 10_000_000
_NAMES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
_HOT_FIRST: Final[tuple[Variant, ...]] = ("hot", "spread")
_MICROSECONDS: Final = 1e6


class Target(Struct, frozen=True):
    """One aim: at least `bound`, or at most if `is_limit`. `measured` is None if the run did not measure it."""

    name: str
    bound: float
    measured: float | None
    unit: str = ""
    is_limit: bool = False

    @property
    def ratio(self) -> float | None:
        """How much better than the bound it came out; 1 just meets it."""
        if self.measured is None:
            return None
        over, under = (self.bound, self.measured) if self.is_limit else (self.measured, self.bound)
        return over / under if under else 0.0

    @property
    def verdict(self) -> str:
        """Whether it is met, in words."""
        ratio = self.ratio
        return "not measured" if ratio is None else "met" if ratio >= 1 else "not met"


def targets(results: Results, growth: GrowthResults | None) -> list[Target]:
    """Hold results to every aim; growth is measured in a run of its own."""
    measured = _Measured(results)
    return [
        *_charges(measured),
        *_balances(measured),
        *_batches(measured),
        *_one_client(measured),
        *_footprint(results, growth),
    ]


def lines(found: list[Target]) -> Iterator[str]:
    """Render targets for people."""
    yield from table(
        ("target", "measured", "", "ratio", ""),
        [
            (
                it.name,
                "" if it.measured is None else number(it.measured),
                f"{'at most' if it.is_limit else 'at least'} {number(it.bound)} {it.unit}".rstrip(),
                "" if it.ratio is None else f"{it.ratio:.2f}",
                it.verdict,
            )
            for it in found
        ],
        left=(0, 2, 4),
    )


def of_large(large: Large) -> list[Target]:
    """Hold a very large ledger to an empty one, its statements to a small one's, and verifying to its rate."""
    bounds = {"charge, spread": 0.8, "charge, hot": 0.8, "balance, spread": 0.9}
    verified = large.verified
    return [
        *(
            Target(it.what, bounds.get(it.what, 1.0), it.relative.median, f"x {it.base:,} transfers")
            for it in large.points
        ),
        _verifying("verify, SQLite", verified.transfers / verified.processor_seconds),
    ]


def of_clients(found: Sequence[ClientResult]) -> list[Target]:
    """Hold callers that share requests to as many connections, in the same rounds."""
    return [
        target
        for it in found
        if it.way == SHARING
        for target in (
            Target(
                f"{it.callers} callers of one process, {it.variant}, {_NAMES[it.subject]}",
                3,
                it.of_connections.median,
                f"x {it.callers} connections",
            ),
            Target(
                f"{it.callers} callers of one process, {it.variant}, {_NAMES[it.subject]}, p99",
                1,
                it.p99_of_connections.median,
                f"x {it.callers} connections",
                is_limit=True,
            ),
            Target(
                f"{it.callers} callers of one process, {it.variant}, {_NAMES[it.subject]}",
                4,
                None if it.of_peer is None else it.of_peer.median,
                f"x {it.callers} callers of TigerBeetle's client",
            ),
        )
    ]


def of_checkouts(found: AgainstResults, large: Large | None) -> list[Target]:
    """Hold this checkout to what it is to be of the one from which the aims were set, and to all else it aims at.

    A very large ledger is measured in a run of its own.
    """
    aims = {
        **{("sqlite", "charge", "spread", count): 1.35 for count in (64, 256)},
        **{("sqlite", "charge", "hot", count): 1.25 for count in (64, 256)},
        **{
            ("sqlite", "batch", variant, BATCH_CONNECTIONS): bound for variant, bound in (("hot", 1.6), ("spread", 1.8))
        },
        **{("postgres", "batch", variant, BATCH_CONNECTIONS): 1.3 for variant in VARIANTS},
        **{("postgres", "charge", variant, 64): 1.3 for variant in VARIANTS},
    }
    return [
        *(target for it in found.against for target in _of_checkouts(it, aims)),
        *of_clients(found.clients),
        *(_reading(it) for it in found.reads),
        *([] if large is None else [_at_size(target, large.size.transfers) for target in of_large(large)]),
    ]


def _reading(it: ReadResult) -> Target:
    name = f"{it.what}, {_NAMES[it.engine]}"
    if it.what == VERIFY:
        return _verifying(name, it.per_second.median)
    return Target(name, 200_000, it.per_second.median, "lines a second and core")


def _at_size(target: Target, transfers: int) -> Target:
    return msgspec.structs.replace(target, name=f"{target.name}, at {transfers:,} transfers")


def _of_checkouts(it: AgainstResult, aims: Mapping[tuple[str, str, str, int], float]) -> Iterator[Target]:
    case = it.this
    aim = aims.get((it.engine, case.what, case.variant, case.connections))
    name = f"{case.what}, {case.variant}, {_NAMES[it.engine]}, {case.connections} connections"
    if aim is not None:
        yield Target(name, aim, it.per_second.median, "x other")
    if it.engine == "sqlite" and case.what == "balance":
        yield Target(name, 0.7, case.of_ceiling.median, "x ceiling")
    if it.engine == "sqlite" and case.what == BESIDE:
        yield Target(f"{name}, p99", 8, case.p99_ms.median, "ms", is_limit=True)
    if case.what == "charge" and case.connections == 1:
        yield Target(f"{name}, p50", 0.85, it.p50.median, "x other", is_limit=True)
    if (it.engine, case.what, case.variant, case.connections) == ("sqlite", "charge", "spread", 64):
        yield Target(f"{name}, processor time", 0.72, it.server_us.median, "x other", is_limit=True)
        yield Target(f"{name}, p99", 2.2, it.p99_of_p50.median, "x its p50", is_limit=True)


class _Measured:
    """Looks single figures up: medians, None where nothing was measured."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._http = {(it.subject, it.what, it.variant, it.connections): it for it in results.http}

    def per_second(self, subject: str, what: What, variant: Variant, connections: int) -> float | None:
        found = self._http.get((subject, what, variant, connections))
        return None if found is None else found.per_second.median

    def of_ceiling(self, subject: str, what: What, variant: Variant, connections: int) -> float | None:
        found = self._http.get((subject, what, variant, connections))
        return None if found is None else found.of_ceiling.median

    def p99_ms(self, subject: str, what: What, variant: Variant, connections: int) -> float | None:
        found = self._http.get((subject, what, variant, connections))
        return None if found is None else found.p99_ms.median

    def p50_ms(self, subject: str, what: What, variant: Variant, connections: int) -> float | None:
        found = self._http.get((subject, what, variant, connections))
        return None if found is None else found.p50_ms.median

    def pgbench(self, variant: Variant, clients: int) -> float | None:
        case = (pgbench.BASELINE, variant, clients)
        found = (it for it in self.results.pgbench if (it.subject, it.variant, it.clients) == case)
        return next((it.per_second.median for it in found), None)


def _charges(it: _Measured) -> Iterator[Target]:
    for connections, bound in ((64, 0.30), (256, 0.40)):
        for variant in VARIANTS:
            share = it.of_ceiling("sqlite", "charge", variant, connections)
            yield Target(f"charges, {variant}, SQLite, {connections} connections", bound, share, "x ceiling")
    for engine, bounds in (("sqlite", (10.0, 6.0)), ("postgres", (5.0, 3.0))):
        for variant, bound in zip(_HOT_FIRST, bounds, strict=True):
            ratio = _ratio(*(it.per_second(name, "charge", variant, 64) for name in (engine, BASELINE)))
            yield Target(f"charges, {variant}, {_NAMES[engine]}, 64 connections", bound, ratio, "x baseline")
    hot = it.per_second("postgres", "charge", "hot", 64)
    yield Target("charges, hot, PostgreSQL, 64 connections", 3, _ratio(hot, it.pgbench("hot", 50)), "x pgbench")
    for engine in ENGINES:
        ratio = _ratio(*(it.per_second(engine, "charge", variant, 64) for variant in _HOT_FIRST))
        yield Target(f"charges, hot, {_NAMES[engine]}, 64 connections", 0.9, ratio, "x spread")


def _balances(it: _Measured) -> Iterator[Target]:
    for engine, bound in (("sqlite", 0.60), ("postgres", 0.30)):
        name = f"balances, {_NAMES[engine]}, 64 connections"
        yield Target(name, bound, it.of_ceiling(engine, "balance", "spread", 64), "x ceiling")
        yield Target(f"{name}, beside charges", bound, it.of_ceiling(engine, BESIDE, "spread", 64), "x ceiling")
        p99 = it.p99_ms(engine, BESIDE, "spread", 64)
        yield Target(f"{name}, beside charges, p99", 25, p99, "ms", is_limit=True)


def _batches(it: _Measured) -> Iterator[Target]:
    bounds = {("sqlite", "hot"): 60_000, ("sqlite", "spread"): 30_000}
    for engine in ENGINES:
        for variant in VARIANTS:
            found = [
                each.per_second.median
                for each in it.results.http
                if (each.subject, each.what, each.variant) == (engine, "batch", variant)
            ]
            bound = bounds.get((engine, variant), 20_000)
            yield Target(f"batches, {variant}, {_NAMES[engine]}", bound, max(found, default=None), "charges a second")
    rates = [it.per_second(name, "batch", "hot", BATCH_CONNECTIONS) for name in ("sqlite", TIGERBEETLE)]
    yield Target("batches, hot, SQLite", 2, _ratio(*rates), "x TigerBeetle")


def _one_client(it: _Measured) -> Iterator[Target]:
    sync_ms = 1_000 / it.results.synced_appends_per_second.median
    for engine in ENGINES:
        p50 = it.p50_ms(engine, "charge", "spread", 1)
        name = f"one client's charge, {_NAMES[engine]}, p50"
        yield Target(name, 2 * sync_ms + 1, p50, "ms: twice fdatasync and 1 ms", is_limit=True)


def _footprint(results: Results, growth: GrowthResults | None) -> Iterator[Target]:
    for engine in ENGINES:
        ratios = [
            it.relative.median
            for it in (growth.points if growth else ())
            if it.subject == engine and it.what.startswith("charge") and it.transfers == LARGE_TRANSFERS
        ]
        name = f"charges at {LARGE_TRANSFERS:,} transfers, {_NAMES[engine]}"
        yield Target(name, 0.85, min(ratios, default=None), "x empty ledger")
    for engine in ENGINES:
        most = [it.highest_mb for it in results.memory if it.subject == engine]
        yield Target(f"memory, {_NAMES[engine]}", 200, max(most, default=None), "MB", is_limit=True)
    for engine in ENGINES:
        slowest = [it.seconds.median for it in results.starts if it.subject == engine]
        yield Target(f"start-up, {_NAMES[engine]}", 1, max(slowest, default=None), "s", is_limit=True)
    for engine in ENGINES:
        largest = max((it for it in results.ledgers if it.subject == engine), key=lambda it: it.transfers, default=None)
        rate = None if largest is None else _MICROSECONDS / largest.verify_processor_us
        yield _verifying(f"verify, {_NAMES[engine]}", rate)


def _verifying(name: str, rate: float | None) -> Target:
    return Target(name, 300_000, rate, "transfers a second and core")


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
