"""Price lists that were made up for the tests, read as the import reads them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from farebox.core.pricing.costs import cost
from farebox.core.pricing.rules import Rates, Rule
from farebox.service.catalogue.files import read_json
from farebox.service.catalogue.genai_prices import read_genai_prices
from farebox.service.catalogue.listed import Listed, Reason
from farebox.service.catalogue.litellm import read_litellm

NOON = 1_790_000_000_000_000
"""21 September 2026, in micros since 1970."""


def litellm(members: Mapping[str, Any] | str, *, reads_fractions: bool = False) -> dict[str, Listed]:
    """Read a price file of one model, `m`, by the names of the types that it comes to."""
    text = members if isinstance(members, str) else json.dumps(members)
    return _by_type(list(read_litellm(read_json(f'{{"m": {text}}}'.encode()), reads_fractions=reads_fractions)))


def genai(model: Mapping[str, Any], *, provider: str = "p", at: int = NOON) -> list[Listed]:
    """Read a list of one provider with one model, `m`."""
    data = json.dumps([{"id": provider, "models": [{"id": "m", **model}]}])
    return list(read_genai_prices(read_json(data.encode()), at=at))


def _by_type(listed: Sequence[Listed]) -> dict[str, Listed]:
    by_type = {item.request_type: item for item in listed}
    assert len(by_type) == len(listed), "a type stands twice"
    return by_type


def rule_of(item: Listed) -> Rule:
    assert item.problem is None, item.problem
    assert item.offer is not None
    assert item.offer.rule is not None
    return item.offer.rule


def costs(item: Listed, rates: Rates | None = None, /, **quantities: int) -> int:
    """Tell what a request of these quantities costs, outside windows unless rates are named."""
    rule = rule_of(item)
    assert set(quantities) <= set(rule.names), f"{set(quantities) - set(rule.names)} can't be named"
    return cost(rule, rates or rule.rates, quantities, {}).amount


def reason_of(item: Listed) -> Reason:
    assert item.offer is None
    assert item.problem is not None
    return item.problem.reason
