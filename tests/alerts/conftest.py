"""A ledger whose thresholds fire, mail servers, and what takes mails from the one to the other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from farebox.storage.sqlite import SqliteConnector
from farebox.storage.stores import Stores
from tests.alerts.mailserver import MailServer
from tests.support.ledger import Ledger
from tests.support.originals import copy_ledger

StartServer = Callable[[MailServer], Awaitable[MailServer]]


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger with one merchant."""
    path = copy_ledger(tmp_path / "farebox.db")
    ledger = Ledger(path, Stores.over(SqliteConnector(path)))
    await ledger.open()
    yield ledger
    await ledger.stores.connector.close()


@pytest.fixture
async def start_server() -> AsyncIterator[StartServer]:
    """Starts mail servers, and stops them after the test."""
    servers: list[MailServer] = []

    async def start(server: MailServer) -> MailServer:
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def server(start_server: StartServer) -> MailServer:
    """A mail server that takes everything unless told otherwise."""
    return await start_server(MailServer())
