"""The charts of revenue: a bar for each month, as high as what it tells, whatever the amounts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.insight.revenue import HISTORY_MONTHS, Month, MonthFigures
from farebox.web.charts.revenue import owed_chart, used_chart
from tests.support.effort import examples
from tests.support.ledger import UNIT
from tests.web.test_charts import number, parse, texts

LAST = Month(2026, 11)
AMOUNTS = st.one_of(st.integers(-(10**20), 10**20), st.integers(-50, 10**9), st.just(0))


def _months(*amounts: tuple[int, int, int]) -> list[MonthFigures]:
    """Make a history that ends with months that come to these: paid money used, given credit used, and what is left."""
    blank = [(0, 0, 0)] * (HISTORY_MONTHS - len(amounts))
    return [
        MonthFigures(LAST.plus(1 - HISTORY_MONTHS + place), 0, *values)
        for place, values in enumerate([*blank, *amounts])
    ]


@examples(60)
@given(
    st.lists(st.tuples(AMOUNTS, AMOUNTS, AMOUNTS), max_size=HISTORY_MONTHS),
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.booleans(),
)
def test_any_months_are_drawn_well(amounts: list[tuple[int, int, int]], currency: str, is_narrow: bool) -> None:
    for chart in (used_chart, owed_chart):
        root = parse(chart(_months(*amounts), currency=currency, is_narrow=is_narrow))
        assert len(list(root.iter("rect"))) <= 2 * HISTORY_MONTHS


def test_given_credit_stands_upon_paid_money() -> None:
    root = parse(used_chart(_months((75 * UNIT, 25 * UNIT, 0), (0, 50 * UNIT, 0)), currency="USD"))
    paid, upper, alone = root.iter("rect")
    assert ["t1", "t4", "t4"] == [bar.get("class") for bar in (paid, upper, alone)]
    assert [
        "Oct 2026: 75.00 USD of paid money",
        "Oct 2026: 25.00 USD of given credit",
        "Nov 2026: 50.00 USD of given credit",
    ] == [bar.findtext("title") for bar in (paid, upper, alone)]
    heights = [number(bar.attrib["height"]) for bar in (paid, upper, alone)]
    assert heights == pytest.approx([144, 48, 96], abs=0.2)
    # What stands upon another begins where that ends.
    assert number(upper.attrib["y"]) + heights[1] == pytest.approx(number(paid.attrib["y"]))
    assert paid.get("x") == upper.get("x") != alone.get("x")
    assert (
        "Used in Dec 2025 to Nov 2026: 75.00 USD of paid money and 75.00 USD of given credit."
        == root.attrib["aria-label"]
    )
    assert ["Dec", "2026", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov"] == texts(root)[-12:]


def test_what_is_below_zero_hangs_from_the_zero_line() -> None:
    root = parse(owed_chart(_months((0, 0, 60 * UNIT), (0, 0, -20 * UNIT)), currency="EUR"))
    above, below = root.iter("rect")
    assert number(above.attrib["y"]) + number(above.attrib["height"]) == pytest.approx(number(below.attrib["y"]))
    assert number(above.attrib["height"]) == pytest.approx(3 * number(below.attrib["height"]), abs=0.5)
    assert "End of Nov 2026: -20.00 EUR" == below.findtext("title")
    assert root.attrib["aria-label"].endswith("Dec 2025 to Nov 2026: -20.00 EUR at the last one.")


def test_more_refunded_than_used_has_no_bar() -> None:
    (bar,) = parse(used_chart(_months((-5 * UNIT, 0, 0), (UNIT, 0, 0)), currency="USD")).iter("rect")
    assert "Nov 2026: 1.00 USD of paid money" == bar.findtext("title")


def test_months_without_anything_say_so() -> None:
    for chart in (used_chart, owed_chart):
        root = parse(chart(_months(), currency="USD"))
        assert [] == list(root.iter("rect"))
        assert "Nothing in these months" in texts(root)
