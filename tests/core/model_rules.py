"""Rules in the slow model: which rates a time falls under, which period it belongs to, and what a move says of both."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias
from zoneinfo import ZoneInfo

from farebox.core.pricing.rules import PeriodUnit, Rates, Rule

Place: TypeAlias = tuple[str, int, str]
"""A request type, when a period began, and whether it is a day or a month."""


@dataclass(frozen=True)
class Measured:
    """What a request of a rule was measured as, and what it came to."""

    rule: Rule
    quantities: dict[str, int]
    window: int | None
    before: dict[str, int]
    at: int
    place: Place | None
    amount: Decimal = Decimal(0)
    tier: int | None = None
    units: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] | None = None
    """The quantities that were held, if this is above a hold."""

    @property
    def gives_back(self) -> bool:
        """Whether a refund gives units back."""
        return self.rule.period is not None and self.rule.period.refunds_give_back

    def text(self) -> str:
        """Say what the transfer says of it."""
        parts = [",".join(f"{name}={number}" for name, number in sorted(self.quantities.items()))]
        if self.tier is not None:
            parts.append(f"tier={self.tier}")
        if self.window is not None:
            parts.append(f"window={self.window}")
        if self.before:
            parts.append("before=" + ",".join(f"{name}:{number}" for name, number in sorted(self.before.items())))
        if self.rule.windows is not None or self.rule.period is not None:
            parts.append(f"at={self.at}")
        if self.held is not None:
            parts.append("held=" + ",".join(f"{name}:{number}" for name, number in sorted(self.held.items())))
        return ";".join(parts)


def rates_of(rule: Rule, at: int) -> tuple[int | None, Rates]:
    """Find the window that a time falls in, by its number, and its rates."""
    if rule.windows is not None:
        clock = datetime.fromtimestamp(at // 10**6, ZoneInfo(rule.windows.zone))
        for number, window in enumerate(rule.windows.windows, 1):
            if clock.weekday() in window.days and clock.hour * 60 + clock.minute in range(
                window.start_minute, window.end_minute
            ):
                return number, window.rates
    return None, rule.rates


def period_of(rule: Rule, request_type: str, at: int) -> Place | None:
    """Tell the period in which the units of a time are counted, in a zone whose clock is never changed at midnight."""
    if rule.period is None:
        return None
    zone = ZoneInfo(rule.period.zone)
    day = datetime.fromtimestamp(at // 10**6, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first = day.replace(day=1) if rule.period.unit is PeriodUnit.MONTH else day
    return request_type, int(first.timestamp()) * 10**6, rule.period.unit.value
