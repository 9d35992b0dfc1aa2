"""The command that explains one transfer: what was requested, at which price, and how its amount came about."""

from collections.abc import Iterator
from datetime import UTC

import click

from farebox.cli.context import CommandContext, command, short_time, table
from farebox.cli.statement import statement_line
from farebox.core import ids
from farebox.core.currencies import format_money
from farebox.core.prices import Price
from farebox.core.transfers import Transfer
from farebox.presenters.pricing.charge_words import ChargeWords, charge_words, priced_of
from farebox.service import parsing
from farebox.service.errors import InvalidInput
from farebox.service.statements.lines import price_line_data, transfer_data


@command("explain")
@click.argument("transfer_id", metavar="TRANSFER")
async def explain(context: CommandContext, transfer_id: str) -> None:
    """Explain a transfer: what was requested, at which price, and how its amount came about."""
    number, services = _merchant_of(transfer_id), context.farebox.services
    transfer, refers_to = await services.console.transfer(number, transfer_id)
    _, account = await services.merchants.get(number)
    priced = priced_of(transfer, refers_to)
    price = await services.prices.named_by(priced or transfer)
    words = None if priced is None or price is None else charge_words(price, priced, account.currency, UTC)
    data = {
        "transfer": transfer_data(transfer),
        "price": None if price is None or price.rule is None else price_line_data(price, price.rule),
        "explained": None
        if words is None or priced is None
        else {
            "transferId": priced.id,
            "components": [{"text": part.text, "amount": part.amount} for part in words.parts],
            "exact": words.exact,
            "rounding": words.rounding,
            "amount": words.amount,
            "notes": list(words.notes),
        },
    }
    lines = [statement_line(transfer, account.currency), *_price_lines(transfer, price, account.currency)]
    if words is not None and priced is not None:
        lines += _explained(transfer, priced, words, account.currency)
    context.answer(data, lines)


def _merchant_of(transfer_id: str) -> int:
    try:
        return parsing.parse_book_id(ids.TRANSFER, transfer_id)[0]
    except parsing.InvalidId as error:
        raise InvalidInput("TRANSFER", "a transfer's id begins with xfer_; a statement with --json has them") from error


def _price_lines(transfer: Transfer, price: Price | None, currency: str) -> Iterator[str]:
    if price is not None:
        whose = "the default price" if price.merchant_id is None else "the merchant's own price"
        yield f"By {whose} for {price.request_type} from {short_time(price.starts_at)} UTC on."
    if transfer.unit_price is not None and transfer.quantity is not None:
        unit_price, amount = (format_money(micros, currency) for micros in (transfer.unit_price, transfer.amount))
        yield f"{transfer.quantity:,} x {unit_price} = {amount}"
    elif price is not None and price.is_variable:
        yield "The caller named the amount."


def _explained(transfer: Transfer, priced: Transfer, words: ChargeWords, currency: str) -> Iterator[str]:
    if priced.seq != transfer.seq:
        yield f"It refers to this one, which is explained here: {priced.id}"
        yield statement_line(priced, currency)
    rows = [(part.text, part.amount) for part in words.parts]
    if words.exact != words.amount:
        rows += [("together, exactly", words.exact), (words.rounding, words.amount)]
    elif len(rows) > 1:
        rows.append(("together", words.amount))
    # Amounts are in one column, however many decimals each has.
    yield from table((f"in {currency}", ""), rows, right=(1,))
    for note in words.notes:
        yield f"{note[:1].upper()}{note[1:]}."
