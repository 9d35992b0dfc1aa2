"""A type is retired at a time to come, an own price ended, and a version withdrawn, each after a page that asks."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from farebox.cli import demo
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.support.browser import DESKTOP, PHONE, axe, screenshot
from tests.support.server import open_farebox

COMING: Final = "2099-01-01T00:00:00Z"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    yield site
    site.server.kill()


async def _prices_of(site: Site, size: str) -> str:
    """Price a type that the walk is about: a default, an own price, and one of each to come."""
    name = f"walk-{size}"
    async with open_farebox(site.database_url) as farebox:
        prices = farebox.services.prices
        for merchant_id in (None, site.merchant_id):
            await prices.set(name, "0.03", merchant_id=merchant_id)
            await prices.set(name, "0.02", merchant_id=merchant_id, starts=COMING)
        await prices.set(f"gone-{size}", "1")
        await prices.end(f"gone-{size}")
    return name


async def _look(page: Page, name: str) -> None:
    await axe(page)
    await screenshot(page, name)
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    assert page.viewport_size["width"] == width, f"{name} is too wide"


@pytest.mark.parametrize(("size", "viewport", "scheme"), [("desktop", DESKTOP, "light"), ("phone", PHONE, "dark")])
async def test_a_price_ends_and_is_withdrawn_on_pages_that_ask(
    site: Site, new_context: NewContext, size: str, viewport: Any, scheme: Any
) -> None:
    name, prices = await _prices_of(site, size), f"{site.server.url}/support/prices"
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, demo.STAFF)
    await page.goto(prices)
    await _look(page, f"prices-{size}")
    # The end, first now, then at another time.
    await page.get_by_role("link", name=f"Retire {name}").click()
    await expect(page.get_by_text("Price now")).to_be_visible()
    await page.get_by_label("From when").fill("2098-12-01T00:00")
    await page.get_by_role("button", name="See what it comes to").click()
    await expect(page.get_by_text(f"requests of type {name} are refused")).to_be_visible()
    await expect(page.get_by_text("1, whose requests are refused as well")).to_be_visible()
    await _look(page, f"price-end-{size}")
    await page.get_by_role("button", name=f"Retire {name} then").click()
    await expect(page.get_by_text("The end of the price is saved")).to_be_visible()
    # The version that would start again is withdrawn.
    await page.get_by_role("link", name=f"Withdraw the price to come of {name}, 1 Jan 2099").click()
    await expect(page.get_by_text("it stays retired")).to_be_visible()
    await _look(page, f"price-withdrawal-{size}")
    await page.get_by_role("button", name="Withdraw it").click()
    await expect(page.get_by_text("The price is withdrawn, and never starts.")).to_be_visible()
    # The merchant's own price ends now.
    await page.goto(f"{site.server.url}/support/merchants/{site.merchant}/prices")
    await page.get_by_role("link", name=f"End {name}").click()
    await expect(page.get_by_text("it pays the default: 0.03")).to_be_visible()
    await _look(page, f"own-price-end-{size}")
    await page.get_by_role("button", name="End its own price now").click()
    await expect(page.get_by_text("The price has ended.")).to_be_visible()
    await _look(page, f"own-prices-{size}")
    reader = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(reader, OWNER)
    await reader.goto(f"{site.account}/prices")
    await expect(reader.get_by_text("Not offered any more")).to_be_visible()
    await expect(reader.get_by_text("requests are refused").first).to_be_visible()
    await _look(reader, f"merchant-prices-{size}")
