"""Farebox's own format of a price list: the same in TOML and JSON, and a fault in it names its place."""

import re
from typing import Any

import pytest

from farebox.core.pricing.rules import Line, Rates, Rule
from farebox.service.catalogue.files import read_file
from farebox.service.catalogue.listed import Offer
from farebox.service.catalogue.own import read_own
from farebox.service.errors import InvalidInput
from tests.tidy.files import ROOT

TOML = b"""
[image]
unitPrice = "0.008"

[chat]
rule = { lines = [{ name = "input", amount = "0.15", per = 1000000 }] }

[free]
unitPrice = "0"

[[other]]
variable = true

[[other]]
unitPrice = "1"
startsAt = "2027-01-01T00:00:00Z"
"""
JSON = b"""{
  "image": {"unitPrice": "0.008"},
  "chat": {"rule": {"lines": [{"name": "input", "amount": "0.15", "per": 1000000}]}},
  "free": {"unitPrice": "0"},
  "other": [{"variable": true}, {"unitPrice": "1", "startsAt": "2027-01-01T00:00:00Z"}]
}"""
OFFERS = [
    ("image", Offer(8_000), None),
    ("chat", Offer(rule=Rule(Rates((Line("input", 150_000, 1_000_000),)))), None),
    ("free", Offer(rule=Rule(Rates((Line("requests", 0),)))), None),
    ("other", Offer(), None),
    ("other", Offer(1_000_000), 1_798_761_600_000_000),
]


@pytest.mark.parametrize("data", [TOML, JSON, b"\xef\xbb\xbf\n" + JSON], ids=["TOML", "JSON", "with a mark"])
def test_a_list_is_the_same_in_toml_and_json(data: bytes) -> None:
    listed = read_own(read_file(data))
    assert OFFERS == [(item.request_type, item.offer, item.starts_at) for item in listed]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([], "FILE"),
        ({"a b": {"unitPrice": "1"}}, "FILE"),
        ({"a": 1}, "a"),
        ({"a": []}, "a"),
        ({"a": {}}, "a"),
        ({"a": {"unitPrice": "1", "variable": True}}, "a"),
        ({"a": {"unitPrice": "1", "price": 1}}, "a.price"),
        ({"a": {"unitPrice": 1.5}}, "a.unitPrice"),
        ({"a": {"unitPrice": "-1"}}, "a.unitPrice"),
        ({"a": {"variable": False}}, "a.variable"),
        ({"a": [{"unitPrice": "1"}, {"unitPrice": "1", "startsAt": "soon"}]}, "a[1].startsAt"),
        ({"a": {"rule": {"lines": [{"name": "x", "amount": "0.1234567"}]}}}, "a.rule.lines[0].amount"),
        ({"m": {"litellm_provider": "x", "input_cost_per_token": "1"}}, "FILE"),
    ],
)
def test_a_fault_names_its_place(values: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        list(read_own(values))
    assert field == refused.value.field


@pytest.mark.parametrize("data", [b"a = ", b"\xff", b"{", b'{"a":1,"a":2}'])
def test_what_is_no_file_of_the_kind_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_file(data)


@pytest.mark.parametrize("language", ["toml", "json"])
def test_the_examples_of_the_documentation_are_lists(language: str) -> None:
    page = (ROOT / "docs" / "how-to" / "import-prices.md").read_text()
    (example,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    listed = list(read_own(read_file(example.encode())))
    assert {"image", "search"} <= {item.request_type for item in listed}
    assert 2 == sum(item.request_type == "search" for item in listed)
