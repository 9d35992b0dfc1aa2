"""What `farebox price quote` tells, and what it refuses."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.shell import Shell

RULE: Final[dict[str, Any]] = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000},
        {"name": "output", "amount": "0.60", "per": 1_000_000},
    ],
    "base": "0.00001",
    "tiers": {
        "by": ["input"],
        "from": [{"from": 1_001, "lines": [{"name": "input", "amount": "0.30", "per": 1_000_000, "block": 7}]}],
    },
    "period": {"unit": "month", "zone": "UTC"},
}


@pytest.fixture
def priced(shell: Shell, tmp_path: Path) -> Shell:
    """A database in which `chat` has a rule and `image` a unit price."""
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(RULE))
    shell.ok("price", "set", "chat", "--rule", str(path))
    shell.ok("price", "set", "image", "0.01")
    return shell


def test_a_quote_is_told_line_by_line(priced: Shell) -> None:
    assert [
        "chat: 1,000 input + 350 output would cost 0.00037.",
        "line    quantity  charged  exactly",
        "input      1,000    1,000  0.00015",
        "output       350      350  0.00021",
        "goes on from no units counted before in this month",
        "0.00001 for the request",
    ] == priced.ok("price", "quote", "chat", "--quantity", "input=1000", "--quantity", "output=350").out.splitlines()
    told = priced.ok("price", "quote", "chat", "--quantity", "input=1001").out
    assert "above 1,000 input" in told
    assert "0.0003103 exactly, rounded up to 0.000311" in told


def test_a_quote_for_a_merchant_is_in_its_currency_and_by_its_own_price(priced: Shell) -> None:
    merchant = priced.merchant()
    priced.ok("price", "set", "image", "0.005", "--merchant", merchant)
    for words, costs in (
        ((), "image: 1 request would cost 0.01."),
        (("--quantity", "4"), "image: 4 requests would cost 0.04."),
        (("--quantity", "requests=4", "--merchant", merchant), "image: 4 requests would cost 0.02 USD."),
    ):
        assert costs == priced.ok("price", "quote", "image", *words).out.splitlines()[0]


def test_a_quote_is_in_json_as_in_the_api(priced: Shell) -> None:
    quoted = priced.json("price", "quote", "chat", "--quantity", "input=3", "--quantity", "output=7")
    assert ("0.000015", "293/20000000", None) == (quoted["amount"], quoted["exact"], quoted["currency"])
    assert ["input", "output"] == [line["name"] for line in quoted["lines"]]
    assert {} == quoted["period"]["before"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("chat",), "is priced by input, output"),
        (("chat", "--quantity", "5"), "is priced by input, output"),
        (("chat", "--quantity", "tokens=5"), "no quantity 'tokens'"),
        (("chat", "--quantity", "input=many"), "--quantity: 'input=many' has no whole number"),
        (("chat", "--quantity", "input=-1"), "--quantity: 'input=-1' has no whole number"),
        (("chat", "--quantity", "input=1", "--quantity", "input=2"), "--quantity: 'input=2' is none"),
        (("chat", "--quantity", "input=1", "--quantity", "2"), "--quantity: '2' is none"),
        (("chat", "--quantity", "input=1", "--at", "2020-01-01T00:00:00Z"), "within the last 24 hours"),
        (("chat", "--quantity", "input=1", "--merchant", "Northwind"), "'Northwind'"),
        (("image", "--amount", "1"), "has a unit price"),
        (("nope",), "No price is in force for the request type 'nope'"),
    ],
)
def test_what_cannot_be_quoted_is_said(priced: Shell, words: tuple[str, ...], message: str) -> None:
    assert message in priced.run("price", "quote", *words).err
