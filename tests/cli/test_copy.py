"""`farebox copy` as a script uses it: what it answers, and what it says when it does not copy."""

import io
import sys
from pathlib import Path

import pytest

from farebox.cli.copy import ProgressBar, TimeLeft
from tests.cli.shell import Shell


def two(tmp_path: Path) -> tuple[Shell, Shell]:
    """A shell with a ledger, and one with what it is copied into."""
    source, target = (Shell(f"sqlite:///{tmp_path / name}.db") for name in ("source", "target"))
    source.ok("init")
    source.merchant()
    return source, target


def test_a_ledger_is_copied_and_both_are_open(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    copied = source.json("copy", "--to", target.database_url)
    assert (True, False, 1) == (copied["isFinished"], copied["isSwitched"], copied["tables"]["merchant"])
    assert copied["rows"] == sum(copied["tables"].values())
    assert source.json("merchant", "list") == target.json("merchant", "list")
    again = source.run("copy", "--to", target.database_url)
    assert (1, "") == (again.status, again.out)
    assert "is not empty" in again.err


def test_a_ledger_is_switched_and_says_where_it_has_moved(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    merchants = source.json("merchant", "list")
    source.ok("copy", "--to", target.database_url, "--serving")
    unfinished = target.run("merchant", "list", "--json")
    assert 1 == unfinished.status
    assert '"copy_unfinished"' in unfinished.err
    assert "closed for good" in source.ok("copy", "--to", target.database_url, "--switch").out
    assert merchants == target.json("merchant", "list")
    moved = source.run("merchant", "list", "--json")
    assert 1 == moved.status
    assert '"ledger_moved"' in moved.err
    assert target.database_url in moved.err


def test_a_copy_is_given_up(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    assert "No copy is made.\n" == source.ok("copy", "--abandon").out
    source.ok("copy", "--to", target.database_url, "--serving")
    assert {"isGivenUp": True} == source.json("copy", "--abandon")
    assert "empty it" in source.run("copy", "--to", target.database_url).err


def test_words_that_make_no_sense_are_told(tmp_path: Path) -> None:
    source, target = two(tmp_path)
    for words, error in (
        ((), " to: name the database"),
        (("--to", "nonsense"), " to: the URL"),
        (("--to", source.database_url), " to: this is the ledger itself"),
        (("--to", target.database_url, "--switch", "--serving"), " switch: choose"),
        (("--to", target.database_url, "--abandon"), " to: --abandon changes"),
    ):
        refused = source.run("copy", *words)
        assert 2 == refused.status, refused
        assert error in refused.err


def test_the_time_left_is_told_by_what_this_run_did_of_late() -> None:
    left = TimeLeft()
    # An earlier run had brought nine tenths over.
    assert None is left.seconds(100.0, 9_000_000, 10_000_000)
    assert None is left.seconds(101.0, 9_000_000, 10_000_000)
    assert 90.0 == left.seconds(110.0, 9_100_000, 10_000_000)
    # From then on it is ten times as slow, and a minute later nothing but that counts.
    for second in range(111, 181):
        left.seconds(float(second), 9_100_000 + (second - 110) * 1_000, 10_000_000)
    assert 829.0 == left.seconds(181.0, 9_171_000, 10_000_000)


class Terminal(io.StringIO):
    """What a program takes for a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_copy_that_goes_on_shows_how_far_it_is_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((100.0, 110.0, 111.0))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar(clock=lambda: next(times)) as progress:
        progress.show("Copying", 9_000_000, 10_000_000)
        progress.show("Copying", 9_100_000, 10_000_000)
        shown = terminal.getvalue()
        progress.show("Comparing", 0, 10_000_000)
    assert "9000000/10000000" in shown
    assert "9100000/10000000  0:01:30 left" in shown
    assert "Comparing" in terminal.getvalue()
