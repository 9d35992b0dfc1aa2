"""Named blocks of SQL, and the columns that are put into them."""

import pytest

from farebox.storage import sql
from farebox.storage.columns import HOLD


def test_a_block_is_found_by_its_name_without_its_last_semicolon() -> None:
    found = sql.NamedStatements(
        ["-- one: the first\nSELECT 1;\n\n-- two: the second\nSELECT {hold}\nFROM hold;\n"], "sqlite"
    )
    assert {"one": "SELECT 1", "two": f"SELECT {HOLD.selected()}\nFROM hold"} == {name: found[name] for name in found}


def test_two_blocks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two SQL blocks are called one"):
        sql.NamedStatements(["-- one: the first\nSELECT 1;\n\n-- one: the second\nSELECT 2;\n"], "sqlite")
