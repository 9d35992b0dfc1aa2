"""`farebox copy`: the whole ledger into another database."""

import asyncio

import click

from farebox.cli.context import add_json_option, answer, counted, guarded
from farebox.cli.progress import ProgressBar
from farebox.config import Settings
from farebox.moving.copier import Copied, Copier, abandon
from farebox.moving.database import BeingServed, Database
from farebox.moving.databases import database_at, open_source, open_target
from farebox.service.clock import SystemClock
from farebox.service.errors import InvalidInput
from farebox.setting_types import DatabaseUrl


@click.command("copy")
@click.option("--to", "to_url", help="The database to copy into, a URL as in FAREBOX_DATABASE_URL; it must be empty.")
@click.option(
    "--serving", is_flag=True, help="Copy while the ledger is served, and leave the copy caught up, but closed."
)
@click.option("--switch", is_flag=True, help="Copy while the ledger is served, then close it and open the copy.")
@click.option("--abandon", "is_abandoned", is_flag=True, help="Give up the copy that is made of the ledger.")
def copy(*, to_url: str | None, serving: bool, switch: bool, is_abandoned: bool, is_json: bool) -> None:
    """Copy the whole ledger into another database, while it is served if need be, and switch to it.

    A copy that was stopped or killed goes on where it was when the same command is run again.
    """

    async def run() -> None:
        settings = Settings.load()
        source = database_at(settings.database_url, settings.database_url.sqlite_path)
        if is_abandoned:
            await _abandon(source, to_url, is_json=is_json)
            return
        target = _target(to_url)
        if serving and switch:
            raise InvalidInput("switch", "choose --serving or --switch")
        try:
            copied = await _copied(
                source, target, is_online=serving or switch, is_finished=not serving, is_switched=switch
            )
        finally:
            await source.close()
            await target.close()
        answer(copied, _words(copied, source.place, target.place), is_json=is_json)

    guarded(lambda: asyncio.run(run()), is_json=is_json)


def _target(url: str | None) -> Database:
    if url is None:
        raise InvalidInput("to", "name the database to copy into, such as --to postgresql://farebox@db.example/farebox")
    try:
        read = DatabaseUrl.read(url)
    except ValueError as error:
        raise InvalidInput("to", f"the URL{error}") from error
    return database_at(read, read.sqlite_path)


async def _copied(
    source: Database, target: Database, *, is_online: bool, is_finished: bool, is_switched: bool
) -> Copied:
    if source.place == target.place:
        raise InvalidInput("to", "this is the ledger itself")
    clock = SystemClock()
    await open_source(source)
    if not is_online:
        try:
            await source.keep_others_out()
        except BeingServed as error:
            raise BeingServed(f"{error}: stop it, or copy while it goes on, with --switch or --serving") from error
    await open_target(target, clock.now())
    with ProgressBar() as progress:
        copier = Copier(source, target, clock.now, on_progress=progress.show)
        return await copier.run(is_finished=is_finished, is_switched=is_switched)


async def _abandon(source: Database, to_url: str | None, *, is_json: bool) -> None:
    if to_url is not None:
        raise InvalidInput("to", "--abandon changes the ledger alone: empty the other database yourself")
    try:
        await open_source(source)
        is_given_up = await abandon(source)
    finally:
        await source.close()
    text = "The copy is given up; what there is of it can't be gone on with." if is_given_up else "No copy is made."
    answer({"isGivenUp": is_given_up}, text, is_json=is_json)


def _words(copied: Copied, source: str, target: str) -> list[str]:
    lines = [f"{counted(copied.rows, 'row')} stand in {target}, compared and verified; {copied.seconds:.1f} s."]
    if not copied.is_finished:
        return [*lines, "It is not open. Let `farebox copy --switch` bring the last changes over and switch to it."]
    if not copied.is_switched:
        return [*lines, f"{source} is as it was: serve one of the two, and only one."]
    return [
        *lines,
        f"Nothing was charged for {copied.frozen_seconds:.1f} s. {source} is closed for good: set FAREBOX_DATABASE_URL "
        "to the copy's URL and start the servers.",
    ]


add_json_option(copy)
