"""The schema of a rule is of the rules that are written and read, and of no others by their shape."""

import json
from copy import deepcopy
from typing import Any, Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from farebox.core.pricing.rules import Rule
from farebox.presenters.rules import RuleData, rule_data
from farebox.service.price_texts import read_rule, write_rule
from tests.support.effort import examples
from tests.support.price_rules import WIDE, rules

VALIDATOR: Final = Draft202012Validator(msgspec.json.schema(RuleData))
Path = tuple[str | int, ...]


def _places(value: object, path: Path = ()) -> list[Path]:
    inner: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [path, *(place for part, item in inner for place in _places(item, (*path, part)))]


@examples(50)
@given(rules(WIDE))
def test_a_rule_is_answered_as_it_is_written_and_as_the_schema_says(rule: Rule) -> None:
    answered = json.loads(msgspec.json.encode(rule_data(rule)))
    assert write_rule(rule) == answered
    VALIDATOR.validate(answered)
    assert rule == read_rule("rule", answered)


@examples(50)
@given(rules(WIDE).map(write_rule), st.data(), st.sampled_from((1.5, None, -1, "?")))
def test_a_value_that_no_rule_has_is_not_in_the_schema(
    written: dict[str, Any], data: st.DataObject, value: object
) -> None:
    path = data.draw(st.sampled_from([place for place in _places(written) if place and place[-1] != "zone"]))
    damaged: Any = deepcopy(written)
    inner = damaged
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    assert not VALIDATOR.is_valid(damaged)
