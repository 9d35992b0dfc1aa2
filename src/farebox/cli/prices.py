"""Commands about prices: versions are added, listed and ended, and withdrawn before they start."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from farebox.cli.context import CommandContext, command, counted, merchant_id, merchant_id_or_none, short_time, table
from farebox.cli.main import LazyGroup, StandIn
from farebox.core import ids
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.presenters.prices import VARIABLE, PriceData, price_data, price_words, prices_data, state_words
from farebox.presenters.pricing.quote_words import asked_words, quote_words
from farebox.presenters.quotes import quote_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.ledger.quotes import QuoteAsked
from farebox.service.price_life import by_type, following, met_at
from farebox.service.rule_documents import parse_rule

_DIGITS: Final = re.compile("[0-9]{1,19}", re.ASCII)
_MERCHANT = click.option("--merchant", help="This merchant's own price, which goes before the default.")
_FROM = click.option("--from", "starts", help="When it begins, such as 2027-01-01T00:00:00Z; now, if not given.")


@click.group(
    "price",
    cls=LazyGroup,
    commands=(
        StandIn(
            "import",
            "farebox.cli.imports.prices:price_import",
            "Take prices over from a list in FILE: a version for each type that is new or has changed, all or none.",
        ),
    ),
)
def price_group() -> None:
    """Prices of request types: defaults, and merchants' own."""


@command("set", group=price_group)
@click.argument("request_type", metavar="TYPE")
@click.argument("unit_price", required=False)
@click.option("--rule", "path", metavar="FILE", help="A rule in JSON or TOML; - reads it from standard input.")
@_MERCHANT
@_FROM
async def price_set(
    context: CommandContext,
    request_type: str,
    unit_price: str | None,
    path: str | None,
    merchant: str | None,
    starts: str | None,
) -> None:
    """Set a request type's UNIT_PRICE, "variable" if callers are to name the amount themselves, or a --rule."""
    if (unit_price is None) == (path is None):
        raise InvalidInput("UNIT_PRICE", f"name what a request costs, or {VARIABLE!r}, or a --rule FILE: one of these")
    number = merchant_id_or_none(merchant)
    amount = None
    if unit_price is not None and unit_price != VARIABLE:
        amount = await context.typed_amount("unitPrice", unit_price, number, is_zero_allowed=True)
    price = await context.farebox.services.prices.set(
        request_type,
        amount,
        rule=None if path is None else _read_rule(path),
        merchant_id=number,
        starts=starts,
        principal=context.principal,
    )
    words = "is variable: its callers name the amount,"
    if not price.is_variable:
        words = f"costs {price_words(price, await context.price_currency(number)) if amount is None else amount}"
    lines = [f"{request_type} {words} from {short_time(price.starts_at)} UTC on."]
    if number is not None:
        defaults = by_type(await context.farebox.services.prices.versions(None, request_type)).get(request_type, ())
        started = [default for default in defaults if default.starts_at <= price.starts_at]
        if started and started[-1].is_end:
            lines.append(f"{request_type} is retired then: its requests are refused until a new default price starts.")
    context.answer(await _data(context, price), lines)


@command("end", group=price_group)
@click.argument("request_type", metavar="TYPE")
@click.option("--merchant", required=True, help="The merchant whose own price ends.")
@_FROM
async def price_end(context: CommandContext, request_type: str, merchant: str, starts: str | None) -> None:
    """End a merchant's own price: it pays the default again."""
    prices, number = context.farebox.services.prices, merchant_id(merchant)
    price = await prices.end(request_type, merchant_id=number, starts=starts, principal=context.principal)
    defaults = by_type(await prices.versions(None, request_type)).get(request_type, ())
    default = met_at(defaults, request_type, price.starts_at)
    start = f"from {short_time(price.starts_at)} UTC on"
    text = f"{request_type} has no price for this merchant {start}: its requests are refused."
    if isinstance(default, Price):
        words = price_words(default, await context.price_currency(number))
        text = f"{request_type} costs this merchant what it costs by default {start}: {words}."
    context.answer(await _data(context, price), text)


@command("retire", group=price_group)
@click.argument("request_type", metavar="TYPE")
@_FROM
async def price_retire(context: CommandContext, request_type: str, starts: str | None) -> None:
    """Retire a request type: it is refused by name, for merchants with a price of their own too."""
    prices = context.farebox.services.prices
    price = await prices.end(request_type, starts=starts, principal=context.principal)
    own_count = await prices.own_count(request_type, price.starts_at)
    lines = [f"{request_type} is retired: its requests are refused from {short_time(price.starts_at)} UTC on."]
    if own_count:
        lines.append(f"So are those of {counted(own_count, 'merchant')} with a price of their own.")
    context.answer(await _data(context, price), lines)


@command("withdraw", group=price_group)
@click.argument("price_id")
@click.option("--merchant", help="The merchant whose own price it is; a default, if not given.")
async def price_withdraw(context: CommandContext, price_id: str, merchant: str | None) -> None:
    """Withdraw a version that has not started yet; `price list` has its id."""
    price = await context.farebox.services.prices.withdraw(
        inputs.public_id("PRICE_ID", ids.PRICE, price_id),
        merchant_id=merchant_id_or_none(merchant),
        principal=context.principal,
    )
    lines = [f"{price_id} of {price.request_type}, from {short_time(price.starts_at)} UTC on, is withdrawn."]
    versions = await context.farebox.services.prices.versions(price.merchant_id, price.request_type)
    after = following(price, versions)
    if after is not None:
        what = "The end of the price" if after.is_end else "The price that follows"
        lines.append(f"{what}, from {short_time(after.starts_at)} UTC on, stays set.")
    context.answer(await _data(context, price), lines)


@command("list", group=price_group)
@click.option("--merchant", help="This merchant's own prices; the defaults, if not given.")
@click.option("--made-with", help="Only what one import made, by the price that the audit log names.")
async def price_list(context: CommandContext, merchant: str | None, made_with: str | None) -> None:
    """List every version of the prices: in force, to come, past, withdrawn."""
    number = merchant_id_or_none(merchant)
    prices = await context.farebox.services.prices.list(number)
    currency = await context.price_currency(number)
    now = context.farebox.clock.now()
    shown = list(zip(prices, prices_data(prices, now), strict=True))
    if made_with is not None:
        price_id = inputs.public_id("made-with", ids.PRICE, made_with)
        made = {price.price_id for price in await context.farebox.services.price_imports.made_with(number, price_id)}
        shown = [(price, version) for price, version in shown if price.price_id in made]
    rows = [
        (
            version.type,
            short_time(price.starts_at),
            state_words(price, version.state),
            version.price_id,
            price_words(price, currency),
        )
        for price, version in shown
    ]
    context.answer(
        [version for _, version in shown],
        table(("type", "from (UTC)", "", "price id", "price"), rows)
        or ["There are no such prices; see: farebox price set"],
    )


@command("quote", group=price_group)
@click.argument("request_type", metavar="TYPE")
@click.option(
    "--quantity",
    "quantities",
    multiple=True,
    metavar="NAME=NUMBER",
    help="How much of a line of the price, such as input=1200; can be repeated. Of a price of one line, the number.",
)
@click.option("--merchant", help="Whom it would cost that; the default price, if not given.")
@click.option("--at", help="When it is requested, such as 2027-01-01T00:00:00Z; now, if not given.")
@click.option("--amount", help="Of a variable type, the amount that its caller names.")
async def price_quote(
    context: CommandContext,
    request_type: str,
    quantities: tuple[str, ...],
    merchant: str | None,
    at: str | None,
    amount: str | None,
) -> None:
    """Tell what a request of a TYPE would cost, line by line; nothing is charged."""
    quantity, named = _quantities(quantities)
    asked = QuoteAsked(request_type, quantity, named, at, amount)
    quoted = await context.farebox.services.quotes.quote(asked, merchant_id_or_none(merchant))
    words = quote_words(quoted)
    costs = f"{words.amount} {quoted.currency or ''}".strip()
    rows = [(line.name, f"{line.quantity:,}", f"{line.units:,}", line.amount) for line in words.lines]
    context.answer(
        quote_data(quoted),
        [
            f"{request_type}: {asked_words(quoted)} would cost {costs}.",
            *table(("line", "quantity", "charged", "exactly"), rows, right=(1, 2, 3)),
            *words.notes,
        ],
    )


def _quantities(texts: Sequence[str]) -> tuple[int | None, dict[str, int] | None]:
    """Read quantities: each with its name, or one number without."""
    if len(texts) == 1 and "=" not in texts[0]:
        return _quantity_number(texts[0], texts[0]), None
    named: dict[str, int] = {}
    for text in texts:
        name, separator, number = text.partition("=")
        if not separator or name in named:
            raise InvalidInput("--quantity", f"{text[:80]!r} is none; write each line once, such as input=1200")
        named[name] = _quantity_number(number, text)
    return None, named or None


def _quantity_number(number: str, text: str) -> int:
    if not _DIGITS.fullmatch(number):
        raise InvalidInput("--quantity", f"{text[:80]!r} has no whole number; write one such as input=1200")
    return int(number)


async def _data(context: CommandContext, price: Price) -> PriceData:
    versions = await context.farebox.services.prices.versions(price.merchant_id, price.request_type)
    return price_data(price, versions, context.farebox.clock.now())


def _read_rule(path: str) -> Rule:
    """Read a rule out of a file, or from standard input if the path is a dash."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("--rule", f"{path} can't be read: {error}") from error
    return parse_rule("rule", text)
