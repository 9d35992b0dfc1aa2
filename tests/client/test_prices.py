"""The client's copy of the arithmetic tells what the ledger charges, and refuses what it does not know."""

import doctest
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.core.money import MICROS_PER_UNIT
from farebox.core.pricing import costs as pricing
from farebox.core.pricing.rules import Rule
from farebox.core.pricing.times import rates_at
from farebox.service.price_texts import write_rule
from farebox_client.prices import PriceRule, QuantityUnknown, RequestTooLarge, RuleUnsupported, cost
from tests.support.price_rules import SMALL, WIDE, Sizes, quantities_of, rules, times
from tests.tidy.files import ROOT
from tests.vectors import FILE

VECTORS: Final[list[dict[str, Any]]] = json.loads(FILE.read_text())["vectors"]
TOKENS: Final = {"lines": [{"name": "input", "amount": "0.15", "per": 1_000_000}, {"name": "output", "amount": "0.6"}]}
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def test_the_how_to_is_true() -> None:
    page = ROOT / "docs" / "how-to" / "compute-costs.md"
    tried = doctest.testfile(str(page), module_relative=False, report=True)
    assert (0, True) == (tried.failed, tried.attempted > 10)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_request_costs_what_a_vector_says(vector: dict[str, Any]) -> None:
    asked = {"at": datetime.fromisoformat(vector["at"]), "counts": vector["counts"]}
    if "refused" in vector:
        with pytest.raises(RequestTooLarge):
            cost(vector["rule"], vector["quantities"], **asked)
        return
    told = cost(vector["rule"], vector["quantities"], **asked)
    assert (Decimal(vector["amount"]), Fraction(vector["exact"])) == (told.amount, told.exact)
    assert (vector["tier"], vector["window"]) == (told.tier, told.window)
    assert vector["lines"] == [
        {"name": line.name, "units": line.units, "exact": str(line.exact)} for line in told.lines
    ]


@pytest.mark.parametrize("sizes", [SMALL, WIDE], ids=["small", "wide"])
@given(data=st.data(), at=times())
def test_any_rule_costs_what_the_ledger_charges(sizes: Sizes, data: st.DataObject, at: int) -> None:
    rule: Rule = data.draw(rules(sizes))
    quantities = data.draw(quantities_of(rule, sizes.quantities))
    counts = data.draw(quantities_of(rule, sizes.counts)) if rule.period is not None else {}
    read = PriceRule.of(json.loads(json.dumps(write_rule(rule))))
    assert (rule.names, rule.period is not None) == (read.names, read.is_counted)
    asked: dict[str, Any] = {"at": EPOCH + timedelta(microseconds=at), "counts": counts}
    window, rates = rates_at(rule, at)
    try:
        charged = pricing.cost(rule, rates, quantities, counts)
    except pricing.CostTooLarge:
        with pytest.raises(RequestTooLarge):
            read.cost(quantities, **asked)
        return
    told = read.cost(quantities, **asked)
    assert charged.amount == told.amount * MICROS_PER_UNIT
    assert Fraction(charged.numerator, charged.denominator) == told.exact * MICROS_PER_UNIT
    assert charged.units == told.units
    assert (charged.tier, window) == (None if told.tier is None else told.tier - 1, told.window)


def test_a_copy_of_the_file_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    shutil.copy(ROOT / "clients" / "python" / "src" / "farebox_client" / "prices.py", tmp_path / "prices.py")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import prices; "
        f"print(prices.cost({TOKENS!r}, {{'input': 1000, 'output': 2}}).amount)"
    )
    # Without the packages that are installed, Farebox among them.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    assert (0, "1.200150") == (done.returncode, done.stdout.strip()), done.stderr


def test_a_rule_is_read_once_for_many_requests() -> None:
    rule = PriceRule.of(TOKENS)
    assert ("input", "output") == rule.names
    assert not rule.is_counted
    assert Decimal("1.200150") == rule.cost({"input": 1_000, "output": 2}).amount
    assert Decimal("1.200001") == cost(rule, {"input": 1, "output": 2}).amount
    assert {"input": 1, "output": 0} == rule.cost({"input": 1}).units


def test_a_price_is_read_by_its_rule_or_by_its_unit_price() -> None:
    assert ("input", "output") == PriceRule.of_price({"type": "chat", "unitPrice": None, "rule": TOKENS}).names
    image = PriceRule.of_price({"type": "image", "unitPrice": "0.008", "rule": None})
    assert Decimal("0.024") == image.cost({"requests": 3}).amount
    with pytest.raises(RuleUnsupported, match="variable"):
        PriceRule.of_price({"type": "call", "unitPrice": None})


def test_a_window_goes_by_now_where_no_time_is_named() -> None:
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    always = {"days": days, "from": "00:00", "until": "24:00", "lines": [], "base": "7"}
    assert Decimal(7) == cost({**TOKENS, "windows": {"zone": "UTC", "windows": [always]}}, {}).amount


def test_counts_are_for_rules_that_count() -> None:
    free = {"lines": [{"name": "units", "amount": "1", "included": 10}]}
    assert 0 == cost(free, {"units": 5}, counts={"units": 10}).amount
    counted = {**free, "period": {"unit": "day", "zone": "UTC"}}
    assert Decimal(5) == cost(counted, {"units": 5}, counts={"units": 10}).amount


@pytest.mark.parametrize("quantity", [-1, 1.0, True, "1", 10**12 + 1, None])
def test_a_quantity_is_a_whole_number(quantity: Any) -> None:
    with pytest.raises(ValueError, match="'input' must be a whole number"):
        cost(TOKENS, {"input": quantity})


def test_an_unknown_quantity_is_refused_naming_those_there_are() -> None:
    with pytest.raises(QuantityUnknown, match="no quantity 'inputs'; there may be input, output"):
        cost(TOKENS, {"inputs": 1})


def test_a_time_has_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        cost(TOKENS, {"input": 1}, at=datetime(2026, 11, 29, 12))  # noqa: DTZ001 - that is the fault.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"surcharge": "1"}, "a rule has members that are not known here: surcharge"),
        ({"lines": [{"name": "input", "amount": "1", "tax": "1"}]}, "a line has members"),
        ({"lines": [{"name": "input", "graduated": [{"from": 1, "amount": "1", "flat": "1"}]}]}, "a step has"),
        ({"tiers": {"by": ["input"], "from": [], "reset": True}}, "a tiers has"),
        ({"tiers": {"by": ["input"], "from": [{"from": 1, "lines": [], "base": "1"}]}}, "a tier has"),
        ({"windows": {"zone": "UTC", "windows": [], "holidays": []}}, "a windows has"),
        ({"windows": {"zone": "UTC", "windows": [{"months": ["jan"]}]}}, "a window has"),
        ({"windows": {"zone": "Europe/Bonn", "windows": []}}, "Europe/Bonn"),
        ({"period": {"unit": "month", "zone": "UTC", "resets": "1"}}, "a period has"),
        ({"rounding": {"step": "0.01", "to": "even"}}, "a rounding has"),
        ({"rounding": {"direction": "half_even"}}, "this rounding is not known"),
        ({"rounding": {"step": "0"}}, "this rounding is not known"),
        ({"base": 0.5}, "an amount is a text, and not 0.5"),
        ({"base": "0.0000001"}, "no amount with six decimals"),
        ({"base": "-1"}, "no amount"),
        ({"base": "1e3"}, "no amount"),
        ({"lines": [{"name": "input", "amount": "1", "per": 1.5}]}, "1.5 is no whole number"),
        ({"lines": [{"name": "input", "amount": "1", "per": 0}]}, "0 is no whole number of 1 or more"),
        ({"lines": [{"name": "input", "amount": "1", "block": 0}]}, "0 is no whole number of 1 or more"),
        ({"lines": [{"name": "input"}]}, "can't be read"),
        ({"lines": None}, "can't be read"),
    ],
)
def test_a_rule_that_is_not_understood_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RuleUnsupported, match=words):
        PriceRule.of({**TOKENS, **change})
