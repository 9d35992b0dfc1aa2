"""Debts outlive their process, go to one other, and are read by nobody else."""

import subprocess
import sys
from pathlib import Path

from farebox_client.middleware.owed import Owed
from farebox_client.middleware.owed_spool import OwedSpool


def owed(key: str, amount: str = "1.00") -> Owed:
    return Owed(key, "mer_X", "call", "2026-01-01T00:00:00+00:00", amount=amount)


def test_what_is_written_is_read_and_forgotten(tmp_path: Path) -> None:
    spool = OwedSpool(tmp_path / "spool")
    for each in (owed("a"), owed("b"), owed("a", "2.00"), owed("c")):
        spool.put(each)
    spool.remove("b")
    spool.refuse("c", "no such key")
    assert [owed("a", "2.00")] == spool.waiting(10)
    assert [(owed("c"), "no such key")] == spool.refused()
    spool.close()
    again = OwedSpool(tmp_path / "spool")
    assert ([owed("a", "2.00")], [(owed("c"), "no such key")]) == (again.waiting(10), again.refused())
    again.close()


def test_an_empty_spool_leaves_no_file(tmp_path: Path) -> None:
    spool = OwedSpool(tmp_path)
    spool.put(owed("a"))
    spool.remove("a")
    spool.close()
    assert [] == list(tmp_path.iterdir())


def test_a_spool_is_its_owners_alone_and_readable_by_nobody_else(tmp_path: Path) -> None:
    one, other = OwedSpool(tmp_path / "spool"), OwedSpool(tmp_path / "spool")
    one.put(owed("a"))
    third = OwedSpool(tmp_path / "spool")
    assert ([], []) == (other.waiting(10), third.waiting(10))
    assert {0o600} == {path.stat().st_mode & 0o777 for path in (tmp_path / "spool").glob("*.owed*")}
    for spool in (one, other, third):
        spool.close()


def test_a_process_that_is_killed_leaves_what_it_owes_to_one_other(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
from farebox_client.middleware.owed import Owed
from farebox_client.middleware.owed_spool import OwedSpool
spool = OwedSpool(Path({str(tmp_path)!r}))
for number in range(1000):
    spool.put(Owed(str(number), "mer_X", "call", "2026-01-01T00:00:00+00:00"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert -9 == subprocess.run([sys.executable, "-c", code], check=False).returncode
    heirs = [OwedSpool(tmp_path) for _ in range(3)]
    assert [1000, 0, 0] == [len(heir) for heir in heirs]
    for heir in heirs:
        heir.close()
    assert 1 == len(list(tmp_path.glob("*.owed")))
