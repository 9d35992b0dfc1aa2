"""Processes count together: nothing that was counted is lost with a process, and only what lives tells what waits."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from farebox.core.commands import Charge, Payer, TopUp
from farebox.core.outcomes import DONE, Code, Outcome
from farebox.metrics import definitions
from farebox.metrics.counts import CountsSnapshot, ProcessCounts
from farebox.metrics.slots import Slot
from farebox.service.ledger.committer import CommittedBatch
from farebox.storage.batch_steps import BatchSteps

WAITING: Final = {definitions.QUEUE_COMMANDS: 7.0}
ROUTE: Final = "/api/charges"

_OTHER: Final = """
import sys
from pathlib import Path
from farebox.metrics import definitions
from farebox.metrics.counts import ProcessCounts
from farebox.metrics.slots import Slot
slot = Slot(Path(sys.argv[1]))
counts = ProcessCounts(slot.before)
counts.note_request("/api/charges", "POST", 200, "ok", 0.002)
slot.write(counts.snapshot({definitions.QUEUE_COMMANDS: 7.0}))
print("written", flush=True)
sys.stdin.read()
"""


def _requests(snapshot: CountsSnapshot) -> int:
    return sum(count for _, count in snapshot.counters[definitions.REQUESTS.name])


def _waiting(snapshot: CountsSnapshot) -> float:
    return sum(value for _, value in snapshot.gauges.get(definitions.QUEUE_COMMANDS.name, ()))


def test_a_killed_process_loses_its_gauges_and_no_count_and_the_next_one_goes_on_in_its_place(tmp_path: Path) -> None:
    mine = Slot(tmp_path)
    counts = ProcessCounts(mine.before)
    for round_number in range(1, 4):
        with subprocess.Popen(
            [sys.executable, "-c", _OTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            assert b"written\n" == other.stdout.readline()
            total, alive = mine.read_all(counts.snapshot(WAITING))
            assert (2, round_number, 14.0) == (alive, _requests(total), _waiting(total))
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
        total, alive = mine.read_all(counts.snapshot(WAITING))
        assert (1, round_number, 7.0) == (alive, _requests(total), _waiting(total))
    # As many files as processes ran at once, however many there were.
    assert ["1.json"] == [path.name for path in tmp_path.glob("*.json")]


def test_a_slot_that_was_half_written_or_is_of_another_program_counts_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text('{"counters":')
    (tmp_path / "1.json").write_text("[]")
    slot = Slot(tmp_path)
    total, alive = slot.read_all(ProcessCounts(slot.before).snapshot({}))
    assert (0, 1) == (_requests(total), alive)


def test_a_batch_counts_its_commands_by_what_they_came_to_and_by_nothing_of_whose_they_were() -> None:
    counts = ProcessCounts()
    charge = Charge(Payer(1), "image", 1, "key")
    outcomes = [DONE, Outcome(Code.OK, is_replay=True), Outcome(Code.INSUFFICIENT_BALANCE), DONE]
    steps = BatchSteps(10**9, *(10**9 + micros * 1_000 for micros in (100, 2_000, 3_000, 5_000, 100_000)))
    counts.note_batch(CommittedBatch([charge, charge, charge, TopUp(1, 5, "R")], outcomes, steps))
    counts.note_refusal(Code.INSUFFICIENT_BALANCE)
    told = counts.snapshot({})
    assert [(("ok",), 1), (("replayed",), 1), (("insufficient_balance",), 1)] == told.counters["farebox_charges"]
    assert [(("top_up", "ok"), 1)] == told.counters["farebox_commands"]
    assert [(("insufficient_balance",), 1)] == told.counters["farebox_refusals"]
    sums = {labels[0]: histogram.total for labels, histogram in told.histograms["farebox_batch_step_seconds"]}
    assert {"lock": 0.0001, "load": 0.0019, "decide": 0.001, "apply": 0.002, "commit": 0.095} == pytest.approx(sums)
    ((_, sizes),) = told.histograms["farebox_batch_commands"]
    assert (1, 4.0) == (sum(sizes.counts), sizes.total)


def test_no_client_can_make_more_lines_than_there_are() -> None:
    counts = ProcessCounts()
    for number in range(2_000):
        counts.note_request(ROUTE, "POST", 200, f"made-up-{number}", 0.001)
    assert 500 == len(counts.snapshot({}).counters["farebox_requests"])
