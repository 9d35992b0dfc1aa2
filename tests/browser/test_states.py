"""Pages after something was done or went wrong: the focus is there, it is announced, and axe finds nothing."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Page, ViewportSize, expect

from farebox.cli import demo
from tests.browser.conftest import NewContext
from tests.browser.site import CODES, OWNER, VIEWER, Site
from tests.browser.test_screens import path_of
from tests.support.browser import DESKTOP, PHONE, Watch, axe

PREVIEW: Final = "section[aria-labelledby=preview]"
RESULT: Final = ".banner[role=status]"
REFUSAL: Final = ".banner[role=alert]"
SCREENS: Final = [pytest.param(DESKTOP, "light", id="desktop"), pytest.param(PHONE, "dark", id="phone")]


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    yield site
    site.server.kill()


async def settle(page: Page, focus: str) -> None:
    """Find the focus where it belongs, in sight, and nothing that hinders people."""
    focused = page.locator(f"{focus}:focus")
    await expect(focused).to_have_count(1)
    await expect(focused).to_be_in_viewport()
    await axe(page)
    assert page.viewport_size is not None
    assert page.viewport_size["width"] == await page.evaluate("document.documentElement.scrollWidth")


async def send(page: Page, button: str, **fields: str) -> None:
    """Fill fields in, by their ids, and press a button, as a keyboard does."""
    for name, text in fields.items():
        await page.locator(f"#{name}").fill(text)
    await page.get_by_role("button", name=button).first.press("Enter")
    await page.wait_for_load_state()


@pytest.mark.parametrize(("viewport", "scheme"), SCREENS)
async def test_moves_of_money(
    site: Site, new_context: NewContext, watch: Watch, viewport: ViewportSize, scheme: str
) -> None:
    watch.expect("status of 422")
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, demo.STAFF)
    merchant = f"{site.server.url}/support/merchants/{site.merchant}"
    await page.goto(f"{merchant}/top-up")
    await settle(page, "#amount")
    await send(page, "Go on", amount="10, 20", reference="INV-7")
    await settle(page, "#amount[aria-invalid=true]")
    await send(page, "Go on", amount="1,234.50", reference="")
    # The browser itself asks for what is left out.
    await send(page, "Go on", amount="1,234.50", reference="INV-7")
    await settle(page, PREVIEW)
    await send(page, "Top up 1,234.50 USD")
    await settle(page, RESULT)
    await page.goto(f"{merchant}/top-up")
    await send(page, "Go on", amount="1,234.50", reference="INV-7")
    await settle(page, PREVIEW)
    await expect(page.get_by_text("This is made already")).to_be_visible()
    await expect(page.locator("main button")).to_have_count(0)
    await page.goto(f"{merchant}/top-up")
    await send(page, "Go on", amount="7", reference="INV-7")
    await settle(page, "#reference[aria-invalid=true]")

    await page.goto(f"{merchant}/adjust")
    await page.locator("#sign").select_option("take")
    await send(page, "Go on", amount="999999", reference="A", reason="all of it")
    await settle(page, "#amount[aria-invalid=true]")

    await page.goto(site.server.url + await path_of(site, "/support/merchants/{merchant:str}/transfers/{transfer:str}"))
    charge = page.url
    await send(page, "Go on", amount="1000000")
    await settle(page, "#amount[aria-invalid=true]")
    await send(page, "Go on", amount="", note="blurred")
    await settle(page, PREVIEW)
    await page.get_by_role("button", name="Refund").press("Enter")
    await settle(page, RESULT)
    assert page.url.startswith(charge)
    await expect(page.get_by_role("heading", name="Refunds")).to_be_visible()
    await expect(page.get_by_role("button", name="Go on")).to_have_count(0)
    await expect(page.get_by_text("of it went back")).to_be_visible()


@pytest.mark.parametrize(("viewport", "scheme"), SCREENS)
async def test_settings_prices_and_approvals(
    site: Site, new_context: NewContext, watch: Watch, viewport: ViewportSize, scheme: str
) -> None:
    watch.expect("status of (404|422)")
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await site.sign_in(page, demo.STAFF)
    merchant = f"{site.server.url}/support/merchants/{site.merchant}"
    await page.goto(f"{merchant}/settings")
    form = page.locator("form[action$='/thresholds']")
    await form.locator("#thresholds-2").fill("some")
    await form.get_by_role("button").press("Enter")
    await settle(page, "#thresholds-2[aria-invalid=true]")
    form = page.locator("form[action$='/credit-limit']")
    await form.locator("#credit_limit").fill("-5")
    await form.get_by_role("button").press("Enter")
    await settle(page, "#credit_limit[aria-invalid=true]")
    await form.locator("#credit_limit").fill("1'000")
    await form.get_by_role("button").press("Enter")
    await settle(page, PREVIEW)
    await expect(page.get_by_text("0.00 → 1,000.00 USD")).to_be_visible()
    await send(page, "Set the credit limit to 1,000.00 USD")
    await settle(page, RESULT)
    await send(page, "Freeze it")
    await settle(page, PREVIEW)
    await send(page, "Freeze it")
    await settle(page, RESULT)
    await page.goto(merchant)
    await axe(page)
    await page.goto(site.account)
    await axe(page)

    await page.goto(f"{merchant}/prices")
    await send(page, "Set the price", type="imgae", unit_price="0.5")
    await settle(page, PREVIEW)
    await expect(page.get_by_text("was not used so far: really?")).to_be_visible()
    await send(page, "Set a price for the new type imgae")
    await settle(page, RESULT)

    await page.goto(f"{site.server.url}/support/approvals")
    await axe(page)
    await page.get_by_role("link", name="Decide").press("Enter")
    await expect(page.get_by_role("button", name="Approve 25,000.00 USD")).to_be_visible()
    await axe(page)
    await page.get_by_role("button", name="Approve 25,000.00 USD").press("Enter")
    await settle(page, RESULT)
    await page.go_back()
    await page.reload()
    await expect(page.get_by_role("heading", name="What became of it")).to_be_visible()
    await axe(page)

    await page.goto(f"{site.server.url}/support/merchants/nobody")
    await settle(page, "section[role=alert]")
    await page.goto(f"{site.server.url}/support?q=nobody+at+all")
    await axe(page)


@pytest.mark.parametrize(("viewport", "scheme"), SCREENS)
async def test_what_cant_be_taken_back(
    site: Site, new_context: NewContext, watch: Watch, viewport: ViewportSize, scheme: str
) -> None:
    """By the keyboard, and without a script."""
    page = await (await new_context(viewport=viewport, color_scheme=scheme, java_script_enabled=False)).new_page()
    await site.sign_in(page, demo.STAFF)
    merchant = f"{site.server.url}/support/merchants/{site.merchant}"
    await page.goto(f"{merchant}/people")
    await page.get_by_role("link", name=f"Remove {VIEWER}").press("Enter")
    await expect(page.get_by_role("heading", name=f"Remove {VIEWER}?")).to_be_visible()
    await page.get_by_role("button", name=f"Remove {VIEWER}").press("Enter")
    await expect(page.get_by_text("They are removed, and get no more mails.")).to_be_visible()
    await page.goto(f"{merchant}/keys")
    await page.locator("a.row.mono").first.press("Enter")
    await page.get_by_role("link", name="Revoke the key").press("Enter")
    await page.get_by_role("link", name="Not now").press("Enter")
    await page.locator("#overlap").select_option("0")
    await page.get_by_role("button", name="Make its successor").press("Enter")
    await page.get_by_role("button", name="Make its successor and end it").press("Enter")
    await expect(page.locator("#new-key")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("This key is made already")).to_be_visible()
    await page.goto(f"{site.server.url}/support/staff")
    await page.get_by_role("link", name=f"Close {CODES}").press("Enter")
    await page.get_by_role("button", name="Close the account of Cora").press("Enter")
    await expect(page.get_by_text("They can't sign in any more.")).to_be_visible()


@pytest.mark.parametrize(("viewport", "scheme"), SCREENS)
async def test_a_merchants_own_pages(
    site: Site, new_context: NewContext, watch: Watch, viewport: ViewportSize, scheme: str
) -> None:
    watch.expect("status of (401|404|422)")
    page = await (await new_context(viewport=viewport, color_scheme=scheme)).new_page()
    await page.goto(f"{site.server.url}/sign-in")
    await settle(page, "#email")
    await send(page, "Sign in", email=OWNER, password="not this one")
    await settle(page, REFUSAL)
    await site.sign_in(page, OWNER)
    await page.goto(f"{site.account}/alerts")
    await page.locator("#amount-3").fill("-5")
    await page.get_by_role("button", name="Save the thresholds").press("Enter")
    await settle(page, "#amount-3[aria-invalid=true]")
    await page.locator("#amount-3").fill("1,000")
    await page.get_by_role("button", name="Save the thresholds").press("Enter")
    await settle(page, RESULT)
    await page.goto(f"{site.account}/statement?kind=gift")
    await settle(page, "#kind[aria-invalid=true]")
    await page.goto(f"{site.account}/statement?reference=nothing")
    await axe(page)
    await page.goto(f"{site.account}/keys")
    await send(page, "Make the key")
    await axe(page)
    await page.goto(f"{site.server.url}/accounts/mer_0000000000000")
    await settle(page, "section[role=alert]")


async def test_what_changes_by_itself_is_announced_once_and_takes_nothing_away(site: Site, page: Page) -> None:
    """The focus stays on the line that has it, a table that was opened stays open, and a banner is said aloud."""
    await site.charge("image", 7)
    await site.sign_in(page, OWNER)
    announcer = page.locator("#announcer")
    await expect(announcer).to_be_empty()
    link = page.get_by_role("link", name="image x 7", exact=True).first
    await link.focus()
    identity = await link.get_attribute("id")
    await page.locator("#balance-summary").click()
    await link.focus()
    after = await site.charge("review", 60)
    await expect(page.locator("#current-balance")).to_contain_text(after["available"])
    await expect(announcer).to_contain_text("Your balance is below your threshold")
    await expect(page.locator(f"#{identity}")).to_be_focused()
    await page.evaluate("htmx.ajax('GET', location.pathname + '/charts', {target: '#charts', swap: 'outerHTML'})")
    await page.wait_for_load_state("networkidle")
    await expect(page.locator("#balance-rows")).to_have_attribute("open", "")
