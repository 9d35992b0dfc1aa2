"""The site of the documentation in a browser, and the parts of the tutorial that are about pages.

The tutorial's pages are docs/tutorial/see-the-dashboard.md and docs/tutorial/invite-a-colleague.md.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import NewContext
from tests.cli.shell import Shell
from tests.docs.pages import fences
from tests.support import plain_http
from tests.support.browser import PHONE, Watch, axe
from tests.support.server import Server
from tests.tidy.files import ROOT

TUTORIAL = ROOT / "docs" / "tutorial"
PASSWORD = "three wise herons"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: the test's own output is what counts."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the site is served, as a web server serves files."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_a_page_is_found_by_searching_for_it(site: str, page: Page) -> None:
    await page.goto(f"{site}/index.html")
    await page.get_by_role("textbox", name="Search").click()
    await page.get_by_role("textbox", name="Search").press_sequentially("synchronous standby")
    result = page.locator(".md-search-result__link").first
    await expect(result).to_be_visible()
    await result.click()
    await expect(page).to_have_url(re.compile(r"/(how-to|explanation)/"))
    await expect(page.locator("article")).to_contain_text("standby")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_site_hinders_nobody_on_a_phone(site: str, new_context: NewContext, scheme: str) -> None:
    page = await (await new_context(viewport=PHONE, color_scheme=scheme)).new_page()
    for name in ("index.html", "reference/outcomes.html", "tutorial/first-charge.html"):
        await page.goto(f"{site}/{name}")
        await expect(page.locator("article h1")).to_be_visible()
        await axe(page)
        assert PHONE["width"] == await page.evaluate("document.documentElement.scrollWidth")


class Tutorial:
    """The state after the tutorial's first part: a server, a merchant with money, Ann, and keys."""

    def __init__(self, database: str, server: Server, merchant: str, service_key: str) -> None:
        self._database = database
        self.server = server
        self.merchant = merchant
        self.service_key = service_key

    def charge(self, quantity: int, key: str) -> None:
        body = {"merchant": self.merchant, "type": "image", "quantity": quantity, "idempotencyKey": key}
        headers = {"x-api-key": self.service_key}
        answer = plain_http.post(f"{self.server.url}/api/charges", json=body, headers=headers)
        assert 200 == answer.status_code, answer.text

    def farebox(self, *words: str) -> str:
        """Run a command in a process of its own: the browser's loop is running in this one."""
        environment = os.environ | {"FAREBOX_DATABASE_URL": self._database}
        command = [sys.executable, "-m", "farebox", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def link(self, email: str) -> str:
        """Return the path of the link that a user chooses a password by."""
        printed = self.farebox("user", "link", self.merchant, email)
        found = re.search(r"/link/\S+", printed)
        assert found, printed
        return self.server.url + found[0]


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"
    shell = Shell(database)
    shell.ok("init")
    merchant = shell.json("merchant", "create", "Northwind Imaging", "--currency", "USD", "--threshold", "20")
    shell.ok("user", "add", merchant["merchantId"], "ann@northwind.example")
    shell.ok("price", "set", "image", "0.25")
    shell.ok("topup", merchant["merchantId"], "50", "--reference", "INV-2026-001")
    service = shell.json("key", "create", "--service", "images")
    with Server(database) as server:
        made = Tutorial(database, server, merchant["merchantId"], service["apiKey"])
        made.charge(4, "request-1")
        yield made


async def _choose_password(page: Page, link: str) -> None:
    await page.goto(link)
    await page.get_by_label("New password").fill(PASSWORD)
    await page.get_by_role("button", name="Set the password and sign in").click()


async def test_the_parts_of_the_tutorial_that_are_about_pages(
    tutorial: Tutorial, page: Page, new_context: NewContext, watch: Watch
) -> None:
    (first, second), (listed, removed) = (
        fences(TUTORIAL / name, "sh") for name in ("see-the-dashboard.md", "invite-a-colleague.md")
    )
    assert 'farebox user link "$MERCHANT" ann@northwind.example' == first.strip()
    assert '\\"quantity\\": 8, \\"idempotencyKey\\": \\"request-2\\"' in second
    await _choose_password(page, tutorial.link("ann@northwind.example"))
    await expect(page.locator("#current-balance")).to_contain_text("49.00")
    tutorial.charge(8, "request-2")
    await expect(page.locator("#current-balance")).to_contain_text("47.00")
    await page.get_by_role("link", name="Statement", exact=True).first.click()
    await expect(page.get_by_role("link", name="Top-up INV-2026-001")).to_be_visible()
    await page.get_by_role("link", name="Alerts", exact=True).first.click()
    await expect(page).to_have_url(re.compile("/alerts$"))
    assert "20.00" in await page.content()

    await page.get_by_role("link", name="People", exact=True).first.click()
    await page.get_by_label("E-mail address").fill("ben@northwind.example")
    await page.get_by_role("button", name="Invite", exact=True).click()
    await expect(page.get_by_role("row", name="ben@northwind.example")).to_be_visible()
    assert "farebox user link" in listed
    assert "ben@northwind.example" in tutorial.farebox("user", "list", tutorial.merchant)
    ben = await (await new_context()).new_page()
    await _choose_password(ben, tutorial.link("ben@northwind.example"))
    await expect(ben.locator("#current-balance")).to_contain_text("47.00")
    await ben.get_by_role("link", name="People", exact=True).first.click()
    await expect(ben.get_by_role("row", name="ben@northwind.example")).to_be_visible()
    await expect(ben.get_by_text("Invite somebody")).to_have_count(0)
    assert 'farebox user remove "$MERCHANT" ben@northwind.example' == removed.strip()
    tutorial.farebox("user", "remove", tutorial.merchant, "ben@northwind.example")
    watch.expect("status of 404")
    await ben.reload()
    await expect(ben.locator("#current-balance")).to_have_count(0)
