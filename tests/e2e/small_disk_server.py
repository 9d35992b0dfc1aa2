"""`farebox serve` on a disk that is full for as long as there is a file `FULL` in the server's folder.

SQLite itself meets what a full disk answers, below it, in a VFS: so its error is its own, and so is what it does then.
"""

from pathlib import Path
from typing import Final

import apsw
from starlette.types import ASGIApp

from farebox import server
from farebox.cli.main import cli
from farebox.cli.serving.serve import make_command

FULL: Final = Path("FULL")
_BASE: Final = "unix"


class _File(apsw.VFSFile):
    """A file that takes no byte while the disk is full."""

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - apsw's own name.
        if FULL.exists():
            raise apsw.FullError("no space left on device")
        super().xWrite(data, offset)


class _Disk(apsw.VFS):
    """The machine's own way to files, but for writes."""

    def __init__(self) -> None:
        super().__init__("small disk", _BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - apsw's own name.
        return _File(_BASE, name, flags)


def web_app() -> ASGIApp:
    """Make the application, whose database is on that disk."""
    global _disk  # noqa: PLW0603 - SQLite needs it for as long as the process lives.
    _disk = _Disk()
    return server.web_app()


_disk: _Disk | None = None


if __name__ == "__main__":
    cli.add_command(make_command(application="tests.e2e.small_disk_server:web_app"))
    cli()
