"""Where a charge's processor time goes: `python -m benchmarks.profile --py-spy PATH` with a py-spy of your own.

Under one steady load, the threads of the server are timed at first; then py-spy samples which part of the work the
event loop's thread is in. The event loop's and the server's own share is what the parts leave of the thread's processor
time: samples would also count the moments in which it only waits. Native code counts for the Python function that
called it. The parts are times by the clock, so only a machine that does nothing else gives good ones.
"""

import argparse
import contextlib
import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

import psutil
import uvloop
from msgspec import Struct

from benchmarks import apps, ledgers
from benchmarks.ledgers import ENGINES, Engine
from benchmarks.over_http import CONNECTIONS, Case, order
from benchmarks.report import progress
from benchmarks.results import machine
from benchmarks.serving import Server, put_load, serving
from benchmarks.workload import MERCHANTS_DEFAULT, VARIANTS, Population, populate

SAMPLES_PER_SECOND: Final = 100
"""Not more, because the server stands still while it is sampled."""

LOOP_THREAD: Final = "the event loop's thread"
PARTS: Final = {
    "Endpoint.__call__": "HTTP: the request's headers, the answer's headers, sending",
    "ChargeEndpoints.charge": "HTTP: the answer's text",
    "read_body": "HTTP: receiving the body, reading JSON",
    "BodyDecoder.decode": "HTTP: receiving the body, reading JSON",
    "Operations.charge": "checking the command",
    "Committer.submit": "queueing the command, answering its future",
    "Committer._work": "queueing the command, answering its future",
    "reads": "naming what to load",
    "SqliteStore.transact": "store: BEGIN and handing COMMIT over",
    "PostgresStore.transact": "store: BEGIN and COMMIT",
    "_load": "store: loading",
    "_apply": "store: writing",
    "decide": "deciding",
}
"""The part of the work that a function begins; what it calls belongs to it, up to a function that begins another."""

_SLACK_SECONDS: Final = 4.0
_MICROSECONDS: Final = 1e6


class Profile(Struct):
    """Microseconds per charge by thread, and by part of the event loop's thread, each part with its samples."""

    threads: dict[str, float]
    parts: dict[str, float]
    samples: Counter[str]


def main() -> None:
    """Profile the server under the canonical workload's charges."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description="Tell where a charge's time goes."
    )
    parser.add_argument("--py-spy", required=True, help="the program py-spy, which is no part of the project")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0])
    parser.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0])
    parser.add_argument("--connections", type=int, default=CONNECTIONS[0])
    parser.add_argument("--merchants", type=int, default=MERCHANTS_DEFAULT)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    case = Case("charge", options.variant, options.connections)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="farebox-bench-")))
        engine = stack.enter_context(ledgers.engine(options.engine, folder))
        progress(f"seeding {engine.name}")
        url, population = uvloop.run(_seed(engine, options.merchants))
        server = stack.enter_context(serving(apps.FAREBOX, url))
        sent = order(population, case, server.port, seconds=2 * options.seconds + _SLACK_SECONDS)
        executor = stack.enter_context(ThreadPoolExecutor(1))
        load = executor.submit(put_load, sent, server, None)
        progress("measuring the threads, then the parts")
        time.sleep(sent.warm_up_seconds)
        profile = _profile(server, options.py_spy, options.seconds, folder / "profile")
        answers = load.result().report.streams[0].answers
    print(f"{machine('').processor}; {options.engine}, {case.variant}, {case.connections} connections; {answers}")
    for line in _lines(profile):
        print(line)


async def _seed(engine: Engine, merchants: int) -> tuple[str, Population]:
    url = engine.create()
    async with ledgers.opened(url) as farebox:
        return url, await populate(farebox, merchants)


def _profile(server: Server, py_spy: str, seconds: float, output: Path) -> Profile:
    # One process answers; its parent only watches over it.
    (worker,) = psutil.Process(server.pid).children()
    charges, before = _committed(server), _threads(worker)
    time.sleep(seconds)
    charges, after = _committed(server) - charges, _threads(worker)
    threads = {name: (spent - before.get(name, 0.0)) * _MICROSECONDS / charges for name, spent in after.items()}
    started, charges = time.monotonic(), _committed(server)
    subprocess.run(_spy(py_spy, worker.pid, seconds, output), check=True, stdout=subprocess.DEVNULL)
    charges_per_second = (_committed(server) - charges) / (time.monotonic() - started)
    samples = _samples(output.read_text().splitlines())
    sample_us = _MICROSECONDS / (SAMPLES_PER_SECOND * charges_per_second * round(seconds))
    return Profile(threads, {name: count * sample_us for name, count in samples.items()}, samples)


def _committed(server: Server) -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return int(json.loads(connection.getresponse().read())["committedCommands"])
    finally:
        connection.close()


def _threads(worker: psutil.Process) -> dict[str, float]:
    """Sum up the seconds that a worker's threads have spent: the event loop's, other Python threads, the server's."""
    spent: dict[str, float] = {}
    names = {int(path.name): (path / "comm").read_text() for path in Path(f"/proc/{worker.pid}/task").iterdir()}
    for thread in worker.threads():
        if thread.id == worker.pid:
            name = LOOP_THREAD
        elif names.get(thread.id) == names[worker.pid]:
            name = "other Python threads: COMMIT on SQLite"
        else:
            name = "the server's own threads"
        spent[name] = spent.get(name, 0.0) + thread.user_time + thread.system_time
    return spent


def _spy(py_spy: str, pid: int, seconds: float, output: Path) -> list[str]:
    return [
        *(py_spy, "record", "--pid", str(pid), "--duration", str(round(seconds)), "--rate", str(SAMPLES_PER_SECOND)),
        *("--format", "raw", "--threads", "--output", str(output)),
    ]


def _samples(lines: Iterable[str]) -> Counter[str]:
    """Count the samples of the event loop's thread by part: that of the innermost function which begins one."""
    samples: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        functions = [frame.partition(" (")[0] for frame in reversed(frames) if "farebox/" in frame]
        part = next((PARTS[name] for name in functions if name in PARTS), None)
        if "MainThread" in thread and part is not None:
            samples[part] += int(count)
    return samples


def _lines(profile: Profile) -> Iterator[str]:
    yield "us per charge"
    for name, spent in sorted(profile.threads.items(), key=lambda item: -item[1]):
        yield f"{spent:8.1f}  {name}"
    yield f"of {LOOP_THREAD}"
    rest = profile.threads[LOOP_THREAD] - sum(profile.parts.values())
    yield f"{rest:8.1f}  event loop and server: the rest"
    for name, spent in sorted(profile.parts.items(), key=lambda item: -item[1]):
        yield f"{spent:8.1f}  {name} ({profile.samples[name]} samples)"


if __name__ == "__main__":
    main()
