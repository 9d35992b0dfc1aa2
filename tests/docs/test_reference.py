"""The reference that is written from the code is what the code says now."""

import re

import pytest

from farebox_client import errors
from tests.tidy.files import ROOT
from tools import reference


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_reference_is_up_to_date(page: str) -> None:
    assert reference.PAGES[page]() == (reference.FOLDER / page).read_text(encoding="utf-8"), "run `make reference`"


def test_outcomes_are_those_that_the_api_names() -> None:
    """The overview of the API has the same names, with the same statuses."""
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| (`[a-z_`, ]+) \|", page, re.MULTILINE)
    named = {name: int(status) for status, names in rows for name in re.findall(r"`(\w+)`", names)}
    assert named == {name: status for name, status in _statuses().items() if name in named}
    assert _statuses().keys() == errors.BY_CODE.keys() - {"unreachable", "unexpected_answer"}


def _statuses() -> dict[str, int]:
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \|", reference.outcomes(), re.MULTILINE)
    return {name: int(status) for name, status in rows}
