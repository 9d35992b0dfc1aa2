"""The benchmarks run from end to end, and a benchmark of a wrong ledger, or of refusals, is not passed over.

No figure is checked against a time: what a machine can do is for people to read.
"""

import asyncio
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import pytest

from benchmarks import ledgers, load
from benchmarks.ledgers import Acknowledged, WrongLedger
from benchmarks.report import Results
from benchmarks.rounds import Figure
from benchmarks.workload import DRAWS, TimeOrderedKeys, charges, draws, populate
from farebox.core.commands import Charge
from tests.tidy.files import ROOT

MERCHANTS: Final = 20
CLIENTS: Final = 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What a very short run on SQLite prints, and the file that it leaves."""
    folder = tmp_path_factory.mktemp("results")
    command = [
        *(sys.executable, "-m", "benchmarks", "--quick", "--engine", "sqlite", "--merchants", str(MERCHANTS)),
        *("--connections", str(CLIENTS), "--rounds", "2", "--seconds", "0.2", "--results", str(folder)),
    ]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("sqlite-*.json")
    return done.stdout, path.read_text()


def test_results_are_complete(run: tuple[str, str]) -> None:
    results = msgspec.json.decode(run[1], type=Results)
    assert {
        ("ceiling", "balance", "spread"),
        ("sqlite", "balance", "spread"),
        ("ceiling", "charge", "spread"),
        ("sqlite", "charge", "spread"),
        ("sqlite", "charge", "hot"),
    } == {(it.subject, it.what, it.variant) for it in results.http}
    assert {CLIENTS} == {it.connections for it in results.http}
    batches = {(variant, batch) for variant in ("spread", "hot") for batch in (1, 60, 1000)}
    assert batches == {(it.variant, it.batch) for it in results.costs}
    assert ["over HTTP", "in process"] == [it.measured for it in results.ledgers]
    assert {"journal_mode=WAL, synchronous=FULL"} == {it.durability for it in results.ledgers}
    assert (MERCHANTS, 2) == (results.plan.merchants, results.plan.rounds)


def test_results_agree_with_one_another(run: tuple[str, str]) -> None:
    results = msgspec.json.decode(run[1], type=Results)
    assert [{}] * len(results.http) == [it.failures for it in results.http]
    for it in results.ledgers:
        assert it.charges > 0
        assert (it.charges, it.charged) == (it.acknowledged_charges, it.acknowledged)
        # Each merchant has been topped up once.
        assert it.charges + MERCHANTS == it.transfers
    for found in _figures(json.loads(run[1])):
        assert 0 <= found.lowest <= found.median <= found.highest


def test_every_result_is_in_the_table(run: tuple[str, str]) -> None:
    table, results = run[0], msgspec.json.decode(run[1], type=Results)
    assert len(results.http) + len(results.costs) == sum(
        line.startswith(("balance ", "charge ", "charge, ")) for line in table.splitlines()
    )
    assert {"none"} == {line.split()[-1] for line in table.splitlines() if f"  {CLIENTS}  " in line}


def test_results_do_not_name_the_machine(run: tuple[str, str]) -> None:
    for text in run:
        assert str(ROOT) not in text
        assert os.uname().nodename not in text


async def test_a_ledger_that_has_what_no_client_was_told_of_is_refused(tmp_path: Path) -> None:
    async with ledgers.opened(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        population = await populate(farebox, 2)
        await farebox.committer.submit_all(list(islice(charges(population, "hot"), 3)))
        verified = await ledgers.verify(farebox)
    assert (5, 3) == (verified.transfers, verified.charges)
    ledgers.compare(verified, Acknowledged(3, verified.charged_micros))
    with pytest.raises(WrongLedger, match="3 charges"):
        ledgers.compare(verified, Acknowledged(2, verified.charged_micros))
    with pytest.raises(WrongLedger, match="clients were told"):
        ledgers.compare(verified, Acknowledged(3, verified.charged_micros + 1))


async def test_the_load_generator_counts_refusals_and_broken_connections() -> None:
    """Answers may come in pieces; a connection that ends while an answer is owed counts as broken."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status, body in (("200 OK", b'{"cost":"0.5"}'), ("503 Service Unavailable", b"{}"), ("200 OK", b"")):
            asked.append(await reader.readuntil(b"!"))
            head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body) or 9}\r\n\r\n".encode()
            for piece in (head[:20], head[20:] + body[:1], body[1:]):
                writer.write(piece)
                await asyncio.sleep(0.01)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        order = load.Order(
            port=server.sockets[0].getsockname()[1],
            connections=2,
            seconds=0.5,
            warm_up_seconds=0,
            requests=[("a", "!"), ("b", "!")],
            sequence=[0, 1],
        )
        command = (sys.executable, "-m", "benchmarks.load")
        process = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, cwd=ROOT)
        output, _ = await process.communicate(msgspec.json.encode(order))
    started, ended, report = output.splitlines()
    assert (b"started", b"ended") == (started, ended)
    found = msgspec.json.decode(report, type=load.Report)
    assert ({"200": 2, "503": 2}, 2, {"0.5": 2}) == (found.answers, found.broken, found.costs)
    assert 6 == len(set(asked))
    assert {b"a", b"b"} == {it[:1] for it in asked}


def test_keys_differ_and_sort_by_time() -> None:
    keys = TimeOrderedKeys()
    made = [keys.make() for _ in range(1_000)]
    assert 1_000 == len(set(made))
    assert {32} == {len(key) for key in made}
    assert [key[:12] for key in made] == sorted(key[:12] for key in made)
    # Version and variant of a UUIDv7.
    assert {"7"} == {key[12] for key in made}
    assert made[0][16] in "89ab"


def test_the_workload_is_the_same_every_time_and_has_large_and_small_merchants() -> None:
    drawn = draws(1_000, "spread")
    assert drawn == draws(1_000, "spread")
    counts = [sum(it.place == place for it in drawn) for place in (0, 10, 100)]
    assert sorted(counts, reverse=True) == counts
    assert DRAWS / 10 < counts[0]
    assert {0} == {it.place for it in draws(1_000, "hot")}


async def test_charges_in_process_are_those_of_the_api(tmp_path: Path) -> None:
    async with ledgers.opened(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        population = await populate(farebox, 2)
    for charge in islice(charges(population, "hot"), 3):
        assert isinstance(charge, Charge)
        assert population.members[0].merchant_id == charge.merchant_id
        assert charge.payer.digest is not None
        assert charge.caller is not None


def _figures(value: object) -> list[Figure]:
    """Find every figure of a result, however deep."""
    if isinstance(value, dict):
        if value.keys() == set(Figure.__struct_fields__):
            return [Figure(**value)]
        return [found for inner in value.values() for found in _figures(inner)]
    return [found for inner in value for found in _figures(inner)] if isinstance(value, list) else []
