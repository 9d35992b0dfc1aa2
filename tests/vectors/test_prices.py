"""The shared vectors hold for the ledger's arithmetic, for both models, and for what was worked out by hand."""

import json
from fractions import Fraction
from typing import Any, Final

import pytest

from farebox.core.money import MICROS_PER_UNIT
from farebox.core.pricing.costs import CostTooLarge, cost
from farebox.core.pricing.times import rates_at
from farebox.service import inputs
from farebox.service.parsing import parse_amount
from farebox.service.price_texts import read_rule
from tests.support.price_models import decimal_cost
from tests.vectors import FILE
from tests.vectors.__main__ import written
from tests.vectors.cases import CASES

VECTORS: Final[list[dict[str, Any]]] = json.loads(FILE.read_text())["vectors"]
ASKED: Final = [(case.name, asked) for case in CASES for asked in case.asked]


def test_the_file_is_as_its_cases_are() -> None:
    assert written() == FILE.read_text(), "run python -m tests.vectors"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_ledger_charges_what_a_vector_says(vector: dict[str, Any]) -> None:
    rule = read_rule("rule", vector["rule"])
    window, rates = rates_at(rule, inputs.time("at", vector["at"]))
    asked = (rule, rates, vector["quantities"], vector["counts"])
    if "refused" in vector:
        with pytest.raises(CostTooLarge):
            cost(*asked)
        return
    told = cost(*asked)
    assert vector["window"] == window
    assert vector["tier"] == (None if told.tier is None else told.tier + 1)
    assert parse_amount(vector["amount"]) == told.amount == decimal_cost(*asked)
    assert Fraction(vector["exact"]) == Fraction(told.numerator, told.denominator * MICROS_PER_UNIT)
    assert vector["lines"] == [
        {
            "name": line.name,
            "units": line.units,
            "exact": str(Fraction(line.numerator, line.denominator * MICROS_PER_UNIT)),
        }
        for line in told.lines
    ]


@pytest.mark.parametrize(("vector", "case"), list(zip(VECTORS, ASKED, strict=True)), ids=range(len(ASKED)))
def test_vectors_are_what_was_worked_out_by_hand(vector: dict[str, Any], case: Any) -> None:
    name, asked = case
    assert name == vector["name"]
    if asked.amount == "refused":
        assert "cost_too_large" == vector["refused"]
    elif asked.amount is not None:
        assert parse_amount(asked.amount) == parse_amount(vector["amount"])
