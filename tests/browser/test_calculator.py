"""The calculator of the prices pages: live while somebody types, and by its button without scripts."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from farebox.cli import demo
from farebox.core.pricing.rules import Line, Rates, Rule
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.support.browser import DESKTOP, PHONE, axe
from tests.support.server import open_farebox

TYPE = "a-calculated-chat"
CHAT = Rule(Rates((Line("input", 150_000, 10**6), Line("output", 600_000, 10**6))))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    async with open_farebox(site.database_url) as farebox:
        await farebox.services.prices.set(TYPE, rule=CHAT)
    yield site
    site.server.kill()


async def settled(page: Page) -> None:
    """Wait until an answer is put in: a person takes longer to type again."""
    await expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_a_cost_is_worked_out_while_quantities_are_typed(
    site: Site, new_context: NewContext, viewport: object
) -> None:
    page = await (await new_context(viewport=viewport)).new_page()
    await site.sign_in(page, OWNER)
    await page.goto(f"{site.account}/prices")
    await page.get_by_label("Request type").select_option("image")
    await expect(page.get_by_text("1 request would cost")).to_be_visible()
    await settled(page)
    await page.get_by_label("Request type").select_option(TYPE)
    await expect(page.get_by_text("1,000 input + 1,000 output would cost 0.00075 USD")).to_be_visible()
    await settled(page)
    output = page.get_by_label("output", exact=True)
    await output.fill("350")
    await expect(page.get_by_text("1,000 input + 350 output would cost 0.00036 USD")).to_be_visible()
    await expect(output).to_be_focused()
    await settled(page)
    await output.fill("a few")
    await expect(page.get_by_text("output: Write a whole number, at most 1,000,000,000,000.")).to_be_visible()
    await settled(page)
    await output.fill("3,000")
    await expect(page.get_by_text("1,000 input + 3,000 output would cost")).to_be_visible()
    await axe(page)


async def test_a_cost_is_worked_out_without_scripts(site: Site, new_context: NewContext) -> None:
    page = await (await new_context(java_script_enabled=False)).new_page()
    await site.sign_in(page, demo.STAFF)
    await page.goto(f"{site.server.url}/support/prices")
    await page.locator("#calculator-type").select_option(TYPE)
    await page.get_by_role("button", name="Work it out").click()
    await expect(page.get_by_text("1,000 input + 1,000 output would cost 0.00075")).to_be_visible()
    await page.get_by_label("input", exact=True).fill("3")
    await page.get_by_label("output", exact=True).fill("7")
    await page.get_by_role("button", name="Work it out").click()
    await expect(page.get_by_text("3 input + 7 output would cost 0.000005")).to_be_visible()
    await expect(page.get_by_text("0.00000465 exactly, rounded up to 0.000005")).to_be_visible()
