"""What the ledger tells: what is owed to people, destinations' secrets, the last verification, and the clock."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from farebox.bootstrap import make_connector
from farebox.cli.context import counted, short_time
from farebox.cli.doctor.database_checks import database_name
from farebox.cli.doctor.findings import CheckContext, Finding, Level, error, ok, warn
from farebox.core.prices import CLOCK_LAG_MICROS_MAX
from farebox.service.people.destination_secrets import DestinationSecrets, SecretUnreadable
from farebox.storage.destination_records import Channel, Destination
from farebox.storage.interface import StorageError
from farebox.storage.stores import Stores

_CHANNELS: Final = {
    0: "mails about accounts",
    int(Channel.EMAIL): "mails of alerts",
    int(Channel.WEBHOOK): "webhooks",
    int(Channel.CHAT): "chat messages",
}
_PAGE: Final = 500
_DESTINATIONS_MAX: Final = 10_000
_MICROS: Final = 1_000_000
_DAY_MICROS: Final = 86_400 * _MICROS


async def check_ledger(context: CheckContext, database: list[Finding]) -> list[Finding]:
    """Tell what is told by the ledger's own tables, if the database can be opened."""
    if "database_url" in context.unread or any(
        finding.level is Level.ERROR and finding.check in ("database.reachable", "database.schema")
        for finding in database
    ):
        return []
    connector = make_connector(context.settings)
    stores, where = Stores.over(connector), database_name(context)
    try:
        await connector.open()
        return [
            await _writes(stores, where),
            *await _owed(stores, where, context),
            await _secrets(stores, context),
            await _verified(stores, where, context),
            await _clock(stores, where, context),
        ]
    except (StorageError, TimeoutError) as problem:
        advice = "run: farebox verify; look at the database's log"
        return [error("ledger.readable", where, str(problem) or "it takes too long", advice)]
    finally:
        await connector.close()


async def _writes(stores: Stores, where: str) -> Finding:
    try:
        await stores.connector.check_writable()
    except StorageError as problem:
        advice = "see that the disk has room, and that Farebox may write to the file, or that this is the primary"
        return error("ledger.writable", where, str(problem), advice)
    return ok("ledger.writable", where, "a write that changes nothing was committed")


async def _owed(stores: Stores, where: str, context: CheckContext) -> list[Finding]:
    waiting, now = await stores.deliveries.oldest_waiting(), context.clock.now()
    late = {
        channel: since for channel, since in waiting.items() if now - since > context.limits.owed_seconds_max * _MICROS
    }
    if not late:
        return [ok("ledger.outbox", where, "nothing that is owed to people waits for long")]
    advice = "see that a server runs; `farebox outbox list` and the destination's page say why each one waits"
    return [
        warn(
            "ledger.outbox",
            where,
            f"{_CHANNELS[channel]} wait since {short_time(since)} (UTC), "
            f"for {timedelta(seconds=(now - since) // _MICROS)}",
            advice,
        )
        for channel, since in sorted(late.items())
    ]


async def _secrets(stores: Stores, context: CheckContext) -> Finding:
    """Tell whether what signs webhooks, and the URLs of chats, can be read with the secret key that is set."""
    check, name = "ledger.destination-secrets", "FAREBOX_SECRET_KEY"
    secrets = DestinationSecrets(*context.settings.secret_key.keys)
    seen, unreadable, after = 0, [], 0
    while seen < _DESTINATIONS_MAX and (page := await stores.destinations.page(after=after, limit=_PAGE)):
        unreadable += [one.id for one in page if not _is_readable(one, secrets.decrypt)]
        seen, after = seen + len(page), page[-1].destination_id
    if not unreadable:
        return ok(check, name, f"the secrets of {counted(seen, 'destination')} can be read")
    found = (
        f"the secrets of {counted(len(unreadable), 'destination')} of {seen} can't be read, {unreadable[0]} for one: "
        "the key is another than when they were saved"
    )
    return error(check, name, found, "set the key of before, or save these destinations' secrets anew")


def _is_readable(destination: Destination, decrypt: Callable[[int, bytes], str]) -> bool:
    try:
        decrypt(destination.destination_id, destination.secret)
    except SecretUnreadable:
        return False
    return True


async def _verified(stores: Stores, where: str, context: CheckContext) -> Finding:
    check, advice = "ledger.verified", "run: farebox verify"
    runs = await stores.verifications.list(_PAGE)
    last = next((run for run in runs if run.finished_at is not None), None)
    if last is None or last.finished_at is None:
        if not await stores.merchants.page(0, 1):
            return ok(check, where, "there is nothing to verify yet")
        return warn(check, where, "the ledger was never verified", f"{advice}; once a week is a good habit")
    when = short_time(last.finished_at)
    if last.problems:
        found = f"the verification of {when} (UTC) found {counted(last.problems, 'fault')}: {last.first_problem}"
        return error(check, where, found, f"{advice}, and keep a copy of the database as it is")
    days = (context.clock.now() - last.finished_at) // _DAY_MICROS
    if days > context.limits.verified_days_max:
        return warn(check, where, f"the ledger was verified {days} days ago, at {when} (UTC)", advice)
    return ok(check, where, f"clean, as of {when} (UTC)")


async def _clock(stores: Stores, where: str, context: CheckContext) -> Finding:
    """Tell whether this machine's clock is behind what was written by another, or by itself before it was set back."""
    if await stores.prices.is_any_made_after(context.clock.now() + CLOCK_LAG_MICROS_MAX):
        found = "this machine's clock is more than a minute behind the making of a default price: no charge is taken"
        return error("clock.ledger", where, found, "set the clock right: docs/how-to/operate.md")
    return ok("clock.ledger", where, "nothing in the ledger is ahead of this machine's clock")
