"""Amounts in a column: filled up with zeros that nobody sees, and with nothing else."""

import re

import pytest

from farebox.web.pages.columns import align_columns

PAD = re.compile(r'<span class="pad" aria-hidden="true">([.0]+)</span>')


def _table(*rows: tuple[str, ...]) -> str:
    cells = ["".join(f'<td class="num">{cell}</td>' for cell in row) for row in rows]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr><th>1.5</th></tr></thead><tbody>{body}</tbody></table>"


@pytest.mark.parametrize(
    ("column", "filled"),
    [
        (["312.4175", "311.10", "-0.072"], ["312.4175", "311.1000", "-0.0720"]),
        (["+1,250", "12.3456"], ["+1,250.0000", "12.3456"]),
        (["1,250 <b>JPY</b>", "12.5 USD"], ["1,250.0 <b>JPY</b>", "12.5 USD"]),
        (["<b>0.5</b>", " 0.125"], ["<b>0.500</b>", " 0.125"]),
        (["variable", "0.5", "none"], ["variable", "0.5", "none"]),
        (["1,201", "7"], ["1,201", "7"]),
        (["46%", "3 days"], ["46%", "3 days"]),
    ],
)
def test_numbers_are_filled_up_to_the_most_decimals(column: list[str], filled: list[str]) -> None:
    table = _table(*[(cell,) for cell in column])
    aligned = align_columns(table)
    assert _table(*[(cell,) for cell in filled]) == PAD.sub(r"\1", aligned)
    assert table == PAD.sub("", aligned)


def test_each_column_and_each_table_is_on_its_own() -> None:
    page = _table(("1.5", "2"), ("1", "3")) + _table(("1", "2.25"), ("5", "6"))
    assert [".0", ".00"] == PAD.findall(align_columns(page))


def test_text_is_left_as_it_is() -> None:
    page = '<table><tbody><tr><td>1.5</td></tr><tr><td class="number">1</td></tr></tbody></table>'
    assert page == align_columns(page)
