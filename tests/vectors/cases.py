"""The rules and requests of `prices.json`. An amount that stands here was worked out by hand."""

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True)
class Asked:
    """A request, and what it costs if that was worked out by hand."""

    quantities: dict[str, int]
    amount: str | None = None
    at: str | None = None
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A rule, and requests that it prices."""

    name: str
    rule: dict[str, Any]
    asked: tuple[Asked, ...]


def line(name: str, amount: str, per: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "amount": amount, **({"per": per} if per != 1 else {}), **more}


MILLION: Final = 10**6
TOKENS: Final = [line("input", "0.15", MILLION), line("output", "0.60", MILLION)]
LONG: Final = {
    "lines": [line("input", "1.25", MILLION), line("output", "10", MILLION)],
    "tiers": {
        "by": ["input"],
        "from": [{"from": 200_001, "lines": [line("input", "2.50", MILLION), line("output", "15", MILLION)]}],
    },
}
PEAK: Final = {
    "lines": TOKENS,
    "windows": {
        "zone": "UTC",
        "windows": [
            {
                "days": ["mon", "tue", "wed", "thu", "fri"],
                "from": "01:00",
                "until": "04:00",
                "lines": [line("input", "0.30", MILLION), line("output", "1.20", MILLION)],
            }
        ],
    },
}
MEMORY: Final = {"lines": [line("mb-ms", "0.166667", 10_240_000_000), line("requests", "0.20", MILLION)]}
SEVENTHS: Final = {"lines": [line("units", "8", 7 * MILLION)]}
MONTHLY: Final = {
    "lines": [
        {
            "name": "units",
            "included": 1_000,
            "graduated": [
                {"from": 1_001, "amount": "1.50", "per": 1_000},
                {"from": 5_000_000, "amount": "0.60", "per": 1_000},
            ],
        }
    ],
    "period": {"unit": "month", "zone": "Europe/Berlin"},
}
EVERYTHING: Final = {
    "lines": [
        line("input", "0.15", MILLION, included=500, block=100, atLeast=1_000),
        {
            "name": "output",
            "graduated": [
                {"from": 1, "amount": "0.60", "per": MILLION},
                {"from": 1_001, "amount": "0.000001", "per": 3},
                {"from": 10_001, "amount": "0"},
            ],
        },
        line("images", "0.04"),
    ],
    "base": "0.000333",
    "minimum": "0.0005",
    "tiers": {
        "by": ["input", "images"],
        "from": [
            {"from": 10_000, "lines": [line("input", "0.10", MILLION), line("output", "0.50", MILLION)]},
            {"from": 100_000, "lines": [line("input", "0.05", 999_983), line("output", "0.25", 7_919)]},
        ],
    },
    "windows": {
        "zone": "America/New_York",
        "windows": [
            {"days": ["sat", "sun"], "from": "00:00", "until": "24:00", "lines": [line("input", "0.01", 1_000)]},
            {
                "days": ["wed"],
                "from": "22:00",
                "until": "02:30",
                "lines": [line("input", "0.02", 1_000)],
                "base": "0.001",
                "minimum": "0.002",
            },
        ],
    },
    "rounding": {"step": "0.0001", "direction": "half_up"},
}


def rounded(rule: dict[str, Any], direction: str, step: str = "0.000001") -> dict[str, Any]:
    return {**rule, "rounding": {"step": step, "direction": direction}}


CASES: Final = (
    Case(
        "the sum of all lines is rounded, not each line",
        {"lines": TOKENS},
        (
            Asked({"input": 3, "output": 7}, "0.000005"),
            Asked({"input": 1_000, "output": 1_000}, "0.00075"),
            Asked({"input": 1_000, "output": 350}),
            Asked({"output": 1}, "0.000001"),
            Asked({}, "0"),
            Asked({"input": 0, "output": 0}, "0"),
        ),
    ),
    Case(
        "fresh, cached and written tokens",
        {"lines": [line("fresh", "2.50", MILLION), line("cached", "1.25", MILLION), line("output", "10", MILLION)]},
        (Asked({"fresh": 1_000, "cached": 9_000, "output": 500}, "0.01875"),),
    ),
    Case(
        "a whole request takes the lines of its tier",
        LONG,
        (
            Asked({"input": 200_000, "output": 1_000}, "0.26"),
            Asked({"input": 200_001, "output": 1_000}, "0.515003"),
            Asked({"output": 300_000}, "3"),
        ),
    ),
    Case("half a micro goes up", rounded(LONG, "half_up"), (Asked({"input": 200_001, "output": 1_000}, "0.515003"),)),
    Case("half a micro goes down", rounded(LONG, "down"), (Asked({"input": 200_001, "output": 1_000}, "0.515002"),)),
    Case(
        "at least ten seconds",
        {"lines": [line("seconds", "0.04", 3_600, atLeast=10)]},
        (Asked({"seconds": 7}, "0.000112"), Asked({"seconds": 11}, "0.000123"), Asked({"seconds": 0}, "0")),
    ),
    Case(
        "blocks of six seconds, thirty at least",
        {"lines": [line("seconds", "0.0085", 60, block=6, atLeast=30)]},
        (
            Asked({"seconds": 61}, "0.00935"),
            Asked({"seconds": 1}, "0.00425"),
            Asked({"seconds": 30}, "0.00425"),
            Asked({"seconds": 60}, "0.0085"),
        ),
    ),
    Case(
        "the least quantity need not be whole blocks",
        {"lines": [line("seconds", "0.01", block=6, atLeast=20)]},
        (Asked({"seconds": 1}, "0.24"), Asked({"seconds": 25}, "0.30")),
    ),
    Case(
        "whole blocks of 2^20 pixels",
        {"lines": [line("pixels", "0.025", 2**20, block=2**20)]},
        (Asked({"pixels": 1_300 * 1_100}, "0.05"), Asked({"pixels": 2**20}, "0.025"), Asked({"pixels": 1}, "0.025")),
    ),
    Case(
        "a base with ten results included",
        {"lines": [line("results", "0.001", included=10)], "base": "0.005"},
        (Asked({"results": 25}, "0.02"), Asked({"results": 10}, "0.005"), Asked({}, "0.005")),
    ),
    Case("8 per 7,000,000", SEVENTHS, (Asked({"units": MILLION}, "1.142858"), Asked({"units": 7 * MILLION}, "8"))),
    Case("8 per 7,000,000, to the nearest", rounded(SEVENTHS, "half_up"), (Asked({"units": MILLION}, "1.142857"),)),
    Case("8 per 7,000,000, rounded down", rounded(SEVENTHS, "down"), (Asked({"units": MILLION}, "1.142857"),)),
    Case(
        "8 per 7,000,000, up to whole cents",
        rounded(SEVENTHS, "up", "0.01"),
        (Asked({"units": MILLION}, "1.15"), Asked({"units": 1}, "0.01"), Asked({"units": 0}, "0")),
    ),
    Case(
        "Friday's peak ends, and Saturday has none",
        PEAK,
        (
            Asked({"input": 1_000, "output": 1_000}, "0.00075", "2026-11-27T00:59:59.999999Z"),
            Asked({"input": 1_000, "output": 1_000}, "0.0015", "2026-11-27T01:00:00Z"),
            Asked({"input": 1_000, "output": 1_000}, "0.0015", "2026-11-27T03:59:59.999999Z"),
            Asked({"input": 1_000, "output": 1_000}, "0.00075", "2026-11-27T04:00:00Z"),
            Asked({"input": 1_000, "output": 1_000}, "0.00075", "2026-11-28T02:00:00Z"),
        ),
    ),
    Case(
        "hours of a zone whose clock is set",
        {
            "lines": [line("requests", "1")],
            "windows": {
                "zone": "Europe/Berlin",
                "windows": [
                    {"days": ["sun"], "from": "00:00", "until": "02:00", "lines": [line("requests", "2")]},
                    {"days": ["sun"], "from": "02:00", "until": "03:00", "lines": [line("requests", "3")]},
                    {"days": ["sun"], "from": "03:00", "until": "24:00", "lines": [line("requests", "4")]},
                ],
            },
        },
        (
            Asked({"requests": 1}, "2", "2026-03-29T00:59:59.999999Z"),
            Asked({"requests": 1}, "4", "2026-03-29T01:00:00Z"),
            Asked({"requests": 1}, "3", "2026-10-25T00:30:00Z"),
            Asked({"requests": 1}, "3", "2026-10-25T01:30:00Z"),
            Asked({"requests": 1}, "4", "2026-10-25T02:00:00Z"),
            Asked({"requests": 1}, "1", "2026-10-25T23:00:00Z"),
        ),
    ),
    Case("memory for a time, and a request", MEMORY, (Asked({"mb-ms": 512 * 137, "requests": 1}, "0.000002"),)),
    Case(
        "memory for a time, and a request, to the nearest",
        rounded(MEMORY, "half_up"),
        (Asked({"mb-ms": 512 * 137, "requests": 1}, "0.000001"),),
    ),
    Case(
        "steps within a request",
        {"lines": [{"name": "pages", "graduated": [{"from": 1, "amount": "0.10"}, {"from": 11, "amount": "0.05"}]}]},
        (
            Asked({"pages": 10}, "1"),
            Asked({"pages": 11}, "1.05"),
            Asked({"pages": 25}, "1.75"),
        ),
    ),
    Case(
        "free units and steps over a month",
        MONTHLY,
        (
            Asked({"units": 1_000}, "0"),
            Asked({"units": 1_001}, "0.0015"),
            Asked({"units": 1_500}, "0.75"),
            Asked({"units": 100}, "0", counts={"units": 900}),
            Asked({"units": 100}, "0.003", counts={"units": 902}),
            Asked({"units": 100}, "0.15", counts={"units": 1_000}),
            # 49 units up to number 4,999,999 at 1.50 per 1,000, and 51 from there on at 0.60 per 1,000.
            Asked({"units": 100}, "0.1041", counts={"units": 4_999_950}),
            Asked({"units": 100}, "0.06", counts={"units": 5_000_000}),
        ),
    ),
    Case(
        "blocks count towards a day, as they are charged",
        {"lines": [line("units", "0.01", included=10, block=4)], "period": {"unit": "day", "zone": "UTC"}},
        (
            Asked({"units": 5}, "0"),
            Asked({"units": 5}, "0.06", counts={"units": 8}),
            Asked({"units": 5}, "0.08", counts={"units": 16}),
        ),
    ),
    Case(
        "a minimum",
        {"lines": [line("units", "0.000001")], "minimum": "0.0005"},
        (Asked({"units": 3}, "0.0005"), Asked({"units": 501}, "0.000501"), Asked({}, "0.0005")),
    ),
    Case("nothing but a base", {"lines": [], "base": "0.02"}, (Asked({}, "0.02"),)),
    Case("a free type", {"lines": [line("requests", "0")]}, (Asked({"requests": 1}, "0"), Asked({"requests": 9}, "0"))),
    Case(
        "tiers by the sum of quantities, of which one has no line of its own below",
        {
            "lines": [line("input", "1", MILLION)],
            "tiers": {
                "by": ["input", "cached"],
                "from": [
                    {"from": 1, "lines": [line("input", "2", MILLION)]},
                    {"from": 101, "lines": [line("input", "3", MILLION), line("cached", "1", MILLION)]},
                ],
            },
        },
        (
            Asked({}, "0"),
            Asked({"input": 1}, "0.000002"),
            Asked({"input": 50, "cached": 50}, "0.0001"),
            Asked({"input": 50, "cached": 51}, "0.000201"),
            Asked({"cached": 101}, "0.000101"),
        ),
    ),
    Case(
        "every member of a rule",
        EVERYTHING,
        (
            # 333 + 500 x 0.15 + 1,000 x 0.6 + 500 x 1/3, so 1,174.67: the step of 100 is at 1,200.
            Asked({"input": 900, "output": 1_500}, "0.0012", "2026-11-25T12:00:00-05:00"),
            Asked({}, "0.0005", "2026-11-25T12:00:00-05:00"),
            Asked({"input": 9_999, "output": 20_000}, None, "2026-11-25T12:00:00-05:00"),
            Asked({"input": 9_999, "output": 20_000, "images": 1}, None, "2026-11-25T12:00:00-05:00"),
            Asked({"input": 99_999, "output": 20_000, "images": 1}, None, "2026-11-25T12:00:00-05:00"),
            Asked({"input": 250, "output": 5, "images": 2}, "0.0025", "2026-11-28T03:00:00-05:00"),
            Asked({"input": 250}, "0.006", "2026-11-25T22:00:00-05:00"),
            Asked({"input": 250}, "0.006", "2026-11-26T02:29:59.999999-05:00"),
            Asked({"input": 250}, None, "2026-11-26T02:30:00-05:00"),
            Asked({"input": 250}, None, "2026-11-25T21:59:59.999999-05:00"),
        ),
    ),
    Case(
        "denominators that share few factors",
        {"lines": [line("a", "1", 999_999_999_989), line("b", "1", 999_999_999_961), line("c", "1", 999_999_999_959)]},
        (
            Asked({"a": 1, "b": 1, "c": 1}, "0.000001"),
            Asked({"a": 999_999_999_989, "b": 999_999_999_961, "c": 999_999_999_959}, "3"),
            Asked({"a": 999_999_999_988, "b": 999_999_999_960, "c": 999_999_999_958}),
        ),
    ),
    Case(
        "the largest product of an amount and a quantity",
        {"lines": [line("units", "9", 10**12)]},
        (
            Asked({"units": 10**12}, "9"),
            Asked({"units": 10**12 - 1}, "9"),
        ),
    ),
    Case(
        "a product above the largest",
        {"lines": [line("units", "9.000001", 10**12)]},
        (
            Asked({"units": 10**12}, "refused"),
            # 9,000,001 x 0.999999 micros are 8,999,991.999999.
            Asked({"units": 10**12 - 10**6}, "8.999992"),
        ),
    ),
)
