"""A ledger that is kept is measured again, and held to all that its clients were ever told."""

import asyncio
import contextlib
import io
from pathlib import Path

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks import large
from benchmarks.filling import Filled
from benchmarks.ledgers import WrongLedger
from benchmarks.results import LargeResults

TINY = ("--quick", "--merchants", "3", "--rounds", "1", "--seconds", "0.2", "--transfers", "200")


def test_a_ledger_is_kept_and_measured_again(tmp_path: Path) -> None:
    kept, results = tmp_path / "kept", tmp_path / "results"
    printed = io.StringIO()
    for _ in range(2):
        with contextlib.redirect_stdout(printed):
            command.main([*TINY, "--large", str(kept), "--results", str(results)])
    (path,) = results.glob("large-*.json")
    found = msgspec.json.decode(path.read_bytes(), type=LargeResults).large
    assert {"charge, spread", "charge, hot", "balance, spread", "statement, spread", "statement, hot", "start-up"} == {
        it.what for it in found.points
    }
    assert {0, 2} == {it.base for it in found.points}
    assert all(it.value.median and it.relative.median for it in found.points)
    (place,) = kept.glob("*-200-3.json")
    told = msgspec.json.decode(place.read_bytes(), type=Filled).acknowledged.charges
    assert told > 200, "what was charged while it was measured counts"
    assert told + 3 == found.verified.transfers
    assert found.copied.megabytes == found.file_megabytes
    assert [] == list(kept.glob("copy*"))
    assert "at 200 transfers" in printed.getvalue()


def test_a_kept_ledger_that_is_not_what_was_told_is_refused(tmp_path: Path) -> None:
    filled = large._kept(tmp_path, 10, 2)
    filled.acknowledged.charges += 1
    large._keep(tmp_path, filled, 2)
    with pytest.raises(WrongLedger, match=r"the ledger has 10 charges of .* clients were told of 11"):
        asyncio.run(large._verified(large._kept(tmp_path, 10, 2)))
