"""How a mail travels over SMTP. Servers without a mail server never import this."""

import asyncio
import socket
import ssl
import threading
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from typing import Final

import aiosmtplib

from farebox.alerts.email_address import InvalidAddress, mailbox, needs_smtputf8, one_line
from farebox.alerts.smtp_url import read_smtp_url
from farebox.alerts.transport import Compose, PermanentFailure, ServerFailure, TransientFailure

TIMEOUT_SECONDS: Final = 30.0
"""How long any one step of a conversation with a mail server may take."""

QUIT_SECONDS_MAX: Final = 5.0
"""How long to wait for a server's good-bye; it has the mail already."""

OWN_NAME_SECONDS_MAX: Final = 5.0
"""How long to look for this machine's full name, by which it greets servers, before its short one has to do."""

_PERMANENT_CODES: Final = range(500, 600)
_OUR_FAULT_CODES: Final = frozenset({500, 502, 503, 530, 534, 535, 538})
"""Codes that speak of the conversation or the login, at any step: they say nothing of the mail."""


class LacksSmtputf8(aiosmtplib.SMTPNotSupported):
    """The server does not take addresses that are not ASCII."""


_OF_MAIL: Final = (aiosmtplib.SMTPRecipientRefused, aiosmtplib.SMTPDataError, LacksSmtputf8)
"""What speaks of one mail, by a server that may take others."""


class SmtpTransport:
    """A mail server; each mail has a connection of its own, so that one that hangs holds up no other."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        quit_seconds_max: float = QUIT_SECONDS_MAX,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """Read the URL; nothing is connected yet.

        Args:
            url: see `read_smtp_url`.
            timeout_seconds: for each step of the conversation.
            quit_seconds_max: for the server's good-bye.
            tls_context: whom to trust; the system's authorities, if None.

        Raises:
            InvalidSmtpUrl: the URL makes no sense.
        """
        self._server = read_smtp_url(url)
        self._timeout_seconds = timeout_seconds
        self._quit_seconds_max = min(timeout_seconds, quit_seconds_max)
        self._tls_context = tls_context
        self._looking_up: asyncio.Future[str] | None = None

    def __repr__(self) -> str:
        """Name the server and how it is reached."""
        return repr(self._server).replace("SmtpServer", "SmtpTransport")

    async def send(self, compose: Compose[EmailMessage], to: str) -> None:
        """Hand a mail to the server, written when that has agreed to take it."""
        try:
            recipient = mailbox(to)
        except InvalidAddress as error:
            raise PermanentFailure(str(error)) from error
        # Nobody connects for a mail that is not to be sent, and the envelope needs the sender.
        message = await compose()
        sender: Address = message["From"].addresses[0]
        client = await self._client()
        try:
            await client.connect()
            is_utf8 = needs_smtputf8(sender, recipient)
            await _hand_over_envelope(client, sender, recipient, is_utf8=is_utf8)
            message = await compose()
            await client.data(message.as_bytes(policy=SMTPUTF8 if is_utf8 else SMTP))
            # The server has the mail: it is sent, even if the farewell fails.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=self._quit_seconds_max)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failure(error, to) from error
        finally:
            # Not by way of QUIT: to a server that hangs, that would wait once more, and a stop would wait for it.
            client.close()

    async def check(self) -> None:
        """Connect and log in as for a mail, and send none.

        Raises:
            TransientFailure: that failed; the message says why.
        """
        client = await self._client()
        try:
            await client.connect()
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=self._quit_seconds_max)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failure(error, "") from error
        finally:
            client.close()

    async def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            local_hostname=await self._own_name(),
            username=self._server.username,
            password=self._server.password,
            use_tls=self._server.is_tls,
            start_tls=self._server.is_starttls,
            tls_context=self._tls_context,
            timeout=self._timeout_seconds,
        )

    async def _own_name(self) -> str:
        """Find this machine's full name, once: looking it up for each mail may be slow."""
        if self._looking_up is None:
            loop = asyncio.get_running_loop()
            self._looking_up = loop.create_future()
            # A thread of its own, that ends with the process: a stop would wait for one of the loop's.
            threading.Thread(target=_look_own_name_up, args=(loop, self._looking_up), daemon=True).start()
        await asyncio.wait([self._looking_up], timeout=OWN_NAME_SECONDS_MAX)
        _set(self._looking_up, socket.gethostname())
        return self._looking_up.result()

    def _failure(self, error: Exception, to: str) -> TransientFailure | PermanentFailure:
        """Tell whether another attempt is of use, and why this one failed, in words that hold no password."""
        code, text = None, str(error)
        if isinstance(error, aiosmtplib.SMTPResponseException):
            code, text = error.code, f"{error.code} {error.message}"
        is_of_mail = isinstance(error, _OF_MAIL) and code not in _OUR_FAULT_CODES
        is_permanent = is_of_mail and code in _PERMANENT_CODES
        reason = f"{self._what_failed(error, to)}: {text}"
        if self._server.password:
            reason = reason.replace(self._server.password, "***")
        kind = PermanentFailure if is_permanent else TransientFailure if is_of_mail else ServerFailure
        return kind(one_line(reason))

    def _what_failed(self, error: Exception, to: str) -> str:
        match error:
            case aiosmtplib.SMTPRecipientRefused():
                return f"the mail server refused {to}"
            case aiosmtplib.SMTPDataError():
                return "the mail server refused the message"
            case aiosmtplib.SMTPSenderRefused():
                return f"the mail server refused the sender {error.sender}"
            case aiosmtplib.SMTPAuthenticationError():
                return "the mail server refused the login"
            case aiosmtplib.SMTPNotSupported():
                return "the mail server lacks something"
            case ssl.SSLCertVerificationError():
                return "the mail server's certificate is not to be trusted"
            case aiosmtplib.SMTPConnectError():
                return "the mail server can't be reached"
            case _:
                return f"the mail server {self._server.host}:{self._server.port} failed"


async def _hand_over_envelope(client: aiosmtplib.SMTP, sender: Address, recipient: Address, *, is_utf8: bool) -> None:
    """Name the sender and the recipient; step by step, so that a refusal is the last word heard.

    aiosmtplib's own `send_message` follows a refusal with RSET, and if that takes too long forgets the refusal.
    """
    if not client.supports_esmtp:
        # A server that knows HELO alone is greeted so by the next command.
        with suppress(aiosmtplib.SMTPHeloError):
            await client.ehlo()
    if is_utf8 and not client.supports_extension("smtputf8"):
        raise LacksSmtputf8(f"SMTPUTF8, for {sender.addr_spec} to {recipient.addr_spec}")
    encoding = "utf-8" if is_utf8 else "ascii"
    options = ["SMTPUTF8", "BODY=8BITMIME"] if is_utf8 else []
    await client.mail(sender.addr_spec, options=options, encoding=encoding)
    await client.rcpt(recipient.addr_spec, encoding=encoding)


def _look_own_name_up(loop: asyncio.AbstractEventLoop, found: "asyncio.Future[str]") -> None:
    name = socket.getfqdn()
    # The loop may be gone by then.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_set, found, name)


def _set(found: "asyncio.Future[str]", name: str) -> None:
    if not found.done():
        found.set_result(name)
