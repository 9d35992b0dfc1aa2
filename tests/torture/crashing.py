"""A server that kills itself at a named point: `python -m tests.torture.crashing serve ...`, as `farebox serve`.

FAREBOX_TEST_CRASH names the point and how often it is passed before, as in `before_commit:3`. The commits that count
are the ledger's own, not those of what a server does in the background.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from email.message import EmailMessage
from typing import Any
from unittest import mock

from starlette.types import ASGIApp

from farebox import server
from farebox.alerts.transport import Compose, FolderTransport
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command
from farebox.storage.postgres import PostgresConnector, transaction, unlocked
from farebox.storage.sqlite import SqliteConnector


class _Point:
    """One point; the process ends there when it has been passed as often as it may be."""

    def __init__(self, times: int) -> None:
        self._left = times

    def passed(self) -> None:
        self._left -= 1
        if self._left < 0:
            os.kill(os.getpid(), signal.SIGKILL)


def web_app() -> ASGIApp:
    """Make the application with its point armed."""
    name, _, times = os.environ["FAREBOX_TEST_CRASH"].partition(":")
    point = _Point(int(times))

    is_batch = ContextVar("is_batch", default=False)

    def within(transact: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*arguments: Any) -> Any:
            token = is_batch.set(True)
            try:
                return await transact(*arguments)
            finally:
                is_batch.reset(token)

        return wrapped

    def around(commit: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*arguments: Any) -> Any:
            if is_batch.get() and name == "before_commit":
                point.passed()
            result = await commit(*arguments)
            if is_batch.get() and name == "after_commit":
                point.passed()
            return result

        return wrapped

    original_send = FolderTransport.send

    async def send(self: FolderTransport, compose: Compose[EmailMessage], recipient: str) -> None:
        await original_send(self, compose, recipient)
        if name == "mail_sent":
            point.passed()

    for connector in (SqliteConnector, PostgresConnector):
        mock.patch.object(connector, "transact", within(connector.transact)).start()
    mock.patch.object(SqliteConnector, "_commit", around(SqliteConnector._commit)).start()
    run_to_its_end = around(transaction.run_to_its_end)
    for module in (transaction, unlocked):
        mock.patch.object(module, "run_to_its_end", run_to_its_end).start()
    mock.patch.object(FolderTransport, "send", send).start()
    return server.web_app()


def main() -> None:
    """Serve this application in place of Farebox's own; a worker that ends is not replaced."""
    cli.add_command(make_command(application="tests.torture.crashing:web_app", is_replacing=False))
    cli()


if __name__ == "__main__":
    main()
