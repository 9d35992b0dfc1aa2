"""How a mail travels: over SMTP, or into a folder where no mail server is set."""

import asyncio
import os
import re
import ssl
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import aiosmtplib

from farebox.alerts.email_address import InvalidAddress, mailbox, needs_smtputf8, one_line

TIMEOUT_SECONDS: Final = 30.0
"""How long any one step of a conversation with a mail server may take."""

QUIT_SECONDS_MAX: Final = 5.0
"""How long to wait for a server's good-bye; it has the mail already."""

_PORTS: Final = {"smtp": 25, "starttls": 587, "smtps": 465}
_SWITCH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_PERMANENT_CODES: Final = range(500, 600)
_OUR_FAULT_CODES: Final = frozenset({500, 502, 503, 530, 534, 535, 538})
"""Codes that speak of the conversation or the login, whatever step they come at: they say nothing of the mail."""

_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class TransientFailure(Exception):
    """The mail may go through later."""


class PermanentFailure(Exception):
    """The mail will never go through: the server refused this recipient or this message for good."""


class InvalidSmtpUrl(ValueError):
    """The mail server's URL makes no sense; the message says what would be right and never repeats the URL."""


class Transport(Protocol):
    """Takes one mail to one recipient."""

    async def send(self, message: EmailMessage, to: str) -> None:
        """Hand the mail over; on return the other side has it.

        Raises:
            TransientFailure: try again later. The other side may have it all the same, if the connection died before
                it could say so: SMTP is at-least-once.
            PermanentFailure: trying again is of no use.
        """
        ...


class SmtpTransport:
    """A mail server, named by a URL; each mail has a connection of its own, so that one that hangs holds up no other.

    `smtps://` is TLS from the start. `smtp://…?starttls=true` upgrades to TLS or sends nothing. With a user and a
    password that is the default, except to a server on this machine: a password crosses a network in the clear only if
    the URL says `starttls=false`.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, tls_context: ssl.SSLContext | None = None
    ) -> None:
        """Read the URL; nothing is connected yet.

        Args:
            url: `smtp://user:password@host:587?starttls=true` or the like; characters with a meaning in URLs are
                percent-encoded in user and password.
            timeout_seconds: for each step of the conversation.
            tls_context: whom to trust; the system's authorities, if None.

        Raises:
            InvalidSmtpUrl: another scheme, no host, a port that is none, or an option that is not known.
        """
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
            options = dict(parse_qsl(parts.query, keep_blank_values=True))
        except ValueError:
            # The parser's own message quotes the URL, which holds a password.
            raise InvalidSmtpUrl(_ADVICE) from None
        if scheme not in ("smtp", "smtps") or not host or parts.path.strip("/") or parts.fragment:
            raise InvalidSmtpUrl(_ADVICE)
        self._host = host
        self._username = None if parts.username is None else unquote(parts.username)
        self._password = None if parts.password is None else unquote(parts.password)
        self._is_tls = scheme == "smtps"
        has_login_at_risk = self._username is not None and not _is_this_machine(host)
        self._is_starttls = not self._is_tls and _read_starttls(options, default=has_login_at_risk)
        self._port = port or _PORTS["starttls" if self._is_starttls else scheme]
        self._timeout_seconds = timeout_seconds
        self._tls_context = tls_context
        self._local_hostname: str | None = None

    def __repr__(self) -> str:
        """Name the server and how it is reached; who logs in, and how, stays out of logs."""
        security = "TLS" if self._is_tls else "STARTTLS" if self._is_starttls else "no TLS"
        return f"SmtpTransport({self._host}:{self._port}, {security})"

    async def send(self, message: EmailMessage, to: str) -> None:
        """Hand the mail to the server."""
        try:
            recipient = mailbox(to)
        except InvalidAddress as error:
            raise PermanentFailure(str(error)) from error
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=self._local_hostname,
            username=self._username,
            password=self._password,
            use_tls=self._is_tls,
            start_tls=self._is_starttls,
            tls_context=self._tls_context,
            timeout=self._timeout_seconds,
        )
        try:
            await client.connect()
            # What this machine is called does not change; looking it up for each mail may be slow.
            self._local_hostname = client.local_hostname
            await _hand_over(client, message, recipient)
            # The server has the mail: whatever becomes of the farewell, it is sent.
            with suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=min(self._timeout_seconds, QUIT_SECONDS_MAX))
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._failure(error, to) from error
        finally:
            # Not by way of QUIT: to a server that hangs, that would wait once more, and a stop would wait for it.
            client.close()

    def _failure(self, error: Exception, to: str) -> TransientFailure | PermanentFailure:
        """Tell whether another attempt is of use, and why this one failed, in words that hold no password."""
        code, text = None, str(error)
        if isinstance(error, aiosmtplib.SMTPResponseException):
            code, text = error.code, f"{error.code} {error.message}"
        is_of_mail = isinstance(error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError)
        is_permanent = is_of_mail and code in _PERMANENT_CODES and code not in _OUR_FAULT_CODES
        reason = f"{self._what_failed(error, to)}: {text}"
        if self._password:
            reason = reason.replace(self._password, "***")
        return PermanentFailure(one_line(reason)) if is_permanent else TransientFailure(one_line(reason))

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
                return f"the mail server {self._host}:{self._port} failed"


class FolderTransport:
    """A folder of .eml files, for a Farebox without a mail server. A mail that is sent again replaces its twin."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made with the first mail."""
        self._folder = folder

    async def send(self, message: EmailMessage, to: str) -> None:
        """Write the mail as one file, whole or not at all."""
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise TransientFailure(f"the mail folder takes no files: {error}") from error

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        name = _FILE_NAME.sub("_", str(message["Message-ID"]).strip("<>").split("@")[0])
        part = self._folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / f"{name}.eml")


async def _hand_over(client: aiosmtplib.SMTP, message: EmailMessage, recipient: Address) -> None:
    """Name the sender and the recipient and give the message; step by step, so that a refusal is the last word heard.

    aiosmtplib's own `send_message` follows a refusal with RSET, and if that takes too long forgets the refusal.
    """
    sender: Address = message["From"].addresses[0]
    is_utf8 = needs_smtputf8(sender, recipient)
    if not client.supports_esmtp:
        # A server that knows HELO alone is greeted so by the next command.
        with suppress(aiosmtplib.SMTPHeloError):
            await client.ehlo()
    if is_utf8 and not client.supports_extension("smtputf8"):
        raise aiosmtplib.SMTPNotSupported(f"SMTPUTF8, for {sender.addr_spec} to {recipient.addr_spec}")
    encoding = "utf-8" if is_utf8 else "ascii"
    options = ["SMTPUTF8", "BODY=8BITMIME"] if is_utf8 else []
    await client.mail(sender.addr_spec, options=options, encoding=encoding)
    await client.rcpt(recipient.addr_spec, encoding=encoding)
    await client.data(message.as_bytes(policy=SMTPUTF8 if is_utf8 else SMTP))


_ADVICE: Final = (
    "the mail server's URL can't be read; write smtp://user:password@host:587?starttls=true or "
    "smtps://user:password@host, with letters such as @ / : # ? % in user and password percent-encoded"
)


def _read_starttls(options: dict[str, str], *, default: bool) -> bool:
    """Read the one option there is; a misspelt one must not pass for `false`."""
    text = options.pop("starttls", None)
    if options or (text is not None and text.lower() not in _SWITCH):
        raise InvalidSmtpUrl("the mail server's URL takes one option, starttls=true or starttls=false")
    return default if text is None else _SWITCH[text.lower()]


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
