"""A charge by a rule explains itself on desktops and phones, light and dark: to the merchant and to support."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import expect

from farebox.cli import demo
from farebox.service.price_texts import read_rule
from farebox.web.schemas.spending import ChargeRequest
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.support.browser import DESKTOP, PHONE, axe, screenshot
from tests.support.server import open_farebox

TYPE: Final = "azure/gpt-5.1@eu:batch"
RULE: Final[dict[str, Any]] = {
    "lines": [
        {"name": "input", "amount": "0.15", "per": 1_000_000},
        {"name": "cached-input", "amount": "0.075", "per": 1_000_000, "included": 1_000},
        {"name": "output", "amount": "0.60", "per": 1_000_000, "block": 100},
    ],
    "base": "0.0005",
    "period": {"unit": "month", "zone": "Europe/Berlin"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    async with open_farebox(site.database_url) as farebox:
        await farebox.services.prices.set(TYPE, rule=read_rule("rule", RULE))
    yield site
    site.server.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "viewport"), [("desktop", DESKTOP), ("phone", PHONE)])
async def test_a_ruled_charge_is_explained(
    site: Site, new_context: NewContext, size: str, viewport: Any, scheme: str
) -> None:
    async with open_farebox(site.database_url) as farebox:
        asked = ChargeRequest(
            *(site.merchant, TYPE, f"{size}-{scheme}"),
            quantities={"input": 120_007, "cached-input": 4_000, "output": 350},
        )
        outcome = await farebox.services.operations.charge(asked, caller=None)
    assert outcome.transfer is not None
    for email, url in (
        (OWNER, f"{site.account}/statement/{outcome.transfer.id}"),
        (demo.STAFF, f"{site.server.url}/support/merchants/{site.merchant}/transfers/{outcome.transfer.id}"),
    ):
        page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
        await site.sign_in(page, email)
        await page.goto(url)
        await expect(page.get_by_role("row", name="120,007 input at 0.15 per 1,000,000")).to_contain_text("0.01800105")
        await expect(page.get_by_role("row", name="350 output, counted as 400 at 0.60")).to_contain_text("0.00024")
        await expect(page.get_by_role("row", name="Comes to rounded up once")).to_be_visible()
        assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth")
        await axe(page)
        await screenshot(page, f"explanation-{'merchant' if email == OWNER else 'support'}-{size}-{scheme}")
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, OWNER)
    await page.goto(site.account)
    await expect(page.get_by_role("cell", name=TYPE).first).to_contain_text("input")
    assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth")
    await page.get_by_role("heading", name="Last 14 days").scroll_into_view_if_needed()
    await screenshot(page, f"usage-{size}-{scheme}")
