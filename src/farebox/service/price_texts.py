"""Rules of prices in the format of the API and of files: read from plain values, and written as such.

`docs/reference/price-rules.md` describes the format. A rule with a fault is refused as `InvalidInput`, whose
field is the path of the fault and whose message says what would be right. A rule that was written is read back equal.
"""

from collections.abc import Sequence
from typing import Any, Final

from farebox.core.money import format_amount
from farebox.core.pricing.rules import (
    LINES_MAX,
    PER_MAX,
    QUANTITY_MAX,
    STEPS_MAX,
    Direction,
    Line,
    Period,
    PeriodUnit,
    Rates,
    Rule,
    Step,
    Tier,
    Tiers,
)
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.plain_values import Members, listed, text
from farebox.service.price_window_texts import read_windows, written_windows, zone

TIERS_MAX: Final = STEPS_MAX
START_MAX: Final = 10**15
"""The highest border of a tier or step: units of a period may add up to more than one request has."""

_RATES: Final = ("lines", "base", "minimum", "tiers")
_AN_AMOUNT: Final = 'an amount as text, such as "0.15"'
_LINES: Final = 'a list of what is charged for, such as [{"name": "input", "amount": "0.15", "per": 1000000}]'
_START: Final = "the number from which it holds, such as 200001"


def read_rule(field: str, value: object) -> Rule:
    """Read a rule.

    Args:
        field: what the rule is called where it came from; the path of a fault begins with it.
        value: mappings, lists, texts, whole numbers and booleans, as JSON or TOML give them.

    Raises:
        InvalidInput: something in it is wrong.
    """
    members = Members.of(field, value, *_RATES, "windows", "period", "rounding", required={"lines": _LINES})
    rule = Rule(
        rates=_read_rates(members),
        windows=read_windows(members.at("windows"), members.values["windows"], _read_rates, _RATES)
        if members.has("windows")
        else None,
        period=_read_period(members.at("period"), members.values["period"]) if members.has("period") else None,
    )
    if len(rule.names) > LINES_MAX:
        raise InvalidInput(
            field, f"this has lines of {len(rule.names)} names; all lines of a rule have {LINES_MAX} at most"
        )
    return _with_rounding(rule, members)


def write_rule(rule: Rule) -> dict[str, Any]:
    """Write a rule as plain values, without the members that say what holds anyhow."""
    written = _written_rates(rule.rates)
    if rule.windows is not None:
        written["windows"] = written_windows(rule.windows, _written_rates)
    if rule.period is not None:
        written["period"] = {"unit": rule.period.unit.value, "zone": rule.period.zone}
        if rule.period.refunds_give_back:
            written["period"]["refundsGiveBack"] = True
    if (rule.step, rule.direction) != (1, Direction.UP):
        written["rounding"] = {"step": format_amount(rule.step), "direction": rule.direction.value}
    return written


def _read_rates(members: Members) -> Rates:
    """Read the members that a rule and a window both have."""
    base = members.amount("base")
    lines = _read_lines(members, is_empty_allowed=base > 0)
    tiers = None
    if members.has("tiers"):
        tiers = _read_tiers(members.at("tiers"), members.values["tiers"], lines)
    return Rates(lines, base, members.amount("minimum"), tiers)


def _read_lines(members: Members, *, is_empty_allowed: bool = False) -> tuple[Line, ...]:
    items = members.items("lines", 0, LINES_MAX, "lines")
    if not items and not is_empty_allowed:
        raise members.fault(
            "lines", "this is empty; name at least one line, or none beside a base that every request costs"
        )
    lines: dict[str, Line] = {}
    for path, value in items:
        line = _read_line(path, value)
        if line.name in lines:
            raise InvalidInput(f"{path}.name", f"{line.name!r} stands twice; a name stands once within a set of lines")
        lines[line.name] = line
    return tuple(lines.values())


def _read_line(path: str, value: object) -> Line:
    members = Members.of(
        *(path, value, "name", "amount", "per", "included", "block", "atLeast", "graduated"),
        required={"name": 'the name of what is counted, such as "input"'},
    )
    name = _read_name(members.at("name"), members.values["name"])
    included = members.whole("included", 0, QUANTITY_MAX)
    block = members.whole("block", 1, PER_MAX, default=1)
    at_least = members.whole("atLeast", 0, QUANTITY_MAX)
    if members.has("graduated"):
        for other in ("amount", "per"):
            if members.has(other):
                raise members.fault(other, "this stands beside graduated, whose steps have amounts; leave one out")
        return Line(name, 0, 1, included, block, at_least, _read_steps(members, included))
    if not members.has("amount"):
        raise members.fault("amount", f"this is missing; write {_AN_AMOUNT}, or graduated with its steps")
    return Line(name, members.amount("amount"), _per(members), included, block, at_least)


def _read_name(path: str, value: object) -> str:
    return inputs.line_name(path, text(path, value, "input"))


def _read_steps(members: Members, included: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    for path, value in members.items("graduated", 1, STEPS_MAX, "steps"):
        step = Members.of(
            path, value, "from", "amount", "per", required={"from": "the unit it begins with", "amount": _AN_AMOUNT}
        )
        start = step.whole("from", 1, START_MAX)
        _ensure_ascending(step, start, [earlier.start for earlier in steps])
        if not steps and start != included + 1:
            reason = f"the first {included:,} are included" if included else "no unit is left without a price"
            raise step.fault("from", f"the first step begins with unit {included + 1:,}, as {reason}")
        steps.append(Step(start, step.amount("amount"), _per(step)))
    return tuple(steps)


def _read_tiers(path: str, value: object, lines: Sequence[Line]) -> Tiers:
    members = Members.of(
        *(path, value, "by", "from"),
        required={"by": 'what is measured, such as ["input"]', "from": "a list of tiers"},
    )
    tiers: list[Tier] = []
    for tier_path, tier_value in members.items("from", 1, TIERS_MAX, "tiers"):
        tier = Members.of(tier_path, tier_value, "from", "lines", required={"from": _START, "lines": _LINES})
        start = tier.whole("from", 1, START_MAX)
        _ensure_ascending(tier, start, [earlier.start for earlier in tiers])
        tiers.append(Tier(start, _read_lines(tier)))
    named = dict.fromkeys(line.name for line in (*lines, *(line for tier in tiers for line in tier.lines)))
    by: list[str] = []
    for name_path, name_value in members.items("by", 1, LINES_MAX, "names of lines"):
        name = _read_name(name_path, name_value)
        if name not in named:
            raise InvalidInput(name_path, f"{name!r} is the name of no line here; there are {listed(list(named))}")
        if name in by:
            raise InvalidInput(name_path, f"{name!r} stands twice; it would be counted once")
        by.append(name)
    return Tiers(tuple(by), tuple(tiers))


def _ensure_ascending(members: Members, start: int, earlier: Sequence[int]) -> None:
    if earlier and start <= earlier[-1]:
        raise members.fault("from", f"{start:,} comes after {earlier[-1]:,}; each begins above the one before")


def _per(members: Members) -> int:
    return members.whole("per", 1, PER_MAX, default=1)


def _read_period(path: str, value: object) -> Period:
    members = Members.of(
        *(path, value, "unit", "zone", "refundsGiveBack"),
        required={"unit": '"month" or "day"', "zone": 'a time zone, such as "Europe/Berlin"'},
    )
    return Period(
        PeriodUnit(members.choice("unit", [unit.value for unit in PeriodUnit])),
        zone(members.at("zone"), members.values["zone"]),
        members.flag("refundsGiveBack"),
    )


def _with_rounding(rule: Rule, members: Members) -> Rule:
    if not members.has("rounding"):
        return rule
    rounding = Members.of(members.at("rounding"), members.values["rounding"], "step", "direction")
    step = rounding.amount("step", default=1)
    if step == 0:
        raise rounding.fault("step", 'a cost can\'t be a multiple of 0; write the step as text, such as "0.000001"')
    direction = Direction(rounding.choice("direction", [direction.value for direction in Direction]))
    return Rule(rule.rates, rule.windows, rule.period, step, direction)


def _written_rates(rates: Rates) -> dict[str, Any]:
    written: dict[str, Any] = {"lines": [_written_line(line) for line in rates.lines]}
    if rates.base:
        written["base"] = format_amount(rates.base)
    if rates.minimum:
        written["minimum"] = format_amount(rates.minimum)
    if rates.tiers is not None:
        written["tiers"] = {
            "by": list(rates.tiers.by),
            "from": [
                {"from": tier.start, "lines": [_written_line(line) for line in tier.lines]}
                for tier in rates.tiers.tiers
            ],
        }
    return written


def _written_line(line: Line) -> dict[str, Any]:
    written: dict[str, Any] = {"name": line.name}
    if not line.steps:
        written |= _written_amount(line.amount, line.per)
    numbers = (("included", line.included, 0), ("block", line.block, 1), ("atLeast", line.at_least, 0))
    written |= {name: number for name, number, usual in numbers if number != usual}
    if line.steps:
        written["graduated"] = [{"from": step.start, **_written_amount(step.amount, step.per)} for step in line.steps]
    return written


def _written_amount(amount: int, per: int) -> dict[str, Any]:
    written: dict[str, Any] = {"amount": format_amount(amount)}
    if per != 1:
        written["per"] = per
    return written
