"""How a mail travels: over SMTP, or into a folder where no mail server is set."""

import asyncio
import os
import re
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

TIMEOUT_SECONDS: Final = 30.0
"""How long any one step of a conversation with a mail server may take."""

_PERMANENT_FROM: Final = 500
_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9_.@-]+")


class TransientFailure(Exception):
    """The mail may go through later."""


class PermanentFailure(Exception):
    """The mail will never go through: the server refused this recipient or this message for good."""


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

    `smtp://user:password@host:587?starttls=true` upgrades to TLS or sends nothing; `smtps://` is TLS from the start.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = TIMEOUT_SECONDS, tls_context: ssl.SSLContext | None = None
    ) -> None:
        """Read the URL; nothing is connected yet.

        Args:
            url: as above; letters with a meaning in URLs are percent-encoded in user and password.
            timeout_seconds: for each step of the conversation.
            tls_context: whom to trust; the system's authorities, if None.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._is_tls = parts.scheme == "smtps"
        self._is_starttls = parse_qs(parts.query).get("starttls", ["false"])[0].lower() in ("true", "1", "yes")
        self._port = parts.port or (465 if self._is_tls else 587 if self._is_starttls else 25)
        self._username = None if parts.username is None else unquote(parts.username)
        self._password = None if parts.password is None else unquote(parts.password)
        self._timeout_seconds = timeout_seconds
        self._tls_context = tls_context

    async def send(self, message: EmailMessage, to: str) -> None:
        """Hand the mail to the server."""
        try:
            await aiosmtplib.send(
                message,
                recipients=[to],
                hostname=self._host,
                port=self._port,
                username=self._username,
                password=self._password,
                use_tls=self._is_tls,
                start_tls=False if self._is_tls else self._is_starttls,
                tls_context=self._tls_context,
                timeout=self._timeout_seconds,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise _failure(refusal.code, f"{to} was refused: {refusal.code} {refusal.message}") from error
        except aiosmtplib.SMTPDataError as error:
            raise _failure(error.code, f"the message was refused: {error.code} {error.message}") from error
        except aiosmtplib.SMTPNotSupported as error:
            # What the server lacks (TLS, login, an address in other letters) the operator may mend.
            raise TransientFailure(f"the mail server lacks something: {error}") from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise TransientFailure(f"the mail server failed: {type(error).__name__}: {error}") from error


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
        name = _FILE_NAME.sub("_", str(message["Message-ID"]).strip("<>")).split("@")[0]
        part = self._folder / f".{name}.part"
        with part.open("wb") as file:
            file.write(message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        part.rename(self._folder / f"{name}.eml")


def _failure(code: int, reason: str) -> TransientFailure | PermanentFailure:
    return PermanentFailure(reason) if code >= _PERMANENT_FROM else TransientFailure(reason)
