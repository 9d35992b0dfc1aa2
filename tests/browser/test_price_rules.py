"""A rule is typed in the console, whose words and cost follow while it is typed; a merchant then reads it."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from farebox.cli import demo
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.support.browser import DESKTOP, PHONE, axe, screenshot

TYPE: Final = "azure/gpt-5.1@eu:batch"
LINES: Final = [
    {"name": "input", "amount": "0.15", "per": 1_000_000},
    {"name": "output", "amount": "0.60", "per": 1_000_000},
]
PEAK: Final = [{**line, "amount": amount} for line, amount in zip(LINES, ("0.30", "1.20"), strict=True)]
RULE: Final[dict[str, Any]] = {
    "lines": LINES,
    "base": "0.005",
    "tiers": {"by": ["input"], "from": [{"from": 200_001, "lines": PEAK}]},
    "windows": {
        "zone": "Europe/Berlin",
        "windows": [{"days": ["mon", "tue", "wed"], "from": "01:00", "until": "01:01", "lines": PEAK}],
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    yield site
    site.server.kill()


@pytest.mark.parametrize(("size", "viewport"), [("desktop", DESKTOP), ("phone", PHONE)])
async def test_a_rule_is_previewed_while_it_is_typed_and_read_by_the_merchant(
    site: Site, new_context: NewContext, size: str, viewport: Any
) -> None:
    page = await (await new_context(viewport=viewport)).new_page()
    await site.sign_in(page, demo.STAFF)
    await page.goto(f"{site.server.url}/support/prices")
    preview = page.locator("#rule-preview")
    await page.locator("#type").fill(f"{TYPE}-{size}")
    await page.get_by_label("Or a rule").fill(json.dumps(RULE)[:-1])
    await expect(preview).to_contain_text("this is no JSON: Expecting ',' delimiter")
    await page.get_by_label("Or a rule").fill(json.dumps(RULE, indent=2))
    await expect(preview).to_contain_text("0.15 per 1,000,000 input")
    await expect(preview).to_contain_text("1,000 input + 1,000 output would cost 0.00575 now")
    await page.get_by_label("Try the rule with").fill("300,000 input, 350 output")
    await expect(preview).to_contain_text("300,000 input + 350 output would cost 0.09542 now")
    await expect(preview).to_contain_text("above 200,000 input")
    assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth")
    await axe(page)
    await screenshot(page, f"price-form-{size}")
    await page.get_by_role("button", name="Set the price").click()
    await page.get_by_role("button", name=f"Set a price for the new type {TYPE}-{size}").click()
    await expect(page.get_by_text("The price is saved.")).to_be_visible()
    await screenshot(page, f"price-table-{size}")

    merchant = await (await new_context(viewport=viewport)).new_page()
    await site.sign_in(merchant, OWNER)
    await merchant.goto(f"{site.account}/prices")
    row = merchant.get_by_role("row", name=f"{TYPE}-{size}")
    for words in (
        "0.60 per 1,000,000 output",
        "above 200,000 input",
        "Monday to Wednesday 01:00 to 01:01 (Europe/Berlin)",
    ):
        await expect(row).to_contain_text(words)
    assert viewport["width"] == await merchant.evaluate("document.documentElement.scrollWidth")
    await axe(merchant)
    await screenshot(merchant, f"price-merchant-{size}")


async def test_without_scripts_the_button_shows_the_preview(site: Site, new_context: NewContext) -> None:
    page: Page = await (await new_context(java_script_enabled=False)).new_page()
    await site.sign_in(page, demo.STAFF)
    await page.goto(f"{site.server.url}/support/prices")
    await page.get_by_label("Or a rule").fill(json.dumps({"lines": LINES}))
    await page.get_by_label("Try the rule with").fill("3 input, 7 output")
    await page.get_by_role("button", name="See what the rule comes to").click()
    await expect(page.get_by_text("3 input + 7 output would cost 0.000005 now")).to_be_visible()
    await expect(page.get_by_label("Or a rule")).to_have_value(json.dumps({"lines": LINES}))
