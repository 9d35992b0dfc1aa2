"""A process that claims mails and sends them to a server that never answers, until it is killed."""

import asyncio
import sys
from pathlib import Path

from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.messages import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.smtp import SmtpTransport
from farebox.core.accounts import Account
from farebox.storage.sqlite import SqliteStore


async def run(path: str, url: str, now: int) -> None:
    """Send what is due in a database at a time."""

    async def describe_runway(account: Account, at: int) -> str | None:
        return None

    store = SqliteStore(Path(path))
    await store.open()
    settings = MailSettings("alerts@farebox.example", "https://pay.example", "")
    transport = SmtpTransport(url, timeout_seconds=3600)
    outbox = Outbox(store, settings, now=lambda: now, describe_runway=describe_runway)
    await Dispatcher(outbox, transport, now=lambda: now).run_once()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
