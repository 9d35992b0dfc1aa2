"""A real browser for tests: Playwright drives a Chromium that is here, or Debian's, installed if the tests run as root.

It has no network beyond this machine: no other name or address is resolved, whoever asks. Requests are watched rather
than intercepted, since Playwright answers preflights itself, and switches the browser's cache off, once it intercepts.
"""

import os
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    ViewportSize,
    WebError,
    WebSocket,
    expect,
)

from tests.support.debian import find_program

PROGRAMS: Final = (
    *("chromium-headless-shell", "chromium", "chromium-browser"),
    *("google-chrome", "google-chrome-stable", "chrome"),
)
PACKAGES: Final = ("chromium-headless-shell", "chromium")
START_TIMEOUT_MS: Final = 120_000
STEP_TIMEOUT_MS: Final = 60_000
OPTIONS: Final = (
    *("--disable-gpu", "--disable-quic", "--no-proxy-server"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

LOOPBACK: Final = {"127.0.0.1", "localhost"}
LOCAL_SCHEMES: Final = {"about", "blob", "data"}

PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 900}

PICTURE_QUALITY: Final = 60
PICTURE_SCALE: Final = 0.75
"""Small enough for a repository, large enough to be read."""

AXE_FAILS_ON: Final = ("serious", "critical")
AXE_PLACES_MAX: Final = 8
AXE_RUN: Final = """async within => {
  const options = {resultTypes: ["violations"], preload: {assets: ["media"]}};
  return (await axe.run(within, options)).violations;
}"""
"""Style sheets are not fetched and parsed once more: the one rule that reads them is experimental, and is not run."""


class Watch:
    """All that goes wrong in a context's pages: errors on the console, uncaught ones, requests beyond this machine.

    The console also has what a policy blocks, and answers with an error status.
    """

    def __init__(self) -> None:
        self._seen: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def observe(self, context: BrowserContext) -> None:
        """Note what goes wrong in the context from now on."""
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)
        context.on("page", lambda page: page.on("websocket", self._on_web_socket))

    def expect(self, pattern: str) -> None:
        """Let pass whatever this regular expression is found in, such as `status of 422`."""
        self._expected.append(re.compile(pattern))

    def faults(self) -> list[str]:
        """Return what went wrong so far and was not expected."""
        return [fault for fault in self._seen if not any(pattern.search(fault) for pattern in self._expected)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._seen.append(f"console: {message.text} ({message.location['url']})")

    def _on_error(self, error: WebError) -> None:
        self._seen.append(f"uncaught: {error.error}")

    def _on_request(self, request: Request) -> None:
        self._check(request.url)

    def _on_web_socket(self, socket: WebSocket) -> None:
        self._check(socket.url)

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in LOCAL_SCHEMES and parts.hostname not in LOOPBACK:
            self._seen.append(f"beyond this machine: {url}")


async def launch(playwright: Playwright) -> Browser:
    """Start the browser, without its sandbox: that refuses to run as root, and the pages are the tests' own."""
    expect.set_options(timeout=STEP_TIMEOUT_MS)
    return await playwright.chromium.launch(
        executable_path=find_browser(), args=OPTIONS, chromium_sandbox=False, timeout=START_TIMEOUT_MS
    )


async def open_context(browser: Browser, watch: Watch, **options: Any) -> BrowserContext:
    """Open a context, which shares nothing with others, with Playwright's options for it; things on it do not move."""
    context = await browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
    context.set_default_timeout(STEP_TIMEOUT_MS)
    watch.observe(context)
    return context


async def axe(page: Page, *, within: str = "html") -> None:
    """Fail if axe-core finds that the page, or what a selector names, seriously or critically hinders people now."""
    # A page that was looked at before has it still, and so has one whose content is set anew.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_axe_script())
    violations = await page.evaluate(AXE_RUN, within)
    findings = [_told(finding) for finding in violations if finding["impact"] in AXE_FAILS_ON]
    if findings:
        pytest.fail(f"axe finds on {page.url}:\n" + "\n".join(findings), pytrace=False)


async def screenshot(page: Page, name: str) -> None:
    """Keep a picture of what shows as `name`.jpg in the folder that FAREBOX_TEST_SCREENSHOTS names, if it does."""
    if folder := os.environ.get("FAREBOX_TEST_SCREENSHOTS"):
        await page.screenshot(path=Path(folder) / f"{name}.jpg", type="jpeg", quality=PICTURE_QUALITY)


@cache
def find_browser() -> str:
    """Return the browser's program: the one that FAREBOX_TEST_BROWSER names, an installed one, or Debian's.

    Raises:
        ProgramError: There is none, and it can't be installed.
    """
    return find_program(PROGRAMS, packages=PACKAGES, variable="FAREBOX_TEST_BROWSER")


@cache
def _axe_script() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text()


def _told(finding: dict[str, Any]) -> str:
    """Tell a finding, and the first of the places that it is about, in lines for a person."""
    lines = [f"{finding['impact']}: {finding['help']} ({finding['id']}; {finding['helpUrl']})"]
    for node in finding["nodes"][:AXE_PLACES_MAX]:
        lines.append(f"  {' '.join(str(step) for step in node['target'])}: {node['html']}")
        lines.extend(f"    {line}" for line in node["failureSummary"].splitlines())
    if more := finding["nodes"][AXE_PLACES_MAX:]:
        lines.append(f"  and {len(more)} more places")
    return "\n".join(lines)
