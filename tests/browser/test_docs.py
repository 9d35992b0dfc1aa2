"""The page of the API's description in a browser."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import STEP_TIMEOUT_MS
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
    document = httpx.get(f"{server.url}/openapi.json", trust_env=False).json()
    operations = sorted([path, method.upper()] for path, item in document["paths"].items() for method in item)
    await page.goto(f"{server.url}/docs")
    shown = page.locator(".opblock-summary")
    await expect(shown).to_have_count(len(operations), timeout=STEP_TIMEOUT_MS)
    assert operations == sorted(await shown.evaluate_all(SHOWN))
