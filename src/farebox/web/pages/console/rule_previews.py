"""What a rule that staff type says in words, and what a sample of quantities would cost by it."""

import re
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core.prices import REQUESTS
from farebox.core.pricing.costs import CostTooLarge, cost
from farebox.core.pricing.rules import QUANTITY_MAX, Rule
from farebox.core.pricing.times import rates_at
from farebox.presenters.pricing.cost_words import CostWords, cost_words
from farebox.presenters.pricing.price_words import RuleWords, rule_words, window_words
from farebox.service.errors import InvalidInput
from farebox.service.plain_values import listed
from farebox.service.rule_documents import parse_rule

_QUANTITY: Final = re.compile(r"([0-9][0-9,]{0,20}) +([a-z0-9][a-z0-9._-]*)", re.ASCII)
_SAMPLE_UNITS: Final = 1_000
"""How much of each line is tried if nobody says."""


class RulePreview(Struct, frozen=True):
    """A rule in words, and the cost of a sample; or what is wrong with either."""

    error: str = ""
    words: RuleWords | None = None
    sample: str = ""
    cost: CostWords | None = None


def rule_preview(rule_text: str, sample_text: str, *, currency: str, now: int) -> RulePreview:
    """Preview a rule, as of now and with nothing counted so far in its period."""
    if not rule_text.strip():
        return RulePreview()
    try:
        rule = typed_rule(rule_text)
    except InvalidInput as error:
        return RulePreview(error=error.message)
    words = rule_words(rule, currency)
    try:
        quantities = _quantities(rule, sample_text)
        number, rates = rates_at(rule, now)
        explained = cost_words(rule, rates, cost(rule, rates, quantities, {}), quantities, currency)
    except InvalidInput as error:
        return RulePreview(error=error.message, words=words)
    except CostTooLarge as error:
        return RulePreview(error=f"So much of {error} is more than can be priced exactly at once.", words=words)
    if rule.windows is not None and number is not None:
        explained = replace(explained, notes=(window_words(rule.windows, number), *explained.notes))
    sample = " + ".join(f"{quantity:,} {name}" for name, quantity in quantities.items()) or "A request"
    return RulePreview(words=words, sample=sample, cost=explained)


def typed_rule(text: str) -> Rule:
    """Read a rule out of a form's field; a fault names its place in the message.

    Raises:
        InvalidInput: it is no rule.
    """
    try:
        return parse_rule("rule", text)
    except InvalidInput as error:
        is_about_all = error.field == "rule"
        raise InvalidInput("rule", error.message if is_about_all else f"{error.field}: {error.message}") from error


def _quantities(rule: Rule, text: str) -> dict[str, int]:
    """Read a sample such as 1000 input, 350 output; without one, try some of each line.

    Raises:
        InvalidInput: it is no sample for the rule.
    """
    if not text.strip():
        return {name: 1 if name == REQUESTS else _SAMPLE_UNITS for name in rule.names}
    rest = _QUANTITY.sub("", text).strip(" ,;+")
    if rest:
        raise InvalidInput("sample", f"{rest[:40]!r} is no quantity; write some such as 1000 input, 350 output")
    quantities: dict[str, int] = {}
    for digits, name in _QUANTITY.findall(text):
        if name not in rule.names:
            raise InvalidInput("sample", f"{name[:64]!r} is no line of the rule; there are {listed(rule.names)}")
        quantities[name] = int(digits.replace(",", ""))
        if quantities[name] > QUANTITY_MAX:
            raise InvalidInput("sample", f"a quantity is at most {QUANTITY_MAX:,}")
    return quantities
