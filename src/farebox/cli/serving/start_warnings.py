"""What an operator is warned of when a server starts: once, and not by each of its processes."""

import stat
from pathlib import Path
from typing import Final

from farebox.background import make_mail_settings
from farebox.config import CONFIG_FILE, Settings

_UNGUARDED: Final = (
    "FAREBOX_SECRET_KEY is not set: a person who reads the database, or a backup of it, can sign in as anybody; set it "
    "to what `openssl rand -hex 32` prints, the same for every process and command"
)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def start_warnings(settings: Settings, folder: Path) -> list[str]:
    """List what is unsafe about these settings and the files that a server in this folder uses, or can't be used."""
    warnings = [] if settings.secret_key else [_UNGUARDED]
    names = " ".join(map(str, open_files(settings, folder)))
    if names:
        warnings.append(f"other accounts of this machine may read or write {names}; close them: chmod go= {names}")
    return [*warnings, *make_mail_settings(settings)[1]]


def open_files(settings: Settings, folder: Path) -> list[Path]:
    """List the files of a server in this folder that other accounts of the machine may read or write."""
    path = settings.database_url.sqlite_path
    files = [folder / CONFIG_FILE]
    if path is not None:
        # What SQLite keeps beside the file has its mode, unless that was changed since.
        files += [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    return [file for file in files if file.exists() and stat.S_IMODE(file.stat().st_mode) & _OTHERS]
