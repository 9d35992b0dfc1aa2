"""The examples of rules in the documentation are what it says that they are."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from farebox.core.money import format_amount
from farebox.core.pricing.costs import cost
from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.core.pricing.times import rates_at
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import read_rule, write_rule

DOCS: Final = Path(__file__).parents[2] / "docs"
EXPLAINED: Final = (DOCS / "explanation" / "prices.md").read_text(encoding="utf-8")
REFERENCE: Final = (DOCS / "reference" / "price-rules.md").read_text(encoding="utf-8")
EXAMPLE: Final = re.compile(r"```json\n(.*?)```\n\n\|([^\n]*)\|\n\|[^\n]*\n((?:\|[^\n]*\n)+)", re.DOTALL)
QUANTITY: Final = re.compile(r"([\d,]+) (\S+)")
FAULT: Final = re.compile(r"^\| `(\{.*\})` \| (\S+): (.*) \|$", re.MULTILINE)


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def _examples() -> Iterator[tuple[Rule, dict[str, str]]]:
    """Go through the rows of the tables, each with the rule above it."""
    for text, header, rows in EXAMPLE.findall(EXPLAINED):
        rule = read_rule("rule", json.loads(text))
        for row in rows.splitlines():
            yield rule, dict(zip(_cells(header), _cells(row), strict=True))


def _number(text: str) -> int:
    return int(text.replace(",", ""))


@pytest.mark.parametrize(("rule", "row"), list(_examples()))
def test_a_cost_in_the_documentation_is_what_a_request_costs(rule: Rule, row: dict[str, str]) -> None:
    named = [QUANTITY.fullmatch(words) for words in row["quantities"].split(", ")]
    quantities = {match[2]: _number(match[1]) for match in named if match}
    assert set(quantities) <= set(rule.names)
    assert len(quantities) == len(named)
    rates = rates_at(rule, inputs.time("time", row["time"]))[1] if rule.windows else rule.rates
    counts = dict.fromkeys(quantities, _number(row["units before"])) if rule.period else {}
    assert row["cost"] == format_amount(cost(rule, rates, quantities, counts).amount)


def test_every_rule_in_the_documentation_is_one() -> None:
    texts = re.findall(r"```json\n(.*?)```", EXPLAINED + REFERENCE, re.DOTALL)
    assert len(EXAMPLE.findall(EXPLAINED)) == EXPLAINED.count("```json")
    for text in texts:
        value = json.loads(text)
        rule = read_rule("rule", value.get("rule", value))
        assert rule == read_rule("rule", write_rule(rule))


def test_the_rule_in_toml() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", REFERENCE, re.DOTALL)
    rule = read_rule("rule", tomllib.loads(text))
    assert Rates((Line("input", 150_000, 10**6), Line("output", 600_000, 10**6)), base=5_000) == rule.rates


def test_faults_in_the_reference_are_named_so() -> None:
    faults = FAULT.findall(REFERENCE)
    assert 3 == len(faults)
    for text, field, message in faults:
        with pytest.raises(InvalidInput) as raised:
            read_rule("rule", json.loads(text))
        assert (field, message) == (raised.value.field, raised.value.message)


def _members(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _members(member)
    elif isinstance(value, list):
        for item in value:
            yield from _members(item)


def test_every_member_that_is_written_is_in_the_reference() -> None:
    (whole, *_) = re.findall(r"```json\n(.*?)```", REFERENCE, re.DOTALL)
    assert [] == [name for name in set(_members(json.loads(whole))) if f"`{name}`" not in REFERENCE]
