"""Columns are told once: the lists in statements, and the numbers in them, come from the records and the enums."""

import re
from importlib import resources

import pytest

from farebox.storage import sql
from farebox.storage.columns import ACCOUNT_MAIL, APPROVAL, AUDIT_LOG, HOLD, MERCHANT_KEY, TABLES, TRANSFER

STATEMENT_FILES = [
    item
    for folder in ("shared", "sqlite", "postgres")
    for item in (resources.files("farebox.storage") / "sql" / folder).iterdir()
    if not item.name[0].isdigit()
]


def test_released_columns_keep_their_names() -> None:
    assert {"fingerprint": "content"} == {
        column.field: column.name for column in TRANSFER.columns if column.field != column.name
    }
    assert {"approval_id": "number", "fingerprint": "content"} == {
        column.field: column.name for column in APPROVAL.columns if column.field != column.name
    }
    assert "letter_id" == ACCOUNT_MAIL.names[0]
    assert "person" in AUDIT_LOG.names


def test_lists_are_made_of_a_tables_columns() -> None:
    names = ["merchant_id", "seq", "amount", "expires_at", "state", "captured", "quantity", "request_type"]
    assert ", ".join(f"h.{name}" for name in names) == HOLD.selected("h")
    assert ", ".join(names) == HOLD.part("stored", 1)
    assert "$4, $5, $6, $7, $8, $9, $10, $11" == HOLD.part("values", 4)
    assert "unnest($1::bigint[])" == HOLD.part("unnest", 1).split(", ")[0]
    assert ["unnest($5::smallint[])", "unnest($8::text[])"] == HOLD.part("unnest", 1).split(", ")[4::3]
    assert ["NULL"] * 8 == HOLD.part("nulls", 1).split(", ")
    assert [f"{name} = excluded.{name}" for name in names[2:]] == HOLD.part("excluded", 1).split(", ")
    assert [f"{name} = ${number}" for number, name in enumerate(names[2:], 3)] == HOLD.part("assigned", 1).split(", ")
    assert names[:-1] == HOLD.part("numbers", 1).split(", ")


def test_a_field_that_no_insert_writes_is_read_all_the_same() -> None:
    assert {"kind", "roles", "used_at"}.isdisjoint(MERCHANT_KEY.names)
    assert len(MERCHANT_KEY.columns) == len(MERCHANT_KEY.selected().split(", "))


def test_a_list_that_nobody_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="no everything"):
        HOLD.part("everything", 1)


@pytest.mark.parametrize("dialect", ["sqlite", "postgres", "citus"])
def test_nothing_is_left_to_put_in(dialect: str) -> None:
    statements = sql.statements(dialect)
    braces = {name: re.findall(r"\{[A-Za-z][^}]*\}", statements[name]) for name in statements}
    assert {} == {name: found for name, found in braces.items() if found}


def test_a_list_of_values_is_one_parameter() -> None:
    texts = ["-- found: by a list\nSELECT name FROM merchant WHERE merchant_id {in $1};"]
    written = {dialect: sql.NamedStatements(texts, dialect)["found"] for dialect in ("sqlite", "postgres")}
    assert written["sqlite"].endswith("merchant_id IN (SELECT value FROM json_each(?1))")
    assert written["postgres"].endswith("merchant_id = ANY($1::bigint[])")


def test_no_statement_writes_the_number_of_a_name_or_a_tables_columns_out() -> None:
    bare = re.compile(r"\b(kind|state|realm|role|purpose) (=|<>|IN) \(?[0-9]")
    assert [] == [item.name for item in STATEMENT_FILES if bare.search(item.read_text(encoding="utf-8"))]
    written_out = {", ".join(table.names) for table in TABLES.values() if len(table.names) > 3}
    texts = [item.read_text(encoding="utf-8") for item in STATEMENT_FILES]
    assert [] == [columns for columns in written_out for text in texts if columns in text]
