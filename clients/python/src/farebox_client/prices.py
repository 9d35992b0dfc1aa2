"""What a request costs by a rule of prices, as a server charges it: exact, and rounded once.

    from farebox_client.prices import PriceRule

    rule = PriceRule.of_price(price)  # one of the prices of GET /api/prices
    rule.cost({"input": 1_000, "output": 350}).amount  # Decimal("0.000360")

It takes the standard library alone, so a service may also keep a copy of this file.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from zoneinfo import ZoneInfo

PRODUCT_MAX: Final = 9 * 10**18
"""The largest amount x quantity of a line, in micros. A server refuses what is beyond it."""

QUANTITY_MAX: Final = 10**12

_MICROS_PER_UNIT: Final = 10**6
_AMOUNT: Final = re.compile(r"([0-9]{1,13})(?:\.([0-9]{1,6}))?")
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60


class RuleUnsupported(ValueError):
    """The rule is broken, or has something that this module does not know: a newer one may."""


class QuantityUnknown(ValueError):
    """A quantity was named that the rule has no line for."""


class RequestTooLarge(ValueError):
    """A line's amount x quantity is above PRODUCT_MAX."""


@dataclass(frozen=True, slots=True)
class RequestLineCost:
    """What a line came to: the units that it charged, and exactly what they cost, in units of the currency."""

    name: str
    units: int
    exact: Fraction


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What a request costs, in units of the currency, and how that came about."""

    amount: Decimal
    """The price of the request: `exact`, rounded as the rule says."""
    exact: Fraction
    """The base and all lines, or the minimum if that is more."""
    lines: tuple[RequestLineCost, ...]
    tier: int | None
    """The number of the tier that applied, from 1; None if none did."""
    window: int | None
    """The number of the window that applied, from 1; None outside of all windows."""

    @property
    def units(self) -> dict[str, int]:
        """What to add to the counts of a period, by line."""
        return {line.name: line.units for line in self.lines}


@dataclass(frozen=True, slots=True)
class _Step:
    start: int
    price: Fraction
    amount: int


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    steps: tuple[_Step, ...]
    included: int
    block: int
    at_least: int

    def cost(self, quantity: int, before: int) -> RequestLineCost:
        units = -(-max(quantity, self.at_least) // self.block) * self.block if quantity else 0
        first, last = max(before, self.included) + 1, before + units
        exact = Fraction()
        ends = [step.start - 1 for step in self.steps[1:]]
        for step, end in zip(self.steps, [*ends, last], strict=True):
            charged = min(last, end) - max(first, step.start) + 1
            if charged > 0:
                if charged * step.amount > PRODUCT_MAX:
                    raise RequestTooLarge(f"the quantity of {self.name!r} is more than can be priced exactly at once")
                exact += charged * step.price
        return RequestLineCost(self.name, units, exact / _MICROS_PER_UNIT)


@dataclass(frozen=True, slots=True)
class _Rates:
    lines: tuple[_Line, ...]
    base: int
    minimum: int
    by: tuple[str, ...]
    tiers: tuple[tuple[int, tuple[_Line, ...]], ...]

    def every_line(self) -> Iterable[_Line]:
        yield from self.lines
        for _, lines in self.tiers:
            yield from lines

    def chosen(self, quantities: Mapping[str, int]) -> tuple[int | None, tuple[_Line, ...]]:
        measure = sum(quantities.get(name, 0) for name in self.by)
        for number, (start, lines) in reversed([*enumerate(self.tiers, 1)]):
            if measure >= start:
                return number, lines
        return None, self.lines


@dataclass(frozen=True, slots=True)
class _Window:
    days: frozenset[int]
    start_minute: int
    end_minute: int
    rates: _Rates


@dataclass(frozen=True, slots=True)
class PriceRule:
    """A rule that was read once, and prices any number of requests."""

    names: tuple[str, ...]
    """The quantities that a request may name."""
    is_counted: bool
    """Whether units are counted over a day or month: then `counts` matters."""
    _rates: _Rates
    _windows: tuple[_Window, ...]
    _zone: ZoneInfo | None
    _step: int
    _direction: str

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> "PriceRule":
        """Read a rule as `GET /api/prices` gives it, and as files have it.

        Raises:
            RuleUnsupported: it is broken, or has a member that this module does not know.
        """
        try:
            return _read(rule)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, RuleUnsupported):
                raise
            raise RuleUnsupported(f"the rule can't be read: {error!r}") from error

    @classmethod
    def of_price(cls, price: Mapping[str, Any]) -> "PriceRule":
        """Read one of the prices of `GET /api/prices`: by its rule, or by its unit price, which counts `requests`.

        Raises:
            RuleUnsupported: it has neither, as callers name the amount themselves, or `of` can't read the rule.
        """
        if price.get("rule") is not None:
            return cls.of(price["rule"])
        if price.get("unitPrice") is None:
            raise RuleUnsupported("the price is variable: the charge names the amount")
        return cls.of({"lines": [{"name": "requests", "amount": price["unitPrice"]}]})

    def cost(
        self, quantities: Mapping[str, int], *, at: datetime | None = None, counts: Mapping[str, int] | None = None
    ) -> RequestCost:
        """Tell what a request costs.

        Args:
            quantities: how much it takes of each of the rule's `names`; none of those that are left out.
            at: when it is made, which chooses the window; now if left out. It must have a time zone.
            counts: the units that this day's or month's earlier requests were charged, by line: the sum of their
                `RequestCost.units`. It is for a rule that `is_counted`.

        Raises:
            QuantityUnknown: the rule has no line of a name.
            RequestTooLarge: a server would refuse so much at once.
            ValueError: a quantity is no whole number from 0 to 10^12, or `at` has no time zone.
        """
        for name, quantity in quantities.items():
            if name not in self.names:
                raise QuantityUnknown(f"there is no quantity {name!r}; there may be {', '.join(self.names)}")
            if type(quantity) is not int or not 0 <= quantity <= QUANTITY_MAX:
                raise ValueError(f"the quantity of {name!r} must be a whole number from 0 to {QUANTITY_MAX:,}")
        before = counts if counts is not None and self.is_counted else {}
        window, rates = self._rates_at(at)
        tier, chosen = rates.chosen(quantities)
        lines = tuple(line.cost(quantities.get(line.name, 0), before.get(line.name, 0)) for line in chosen)
        exact = Fraction(rates.base, _MICROS_PER_UNIT) + sum(line.exact for line in lines)
        exact = max(exact, Fraction(rates.minimum, _MICROS_PER_UNIT))
        return RequestCost(_decimal(self._rounded(exact * _MICROS_PER_UNIT)), exact, lines, tier, window)

    def _rates_at(self, at: datetime | None) -> tuple[int | None, _Rates]:
        if at is not None and at.utcoffset() is None:
            raise ValueError("the time must have a time zone")
        if self._zone is None:
            return None, self._rates
        local = (at or datetime.now(timezone.utc)).astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        for number, window in enumerate(self._windows, 1):
            if local.weekday() in window.days and window.start_minute <= minute < window.end_minute:
                return number, window.rates
        return None, self._rates

    def _rounded(self, micros: Fraction) -> int:
        steps = micros / self._step
        match self._direction:
            case "up":
                return -(-steps // 1) * self._step
            case "half_up":
                return (steps + Fraction(1, 2)) // 1 * self._step
            case _:
                return steps // 1 * self._step


def cost(
    rule: PriceRule | Mapping[str, Any],
    quantities: Mapping[str, int],
    *,
    at: datetime | None = None,
    counts: Mapping[str, int] | None = None,
) -> RequestCost:
    """Tell what a request costs by a rule, as `PriceRule.of` and `PriceRule.cost` do."""
    read = rule if isinstance(rule, PriceRule) else PriceRule.of(rule)
    return read.cost(quantities, at=at, counts=counts)


# Reading a rule.

_RATES: Final = frozenset({"lines", "base", "minimum", "tiers"})


def _read(rule: Mapping[str, Any]) -> PriceRule:
    _ensure_known("rule", rule, _RATES | {"windows", "period", "rounding"})
    rates = _read_rates(rule)
    zone, windows = _read_windows(rule["windows"]) if rule.get("windows") is not None else (None, ())
    _ensure_known("period", rule.get("period") or {}, {"unit", "zone", "refundsGiveBack"})
    rounding = rule.get("rounding") or {}
    _ensure_known("rounding", rounding, {"step", "direction"})
    step, direction = _micros(rounding.get("step", "0.000001")), rounding.get("direction", "up")
    if step < 1 or direction not in ("up", "half_up", "down"):
        raise RuleUnsupported(f"this rounding is not known: {dict(rounding)!r}")
    every_line = [
        line for one_rates in (rates, *(window.rates for window in windows)) for line in one_rates.every_line()
    ]
    names = tuple(dict.fromkeys(line.name for line in every_line))
    return PriceRule(names, rule.get("period") is not None, rates, windows, zone, step, direction)


def _read_rates(members: Mapping[str, Any]) -> _Rates:
    tiers = members.get("tiers") or {}
    _ensure_known("tiers", tiers, {"by", "from"})
    levels = tiers.get("from", ())
    for tier in levels:
        _ensure_known("tier", tier, {"from", "lines"})
    return _Rates(
        lines=_read_lines(members["lines"]),
        base=_micros(members.get("base", "0")),
        minimum=_micros(members.get("minimum", "0")),
        by=tuple(tiers.get("by", ())),
        tiers=tuple((_whole(tier["from"]), _read_lines(tier["lines"])) for tier in levels),
    )


def _read_lines(lines: Sequence[Mapping[str, Any]]) -> tuple[_Line, ...]:
    return tuple(_read_line(line) for line in lines)


def _read_line(line: Mapping[str, Any]) -> _Line:
    _ensure_known("line", line, {"name", "amount", "per", "included", "block", "atLeast", "graduated"})
    graduated = line.get("graduated")
    steps = [{**line, "from": 1}] if graduated is None else graduated
    if graduated is not None:
        for step in steps:
            _ensure_known("step", step, {"from", "amount", "per"})
    return _Line(
        name=line["name"],
        steps=tuple(_read_step(step) for step in steps),
        included=_whole(line.get("included", 0)),
        block=_whole(line.get("block", 1), 1),
        at_least=_whole(line.get("atLeast", 0)),
    )


def _read_step(step: Mapping[str, Any]) -> _Step:
    amount = _micros(step["amount"])
    return _Step(_whole(step["from"]), Fraction(amount, _whole(step.get("per", 1), 1)), amount)


def _read_windows(windows: Mapping[str, Any]) -> tuple[ZoneInfo, tuple[_Window, ...]]:
    """Read windows; one that goes on after midnight is two, and counts as two."""
    _ensure_known("windows", windows, {"zone", "windows"})
    read: list[_Window] = []
    for window in windows["windows"]:
        _ensure_known("window", window, _RATES | {"days", "from", "until"})
        days = [_DAYS.index(day) for day in window["days"]]
        start, end, rates = _minute(window["from"]), _minute(window["until"]), _read_rates(window)
        read.append(_Window(frozenset(days), start, end if end > start else _DAY_MINUTES, rates))
        if 0 < end <= start:
            read.append(_Window(frozenset((day + 1) % len(_DAYS) for day in days), 0, end, rates))
    return ZoneInfo(windows["zone"]), tuple(read)


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _micros(text: str) -> int:
    """Read an amount: a text, as a float may have lost digits on its way."""
    if not isinstance(text, str):
        raise RuleUnsupported(f"an amount is a text, and not {text!r}")
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise RuleUnsupported(f"{text!r} is no amount with six decimals at most")
    return int(match[1]) * _MICROS_PER_UNIT + int((match[2] or "").ljust(6, "0"))


def _whole(value: object, least: int = 0) -> int:
    if type(value) is not int or value < least:
        raise RuleUnsupported(f"{value!r} is no whole number of {least} or more")
    return value


def _ensure_known(what: str, members: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse what this module does not know: to leave it out would make another price of it."""
    unknown = sorted(set(members).difference(known))
    if unknown:
        raise RuleUnsupported(f"a {what} has members that are not known here: {', '.join(unknown)}")


def _decimal(micros: int) -> Decimal:
    units, rest = divmod(micros, _MICROS_PER_UNIT)
    return Decimal(f"{units}.{rest:06d}")
