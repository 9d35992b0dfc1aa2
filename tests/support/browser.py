"""A real browser for tests, driven by its command line alone.

Where it comes from, in this order: `FAREBOX_TEST_BROWSER` names its program; an installed Chromium or Chrome; Debian's
package, installed here and now if the tests run as root. No package of PyPI's brings a browser, and those that would
download one need another source. A missing browser is an error. It never skips a test.
"""

import functools
import os
import shutil
import subprocess
import tempfile
from typing import Final

PROGRAMS: Final = (
    *("chromium-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable", "chrome"),
)
PACKAGES: Final = ("chromium-headless-shell", "chromium")
PAGE_TIMEOUT_S: Final = 60
INSTALL_TIMEOUT_S: Final = 600
VIRTUAL_TIME_MS: Final = 10_000

OPTIONS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"),
    f"--virtual-time-budget={VIRTUAL_TIME_MS}",
)


class BrowserError(Exception):
    """There is no browser, or it did not show the page."""


def text_of_page(url: str) -> str:
    """Open a page, let its scripts and requests run, and return its document as it then stands."""
    with tempfile.TemporaryDirectory(prefix="farebox-browser-", ignore_cleanup_errors=True) as profile:
        command = [find_browser(), *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", url]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PAGE_TIMEOUT_S)
    if done.returncode != 0 or not done.stdout:
        raise BrowserError(f"{command[0]} failed:\n{done.stderr}")
    return done.stdout


@functools.cache
def find_browser() -> str:
    """Return the browser's program.

    Raises:
        BrowserError: There is none, and it can't be installed.
    """
    if chosen := os.environ.get("FAREBOX_TEST_BROWSER"):
        return chosen
    found = _installed()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
        found = _installed()
    if found is None:
        raise BrowserError(
            "No Chromium or Chrome: install one (Debian: apt-get install chromium-headless-shell), "
            "or name its program in FAREBOX_TEST_BROWSER."
        )
    return found


def _installed() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


def _install() -> None:
    """Install the first of Debian's packages that there is."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(
        ["apt-get", "update", "-qq"], check=False, capture_output=True, env=environment, timeout=INSTALL_TIMEOUT_S
    )
    for package in PACKAGES:
        done = subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package],
            check=False,
            capture_output=True,
            env=environment,
            timeout=INSTALL_TIMEOUT_S,
        )
        if done.returncode == 0:
            return
