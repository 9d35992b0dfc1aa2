"""Rules of prices as plain values: any rule is read back as it was written, and each fault is named by its place."""

import json
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.pricing.rules import (
    Direction,
    Line,
    Period,
    PeriodUnit,
    Rates,
    Rule,
    Step,
    Tier,
    Tiers,
    Window,
    Windows,
)
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import read_rule, write_rule
from tests.support.effort import examples
from tests.support.price_rules import WIDE, rules

WHOLE: Final[dict[str, Any]] = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000, "included": 10, "block": 6, "atLeast": 30},
        {"name": "output", "graduated": [{"from": 1, "amount": "0"}, {"from": 1001, "amount": "1.50", "per": 1000}]},
    ],
    "base": "0.005",
    "minimum": "0.01",
    "tiers": {"by": ["input"], "from": [{"from": 200_001, "lines": [{"name": "input", "amount": "0.30"}]}]},
    "windows": {
        "zone": "UTC",
        "windows": [
            {
                "days": ["mon", "tue"],
                "from": "01:00",
                "until": "04:00",
                "lines": [{"name": "input", "amount": "0.05"}],
                "base": "0.001",
                "minimum": "0.002",
                "tiers": {"by": ["input"], "from": [{"from": 5, "lines": [{"name": "cached", "amount": "9"}]}]},
            }
        ],
    },
    "period": {"unit": "month", "zone": "Europe/Berlin", "refundsGiveBack": True},
    "rounding": {"step": "0.01", "direction": "half_up"},
}
"""A rule that has every member."""

SIMPLE: Final[dict[str, Any]] = {"lines": [{"name": "input", "amount": "0.15"}]}

Path = tuple[str | int, ...]


def _window(**changes: object) -> dict[str, Any]:
    return {"days": ["mon"], "from": "01:00", "until": "04:00", **SIMPLE} | changes


def _windows(*windows: object, zone: object = "UTC") -> dict[str, Any]:
    return SIMPLE | {"windows": {"zone": zone, "windows": list(windows)}}


def _line(**members: object) -> dict[str, Any]:
    return {"lines": [{"name": "input", "amount": "0.15"} | members]}


def _graduated(*steps: object, **members: object) -> dict[str, Any]:
    return {"lines": [{"name": "input", "graduated": list(steps)} | members]}


def _tiers(**changes: object) -> dict[str, Any]:
    return SIMPLE | {"tiers": {"by": ["input"], "from": [{"from": 9, **SIMPLE}]} | changes}


def _fault(value: object) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as raised:
        read_rule("rule", value)
    return raised.value.field, raised.value.message


@examples(50)
@given(rules(WIDE))
def test_a_rule_is_read_back_as_it_was_written(rule: Rule) -> None:
    written = write_rule(rule)
    assert rule == read_rule("rule", written)
    assert written == write_rule(read_rule("rule", json.loads(json.dumps(written))))


def test_each_member_says_what_the_rule_has() -> None:
    assert Rule(
        rates=Rates(
            lines=(
                Line("input", 150_000, 1_000_000, included=10, block=6, at_least=30),
                Line("output", 0, steps=(Step(1, 0), Step(1_001, 1_500_000, 1_000))),
            ),
            base=5_000,
            minimum=10_000,
            tiers=Tiers(("input",), (Tier(200_001, (Line("input", 300_000),)),)),
        ),
        windows=Windows(
            "UTC",
            (
                Window(
                    *((0, 1), 60, 240),
                    Rates(
                        (Line("input", 50_000),),
                        1_000,
                        2_000,
                        Tiers(("input",), (Tier(5, (Line("cached", 9 * 10**6),)),)),
                    ),
                ),
            ),
        ),
        period=Period(PeriodUnit.MONTH, "Europe/Berlin", refunds_give_back=True),
        step=10_000,
        direction=Direction.HALF_UP,
    ) == read_rule("rule", WHOLE)


def test_members_that_are_left_out_say_what_is_usual() -> None:
    assert Rule(Rates((Line("input", 150_000),))) == read_rule("rule", SIMPLE)
    assert {"lines": [{"name": "input", "amount": "0.15"}]} == write_rule(read_rule("rule", SIMPLE))
    usual = SIMPLE | {"base": "0", "minimum": "0.00", "rounding": {"step": "0.000001", "direction": "up"}}
    assert write_rule(read_rule("rule", SIMPLE)) == write_rule(read_rule("rule", usual))


def test_toml_says_the_same_as_json() -> None:
    text = """
        base = "0.005"
        lines = [{ name = "input", amount = "0.15", per = 1_000_000 }]
        [period]
        unit = "day"
        zone = "Asia/Kathmandu"
    """
    assert Rule(
        Rates((Line("input", 150_000, 1_000_000),), 5_000), period=Period(PeriodUnit.DAY, "Asia/Kathmandu")
    ) == read_rule("rule", tomllib.loads(text))


def test_a_base_alone_needs_no_lines() -> None:
    assert Rule(Rates(base=5_000)) == read_rule("rule", {"lines": [], "base": "0.005"})


def test_included_units_come_before_the_first_step() -> None:
    line = _graduated({"from": 1_001, "amount": "1.50", "per": 1_000}, included=1_000)
    assert (Line("input", 0, included=1_000, steps=(Step(1_001, 1_500_000, 1_000),)),) == read_rule(
        "rule", line
    ).rates.lines


@pytest.mark.parametrize(
    ("days", "start", "end", "kept"),
    [
        (["mon"], "01:00", "04:00", [((0,), 60, 240)]),
        (["tue", "mon"], "00:00", "24:00", [((0, 1), 0, 1440)]),
        (["mon", "sun"], "22:00", "06:00", [((0, 6), 1320, 1440), ((0, 1), 0, 360)]),
        (["fri"], "22:00", "00:00", [((4,), 1320, 1440)]),
        (["fri"], "00:00", "00:00", [((4,), 0, 1440)]),
        (["fri", "sat"], "09:00", "09:00", [((4, 5), 540, 1440), ((5, 6), 0, 540)]),
    ],
)
def test_a_window_over_midnight_is_two(
    days: list[str], start: str, end: str, kept: list[tuple[tuple[int, ...], int, int]]
) -> None:
    rule = read_rule("rule", _windows(_window(days=days, **{"from": start, "until": end})))
    assert rule.windows is not None
    assert kept == [(window.days, window.start_minute, window.end_minute) for window in rule.windows.windows]
    assert rule == read_rule("rule", write_rule(rule))


FAULTS: Final[list[tuple[object, str, str]]] = [
    (None, "rule", "this is null; it must be an object with lines, base"),
    ([], "rule", "this is a list"),
    ({}, "rule.lines", "this is missing; write a list of what is charged for"),
    ({"lines": []}, "rule.lines", "this is empty; name at least one line"),
    ({"lines": [], "base": "0.00"}, "rule.lines", "this is empty"),
    ({"lines": {}}, "rule.lines", "this is an object; it must be a list of lines"),
    ({"lines": "input"}, "rule.lines", "this is a text; it must be a list of lines"),
    ({"lines": [7]}, "rule.lines[0]", "this is a whole number; it must be an object with name, amount"),
    (
        {"lines": [{"name": f"n{n}", "amount": "1"} for n in range(33)]},
        "rule.lines",
        "this has 33; there must be at most 32 lines",
    ),
    (SIMPLE | {"bsae": "1"}, "rule.bsae", "no member 'bsae' is known here; there may be lines, base"),
    (SIMPLE | {"a, b": "1"}, "rule", "no member 'a, b' is known here"),
    (SIMPLE | {"\ud800" * 90: "1"}, "rule", r"no member '\ud800\ud800"),
    (SIMPLE | {"base": 0.005}, "rule.base", 'this is a number with a point; write the amount as text, such as "0.15"'),
    (SIMPLE | {"base": 1}, "rule.base", "this is a whole number; write the amount as text"),
    (SIMPLE | {"base": "-1"}, "rule.base", "'-1' is not an amount; write a plain decimal"),
    (SIMPLE | {"base": "0.0000001"}, "rule.base", "at most six decimals"),
    (SIMPLE | {"minimum": "1000000000000.000001"}, "rule.minimum", "is above the largest amount, 1000000000000.00"),
    (SIMPLE | {"minimum": None}, "rule.minimum", "this is null; write the amount as text"),
    (
        {"lines": [{"amount": "1"}]},
        "rule.lines[0].name",
        'this is missing; write the name of what is counted, such as "input"',
    ),
    (_line(name=3), "rule.lines[0].name", 'this is a whole number; write a text such as "input"'),
    (_line(name="Input"), "rule.lines[0].name", "'Input' is no name of a line; write 1 to 64 of a-z, 0-9, dot"),
    (_line(name="a" * 65), "rule.lines[0].name", "is no name of a line"),
    (_line(name=""), "rule.lines[0].name", "'' is no name of a line"),
    (_line(name="a\n"), "rule.lines[0].name", r"'a\n' is no name of a line"),
    ({"lines": [*SIMPLE["lines"], *SIMPLE["lines"]]}, "rule.lines[1].name", "'input' stands twice; a name stands once"),
    (
        {"lines": [{"name": "input"}]},
        "rule.lines[0].amount",
        'this is missing; write an amount as text, such as "0.15", or graduated',
    ),
    (_line(amount=1.5000000000000002e-07), "rule.lines[0].amount", "so that no digit is guessed"),
    (_line(amount=True), "rule.lines[0].amount", "this is true or false; write the amount as text"),
    (_line(per=0), "rule.lines[0].per", "this is too small; write a whole number from 1 to 1,000,000,000,000"),
    (_line(per=10**12 + 1), "rule.lines[0].per", "this is too large; write a whole number from 1 to 1,000,000,000,000"),
    (_line(per=10**5000), "rule.lines[0].per", "this is too large"),
    (_line(per=True), "rule.lines[0].per", "this is true or false; write a whole number"),
    (_line(per=1e6), "rule.lines[0].per", "this is a number with a point; write a whole number"),
    (_line(per="1000"), "rule.lines[0].per", "this is a text; write a whole number"),
    (_line(included=-1), "rule.lines[0].included", "this is too small; write a whole number from 0 to"),
    (_line(included=10**12 + 1), "rule.lines[0].included", "this is too large"),
    (_line(block=0), "rule.lines[0].block", "this is too small; write a whole number from 1 to"),
    (_line(block=10**12 + 1), "rule.lines[0].block", "this is too large"),
    (_line(atLeast=-1), "rule.lines[0].atLeast", "this is too small; write a whole number from 0 to"),
    (_line(atLeast=10**12 + 1), "rule.lines[0].atLeast", "this is too large"),
    (
        _line(atleast=1),
        "rule.lines[0].atleast",
        "no member 'atleast' is known here; there may be name, amount, per, included",
    ),
    (_line(graduated=[{"from": 1, "amount": "1"}]), "rule.lines[0].amount", "this stands beside graduated"),
    (_graduated({"from": 1, "amount": "1"}, per=5), "rule.lines[0].per", "this stands beside graduated"),
    (_graduated(), "rule.lines[0].graduated", "this has 0; there must be 1 to 16 steps"),
    (_graduated(*[{"from": n, "amount": "1"} for n in range(1, 18)]), "rule.lines[0].graduated", "this has 17"),
    (
        _graduated(7),
        "rule.lines[0].graduated[0]",
        "this is a whole number; it must be an object with from, amount and per",
    ),
    (_graduated({"amount": "1"}), "rule.lines[0].graduated[0].from", "this is missing; write the unit it begins with"),
    (_graduated({"from": 1}), "rule.lines[0].graduated[0].amount", "this is missing; write an amount as text"),
    (_graduated({"from": 0, "amount": "1"}), "rule.lines[0].graduated[0].from", "this is too small"),
    (_graduated({"from": 2, "amount": "1"}), "rule.lines[0].graduated[0].from", "the first step begins with unit 1"),
    (
        _graduated({"from": 1, "amount": "1"}, included=1000),
        "rule.lines[0].graduated[0].from",
        "begins with unit 1,001, as the first 1,000 are included",
    ),
    (
        _graduated({"from": 1, "amount": "1"}, {"from": 10**15 + 1, "amount": "1"}),
        "rule.lines[0].graduated[1].from",
        "this is too large",
    ),
    (
        _graduated({"from": 1, "amount": "1"}, {"from": 1, "amount": "2"}),
        "rule.lines[0].graduated[1].from",
        "1 comes after 1; each begins above the one before",
    ),
    (
        _graduated({"from": 1, "amount": "1"}, {"from": 9, "amount": "2"}, {"from": 8, "amount": "2"}),
        "rule.lines[0].graduated[2].from",
        "8 comes after 9",
    ),
    (_graduated({"from": 1, "amount": "1", "per": 0}), "rule.lines[0].graduated[0].per", "this is too small"),
    (SIMPLE | {"tiers": []}, "rule.tiers", "this is a list; it must be an object with by and from"),
    (SIMPLE | {"tiers": {"by": ["input"]}}, "rule.tiers.from", "this is missing; write a list of tiers"),
    (SIMPLE | {"tiers": {"from": []}}, "rule.tiers.by", 'this is missing; write what is measured, such as ["input"]'),
    (_tiers(**{"from": []}), "rule.tiers.from", "this has 0; there must be 1 to 16 tiers"),
    (_tiers(**{"from": [{"from": n, **SIMPLE} for n in range(1, 18)]}), "rule.tiers.from", "this has 17"),
    (
        _tiers(**{"from": [{"from": 0, **SIMPLE}]}),
        "rule.tiers.from[0].from",
        "this is too small; write a whole number from 1 to",
    ),
    (_tiers(**{"from": [{"from": 9, **SIMPLE}, {"from": 9, **SIMPLE}]}), "rule.tiers.from[1].from", "9 comes after 9"),
    (_tiers(**{"from": [{"from": 9}]}), "rule.tiers.from[0].lines", "this is missing"),
    (_tiers(**{"from": [{"from": 9, "lines": []}]}), "rule.tiers.from[0].lines", "this is empty"),
    (_tiers(by=[]), "rule.tiers.by", "this has 0; there must be 1 to 32 names of lines"),
    (_tiers(by=["input", "cached"]), "rule.tiers.by[1]", "'cached' is the name of no line here; there are input"),
    (_tiers(by=["input", "input"]), "rule.tiers.by[1]", "'input' stands twice; it would be counted once"),
    (_tiers(by="input"), "rule.tiers.by", "this is a text; it must be a list of names of lines"),
    (_tiers(by=[3]), "rule.tiers.by[0]", 'this is a whole number; write a text such as "input"'),
    (SIMPLE | {"windows": {"windows": []}}, "rule.windows.zone", 'this is missing; write a time zone, such as "UTC"'),
    (_windows(), "rule.windows.windows", "this has 0; there must be 1 to 16 windows"),
    (_windows(*[_window()] * 17), "rule.windows.windows", "this has 17; there must be 1 to 16 windows"),
    (
        _windows(_window(), zone="Europe/Bonn"),
        "rule.windows.zone",
        "there is no time zone 'Europe/Bonn'; write one such as Europe/Berlin",
    ),
    (_windows(_window(), zone="localtime"), "rule.windows.zone", "there is no time zone 'localtime'"),
    (_windows(_window(), zone="../UTC"), "rule.windows.zone", "there is no time zone '../UTC'"),
    (_windows(_window(), zone=None), "rule.windows.zone", "this is null; write a text such as"),
    (_windows(_window(days=[])), "rule.windows.windows[0].days", "this has 0; there must be 1 to 7 weekdays"),
    (_windows(_window(days=["mon", "mon"])), "rule.windows.windows[0].days[1]", "mon stands twice"),
    (
        _windows(_window(days=["Monday"])),
        "rule.windows.windows[0].days[0]",
        "'Monday' is none of those that may stand here; write mon, tue, wed, thu, fri, sat or sun",
    ),
    (_windows(_window(days=[0])), "rule.windows.windows[0].days[0]", "this is a whole number; write mon, tue"),
    (_windows(_window(days="mon")), "rule.windows.windows[0].days", "this is a text; it must be a list of weekdays"),
    (
        _windows(_window(**{"from": "1:00"})),
        "rule.windows.windows[0].from",
        "'1:00' is no time of day; write one from 00:00 to 23:59, such as 01:00",
    ),
    (_windows(_window(**{"from": "24:00"})), "rule.windows.windows[0].from", "'24:00' is no time of day"),
    (
        _windows(_window(until="24:01")),
        "rule.windows.windows[0].until",
        "'24:01' is no time of day; write one from 00:00 to 24:00",
    ),
    (
        _windows(_window(until=4)),
        "rule.windows.windows[0].until",
        'this is a whole number; write a text such as "01:00"',
    ),
    (
        _windows({"days": ["mon"], "from": "01:00", "until": "02:00"}),
        "rule.windows.windows[0].lines",
        "this is missing; write the lines that hold",
    ),
    (_windows(_window(period={})), "rule.windows.windows[0].period", "no member 'period' is known here"),
    (_windows(_window(lines=[])), "rule.windows.windows[0].lines", "this is empty"),
    (
        _windows(_window(), _window(days=["tue"]), _window(days=["sun", "mon"], **{"from": "03:00", "until": "09:00"})),
        "rule.windows.windows[2]",
        "this overlaps with rule.windows.windows[0]: both hold on Monday from 03:00 to 04:00",
    ),
    (
        _windows(
            _window(days=["mon", "tue", "fri"], until="24:00"),
            _window(days=["sun", "mon", "thu"], **{"from": "20:00", "until": "01:01"}),
        ),
        "rule.windows.windows[1]",
        "this overlaps with rule.windows.windows[0]: both hold on Monday from 20:00 to 24:00",
    ),
    (
        _windows(
            *[_window(days=[day], **{"from": "16:00", "until": "12:00"}) for day in ("mon", "wed", "fri")],
            *[_window(days=["sat"], **{"from": f"{hour:02d}:00", "until": f"{hour:02d}:30"}) for hour in range(12, 23)],
        ),
        "rule.windows.windows",
        "this comes to 17 windows, as one that ends on the next day counts as two; there may be 16",
    ),
    (SIMPLE | {"period": {"zone": "UTC"}}, "rule.period.unit", 'this is missing; write "month" or "day"'),
    (SIMPLE | {"period": {"unit": "month"}}, "rule.period.zone", "this is missing; write a time zone"),
    (
        SIMPLE | {"period": {"unit": "week", "zone": "UTC"}},
        "rule.period.unit",
        "'week' is none of those that may stand here; write day or month",
    ),
    (
        SIMPLE | {"period": {"unit": "day", "zone": "Mars/Base"}},
        "rule.period.zone",
        "there is no time zone 'Mars/Base'",
    ),
    (
        SIMPLE | {"period": {"unit": "day", "zone": "UTC", "refundsGiveBack": 1}},
        "rule.period.refundsGiveBack",
        "this is a whole number; write true or false",
    ),
    (SIMPLE | {"rounding": "up"}, "rule.rounding", "this is a text; it must be an object with step and direction"),
    (SIMPLE | {"rounding": {"step": "0"}}, "rule.rounding.step", "a cost can't be a multiple of 0"),
    (
        SIMPLE | {"rounding": {"step": 0.01}},
        "rule.rounding.step",
        "this is a number with a point; write the amount as text",
    ),
    (SIMPLE | {"rounding": {"direction": "nearest"}}, "rule.rounding.direction", "write up, half_up or down"),
]


@pytest.mark.parametrize(("value", "field", "message"), FAULTS)
def test_a_fault_is_named_by_its_place_with_what_would_be_right(value: object, field: str, message: str) -> None:
    found_field, found_message = _fault(value)
    assert (field, True) == (found_field, message in found_message), found_message


def test_all_lines_together_have_so_many_names() -> None:
    tiers = [{"from": n, "lines": [{"name": f"n{n}.{k}", "amount": "1"} for k in range(16)]} for n in (1, 2)]
    field, message = _fault(SIMPLE | {"tiers": {"by": ["input"], "from": tiers}})
    assert ("rule", "this has lines of 33 names; all lines of a rule have 32 at most") == (field, message)


def _places(value: object, path: Path = ()) -> Iterator[Path]:
    """Go through the places in a plain value."""
    yield path
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _places(member, (*path, name))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _places(item, (*path, place))


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value


def _text(path: Path) -> str:
    return "rule" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


@examples(50)
@given(rules(WIDE).map(write_rule), st.data(), st.sampled_from((1.5, None, float("nan"), b"1", -1, 10**30)))
def test_a_value_of_another_kind_anywhere_is_named_by_its_place(
    written: dict[str, Any], data: st.DataObject, value: object
) -> None:
    path = data.draw(st.sampled_from(list(_places(written))))
    damaged: Any = {"rule": deepcopy(written)}
    *outer, last = ("rule", *path)
    _at(damaged, tuple(outer))[last] = value
    assert _text(path) == _fault(damaged["rule"])[0]


@examples(50)
@given(rules(WIDE).map(write_rule), st.data())
def test_an_unknown_member_anywhere_is_named_by_its_place(written: dict[str, Any], data: st.DataObject) -> None:
    objects = [path for path in _places(written) if isinstance(_at(written, path), dict)]
    path = data.draw(st.sampled_from(objects))
    damaged = deepcopy(written)
    _at(damaged, path)["surcharge"] = "0.01"
    assert _text((*path, "surcharge")) == _fault(damaged)[0]


@examples(50)
@given(rules(WIDE).map(write_rule), st.data())
def test_a_member_that_is_missed_is_named_by_its_place(written: dict[str, Any], data: st.DataObject) -> None:
    needed = {"lines", "name", "amount", "by", "from", "zone", "windows", "days", "until", "unit"}
    paths = [path for path in _places(written) if path and path[-1] in needed and path != ("windows",)]
    path = data.draw(st.sampled_from(paths))
    damaged = deepcopy(written)
    del _at(damaged, path[:-1])[path[-1]]
    assert _text(path) == _fault(damaged)[0]


JSON_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(("0.15", "input", "mon")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(sorted(WHOLE)), inner),
)


@given(JSON_VALUES)
def test_any_json_is_a_rule_or_refused(value: object) -> None:
    with suppress(InvalidInput):
        read_rule("rule", value)


@given(st.data())
def test_any_json_in_any_place_is_a_rule_or_refused(data: st.DataObject) -> None:
    damaged: Any = {"rule": deepcopy(WHOLE)}
    for path in data.draw(st.lists(st.sampled_from(list(_places(WHOLE))), min_size=1, max_size=3)):
        with suppress(KeyError, IndexError, TypeError):
            _at(damaged, ("rule", *path)[:-1])[("rule", *path)[-1]] = data.draw(JSON_VALUES)
    with suppress(InvalidInput):
        rule = read_rule("rule", damaged["rule"])
        assert rule == read_rule("rule", write_rule(rule))


def test_the_field_is_called_as_where_it_came_from() -> None:
    checks: list[Callable[[], object]] = [
        lambda: read_rule("prices[3].rule", {"lines": 1}),
        lambda: read_rule("prices[3].rule", {"lines": [], "base": ""}),
    ]
    for check, field in zip(checks, ("prices[3].rule.lines", "prices[3].rule.base"), strict=True):
        with pytest.raises(InvalidInput) as raised:
            check()
        assert field == raised.value.field
