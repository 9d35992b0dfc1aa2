"""A large batch is divided where the engine commits several at a time: who goes together, and what each comes to."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.commands import Charge
from farebox.core.outcomes import Code, Outcome
from farebox.service.errors import FateUnknown, ServiceError, Unavailable
from farebox.service.ledger.committer import FAULTY_SPLITS_MAX
from tests.service.scripted import UNIT, Fate, ScriptedConnector, charge, running_committer

MERCHANTS: Final = 8
AT_ONCE: Final = 4
EACH: Final = [charge(f"{merchant_id}{place}", merchant_id=merchant_id) for place in "ab" for merchant_id in range(8)]
"""Two charges of each merchant, those of one never side by side."""


async def _submitted(
    scripted: ScriptedConnector, commands: Sequence[Charge] = EACH, **limits: Any
) -> list[Outcome | ServiceError]:
    async with running_committer(scripted, **{"part_commands_min": 1, **limits}) as committer:
        return await committer.submit_all(commands)


def _merchants(scripted: ScriptedConnector) -> list[list[int]]:
    return [sorted({merchant_id for merchant_id, _ in batch}) for batch in scripted.batches]


# Which commands go together


async def test_parts_have_no_merchant_in_common_and_are_of_one_size() -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    await _submitted(scripted)
    assert [[0, 1], [2, 3], [4, 5], [6, 7]] == _merchants(scripted)
    assert [4] * 4 == [len(batch) for batch in scripted.batches]


async def test_parts_are_committed_at_the_same_time() -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    scripted.hold()
    async with running_committer(scripted, part_commands_min=1) as committer:
        submitted = asyncio.create_task(committer.submit_all(EACH))
        await scripted.begun(AT_ONCE)
        assert AT_ONCE == scripted.running_max[0]
        scripted.release_all()
        assert 16 == len(await submitted)


async def test_what_comes_meanwhile_waits_for_all_parts() -> None:
    scripted = ScriptedConnector(batches_at_once=2)
    scripted.hold()
    async with running_committer(scripted, part_commands_min=1) as committer:
        first = asyncio.create_task(committer.submit_all(EACH))
        await scripted.begun(2)
        later = asyncio.create_task(committer.submit(charge("later")))
        scripted.release()
        await asyncio.sleep(0.01)
        assert 2 == len(scripted.batches)
        scripted.release_all()
        assert (await later).is_ok
        await first


@pytest.mark.parametrize(
    ("at_once", "part_commands_min", "batches"),
    [
        pytest.param(1, 1, 1, id="an engine with one writer"),
        pytest.param(4, 9, 1, id="too few for two parts"),
        pytest.param(4, 8, 2, id="just enough for two"),
        pytest.param(4, 5, 3, id="enough for three"),
        pytest.param(4, 4, 4, id="enough for as many as the engine commits"),
        pytest.param(99, 1, 8, id="as many parts as merchants"),
    ],
)
async def test_a_batch_is_divided_as_far_as_its_parts_stay_large(
    at_once: int, part_commands_min: int, batches: int
) -> None:
    scripted = ScriptedConnector(batches_at_once=at_once)
    await _submitted(scripted, part_commands_min=part_commands_min)
    assert batches == len(scripted.batches)


async def test_charges_of_one_merchant_are_one_batch() -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    found = await _submitted(scripted, [charge(str(number)) for number in range(16)])
    assert [16] == [len(batch) for batch in scripted.batches]
    seqs = [outcome.transfer.seq for outcome in found if isinstance(outcome, Outcome) and outcome.transfer]
    assert list(range(1, 17)) == seqs


async def test_a_server_divides_batches_of_four_hundred_and_more() -> None:
    scripted = ScriptedConnector(merchants=500, batches_at_once=AT_ONCE)
    many = [charge("a", merchant_id=number) for number in range(500)]
    async with running_committer(scripted) as committer:
        await committer.submit_all(many[:399])
        assert [399] == [len(batch) for batch in scripted.batches]
        await committer.submit_all(many[:400])
        assert [399, 200, 200] == [len(batch) for batch in scripted.batches]


@given(
    merchants=st.lists(st.integers(0, MERCHANTS - 1), min_size=1, max_size=40),
    at_once=st.integers(1, 6),
    part_commands_min=st.integers(1, 10),
)
async def test_each_is_answered_as_if_it_were_alone_in_its_merchants_order(
    merchants: list[int], at_once: int, part_commands_min: int
) -> None:
    scripted = ScriptedConnector(batches_at_once=at_once)
    commands = [charge(str(place), merchant_id=number) for place, number in enumerate(merchants)]
    found = await _submitted(scripted, commands, part_commands_min=part_commands_min)
    seqs: Counter[int] = Counter()
    for command, outcome in zip(commands, found, strict=True):
        assert isinstance(outcome, Outcome)
        assert outcome.transfer is not None
        seqs[command.merchant_id] += 1
        assert (command.merchant_id, command.idempotency_key, seqs[command.merchant_id]) == (
            outcome.transfer.merchant_id,
            outcome.transfer.idempotency_key,
            outcome.transfer.seq,
        )
    assert len(scripted.batches) <= max(1, min(at_once, len(commands) // part_commands_min))
    seen = [number for batch in _merchants(scripted) for number in batch]
    assert sorted(set(merchants)) == sorted(seen), "a merchant is in one part"


# A part in which something goes wrong leaves the others be


def _by_merchant(found: Sequence[Outcome | ServiceError]) -> dict[int, set[type]]:
    types: dict[int, set[type]] = {}
    for command, result in zip(EACH, found, strict=True):
        types.setdefault(command.merchant_id, set()).add(type(result))
    return types


async def test_a_part_that_fails_ahead_of_its_commit_fails_alone() -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    scripted.script.extend([None, Fate.FAILS_BEFORE])
    found = await _submitted(scripted)
    assert {number: {Unavailable if number in (2, 3) else Outcome} for number in range(8)} == _by_merchant(found)
    assert [2 * UNIT, 0] == [scripted.spent(0), scripted.spent(2)]


@pytest.mark.parametrize("fate", [Fate.HIDES_COMMIT, Fate.LOSES_COMMIT])
async def test_a_part_of_unknown_fate_is_looked_up_and_every_charge_is_made_once(fate: Fate) -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    scripted.script.extend([None, None, fate])
    found = await _submitted(scripted)
    assert {Code.OK} == {result.code for result in found if isinstance(result, Outcome)}
    assert [2 * UNIT] * 8 == [scripted.spent(number) for number in range(8)]


async def test_a_part_whose_fate_stays_unknown_is_told_of_alone() -> None:
    scripted = ScriptedConnector(batches_at_once=2)
    scripted.script.extend([Fate.LOSES_COMMIT, None, Fate.LOSES_COMMIT])
    found = await _submitted(scripted, lookup_seconds_max=0.0)
    assert {number: {FateUnknown if number < 4 else Outcome} for number in range(8)} == _by_merchant(found)


async def test_a_merchant_that_cannot_be_read_fails_alone() -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    scripted.damaged = {5}
    found = await _submitted(scripted)
    assert {number: {Unavailable if number == 5 else Outcome} for number in range(8)} == _by_merchant(found)


async def test_parts_together_ask_a_failing_database_no_more_often() -> None:
    scripted = ScriptedConnector(batches_at_once=AT_ONCE)
    scripted.always = Fate.FAULTY
    many = [charge(f"{merchant_id}{place}", merchant_id=merchant_id) for place in range(40) for merchant_id in range(8)]
    found = await _submitted(scripted, many)
    assert {Unavailable} == {type(result) for result in found}
    assert len(scripted.batches) <= AT_ONCE + 2 * FAULTY_SPLITS_MAX
