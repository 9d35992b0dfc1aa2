"""Writes `prices.json`."""

import json
from collections.abc import Iterator
from typing import Any, Final

from farebox.core.money import MICROS_PER_UNIT, format_amount
from farebox.core.pricing.times import rates_at
from farebox.service import inputs
from farebox.service.price_texts import read_rule
from tests.support.price_models import Modelled, fraction_cost
from tests.vectors import FILE
from tests.vectors.cases import CASES, Asked

USUAL_TIME: Final = "2026-11-25T12:00:00Z"


def vectors() -> Iterator[dict[str, Any]]:
    for case in CASES:
        rule = read_rule("rule", case.rule)
        for asked in case.asked:
            window, rates = rates_at(rule, inputs.time("at", asked.at or USUAL_TIME))
            modelled = fraction_cost(rule, rates, asked.quantities, asked.counts)
            yield {
                "name": case.name,
                "rule": case.rule,
                "at": asked.at or USUAL_TIME,
                "quantities": asked.quantities,
                "counts": asked.counts,
                **({"refused": "cost_too_large"} if modelled.is_too_large else told(asked, modelled, window)),
            }


def told(asked: Asked, modelled: Modelled, window: int | None) -> dict[str, Any]:
    return {
        "amount": format_amount(modelled.amount),
        "exact": str(modelled.exact / MICROS_PER_UNIT),
        "tier": modelled.tier,
        "window": window,
        "lines": [
            {"name": name, "units": modelled.units[name], "exact": str(cost / MICROS_PER_UNIT)}
            for name, cost in modelled.lines.items()
        ],
    }


def written() -> str:
    about = (
        "What requests cost by rules of prices. Amounts are in units of the currency; `exact` is what `amount` was "
        "rounded from, as a fraction; `tier` and `window` are numbers from 1."
    )
    lines = ",\n".join(json.dumps(vector) for vector in vectors())
    return f'{{"about": {json.dumps(about)}, "vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    FILE.write_text(written())
