"""Rules of prices in words: each kind of rule, as a merchant reads it."""

from typing import Any, Final

import pytest
from hypothesis import given

from farebox.core.pricing.rules import Rule
from farebox.presenters.pricing.price_words import RuleSection, RuleWords, rule_summary, rule_words
from farebox.service.price_texts import read_rule
from tests.support.effort import examples
from tests.support.price_rules import WIDE, rules

MILLION: Final = 1_000_000
INPUT: Final = {"name": "input", "amount": "0.15", "per": MILLION}
OUTPUT: Final = {"name": "output", "amount": "0.60", "per": MILLION}
DEAR: Final = [INPUT | {"amount": "0.30"}, OUTPUT | {"amount": "1.20"}]
STEPS: Final = [
    {"from": 1, "amount": "0"},
    {"from": 1_001, "amount": "1.50", "per": 1_000},
    {"from": 5_000_000, "amount": "0.60", "per": 1_000},
]
PEAK: Final = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "01:00", "until": "04:00", "lines": DEAR}
MONTH: Final = {"unit": "month", "zone": "Europe/Berlin"}


def _rule(*lines: dict[str, Any], **members: Any) -> Rule:
    return read_rule("rule", {"lines": list(lines)} | members)


def _windows(*windows: dict[str, Any], zone: str = "UTC") -> dict[str, Any]:
    return {"zone": zone, "windows": list(windows)}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (_rule(INPUT), "0.15 per 1,000,000 input"),
        (_rule(INPUT, OUTPUT), "0.15 per 1,000,000 input, 0.60 per 1,000,000 output"),
        (_rule({"name": "requests", "amount": "0.008"}), "0.008 a request"),
        (_rule({"name": "requests", "amount": "0.20", "per": MILLION}), "0.20 per 1,000,000 requests"),
        (_rule({"name": "requests", "amount": "0"}), "free"),
        (_rule(INPUT, {"name": "cached", "amount": "0"}), "0.15 per 1,000,000 input, cached: free"),
        (_rule({"name": "results", "amount": "0.001"}), "results: 0.001 each"),
        (
            _rule({"name": "results", "amount": "0.001", "included": 10}, base="0.005"),
            "results: first 10 a request free, then 0.001 each, plus 0.005 a request",
        ),
        (_rule(base="0.005"), "0.005 a request"),
        (_rule(INPUT, minimum="0.01"), "0.15 per 1,000,000 input, at least 0.01 a request"),
        (
            _rule({"name": "seconds", "amount": "0.04", "per": 3_600, "atLeast": 10}),
            "0.04 per 3,600 seconds, at least 10",
        ),
        (
            _rule({"name": "seconds", "amount": "0.0085", "per": 60, "block": 6, "atLeast": 30}),
            "0.0085 per 60 seconds, in blocks of 6, at least 30",
        ),
        (
            _rule({"name": "pixels", "amount": "0.025", "per": 2**20, "block": 2**20}),
            "0.025 per 1,048,576 pixels, in blocks of 1,048,576",
        ),
        (
            _rule(INPUT, tiers={"by": ["input"], "from": [{"from": 200_001, "lines": DEAR}]}, base="0.005"),
            "0.15 per 1,000,000 input, plus 0.005 a request; above 200,000 input: 0.30 per 1,000,000 input, "
            "1.20 per 1,000,000 output, plus 0.005 a request",
        ),
        (
            _rule(INPUT, OUTPUT, tiers={"by": ["input", "output"], "from": [{"from": 11, "lines": DEAR[:1]}]}),
            "0.15 per 1,000,000 input, 0.60 per 1,000,000 output; "
            "above 10 input and output together: 0.30 per 1,000,000 input",
        ),
        (
            _rule({"name": "units", "graduated": STEPS}, period=MONTH),
            "units: first 1,000 a month free, then 1.50 per 1,000, from 5,000,000 on 0.60; "
            "units are counted per calendar month (Europe/Berlin)",
        ),
        (
            _rule(
                {"name": "units", "included": 1_000, "graduated": STEPS[1:]},
                period={"unit": "day", "zone": "UTC", "refundsGiveBack": True},
            ),
            "units: first 1,000 a day free, then 1.50 per 1,000, from 5,000,000 on 0.60; "
            "units are counted per calendar day (UTC); refunds give units back",
        ),
        (
            _rule(
                {
                    "name": "units",
                    "graduated": [
                        {"from": 1, "amount": "2"},
                        {"from": 11, "amount": "1.5"},
                        {"from": 21, "amount": "0"},
                        {"from": 31, "amount": "1"},
                        {"from": 41, "amount": "1", "per": 60},
                    ],
                }
            ),
            "units: first 10 a request 2.00 each, then 1.50 each, from 21 on free, from 31 on 1.00 each, "
            "from 41 on 1.00 per 60",
        ),
        (
            _rule(INPUT, windows=_windows(PEAK)),
            "0.15 per 1,000,000 input; Monday to Friday 01:00 to 04:00 (UTC): "
            "0.30 per 1,000,000 input, 1.20 per 1,000,000 output",
        ),
        (
            _rule(INPUT, windows=_windows(PEAK | {"days": ["sat", "sun"], "from": "00:00", "until": "24:00"})),
            "0.15 per 1,000,000 input; Saturday and Sunday all day (UTC): "
            "0.30 per 1,000,000 input, 1.20 per 1,000,000 output",
        ),
        (
            _rule(
                INPUT,
                windows=_windows(
                    PEAK | {"days": ["mon", "wed", "thu", "fri", "sun"], "from": "22:00", "until": "06:00"},
                    zone="Asia/Kathmandu",
                ),
            ),
            "0.15 per 1,000,000 input; Monday, Wednesday to Friday and Sunday 22:00 to 24:00, "
            "Monday, Tuesday and Thursday to Saturday 00:00 to 06:00 (Asia/Kathmandu): "
            "0.30 per 1,000,000 input, 1.20 per 1,000,000 output",
        ),
        (_rule(INPUT, rounding={}), "0.15 per 1,000,000 input"),
        (_rule(INPUT, rounding={"step": "0.01"}), "0.15 per 1,000,000 input; rounded up to 0.01"),
        (_rule(INPUT, rounding={"direction": "half_up"}), "0.15 per 1,000,000 input; rounded half up to 0.000001"),
        (_rule(INPUT, rounding={"direction": "down"}), "0.15 per 1,000,000 input; rounded down to 0.000001"),
    ],
)
def test_a_rule_in_one_line(rule: Rule, words: str) -> None:
    assert words == rule_summary(rule, "USD")


def test_amounts_have_the_decimals_of_the_currency() -> None:
    rule = _rule({"name": "input", "amount": "1250"}, base="0.5")
    assert "input: 1,250 each, plus 0.5 a request" == rule_summary(rule, "JPY")
    assert "input: 1,250.000 each, plus 0.500 a request" == rule_summary(rule, "KWD")
    assert "input: 1,250.00 each, plus 0.50 a request" == rule_summary(rule, "")


def test_sections_and_notes() -> None:
    tiers = {"by": ["input"], "from": [{"from": 200_001, "lines": DEAR[:1]}]}
    rule = _rule(INPUT, tiers=tiers, windows=_windows(PEAK | {"tiers": tiers}), period=MONTH, minimum="0.01")
    assert RuleWords(
        (
            RuleSection("", ("0.15 per 1,000,000 input", "at least 0.01 a request")),
            RuleSection("above 200,000 input", ("0.30 per 1,000,000 input", "at least 0.01 a request")),
            RuleSection(
                "Monday to Friday 01:00 to 04:00 (UTC)",
                ("0.30 per 1,000,000 input", "1.20 per 1,000,000 output"),
            ),
            RuleSection("Monday to Friday 01:00 to 04:00 (UTC), above 200,000 input", ("0.30 per 1,000,000 input",)),
        ),
        ("units are counted per calendar month (Europe/Berlin)",),
    ) == rule_words(rule, "USD")


def test_every_day_is_said_so() -> None:
    every_day = PEAK | {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}
    words = rule_words(_rule(INPUT, windows=_windows(every_day)), "USD")
    assert "every day 01:00 to 04:00 (UTC)" == words.sections[1].heading


@examples(50)
@given(rules(WIDE))
def test_any_rule_has_words(rule: Rule) -> None:
    words = rule_summary(rule, "USD")
    assert [] == [name for name in rule.names if name not in words and name != "requests"]
    assert words.isprintable()
