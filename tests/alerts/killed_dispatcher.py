"""A process that claims mails and sends them to a server that never answers, until it is killed."""

import asyncio
import sys
from pathlib import Path

from farebox.alerts.dispatcher import Dispatcher
from farebox.alerts.mail import MailSettings
from farebox.alerts.outbox import Outbox
from farebox.alerts.relay import Relay
from farebox.alerts.smtp import SmtpTransport
from farebox.service.insight.forecast import RunwayReader
from farebox.service.people.signing import Signer
from farebox.service.people.unsubscribing import Unsubscribing
from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores


class _StoppedClock:
    """Stands still."""

    def __init__(self, time: int) -> None:
        self._time = time

    def now(self) -> int:
        return self._time


async def run(path: str, url: str, now: int) -> None:
    """Send what is due in a database at a time."""
    stores, clock = Stores.over(SqliteConnector(Path(path))), _StoppedClock(now)
    await stores.connector.open()
    settings = MailSettings("alerts@farebox.example", "https://pay.example", "")
    outbox = Outbox(stores, RunwayReader(stores, clock), settings, Unsubscribing(stores, Signer(""), clock))
    relay = Relay(SmtpTransport(url, timeout_seconds=3600), stores.mail_servers, clock, server=url)
    await Dispatcher(outbox, relay, clock).run_once()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
