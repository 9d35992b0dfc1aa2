"""Rules as people write them down."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.service.errors import InvalidInput
from farebox.service.price_texts import write_rule
from farebox.service.rule_documents import DOCUMENT_CHARS_MAX, parse_rule
from tests.support.effort import examples
from tests.support.price_rules import WIDE, rules

INPUT = Rule(Rates((Line("input", 150_000),)))


@examples(50)
@given(rules(WIDE))
def test_a_rule_is_read_back_out_of_its_document(rule: Rule) -> None:
    assert rule == parse_rule("rule", json.dumps(write_rule(rule), indent=2))


@pytest.mark.parametrize(
    "text",
    [
        '{"lines": [{"name": "input", "amount": "0.15"}]}',
        '\n  {"lines": [{"name": "input",\r\n "amount": "0.15"}]}\n',
        'lines = [{ name = "input", amount = "0.15" }]',
        '# A comment.\n[[lines]]\nname = "input"\namount = "0.15"\n',
    ],
)
def test_json_or_toml(text: str) -> None:
    assert INPUT == parse_rule("rule", text)


@pytest.mark.parametrize(
    ("text", "field", "message"),
    [
        ("", "rule", "this is empty; write a rule in JSON or TOML"),
        (" \n", "rule", "this is empty"),
        ("0.15", "rule", "this is no TOML, nor JSON, which begins with a brace: "),
        ('{"lines": [}', "rule", "this is no JSON: Expecting value: line 1 column 12"),
        ('{"lines": [], "lines": []}', "rule", "this is no JSON: 'lines' is given twice in one object"),
        ('{"lines": ' + "1" * 5000 + "}", "rule", "this is no JSON: "),
        ('{"lines": ' + "[" * 50_000, "rule", "this is no JSON: "),
        ("x" * (DOCUMENT_CHARS_MAX + 1), "rule", "this has 60,001 characters; a rule has 60,000 at most"),
        ('{"lines": [{"name": "input", "amount": 0.15}]}', "rule.lines[0].amount", "this is a number with a point"),
        ('{"lines": [{"name": "input", "amount": NaN}]}', "rule.lines[0].amount", "this is a number with a point"),
        ('lines = [{ name = "input", amount = 0.15 }]', "rule.lines[0].amount", "this is a number with a point"),
        ("lines = 2026-01-31", "rule.lines", "this is a value of another kind (date); it must be a list of lines"),
    ],
)
def test_what_is_wrong_is_told(text: str, field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_rule("rule", text)
    assert (field, message) == (raised.value.field, raised.value.message[: len(message)])


@given(st.text() | st.text(alphabet='{}[]":,=.0123456789 linesamout\n', max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        parse_rule("rule", text)
