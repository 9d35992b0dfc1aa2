"""A real SMTP server on loopback that does as a test says: takes mail, refuses it, hangs, or dies."""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Final, TypeAlias, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from farebox.alerts.transport import Compose

WAIT_S: Final = 30
"""How long a test waits for what must come about."""

DIES: Final = "the connection is cut"
HANGS: Final = "no answer comes"

Answer: TypeAlias = str | Callable[[], Awaitable[object]]
"""What a server says; or what happens before it says that all is well."""


def composed(message: EmailMessage) -> Compose[EmailMessage]:
    """Give a transport a message that is written already."""

    async def compose() -> EmailMessage:
        return message

    return compose


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(WAIT_S):
        while True:
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def greeting(words: bytes) -> AsyncIterator[str]:
    """Listen, say these words to whoever comes, and never anything else; yields the URL."""
    transports: list[asyncio.Transport] = []

    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transports.append(transport)
            transport.write(words)

    listener = await asyncio.get_running_loop().create_server(Greeter, "127.0.0.1", 0)
    try:
        yield f"smtp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        for transport in transports:
            transport.abort()
        await listener.wait_closed()


class MailServer:
    """An SMTP server in the test's own event loop; `rcpt`, `data` and `quit` have its answers to come.

    Args:
        login: the user and password that it wants.
        knows_smtputf8: whether it takes addresses that are not ASCII.
        starttls: the certificate with which it offers STARTTLS.
        tls: the certificate with which it speaks TLS from the start.
    """

    def __init__(
        self,
        *,
        login: tuple[str, str] | None = None,
        knows_smtputf8: bool = False,
        starttls: ssl.SSLContext | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = 0
        self.received: list[tuple[Envelope, EmailMessage]] = []
        """What it took to its DATA step, whatever it answered then."""
        self.asked: list[str] = []
        """The recipients that it was asked for."""
        self.sessions: list[Session] = []
        self.rcpt: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self.data: deque[Answer] = deque()
        self.mail: deque[Answer] = deque()
        self.quit: deque[Answer] = deque()
        self._login = login
        self._knows_smtputf8 = knows_smtputf8
        self._starttls = starttls
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: list[SMTP] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def recipients(self) -> list[str]:
        return [recipient for envelope, _ in self.received for recipient in envelope.rcpt_tos]

    @property
    def messages(self) -> list[EmailMessage]:
        return [message for _, message in self.received]

    async def start(self) -> None:
        """Listen, on the port it had if it ran before."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop to listen and cut every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in self._connections:
            if connection.transport is not None:
                cast(asyncio.Transport, connection.transport).abort()
        tasks = [connection._handler_coroutine for connection in self._connections]
        await asyncio.wait([task for task in tasks if task is not None] or [asyncio.create_task(asyncio.sleep(0))])
        await self._server.wait_closed()
        self._connections.clear()
        self._server = None

    def _connect(self) -> SMTP:
        connection = SMTP(
            self,
            hostname="mail.test",
            enable_SMTPUTF8=self._knows_smtputf8,
            tls_context=self._starttls,
            require_starttls=self._starttls is not None,
            auth_require_tls=False,
            authenticator=self._authenticate,
            auth_exclude_mechanism=[] if self._login else ["LOGIN", "PLAIN"],
            loop=asyncio.get_running_loop(),
        )
        self._connections.append(connection)
        return connection

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        is_right = self._login == (data.login.decode(), data.password.decode())
        refusal = f"535 5.7.8 No login with {data.password.decode()}"
        return AuthResult(success=is_right, handled=False, message=None if is_right else refusal)

    async def handle_MAIL(  # noqa: N802 -- aiosmtpd finds its hooks by these names.
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.sessions.append(session)
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return await self._answer(server, self.mail)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked.append(address)
        answer = await self._answer(server, self.rcpt[address])
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        self.received.append((envelope, message_from_bytes(content, policy=default)))
        return await self._answer(server, self.data)

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await self._answer(server, self.quit)
        return "221 Bye" if answer.startswith("250") else answer

    async def _answer(self, server: SMTP, script: deque[Answer]) -> str:
        answer = script.popleft() if script else "250 OK"
        if not isinstance(answer, str):
            await answer()
            return "250 OK"
        if answer == DIES:
            cast(asyncio.Transport, server.transport).abort()
        if answer in (DIES, HANGS):
            with suppress(asyncio.TimeoutError):
                await asyncio.sleep(10 * WAIT_S)
        return answer
