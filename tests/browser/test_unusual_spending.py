"""Unusual spending on desktops and phones, light and dark: who may suspends the key that does it, and resumes it."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from farebox.cli import demo
from farebox.core import ids
from farebox.core.commands import KeyKind
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.support.browser import DESKTOP, PHONE, Watch, axe, screenshot
from tests.support.ledger import UNIT
from tests.support.server import open_farebox

KINDS: Final = [("desktop", DESKTOP, "light"), ("phone", PHONE, "dark")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    yield site
    site.server.kill()


async def _leak(site: Site, size: str) -> str:
    """Let a key of the merchant's have spent far more than is usual; return its id."""
    async with open_farebox(site.database_url) as farebox:
        key = (
            await farebox.services.merchants.create_key(
                KeyKind.MERCHANT, merchant_id=site.merchant_id, name=f"nightly jobs, {size}"
            )
        ).key
        now = farebox.clock.now()
        facts = {
            "spent": 90 * UNIT,
            "window_seconds": 300,
            "highest": 12 * UNIT,
            "key_id": key.key_id,
            "key_hint": key.hint,
            "key_name": key.name,
            "key_spent": 81 * UNIT,
        }
        await farebox.stores.spending.tell(site.merchant_id, facts, key_id=key.key_id, now=now, quiet_since=now)
    return ids.public_id(ids.KEY, key.key_id)


async def _look(page: Page, name: str) -> None:
    await axe(page)
    await screenshot(page, name)
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    assert page.viewport_size["width"] == width, f"{name} is too wide"


@pytest.mark.parametrize(("size", "viewport", "scheme"), KINDS)
async def test_a_key_is_suspended_from_where_it_is_told_and_resumed_on_its_page(
    site: Site, new_context: NewContext, size: str, viewport: Any, scheme: Any
) -> None:
    key_id = await _leak(site, size)
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, demo.STAFF)
    for path in ("/support", f"/support/merchants/{site.merchant}"):
        await page.goto(f"{site.server.url}{path}")
        await expect(page.get_by_text("spent far more in five minutes")).to_be_visible()
        await _look(page, f"unusual-{path.strip('/').partition('/')[0]}-{len(path)}-{size}")
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, OWNER)
    await page.goto(site.account)
    await _look(page, f"unusual-overview-{size}")
    await page.get_by_role("link", name="Suspend this key").click()
    await expect(page.get_by_text("every request with it is refused")).to_be_visible()
    await _look(page, f"suspend-{size}")
    await page.get_by_role("button", name="Suspend the key").click()
    await expect(page.get_by_text("it opens nothing until it is resumed").first).to_be_visible()
    assert page.url.startswith(f"{site.account}/keys/{key_id}")
    await _look(page, f"suspended-{size}")
    await page.goto(site.account)
    await expect(page.get_by_text("which is suspended")).to_be_visible()
    await expect(page.get_by_role("link", name="Suspend this key")).to_have_count(0)
    await page.goto(f"{site.account}/keys/{key_id}")
    await page.get_by_role("button", name="Resume the key").click()
    await expect(page.get_by_text("The key is resumed")).to_be_visible()


@pytest.mark.parametrize(("size", "viewport", "scheme"), KINDS)
async def test_days_left_are_set_beside_amounts(
    site: Site, new_context: NewContext, watch: Watch, size: str, viewport: Any, scheme: Any
) -> None:
    watch.expect("status of 422")
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, OWNER)
    await page.goto(f"{site.account}/alerts")
    days = page.get_by_label("Warn below so many days left, 1")
    await days.fill("91")
    await page.get_by_role("button", name="Save the thresholds").click()
    await expect(page.get_by_text("is not between 1 and 90 days")).to_be_visible()
    await days.fill("14")
    await page.get_by_role("button", name="Save the thresholds").click()
    await expect(page.get_by_text("The thresholds are saved.")).to_be_visible()
    await expect(days).to_have_value("14")
    await _look(page, f"alerts-days-{size}")
