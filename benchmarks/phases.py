"""What each step of a batch on SQLite costs, in process: `python -m benchmarks.phases`.

With `--statements` it tells what each statement costs as well.

Each step is timed by the processor time of the thread that does it, so what else the machine does matters little. One
thread does it all, COMMIT too, for which a server has another.
"""

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
from msgspec.structs import replace

from benchmarks import ledgers
from benchmarks.costs import acknowledge
from benchmarks.keys import RandomKeys
from benchmarks.ledgers import Acknowledged
from benchmarks.workload import MERCHANTS_DEFAULT, VARIANTS, charges, populate
from farebox.bootstrap import Farebox
from farebox.core import state
from farebox.core.commands import Charge
from farebox.core.decide import decide
from farebox.storage import sql
from farebox.storage.sqlite import SqliteConnector, batch

STEPS: Final = ("name what to load", "BEGIN", "load", "decide", "write", "COMMIT")
_MICROSECONDS: Final = 1e6
_SQL: Final = sql.statements("sqlite")
_NAMES: Final = {_SQL[name]: name for name in _SQL}


def main() -> None:
    """Measure batches of one size."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.phases", description="Tell what a batch's steps cost.")
    parser.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0])
    parser.add_argument("--batch", type=int, default=60, help="charges in a batch (%(default)s)")
    parser.add_argument("--batches", type=int, default=1_000, help="how many batches (%(default)s)")
    parser.add_argument("--merchants", type=int, default=MERCHANTS_DEFAULT)
    parser.add_argument("--random-keys", action="store_true", help="idempotency keys that do not sort by time")
    parser.add_argument("--statements", action="store_true", help="tell what each statement costs, within its step")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="farebox-bench-") as folder:
        costs, told = asyncio.run(_measure(Path(folder), options))
    print(f"us of processor time per charge, {options.variant}, batches of {options.batch}: median and mean")
    for step, spent in zip(STEPS, zip(*costs, strict=True), strict=True):
        print(_line(spent, step))
    for name, each in sorted(told.items(), key=lambda item: -statistics.median(item[1])):
        print(_line(each, f"statement {name}"))


def _line(spent: Sequence[float], what: str) -> str:
    return f"{statistics.median(spent):8.2f} {statistics.fmean(spent):8.2f}  {what}"


class _TimedCursor:
    """Runs statements, and notes what each has cost."""

    def __init__(self, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def execute(self, statement: str, *values: Any) -> Any:
        started = time.thread_time()
        found = self._cursor.execute(statement, *values)
        self.seconds[_NAMES.get(statement, statement)] += time.thread_time() - started
        return found

    def executemany(self, statement: str, rows: Iterable[Any]) -> Iterable[Any]:
        made = list(rows)
        started = time.thread_time()
        found = self._cursor.executemany(statement, made).fetchall()
        self.seconds[_NAMES.get(statement, statement)] += time.thread_time() - started
        return iter(found)


async def _measure(folder: Path, options: argparse.Namespace) -> tuple[list[list[float]], dict[str, list[float]]]:
    async with ledgers.opened(f"sqlite:///{folder / 'farebox.db'}") as farebox:
        source: Iterator[Charge] = charges(await populate(farebox, options.merchants), options.variant)
        if options.random_keys:
            keys = RandomKeys()
            source = (replace(command, idempotency_key=keys.make()) for command in source)
        told = Acknowledged()
        costs: list[list[float]] = []
        statements: dict[str, list[float]] = {}
        for _ in range(options.batches):
            cursor = _writer_of(farebox).cursor()
            timed = _TimedCursor(cursor)
            commands = list(itertools.islice(source, options.batch))
            # To time statements costs something itself, so steps are timed without.
            costs.append(_batch(farebox, timed if options.statements else cursor, commands, told))
            for name, seconds in timed.seconds.items():
                statements.setdefault(name, []).append(seconds * _MICROSECONDS / len(commands))
            await _move_log(farebox)
        ledgers.compare(await ledgers.verify(farebox), told)
    return costs, statements


def _batch(farebox: Farebox, cursor: Any, commands: list[Charge], told: Acknowledged) -> list[float]:
    """Charge one batch as the connector does, and return what each step cost per charge."""
    now, clock = farebox.clock.now(), time.thread_time
    times = [clock()]
    reads = state.reads(commands, now)
    times.append(clock())
    cursor.execute("BEGIN IMMEDIATE")
    times.append(clock())
    found = batch.load(cursor, reads)
    times.append(clock())
    decision = decide(found, commands, now)
    times.append(clock())
    batch.apply(cursor, found, decision)
    times.append(clock())
    cursor.execute("COMMIT")
    times.append(clock())
    acknowledge(told, decision)
    return [(end - start) * _MICROSECONDS / len(commands) for start, end in itertools.pairwise(times)]


async def _move_log(farebox: Farebox) -> None:
    """Let the log get into the file, as it does after a connector's COMMIT."""
    checkpoints = _connector_of(farebox)._checkpoints
    checkpoints.begin_if_due()
    if checkpoints._task is not None:
        await checkpoints._task


def _writer_of(farebox: Farebox) -> apsw.Connection:
    writer = _connector_of(farebox)._writer
    if writer is None:
        raise TypeError("the database is not open")
    return writer


def _connector_of(farebox: Farebox) -> SqliteConnector:
    if not isinstance(farebox.stores.connector, SqliteConnector):
        raise TypeError("this measures a SQLite database")
    return farebox.stores.connector


if __name__ == "__main__":
    main()
