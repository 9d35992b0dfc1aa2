"""Commands for the database itself: making it, checking it, copying it, and the mails it owes."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from farebox.bootstrap import make_connector
from farebox.cli.context import (
    FAILED,
    CommandContext,
    add_json_option,
    answer,
    command,
    counted,
    guarded,
    merchant_id,
    short_time,
    table,
)
from farebox.cli.progress import ProgressBar
from farebox.config import Settings
from farebox.core import ids
from farebox.core.audit_log import AuditEntry
from farebox.presenters.alert_words import alert_words
from farebox.presenters.outbox import STATE_WORDS, mail_data, mail_kind, owed_since
from farebox.service.clock import SystemClock
from farebox.service.operator.verifier import Verifier
from farebox.storage.records import AccountMail, Delivery, MailServerPause
from farebox.storage.stores import Stores
from farebox.storage.upgrades.mailboxes import ACTOR

_MAILS_LISTED_MAX: Final = 200
_MEGABYTE: Final = 1_000_000
_NOTES_PAGE: Final = 1_000
_MAIL_COLUMNS: Final = ("owed (UTC)", "to", "why", "state", "attempts", "reason")


@click.command("init")
def init(*, is_json: bool) -> None:
    """Create the database, or bring it up to date; safe to repeat."""

    async def migrate() -> None:
        connector = make_connector(Settings.load())
        now = SystemClock().now()
        names = await connector.migrate(now)
        notes = await _upgrade_notes(Stores.over(connector), now) if names else []
        await connector.close()
        text = f"The database is ready: applied {', '.join(names)}." if names else "The database is up to date."
        answer({"applied": names, "notes": notes}, [text, *notes], is_json=is_json)

    guarded(lambda: asyncio.run(migrate()), is_json=is_json)


async def _upgrade_notes(stores: Stores, now: int) -> list[str]:
    """Say what an upgrade has decided about people's addresses, as the audit log has it."""
    await stores.connector.open()
    entries: list[AuditEntry] = []
    before = (now + 1, 0)
    while found := await stores.audit_log.list(merchant_id=None, before=before, limit=_NOTES_PAGE):
        entries += [entry for entry in found if entry.at == now and entry.actor == ACTOR]
        before = (found[-1].at, found[-1].entry_id)
        if before[0] < now:
            break
    return [f"{entry.subject}: {entry.detail}." for entry in reversed(entries)]


@command("verify")
@click.option("--merchant", help="This merchant alone.")
@click.option("--run", type=int, hidden=True, help="The number of the verification that a server has begun.")
async def verify(context: CommandContext, merchant: str | None, run: int | None) -> None:
    """Replay the whole ledger: books, balances, hashes, holds. Exits with 1 and names what is wrong."""
    started = time.monotonic()
    faults = []
    with ProgressBar() as progress:

        async def show() -> None:
            progress.show("Transfers verified", audit.transfers_count, audit.transfers_total)

        if merchant is None:
            whole = context.farebox.services.verifications.run(context.principal.name, run, on_progress=show)
            audit, found = whole.audit, whole.faults()
        else:
            number = merchant_id(merchant)
            await context.farebox.services.merchants.get(number)
            audit = Verifier(context.farebox.stores.connector, on_progress=show)
            found = audit.faults(number)
        async for fault in found:
            faults.append({"merchantId": ids.public_id(ids.MERCHANT, fault.merchant_id), "fault": fault.text})
            if not context.is_json:
                progress.end()
                click.echo(f"{faults[-1]['merchantId']}: {fault.text}")
    seconds = time.monotonic() - started
    seen = f"{counted(audit.merchants_count, 'merchant')}, {counted(audit.transfers_count, 'transfer')}"
    context.answer(
        {
            "isClean": not faults,
            "merchants": audit.merchants_count,
            "transfers": audit.transfers_count,
            "faults": faults,
        },
        f"{counted(len(faults), 'fault') if faults else 'Clean'}: {seen}, {_rate(audit.transfers_count, seconds)}.",
    )
    if faults:
        raise SystemExit(FAILED)


@command("backup")
@click.argument("path", type=click.Path(path_type=Path))
async def backup(context: CommandContext, path: Path) -> None:
    """Write a consistent copy of the database to PATH while it is in use (SQLite)."""
    started, megabytes = time.monotonic(), 0
    with ProgressBar() as progress:

        def show(copied: int, total: int) -> None:
            nonlocal megabytes
            megabytes = total // _MEGABYTE
            progress.show("Megabytes copied", copied // _MEGABYTE, megabytes)

        await context.farebox.stores.connector.backup(path, show)
    seconds = time.monotonic() - started
    context.answer({"path": str(path)}, f"Copied to {path}: {megabytes:,} MB, {_rate(megabytes, seconds)}.")


def _rate(done: int, seconds: float) -> str:
    """Say how long it took, and how much was done each second if it took long enough to tell."""
    rate = f", {done / seconds:,.0f} a second" if seconds >= 1 else ""
    return f"{seconds:.1f} s{rate}"


@click.group("outbox")
def outbox_group() -> None:
    """The mails that are owed: what was sent, what waits, and why."""


@command("list", group=outbox_group)
async def outbox_list(context: CommandContext) -> None:
    """List the newest mails and where they stand."""
    farebox = context.farebox
    mails = await farebox.services.console.mails(None, _MAILS_LISTED_MAX)
    pause = await farebox.services.console.mail_server_pause(farebox.services.operator.mail_server)
    alerted = {mail.alert.merchant_id for mail in mails if isinstance(mail, Delivery)}
    merchants = await farebox.services.console.merchants_of(alerted)
    currencies = {number: row.account.currency for number, row in merchants.items()}
    rows = [
        (
            short_time(owed_since(mail)),
            mail.email,
            _why(mail, currencies),
            STATE_WORDS[mail.state],
            str(mail.attempts),
            mail.last_error or "",
        )
        for mail in mails
    ]
    context.answer(
        [mail_data(mail, pause) for mail in mails],
        [
            *_pause_lines(pause, farebox.clock.now()),
            *(table(_MAIL_COLUMNS, rows, right=(4,)) or ["No mail has been owed yet."]),
        ],
    )


@command("retry", group=outbox_group)
async def outbox_retry(context: CommandContext) -> None:
    """Make every mail that was neither sent nor withdrawn due now, those given up included."""
    count = await context.farebox.services.console.retry(principal=context.principal)
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    words = f"{counted(count, 'mail')} {verb} due now; a running server sends {them}."
    context.answer({"retried": count}, words if count else "No mail waits to be sent, and none was given up.")


def _pause_lines(pause: MailServerPause | None, now: int) -> list[str]:
    """Say that the mail server takes no mails."""
    if pause is None:
        return []
    until = f"until {short_time(pause.paused_until)}" if pause.paused_until > now else "until the next mail is due"
    return [
        f"No mail is taken by {pause.server} since {short_time(pause.since)} (UTC); it is given up {until}:",
        f"  {pause.reason}",
        "",
    ]


def _why(mail: Delivery | AccountMail, currencies: Mapping[int, str]) -> str:
    """Say in a few words what a mail is about."""
    if isinstance(mail, Delivery):
        return alert_words(mail.alert, currencies[mail.alert.merchant_id])
    return mail_kind(mail).replace("_", " ")


add_json_option(init)
