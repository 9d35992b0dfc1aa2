"""The short form of the file torture; `make torture` runs the long one."""

from pathlib import Path

import pytest

from tests.torture.files import file_torture


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed_number", [1])
async def test_a_file_that_is_taken_away_and_put_back_under_load_loses_nothing(
    tmp_path: Path, seed_number: int
) -> None:
    figures, transfers = await file_torture(tmp_path, rounds=8, seed_number=seed_number)
    assert 8 == figures.rounds
    assert figures.done > 100
    assert figures.unanswered > 0
    assert transfers > figures.done
