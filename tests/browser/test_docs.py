"""The page of the API's description in a browser."""

from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import NewContext
from tests.support import plain_http
from tests.support.browser import PHONE, axe
from tests.support.server import Server, open_farebox

SHOWN = """
    rows => rows.map(row => [
        row.querySelector("[data-path]").dataset.path, row.querySelector(".opblock-summary-method").textContent
    ])
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"
    async with open_farebox(database):
        pass
    with Server(database) as server:
        yield server


async def test_page_shows_every_operation(server: Server, page: Page) -> None:
    document = plain_http.get(f"{server.url}/openapi.json").json()
    # The requests that are sent to webhooks stand among them, by the names of its events.
    described = [*document["paths"].items(), *document["webhooks"].items()]
    operations = sorted([path, method.upper()] for path, item in described for method in item)
    await page.goto(f"{server.url}/docs")
    shown = page.locator(".opblock-summary")
    await expect(shown).to_have_count(len(operations))
    assert operations == sorted(await shown.evaluate_all(SHOWN))


async def test_page_hinders_nobody_on_a_phone(server: Server, new_context: NewContext) -> None:
    """It takes seconds to draw, so that it is drawn once, dark, and follows when the reader's theme changes."""
    page = await (await new_context(viewport=PHONE, color_scheme="dark")).new_page()
    await page.goto(f"{server.url}/docs")
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.get_by_role("textbox").last).to_be_visible()
    await look(page, "dark", within=".dialog-ux")
    await look(page, "light", within=".dialog-ux")
    await page.get_by_role("button", name="Close", exact=True).first.click()
    await page.locator("[data-path='/api/charges']").click()
    await page.get_by_role("button", name="Try it out").click()
    await expect(page.locator(".opblock-body textarea")).to_be_visible()
    await look(page, "light")
    await look(page, "dark")


async def look(page: Page, scheme: Literal["light", "dark"], *, within: str = "html") -> None:
    """Find nothing wrong with the page in a theme, once its colours have stopped changing."""
    await page.emulate_media(color_scheme=scheme)
    await expect(page.locator("html.dark-mode")).to_have_count(1 if scheme == "dark" else 0)
    await page.evaluate("Promise.allSettled(document.getAnimations().map(it => it.finished))")
    await axe(page, within=within)
    assert PHONE["width"] == await page.evaluate("document.documentElement.scrollWidth")
