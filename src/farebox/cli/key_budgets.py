"""Names and budgets of API keys, from a shell."""

import click

from farebox.cli.admin import key_group
from farebox.cli.context import CommandContext, command
from farebox.core import ids
from farebox.presenters.keys import budget_words, key_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput


@command("rename", group=key_group)
@click.argument("key_id")
@click.argument("name", required=False)
async def key_rename(context: CommandContext, key_id: str, name: str | None) -> None:
    """Give an API key another name; without one, a merchant's key loses its own."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    key = await context.farebox.services.key_budgets.rename(number, name, principal=context.principal)
    budget = await context.farebox.services.key_budgets.of_key(key)
    context.answer(key_data(key, budget), f"{key_id} is called {name}." if name else f"{key_id} has no name.")


@command("budget", group=key_group)
@click.argument("key_id")
@click.option("--day", help="What it may spend in a day, such as 10.00.")
@click.option("--week", help="What it may spend in a week, from Monday on.")
@click.option("--month", help="What it may spend in a month.")
@click.option("--total", help="What it may spend in all.")
@click.option("--time-zone", default="UTC", show_default=True, help="Whose days these are, such as Europe/Berlin.")
@click.option("--none", "is_none", is_flag=True, help="It may spend all there is.")
async def key_budget(
    context: CommandContext,
    key_id: str,
    day: str | None,
    week: str | None,
    month: str | None,
    total: str | None,
    time_zone: str,
    is_none: bool,
) -> None:
    """Set what a merchant's API key may spend, with its predecessors and successors; it replaces the budget before."""
    number = inputs.public_id("KEY_ID", ids.KEY, key_id)
    named = {"day": day, "week": week, "month": month, "total": total}
    if is_none == any(text is not None for text in named.values()):
        raise InvalidInput("budget", "name a limit (--day, --week, --month, --total), or --none for no budget")
    budgets, merchants = context.farebox.services.key_budgets, context.farebox.services.merchants
    whose = (await merchants.key(number)).merchant_id
    limits = {
        word: await context.typed_amount(word, text, whose, is_zero_allowed=True)
        for word, text in named.items()
        if text is not None
    }
    key = await budgets.set(number, limits, zone=time_zone, principal=context.principal)
    budget = await budgets.of_key(key)
    context.answer(key_data(key, budget), f"{key_id} may spend {budget_words(budget) or 'all there is'}.")
