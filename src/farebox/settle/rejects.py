"""The file of rejects: lines that could not be read or applied, each with its place and the reason, for people."""

import os
from pathlib import Path
from typing import Final

import msgspec

from farebox.settle.sources import RawLine

REJECTS_BYTES_MAX: Final = 64 * 1024 * 1024
"""How large the file may grow; lines beyond are counted alone."""

_TEXT_BYTES_MAX: Final = 16 * 1024
_MODE: Final = 0o600
"""A line of a log may have secrets in it."""


class Rejects:
    """The file, which is opened for each line, so that it can be rotated, emptied or removed at any time."""

    def __init__(self, path: Path, *, bytes_max: int = REJECTS_BYTES_MAX) -> None:
        """Write behind what is in the file."""
        self.path = path
        self._bytes_max = bytes_max

    def add(self, line: RawLine, reason: str) -> bool:
        """Write a line with its reason; False if the file is full.

        Raises:
            OSError: it can't be written.
        """
        text = None if line.text is None else line.text[:_TEXT_BYTES_MAX].decode("utf-8", "replace")
        entry = {"file": line.source, "line": line.number, "reason": reason, "text": text}
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            if os.fstat(descriptor).st_size >= self._bytes_max:
                return False
            os.write(descriptor, msgspec.json.encode(entry) + b"\n")
        finally:
            os.close(descriptor)
        return True
