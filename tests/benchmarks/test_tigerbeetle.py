"""TigerBeetle takes its turn in benchmarks, and is held to what its clients were told."""

import importlib.util
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks import clients, over_http
from benchmarks.ledgers import WrongLedger
from benchmarks.over_http import Case
from benchmarks.results import ClientResults
from benchmarks.serving import ServerFailed
from benchmarks.tigerbeetle import (
    TIGERBEETLE_VARIABLE,
    TigerbeetleProgram,
    TigerbeetleUnusable,
    find_tigerbeetle,
    serving_tigerbeetle,
)
from benchmarks.workload import Member, Population
from tests.benchmarks.likeness import likeness_of_tigerbeetle

MERCHANTS: Final = 5
POPULATION: Final = Population([Member(number, f"key-{number}") for number in range(MERCHANTS)], "service")
CASES: Final = (
    Case("charge", "spread", 3),
    Case("charge", "hot", 1),
    Case("batch", "spread", 2),
    Case("batch", "hot", 2),
)
SECONDS: Final = 0.2


@pytest.fixture
def tigerbeetle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program that `TIGERBEETLE` names."""
    with likeness_of_tigerbeetle(tmp_path_factory.mktemp("likeness")) as program:
        yield program


def _charge_and_count_one_more(folder: Path) -> None:
    with serving_tigerbeetle(_found(), POPULATION, folder) as subject:
        over_http.sample(subject, CASES[1], SECONDS)
        subject.acknowledged.micros += 1_000_000


def _found() -> TigerbeetleProgram:
    program = find_tigerbeetle()
    assert program is not None
    return program


@pytest.mark.usefixtures("tigerbeetle")
def test_charges_one_by_one_and_in_batches(tmp_path: Path) -> None:
    with serving_tigerbeetle(_found(), POPULATION, tmp_path) as subject:
        for case in CASES:
            assert subject.takes(case)
            sample = over_http.sample(subject, case, SECONDS)
            assert ({}, True) == (sample.failures, sample.per_second > 0)
            assert sample.latencies_ms[0] > 0
        assert not subject.takes(Case("balance", "spread", 3))
        assert subject.acknowledged.charges > 2 * over_http.BATCH_CHARGES
    assert [] == list(tmp_path.iterdir())


@pytest.mark.usefixtures("tigerbeetle")
def test_a_ledger_that_differs_from_what_clients_were_told_does_not_count(tmp_path: Path) -> None:
    with pytest.raises(WrongLedger) as wrong:
        _charge_and_count_one_more(tmp_path)
    found = re.fullmatch(r"TigerBeetle debited (\S+), clients were told of (\S+)", str(wrong.value))
    assert found
    assert 0 < Decimal(found[1]) == Decimal(found[2]) - 1


@pytest.mark.usefixtures("tigerbeetle")
def test_refusals_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.tigerbeetle.FUNDS_MICROS", 10_000)
    with serving_tigerbeetle(_found(), POPULATION, tmp_path) as subject:
        sample = over_http.sample(subject, Case("batch", "hot", 1), 0.0)
        assert {"EXCEEDS_CREDITS"} == sample.failures.keys()
        assert 0 < subject.acknowledged.micros <= 10_000


@pytest.mark.usefixtures("tigerbeetle")
def test_callers_of_both_clients_take_turns(tmp_path: Path) -> None:
    arguments = ("--quick", "--merchants", "5", "--connections", "4", "--seconds", "0.4")
    command.main([*arguments, "--client", "--engine", "sqlite", "--results", str(tmp_path)])
    (path,) = tmp_path.glob("client-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=ClientResults).clients
    assert (*clients.WAYS, clients.PEER) * 2 == tuple(each.way for each in found)
    for each in found:
        (peer,) = (it for it in found if (it.variant, it.way) == (each.variant, clients.PEER))
        assert each.of_peer is not None
        assert each.of_peer.median == pytest.approx(each.per_second.median / peer.per_second.median, rel=0.01)


def test_nothing_is_looked_for_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TIGERBEETLE_VARIABLE, raising=False)
    assert find_tigerbeetle() is None


def test_what_cannot_be_measured_is_told_before_anything_is(tigerbeetle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TigerbeetleProgram(str(tigerbeetle), "0.17.8") == find_tigerbeetle()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(TigerbeetleUnusable, match=r"-m pip install tigerbeetle==0\.17\.8$"):
            find_tigerbeetle()
    monkeypatch.setenv(TIGERBEETLE_VARIABLE, "/bin/true")
    with pytest.raises(TigerbeetleUnusable, match="does not tell a version of TigerBeetle"):
        find_tigerbeetle()
    monkeypatch.setenv(TIGERBEETLE_VARIABLE, str(tigerbeetle.parent / "nothing"))
    with pytest.raises(TigerbeetleUnusable, match="where no program is: give the path of TigerBeetle's server"):
        find_tigerbeetle()


def test_a_server_that_does_not_come_up_is_told_with_its_own_words(tmp_path: Path) -> None:
    program = tmp_path / "tigerbeetle"
    program.write_text('#!/bin/sh\n[ "$1" = format ] || { echo out of memory >&2; exit 1; }\n')
    program.chmod(0o755)
    with (
        pytest.raises(ServerFailed, match="did not come up:\nout of memory"),
        serving_tigerbeetle(TigerbeetleProgram(str(program), "0.17.8"), POPULATION, tmp_path),
    ):
        pass
    program.write_text("#!/bin/sh\necho no space left >&2; exit 1\n")
    with (
        pytest.raises(ServerFailed, match="made no ledger:\nno space left"),
        serving_tigerbeetle(TigerbeetleProgram(str(program), "0.17.8"), POPULATION, tmp_path),
    ):
        pass
