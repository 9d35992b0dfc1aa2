"""The short form of the fuzzing; `make fuzz` tries a million inputs."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest

from tests.fuzz.campaign import PARTS, campaign
from tests.fuzz.making import any_text
from tests.fuzz.target import Target, fuzz
from tests.fuzz.whole import SHARES, Whole, open_whole, whole_targets

SEED: Final = 1
INPUTS_PER_SHARE: Final = 15


@pytest.fixture(scope="module")
def whole() -> Iterator[Whole]:
    with open_whole() as whole:
        yield whole


@pytest.mark.parametrize("target", PARTS, ids=lambda target: target.name)
def test_inputs_are_taken_for_what_they_are_or_refused_by_name(target: Target[Any]) -> None:
    tally = fuzz(target, inputs=INPUTS_PER_SHARE * target.share, seed=SEED)
    assert not tally.failures, "\n".join(tally.told)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SHARES)
def test_no_request_is_answered_by_a_fault_of_the_server(whole: Whole, name: str) -> None:
    (target,) = [target for target in whole_targets(whole) if target.name == name]
    tally = fuzz(target, inputs=INPUTS_PER_SHARE * target.share, seed=SEED)
    assert not tally.failures, "\n".join(tally.told)


def test_what_was_asked_made_transfers_that_verify(whole: Whole) -> None:
    """The last test of this file but one: the requests above got as far as the ledger."""
    assert whole.verify() > 10


def test_an_input_that_breaks_its_reader_is_told_with_its_seed() -> None:
    def check(text: str) -> None:
        assert "9" not in text

    tally = fuzz(Target("texts", any_text, check, 1), inputs=500, seed=SEED)
    assert 500 == tally.inputs
    assert tally.failures > 5
    assert 5 == len(tally.told)
    number = int(tally.told[0].partition("input ")[2].partition(":")[0])
    assert "9" in any_text(Random(f"{SEED} texts {number}"))


@pytest.mark.timeout(120)
def test_a_campaign_tries_what_it_was_asked_for() -> None:
    (*_, found) = campaign(60, seed=SEED, processes=2)
    assert {target.name for target in PARTS} | SHARES.keys() == found.inputs.keys()
    assert 60 <= found.inputs.total() <= 60 + len(found.inputs)
    assert not found.failures, "\n".join(found.told)
