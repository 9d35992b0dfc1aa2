"""What a request costs by genai-prices' data, straight from its members: independent of the import and its rules."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Any, Final

from benchmarks.price_fit.numbers import dollars

Units = Mapping[str, Mapping[str, Any]]

_BILLED_TEN_SECONDS: Final = ("groq/whisper-large-v3", "groq/whisper-large-v3-turbo")


class GenaiModel:
    """One model, for one variant: the ending of a request type's name."""

    def __init__(self, name: str, model: Mapping[str, Any], ending: str, units: Units) -> None:
        """Take a model and the units of its keys."""
        self._name = name
        prices = model["prices"]
        self._prices = [{"prices": prices}] if isinstance(prices, Mapping) else prices
        self._variants = [
            variant
            for variant in model.get("price_variants") or ()
            if ending[1:] in ("".join(variant["when"].values()), ":".join(variant["when"].values())) and ending
        ]
        self._units = {unit["price_key"]: (key, unit) for key, unit in units.items()}
        self._inputs = {_line(key) for key, unit in units.items() if _is_input_token(unit["dimensions"])}

    @property
    def borders(self) -> list[int]:
        """The numbers of input tokens up to which a request is cheaper than above."""
        every = [*self._prices, *self._variants]
        tiered = [price for some in every for price in some["prices"].values() if isinstance(price, Mapping)]
        return sorted({int(tier["start"]) for price in tiered for tier in price["tiers"]})

    def is_input(self, name: str) -> bool:
        return name in self._inputs

    def cost(self, quantities: Mapping[str, int], at: datetime) -> Fraction:
        """Work a request's cost out, in dollars."""
        prices = self._in_force(at)
        tokens = sum(count for name, count in quantities.items() if self.is_input(name))
        total = Fraction(0)
        for price_key, price in prices.items():
            key, unit = self._units[price_key]
            count = 1 if key == "requests" else quantities[_line(key)]
            if self._name in _BILLED_TEN_SECONDS and "seconds" in key and count:
                count = max(count, 10)
            text = price
            if isinstance(price, Mapping):
                text = price["base"]
                for tier in sorted(price["tiers"], key=lambda tier: int(tier["start"])):
                    if tokens > int(tier["start"]):
                        text = tier["price"]
            total += dollars(str(text)) * count / int(unit["per"])
        return total

    def _in_force(self, at: datetime) -> Mapping[str, Any]:
        holding = [some for some in self._prices if _holds(some.get("constraint"), at)]
        prices = dict((holding or self._prices)[-1 if holding else 0]["prices"])
        for variant in reversed(self._variants):
            if _holds(variant.get("constraint"), at):
                prices |= variant["prices"]
        return {key: price for key, price in prices.items() if price is not None}


def _line(key: str) -> str:
    return key.removesuffix("_tokens")


def _is_input_token(dimensions: Mapping[str, str]) -> bool:
    return dimensions.get("family") == "tokens" and dimensions.get("direction") == "input"


def _holds(constraint: Mapping[str, str] | None, at: datetime) -> bool:
    if not constraint:
        return True
    if "start_date" in constraint:
        return at.astimezone(UTC).date() >= date.fromisoformat(constraint["start_date"])
    start, end = (time.fromisoformat(constraint[name]).replace(tzinfo=UTC) for name in ("start_time", "end_time"))
    now = at.astimezone(UTC).timetz()
    return start <= now < end if start <= end else now >= start or now < end
