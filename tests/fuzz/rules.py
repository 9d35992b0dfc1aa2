"""Rules of prices, as documents and as plain values: each is read back as it was written, or refused by its place."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any, Final

from farebox.core.pricing.costs import CostTooLarge, cost
from farebox.core.pricing.rules import Rule
from farebox.presenters.pricing.price_words import rule_summary
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import read_rule, write_rule
from farebox.service.rule_documents import parse_rule
from tests.fuzz.making import any_text, edited, just, one_of
from tests.fuzz.target import Target

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
            {"days": ["mon", "tue"], "from": "01:00", "until": "04:00", "lines": [{"name": "cached", "amount": "9"}]},
            {"days": ["fri"], "from": "22:00", "until": "02:00", "lines": [], "base": "1"},
        ],
    },
    "period": {"unit": "month", "zone": "Europe/Berlin", "refundsGiveBack": True},
    "rounding": {"step": "0.01", "direction": "half_up"},
}
TOML: Final = """
base = "0.005"
lines = [{ name = "input", amount = "0.15", per = 1_000_000 }]
[period]
unit = "day"
zone = "UTC"
"""
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2, 10**12, 10**12 + 1, 10**15, 10**400, 0.15, float("nan"), float("inf")),
    *("", "0", "0.15", "1000000000000", "input", "cached", "mon", "sun", "00:00", "24:00", "04:00", "UTC", "up", "day"),
    *("\ud800", "x" * 300, [], {}, [[]], ["input"], [{}], {"lines": []}, b"", (1,)),
)
PLACE: Final = re.compile(r"rule(\.[A-Za-z0-9_-]{1,40}|\[\d{1,3}\])*", re.ASCII)


def _damaged(random: Random) -> Any:
    """Take a rule that has every member, and change some of them."""
    root: dict[str, Any] = {"rule": deepcopy(WHOLE)}
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        inner, key = place_in(root, random)
        match random.randrange(4):
            case 0:
                del inner[key]
            case 1 if isinstance(inner, dict):
                inner[random.choice(("surcharge", "", "a b", "per", "from", "lines", "\ud800"))] = random.choice(VALUES)
            case _:
                inner[key] = deepcopy(random.choice(VALUES))
        if "rule" not in root:
            return None
    return root["rule"]


def place_in(value: Any, random: Random) -> tuple[Any, Any]:
    """Choose a member or an item anywhere within a value that has one."""
    while True:
        key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.2:
            return value, key
        value = inner


def _read(read: Callable[[str, Any], Rule], value: object) -> Rule | None:
    """Read a rule; None if it was refused by a place and with words that can be shown."""
    try:
        return read("rule", value)
    except InvalidInput as error:
        refused = error
    assert PLACE.fullmatch(refused.field), refused.field
    assert refused.message.encode()
    return None


def _check_value(value: object) -> None:
    rule = _read(read_rule, value)
    if rule is None:
        return
    assert rule == read_rule("rule", write_rule(rule)) == parse_rule("rule", _document(rule))
    assert rule_summary(rule, "USD").isprintable()
    for rates in rule.every_rates:
        with suppress(CostTooLarge):
            assert cost(rule, rates, dict.fromkeys(rule.names, 1_000), {}).amount % rule.step == 0


def _document(rule: Rule) -> str:
    return json.dumps(write_rule(rule), indent=2)


def _check_document(text: str) -> None:
    rule = _read(parse_rule, text)
    assert rule is None or rule == parse_rule("rule", _document(rule))


def rule_targets() -> list[Target[Any]]:
    """List what reads rules."""
    documents = one_of(edited(just(json.dumps(WHOLE), json.dumps(WHOLE, indent=1), TOML)), any_text)
    return [
        Target("rules of prices", _damaged, _check_value, 40),
        Target("rules of prices, as documents", documents, _check_document, 20),
    ]
