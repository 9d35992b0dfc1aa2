"""Named blocks of SQL, and the columns that are put into them."""

import re
from importlib.resources import files

import pytest

from farebox.storage import sql
from farebox.storage.columns import HOLD
from farebox.storage.messages.queue import HELD_ATTEMPTS_MAX


def test_a_block_is_found_by_its_name_without_its_last_semicolon() -> None:
    found = sql.NamedStatements(
        ["-- one: the first\nSELECT 1;\n\n-- two: the second\nSELECT {hold}\nFROM hold;\n"], "sqlite"
    )
    assert {"one": "SELECT 1", "two": f"SELECT {HOLD.selected()}\nFROM hold"} == {name: found[name] for name in found}


def test_two_blocks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two SQL blocks are called one"):
        sql.NamedStatements(["-- one: the first\nSELECT 1;\n\n-- one: the second\nSELECT 2;\n"], "sqlite")


def test_statements_and_indexes_know_after_how_many_attempts_a_delivery_holds_up_its_lane_no_longer() -> None:
    folder = files("farebox.storage") / "sql"
    for name in ("shared/message_queue.sql", "sqlite/0018_events.sql", "postgres/0018_events.sql"):
        numbers = re.findall(r"attempts (?:<|>=) ([1-9][0-9]*)", (folder / name).read_text())
        assert {str(HELD_ATTEMPTS_MAX)} == set(numbers), name
        assert len(numbers) >= 2
