"""Group commit: what shares a batch, who is answered when, and that money moves once whatever becomes of a COMMIT."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.commands import Charge, Command, Payer, SetCreditLimit, SetFrozen, TopUp
from farebox.core.decide import decide
from farebox.core.invariants import InvariantViolation
from farebox.core.outcomes import Code, Outcome
from farebox.core.state import BatchState, ReadSet, reads
from farebox.service.clock import SystemClock
from farebox.service.errors import FateUnknown, Overloaded, ServiceError, Unavailable
from farebox.service.ledger.committer import (
    FAULTY_SPLITS_MAX,
    LIMITS,
    CommittedBatch,
    Committer,
)
from tests.service.scripted import UNIT, Fate, ScriptedConnector, charge, charges, running_committer
from tests.support.server import open_farebox, seed

TURNS: Final = 50


def _submit(committer: Committer, *commands: Command) -> list[asyncio.Task[Outcome]]:
    return [asyncio.create_task(committer.submit(command)) for command in commands]


async def _settle() -> None:
    """Let every task do what it can do without the database."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _results(tasks: list[asyncio.Task[Outcome]]) -> list[Outcome | BaseException]:
    return await asyncio.gather(*tasks, return_exceptions=True)


def _keys_of(scripted: ScriptedConnector) -> list[list[str]]:
    return [[key for _, key in batch] for batch in scripted.batches]


# What shares a batch


async def test_commands_of_one_moment_share_a_batch() -> None:
    scripted = ScriptedConnector()
    async with running_committer(scripted) as committer:
        await _results(_submit(committer, *charges("abc")))
    assert [["a", "b", "c"]] == _keys_of(scripted)


async def test_each_batch_that_is_committed_is_told_of_and_no_other() -> None:
    scripted, told = ScriptedConnector(), list[CommittedBatch]()
    committer = Committer(scripted.connector, SystemClock())
    committer.watch(told.append)
    await committer.start()
    before = time.monotonic_ns()
    await _results(_submit(committer, *charges("abc")))
    scripted.script.append(Fate.FAILS_BEFORE)
    await _results(_submit(committer, charge("d")))
    await committer.close()
    (batch,) = told
    assert list(charges("abc")) == list(batch.commands)
    assert [Code.OK] * 3 == [outcome.code for outcome in batch.outcomes]
    assert before <= batch.steps.begun <= time.monotonic_ns()


async def test_batch_is_whatever_arrived_while_the_last_commit_ran() -> None:
    scripted = ScriptedConnector()
    scripted.hold()
    async with running_committer(scripted) as committer:
        first = _submit(committer, charge("a"))
        await scripted.begun(1)
        second = _submit(committer, *charges("bcd"))
        await _settle()
        assert 1 == len(scripted.batches)
        scripted.release()
        await scripted.begun(2)
        third = _submit(committer, charge("e"))
        scripted.release_all()
        outcomes = await _results([*first, *second, *third])
    assert [["a"], ["b", "c", "d"], ["e"]] == _keys_of(scripted)
    assert all(isinstance(outcome, Outcome) and outcome.is_ok for outcome in outcomes)


async def test_nobody_waits_for_a_batch_to_fill() -> None:
    scripted = ScriptedConnector()
    async with running_committer(scripted) as committer:
        for key in "abc":
            assert (await committer.submit(charge(key))).is_ok
    assert [["a"], ["b"], ["c"]] == _keys_of(scripted)


async def test_batch_has_a_maximum_and_keeps_the_order_of_arrival() -> None:
    scripted = ScriptedConnector()
    keys = [f"{number:02}" for number in range(25)]
    async with running_committer(scripted, batch_commands_max=10) as committer:
        tasks = _submit(committer, *charges(keys))
        await _results(tasks)
        outcomes = [task.result() for task in tasks]
    assert [keys[:10], keys[10:20], keys[20:]] == _keys_of(scripted)
    assert list(range(1, 26)) == [outcome.transfer.seq for outcome in outcomes if outcome.transfer]
    assert (3, 25, 0) == (committer.batches_count, committer.commands_count, committer.waiting_count)


async def test_default_limits_are_those_that_are_documented() -> None:
    assert (20_000, 1_000, 4) == (LIMITS.queue_commands_max, LIMITS.batch_commands_max, LIMITS.workers)


async def test_same_key_twice_in_a_batch_is_as_if_it_came_in_two() -> None:
    scripted = ScriptedConnector()
    async with running_committer(scripted) as committer:
        first, again, other = await _results(_submit(committer, charge("a"), charge("a"), charge("a", quantity=2)))
    assert 1 == len(scripted.batches)
    assert isinstance(first, Outcome)
    assert isinstance(again, Outcome)
    assert isinstance(other, Outcome)
    assert (False, True, Code.IDEMPOTENCY_CONFLICT) == (first.is_replay, again.is_replay, other.code)
    assert first.transfer == again.transfer
    assert UNIT == scripted.spent()


# Groups


async def test_groups_are_never_mixed_and_run_at_the_same_time() -> None:
    scripted = ScriptedConnector(groups=3)
    scripted.hold()
    async with running_committer(scripted) as committer:
        tasks = _submit(
            committer,
            *[charge(f"{merchant}-{turn}", merchant_id=merchant) for turn in range(4) for merchant in range(6)],
        )
        await scripted.begun(3)
        await _settle()
        assert {0: 1, 1: 1, 2: 1} == dict(scripted.running)
        scripted.release_all()
        await _results(tasks)
    assert 3 == len(scripted.batches)
    for batch in scripted.batches:
        assert 1 == len({merchant % 3 for merchant, _ in batch})
    assert all(task.result().is_ok for task in tasks)


async def test_group_has_one_batch_at_a_time() -> None:
    scripted = ScriptedConnector(groups=2)
    scripted.hold()
    async with running_committer(scripted) as committer:
        tasks = _submit(committer, charge("a"))
        await scripted.begun(1)
        tasks += _submit(committer, *charges("bc"))
        tasks += _submit(committer, charge("d", merchant_id=1))
        await scripted.begun(2)
        await _settle()
        assert [["a"], ["d"]] == _keys_of(scripted)
        scripted.release_all()
        await _results(tasks)
    assert {0: 1, 1: 1} == dict(scripted.running_max)


async def test_as_many_groups_run_as_there_are_workers() -> None:
    scripted = ScriptedConnector(groups=8)
    scripted.hold()
    async with running_committer(scripted) as committer:
        tasks = _submit(committer, *[charge("k", merchant_id=merchant) for merchant in range(8)])
        await scripted.begun(4)
        await _settle()
        assert 4 == sum(scripted.running.values())
        scripted.release()
        await scripted.begun(5)
        await _settle()
        assert 4 == sum(scripted.running.values())
        scripted.release_all()
        await _results(tasks)
    assert [[(merchant, "k")] for merchant in range(8)] == scripted.batches


async def test_group_that_has_waited_longest_goes_first() -> None:
    scripted = ScriptedConnector(groups=8)
    scripted.hold()
    async with running_committer(scripted, workers=1) as committer:
        tasks = _submit(committer, charge("k", merchant_id=7))
        await scripted.begun(1)
        tasks += _submit(committer, *[charge("k", merchant_id=merchant) for merchant in (5, 2, 6, 0)])
        await _settle()
        scripted.release_all()
        await _results(tasks)
    assert [[(merchant, "k")] for merchant in (7, 5, 2, 6, 0)] == scripted.batches


async def test_busy_group_starves_no_other() -> None:
    scripted = ScriptedConnector(groups=2)
    async with running_committer(scripted, workers=1, batch_commands_max=2) as committer:
        tasks = _submit(committer, *charges(["0", "1", "2", "3", "4", "5"]), charge("other", merchant_id=1))
        await _results(tasks)
    assert [["0", "1"], ["other"], ["2", "3"], ["4", "5"]] == _keys_of(scripted)


# Answers


async def test_nobody_is_answered_before_the_commit_has_returned() -> None:
    scripted = ScriptedConnector()
    scripted.hold()
    async with running_committer(scripted) as committer:
        tasks = _submit(committer, *charges("ab"))
        await scripted.begun(1)
        await _settle()
        assert not any(task.done() for task in tasks)
        scripted.release()
        outcomes = await _results(tasks)
    assert [scripted.transfers[0, key] for key in "ab"] == [
        outcome.transfer for outcome in outcomes if isinstance(outcome, Outcome)
    ]


async def test_refusals_are_answered_in_their_places() -> None:
    scripted = ScriptedConnector(wallet=2 * UNIT)
    async with running_committer(scripted) as committer:
        tasks = _submit(committer, *charges("abc"), charge("d", merchant_id=99), charge("e", merchant_id=1))
        await _results(tasks)
    assert [Code.OK, Code.OK, Code.INSUFFICIENT_BALANCE, Code.MERCHANT_NOT_FOUND, Code.OK] == [
        task.result().code for task in tasks
    ]


async def test_caller_that_goes_away_takes_nothing_back() -> None:
    scripted = ScriptedConnector()
    scripted.hold()
    async with running_committer(scripted) as committer:
        running = _submit(committer, charge("running"))
        await scripted.begun(1)
        waiting = _submit(committer, *charges(["waiting", "staying"]))
        await _settle()
        running[0].cancel()
        waiting[0].cancel()
        await _settle()
        scripted.release_all()
        assert (await waiting[1]).is_ok
        assert running[0].cancelled()
        assert waiting[0].cancelled()
        assert 3 * UNIT == scripted.spent()
        for key in ("running", "waiting"):
            outcome = await committer.submit(charge(key))
            assert outcome.is_ok
            assert outcome.is_replay
    assert 3 * UNIT == scripted.spent()


async def test_outcomes_of_many_come_in_their_order_each_on_its_own() -> None:
    scripted = ScriptedConnector(groups=8, wallet=2 * UNIT)
    scripted.poisoned.add(3)
    commands = [charge(f"k{number}", merchant_id=number % 3) for number in range(9)]
    async with running_committer(scripted) as committer:
        results = await committer.submit_all(commands)
        assert [] == await committer.submit_all([])
    codes = [result.code for result in results if isinstance(result, Outcome)]
    assert [Code.OK] * 6 + [Code.INSUFFICIENT_BALANCE] * 3 == codes
    owners = [result.transfer.merchant_id for result in results if isinstance(result, Outcome) and result.transfer]
    assert [0, 1, 2, 0, 1, 2] == owners


async def test_one_of_many_that_fails_leaves_the_others_be() -> None:
    scripted = ScriptedConnector(groups=2)
    scripted.script.append(Fate.FAILS_BEFORE)
    async with running_committer(scripted) as committer:
        results = await committer.submit_all([charge("a"), charge("b", merchant_id=1), charge("c")])
    assert isinstance(results[0], Unavailable)
    assert isinstance(results[1], Outcome)
    assert isinstance(results[2], Unavailable)
    assert (0, UNIT) == (scripted.spent(0), scripted.spent(1))


# A full queue, and the end


async def test_full_queue_refuses_the_next_and_loses_nothing() -> None:
    scripted = ScriptedConnector()
    scripted.hold()
    async with running_committer(scripted, queue_commands_max=3) as committer:
        running = _submit(committer, charge("running"))
        await scripted.begun(1)
        waiting = _submit(committer, *charges("abc"))
        await _settle()
        assert 3 == committer.waiting_count
        for _ in range(2):
            with pytest.raises(Overloaded):
                await committer.submit(charge("too much"))
        with pytest.raises(Overloaded):
            await committer.submit_all(charges("x"))
        scripted.release_all()
        outcomes = await _results([*running, *waiting])
        assert all(isinstance(outcome, Outcome) and outcome.is_ok for outcome in outcomes)
        assert not (await committer.submit(charge("too much"))).is_replay
    assert 5 * UNIT == scripted.spent()


async def test_many_are_accepted_together_or_not_at_all() -> None:
    scripted = ScriptedConnector()
    async with running_committer(scripted, queue_commands_max=3) as committer:
        with pytest.raises(Overloaded):
            await committer.submit_all(charges("abcd"))
        assert 0 == committer.waiting_count
        assert 3 == len(await committer.submit_all(charges("abc")))
    assert 3 * UNIT == scripted.spent()


async def test_close_answers_all_that_was_accepted() -> None:
    scripted = ScriptedConnector(groups=4)
    scripted.hold()
    async with running_committer(scripted) as committer:
        tasks = _submit(committer, *[charge(f"k{number}", merchant_id=number % 8) for number in range(40)])
        await scripted.begun(4)
        late = _submit(committer, *charges("xyz"))
        await _settle()
        closing = asyncio.create_task(committer.close())
        await _settle()
        assert not closing.done()
        with pytest.raises(Overloaded):
            await committer.submit(charge("after"))
        scripted.release_all()
        await closing
        assert all(task.done() and task.result().is_ok for task in [*tasks, *late])
        await committer.close()
    assert 43 == len(scripted.transfers)


async def test_close_with_nothing_to_do_ends_at_once() -> None:
    committer = Committer(ScriptedConnector().connector, SystemClock())
    await committer.start()
    await _settle()
    await committer.close()
    with pytest.raises(Overloaded):
        await committer.submit_all(charges("a"))


async def test_what_came_before_the_start_is_not_lost() -> None:
    scripted = ScriptedConnector()
    committer = Committer(scripted.connector, SystemClock())
    tasks = _submit(committer, *charges("ab"))
    await _settle()
    await committer.start()
    await _results(tasks)
    await committer.close()
    assert 2 * UNIT == scripted.spent()


# A database that is away before COMMIT


@pytest.mark.parametrize("fate", [Fate.FAILS_BEFORE, Fate.FAILS_AFTER_DECIDING])
async def test_database_that_is_away_is_told_to_exactly_the_callers_of_that_batch(fate: Fate) -> None:
    scripted = ScriptedConnector()
    scripted.script.extend([None, fate, None])
    scripted.hold()
    async with running_committer(scripted) as committer:
        first = _submit(committer, charge("a"))
        await scripted.begun(1)
        second = _submit(committer, *charges("bc"))
        await _settle()
        scripted.release()
        await scripted.begun(2)
        third = _submit(committer, charge("d"))
        await _settle()
        scripted.release_all()
        outcomes = await _results([*first, *second, *third])
        assert [False, True, True, False] == [isinstance(outcome, Unavailable) for outcome in outcomes]
        assert outcomes[1] is not outcomes[2]
        assert 2 * UNIT == scripted.spent()
        again = await committer.submit(charge("b"))
        assert (True, False) == (again.is_ok, again.is_replay)
    assert 3 * UNIT == scripted.spent()


async def test_a_long_queue_learns_of_a_database_that_is_away_from_one_batch() -> None:
    scripted = ScriptedConnector()
    scripted.script.append(Fate.FAILS_BEFORE)
    scripted.hold()
    async with running_committer(scripted, batch_commands_max=2, wait_seconds_max=0) as committer:
        first = _submit(committer, charge("a"))
        await scripted.begun(1)
        waiting = _submit(committer, *charges("bcdef"))
        await _settle()
        assert 5 == committer.waiting_count
        scripted.release()
        assert all(isinstance(result, Unavailable) for result in await _results([*first, *waiting]))
        assert ([["a"]], 0) == (_keys_of(scripted), committer.waiting_count)
        scripted.release_all()
        assert (await committer.submit(charge("b"))).is_ok
    assert UNIT == scripted.spent()


# A COMMIT of which nobody knows


@pytest.mark.parametrize("fate", [Fate.LOSES_COMMIT, Fate.HIDES_COMMIT])
@pytest.mark.parametrize("misses", [0, 1, 5])
async def test_unknown_commit_is_looked_up_until_the_truth_is_known(fate: Fate, misses: int) -> None:
    scripted = ScriptedConnector()
    scripted.script.extend([fate, *[Fate.FAILS_BEFORE] * misses])
    async with running_committer(scripted) as committer:
        first, again, other = await committer.submit_all([charge("a"), charge("a"), charge("b", quantity=3)])
        assert 2 + misses == len(scripted.batches)
        # A look-up waits for a COMMIT that may run still.
        assert [False, *[True] * (1 + misses)] == scripted.locks_wanted
        assert isinstance(first, Outcome)
        assert isinstance(again, Outcome)
        assert isinstance(other, Outcome)
        # To the first caller nothing is a replay, by either COMMIT.
        assert [(True, False), (True, True), (True, False)] == [
            (outcome.is_ok, outcome.is_replay) for outcome in (first, again, other)
        ]
        assert [scripted.transfers[0, "a"], scripted.transfers[0, "b"]] == [first.transfer, other.transfer]
        assert 4 * UNIT == scripted.spent()
        assert (await committer.submit(charge("a"))).is_replay
    assert 4 * UNIT == scripted.spent()


async def test_true_replay_stays_one_when_its_commit_is_unknown() -> None:
    scripted = ScriptedConnector()
    async with running_committer(scripted) as committer:
        await committer.submit(charge("a"))
        scripted.script.append(Fate.HIDES_COMMIT)
        old, new = await committer.submit_all(charges("ab"))
        assert isinstance(old, Outcome)
        assert isinstance(new, Outcome)
    assert (True, False) == (old.is_replay, new.is_replay)
    assert 2 * UNIT == scripted.spent()


@pytest.mark.parametrize("fate", [Fate.LOSES_COMMIT, Fate.HIDES_COMMIT])
async def test_commit_that_fails_twice_is_told_as_it_is(fate: Fate) -> None:
    scripted = ScriptedConnector()
    scripted.script.extend([Fate.LOSES_COMMIT, fate])
    async with running_committer(scripted) as committer:
        results = await committer.submit_all(charges("ab"))
        assert 3 == len(scripted.batches)
        if fate is Fate.HIDES_COMMIT:
            assert [(True, False)] * 2 == [
                (result.is_ok, result.is_replay) for result in results if isinstance(result, Outcome)
            ]
        else:
            # It is known that nothing was committed, and to try for ever would help nobody.
            assert all(isinstance(result, Unavailable) for result in results)
            assert 0 == scripted.spent()
        assert fate is Fate.HIDES_COMMIT or not (await committer.submit(charge("a"))).is_replay


async def test_disk_that_stays_full_is_told_to_every_batch(caplog: pytest.LogCaptureFixture) -> None:
    scripted = ScriptedConnector()
    scripted.always = Fate.LOSES_COMMIT
    caplog.set_level(logging.INFO)
    async with running_committer(scripted) as committer:
        for key in "abc":
            with pytest.raises(Unavailable):
                await committer.submit(charge(key))
        scripted.always = None
        assert [False] * 3 == [(await committer.submit(charge(key))).is_replay for key in "abc"]
    assert 3 * UNIT == scripted.spent()
    # Once, however many meet it, and once that it is over.
    assert 1 == caplog.text.count("batches are looked up")
    assert 1 == caplog.text.count("batches are committed again")


@pytest.mark.parametrize("fate", [Fate.LOSES_COMMIT, Fate.HIDES_COMMIT])
async def test_fate_that_stays_unknown_is_told_as_unknown_and_settled_by_a_retry(fate: Fate) -> None:
    scripted = ScriptedConnector()
    scripted.script.append(fate)
    scripted.always = Fate.FAILS_BEFORE
    async with running_committer(scripted, lookup_seconds_max=0.02) as committer:
        results = await committer.submit_all(charges("ab"))
        assert all(isinstance(result, FateUnknown) for result in results)
        assert len(scripted.batches) > 2
        with pytest.raises(Unavailable):
            await committer.submit(charge("a"))
        scripted.always = None
        for key in "ab":
            outcome = await committer.submit(charge(key))
            assert (True, fate is Fate.HIDES_COMMIT) == (outcome.is_ok, outcome.is_replay)
    assert 2 * UNIT == scripted.spent()


async def test_batches_behind_an_unknown_one_wait_and_go_through() -> None:
    scripted = ScriptedConnector()
    scripted.script.extend([Fate.HIDES_COMMIT, Fate.FAILS_BEFORE, Fate.FAILS_BEFORE])
    scripted.hold()
    async with running_committer(scripted) as committer:
        unknown = _submit(committer, charge("a"))
        await scripted.begun(1)
        behind = _submit(committer, *charges("bc"))
        await _settle()
        scripted.release_all()
        outcomes = await _results([*unknown, *behind])
    assert [(True, False)] * 3 == [
        (outcome.is_ok, outcome.is_replay) for outcome in outcomes if isinstance(outcome, Outcome)
    ]
    assert [["a"]] * 4 + [["b", "c"]] == _keys_of(scripted)


class _Meanwhile(ScriptedConnector):
    """Lets another process commit between a COMMIT that fails and its look-up."""

    def __init__(self, *commands: Command, wallet: int = 1000 * UNIT) -> None:
        super().__init__(wallet=wallet)
        self.commands = commands

    def _load(self, wanted: ReadSet) -> BatchState:
        if len(self.batches) == 2 and self.commands:
            commands, self.commands = self.commands, ()
            batch = super()._load(reads(commands, 1))
            self.apply(decide(batch, commands, 1))
        return super()._load(wanted)


async def test_refusal_of_a_committed_batch_stays_what_it_was() -> None:
    scripted = _Meanwhile(TopUp(0, 50 * UNIT, "INV-2"), wallet=UNIT)
    scripted.script.append(Fate.HIDES_COMMIT)
    async with running_committer(scripted) as committer:
        paid, refused = await committer.submit_all(charges("ab"))
        assert isinstance(paid, Outcome)
        assert isinstance(refused, Outcome)
        assert [Code.OK, Code.INSUFFICIENT_BALANCE] == [paid.code, refused.code]
        assert UNIT == scripted.spent()
        assert (await committer.submit(charge("b"))).is_ok
    assert 2 * UNIT == scripted.spent()


async def test_retry_that_went_through_elsewhere_is_a_replay_here() -> None:
    scripted = _Meanwhile(charge("a"))
    scripted.script.append(Fate.LOSES_COMMIT)
    async with running_committer(scripted) as committer:
        there, here = await committer.submit_all(charges("ab"))
        assert isinstance(there, Outcome)
        assert isinstance(here, Outcome)
    assert [(True, True), (True, False)] == [(it.is_ok, it.is_replay) for it in (there, here)]
    assert 2 * UNIT == scripted.spent()


async def test_answer_is_the_charge_that_is_in_the_book_not_the_one_that_was_lost() -> None:
    scripted = _Meanwhile(TopUp(0, UNIT, "INV-2"), charge("a"))
    scripted.script.append(Fate.LOSES_COMMIT)
    async with running_committer(scripted) as committer:
        outcome = await committer.submit(charge("a"))
    assert (True, scripted.transfers[0, "a"]) == (outcome.is_replay, outcome.transfer)
    assert UNIT == scripted.spent()


async def test_key_that_was_used_elsewhere_for_something_else_is_a_conflict_here() -> None:
    scripted = _Meanwhile(charge("a", quantity=7))
    scripted.script.append(Fate.LOSES_COMMIT)
    async with running_committer(scripted) as committer:
        assert Code.IDEMPOTENCY_CONFLICT is (await committer.submit(charge("a"))).code
    assert 7 * UNIT == scripted.spent()


@pytest.mark.parametrize("fate", [Fate.LOSES_COMMIT, Fate.HIDES_COMMIT])
async def test_settings_of_an_unknown_commit_hold_in_the_end(fate: Fate) -> None:
    scripted = ScriptedConnector()
    scripted.script.append(fate)
    async with running_committer(scripted) as committer:
        results = await committer.submit_all([SetCreditLimit(0, 5 * UNIT), SetFrozen(1, True)])
        assert [Code.OK, Code.OK] == [result.code for result in results if isinstance(result, Outcome)]
    assert (5 * UNIT, True) == (scripted.accounts[0].credit_limit, scripted.accounts[1].is_frozen)


async def test_crash_of_a_look_up_moves_nothing_twice(caplog: pytest.LogCaptureFixture) -> None:
    scripted = ScriptedConnector()
    scripted.script.extend([Fate.HIDES_COMMIT, Fate.CRASHES])
    async with running_committer(scripted) as committer:
        results = await committer.submit_all(charges("ab"))
        assert all(isinstance(result, Outcome) and result.is_ok for result in results)
    assert 2 * UNIT == scripted.spent()


# Unforeseen errors


@pytest.mark.parametrize("place", range(9))
async def test_one_command_that_cannot_be_decided_fails_alone(place: int, caplog: pytest.LogCaptureFixture) -> None:
    scripted = ScriptedConnector(merchants=9)
    scripted.poisoned.add(place)
    async with running_committer(scripted) as committer:
        outcomes = await _results(_submit(committer, *[charge("k", merchant_id=merchant) for merchant in range(9)]))
        assert (await committer.submit(charge("next", merchant_id=(place + 1) % 9))).is_ok
    assert [merchant == place for merchant in range(9)] == [
        isinstance(outcome, InvariantViolation) for outcome in outcomes
    ]
    assert [0 if merchant == place else UNIT for merchant in range(9) if merchant != (place + 1) % 9] == [
        scripted.spent(merchant) for merchant in range(9) if merchant != (place + 1) % 9
    ]
    assert 1 == len([record for record in caplog.records if record.levelno == logging.ERROR])
    assert "Charge" in caplog.text


@pytest.mark.parametrize("places", [{0}, {8}, {2, 6}], ids=str)
async def test_what_the_database_fails_at_is_refused_alone(places: set[int]) -> None:
    """A damaged page of one merchant's keeps nobody else from charging."""
    scripted = ScriptedConnector(merchants=9)
    scripted.damaged |= places
    async with running_committer(scripted) as committer:
        outcomes = await _results(_submit(committer, *[charge("k", merchant_id=merchant) for merchant in range(9)]))
    assert places == {place for place, outcome in enumerate(outcomes) if isinstance(outcome, Unavailable)}
    assert [0 if merchant in places else UNIT for merchant in range(9)] == [scripted.spent(it) for it in range(9)]


async def test_a_database_that_fails_at_everything_is_not_asked_about_each_command() -> None:
    scripted = ScriptedConnector()
    scripted.always = Fate.FAULTY
    async with running_committer(scripted) as committer:
        outcomes = await _results(_submit(committer, *charges([f"k{number}" for number in range(500)])))
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert 2 * FAULTY_SPLITS_MAX + 1 == len(scripted.batches)
    assert 0 == scripted.spent()


async def test_crash_that_passes_hurts_nobody() -> None:
    scripted = ScriptedConnector()
    scripted.script.append(Fate.CRASHES)
    async with running_committer(scripted) as committer:
        results = await committer.submit_all(charges("abcd"))
    assert all(isinstance(result, Outcome) and result.is_ok and not result.is_replay for result in results)
    assert 4 * UNIT == scripted.spent()


async def test_crash_of_one_of_many_is_raised_once_all_are_done() -> None:
    scripted = ScriptedConnector(merchants=3)
    scripted.poisoned.add(1)
    async with running_committer(scripted) as committer:
        with pytest.raises(InvariantViolation):
            await committer.submit_all([charge("k", merchant_id=merchant) for merchant in range(3)])
    assert [UNIT, 0, UNIT] == [scripted.spent(merchant) for merchant in range(3)]


async def test_caller_that_has_gone_is_no_trouble_for_a_crash() -> None:
    scripted = ScriptedConnector()
    scripted.script.extend([Fate.CRASHES, Fate.FAILS_BEFORE])
    scripted.hold()
    async with running_committer(scripted) as committer:
        gone = _submit(committer, charge("a"))
        await scripted.begun(1)
        behind = _submit(committer, charge("b"))
        await _settle()
        gone[0].cancel()
        behind[0].cancel()
        await _settle()
        scripted.release(2)
        await scripted.begun(2)
        await _settle()
        assert not scripted.running.total()
        scripted.release_all()
        assert (await committer.submit(charge("c"))).is_ok
    assert UNIT == scripted.spent()


# Any order of failures

_fates = st.lists(st.sampled_from([None, *Fate]), max_size=20)


@given(fates=_fates, retries=st.integers(1, 4), batch=st.integers(1, 3))
async def test_money_moves_exactly_once_whatever_becomes_of_commits(
    fates: list[Fate | None], retries: int, batch: int
) -> None:
    scripted = ScriptedConnector(merchants=3)
    scripted.script.extend(fates)
    keys = [f"k{number}" for number in range(6)]
    seen: dict[str, list[Outcome]] = {key: [] for key in keys}

    async def ask(committer: Committer, key: str) -> None:
        for _ in range(retries + len(fates)):
            try:
                seen[key].append(await committer.submit(charge(key)))
            except (ServiceError, InvariantViolation):
                continue
            if len(seen[key]) >= retries:
                return

    async with running_committer(scripted, batch_commands_max=batch) as committer:
        await asyncio.gather(*[ask(committer, key) for key in keys])
    acknowledged = {key for key, outcomes in seen.items() if outcomes}
    assert acknowledged <= {key for _, key in scripted.transfers}
    assert len(scripted.transfers) * UNIT == scripted.spent()
    for outcomes in seen.values():
        assert all(outcome.is_ok for outcome in outcomes)
        assert 1 >= len({outcome.transfer.id for outcome in outcomes if outcome.transfer})


async def test_two_committers_on_one_file_never_spend_what_is_not_there(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(database) as one, open_farebox(database) as other:
        seeds = await seed(one, balance="0.50")
        commands = [Charge(Payer(seeds.merchant_id), "image", 1, f"k{number}") for number in range(120)]
        committers = (one.committer, other.committer)
        outcomes = await asyncio.gather(
            *[committers[number % 2].submit(command) for number, command in enumerate(commands)]
        )
        codes = [outcome.code for outcome in outcomes]
        assert (50, 70) == (codes.count(Code.OK), codes.count(Code.INSUFFICIENT_BALANCE))
        for number, (command, outcome) in enumerate(zip(commands, outcomes, strict=True)):
            again = await committers[(number + 1) % 2].submit(command)
            assert (outcome.code, outcome.transfer, outcome.is_ok) == (again.code, again.transfer, again.is_replay)
        account = await one.stores.accounts.find(seeds.merchant_id)
        assert account is not None
        assert (0, 51) == (account.wallet, account.seq)


async def test_a_dry_run_tells_what_a_command_would_come_to_and_writes_nothing() -> None:
    scripted = ScriptedConnector()
    async with running_committer(scripted) as committer:
        would = await committer.dry_run(charge("one"))
        assert 0 == scripted.spent()
        did = await committer.submit(charge("one"))
        assert (would.code, would.transfer and would.transfer.wallet_after) == (
            did.code,
            did.transfer and did.transfer.wallet_after,
        )
        again = await committer.dry_run(charge("one"))
        assert (True, did.transfer) == (again.is_replay, again.transfer)
        assert Code.IDEMPOTENCY_CONFLICT is (await committer.dry_run(charge("one", quantity=2))).code
        assert Code.INSUFFICIENT_BALANCE is (await committer.dry_run(charge("two", quantity=10_000))).code
        assert (UNIT, 1) == (scripted.spent(), committer.commands_count)


@pytest.mark.parametrize("fate", [Fate.FAILS_BEFORE, Fate.FAILS_AFTER_DECIDING])
async def test_a_dry_run_without_a_database_says_so(fate: Fate) -> None:
    scripted = ScriptedConnector()
    scripted.script.append(fate)
    async with running_committer(scripted) as committer:
        with pytest.raises(Unavailable):
            await committer.dry_run(charge("one"))
