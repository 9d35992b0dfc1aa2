"""Statements without HTTP, run by PostgreSQL's own pgbench on tables of their own: the baseline's, and pgledger's.

pgledger is a double-entry ledger written in PL/pgSQL. It is measured where `PGLEDGER` names a checkout of it, in the
same rounds: each charge is a transfer from a merchant's account to one that no other merchant shares, as Farebox's are,
with no idempotency key, price, alert or hash.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import psutil
from msgspec import Struct

from benchmarks import baseline
from benchmarks.ledgers import WrongLedger
from benchmarks.rounds import Figure, figure
from benchmarks.workload import PRICES, TYPE_WEIGHTS, ZIPF_EXPONENT, Member, Population, Variant
from tests.support.postgres import PostgresError, find_programs

CLIENTS: Final = (10, 50)
CLIENTS_QUICK: Final = (2,)
VARIANTS: Final[tuple[Variant, ...]] = ("spread", "hot")

BASELINE: Final = "baseline"
PGLEDGER: Final = "pgledger"
PGLEDGER_VARIABLE: Final = "PGLEDGER"
"""The variable of the environment that names a checkout of pgledger."""

_PGLEDGER_ACCOUNTS: Final = """
INSERT INTO pgledger_accounts
    (id, name, currency, balance, allow_negative_balance, allow_positive_balance, created_at, updated_at)
SELECT kind || ' ' || place, kind, 'USD', CASE kind WHEN 'wallet' THEN 1000000 ELSE 0 END,
    false, true, now(), now()
FROM generate_series(1, {merchants}) place, unnest(ARRAY['wallet', 'revenue']) kind
"""
_SERVICE_KEY: Final = "service"
_THREADS_MAX: Final = 2
_SHORT_TRANSACTIONS: Final = 10
_TRANSACTIONS: Final = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED: Final = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_PER_SECOND: Final = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
_LATENCY: Final = re.compile(r"^latency average = ([\d.]+) ms", re.MULTILINE)


class PgbenchFailed(Exception):
    """Pgbench did not run to its end, or some of its transactions failed."""


class PgbenchResult(Struct, frozen=True):
    """One case over all rounds: charges a second, and how long one takes on average."""

    variant: Variant
    clients: int
    per_second: Figure
    mean_ms: Figure
    subject: str = BASELINE


class Pgbench(Struct):
    """Tables to run on, and how many charges they must have in the end.

    `script` writes what pgbench runs again and again, and `count` is the statement that counts what came of it.
    """

    program: Path
    url: str
    merchants: int
    subject: str
    script: Callable[[Variant], str]
    count: str
    charges: int = 0
    runs: int = 0


def find_program() -> Path | None:
    """Find pgbench beside the server's own programs; None if it was not installed with them."""
    try:
        path = find_programs() / "pgbench"
    except PostgresError:
        return None
    return path if path.exists() else None


async def seed(program: Path, url: str, merchants: int) -> Pgbench:
    """Fill an empty database. A merchant's key is the place of the merchant, the largest is 1."""
    members = [Member(place, str(place)) for place in range(1, merchants + 1)]
    await baseline.seed(url, Population(members, _SERVICE_KEY))
    return Pgbench(program, url, merchants, BASELINE, script, "SELECT count(*) FROM charge")


async def seed_pgledger(program: Path, url: str, merchants: int, checkout: Path) -> Pgbench:
    """Fill an empty database with pgledger's own schema, and two accounts for each merchant."""
    connection = await asyncpg.connect(url)
    try:
        for path in (*sorted((checkout / "vendor").glob("*/*.sql")), checkout / "pgledger.sql"):
            await connection.execute(path.read_text())
        await connection.execute(_PGLEDGER_ACCOUNTS.format(merchants=merchants))
    finally:
        await connection.close()
    return Pgbench(program, url, merchants, PGLEDGER, _pgledger_script, "SELECT count(*) FROM pgledger_transfers")


def measure(subjects: Sequence[Pgbench], *, clients: Sequence[int], rounds: int, seconds: float) -> list[PgbenchResult]:
    """Measure every case, with so many clients each, in alternating rounds of whole seconds."""
    samples: dict[tuple[str, Variant, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for variant in VARIANTS:
            for count in clients:
                for pgbench in subjects:
                    case = (pgbench.subject, variant, count)
                    samples.setdefault(case, []).append(_sample(pgbench, variant, count, seconds))
    return [_result(*case, found) for case, found in samples.items()]


async def verify(pgbench: Pgbench) -> None:
    """Hold the tables to what pgbench said it did.

    Raises:
        WrongLedger: the charges are not as many.
    """
    connection = await asyncpg.connect(pgbench.url)
    try:
        charges = await connection.fetchval(pgbench.count)
    finally:
        await connection.close()
    if charges != pgbench.charges:
        raise WrongLedger(f"pgbench made {pgbench.charges} charges, {pgbench.subject}'s tables have {charges}")


def script(variant: Variant) -> str:
    """Write the baseline's: the same choices that the workload makes, and the same statement."""
    bounds = [sum(TYPE_WEIGHTS[: at + 1]) for at in range(len(TYPE_WEIGHTS))]
    cases = " ".join(f"when :drawn <= {bound} then {at}" for at, bound in enumerate(bounds, 1))
    names = ", ".join(f"'{name}'" for name in PRICES)
    values = {
        "$1": _digest(f"'{_SERVICE_KEY}'"),
        "$2": _digest("(:place)::text"),
        "$3": f"(ARRAY[{names}])[:type]",
        "$4": "(:run || '-' || :client_id || '-' || lpad((:count)::text, 10, '0'))",
        "$5": "1",
    }
    statement = re.sub(r"\$\d", lambda found: values[found[0]], baseline.CHARGE)
    lines = (
        _choice(variant),
        f"\\set drawn random(1, {bounds[-1]})",
        f"\\set type case {cases} end",
        "\\set count :count + 1",
        f"{statement.strip()};",
    )
    return "\n".join(lines) + "\n"


def _choice(variant: Variant) -> str:
    """Choose a merchant as the workload does."""
    place = "1" if variant == "hot" else f"random_zipfian(1, :merchants, {ZIPF_EXPONENT})"
    return f"\\set place {place}"


def _pgledger_script(variant: Variant) -> str:
    transfer = (
        "SELECT * FROM pgledger_create_transfer('wallet ' || (:place)::text, 'revenue ' || (:place)::text, 0.01);"
    )
    return f"{_choice(variant)}\n{transfer}\n"


def _digest(text: str) -> str:
    return f"sha256(convert_to({text}, 'UTF8'))"


def _sample(pgbench: Pgbench, variant: Variant, clients: int, seconds: float) -> tuple[float, float]:
    pgbench.runs += 1
    parts = urlsplit(pgbench.url)
    with tempfile.NamedTemporaryFile("w", prefix="farebox-bench-", suffix=".sql") as file:
        file.write(pgbench.script(variant))
        file.flush()
        done = subprocess.run(
            [
                *(pgbench.program, "--no-vacuum", "--protocol=prepared", f"--file={file.name}"),
                *(f"--client={clients}", f"--jobs={min(_THREADS_MAX, psutil.cpu_count() or 1)}"),
                *(_length(seconds), f"--define=merchants={pgbench.merchants}"),
                *(f"--define=run={pgbench.runs}", "--define=count=0"),
                *(f"--host={parts.hostname}", f"--port={parts.port}", f"--username={parts.username}"),
                parts.path.lstrip("/"),
            ],
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGPASSWORD": parts.password or ""},
            capture_output=True,
            text=True,
            check=False,
        )
    failed = _FAILED.search(done.stdout)
    if done.returncode or (failed and failed[1] != "0"):
        raise PgbenchFailed(f"{done.stdout}\n{done.stderr[-2000:]}")
    pgbench.charges += int(_found(_TRANSACTIONS, done.stdout))
    return float(_found(_PER_SECOND, done.stdout)), float(_found(_LATENCY, done.stdout))


def _length(seconds: float) -> str:
    """Say how long to run: pgbench knows whole seconds alone, so for less it is given a number of transactions."""
    return f"--transactions={_SHORT_TRANSACTIONS}" if seconds < 1 else f"--time={round(seconds)}"


def _found(pattern: re.Pattern[str], output: str) -> str:
    found = pattern.search(output)
    if found is None:
        raise PgbenchFailed(f"pgbench does not say {pattern.pattern}:\n{output}")
    return found[1]


def _result(subject: str, variant: Variant, clients: int, samples: Sequence[tuple[float, float]]) -> PgbenchResult:
    return PgbenchResult(
        subject=subject,
        variant=variant,
        clients=clients,
        per_second=figure((per_second for per_second, _ in samples), digits=4),
        mean_ms=figure(mean for _, mean in samples),
    )
