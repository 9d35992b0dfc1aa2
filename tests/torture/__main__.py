"""The long torture: `make torture`. Prints what it came to, and ends with an error on the first contradiction."""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import PostgresServer
from tests.torture.crashes import crash_torture
from tests.torture.load import Figures


@contextmanager
def _database(engine: str) -> Iterator[str]:
    if engine == "sqlite":
        with tempfile.TemporaryDirectory(prefix="farebox-torture-") as folder:
            yield f"sqlite:///{Path(folder) / 'farebox.db'}"
    else:
        with PostgresServer() as server:
            yield server.create_database()


def _torture(engine: str, *, rounds: int, rounds_per_ledger: int, seed_number: int) -> tuple[Figures, int]:
    """Torture one engine, on a new ledger every so many rounds, so that each is checked from its first transfer on."""
    total, transfers = Figures(), 0
    for first in range(0, rounds, rounds_per_ledger):
        with _database(engine) as url:
            figures, count = asyncio.run(
                crash_torture(
                    url,
                    servers=1 if engine == "sqlite" else 2,
                    rounds=min(rounds_per_ledger, rounds - first),
                    seed_number=seed_number + first,
                )
            )
        transfers += count
        total = Figures(*[one + other for one, other in zip(_values(total), _values(figures), strict=True)])
        print(f"{engine}: {total.rounds} rounds, no contradiction", flush=True)
    return total, transfers


def _values(figures: Figures) -> list[int]:
    return list(vars(figures).values())


def main() -> None:
    """Run the torture."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Kill servers under load, for long.")
    parser.add_argument("--rounds", type=int, default=200, help="kills on each engine (%(default)s)")
    parser.add_argument("--engine", choices=("all", "sqlite", "postgres"), default="all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what happens; the present time by default")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    rows = []
    for engine in ("sqlite", "postgres") if options.engine == "all" else (options.engine,):
        figures, transfers = _torture(engine, rounds=options.rounds, rounds_per_ledger=50, seed_number=options.seed)
        rows.append(
            f"| {engine} | {figures.rounds} | {figures.kills} | {figures.requests:,} | {figures.done:,} | "
            f"{figures.refused:,} | {figures.unanswered:,} | {transfers:,} | 0 |"
        )
    print("| engine | rounds | kills | requests | acknowledged | refused | unanswered | transfers | losses |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
