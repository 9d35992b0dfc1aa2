"""Charts are well-formed, stay within their view box, and have exact titles; hostile names do no harm."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final, Literal
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from msgspec.structs import replace

from farebox.service.insight.forecast import RUNWAY_DAYS_MAX, RUNWAY_MAX, Runway
from farebox.service.insight.history import History, Mark
from farebox.service.insight.usage import UsageLine
from farebox.web.charts.balance import BalanceRow, balance_chart, balance_rows
from farebox.web.charts.bars import COLOURS, OTHER_COLOUR, TYPES_MAX, UsageType, colours, usage_types
from farebox.web.charts.scales import Scale, amount_ticks, pixels, short_amounts
from farebox.web.charts.svg import CHARACTER_WIDTH, clean
from farebox.web.charts.times import DAY, HOUR, midnight, time_ticks
from farebox.web.charts.usage import UsageRow, usage_chart, usage_rows
from tests.support.burn import even_burn
from tests.support.effort import examples

By = Literal["hour", "day"]

UNIT: Final = 1_000_000
BERLIN: Final = ZoneInfo("Europe/Berlin")
NOW: Final = int(datetime(2026, 11, 22, 14, 30, tzinfo=BERLIN).timestamp()) * UNIT
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo")
HOSTILE: Final = """</title></svg><script>alert("1")</script>' onload=x &amp; \x00\ud800\x0b"""

TAGS: Final = {"svg", "title", "text", "line", "path", "polyline", "circle", "rect"}
NAMES_BY_AGE: Final = ("image", "video", "audio", "review", *"abcde", "ocr", "tiles")
CLASSES: Final = {
    "axis",
    "area",
    "trace",
    "cone",
    "ahead",
    "threshold",
    "topup",
    *[f"t{n}" for n in range(1, 13)],
    "t-other",
}
ATTRIBUTES: Final = {
    *(
        "viewBox",
        "width",
        "height",
        "role",
        "aria-label",
        "class",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "rx",
    ),
    *("d", "points", "text-anchor", "fill", "stroke", "stroke-width", "paint-order", "stroke-linejoin"),
}
NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[1-9])?")


# What holds for every chart


def parse(chart: Markup) -> ElementTree.Element:
    """Read a chart as XML, and fail unless it is drawn by classes and attributes alone, each mark with a title."""
    assert isinstance(chart, Markup)
    assert chart.encode()
    root = ElementTree.fromstring(chart)
    assert ("svg", "img") == (root.tag, root.get("role"))
    assert root.get("aria-label")
    for element in root.iter():
        assert element.tag in TAGS
        assert set(element.keys()) <= ATTRIBUTES
        assert element.get("class", "axis") in CLASSES
        if element.tag not in ("svg", "title", "text") and element.get("class") != "axis":
            assert element.findtext("title")
    check_positions(root)
    return root


def check_positions(root: ElementTree.Element) -> None:
    """Fail unless everything is drawn within the view box."""
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        for x, y in positions(element):
            assert -0.01 <= x <= width + 0.01, (element.attrib, element.text)
            assert -0.01 <= y <= height + 0.01, (element.attrib, element.text)


def number(text: str) -> float:
    assert NUMBER.fullmatch(text), text
    return float(text)


def positions(element: ElementTree.Element) -> Iterator[tuple[float, float]]:
    """Yield the corners of what an element draws."""
    values = {
        key: number(value)
        for key, value in element.items()
        if re.fullmatch("[xyr][12]?|c[xy]|width|height", key) and value != "100%"
    }
    match element.tag:
        case "line":
            yield from ((values["x1"], values["y1"]), (values["x2"], values["y2"]))
        case "circle":
            for sign in (-1, 1):
                yield values["cx"] + sign * values["r"], values["cy"] + sign * values["r"]
        case "rect":
            yield from ((values["x"], values["y"]), (values["x"] + values["width"], values["y"] + values["height"]))
        case "polyline":
            yield from pairs(element.attrib["points"])
        case "path":
            outline, _, triangle = element.attrib["d"].partition(" l6,10 h-12 z")
            for x, y in pairs(outline.removesuffix(" Z").replace("M", "").replace("L", "")):
                yield x, y
                if element.get("class") == "topup":
                    assert not triangle
                    yield from ((x + 6, y + 10), (x - 6, y + 10))
        case "text":
            width = len(element.text or "") * CHARACTER_WIDTH / 10
            start = values["x"] - {"end": 1, "middle": 0.5}.get(element.get("text-anchor", ""), 0) * width
            yield from ((start, values["y"] - 9), (start + width, values["y"] + 3))


def pairs(text: str) -> Iterator[tuple[float, float]]:
    for pair in text.split(" "):
        x, _, y = pair.partition(",")
        yield number(x), number(y)


def titles(root: ElementTree.Element, class_: str) -> list[str]:
    return [element.findtext("title") or "" for element in root.iter() if element.get("class") == class_]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter("text")]


def only(root: ElementTree.Element, class_: str) -> ElementTree.Element:
    (element,) = [element for element in root.iter() if element.get("class") == class_]
    return element


AMOUNTS = st.one_of(st.integers(-(4 * 10**18), 4 * 10**18), st.integers(-50, 10**9), st.just(0))
NAMES = st.one_of(st.text(st.characters(exclude_categories=()), max_size=30), st.just(HOSTILE))
ZONE = st.sampled_from(ZONES).map(ZoneInfo)


@st.composite
def histories(draw: st.DrawFn) -> History:
    now = draw(st.integers(1_600_000_000, 2_500_000_000)) * UNIT
    gaps = draw(st.lists(st.sampled_from([0, 1, UNIT, HOUR, 7 * HOUR, DAY, 9 * DAY, 100 * DAY]), max_size=12))
    points, at = [(now, draw(AMOUNTS))], now
    for gap in gaps:
        at -= gap
        points.append((at, draw(AMOUNTS)))
    marked = draw(st.lists(st.sampled_from(points), max_size=3))
    return History(
        tuple(reversed(points)), tuple(Mark(at, draw(st.integers(1, 10**18)), posted) for at, posted in marked)
    )


@st.composite
def runways(draw: st.DrawFn, now: int) -> Runway | None:
    low, usual, high = sorted(draw(st.tuples(*[st.integers(0, 40 * DAY) | st.integers(0, RUNWAY_MAX)] * 3)))
    lost = st.lists(st.tuples(st.integers(1, 40 * DAY), st.integers(1, 10**18)), max_size=3)
    losses = [tuple(sorted((now + at, amount) for at, amount in draw(lost) if at < end)) for end in (usual, low, high)]
    ends = (now + usual, now + low, now + high)
    model = draw(st.none() | st.just(even_burn(UNIT, fast=2 * UNIT, slow=UNIT / 3)))
    curves = None if model is None else replace(model, weights=(0.0, *(2.0,) * 83, *(0.0,) * 84)).curves(now)
    return draw(st.none() | st.just(Runway(now, *ends, UNIT, losses[0], losses[1], losses[2], curves)))


@examples(150)
@given(
    st.data(),
    histories(),
    st.lists(st.integers(0, 10**18) | st.integers(0, 900), max_size=5),
    ZONE,
    NAMES,
    st.booleans(),
    st.sampled_from([0, 1, DAY]),
    st.sampled_from([0, 0, 1, 500 * UNIT, 10**18]),
)
def test_any_balance_is_drawn_well(
    data: st.DataObject,
    history: History,
    thresholds: list[int],
    zone: ZoneInfo,
    currency: str,
    is_narrow: bool,
    later: int,
    credit_limit: int,
) -> None:
    now = history.points[-1][0] + later
    runway = data.draw(runways(now))
    chart = balance_chart(
        history,
        thresholds=thresholds,
        credit_limit=credit_limit,
        runway=runway,
        now=now,
        zone=zone,
        currency=currency,
        is_narrow=is_narrow,
    )
    root = parse(chart)
    assert len(set(thresholds)) == len(titles(root, "threshold"))
    # The top-ups, and a dot where the line ends.
    assert len(history.marks) + 1 == len(titles(root, "topup"))
    assert balance_rows(history, credit_limit=credit_limit, runway=runway, now=now, zone=zone, currency=currency)


@st.composite
def usages(draw: st.DrawFn) -> list[UsageLine]:
    start = draw(st.integers(1_600_000_000, 2_500_000_000)) * UNIT
    names = draw(st.lists(NAMES, min_size=1, max_size=7))
    lines = st.builds(
        UsageLine,
        starts_at=st.integers(0, 40).map(lambda number: start + number * 7 * HOUR),
        request_type=st.sampled_from(names),
        requests=st.integers(0, 10**6),
        cost=st.integers(0, 10**18) | st.integers(0, 100),
        refunded=st.integers(0, 10**17) | st.just(0),
    )
    return draw(st.lists(lines, max_size=12))


@examples(100)
@given(usages(), ZONE, st.sampled_from(["hour", "day"]), NAMES, st.booleans())
def test_any_usage_is_drawn_well(
    lines: list[UsageLine], zone: ZoneInfo, by: By, currency: str, is_narrow: bool
) -> None:
    parse(usage_chart(lines, zone=zone, by=by, currency=currency, is_narrow=is_narrow))
    types = usage_types(lines)
    names = sorted({line.request_type for line in lines})
    if len(names) <= TYPES_MAX:
        by_name = {clean(name): f"t{names.index(name) + 1}" for name in names}
        assert by_name == {item.name: item.css for item in types}
    else:
        assert (TYPES_MAX + 1, OTHER_COLOUR) == (len(types), types[-1].css)
    assert sum(line.cost for line in lines) == sum(item.cost for item in types)
    assert len(lines) == len(usage_rows(lines, zone=zone, by=by, currency=currency))


# A balance


def steady(*, days: int = 30, top_up_at: int = 10) -> History:
    """A balance of 400.00 that loses 10.00 a day, with one top-up of 300.000001."""
    points, posted, start = [(NOW - days * DAY, 400 * UNIT)], 400 * UNIT, NOW - days * DAY
    marks: tuple[Mark, ...] = ()
    for day in range(1, days + 1):
        posted -= 10 * UNIT
        points.append((start + day * DAY, posted))
        if day == top_up_at:
            posted += 300 * UNIT + 1
            points.append((start + day * DAY, posted))
            marks = (Mark(start + day * DAY, 300 * UNIT + 1, posted),)
    return History(tuple(points), marks)


def runway(days: int = 5, low: int = 4, high: int = 7) -> Runway:
    return Runway(NOW, NOW + days * DAY + 9 * HOUR, NOW + low * DAY, NOW + high * DAY, 57 * UNIT)


def draw(
    history: History,
    *thresholds: int,
    lasts: Runway | None = None,
    is_narrow: bool = False,
    currency: str = "USD",
    credit_limit: int = 0,
) -> ElementTree.Element:
    chart = balance_chart(
        history,
        thresholds=thresholds,
        credit_limit=credit_limit,
        runway=lasts,
        now=NOW,
        zone=BERLIN,
        currency=currency,
        is_narrow=is_narrow,
    )
    return parse(chart)


def test_titles_are_exact_and_words_tell_the_gist() -> None:
    root = draw(steady(), 150_500_001, lasts=runway())
    assert "0 0 720 250" == root.get("viewBox")
    assert (
        "Balance, last 30 days: now 400.000001 USD, between 300.00 USD and 600.000001 USD, 1 top-up. "
        "It lasts about 5 days, likely 4 to 7 days."
    ) == root.get("aria-label")
    assert ["Top-up 300.000001 USD, 2 Nov, 14:30", "Now 400.000001 USD"] == titles(root, "topup")
    assert ["Threshold 150.500001 USD"] == titles(root, "threshold")
    assert ["23 Oct, 15:30: 400.00 USD; now 400.000001 USD"] == titles(root, "trace")
    assert ["Likely to run out Thu 26 Nov to Sun 29 Nov"] == titles(root, "cone")
    assert ["At the usual pace it lasts until Fri 27 Nov"] == titles(root, "ahead")
    assert ["0", "200", "400", "600", "today", "threshold 150.500001", "25 Oct", "1 Nov", "8 Nov", "15 Nov"] == texts(
        root
    )[:10]


def test_a_line_is_as_high_as_its_amounts_and_steps_stand_upright() -> None:
    history = History(((NOW - 2 * DAY, 0), (NOW - 2 * DAY, 100 * UNIT), (NOW - DAY, 75 * UNIT), (NOW, 25 * UNIT)), ())
    root = draw(history)
    zero, right = 224.0, 710.0
    # Ahead of now is 15 % of the time before it.
    left = next(number(line.attrib["x1"]) for line in root.iter("line"))
    now = left + (right - left) / 1.15
    (first, top, middle, last) = pairs(only(root, "trace").attrib["points"])
    assert (left, zero) == first
    assert (left, 30.0) == top
    assert middle == pytest.approx((left + (now - left) / 2, zero - 0.75 * 194), abs=0.06)
    assert last == pytest.approx((now, zero - 0.25 * 194), abs=0.06)
    outline = list(pairs(only(root, "area").attrib["d"].removesuffix(" Z").replace("M", "").replace("L", "")))
    assert [first, first, top, middle, last, (last[0], zero)] == outline


def test_a_balance_below_zero_is_drawn_below_the_zero_line() -> None:
    history = History(((NOW - DAY, 100 * UNIT), (NOW, -300 * UNIT)), ())
    root = draw(history, 50 * UNIT)
    assert ["-300", "-200", "-100", "0", "100"] == texts(root)[:5]
    (_, start), (_, end) = pairs(only(root, "trace").attrib["points"])
    assert (30, 224) == (start, end)
    assert not titles(root, "cone")


def test_a_cone_ends_at_zero_or_where_the_chart_does() -> None:
    root = draw(steady(), lasts=runway())
    tip, slow, fast = pairs(only(root, "cone").attrib["d"].removesuffix(" Z").replace("M", "").replace("L", ""))
    (ahead_from, usual) = pairs(only(root, "ahead").attrib["points"])
    assert tip == ahead_from == list(pairs(only(root, "trace").attrib["points"]))[-1]
    assert (224, 224, 224) == (slow[1], usual[1], fast[1])
    assert tip[0] < fast[0] < usual[0] < slow[0] < 710
    assert (fast[0] - tip[0]) / 4 == pytest.approx((slow[0] - tip[0]) / 7, abs=0.1)

    root = draw(steady(), lasts=runway(20, 4, RUNWAY_DAYS_MAX + 1))
    tip, slow, corner, fast = pairs(only(root, "cone").attrib["d"].removesuffix(" Z").replace("M", "").replace("L", ""))
    assert ((710, 224), 224) == (corner, fast[1])
    assert 710 == slow[0]
    assert tip[1] < slow[1] < tip[1] + 5
    _, usual = pairs(only(root, "ahead").attrib["points"])
    # 45 % of 30 days are 13.5 of the 20.375 days that it lasts.
    assert usual == pytest.approx((710, 224 - (224 - tip[1]) * (1 - 13.5 / 20.375)), abs=0.1)
    assert ["Likely to run out Thu 26 Nov or later"] == titles(root, "cone")

    root = draw(steady(), lasts=runway(300, 200, 400))
    tip, slow, fast = pairs(only(root, "cone").attrib["d"].removesuffix(" Z").replace("M", "").replace("L", ""))
    assert (710, 710) == (slow[0], fast[0])
    assert slow[1] < fast[1] < 224


def test_the_forecast_goes_down_by_a_step_where_credit_ends() -> None:
    """The balance is 400 at first, and goes down evenly but for the 100 that end after two days, at each pace."""
    losses = ((NOW + 2 * DAY, 100 * UNIT),)
    lasts = msgspec.structs.replace(runway(), losses=losses, losses_low=losses, losses_high=losses)
    root = draw(steady(), lasts=lasts)
    tip, above, below, end = pairs(only(root, "ahead").attrib["points"])
    zero = 224.0
    assert above[0] == below[0] == pytest.approx(tip[0] + (end[0] - tip[0]) * 2 / 5.375, abs=0.1)
    # 400.000001 are left at the tip: 100 of them end, and the rest is spent over 5.375 days.
    unit = (zero - tip[1]) / 400
    assert below[1] - above[1] == pytest.approx(100 * unit, abs=0.2)
    assert above[1] - tip[1] == pytest.approx(300 * unit * 2 / 5.375, abs=0.2)
    assert zero == end[1]
    outline = pairs(only(root, "cone").attrib["d"].removesuffix(" Z").replace("M", "").replace("L", ""))
    assert 7 == len(list(outline))
    # What ends beyond the chart is no step of it.
    far = ((NOW + 300 * DAY, 100 * UNIT),)
    root = draw(steady(), lasts=msgspec.structs.replace(runway(350, 340, 360), losses=far))
    assert 2 == len(list(pairs(only(root, "ahead").attrib["points"])))


def test_as_much_of_the_time_ahead_is_drawn_as_the_cone_needs() -> None:
    root = draw(steady(), lasts=runway(5, 4, 8))
    left = next(number(line.attrib["x1"]) for line in root.iter("line"))
    # An eighth more than the slow pace's 8 days.
    assert number(root.findall("circle")[0].attrib["cx"]) == pytest.approx(left + (710 - left) * 30 / 39, abs=0.1)


def test_a_top_up_is_a_triangle_that_stands_above_where_it_led() -> None:
    history = History(
        ((NOW - DAY, 50 * UNIT), (NOW - DAY // 2, 50 * UNIT), (NOW - DAY // 2, 100 * UNIT), (NOW, 90 * UNIT)),
        (Mark(NOW - DAY // 2, 50 * UNIT, 100 * UNIT),),
    )
    root = draw(history)
    _, _, (x, y), _ = pairs(only(root, "trace").attrib["points"])
    (top_up,) = [path for path in root.iter("path") if path.get("class") == "topup"]
    assert f"M{x:g},{y - 16:g} l6,10 h-12 z" == top_up.get("d")


def test_a_part_of_a_day_counts_as_a_day() -> None:
    for past, words in ((DAY, "last day"), (DAY + 1, "last 2 days"), (HOUR, "last day")):
        root = draw(History(((NOW - past, 0), (NOW, 0)), ()))
        assert f"Balance, {words}: now 0.00 USD, no top-ups." == root.get("aria-label")


def test_an_empty_book_is_a_dot_at_nothing() -> None:
    root = draw(History(((NOW, 0),), ()))
    assert "Balance, last day: now 0.00 USD, no top-ups." == root.get("aria-label")
    assert ["0", "today"] == texts(root)[:2]
    assert "224" == root.findall("circle")[0].get("cy")
    assert ["0", "50", "100"] == texts(draw(History(((NOW, 0),), ()), 100 * UNIT))[:3]


def test_a_flat_line_is_told_without_a_range() -> None:
    root = draw(History(((NOW - DAY, 5 * UNIT), (NOW, 5 * UNIT)), ()))
    assert "Balance, last day: now 5.00 USD, no top-ups." == root.get("aria-label")


def test_a_line_goes_on_flat_up_to_now() -> None:
    root = draw(History(((NOW - 2 * DAY, 5 * UNIT), (NOW - DAY, 5 * UNIT)), ()))
    (_, _), (_, _), (end, _) = pairs(only(root, "trace").attrib["points"])
    assert number(root.findall("circle")[0].attrib["cx"]) == end
    (today,) = [line for line in root.iter("line") if line.get("y1") == "6"]
    assert str(today.get("x1")) == root.findall("circle")[0].attrib["cx"]


def test_thresholds_too_near_to_one_another_are_not_all_labelled() -> None:
    root = draw(steady(), *[amount * UNIT for amount in (50, 55, 60, 400, 800, 800)])
    assert ["800", "400", "60", "55", "50"] == [
        text.split()[1].removesuffix(".00") for text in titles(root, "threshold")
    ]
    labels = [text for text in texts(root) if text.startswith("threshold")]
    assert ["threshold 800.00", "threshold 400.00", "threshold 60.00"] == labels


def test_a_narrow_chart_fits_a_phone_without_shrinking_its_text() -> None:
    for history in (steady(), History(((NOW, 10**18),), ())):
        assert "0 0 280 200" == draw(history, 10**18, is_narrow=True).get("viewBox")
    assert "0 0 280 200" == draw_usage([], is_narrow=True).get("viewBox")


def test_what_a_balance_is_drawn_of_as_rows() -> None:
    history = History(
        (
            (NOW - 2 * DAY, 0),
            (NOW - 2 * DAY, 100 * UNIT),
            (NOW - DAY - HOUR, 90 * UNIT),
            (NOW - DAY, 80 * UNIT),
            (NOW, 70_000_001),
        ),
        (Mark(NOW - 2 * DAY, 100 * UNIT, 100 * UNIT),),
    )
    assert [
        BalanceRow("20 Nov, 14:30", "top-up 100.00 USD", "100.00 USD"),
        BalanceRow("20 Nov, 14:30", "balance", "100.00 USD"),
        BalanceRow("21 Nov, 14:30", "balance", "80.00 USD"),
        BalanceRow("22 Nov, 14:30", "now", "70.000001 USD"),
        BalanceRow("Fri 27 Nov", "forecast", "0.00 USD"),
    ] == balance_rows(history, credit_limit=0, runway=runway(), now=NOW, zone=BERLIN, currency="USD")


# Usage


def draw_usage(
    lines: Sequence[UsageLine],
    by: By = "day",
    *,
    first: date | None = None,
    last: date | None = None,
    is_narrow: bool = False,
    zone: ZoneInfo = BERLIN,
    names: Sequence[str] = NAMES_BY_AGE,
) -> ElementTree.Element:
    chart = usage_chart(
        lines, zone=zone, by=by, currency="USD", names=names, first=first, last=last, is_narrow=is_narrow
    )
    return parse(chart)


def rects(root: ElementTree.Element) -> list[tuple[str, str]]:
    """List the marks of a usage chart, by their colour and title."""
    return [(element.attrib["class"], element.findtext("title") or "") for element in root.iter("rect")]


def on(day: int, name: str, cost: int, *, requests: int = 1, refunded: int = 0, hour: int = 0) -> UsageLine:
    starts_at = int(datetime(2026, 11, day, hour, tzinfo=BERLIN).timestamp()) * UNIT
    return UsageLine(starts_at, name, requests, cost, refunded)


def test_types_are_ordered_by_what_they_cost_and_the_rest_shares_a_colour() -> None:
    lines = [
        on(21, "ocr", 3 * UNIT, requests=2),
        on(21, "audio", 60 * UNIT, requests=1_200, refunded=20 * UNIT),
        on(22, "audio", 10 * UNIT),
        on(22, "image", 30 * UNIT),
        on(22, "tiles", 2 * UNIT),
        on(22, "review", 8 * UNIT),
        on(22, "video", 7 * UNIT),
        *[on(22, name, 4 * UNIT) for name in "abcd"],
    ]
    assert [
        UsageType("t3", "audio", 1_201, 70 * UNIT, 20 * UNIT, 43),
        UsageType("t1", "image", 1, 30 * UNIT, 0, 26),
        UsageType("t4", "review", 1, 8 * UNIT, 0, 7),
        UsageType("t2", "video", 1, 7 * UNIT, 0, 6),
        *[UsageType(f"t{number}", name, 1, 4 * UNIT, 0, 3) for number, name in enumerate("abcd", 5)],
        UsageType("t-other", "other types", 3, 5 * UNIT, 0, 4),
    ] == usage_types(lines, NAMES_BY_AGE)
    root = draw_usage(lines)
    assert [
        ("t3", "Sat 21 Nov, audio: 1,200 requests, 60.00 USD, 20.00 USD refunded"),
        ("t-other", "Sat 21 Nov, other types: 2 requests, 3.00 USD"),
        ("t3", "Sun 22 Nov, audio: 1 request, 10.00 USD"),
        ("t1", "Sun 22 Nov, image: 1 request, 30.00 USD"),
        ("t4", "Sun 22 Nov, review: 1 request, 8.00 USD"),
        ("t2", "Sun 22 Nov, video: 1 request, 7.00 USD"),
        *[(f"t{number}", f"Sun 22 Nov, {name}: 1 request, 4.00 USD") for number, name in enumerate("abcd", 5)],
        ("t-other", "Sun 22 Nov, other types: 1 request, 2.00 USD"),
    ] == rects(root)
    assert (
        "Spend by type and day, 21 Nov to 22 Nov: 116.00 USD for 1,211 requests, most of it for audio: 50.00 USD."
    ) == root.get("aria-label")
    assert ["0", "20", "40", "60", "21 Nov", "22"] == texts(root)
    assert (
        UsageRow("Sat 21 Nov", "audio", "1,200", "60.00 USD", "20.00 USD")
        == usage_rows(lines, zone=BERLIN, by="day", currency="USD")[1]
    )


def test_bars_are_as_high_as_what_was_spent_and_stand_upon_one_another() -> None:
    root = draw_usage([on(20, "audio", 75 * UNIT), on(20, "image", 25 * UNIT), on(22, "audio", 50 * UNIT)])
    tall, upper, half = root.iter("rect")
    # 100.00 are 192 pixels; a pixel of daylight is taken off below each.
    assert ("60", "143") == (tall.get("y"), tall.get("height"))
    assert ("12", "47") == (upper.get("y"), upper.get("height"))
    assert ("108", "95") == (half.get("y"), half.get("height"))
    assert tall.get("x") == upper.get("x")
    # The day between has no bar, but its place.
    assert number(half.attrib["x"]) - number(tall.attrib["x"]) == pytest.approx(2 * 460 / 3, abs=15)


def test_bars_have_daylight_between_them_where_there_is_room() -> None:
    def gaps(root: ElementTree.Element) -> list[float]:
        bars = [(number(it.attrib["x"]), number(it.attrib["width"])) for it in root.iter("rect")]
        return [after - before - width for (before, width), (after, _) in pairwise(bars)]

    assert min(gaps(draw_usage([on(day, "audio", UNIT) for day in range(9, 23)]))) > 4
    hours = [on(day, "audio", UNIT, hour=hour) for day in range(16, 23) for hour in range(24)]
    assert max(gaps(draw_usage(hours, "hour"))) < 0.01
    (bar,) = draw_usage([on(22, "audio", UNIT)]).iter("rect")
    assert number(bar.attrib["width"]) == pytest.approx(56, abs=0.2)


def test_a_segment_too_low_for_daylight_touches_the_next() -> None:
    low, high = draw_usage([on(22, "audio", 100 * UNIT), on(22, "image", UNIT)]).iter("rect")
    assert number(high.attrib["height"]) == pytest.approx(192 / 101, abs=0.1)
    assert number(low.attrib["height"]) == pytest.approx(192 * 100 / 101 - 1, abs=0.1)


def test_hours_are_labelled_up_to_the_last_day_and_not_the_next() -> None:
    lines = [on(day, "audio", UNIT, hour=12) for day in range(20, 23)]
    assert ["20 Nov", "12:00", "21 Nov", "12:00", "22 Nov", "12:00"] == texts(draw_usage(lines, "hour"))[-6:]


def test_one_type_is_not_said_to_be_most_of_it() -> None:
    expected = "Spend by type and hour, 22 Nov to 22 Nov: 1.00 USD for 1 request."
    assert expected == draw_usage([on(22, "audio", UNIT)], "hour").get("aria-label")


def test_what_was_all_refunded_has_no_bar() -> None:
    root = draw_usage([on(22, "audio", 5 * UNIT, refunded=6 * UNIT), on(22, "image", 4 * UNIT)])
    assert ["t1"] == [css for css, _ in rects(root)]
    root = draw_usage([on(22, "audio", 5 * UNIT, refunded=5 * UNIT)])
    assert ([], ["0", "Nothing was charged", "22 Nov"]) == (rects(root), texts(root))


def test_days_without_requests_are_told() -> None:
    root = draw_usage([], first=date(2026, 11, 9), last=date(2026, 11, 22))
    assert "Spend by type: no requests in this time." == root.get("aria-label")
    assert ["0", "No requests in this time", "9 Nov", "10", "11"] == texts(root)[:5]
    assert ["0", "No requests in this time"] == texts(draw_usage([]))


def test_what_lies_outside_the_days_asked_for_is_left_out() -> None:
    lines = [on(day, "audio", UNIT) for day in range(1, 23)]
    root = draw_usage(lines, first=date(2026, 11, 5), last=date(2026, 11, 6))
    assert ["Thu 5 Nov, audio: 1 request, 1.00 USD", "Fri 6 Nov, audio: 1 request, 1.00 USD"] == [
        it for _, it in rects(root)
    ]


def test_labels_of_days_name_each_new_month_and_end_with_the_last_day() -> None:
    root = draw_usage([], first=date(2026, 10, 24), last=date(2026, 11, 22))
    assert ["26 Oct", "29", "1 Nov", "4", "7", "10", "13", "16", "19", "22"] == texts(root)[2:]
    root = draw_usage([], first=date(2026, 10, 31), last=date(2026, 11, 12))
    assert ["31 Oct", "2 Nov", "3", "4"] == texts(root)[2:6]
    root = draw_usage([], first=date(2025, 11, 22), last=date(2026, 11, 22), is_narrow=True)
    assert "22 Nov" == texts(root)[-1]


@pytest.mark.parametrize(("day", "hours"), [(date(2027, 3, 27), 24), (date(2027, 3, 28), 23), (date(2027, 10, 31), 25)])
def test_a_day_has_as_many_bars_as_it_has_hours(day: date, hours: int) -> None:
    start = midnight(day, BERLIN)
    lines = [UsageLine(start + hour * HOUR, "audio", 1, UNIT, 0) for hour in range(hours)]
    root = draw_usage(lines, "hour", first=day, last=day)
    bars = list(root.iter("rect"))
    assert hours == len(bars)
    assert number(bars[-1].attrib["x"]) + number(bars[-1].attrib["width"]) == pytest.approx(490, abs=2)
    # What a clock set forward leaves out is no hour; what one set back repeats are two.
    named = [title.partition(", audio")[0].partition(", ")[2] for _, title in rects(root)]
    assert hours == len(named)
    assert {23: 0, 24: 1, 25: 2}[hours] == named.count("02:00")
    assert str(day.day) == texts(root)[next(i for i, text in enumerate(texts(root)) if " " in text)].split()[0]


def test_an_hour_that_a_change_cuts_in_two_is_one_bar() -> None:
    lord_howe = ZoneInfo("Australia/Lord_Howe")
    start = midnight(date(2027, 4, 4), lord_howe)
    # At two o'clock the clock goes back by half an hour.
    lines = [UsageLine(start + HOUR, "audio", 1, UNIT, 0), UsageLine(start + 3 * HOUR // 2, "audio", 2, 2 * UNIT, 0)]
    root = draw_usage(lines, "hour", zone=lord_howe)
    assert [("t3", "4 Apr, 01:00, audio: 3 requests, 3.00 USD")] == rects(root)


def test_a_day_whose_offset_changes_is_one_bar_of_two() -> None:
    days = [date(2027, 3, 27), date(2027, 3, 28), date(2027, 3, 29)]
    lines = [UsageLine(midnight(day, BERLIN), "audio", 1, UNIT, 0) for day in days]
    assert ["Sat 27 Mar", "Sun 28 Mar", "Mon 29 Mar"] == [it.partition(",")[0] for _, it in rects(draw_usage(lines))]


# Names


def test_hostile_names_are_text() -> None:
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd").replace("\x0b", "\ufffd")
    lines = [on(22, HOSTILE, UNIT), on(22, "other types", 2 * UNIT)]
    chart = usage_chart(lines, zone=BERLIN, by="day", currency=HOSTILE)
    assert "<script" not in chart
    root = parse(chart)
    assert [
        f"Sun 22 Nov, other types: 1 request, 2.00 {shown}",
        f"Sun 22 Nov, {shown}: 1 request, 1.00 {shown}",
    ] == [title for _, title in rects(root)]
    assert shown in (root.get("aria-label") or "")
    assert ["other types", shown] == [item.name for item in usage_types(lines)]
    assert [shown, "other types"] == [
        row.request_type for row in usage_rows(lines, zone=BERLIN, by="day", currency="USD")
    ]
    assert [f"Now 400.000001 {shown}"] == titles(draw(steady(), currency=HOSTILE), "topup")[1:]


def test_a_type_that_is_called_as_the_rest_is_keeps_its_colour() -> None:
    lines = [on(22, name, cost * UNIT) for cost, name in enumerate(("other types", *"bcdefghij"), 9)]
    types = usage_types([*lines, on(22, "other types", 20 * UNIT)], ["x", "other types"])
    assert ["t2", OTHER_COLOUR] == [item.css for item in types if item.name == "other types"]


def test_a_type_keeps_its_colour_whatever_else_is_charged_or_priced() -> None:
    """Colours by rank would change with each day; by name they stay, until there are more types than colours."""
    names = [f"type-{number}" for number in range(COLOURS)]
    of = colours(names)
    assert COLOURS == len(set(of.values()))
    for more in range(40):
        later = colours([*names, *[f"new-{number}" for number in range(more)]])
        assert of == {name: later[name] for name in names}
    lines = [on(22, name, cost * UNIT) for cost, name in enumerate(names, 1)]
    for first in range(COLOURS):
        for last in range(first + 1, COLOURS + 1):
            drawn = usage_types(lines[first:last], names)
            assert all(of[item.name] == item.css for item in drawn if item.name != "other types")
            assert {item.css for item in drawn} == {css for css, _ in rects(draw_usage(lines[first:last], names=names))}


# Scales


@given(st.integers(-(4 * 10**18), 0), st.integers(0, 4 * 10**18), st.integers(2, 8))
def test_amounts_along_an_axis_are_round_and_hold_zero(low: int, high: int, count_max: int) -> None:
    if low == high:
        high = 1
    ticks = amount_ticks(low, high, count_max=count_max)
    assert 0 in ticks
    assert low <= ticks[0] <= ticks[-1] <= high
    assert len(ticks) <= count_max
    steps = {after - before for before, after in pairwise(ticks)}
    assert len(steps) <= 1
    for step in steps:
        assert str(step).rstrip("0") in ("1", "2", "5")
        assert ticks[0] - step < low
        assert high < ticks[-1] + step


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0], ["0"]),
        ([0, 200, 400], ["0", "200", "400"]),
        ([-2_500, 0, 2_500], ["-2,500", "0", "2,500"]),
        ([0, 5_000, 10_000], ["0", "5k", "10k"]),
        ([0, 500_000, 1_000_000], ["0", "0.5M", "1M"]),
        ([0, 2 * 10**9], ["0", "2B"]),
        ([-(4 * 10**12), 0], ["-4T", "0"]),
    ],
)
def test_round_amounts_are_written_shortly(ticks: list[int], labels: list[str]) -> None:
    assert labels == short_amounts([tick * UNIT for tick in ticks])


def test_small_amounts_keep_their_decimals() -> None:
    assert ["0", "0.000001", "0.000002"] == short_amounts([0, 1, 2])
    assert ["-0.05", "0", "0.05"] == short_amounts([-50_000, 0, 50_000])


@given(st.integers(1_600_000_000, 2_500_000_000), st.integers(3_600, 500 * 86_400), ZONE, st.integers(1, 12))
def test_times_along_an_axis_are_round_in_their_zone(start: int, seconds: int, zone: ZoneInfo, count_max: int) -> None:
    end = start + seconds
    ticks = time_ticks(start * UNIT, end * UNIT, zone, anchor=end * UNIT, count_max=count_max)
    times = [tick.at for tick in ticks]
    assert sorted(set(times)) == times
    # A day of 23 hours may hold one more than as long a time elsewhere.
    assert len(ticks) <= count_max + 2
    for tick in ticks:
        assert start * UNIT <= tick.at <= end * UNIT
        shown = datetime.fromtimestamp(tick.at // UNIT, zone)
        assert tick.label in (f"{shown:%H:%M}", f"{shown.day} {shown:%b}")
        assert (0, 0) == (shown.minute % 5, shown.second)


def test_an_hour_that_a_clock_leaves_out_is_no_label() -> None:
    start = midnight(date(2027, 3, 28), BERLIN)
    labels = [tick.label for tick in time_ticks(start, start + 4 * HOUR, BERLIN, anchor=start, count_max=4)]
    assert ["28 Mar", "01:00", "03:00", "04:00", "05:00"] == labels


def test_days_are_counted_from_the_day_of_the_anchor() -> None:
    ticks = time_ticks(NOW - 30 * DAY, NOW + 12 * DAY, BERLIN, anchor=NOW, count_max=7)
    assert ["25 Oct", "1 Nov", "8 Nov", "15 Nov", "22 Nov", "29 Nov"] == [tick.label for tick in ticks]
    # A day begins at 23:00 UTC, with daylight saving at 22:00.
    assert [22, 23] == [datetime.fromtimestamp(it.at // UNIT, UTC).hour for it in ticks[:1]] + [
        datetime.fromtimestamp(it.at // UNIT, UTC).hour for it in ticks[1:2]
    ]


@given(
    st.integers(-(4 * 10**18), 0), st.integers(1, 4 * 10**18), st.integers(0, 9_000), st.integers(0, 9_000), st.data()
)
def test_positions_are_rounded_to_the_nearest(low: int, high: int, start: int, end: int, data: st.DataObject) -> None:
    scale = Scale(low, high, start, end)
    value = data.draw(st.integers(low, high))
    exact = start * (high - low) + (value - low) * (end - start)
    assert 2 * abs(scale.position(value) * (high - low) - exact) <= high - low
    assert (start, end) == (scale.position(low), scale.position(high))


@pytest.mark.parametrize(("tenths", "text"), [(0, "0"), (440, "44"), (1296, "129.6"), (-5, "-0.5"), (7, "0.7")])
def test_pixels_are_written_as_short_as_they_are(tenths: int, text: str) -> None:
    assert text == pixels(tenths)


def test_amounts_in_titles_are_exact() -> None:
    root = draw(History(((NOW - DAY, 4 * 10**18 - 1), (NOW, -(4 * 10**18) + 1)), ()), 10**18)
    assert ["Now -3,999,999,999,999.999999 USD"] == titles(root, "topup")
    assert ["Threshold 1,000,000,000,000.00 USD"] == titles(root, "threshold")
