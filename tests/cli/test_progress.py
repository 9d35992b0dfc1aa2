"""How far a long command is, as people see it on a terminal."""

import io
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from farebox.cli.progress import ProgressBar, RecentRate
from tests.cli.shell import Shell


class Terminal(io.StringIO):
    """What a program takes for a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_throughput_is_told_by_what_this_run_did_of_late() -> None:
    rate = RecentRate()
    # An earlier run had brought nine tenths over.
    assert None is rate.per_second(100.0, 9_000_000)
    assert None is rate.per_second(101.0, 9_000_000)
    assert 10_000.0 == rate.per_second(110.0, 9_100_000)
    # From then on it is ten times as slow, and a minute later nothing but that counts.
    for second in range(111, 181):
        rate.per_second(float(second), 9_100_000 + (second - 110) * 1_000)
    assert 1_000.0 == rate.per_second(181.0, 9_171_000)


def test_work_that_goes_on_shows_how_far_it_is_how_fast_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((100.0, 110.0, 111.0))
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar(clock=lambda: next(times)) as progress:
        progress.show("Copying", 9_000_000, 10_000_000)
        progress.show("Copying", 9_100_000, 10_000_000)
        shown = terminal.getvalue()
        progress.show("Comparing", 0, 10_000_000)
    assert "9000000/10000000" in shown
    assert "9100000/10000000  10,000 a second, 0:01:30 left" in shown
    assert "Comparing" in terminal.getvalue()


def on_terminal(database_url: str, *words: str) -> str:
    """Run a command whose stderr is a terminal, and return what it wrote there."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        environment = {**os.environ, "FAREBOX_DATABASE_URL": database_url, "TERM": "xterm"}
        program = [sys.executable, "-m", "farebox", *words]
        done = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=theirs, env=environment)
        os.close(theirs)
        shown = b""
        # Once the program has ended, nobody holds the other side, which Linux tells by an error.
        with suppress(OSError):
            while piece := terminal.read(65_536):
                shown += piece
    assert 0 == done.wait(), shown
    return shown.decode()


def test_verify_and_backup_show_how_far_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'farebox.db'}"
    shell = Shell(url)
    shell.ok("init")
    merchant = shell.merchant()
    shell.ok("topup", merchant, "10", "--reference", "R")
    shell.ok("topup", merchant, "10", "--reference", "S")
    for words in (("verify",), ("verify", "--merchant", merchant)):
        assert "Transfers verified" in (shown := on_terminal(url, *words))
        assert "2/2" in shown
    assert "Megabytes copied" in on_terminal(url, "backup", str(tmp_path / "copy.db"))


def test_nothing_is_shown_where_nobody_looks(tmp_path: Path) -> None:
    shell = Shell(f"sqlite:///{tmp_path / 'farebox.db'}")
    shell.ok("init")
    assert shell.ok("verify").err == shell.ok("backup", str(tmp_path / "copy.db")).err == ""
