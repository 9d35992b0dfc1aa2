"""`farebox import`: merchants, their balances, prices and keys out of another system; or what would change is shown."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from farebox.cli.context import CommandContext, command, table
from farebox.core.currencies import format_money_with_code
from farebox.core.money import format_amount
from farebox.service.catalogue.files import read_json
from farebox.service.errors import InvalidInput
from farebox.service.importing.exported import Converted, write_files
from farebox.service.importing.imports import SHOWN_ROWS, Plan
from farebox.service.importing.lago import read_lago
from farebox.service.importing.litellm import read_litellm
from farebox.service.importing.rows import PRICES

_CSV: Final = "csv"
_SYSTEMS: Final[Mapping[str, Callable[[Mapping[str, object]], Converted]]] = {
    "litellm": read_litellm,
    "lago": read_lago,
}


@command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FILE...")
@click.option(
    "--from",
    "system",
    type=click.Choice([_CSV, *_SYSTEMS]),
    default=_CSV,
    show_default=True,
    help="What the files are: CSV, or answers of another system's API, in JSON.",
)
@click.option(
    "--write",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write what another system's files come to as CSV into this folder, to be looked at; import nothing.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and show what would change; change nothing.")
async def import_(
    context: CommandContext, files: tuple[Path, ...], system: str, folder: Path | None, *, dry_run: bool
) -> None:
    """Bring merchants, their balances, prices and keys over from another system; the same again changes nothing.

    FILE is a folder, or any of merchants.csv, balances.csv, prices.csv and keys.csv.
    """
    if system == _CSV:
        if folder is not None:
            raise InvalidInput("write", "this writes CSV of another system's files; name the system with --from")
        await _import(context, files, {}, dry_run=dry_run)
        return
    converted = await asyncio.to_thread(_converted, files, _SYSTEMS[system])
    if folder is not None:
        written = write_files(converted, folder)
        context.answer(
            {"written": [str(path) for path in written], "remarks": converted.remarks},
            [*_remark_lines(converted.remarks), *(f"{path} is written" for path in written)],
        )
        return
    with tempfile.TemporaryDirectory(prefix="farebox-import-") as temporary:
        await _import(context, write_files(converted, Path(temporary)), converted.remarks, dry_run=dry_run)


async def _import(
    context: CommandContext, files: tuple[Path, ...] | list[Path], remarks: Mapping[str, int], *, dry_run: bool
) -> None:
    imports = context.farebox.services.imports
    work = imports.plan if dry_run else imports.make
    plan = await work(files, principal=context.principal)
    context.answer(_data(plan, remarks, is_made=not dry_run), _text(plan, remarks, is_made=not dry_run))


def _converted(files: tuple[Path, ...], read: Callable[[Mapping[str, object]], Converted]) -> Converted:
    values: dict[str, object] = {}
    for path in files:
        if path.is_dir():
            raise InvalidInput(str(path), "this is a folder; name the JSON files that are to be read")
        if path.name in values:
            raise InvalidInput(str(path), f"there is another {path.name}; rename one, so that faults can be told apart")
        values[path.name] = read_json(path.read_bytes(), path.name)
    return read(values)


def _text(plan: Plan, remarks: Mapping[str, int], *, is_made: bool) -> Iterator[str]:
    """Write a table of the first new rows of each file, then how many there are, and what to know about them."""
    rows = [(name, shown, what) for name, counts in plan.files.items() for shown, what in counts.shown]
    yield from table(("file", "new", "what"), rows)
    if rows:
        yield ""
    for name, counts in plan.files.items():
        waiting = f", {counts.waiting:,} wait for a second person" if counts.waiting else ""
        yield f"{name}: {counts.new:,} new{waiting}, {counts.there:,} there already"
        if name != PRICES and counts.new + counts.waiting > SHOWN_ROWS:
            yield f"  the first {SHOWN_ROWS} are shown"
    for currency, amount in sorted(plan.sums.items()):
        yield f"New balances come to {format_money_with_code(amount, currency)}."
    yield from _remark_lines(remarks)
    if not is_made:
        yield "Nothing was changed: this was a dry run."
    elif plan.is_empty:
        yield "Nothing was changed: everything was there."
    else:
        yield f"New merchants have the tag {plan.tag}."


def _remark_lines(remarks: Mapping[str, int]) -> Iterator[str]:
    for remark, count in sorted(remarks.items()):
        yield f"Note: {count:,} {remark}."


def _data(plan: Plan, remarks: Mapping[str, int], *, is_made: bool) -> dict[str, object]:
    return {
        "isMade": is_made,
        "tag": plan.tag,
        "files": {
            name: {"new": counts.new, "waiting": counts.waiting, "there": counts.there}
            for name, counts in plan.files.items()
        },
        "balances": {currency: format_amount(amount) for currency, amount in sorted(plan.sums.items())},
        "remarks": dict(remarks),
    }
