"""The result of a run as text for people: machine and programs, figures, comparison, and how far to trust them."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks import targets
from benchmarks.clients import PEER, ClientResult
from benchmarks.costs import BATCHES, Cost
from benchmarks.growth import GrowthResults, per_subject
from benchmarks.large import Large
from benchmarks.ledgers import ENGINES
from benchmarks.over_http import BASELINE, BESIDE, CEILING, TIGERBEETLE, HttpResult
from benchmarks.results import (
    AgainstResult,
    AgainstResults,
    ClientResults,
    GatewaysResults,
    GrantsResults,
    LargeResults,
    Machine,
    MemoryResults,
    ObserveResults,
    PricesResults,
    ReadResult,
    Results,
    SavingsResults,
)
from benchmarks.shapes import ShapeResult
from benchmarks.simulation import text as simulation_text
from benchmarks.simulation.costs import costs_of
from benchmarks.simulation.model import Assumptions
from benchmarks.tables import number, spread, table

MEMORY_AT: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
"""At which parts of a long time its memory is told."""


def parts(results: Results, growth: GrowthResults | None) -> list[Iterator[str]]:
    """Render the results table by table."""
    return [
        _head(results),
        targets.lines(targets.targets(results, growth)),
        _http(results.http),
        _where(results),
        _compared(results.http),
        _pgbench(results),
        _costs(results.costs),
        _footprint(results),
        _simulated(results),
        _tail(results),
    ]


def summary_parts(results: Results, growth: GrowthResults | None) -> list[Iterator[str]]:
    """Render what matters most: what requests come to, and the targets."""
    return [_head(results), _summary(results.http), targets.lines(targets.targets(results, growth))]


def growth_parts(machine: Machine, growth: GrowthResults) -> list[Iterator[str]]:
    """Render what growth costs, table by table."""
    return [_machine(machine), _sizes(growth), _growth(growth), _scaling(growth)]


def progress(line: str) -> None:
    """Tell a person who waits what is being done."""
    print(line, file=sys.stderr, flush=True)


def _head(results: Results) -> Iterator[str]:
    plan = results.plan
    yield from _machine(results.machine)
    for engine, durability in dict.fromkeys((it.engine, it.durability) for it in results.ledgers):
        yield f"engine      {engine}: {durability}"
    yield (
        f"workload    {plan.merchants:,} merchants; medians of {plan.rounds} x {plan.seconds:g} s (lowest to highest); "
        f"load average {results.load_averages[0]:.2f} before, {results.load_averages[1]:.2f} after"
    )
    yield from _tigerbeetle(results.tigerbeetle)
    disk = results.synced_appends_per_second
    yield f"disk        {spread(disk)} appends of 4 KiB with fdatasync a second, {results.machine.file_system}"


def _tigerbeetle(version: str) -> Iterator[str]:
    if version:
        yield f"tigerbeetle {version}, one replica, by its Python client"


def _machine(machine: Machine) -> Iterator[str]:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    yield f"machine     {machine.cores} x {machine.processor}, {machine.memory_gib} GiB, {machine.system}"
    yield f"programs    Python {machine.python}, {packages}"


def _http(found: Sequence[HttpResult]) -> Iterator[str]:
    header = (
        *("requests over HTTP", "conns", "on", "a second", "of ceiling", "server us", "database us"),
        *("p50 ms", "p95 ms", "p99 ms", "server cpu", "load cpu", "others cpu", "not 200"),
    )
    yield from table(
        header,
        [
            (
                _name(it),
                str(it.connections),
                it.subject,
                spread(it.per_second),
                f"{it.of_ceiling.median:.2f}" if it.of_ceiling.median else "",
                f"{it.server_us.median:.1f}",
                f"{it.database_us.median:.1f}" if it.database_us.median else "",
                *(f"{latency.median:.1f}" for latency in (it.p50_ms, it.p95_ms, it.p99_ms)),
                *(f"{share.median:.2f}" for share in (it.server_share, it.load_share, it.others_share)),
                " ".join(f"{status}: {count}" for status, count in it.failures.items()) or "none",
            )
            for it in found
        ],
    )
    for it in found:
        if it.what == BESIDE:
            yield (
                f"{it.subject}: charges beside the balances came at {it.beside_part.median:.2f} of the rate that they "
                "reach alone; half was asked for"
            )


def _summary(found: Sequence[HttpResult]) -> Iterator[str]:
    """Tell rates and times, the core that each request takes of server and database, and how that compares."""
    baselines = {(it.what, it.variant, it.connections): it for it in found if it.subject == BASELINE}

    def times_baseline(it: HttpResult) -> str:
        baseline = baselines.get((it.what, it.variant, it.connections))
        if baseline is None or it.subject == BASELINE:
            return ""
        return f"{it.per_second.median / baseline.per_second.median:.1f}"

    header = ("requests over HTTP", "conns", "on", "a second", "p50 ms", "p99 ms", "server us", "database us")
    yield from table(
        (*header, "of ceiling", "x baseline"),
        [
            (
                *(_name(it), str(it.connections), it.subject, number(it.per_second.median)),
                *(f"{latency.median:.1f}" for latency in (it.p50_ms, it.p99_ms)),
                *(f"{cost.median:.0f}" if cost.median else "" for cost in (it.server_us, it.database_us)),
                f"{it.of_ceiling.median:.2f}" if it.of_ceiling.median else "",
                times_baseline(it),
            )
            for it in found
            if it.subject in (*ENGINES, BASELINE, TIGERBEETLE)
        ],
    )


def _where(results: Results) -> Iterator[str]:
    """Split a charge's processor time: what the bare server takes, Farebox's part of HTTP, the store, the rules."""
    http = {(it.subject, it.connections): it for it in results.http if (it.what, it.variant) == ("charge", "spread")}
    in_process = {(it.subject, it.batch): it for it in results.costs if it.variant == "spread"}
    rows: list[tuple[str, ...]] = []
    for (subject, connections), whole in http.items():
        bare = http.get((CEILING, connections))
        # A batch is what came while the last one was committed: about half of the clients.
        batch = min(BATCHES, key=lambda size: abs(size - connections / 2))
        inside = in_process.get((subject, batch))
        if bare is None or inside is None:
            continue
        store = inside.processor_us.median - inside.decide_us.median
        rest = whole.server_us.median - bare.server_us.median - inside.processor_us.median
        rows.append(
            (
                *("charge, spread", str(connections), subject),
                *(f"{part:.1f}" for part in (whole.server_us.median, bare.server_us.median, rest, store)),
                f"{inside.decide_us.median:.1f}",
                f"{whole.database_us.median:.1f}" if whole.database_us.median else "",
            )
        )
    header = ("us of processor time per", "conns", "on", "whole server", "bare server", "reading, queueing, answering")
    yield from table((*header, "store", "decide", "database"), rows)


def savings_parts(savings: SavingsResults) -> list[Iterator[str]]:
    """Render what each saving is worth, table by table."""
    return [_machine(savings.machine), _savings(savings.http), _http(savings.http)]


def observe_parts(found: ObserveResults) -> list[Iterator[str]]:
    """Render what it costs to be observed, table by table."""
    return [_machine(found.machine), _observed(found.http), _http(found.http)]


def prices_parts(found: PricesResults) -> list[Iterator[str]]:
    """Render what a rule costs, table by table."""
    return [_machine(found.machine), _shapes(found.prices, "of a unit price")]


def clients_parts(found: ClientResults) -> list[Iterator[str]]:
    """Render what the Python client brings, table by table."""
    head = itertools.chain(_machine(found.machine), _tigerbeetle(found.tigerbeetle))
    return [head, targets.lines(targets.of_clients(found.clients)), _clients(found.clients)]


def _clients(found: Sequence[ClientResult]) -> Iterator[str]:
    rows = [
        (
            *(f"charge, {it.variant}", f"{it.callers} {it.way}"),
            *(TIGERBEETLE if it.way == PEER else it.subject, number(it.per_second.median)),
            f"{it.of_connections.median:.2f} ({it.of_connections.lowest:.2f} to {it.of_connections.highest:.2f})",
            *(f"{figure.median:.1f}" for figure in (it.server_us, it.p50_ms, it.p99_ms)),
            f"{it.client_share.median:.2f}",
        )
        for it in found
    ]
    header = ("through the client", "by", "on", "a second", "of connections", "server us", "p50 ms", "p99 ms")
    yield from table((*header, "client cpu"), rows)


def grants_parts(found: GrantsResults) -> list[Iterator[str]]:
    """Render what given credit costs, table by table."""
    return [_machine(found.machine), _shapes(found.grants, "of no grants")]


def _shapes(found: Sequence[ShapeResult], of_first: str) -> Iterator[str]:
    rows = [
        (
            *(f"charge, {it.shape}", str(it.connections), it.subject, number(it.per_second.median)),
            f"{it.of_first.median:.2f} ({it.of_first.lowest:.2f} to {it.of_first.highest:.2f})",
            *(f"{figure.median:.1f}" for figure in (it.server_us, it.p50_ms, it.p99_ms)),
        )
        for it in found
    ]
    header = ("spread over merchants", "conns", "on", "a second", of_first, "server us", "p50 ms", "p99 ms")
    yield from table(header, rows)


def against_parts(found: AgainstResults, large: Large | None) -> list[Iterator[str]]:
    """Render a comparison with another checkout, table by table."""
    return [
        itertools.chain(_machine(found.machine), [f"other       {found.other}"], _tigerbeetle(found.tigerbeetle)),
        targets.lines(targets.of_checkouts(found, large)),
        _against(found.against),
        _clients(found.clients),
        _reads(found.reads),
    ]


def _reads(found: Sequence[ReadResult]) -> Iterator[str]:
    rows = [(it.what, it.engine, f"{it.lines:,}", spread(it.per_second), f"{it.megabytes:.0f}") for it in found]
    yield from table(("books read", "on", "lines", "a second of processor time", "MB more at most"), rows)


def _against(found: Sequence[AgainstResult]) -> Iterator[str]:
    rows = [
        (
            *(f"{it.this.what}, {it.this.variant}", str(it.this.connections), it.engine),
            *(number(side.per_second.median) for side in (it.other, it.this)),
            spread(it.per_second),
            *(number(side.server_us.median) for side in (it.other, it.this)),
            *(f"{ratio.median:.2f}" for ratio in (it.server_us, it.p50)),
            *(f"{side.p99_ms.median:.1f}" for side in (it.other, it.this)),
            ", ".join(f"{count} x {answer}" for answer, count in it.this.failures.items()) or "none",
        )
        for it in found
    ]
    header = (
        *("", "conns", "on", "other a second", "this a second", "this of other", "other server us", "this server us"),
        *("of other", "p50 of other", "other p99 ms", "this p99 ms", "not 200"),
    )
    yield from table(header, rows)


def gateways_parts(found: GatewaysResults) -> list[Iterator[str]]:
    """Render what a gate adds behind each proxy, table by table."""
    return [_machine(found.machine), _gateways(found)]


def _gateways(found: GatewaysResults) -> Iterator[str]:
    rows = [
        (
            *(it.proxy, it.what, f"{it.p50.median:.2f}", f"{it.p99.median:.2f}"),
            *("" if added is None else f"{added.median:.2f}" for added in (it.added_p50, it.added_p99)),
            "" if it.added_p50 is None else f"{it.added_p50.lowest:.2f} to {it.added_p50.highest:.2f}",
        )
        for it in found.gateways
    ]
    yield from table(
        ("proxy", "a request", "p50 ms", "p99 ms", "p50 added", "p99 added", "p50 added in rounds"), rows, left=(0, 1)
    )


def memory_parts(found: MemoryResults) -> list[Iterator[str]]:
    """Render what a server has resident over a long time, table by table."""
    return [_machine(found.machine), _memory(found)]


def _memory(found: MemoryResults) -> Iterator[str]:
    rows = [
        (
            *(it.subject, str(it.connections), f"{charges:,}"),
            *(f"{it.megabytes[int(part * (len(it.megabytes) - 1))]:.0f}" for part in MEMORY_AT),
            f"{it.highest_mb:.0f}",
        )
        for it, charges in zip(found.memory, found.charges, strict=True)
    ]
    seconds = max((it.seconds[-1] for it in found.memory), default=0.0)
    moments = [f"MB at {part * seconds:.0f} s" for part in MEMORY_AT]
    yield from table(("memory under charges on", "conns", "charges", *moments, "MB at most"), rows, left=(0,))


def _savings(found: Sequence[HttpResult]) -> Iterator[str]:
    whole = {(it.subject, it.what, it.variant, it.connections): it for it in found}
    rows = [
        (
            _name(it),
            str(it.connections),
            it.subject,
            number(other.per_second.median / it.per_second.median),
            f"{it.server_us.median - other.server_us.median:+.1f}",
        )
        for it in found
        if (other := whole.get((it.subject.partition(", ")[0], it.what, it.variant, it.connections)))
        and other is not it
        and it.per_second.median
    ]
    yield from table(("what a saving is worth", "conns", "without it", "times as many", "server us saved"), rows)


def _observed(found: Sequence[HttpResult]) -> Iterator[str]:
    plain = {it.subject: it for it in found}
    rows = [
        (
            _name(it),
            str(it.connections),
            it.subject,
            f"{it.per_second.median / other.per_second.median:.3f}",
            f"{it.server_us.median - other.server_us.median:+.1f}",
            f"{(it.server_us.median / other.server_us.median - 1) * 100:+.1f}",
        )
        for it in found
        if (other := plain.get(it.subject.partition(", ")[0]))
        and other is not it
        and other.per_second.median
        and other.server_us.median
    ]
    header = ("what being observed costs", "conns", "with", "of a second's charges", "server us more", "in percent")
    yield from table(header, rows)


def _compared(found: Sequence[HttpResult]) -> Iterator[str]:
    baseline = {(it.what, it.variant, it.connections): it for it in found if it.subject == BASELINE}
    rows = [
        (
            _name(it),
            str(it.connections),
            it.subject,
            number(it.per_second.median / other.per_second.median) if other.per_second.median else "",
            number(other.p50_ms.median / it.p50_ms.median) if it.p50_ms.median else "",
            number(other.p99_ms.median / it.p99_ms.median) if it.p99_ms.median else "",
        )
        for it in found
        if it.subject not in (CEILING, BASELINE) and (other := baseline.get((it.what, it.variant, it.connections)))
    ]
    if rows:
        yield from table(("times the baseline", "conns", "on", "a second", "p50 shorter", "p99 shorter"), rows)
    else:
        yield "baseline: not measured, it needs PostgreSQL"


def _name(it: HttpResult) -> str:
    return f"{it.what}, {it.variant}" if it.what in ("charge", "batch") and it.subject != CEILING else it.what


def _pgbench(results: Results) -> Iterator[str]:
    if results.pgbench_note:
        yield f"pgbench: {results.pgbench_note}"
        return
    yield from table(
        ("a statement in pgbench", "clients", "of", "a second", "mean ms"),
        [
            (f"charge, {it.variant}", str(it.clients), it.subject, spread(it.per_second), spread(it.mean_ms))
            for it in results.pgbench
        ],
    )


def _costs(costs: Sequence[Cost]) -> Iterator[str]:
    yield from table(
        ("us per charge in process", "batch", "on", "transact", "its own cpu", "database cpu", "decide alone"),
        [
            (
                f"charge, {it.variant}",
                f"{it.batch:,}",
                it.subject,
                spread(it.transact_us),
                f"{it.processor_us.median:.1f}",
                f"{it.database_us.median:.1f}" if it.database_us.median else "",
                f"{it.decide_us.median:.1f}",
            )
            for it in costs
        ],
    )


def _footprint(results: Results) -> Iterator[str]:
    yield from table(
        ("start-up on", "transfers", "seconds"),
        [(f"{it.subject}, {it.ledger}", f"{it.transfers:,}", spread(it.seconds)) for it in results.starts],
        left=(0,),
    )
    yield ""
    yield from table(
        ("memory under charges on", "conns", "seconds", "MB at first", "MB at last", "MB at most"),
        [
            (
                *(it.subject, str(it.connections), f"{it.seconds[-1]:.0f}"),
                *(f"{size:.0f}" for size in (it.megabytes[0], it.megabytes[-1], it.highest_mb)),
            )
            for it in results.memory
        ],
        left=(0,),
    )


def _simulated(results: Results) -> Iterator[str]:
    found = costs_of(results.costs, results.http, results.synced_appends_per_second)
    if found is None or not results.simulated:
        yield "simulation: nothing, it needs PostgreSQL"
    else:
        yield from simulation_text.lines(found, Assumptions(merchants=results.plan.merchants), results.simulated)


def _tail(results: Results) -> Iterator[str]:
    yield f"replay alone: {spread(results.replay_us)} us per transfer"
    for it in results.ledgers:
        yield (
            f"verified ({it.subject}, {it.measured}): {it.transfers:,} transfers without a fault, "
            f"{it.verify_us:.1f} us each; {it.charges:,} charges of {it.charged} in all, as acknowledged"
        )


def _sizes(growth: GrowthResults) -> Iterator[str]:
    yield from table(
        ("filled through the store", "transfers", "bytes each", "us each"),
        [(it.subject, f"{it.transfers:,}", number(it.bytes_each), number(it.fill_us)) for it in growth.sizes],
        left=(0,),
    )


def _growth(growth: GrowthResults) -> Iterator[str]:
    yield from table(
        ("growth", "transfers", "on", "measured", "", "as good as the empty ledger"),
        [
            (what, f"{it.transfers:,}", subject, spread(it.value), it.unit, spread(it.relative))
            for (subject, what), points in per_subject(growth.points)
            for it in points
        ],
        left=(0, 2, 4),
    )


def _scaling(growth: GrowthResults) -> Iterator[str]:
    yield from table(
        ("charges, spread, against", "", "on", "a second", "server us", "database us"),
        [
            (
                *(it.along, f"{it.at:,}", it.subject, spread(it.per_second)),
                f"{it.server_us.median:.1f}",
                f"{it.database_us.median:.1f}" if it.database_us.median else "",
            )
            for it in growth.scaling
        ],
    )


def large_parts(found: LargeResults) -> list[Iterator[str]]:
    """Render what was measured of a very large ledger."""
    return [_machine(found.machine), targets.lines(targets.of_large(found.large)), _large(found.large)]


def _large(large: Large) -> Iterator[str]:
    name = f"at {large.size.transfers:,} transfers"
    rows = [
        (it.what, spread(it.value), it.unit, f"of {it.base:,} transfers: {spread(it.relative)}") for it in large.points
    ]
    copied, verified = large.copied, large.verified
    rate = f"{copied.megabytes / copied.seconds:,.0f} MB a second"
    rows.append(("backup", number(copied.seconds), "s", f"{copied.megabytes:,} MB, {rate}"))
    rate = f"{verified.transfers / verified.seconds:,.0f} a second"
    rows.append(("verify", number(verified.seconds), "s", f"{verified.transfers:,} transfers without a fault, {rate}"))
    rows.append(("file", f"{large.file_megabytes:,}", "MB", ""))
    yield from table((name, "measured", "", "as good as that"), rows, left=(0, 2, 3))
