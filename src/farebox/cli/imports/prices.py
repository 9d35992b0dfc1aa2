"""`farebox price import`: a price list, our own or another's, becomes prices; or what it would change is shown."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from farebox.cli.context import CommandContext, command, counted, merchant_id_or_none, short_time, table
from farebox.presenters.price_imports import change_words, import_data, left_out_counts
from farebox.service.catalogue.difference import Change
from farebox.service.catalogue.imports import Comparison, ListImport, ListKind

_NEW_SHOWN: Final = 20
_FRACTION: Final = " is read as "


@command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--from-list",
    "kind",
    type=click.Choice([kind.value for kind in ListKind]),
    default=ListKind.OWN.value,
    show_default=True,
    help="Whose format the file is in.",
)
@click.option("--merchant", help="They become this merchant's own prices, which go before the defaults.")
@click.option("--markup", help="Add to every amount, such as +20%, or take away, such as -5%.")
@click.option("--filter", "pattern", help="Only these types: a pattern such as gpt-*, or /a regular expression/.")
@click.option("--starts", help="When they begin, such as 2027-01-01T00:00:00Z; now, if not given.")
@click.option("--fractions", is_flag=True, help="Read rests of divisions as fractions: 0.3333333333333333 as 1/3.")
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option("--all", "shows_all", is_flag=True, help="List every type, those that stay as they are too.")
async def price_import(
    context: CommandContext,
    file: Path,
    kind: str,
    merchant: str | None,
    markup: str | None,
    pattern: str | None,
    starts: str | None,
    *,
    fractions: bool,
    dry_run: bool,
    shows_all: bool,
) -> None:
    """Take prices over from a list in FILE: a version for each type that is new or has changed, all or none."""
    number = merchant_id_or_none(merchant)
    currency = await context.price_currency(number)
    price_list = ListImport(
        data=await asyncio.to_thread(file.read_bytes),
        kind=ListKind(kind),
        markup=markup,
        pattern=pattern,
        starts=starts,
        reads_fractions=fractions,
        merchant_id=number,
    )
    imports = context.farebox.services.price_imports
    if dry_run:
        comparison = await imports.compare(price_list)
    else:
        comparison = await imports.make(price_list, principal=context.principal)
    context.answer(
        import_data(comparison, is_made=not dry_run),
        _text(comparison, currency, is_made=not dry_run, shows_all=shows_all),
    )


def _text(comparison: Comparison, currency: str, *, is_made: bool, shows_all: bool) -> Iterator[str]:
    """Write a table of the changes, and below it how many there are, what is left out, and what was read otherwise."""
    shown = [difference for difference in comparison.differences if shows_all or difference.change == Change.CHANGED]
    new = [difference for difference in comparison.differences if difference.change == Change.NEW]
    if not shows_all:
        shown = sorted([*shown, *new[:_NEW_SHOWN]], key=lambda difference: difference.listed.request_type)
    rows = [
        (difference.listed.request_type, difference.change.value, change_words(difference, currency))
        for difference in shown
    ]
    yield from table(("type", "change", "price"), rows)
    if len(new) > _NEW_SHOWN and not shows_all:
        yield f"and {counted(len(new) - _NEW_SHOWN, 'more new type')}; --all lists every type"
    if shown:
        yield ""
    counts = comparison.counts
    verb = "are" if is_made else "would be"
    yield (
        f"{counts[Change.NEW]:,} {verb} new, {counts[Change.CHANGED]:,} changed, "
        f"{counts[Change.UNCHANGED]:,} unchanged, {counts[Change.LEFT_OUT]:,} left out; "
        f"from {short_time(comparison.starts_at)} UTC on"
    )
    for reason, count in left_out_counts(comparison):
        yield f"  left out {count:,}: {reason}"
    for difference in comparison.differences:
        for remark in difference.listed.remarks:
            if shows_all or _FRACTION in remark:
                yield f"  {difference.listed.request_type}: {remark}"
    if comparison.others:
        verb = "is" if comparison.others == 1 else "are"
        yield f"{counted(comparison.others, 'type')} with a price {verb} not in the list, and as before"
    if not is_made:
        yield "Nothing was changed: this was a dry run."
