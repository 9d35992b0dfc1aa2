"""The benchmarks run from end to end, and a benchmark of a wrong ledger, or of refusals, is not passed over.

No figure is checked against a time: what a machine can do is for people to read.
"""

import asyncio
import contextlib
import io
import os
import shutil
import sys
from itertools import islice
from pathlib import Path
from typing import Final
from xml.dom import minidom

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks import (
    against,
    books,
    clients,
    document,
    filling,
    gateways,
    grants,
    ledgers,
    load,
    over_http,
    pgbench,
    phases,
    prices,
    report,
)
from benchmarks.growth import GrowthResults
from benchmarks.keys import RandomKeys, TimeOrderedKeys
from benchmarks.ledgers import Acknowledged, WrongLedger
from benchmarks.results import (
    AgainstResults,
    ClientResults,
    GatewaysResults,
    GrantsResults,
    MemoryResults,
    ObserveResults,
    PricesResults,
    Results,
    SavingsResults,
)
from benchmarks.rounds import Figure
from benchmarks.tigerbeetle import TIGERBEETLE_VARIABLE, TigerbeetleUnusable
from benchmarks.workload import DRAWS, VARIANTS, charges, draws, populate
from farebox.core.commands import Charge
from tests.benchmarks.likeness import likeness_of_tigerbeetle
from tests.gateways.programs import PROGRAMS
from tests.tidy.files import ROOT

MERCHANTS: Final = 20
CLIENTS: Final = 4
TINY: Final = ("--quick", "--merchants", str(MERCHANTS), "--connections", str(CLIENTS), "--seconds", "0.05")
SOME_ANSWERS: Final = ("--seconds", "0.4")
"""Time enough for some answers to each case, on a machine that does something else meanwhile."""
PICTURE_BYTES_MAX: Final = 40_000
FAREBOX: Final = ("sqlite", "postgres", "postgres, 2 processes")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a very short run of the standard set prints, and the folder of what it leaves."""
    folder = tmp_path_factory.mktemp("results")
    with likeness_of_tigerbeetle(tmp_path_factory.mktemp("likeness")):
        return _printed(*TINY, "--results", str(folder)), folder


def _printed(*arguments: str) -> str:
    """Run the benchmarks and return what they print."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        command.main(arguments)
    return output.getvalue()


def _results(folder: Path) -> tuple[str, Results]:
    (path,) = folder.glob("all-*.json")
    return path.read_text(), msgspec.json.decode(path.read_text(), type=Results)


def test_results_are_complete(run: tuple[str, Path]) -> None:
    _, found = _results(run[1])
    expected = {
        ("ceiling", "balance", "spread"),
        ("ceiling", "charge", "spread"),
        *((name, what, "spread") for name in FAREBOX for what in ("balance", "balance beside charges")),
        *((name, what, variant) for name in FAREBOX for what in ("charge", "batch") for variant in ("spread", "hot")),
        *(("baseline", "charge", variant) for variant in ("spread", "hot")),
        ("baseline", "balance", "spread"),
        *(("tigerbeetle", what, variant) for what in ("charge", "batch") for variant in ("spread", "hot")),
    }
    assert expected == {(it.subject, it.what, it.variant) for it in found.http}
    assert {CLIENTS} == {it.connections for it in found.http}
    assert {("spread", 2), ("hot", 2)} == {(it.variant, it.clients) for it in found.pgbench}
    batches = {(variant, batch) for variant in ("spread", "hot") for batch in (1, 60, 1000)}
    assert batches == {(it.variant, it.batch) for it in found.costs}
    assert ["over HTTP", "over HTTP", "in process", "in process"] == [it.measured for it in found.ledgers]
    assert ["SQLite", "PostgreSQL"] == [it.engine.split()[0] for it in found.ledgers[:2]]
    assert {"journal_mode=WAL, synchronous=FULL", "fsync=on, synchronous_commit=on"} == {
        it.durability for it in found.ledgers
    }
    assert "0.17.8" == found.tigerbeetle
    assert (MERCHANTS, 1) == (found.plan.merchants, found.plan.rounds)
    assert {(1, False), (4, False), (16, False), (1, True)} == {(it.shards, it.is_routed) for it in found.simulated}
    assert ["small", "small", "large", "large"] == [it.ledger for it in found.starts]
    assert all(min(it.megabytes) > 0 for it in found.memory)


def test_results_agree_with_one_another(run: tuple[str, Path]) -> None:
    text, found = _results(run[1])
    assert [{}] * len(found.http) == [it.failures for it in found.http]
    for it in found.ledgers:
        assert it.charges > 0
        assert (it.charges, it.charged) == (it.acknowledged_charges, it.acknowledged)
        # Each merchant has been topped up once.
        assert it.charges + MERCHANTS == it.transfers
    for figure in _figures(msgspec.json.decode(text)):
        assert 0 <= figure.lowest <= figure.median <= figure.highest


def test_every_result_is_in_the_table(run: tuple[str, Path]) -> None:
    _, found = _results(run[1])
    lines = run[0].splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith("requests over HTTP"))
    table = lines[start + 1 : start + 1 + len(found.http)]
    assert {"none"} == {line.split()[-1] for line in table}
    assert {it.subject for it in found.http} == {
        name for name in (*FAREBOX, "baseline", "ceiling", "tigerbeetle") if name in run[0]
    }
    assert 2 * len(found.pgbench) + len(found.costs) <= sum(line.startswith("charge") for line in lines)
    assert "not measured" in run[0]
    assert "not met" in run[0]


def test_pictures_are_well_formed(run: tuple[str, Path]) -> None:
    names = {path.stem.rpartition("-")[2]: path for path in run[1].glob("*.svg")}
    assert {"charges", "balances", "batches", "memory", "servers"} == names.keys()
    for path in names.values():
        assert minidom.parse(str(path)).getElementsByTagName("text")
        assert "nan" not in path.read_text()
        assert len(path.read_bytes()) < PICTURE_BYTES_MAX


def test_results_do_not_name_the_machine(run: tuple[str, Path]) -> None:
    for text in (run[0], *(path.read_text() for path in run[1].iterdir())):
        assert str(ROOT) not in text
        assert os.uname().nodename not in text


def test_growth_and_scaling_are_measured(tmp_path: Path) -> None:
    printed = _printed(*TINY, "--growth", "--transfers", "1", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("growth-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=GrowthResults)
    measured = {"charge, spread", "charge, hot", "balance", "statement", "usage", "start-up"}
    assert measured == {it.what for it in found.points}
    assert {"merchants", "connections", "processes", "batch"} == {it.along for it in found.scaling}
    assert 5 == len(list(tmp_path.glob("*.svg")))
    assert "as good as the empty ledger" in printed


async def test_a_filled_ledger_has_a_past(tmp_path: Path) -> None:
    with ledgers.engine("sqlite", tmp_path) as engine:
        filled = await filling.fill(engine, 2_500, 2)
    assert 2_500 == filled.acknowledged.charges
    async with ledgers.opened(filled.url) as farebox:
        ledgers.compare(await ledgers.verify(farebox), filled.acknowledged)
        first, *_, last = await farebox.stores.transfers.page(
            filled.population.members[0].merchant_id, first_seq=1, last_seq=10_000, limit=10_000, newest_first=False
        )
        assert [] == await farebox.stores.usage.books_to_roll_up(0, transfers_min=1_000, limit=10)
    day_micros = 86_400_000_000
    assert filling.HISTORY_DAYS / 2 < (last.committed_at - first.committed_at) / day_micros < filling.HISTORY_DAYS


def test_what_a_saving_is_worth_is_measured(tmp_path: Path) -> None:
    printed = _printed(*TINY, "--savings", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("savings-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=SavingsResults)
    without = {f"sqlite, {name}" for name in over_http.SAVINGS}
    assert {"ceiling", "sqlite"} | without == {it.subject for it in found.http}
    assert [{}] * len(found.http) == [it.failures for it in found.http]
    assert "times as many" in printed


def test_what_being_observed_costs_is_measured(tmp_path: Path) -> None:
    printed = _printed(*TINY, "--observe", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("observe-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=ObserveResults)
    observed = {f"sqlite, {name}" for name in over_http.OBSERVED}
    assert {"ceiling", "sqlite"} | observed == {it.subject for it in found.http}
    assert [{}] * len(found.http) == [it.failures for it in found.http]
    assert "what being observed costs" in printed


def test_what_a_rule_costs_is_measured(tmp_path: Path) -> None:
    printed = _printed(*TINY, *SOME_ANSWERS, "--prices", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("prices-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=PricesResults)
    assert list(prices.SHAPES) == [it.shape for it in found.prices]
    assert all(it.per_second.median > 0 for it in found.prices)
    assert "of a unit price" in printed


def test_what_given_credit_costs_is_measured(tmp_path: Path) -> None:
    printed = _printed(*TINY, *SOME_ANSWERS, "--grants", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("grants-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=GrantsResults)
    assert list(grants.SHAPES) == [it.shape for it in found.grants]
    assert all(it.per_second.median > 0 for it in found.grants)
    assert "of no grants" in printed


def test_what_the_client_brings_is_measured(tmp_path: Path) -> None:
    with likeness_of_tigerbeetle(tmp_path):
        printed = _printed(*TINY, *SOME_ANSWERS, "--client", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("client-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=ClientResults)
    assert [(variant, way) for variant in VARIANTS for way in (*clients.WAYS, clients.PEER)] == [
        (each.variant, each.way) for each in found.clients
    ]
    assert all(each.per_second.median > 0 for each in found.clients)
    assert "of connections" in printed
    assert "tigerbeetle 0.17.8, one replica" in printed
    assert "0.17.8" == found.tigerbeetle


def test_two_checkouts_are_measured_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one is this one again, by another name: what is to be installed for one is there already."""
    other = against.Checkout(against.OTHER, ROOT, sys.executable)
    monkeypatch.setattr(against, "install", lambda folder: other)
    with likeness_of_tigerbeetle(tmp_path):
        printed = _printed(*TINY, "--against", str(tmp_path), "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("against-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=AgainstResults)
    measured = {("charge", "spread"), ("charge", "hot"), ("balance", "spread"), ("balance beside charges", "spread")}
    measured |= {("batch", "hot"), ("batch", "spread")}
    assert ({*clients.WAYS, clients.PEER}, "0.17.8") == ({it.way for it in found.clients}, found.tigerbeetle)
    assert [books.VERIFY, books.EXPORT_JSON, books.EXPORT_CSV] == [it.what for it in found.reads]
    assert all(it.per_second.median > 0 < it.lines for it in found.reads)
    assert measured == {(it.this.what, it.this.variant) for it in found.against}
    for it in found.against:
        assert ({}, {}) == (it.this.failures, it.other.failures)
        if it.other.per_second.median:
            ratio = it.this.per_second.median / it.other.per_second.median
            assert it.per_second.median == pytest.approx(ratio, rel=0.01)
    for aim in (
        *("at least 1.8 x other", "at least 0.7 x ceiling", "at most 8 ms", "at least 3 x 4 connections"),
        *("at least 4 x 4 callers of TigerBeetle's client", "at least 300,000 transfers a second and core"),
        "at least 200,000 lines a second and core",
    ):
        assert aim in printed


@pytest.mark.parametrize("way", [(), ("--client",), ("--against", ".")])
def test_a_tigerbeetle_that_is_not_there_is_told_before_anything_begins(
    way: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TIGERBEETLE_VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(TigerbeetleUnusable, match="where no program is"):
        command.main([*TINY, *way, "--engine", "sqlite"])
    assert ("", "") == capsys.readouterr()


@pytest.mark.parametrize(("folder", "words"), [("", "no checkout of Farebox"), (ROOT, "is this checkout")])
def test_what_is_no_other_checkout_is_not_measured(tmp_path: Path, folder: str | Path, words: str) -> None:
    with pytest.raises(against.CheckoutUnusable, match=words):
        against.install(tmp_path / folder)


def test_gateways(tmp_path: Path) -> None:
    printed = _printed(*TINY, "--gateways", "--results", str(tmp_path))
    (path,) = tmp_path.glob("gateways-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=GatewaysResults).gateways
    installed = [program.name for program in PROGRAMS.values() if program.is_there]
    assert [(it.proxy, it.what) for it in found] == [
        (name, what)
        for name in installed
        for what in (gateways.PLAIN, gateways.FREE, gateways.HELD if name == "traefik" else gateways.CHARGED)
    ] + [(gateways.MIDDLEWARE, what) for what in (gateways.PLAIN, gateways.FREE, gateways.CAPTURED)]
    assert all(it.p99.median >= it.p50.median > 0 for it in found)
    assert "p50 added" in printed


def test_memory_is_watched_over_time(tmp_path: Path) -> None:
    printed = _printed(*TINY, "--memory", "0.4", "--engine", "sqlite", "--results", str(tmp_path))
    (path,) = tmp_path.glob("memory-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=MemoryResults)
    (memory,), (charges,) = found.memory, found.charges
    assert charges > 0
    assert memory.seconds == sorted(memory.seconds)
    assert all(20 < size < 500 for size in memory.megabytes)
    assert "MB at 0 s" in printed
    (picture,) = tmp_path.glob("memory-*.svg")
    assert minidom.parse(str(picture)).getElementsByTagName("svg")


PGLEDGER: Final = """
CREATE TABLE pgledger_accounts (
    id text PRIMARY KEY, name text, currency text, balance numeric, allow_negative_balance boolean,
    allow_positive_balance boolean, created_at timestamptz, updated_at timestamptz
);
CREATE TABLE pgledger_transfers (source text REFERENCES pgledger_accounts, target text REFERENCES pgledger_accounts);
CREATE FUNCTION pgledger_create_transfer(source text, target text, amount numeric) RETURNS SETOF pgledger_transfers
LANGUAGE sql AS 'INSERT INTO pgledger_transfers VALUES ($1, $2) RETURNING *';
"""
"""As much of pgledger as is asked of it; its own stands in a repository of its own."""


async def test_another_ledger_in_pgbench_takes_its_turn_and_is_held_to_what_was_said(
    tmp_path: Path, postgres_url: str
) -> None:
    (tmp_path / "pgledger.sql").write_text(PGLEDGER)
    program = pgbench.find_program()
    assert program is not None
    subject = await pgbench.seed_pgledger(program, postgres_url, MERCHANTS, tmp_path)
    found = await asyncio.to_thread(pgbench.measure, [subject], clients=[2], rounds=2, seconds=0.05)
    assert [("pgledger", "spread", 2), ("pgledger", "hot", 2)] == [(it.subject, it.variant, it.clients) for it in found]
    assert 80 == subject.charges
    await pgbench.verify(subject)
    subject.charges += 1
    with pytest.raises(WrongLedger, match="made 81 charges, pgledger's tables have 80"):
        await pgbench.verify(subject)


def test_figures_are_written_between_their_markers_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n\n<!-- figures: written by make bench -->\nold\n<!-- figures: end -->\n\nafter\n")
    for _ in range(2):
        document.rewrite("figures", document.block([["a  1", "b  2"]], [tmp_path / "all-1-rates.svg"], path), path)
    content = "```text\na  1\nb  2\n```\n\n![1-rates](all-1-rates.svg)"
    assert (
        f"before\n\n<!-- figures: written by make bench -->\n\n{content}\n\n<!-- figures: end -->\n\nafter\n"
        == path.read_text()
    )
    with pytest.raises(ValueError, match="growth"):
        document.rewrite("growth", "", path)


def test_the_pages_have_a_place_for_every_kind_of_figures(tmp_path: Path) -> None:
    folder = tmp_path / "explanation"
    shutil.copytree(document.EXPLANATION, folder)
    for name in document.PAGES:
        document.put(name, [[f"new {name}"]], [], folder)
    for name, page in document.PAGES.items():
        assert 1 == (folder / page).read_text().count(f"\n\n```text\nnew {name}\n```\n\n")


def test_the_page_that_is_read_first_is_what_the_kept_results_say() -> None:
    """It has the figures of the run whose tables stand behind it, and is no longer than a page."""
    page = (document.EXPLANATION / document.PAGES[document.SUMMARY]).read_text()
    (kept,) = command.RESULTS_FOLDER.glob("all-*.json")
    found = msgspec.json.decode(kept.read_bytes(), type=Results)
    growth = msgspec.json.decode((kept.parent / kept.name.replace("all-", "growth-")).read_bytes(), type=GrowthResults)
    for part in report.summary_parts(found, growth):
        assert "```text\n" + "\n".join(part) + "\n```" in page
    assert len(page.splitlines()) < 200


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
            seconds=0.5,
            warm_up_seconds=0,
            streams=[load.Stream(connections=2, requests=[("a", "!"), ("b", "!")], sequence=[0, 1])],
        )
        program = (sys.executable, "-m", "benchmarks.load")
        process = await asyncio.create_subprocess_exec(*program, stdin=-1, stdout=-1, cwd=ROOT)
        output, _ = await process.communicate(msgspec.json.encode(order))
    started, ended, report = output.splitlines()
    assert (b"started", b"ended") == (started, ended)
    (found,) = msgspec.json.decode(report, type=load.Report).streams
    assert ({"200": 2, "503": 2}, 2, {"0.5": 2}) == (found.answers, found.broken, found.costs)
    assert 6 == len(set(asked))
    assert {b"a", b"b"} == {it[:1] for it in asked}


async def test_the_load_generator_keeps_its_pace_and_sends_batches() -> None:
    bodies: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                bodies.append(await reader.readexactly(int(head.split(b"content-length: ")[1])))
                answer = b'{"cost":"0.5"}{"cost":"0.25"}{"isSuccess":false}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        stream = load.Stream(
            connections=2,
            requests=[("<", ">")],
            sequence=[0],
            batch_head="POST / HTTP/1.1\r\n",
            batch=3,
            has_random_keys=True,
            per_second=20,
        )
        order = load.Order(server.sockets[0].getsockname()[1], seconds=0.5, warm_up_seconds=0, streams=[stream])
        program = (sys.executable, "-m", "benchmarks.load")
        process = await asyncio.create_subprocess_exec(*program, stdin=-1, stdout=-1, cwd=ROOT)
        output, _ = await process.communicate(msgspec.json.encode(order))
    (found,) = msgspec.json.decode(output.splitlines()[-1], type=load.Report).streams
    count = len(bodies)
    assert 2 <= count <= 12
    assert {"0.25": count, "0.5": count} == found.costs
    assert {"200": count, "refused": count} == found.answers
    assert 0 == found.completed % 3
    keys = [key for body in bodies for key in body.removeprefix(load.BATCH_START)[1:-3].split(b">,<")]
    assert 3 * count == len(set(keys))
    assert {32} == {len(key) for key in keys}


def test_keys_differ_and_sort_by_time() -> None:
    keys = TimeOrderedKeys()
    made = [keys.make() for _ in range(1_000)]
    assert 1_000 == len(set(made))
    assert {32} == {len(key) for key in made}
    assert [key[:12] for key in made] == sorted(key[:12] for key in made)
    # Version and variant of a UUIDv7.
    assert {"7"} == {key[12] for key in made}
    assert made[0][16] in "89ab"
    random_keys = RandomKeys()
    assert 1_000 == len({random_keys.make() for _ in range(1_000)})


def test_the_workload_is_the_same_every_time_and_has_large_and_small_merchants() -> None:
    drawn = draws(1_000, "spread")
    assert drawn == draws(1_000, "spread")
    counts = [sum(it.place == place for it in drawn) for place in (0, 10, 100)]
    assert sorted(counts, reverse=True) == counts
    assert DRAWS / 10 < counts[0]
    assert {0} == {it.place for it in draws(1_000, "hot")}


@pytest.mark.parametrize("more", [(), ("--random-keys", "--variant", "hot")])
def test_every_step_of_a_batch_is_measured(
    more: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["phases", "--merchants", str(MERCHANTS), "--batch", "7", "--batches", "3", *more])
    phases.main()
    lines = capsys.readouterr().out.splitlines()[1:]
    assert list(phases.STEPS) == [line.split(maxsplit=2)[2] for line in lines]
    assert all(float(figure) >= 0 for line in lines for figure in line.split()[:2])


def test_every_statement_of_a_batch_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["phases", "--merchants", str(MERCHANTS), "--batch", "7", "--batches", "3", "--statements"]
    )
    phases.main()
    told = {line.split("statement ")[1] for line in capsys.readouterr().out.splitlines() if "statement " in line}
    assert {"COMMIT", "account", "load_replay", "insert_transfer", "update_account_spending"} <= told


def test_whole_books_are_verified_and_exported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["books", "--transfers", "30", "--merchants", "1", "--rounds", "2"])
    books.main()
    _, verified, exported, table = capsys.readouterr().out.splitlines()
    # There is a top-up as well. An export that can be verified has the terms and the prices, a table has its header.
    assert "31 lines" in verified
    assert int(exported.split(" lines,")[0].split()[-1]) > 31
    assert "32 lines" in table


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
