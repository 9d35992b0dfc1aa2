"""Imports over a ledger: whatever files there are, twice or in parts, they come to the same books."""

import shutil
from pathlib import Path
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farebox.core.ids import NUMBER_MAX
from farebox.core.staff_roles import EVERY_ROLE
from farebox.service.importing.rows import merchant_id_of
from farebox.service.people.api_keys import Principal
from tests.support.server import open_farebox

ANN: Final = Principal("ann", roles=EVERY_ROLE)

references = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
books = st.dictionaries(references, st.integers(0, 10**12), max_size=12)


def write(folder: Path, book: dict[str, int]) -> Path:
    folder.mkdir()
    quoted = {reference: '"' + reference.replace('"', '""') + '"' for reference in book}
    merchants = "".join(f"{quoted[reference]},M,USD\r\n" for reference in book)
    balances = "".join(f"{quoted[reference]},{cents // 100}.{cents % 100:02}\r\n" for reference, cents in book.items())
    (folder / "merchants.csv").write_bytes(f"reference,name,currency\r\n{merchants}".encode("utf-8-sig"))
    (folder / "balances.csv").write_bytes(f"reference,balance\r\n{balances}".encode())
    return folder


@given(first=books, second=books)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
async def test_files_that_overlap_come_to_one_book_for_each_reference(
    tmp_path: Path, first: dict[str, int], second: dict[str, int]
) -> None:
    """Of a balance that both files have, both have to say the same: so the second file says what the first does."""
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    whole = second | first
    async with open_farebox(f"sqlite:///{tmp_path / 'farebox.db'}") as farebox:
        imports = farebox.services.imports
        folders = [write(tmp_path / "1", first), write(tmp_path / "2", whole), tmp_path / "1", tmp_path / "2"]
        for folder in folders:
            planned = await imports.plan([folder], principal=ANN)
            assert planned == await imports.make([folder], principal=ANN)
        listed = await farebox.services.merchants.list()
        assert {merchant_id_of(reference): cents * 10_000 for reference, cents in whole.items()} == {
            merchant.merchant_id: account.available for merchant, account in listed
        }
        assert sum(cents > 0 for cents in whole.values()) == sum(account.seq for _, account in listed)


@given(reference=references)
def test_the_number_of_a_reference_is_one_that_an_id_can_have(reference: str) -> None:
    assert 0 < merchant_id_of(reference) <= NUMBER_MAX


def test_numbers_of_references_stay_as_they_are_for_ever() -> None:
    """Files that were imported once are imported again years later."""
    assert {"litellm:team:t1": REMEMBERED} == {"litellm:team:t1": merchant_id_of("litellm:team:t1")}


REMEMBERED: Final = 3_363_649_419_364_700_452
