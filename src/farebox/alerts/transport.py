"""What takes a mail away, and the folder that does where no mail server is set."""

import asyncio
import os
import re
import stat
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol

_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class TransientFailure(Exception):
    """The mail may go through later."""


class ServerFailure(TransientFailure):
    """The other side can't be reached, hangs, or fails whatever mail it is handed: this one is not to blame."""


class PermanentFailure(Exception):
    """The mail will never go through: the server refused this recipient or this message for good."""


class Transport(Protocol):
    """Takes one mail to one recipient."""

    async def send(self, message: EmailMessage, to: str) -> None:
        """Hand the mail over; on return the other side has it.

        Raises:
            ServerFailure: the other side fails, whatever the mail.
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

    async def send(self, message: EmailMessage, to: str) -> None:
        """Write the mail as one file, whole or not at all."""
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
        name = _FILE_NAME.sub("_", str(message["Message-ID"]).strip("<>").split("@")[0])
        part = self._folder / f".{name}.part"
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE), "wb") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / f"{name}.eml")
