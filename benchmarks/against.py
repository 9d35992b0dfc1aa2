"""This checkout against another one: each serves a ledger of its own, and rounds alternate between the two."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from benchmarks import books, clients, ledgers, over_http
from benchmarks.footprint import serve_arguments
from benchmarks.ledgers import Engine, Facts, Verified
from benchmarks.over_http import BATCH_CONNECTIONS, BESIDE, Case, Sample, Subject
from benchmarks.report import progress
from benchmarks.results import AgainstResult, Comparison, ReadResult
from benchmarks.rounds import figure, ratio
from benchmarks.serving import running
from benchmarks.tigerbeetle import TigerbeetleProgram, serving_tigerbeetle
from benchmarks.workload import Population

THIS: Final = "this"
OTHER: Final = "other"
_HERE: Final = Path(__file__).parents[1]
_INSTALLED: Final = ".venv/.installed-dev"


class CheckoutUnusable(Exception):
    """The folder is no checkout of Farebox, or what is in it did not do what it was asked."""


class _Seeded(Struct, frozen=True):
    population: Population
    facts: Facts


class _Checked(Struct, frozen=True):
    verified: Verified


class Checkout(Struct, frozen=True):
    """A checkout with all that its developers need installed, and its Python."""

    name: str
    folder: Path
    python: str

    def commit(self) -> str:
        """Tell which commit it is at, or that it is none."""
        asked = ["git", "-C", str(self.folder), "rev-parse", "--short", "HEAD"]
        try:
            return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "no commit"

    def ask(self, *arguments: str) -> bytes:
        """Have its own code do something to a ledger.

        Raises:
            CheckoutUnusable: it failed.
        """
        found = subprocess.run(
            [self.python, "-P", str(Path(__file__).with_name("peer.py")), *arguments],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE,
            check=False,
        )
        if found.returncode:
            raise CheckoutUnusable(f"{self.folder} could not {arguments[0]} a ledger")
        return found.stdout

    def verify(self, url: str, subject: Subject) -> None:
        """Hold a ledger to its rules and to what its clients were told.

        Raises:
            CheckoutUnusable: it could not be verified.
            WrongLedger: clients were told otherwise.
        """
        checked = msgspec.json.decode(self.ask("verify", url), type=_Checked)
        ledgers.compare(checked.verified, subject.acknowledged)


def this() -> Checkout:
    """Take the checkout that this file is in."""
    return Checkout(THIS, _HERE, sys.executable)


def install(folder: Path) -> Checkout:
    """Install what another checkout locks, into its own environment, as its `make` does.

    Raises:
        CheckoutUnusable: the folder has no Farebox, or it can't be installed.
    """
    folder = folder.resolve()
    if not (folder / "src" / "farebox").is_dir() or not (folder / "Makefile").is_file():
        raise CheckoutUnusable(f"{folder} is no checkout of Farebox: it has no src/farebox and Makefile")
    if folder == _HERE:
        raise CheckoutUnusable(f"{folder} is this checkout; clone another one to measure against")
    progress(f"installing {folder}")
    if subprocess.run(["make", "--quiet", _INSTALLED], cwd=folder, check=False).returncode:
        raise CheckoutUnusable(f"{folder} could not be installed: make {_INSTALLED} failed there")
    return Checkout(OTHER, folder, str(folder / ".venv" / "bin" / "python"))


def cases(connections: Sequence[int]) -> list[Case]:
    """List what is compared."""
    many = connections[min(1, len(connections) - 1)]
    return [
        *(Case("charge", variant, count) for count in connections for variant in ("spread", "hot")),
        Case("balance", "spread", many),
        Case(BESIDE, "spread", many),
        *(Case("batch", variant, BATCH_CONNECTIONS) for variant in ("hot", "spread")),
    ]


def measure(
    other: Checkout,
    engines: Sequence[Engine],
    *,
    merchants: int,
    connections: Sequence[int],
    rounds: int,
    seconds: float,
    peer: TigerbeetleProgram | None = None,
) -> Comparison:
    """Measure both on each engine in alternating rounds, and verify every ledger in the end.

    Balances of this checkout on SQLite are held to a server that does nothing, callers of its client to as many
    connections and, where there is a `peer`, to that one's; and books of its ledger on SQLite are read whole.
    """
    found = Comparison([], [], [])
    many = connections[min(1, len(connections) - 1)]
    for engine in engines:
        with contextlib.ExitStack() as stack:
            subjects = [
                (checkout, url, stack.enter_context(_serving(checkout, url, merchants)))
                for checkout, url in ((checkout, engine.create()) for checkout in (this(), other))
            ]
            _, url, mine = subjects[0]
            ceiling: Subject | None = None
            if engine.name == "sqlite":
                ceiling = stack.enter_context(over_http.serving_ceiling(url, mine.population))
            progress(f"measuring both on {engine.name}")
            both = [subject for _, _, subject in subjects]
            found.against.extend(_rounds(engine.name, both, ceiling, cases(connections), rounds, seconds))
            other_client: Subject | None = None
            if peer is not None:
                other_client = stack.enter_context(serving_tigerbeetle(peer, mine.population, engine.folder))
            progress(f"measuring callers on {engine.name}")
            callers = clients.measure(mine, other_client, callers=many, rounds=rounds, seconds=seconds)
            found.clients.extend(msgspec.structs.replace(each, subject=engine.name) for each in callers)
        for checkout, checked, subject in subjects:
            checkout.verify(checked, subject)
        if engine.name == "sqlite":
            progress("reading books")
            read = uvloop.run(books.read(url, mine.population.members[0].merchant_id, rounds))
            found.reads.extend(_read(engine.name, what, passes) for what, passes in read.items())
    return found


def _read(engine: str, what: str, passes: Sequence[books.Read]) -> ReadResult:
    return ReadResult(
        engine=engine,
        what=what,
        lines=passes[0].lines,
        per_second=figure((each.per_second for each in passes), digits=4),
        megabytes=max(each.megabytes for each in passes),
    )


@contextlib.contextmanager
def _serving(checkout: Checkout, url: str, merchants: int) -> Iterator[Subject]:
    progress(f"seeding a ledger by {checkout.folder}")
    seeded = msgspec.json.decode(checkout.ask("seed", url, str(merchants)), type=_Seeded)
    # The command that an operator starts a server with.
    with running(serve_arguments, url, python=checkout.python, root=checkout.folder) as server:
        yield Subject(checkout.name, server, seeded.population, seeded.facts.pid)


def _rounds(
    engine: str,
    subjects: Sequence[Subject],
    ceiling: Subject | None,
    asked: Sequence[Case],
    rounds: int,
    seconds: float,
) -> Iterator[AgainstResult]:
    samples: dict[tuple[Case, str], list[Sample]] = {}
    for number in range(rounds):
        for case in asked:
            limit = over_http.sample(ceiling, case, seconds) if ceiling and case.what == "balance" else None
            for subject in subjects[:: 1 if number % 2 == 0 else -1]:
                charged = samples.get((Case("charge", case.variant, case.connections), subject.name))
                pace = charged[-1].per_second if charged else 0.0
                found = over_http.sample(subject, case, seconds, limit, pace)
                samples.setdefault((case, subject.name), []).append(found)
    for case in asked:
        mine, theirs = samples[case, THIS], samples[case, OTHER]
        pairs = list(zip(mine, theirs, strict=True))
        yield AgainstResult(
            engine,
            over_http.result(THIS, case, mine),
            over_http.result(OTHER, case, theirs),
            per_second=figure(ratio(it.per_second, that.per_second) for it, that in pairs),
            server_us=figure(ratio(it.server_us, that.server_us) for it, that in pairs),
            p50=figure(ratio(it.latencies_ms[0], that.latencies_ms[0]) for it, that in pairs),
            p99_of_p50=figure(ratio(it.latencies_ms[2], it.latencies_ms[0]) for it in mine),
        )
