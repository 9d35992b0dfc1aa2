"""Usage by API key, from a shell."""

from farebox.cli.context import CommandContext, as_fields, merchant_id, start_words, table
from farebox.core import ids
from farebox.core.currencies import format_money
from farebox.presenters.key_usage import key_usage_data
from farebox.service import inputs
from farebox.service.insight.quarters import By


async def print_usage_by_key(
    context: CommandContext,
    merchant: str,
    by: By,
    first: str | None,
    last: str | None,
    time_zone: str,
    request_type: str | None,
) -> None:
    """Print what each key's requests came to."""
    number = merchant_id(merchant)
    _, account = await context.farebox.services.merchants.get(number)
    keys = await context.farebox.services.merchants.keys(number)
    lines = await context.farebox.services.key_usage.read(
        number, by=by, first=first, last=last, zone=time_zone, request_type=request_type
    )
    zone = inputs.time_zone("timeZone", time_zone)
    names = {key.key_id: key.name or key.hint for key in keys}
    rows = [
        (
            start_words(line.starts_at, zone, by=by),
            "" if line.key_id is None else ids.public_id(ids.KEY, line.key_id),
            "no key" if line.key_id is None else names.get(line.key_id, ""),
            line.request_type,
            f"{line.requests:,}",
            format_money(line.cost, account.currency),
            format_money(line.refunded, account.currency),
        )
        for line in lines
    ]
    context.answer(
        {"currency": account.currency, "lines": [as_fields(item) for item in key_usage_data(lines, keys)]},
        table((by, "key", "name", "type", "count", f"cost {account.currency}", "refunded"), rows, right=(4, 5, 6))
        or ["There was no usage in this time."],
    )
