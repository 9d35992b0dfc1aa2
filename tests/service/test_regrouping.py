"""A batch whose merchants are in several groups by the time that it is committed goes on by the new groups."""

import asyncio
from collections.abc import Mapping
from typing import Final

import pytest

from farebox.core.outcomes import Outcome
from farebox.core.state import Decision, ReadSet
from farebox.service.clock import SystemClock
from farebox.service.errors import ServiceError, Unavailable
from farebox.service.ledger.committer import FAULTY_SPLITS_MAX, Committer
from farebox.storage.batch_steps import BatchSteps
from farebox.storage.interface import Decide, GroupsChanged
from tests.service.scripted import UNIT, WAIT_S, ScriptedConnector, charge

KEYS: Final = {key: merchant_id for merchant_id in range(4) for key in (f"{merchant_id}a", f"{merchant_id}b")}


class _Splitting(ScriptedConnector):
    """Has one group, until a batch comes: then it has twice as many, so many times."""

    def __init__(self, splits: int) -> None:
        super().__init__(groups=1)
        self._splits = splits

    async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
        if self._splits:
            self._splits -= 1
            self._groups *= 2
        if len({self.route(merchant_id) for merchant_id in reads.merchant_ids}) > 1:
            self.batches.append(list(reads.idempotency_keys))
            raise GroupsChanged("the tables were divided anew")
        return await super().transact(reads, decide, steps)


async def _results(scripted: ScriptedConnector) -> Mapping[str, Outcome | ServiceError]:
    committer = Committer(scripted.connector, SystemClock())
    await committer.start()
    async with asyncio.timeout(WAIT_S):
        found = await committer.submit_all([charge(key, merchant_id=number) for key, number in KEYS.items()])
    await committer.close()
    return dict(zip(KEYS, found, strict=True))


async def test_a_batch_of_a_group_that_was_split_is_committed_group_by_group() -> None:
    scripted = _Splitting(splits=1)
    found = await _results(scripted)
    assert all(isinstance(outcome, Outcome) and outcome.is_ok for outcome in found.values())
    batches = [sorted(key for _, key in batch) for batch in scripted.batches]
    assert [sorted(KEYS), ["0a", "0b", "2a", "2b"], ["1a", "1b", "3a", "3b"]] == batches
    assert [2 * UNIT] * 4 == [scripted.spent(number) for number in range(4)]


@pytest.mark.parametrize("key", ["0a", "3b"])
async def test_each_caller_gets_the_outcome_of_its_own(key: str) -> None:
    outcome = (await _results(_Splitting(splits=1)))[key]
    assert isinstance(outcome, Outcome)
    assert outcome.transfer is not None
    assert (KEYS[key], key) == (outcome.transfer.merchant_id, outcome.transfer.idempotency_key)


async def test_what_is_split_again_meanwhile_is_divided_further() -> None:
    scripted = _Splitting(splits=2)
    found = await _results(scripted)
    assert all(isinstance(outcome, Outcome) and outcome.is_ok for outcome in found.values())
    assert [2 * UNIT] * 4 == [scripted.spent(number) for number in range(4)]


async def test_callers_are_told_to_try_again_if_no_division_is_of_any_use() -> None:
    class Refusing(ScriptedConnector):
        async def transact(self, reads: ReadSet, decide: Decide, steps: BatchSteps | None = None) -> Decision:
            self.batches.append(list(reads.idempotency_keys))
            raise GroupsChanged("the tables were divided anew")

    scripted = Refusing()
    found = await _results(scripted)
    assert {Unavailable} == {type(error) for error in found.values()}
    assert 1 + FAULTY_SPLITS_MAX == len(scripted.batches)
