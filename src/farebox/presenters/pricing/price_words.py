"""Rules of prices in words for people: sections of short lines, which pages, commands and mails lay out."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.prices import REQUESTS
from farebox.core.pricing.rules import Direction, Line, Period, PeriodUnit, Rates, Rule, Step, Tiers, Window, Windows
from farebox.service.languages import ENGLISH, Language, gettext_noop
from farebox.service.price_window_texts import time_of_day

FREE: Final = gettext_noop("free")
_ROUNDED_TO: Final = {
    Direction.UP: gettext_noop("rounded up to %(amount)s"),
    Direction.HALF_UP: gettext_noop("rounded half up to %(amount)s"),
    Direction.DOWN: gettext_noop("rounded down to %(amount)s"),
}
"""Where a fraction of a step goes."""

_COUNTED: Final = {
    PeriodUnit.DAY: gettext_noop("units are counted per calendar day (%(zone)s)"),
    PeriodUnit.MONTH: gettext_noop("units are counted per calendar month (%(zone)s)"),
}
_DAYS_OF_A_WEEK: Final = 7
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


def rule_words(rule: Rule, currency: str, spoken: Language = ENGLISH) -> RuleWords:
    """Write a rule in words; the amounts of a default price are in no currency, and "" stands for that."""
    sections = _rates_sections(rule.rates, rule.period, currency, "", spoken)
    if rule.windows is not None:
        for rates, windows in _by_rates(rule.windows.windows):
            times = ", ".join(_times(window, spoken) for window in windows)
            sections += _rates_sections(rates, rule.period, currency, f"{times} ({rule.windows.zone})", spoken)
    return RuleWords(tuple(sections), tuple(_notes(rule, currency, spoken)))


def rule_summary(rule: Rule, currency: str, spoken: Language = ENGLISH) -> str:
    """Write a rule in one line.

    >>> rule_summary(Rule(Rates((Line("input", 150_000, 1_000_000),), base=5_000)), "USD")
    '0.15 per 1,000,000 input, plus 0.005 a request'
    """
    words = rule_words(rule, currency, spoken)
    sections = [
        f"{section.heading}: {', '.join(section.lines)}" if section.heading else ", ".join(section.lines)
        for section in words.sections
    ]
    return "; ".join((*sections, *words.notes))


def _rates_sections(
    rates: Rates, period: Period | None, currency: str, heading: str, spoken: Language
) -> list[RuleSection]:
    """Write rates: a section of their own lines, and one for each tier."""

    def section(lines: Sequence[Line], condition: str) -> RuleSection:
        words = [_line(line, period, currency, spoken) for line in lines]
        if rates.base:
            base = spoken.amount(rates.base, currency)
            told = spoken.gettext("plus %(price)s a request", price=base) if lines else None
            words.append(told or spoken.gettext("%(price)s a request", price=base))
        if rates.minimum:
            least = spoken.amount(rates.minimum, currency)
            words.append(spoken.gettext("at least %(price)s a request", price=least))
        return RuleSection(", ".join(filter(None, (heading, condition))), tuple(words))

    sections = [section(rates.lines, "")]
    if rates.tiers is not None:
        sections += [section(tier.lines, above(tier.start, rates.tiers, spoken)) for tier in rates.tiers.tiers]
    return sections


def above(start: int, tiers: Tiers, spoken: Language = ENGLISH) -> str:
    """Say when a tier applies: above 200,000 input."""
    count, names = spoken.number(start - 1), spoken.listed(tiers.by)
    if len(tiers.by) > 1:
        return spoken.gettext("above %(count)s %(names)s together", count=count, names=names)
    return spoken.gettext("above %(count)s %(names)s", count=count, names=names)


def _line(line: Line, period: Period | None, currency: str, spoken: Language) -> str:
    """Write a line: 0.15 per 1,000,000 input; seconds: 0.04 each, in blocks of 6, at least 30."""
    words = _rate_of_line(line, period, currency, spoken)
    if line.block > 1:
        words += spoken.gettext(", in blocks of %(count)s", count=spoken.number(line.block))
    if line.at_least > 1:
        words += spoken.gettext(", at least %(count)s", count=spoken.number(line.at_least))
    return words


def _rate_of_line(line: Line, period: Period | None, currency: str, spoken: Language) -> str:
    steps = line.steps or (Step(line.included + 1, line.amount, line.per),)
    stretches = _stretches(line, steps)
    if len(stretches) > 1:
        return f"{line.name}: {_graduated(stretches, period, currency, spoken)}"
    (_, amount, per) = stretches[0]
    if amount == 0:
        free = spoken.gettext(FREE)
        return free if line.name == REQUESTS else f"{line.name}: {free}"
    price = spoken.amount(amount, currency)
    if per == 1 and line.name == REQUESTS:
        return spoken.gettext("%(price)s a request", price=price)
    if per == 1:
        return spoken.gettext("%(name)s: %(price)s each", name=line.name, price=price)
    return spoken.gettext("%(price)s per %(count)s %(name)s", price=price, count=spoken.number(per), name=line.name)


def _stretches(line: Line, steps: Sequence[Step]) -> list[tuple[int, int, int]]:
    """List where each price begins, with its amount and the units it is for; included units come first, for nothing."""
    priced = [(step.start, step.amount, step.per) for step in steps]
    return [(1, 0, 1), *priced] if line.included else priced


def _graduated(
    stretches: Sequence[tuple[int, int, int]], period: Period | None, currency: str, spoken: Language
) -> str:
    """Write prices that follow one another: first 1,000 a month free, then 1.50 per 1,000, from 5,000,000 on 0.60."""
    words = []
    per_before = 1
    for place, (start, amount, per) in enumerate(stretches):
        rate = spoken.amount(amount, currency) if amount else spoken.gettext(FREE)
        if amount and not (place > 1 and per == per_before):
            rate = (
                spoken.gettext("%(price)s per %(count)s", price=rate, count=spoken.number(per))
                if per > 1
                else spoken.gettext("%(price)s each", price=rate)
            )
        if place == 0:
            first = _FIRST[period.unit if period else None]
            words.append(spoken.gettext(first, count=spoken.number(stretches[1][0] - 1), rate=rate))
        elif place == 1:
            words.append(spoken.gettext("then %(rate)s", rate=rate))
        else:
            words.append(spoken.gettext("from %(count)s on %(rate)s", count=spoken.number(start), rate=rate))
        per_before = per if amount else 0
    return ", ".join(words)


_FIRST: Final = {
    None: gettext_noop("first %(count)s a request %(rate)s"),
    PeriodUnit.DAY: gettext_noop("first %(count)s a day %(rate)s"),
    PeriodUnit.MONTH: gettext_noop("first %(count)s a month %(rate)s"),
}


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


def window_words(windows: Windows, number: int, spoken: Language = ENGLISH) -> str:
    """Say when a window holds, by its number from 1: Monday to Friday 01:00 to 04:00 (UTC)."""
    return f"{_times(windows.windows[number - 1], spoken)} ({windows.zone})"


def _times(window: Window, spoken: Language) -> str:
    return f"{_days(window.days, spoken)} {_hours(window, spoken)}"


def _days(days: Sequence[int], spoken: Language) -> str:
    """Write weekdays: Monday to Friday; Saturday and Sunday; every day."""
    if len(days) == _DAYS_OF_A_WEEK:
        return spoken.gettext("every day")
    words: list[str] = []
    rest = list(days)
    while rest:
        run = [day for place, day in enumerate(rest) if day == rest[0] + place]
        names = [spoken.weekday_name(day) for day in run]
        is_run = len(run) >= _RUN_DAYS_MIN
        words += [spoken.gettext("%(first)s to %(last)s", first=names[0], last=names[-1])] if is_run else names
        rest = rest[len(run) :]
    return spoken.listed(words)


def _hours(window: Window, spoken: Language) -> str:
    start, end = time_of_day(window.start_minute), time_of_day(window.end_minute)
    if (start, end) == ("00:00", "24:00"):
        return spoken.gettext("all day")
    return spoken.gettext("%(first)s to %(last)s", first=start, last=end)


def rounded_to(direction: Direction, amount: str, spoken: Language) -> str:
    """Say how something was rounded, and to what."""
    return spoken.gettext(_ROUNDED_TO[direction], amount=amount)


def _notes(rule: Rule, currency: str, spoken: Language) -> list[str]:
    notes = []
    if rule.period is not None:
        notes.append(spoken.gettext(_COUNTED[rule.period.unit], zone=rule.period.zone))
        if rule.period.refunds_give_back:
            notes.append(spoken.gettext("refunds give units back"))
    if (rule.step, rule.direction) != (1, Direction.UP):
        notes.append(rounded_to(rule.direction, spoken.amount(rule.step, currency), spoken))
    return notes
