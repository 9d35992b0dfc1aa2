"""Budgets of a merchant's keys and their usage on pages, the merchant's own and the console's."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.responses import Response

from farebox.core import ids
from farebox.presenters.key_usage import key_usage_csv, key_usage_sums
from farebox.service.insight import quarters
from farebox.service.languages import Language, gettext_noop
from farebox.service.operator.key_budgets import UNITS, KeyBudget
from farebox.service.operator.merchants import ApiKey
from farebox.web.pages import render
from farebox.web.pages.amounts import optional_amount
from farebox.web.pages.preview import Preview
from farebox.web.pages.request import PageRequest

DAYS: Final = 30
"""How many days of usage a page tells of."""

_EACH: Final = {
    "day": gettext_noop("A day"),
    "week": gettext_noop("A week, from Monday on"),
    "month": gettext_noop("A month"),
    "total": gettext_noop("In all"),
}


class TypedBudget(Struct, frozen=True):
    """A budget as it was typed, and the currency that it is in."""

    limits: Mapping[str, str]
    zone: str
    currency: str


def budget_units(budget: KeyBudget | None, spoken: Language) -> list[tuple[str, str, int | None]]:
    """List how long limits may be for: the field of each, its words, and the limit that is set, in micros."""
    amounts = {} if budget is None else {limit.word: limit.amount for limit in budget.limits}
    return [(word, spoken.gettext(_EACH[word]), amounts.get(word)) for word in UNITS]


async def typed_budget(request: PageRequest, key: ApiKey) -> TypedBudget:
    """Read the form.

    Raises:
        InvalidInput: something was typed that is no amount.
    """
    currency = (await request.services.merchants.get(key.merchant_id or 0))[1].currency
    typed = {
        word: optional_amount(request.form, word, currency, is_zero_allowed=True, spoken=request.language)
        for word in UNITS
    }
    zone = request.form.text("zone") or request.zone.key
    return TypedBudget({word: text for word, text in typed.items() if text is not None}, zone, currency)


async def budget_preview(request: PageRequest, key: ApiKey, typed: TypedBudget, here: str) -> Preview:
    """Tell what a budget comes to: its limits, what was spent so far, and what is refused from then on."""
    would_be = await request.services.key_budgets.would_be(key, typed.limits, zone=typed.zone)
    spoken, say, facts = request.language, request.language.gettext, []
    for limit in would_be.limits:
        amount, spent, left = (
            spoken.money(micros, typed.currency) for micros in (limit.amount, limit.spent, limit.left)
        )
        words = say("%(amount)s; %(spent)s is spent already, %(left)s is left", amount=amount, spent=spent, left=left)
        facts.append((say(_EACH[limit.word]), words))
    if typed.limits:
        facts.append((say("Time zone"), typed.zone))
        facts.append((say("From then on"), say("charges and holds that name the key beyond it are refused")))
        question = say("Set the budget of the key %(key)s?", key=key.hint)
    else:
        facts.append((say("From then on"), say("the key spends as much as there is in the balance")))
        question = say("Take the budget of %(key)s away?", key=key.hint)
    return Preview(
        action=f"{here}/budget",
        back=here,
        question=question,
        facts=facts,
        button=say("Set the budget") if typed.limits else say("Take it away"),
        fields={**{word: request.form.text(word) for word in typed.limits}, "zone": typed.zone, "is_sure": "yes"},
        notice=say("Nothing is left of it now, so that nothing goes through.") if would_be.is_used_up else "",
    )


async def usage_of_keys(request: PageRequest, merchant_id: int, keys: Sequence[ApiKey]) -> dict[str, Any]:
    """Sum up what each key's requests came to in the last days, as the template's macro takes it."""
    first, last = request.last_days(DAYS)
    lines = await request.services.key_usage.read(
        merchant_id, by="day", first=str(first), last=str(last), zone=request.zone.key
    )
    return {"days": DAYS, "sums": key_usage_sums(lines, keys)}


async def key_usage_file(request: PageRequest, merchant_id: int) -> Response:
    """Give what each key's requests came to in the last year as CSV, by day."""
    first, last = request.last_days(quarters.DAYS_MAX)
    lines = await request.services.key_usage.read(
        merchant_id, by="day", first=str(first), last=str(last), zone=request.zone.key
    )
    keys = await request.services.merchants.keys(merchant_id)
    name = f"{ids.public_id(ids.MERCHANT, merchant_id)}-usage-by-key.csv"
    return render.csv_file(name, key_usage_csv(lines, keys))
