"""What takes a message away, and the folder that does so with mails where no mail server is set."""

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol, TypeAlias, TypeVar

from farebox.alerts.mail import name_of

_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600

_Message = TypeVar("_Message")
_Message_contra = TypeVar("_Message_contra", contravariant=True)

Compose: TypeAlias = Callable[[], Awaitable[_Message]]
"""Writes a message as of now, or raises Withdrawn: nobody is to get it any more."""


class TransientFailure(Exception):
    """The mail may go through later."""


class ServerFailure(TransientFailure):
    """The other side can't be reached, hangs, or fails whatever mail it is handed: this one is not to blame."""


class PermanentFailure(Exception):
    """The mail will never go through: the server refused this recipient or this message for good."""


class Withdrawn(Exception):
    """Nobody is to get the message any more; the text says why. It is not sent, now or later."""


class Transport(Protocol[_Message_contra]):
    """Takes one message to one recipient, over one channel: a mail server takes EmailMessages."""

    async def send(self, compose: Compose[_Message_contra], to: str) -> None:
        """Hand a message over; on return the other side has it.

        `compose` is called last thing, when all that takes time has been done and the message can go out at once: it
        says what is true now, and may find that it must not go out. Where it saves a way in vain it is called before as
        well. What it raises comes through, with nothing sent.

        Raises:
            Withdrawn: by `compose`.
            ServerFailure: the other side fails, whatever the message.
            TransientFailure: try again later. The other side may have it all the same, if the connection died before
                it could say so: SMTP is at-least-once.
            PermanentFailure: trying again is of no use.
        """
        ...


class FolderTransport:
    """A folder of .eml files, for a Farebox without a mail server. A mail that is sent again replaces its twin.

    Links that let people in lie there: the folder and its files are for nobody but Farebox's own account, whatever the
    umask, and a folder that was open to others is closed to them.
    """

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made with the first mail."""
        self._folder = folder

    async def send(self, compose: Compose[EmailMessage], to: str) -> None:
        """Write the mail as one file, whole or not at all."""
        message = await compose()
        try:
            await asyncio.to_thread(self._write, message)
        except OSError as error:
            raise ServerFailure(f"the mail folder takes no files: {error}") from error

    def _write(self, message: EmailMessage) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if stat.S_IMODE(self._folder.stat().st_mode) != _FOLDER_MODE:
            # One that belongs to another account is that one's to close.
            with suppress(PermissionError):
                self._folder.chmod(_FOLDER_MODE)
        name = _FILE_NAME.sub("_", name_of(message))
        part = self._folder / f".{name}.part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE), "wb") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / f"{name}.eml")
