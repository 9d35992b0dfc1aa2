"""Rules of prices in words for people: sections of short lines, which pages, commands and mails lay out."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.currencies import format_money
from farebox.core.prices import REQUESTS
from farebox.core.pricing.rules import Direction, Line, Period, PeriodUnit, Rates, Rule, Step, Tiers, Window, Windows
from farebox.service.plain_values import listed
from farebox.service.price_window_texts import DAY_NAMES, time_of_day

FREE: Final = "free"
ROUNDED: Final = {Direction.UP: "up", Direction.HALF_UP: "half up", Direction.DOWN: "down"}
"""Where a fraction of a step goes."""

_RUN_DAYS_MIN: Final = 3
"""So many weekdays in a row are written as the first to the last."""


class RuleSection(Struct, frozen=True):
    """Lines that hold under one condition, its heading; "" if there is none."""

    heading: str
    lines: tuple[str, ...]


class RuleWords(Struct, frozen=True):
    """A rule in words: its sections, and what is to be known of all of them."""

    sections: tuple[RuleSection, ...]
    notes: tuple[str, ...]


def rule_words(rule: Rule, currency: str) -> RuleWords:
    """Write a rule in words; the amounts of a default price are in no currency, and "" stands for that."""
    sections = _rates_sections(rule.rates, rule.period, currency, "")
    if rule.windows is not None:
        for rates, windows in _by_rates(rule.windows.windows):
            times = ", ".join(f"{_days(window.days)} {_hours(window)}" for window in windows)
            sections += _rates_sections(rates, rule.period, currency, f"{times} ({rule.windows.zone})")
    return RuleWords(tuple(sections), tuple(_notes(rule, currency)))


def rule_summary(rule: Rule, currency: str) -> str:
    """Write a rule in one line.

    >>> rule_summary(Rule(Rates((Line("input", 150_000, 1_000_000),), base=5_000)), "USD")
    '0.15 per 1,000,000 input, plus 0.005 a request'
    """
    words = rule_words(rule, currency)
    sections = [
        f"{section.heading}: {', '.join(section.lines)}" if section.heading else ", ".join(section.lines)
        for section in words.sections
    ]
    return "; ".join((*sections, *words.notes))


def _rates_sections(rates: Rates, period: Period | None, currency: str, heading: str) -> list[RuleSection]:
    """Write rates: a section of their own lines, and one for each tier."""

    def section(lines: Sequence[Line], condition: str) -> RuleSection:
        words = [_line(line, period, currency) for line in lines]
        if rates.base:
            words.append(f"{'plus ' if lines else ''}{format_money(rates.base, currency)} a request")
        if rates.minimum:
            words.append(f"at least {format_money(rates.minimum, currency)} a request")
        return RuleSection(", ".join(filter(None, (heading, condition))), tuple(words))

    sections = [section(rates.lines, "")]
    if rates.tiers is not None:
        sections += [section(tier.lines, above(tier.start, rates.tiers)) for tier in rates.tiers.tiers]
    return sections


def above(start: int, tiers: Tiers) -> str:
    """Say when a tier applies: above 200,000 input."""
    together = " together" if len(tiers.by) > 1 else ""
    return f"above {start - 1:,} {listed(tiers.by)}{together}"


def _line(line: Line, period: Period | None, currency: str) -> str:
    """Write a line: 0.15 per 1,000,000 input; seconds: 0.04 each, in blocks of 6, at least 30."""
    words = _rate_of_line(line, period, currency)
    if line.block > 1:
        words += f", in blocks of {line.block:,}"
    if line.at_least > 1:
        words += f", at least {line.at_least:,}"
    return words


def _rate_of_line(line: Line, period: Period | None, currency: str) -> str:
    steps = line.steps or (Step(line.included + 1, line.amount, line.per),)
    stretches = _stretches(line, steps)
    if len(stretches) > 1:
        return f"{line.name}: {_graduated(stretches, period, currency)}"
    (_, amount, per) = stretches[0]
    if amount == 0:
        return FREE if line.name == REQUESTS else f"{line.name}: {FREE}"
    if per == 1:
        price = format_money(amount, currency)
        return f"{price} a request" if line.name == REQUESTS else f"{line.name}: {price} each"
    return f"{format_money(amount, currency)} per {per:,} {line.name}"


def _stretches(line: Line, steps: Sequence[Step]) -> list[tuple[int, int, int]]:
    """List where each price begins, with its amount and the units it is for; included units come first, for nothing."""
    priced = [(step.start, step.amount, step.per) for step in steps]
    return [(1, 0, 1), *priced] if line.included else priced


def _graduated(stretches: Sequence[tuple[int, int, int]], period: Period | None, currency: str) -> str:
    """Write prices that follow one another: first 1,000 a month free, then 1.50 per 1,000, from 5,000,000 on 0.60."""
    words = []
    whose = {None: "request", PeriodUnit.DAY: "day", PeriodUnit.MONTH: "month"}[period.unit if period else None]
    per_before = 1
    for place, (start, amount, per) in enumerate(stretches):
        rate = format_money(amount, currency) if amount else FREE
        if amount and not (place > 1 and per == per_before):
            rate += f" per {per:,}" if per > 1 else " each"
        if place == 0:
            words.append(f"first {stretches[1][0] - 1:,} a {whose} {rate}")
        else:
            words.append(f"then {rate}" if place == 1 else f"from {start:,} on {rate}")
        per_before = per if amount else 0
    return ", ".join(words)


def _by_rates(windows: Sequence[Window]) -> list[tuple[Rates, list[Window]]]:
    """Put windows together that have the same rates, as the two halves of one that goes on after midnight."""
    groups: list[tuple[Rates, list[Window]]] = []
    for window in windows:
        alike = next((alike for rates, alike in groups if rates == window.rates), None)
        if alike is None:
            groups.append((window.rates, [window]))
        else:
            alike.append(window)
    return groups


def window_words(windows: Windows, number: int) -> str:
    """Say when a window holds, by its number from 1: Monday to Friday 01:00 to 04:00 (UTC)."""
    window = windows.windows[number - 1]
    return f"{_days(window.days)} {_hours(window)} ({windows.zone})"


def _days(days: Sequence[int]) -> str:
    """Write weekdays: Monday to Friday; Saturday and Sunday; every day."""
    if len(days) == len(DAY_NAMES):
        return "every day"
    words: list[str] = []
    rest = list(days)
    while rest:
        run = [day for place, day in enumerate(rest) if day == rest[0] + place]
        names = [DAY_NAMES[day] for day in run]
        words += [f"{names[0]} to {names[-1]}"] if len(run) >= _RUN_DAYS_MIN else names
        rest = rest[len(run) :]
    return listed(words)


def _hours(window: Window) -> str:
    start, end = time_of_day(window.start_minute), time_of_day(window.end_minute)
    return "all day" if (start, end) == ("00:00", "24:00") else f"{start} to {end}"


def _notes(rule: Rule, currency: str) -> list[str]:
    notes = []
    if rule.period is not None:
        notes.append(f"units are counted per calendar {rule.period.unit} ({rule.period.zone})")
        if rule.period.refunds_give_back:
            notes.append("refunds give units back")
    if (rule.step, rule.direction) != (1, Direction.UP):
        notes.append(f"rounded {ROUNDED[rule.direction]} to {format_money(rule.step, currency)}")
    return notes
