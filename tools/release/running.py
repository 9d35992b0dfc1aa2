"""Runs programs with nothing of the caller's environment but where programs and certificates are."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

RUN_SECONDS_MAX: Final = 600

_KEPT_PREFIXES: Final = ("PIP_", "SSL_", "LC_")
_KEPT: Final = {"PATH", "LANG", "TMPDIR", "HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}


class ReleaseFailed(Exception):
    """A distribution is not fit to be released; the message tells why."""


def environment(**more: str) -> dict[str, str]:
    """Return what a program is given: no setting of Farebox's and no path of Python's."""
    kept = {
        name: value for name, value in os.environ.items() if name.upper() in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return {**kept, **more}


def run(
    command: Sequence[str | Path], *, folder: Path, variables: Mapping[str, str] | None = None, is_quiet: bool = True
) -> str:
    """Run a program to its end, and return what it printed.

    Raises:
        ReleaseFailed: It failed, took too long, or wrote to stderr where it was to be quiet there.
    """
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
            env=environment(**(variables or {})),
            timeout=RUN_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise ReleaseFailed(f"{_line(command)} took more than {RUN_SECONDS_MAX} s") from error
    if done.returncode != 0 or (is_quiet and done.stderr):
        raise ReleaseFailed(f"{_line(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _line(command: Sequence[str | Path]) -> str:
    return " ".join(str(word) for word in command)
