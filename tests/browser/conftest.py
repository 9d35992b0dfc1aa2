"""A browser for all tests of this folder in one process, and contexts in it that share nothing, for each test.

The tests run on the loop of the session, as the browser does. Playwright's blocking interface is no choice: while its
browser is open, no other test of the same process could run a loop of its own.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.support.browser import Watch, launch, open_context

# The first test may have to install the browser.
TIMEOUT_S: Final = 900

NewContext = Callable[..., Awaitable[BrowserContext]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder on the session's loop, with time to install the browser."""
    here = f"{Path(__file__).parent}{os.sep}"
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The browser of this process."""
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        yield browser
        await browser.close()


@pytest.fixture
def watch() -> Watch:
    """Everything that goes wrong in the test's pages; `watch.expect("status of 422")` names what is meant to."""
    return Watch()


@pytest_asyncio.fixture(loop_scope="session")
async def new_context(browser: Browser, watch: Watch) -> AsyncIterator[NewContext]:
    """A function that opens contexts, with what Playwright takes for one, such as `viewport=PHONE`.

    The test fails if in any of their pages something goes wrong that it does not expect.
    """
    opened: list[BrowserContext] = []

    async def open_one(**options: object) -> BrowserContext:
        opened.append(await open_context(browser, watch, **options))
        return opened[-1]

    yield open_one
    for context in opened:
        await context.close()
    assert [] == watch.faults()


@pytest_asyncio.fixture(loop_scope="session")
async def page(new_context: NewContext) -> Page:
    """A page of a context of its own, of a desktop's size."""
    return await (await new_context()).new_page()
