"""A month's revenue in a real browser: its lines, its charts and its file, on desktops and phones, light and dark."""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import expect

from farebox.cli import demo
from farebox.core.accounts import Kind
from farebox.storage.months import Month
from tests.browser.conftest import NewContext
from tests.browser.site import Site
from tests.support.browser import DESKTOP, PHONE, axe, screenshot
from tests.support.ledger import BEN, UNIT
from tests.support.revenue_books import seeded_writer
from tests.support.server import open_farebox

LAST: Final = Month(2026, 3)
MONTHS: Final = 9


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A site with a merchant in euros, who has paid, used and been given something for nine months."""
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    async with open_farebox(site.database_url) as farebox:
        writer = await seeded_writer(farebox.stores)
        for number in range(MONTHS):
            at = LAST.plus(number + 1 - MONTHS).starts_at
            given = 20 * UNIT + number * UNIT
            await writer.write(BEN, Kind.TOP_UP, (120 + 10 * number) * UNIT, at)
            await writer.write(BEN, Kind.GRANT, given, at, given=f"{number + 1}:{given};expires={at + 9}")
            used = (80 + 13 * number) * UNIT + 2_500
            await writer.write(BEN, Kind.CHARGE, used, at, given=f"{number + 1}:{given - UNIT}", uncollected=12_500)
            await writer.write(BEN, Kind.CHARGE, 4 * UNIT, at, request_type="scan")
            await writer.write(BEN, Kind.GRANT_EXPIRY, UNIT, at, given=f"{number + 1}:{UNIT}")
    yield site
    site.server.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "viewport"), [("desktop", DESKTOP), ("phone", PHONE)])
async def test_a_month_is_read_with_its_charts(
    site: Site, new_context: NewContext, size: str, viewport: Any, scheme: str
) -> None:
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, demo.STAFF)
    await page.goto(f"{site.server.url}/support/revenue?month={LAST}")
    await expect(page.get_by_role("heading", name="Revenue, Mar 2026")).to_be_visible()
    await expect(page.get_by_role("row", name="Used by requests").first).to_contain_text("-161.0025")
    await expect(page.get_by_role("row", name="Granted").first).to_contain_text("28.00")
    used = page.get_by_role("img", name=re.compile("^Used in Apr 2025 to Mar 2026"))
    owed = page.get_by_role("img", name=re.compile("^Paid money not used yet at each month's end"))
    await expect(used.locator("visible=true").locator("rect")).to_have_count(2 * MONTHS)
    await expect(owed.locator("visible=true").locator("rect")).to_have_count(MONTHS)
    assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth")
    await axe(page)
    await screenshot(page, f"revenue-{size}-{scheme}")
    # A month before it, by its row of the table.
    await page.get_by_text("The months as a table, EUR").click()
    await page.get_by_role("link", name="Jan 2026").click()
    await expect(page.get_by_role("heading", name="Revenue, Jan 2026")).to_be_visible()
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Download as CSV").click()
    download = await waiting.value
    assert "revenue-2026-01.csv" == download.suggested_filename
    path = await download.path()
    assert "2026-01,EUR,paid,paid_in,,180.00" in path.read_text().splitlines()
