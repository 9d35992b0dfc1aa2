"""Programs that tests need and no package of PyPI's brings: an installed one, or Debian's, installed here and now.

A missing program is an error. It never skips a test.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

INSTALL_TIMEOUT_S: Final = 600
LOCK_TIMEOUT_S: Final = 300


class ProgramError(Exception):
    """A program is not there, and can't be installed."""


def find_program(names: Sequence[str], *, packages: Sequence[str], variable: str) -> str:
    """Return where a program is.

    Args:
        names: What it may be called, the best first.
        packages: Debian's packages that bring it, or several in one line that do together; the first that can be
            installed is, if the tests run as root.
        variable: The environment variable that names the program to take instead.

    Raises:
        ProgramError: There is none, and it can't be installed.
    """
    if chosen := os.environ.get(variable):
        return chosen
    found = _installed(names)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(names, packages)
        found = _installed(names)
    if found is None:
        raise ProgramError(
            f"None of {', '.join(names)} is here: install one (Debian: apt-get install {packages[0]}), "
            f"or name the program in {variable}."
        )
    return found


def _installed(names: Sequence[str]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _install(names: Sequence[str], packages: Sequence[str]) -> None:
    """Install the first of these packages that there is, while no other test process installs anything."""
    # Update's own lock can't be waited for, and what this process lacked another may have brought meanwhile.
    with (Path(tempfile.gettempdir()) / "farebox-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed(names):
            return
        _apt("update")
        for package in packages:
            if _apt("install", "-y", "--no-install-recommends", *package.split()):
                return


def _apt(*arguments: str) -> bool:
    """Run apt-get, and tell whether it succeeded."""
    done = subprocess.run(
        ["apt-get", "-qq", "-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT_S}", *arguments],
        check=False,
        capture_output=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        timeout=INSTALL_TIMEOUT_S,
    )
    return done.returncode == 0
