"""The long torture: `make torture`. Prints what it came to, and ends with an error on the first contradiction."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.postgres import PostgresServer
from tests.torture.crashes import crash_torture
from tests.torture.files import file_torture
from tests.torture.load import Figures
from tests.torture.network import network_torture
from tests.torture.promotion import Way, promotion_torture
from tests.torture.told import told_torture

ROUNDS_PER_LEDGER: Final = 50
"""How many kills a ledger sees: each is checked from its first transfer on."""

PROMOTIONS_PER_LEDGER: Final = 4
STALLS_S: Final = (2, 12, 17, 30)
"""Shorter and longer than the time limits for a COMMIT, for any other statement, and for both."""


@contextmanager
def _database(engine: str) -> Iterator[str]:
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="farebox-torture-") as folder:
            yield f"sqlite:///{Path(folder) / 'farebox.db'}"
    else:
        with PostgresServer() as server:
            yield server.create_database()


def _crashes(engine: str, rounds: int, seed_number: int) -> tuple[Figures, int]:
    with _database(engine) as url:
        servers = 1 if engine == "sqlite" else 2
        return asyncio.run(crash_torture(url, servers=servers, rounds=rounds, seed_number=seed_number))


def _promotion(rounds: int, seed_number: int) -> tuple[Figures, int]:
    ways: tuple[Way, Way] = ("killed", "dark")
    return asyncio.run(promotion_torture((ways * rounds)[:rounds], seed_number=seed_number))[:2]


def _network(rounds: int, seed_number: int) -> tuple[Figures, int]:
    stall_s = STALLS_S[seed_number % len(STALLS_S)]
    with _database("postgres") as url:
        return asyncio.run(network_torture(url, seed_number=seed_number, rounds=rounds, stall_s=stall_s))[:2]


def _files(rounds: int, seed_number: int) -> tuple[Figures, int]:
    with tempfile.TemporaryDirectory(prefix="farebox-torture-") as folder:
        return asyncio.run(file_torture(Path(folder), rounds=rounds, seed_number=seed_number))


TROUBLES: Final[dict[str, tuple[Callable[[int, int], tuple[Figures, int]], int]]] = {
    "kills, SQLite": (lambda rounds, seed: _crashes("sqlite", rounds, seed), ROUNDS_PER_LEDGER),
    "kills, PostgreSQL": (lambda rounds, seed: _crashes("postgres", rounds, seed), ROUNDS_PER_LEDGER),
    "promotions": (_promotion, PROMOTIONS_PER_LEDGER),
    "bad networks": (_network, 1),
    "files taken away": (_files, ROUNDS_PER_LEDGER),
}
"""What makes each trouble on a new ledger, and how many rounds of it a ledger sees."""


TOLD: Final = "events told"
"""The trouble that has figures of its own."""

ENGINES: Final = ("sqlite", "postgres")
TOLD_MERCHANTS: Final = 50
TOLD_EVENTS_PER_KILL: Final = 500


def _told(engine: str, events: int, seed_number: int) -> str:
    """Tell events to failing receivers while servers are killed, and return the row of its table."""
    with _database(engine) as url:
        figures = asyncio.run(
            told_torture(
                url,
                servers=1 if engine == "sqlite" else 2,
                events=events,
                kills=max(2, events // TOLD_EVENTS_PER_KILL),
                merchants=TOLD_MERCHANTS,
                seed_number=seed_number,
            )
        )
    counts = (
        *(figures.events, figures.kills, round(figures.seconds), figures.mails, figures.withdrawn),
        *(figures.mail_attempts, figures.webhooks, figures.webhook_attempts, figures.hanging, figures.twins, 0),
    )
    return f"| {engine} | {' | '.join(f'{count:,}' for count in counts)} |"


def _print_told(engines: Sequence[str], events: int, seed_number: int) -> None:
    rows = [_told(engine, events, seed_number) for engine in engines]
    names = [*("engine", "events", "kills", "s", "mails", "over by then", "attempts"), *("webhooks", "attempts")]
    names += ["left without an answer", "taken twice", "missing"]
    print(f"| {' | '.join(names)} |")
    print(f"| --- |{' ---: |' * (len(names) - 1)}")
    print("\n".join(rows), flush=True)


def _torture(name: str, *, rounds: int, seed_number: int) -> tuple[Figures, int]:
    """Make one trouble so many times."""
    torture, rounds_per_ledger = TROUBLES[name]
    total, transfers = Figures(), 0
    for first in range(0, rounds, rounds_per_ledger):
        figures, count = torture(min(rounds_per_ledger, rounds - first), seed_number + first)
        transfers += count
        total = Figures(*[one + other for one, other in zip(_values(total), _values(figures), strict=True)])
        print(f"{name}: {total.rounds} rounds, no contradiction", flush=True)
    return total, transfers


def _values(figures: Figures) -> list[int]:
    return list(vars(figures).values())


def main() -> None:
    """Run the torture."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Make trouble under load, for long.")
    parser.add_argument(
        "--rounds", type=int, default=200, help="kills on each engine, and files taken away (%(default)s)"
    )
    parser.add_argument("--network-rounds", type=int, default=10, help="promotions, and bad networks (%(default)s)")
    parser.add_argument("--events", type=int, default=11_000, help="events told to failing receivers (%(default)s)")
    parser.add_argument(
        "--engine", choices=ENGINES, action="append", help="where events are told from; both by default"
    )
    parser.add_argument("--trouble", choices=("all", TOLD, *TROUBLES), default="all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what happens; the present time by default")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    if options.trouble in ("all", TOLD):
        _print_told(options.engine or ENGINES, options.events, options.seed)
    if options.trouble == TOLD:
        return
    rows = []
    for name in TROUBLES if options.trouble == "all" else (options.trouble,):
        rounds = options.rounds if name.startswith(("kills", "files")) else options.network_rounds
        figures, transfers = _torture(name, rounds=rounds, seed_number=options.seed)
        rows.append(
            f"| {name} | {figures.rounds} | {figures.kills} | {figures.requests:,} | {figures.done:,} | "
            f"{figures.refused:,} | {figures.unanswered:,} | {transfers:,} | 0 |"
        )
    print("| trouble | rounds | kills | requests | acknowledged | refused | unanswered | transfers | losses |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
