"""What people do with the pages, in a real browser, against a real server."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from farebox.cli import demo
from farebox.web.pages.live import LiveLimits
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, VIEWER, Site
from tests.support.browser import Watch


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    yield site
    site.server.kill()


async def test_charges_arrive_without_a_reload_and_a_top_up_clears_the_banner(
    site: Site, page: Page, new_context: NewContext
) -> None:
    await site.sign_in(page, OWNER)
    await expect(page.get_by_role("heading", name="Northwind Imaging")).to_be_visible()
    balance, banner = (
        page.locator("#current-balance"),
        page.locator("#now").get_by_text("Your balance is below your threshold"),
    )
    # A reload would take this away.
    await page.evaluate("window.isSamePage = true")
    after = await site.charge("image", 7)
    await expect(balance).to_contain_text(after["available"])
    await expect(page.get_by_role("row", name="image x 7")).to_be_visible()
    await expect(banner).to_have_count(0)
    after = await site.charge("review", 60)
    await expect(banner).to_contain_text("threshold of 400.00 USD")
    await expect(balance).to_contain_text(after["available"])

    console = await (await new_context()).new_page()
    await site.sign_in(console, demo.STAFF)
    await console.get_by_role("link", name="Northwind Imaging").first.click()
    await console.get_by_role("link", name="Top up").click()
    await console.get_by_label("Amount in USD").fill("500")
    await console.get_by_label("Reference").fill("INV-2")
    await console.get_by_role("button", name="Go on").click()
    await console.get_by_role("button", name="Top up 500.00 USD").click()
    await expect(console.get_by_text("The top-up is in the ledger.")).to_be_visible()

    await expect(banner).to_have_count(0)
    await expect(page.get_by_role("row", name="Top-up INV-2")).to_contain_text("+500.00")
    assert await page.evaluate("window.isSamePage")


async def test_many_pages_of_one_browser_all_come_up_and_the_newest_follow(
    site: Site, page: Page, new_context: NewContext
) -> None:
    await site.sign_in(page, OWNER)
    first = page
    await expect(first.locator(".live.on").first).to_be_visible()
    pages = [first]
    for _ in range(2 * LiveLimits().session_streams_max):
        pages.append(await first.context.new_page())
        await pages[-1].goto(site.account)
        await expect(pages[-1].locator(".live.on").first).to_be_visible()
    await expect(first.locator(".live")).not_to_have_count(0)
    await expect(first.locator(".live.on")).to_have_count(0)
    after = await site.charge("image", 7)
    # The newest is told at once, and the first one asks by itself before long.
    for each, timeout_ms in ((pages[-1], 5_000), (first, 20_000)):
        await expect(each.locator("#current-balance")).to_contain_text(after["available"], timeout=timeout_ms)
    await expect(first.locator(".live.on")).to_have_count(0)


async def test_an_amount_that_is_none_is_said_beside_its_field_and_what_was_typed_stays(
    site: Site, page: Page, watch: Watch
) -> None:
    watch.expect("status of 422")
    await site.sign_in(page, demo.STAFF)
    await page.goto(f"{site.server.url}/support/merchants/{site.merchant}/top-up")
    await page.get_by_label("Amount in USD").fill("five hundred")
    await page.get_by_label("Reference").fill("INV-3")
    await page.get_by_role("button", name="Go on").click()
    field = page.get_by_label("Amount in USD")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_value("five hundred")
    await expect(page.get_by_label("Reference")).to_have_value("INV-3")


async def test_a_statement_is_downloaded_and_verifies(site: Site, page: Page, tmp_path: Path) -> None:
    await site.charge("image", 3)
    await site.sign_in(page, OWNER)
    await page.get_by_role("link", name="Statement").click()
    async with page.expect_download() as waited:
        await page.get_by_role("link", name="Verifiable export").click()
    path = tmp_path / "statement.jsonl"
    await (await waited.value).save_as(path)
    command = [sys.executable, "-m", "farebox", "verify-statement", str(path)]
    assert 0 == await asyncio.to_thread(subprocess.call, command)
    path.write_text(path.read_text().replace('"quantity":3', '"quantity":4'))
    assert 1 == await asyncio.to_thread(subprocess.call, command)


async def test_a_key_is_made_shown_once_and_revoked(site: Site, page: Page) -> None:
    await site.sign_in(page, OWNER)
    await page.get_by_role("link", name="Keys").click()
    await page.get_by_role("button", name="Make the key").click()
    text = (await page.locator("#new-key").inner_text()).strip()
    assert 200 == await site.balance_status(text)
    await page.get_by_role("link", name="To the keys").click()
    await expect(page.get_by_text(text)).to_have_count(0)
    await page.get_by_role("link", name=f"fbm_…{text[-4:]}").click()
    await page.get_by_role("link", name="Revoke the key").click()
    await expect(page.get_by_role("heading", name="Revoke the key fbm_")).to_be_visible()
    assert 200 == await site.balance_status(text)
    await page.get_by_role("button", name="Revoke the key").click()
    await expect(page.get_by_text("The key is revoked")).to_be_visible()
    assert 401 == await site.balance_status(text)


async def test_a_viewer_is_offered_nothing_to_change(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("status of 403")
    await site.sign_in(page, VIEWER)
    # What they are told themselves is theirs to choose.
    own = f"/accounts/{site.merchant}/alerts/choices"
    for name, actions in (("Alerts", [own]), ("Keys", []), ("People", [])):
        await page.get_by_role("link", name=name, exact=True).click()
        await page.wait_for_url(f"**/{name.lower()}")
        forms = page.locator("main form")
        assert actions == await forms.evaluate_all("forms => forms.map(form => form.getAttribute('action'))"), name
    answer = await page.request.post(f"{site.account}/keys", form={"expires": ""})
    assert 403 == answer.status


@asynccontextmanager
async def evil_site(target: str, **fields: str) -> AsyncIterator[str]:
    """A page of somebody else's that posts a form to a page of ours as soon as it is opened.

    It is on `localhost`, which is another site than `127.0.0.1` to a browser.
    """
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    content = (
        f'<!doctype html><form method="post" action="{target}">{inputs}</form>'
        "<script>document.forms[0].submit()</script>"
    ).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n" + content)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/"


async def test_another_site_can_post_nothing_in_somebodys_name(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("favicon")
    await site.sign_in(page, OWNER)
    assert "farebox=" not in await page.evaluate("document.cookie")
    async with evil_site(f"{site.server.url}/sign-out") as url:
        await page.goto(url)
        # Without the cookie the form is nobody's, who is sent to sign in; whoever reads that is still signed in.
        await expect(page.get_by_role("heading", name="Northwind Imaging")).to_be_visible()
    await page.goto(site.account)
    await expect(page.get_by_role("heading", name="Northwind Imaging")).to_be_visible()


async def test_another_site_can_sign_nobody_in(site: Site, page: Page, watch: Watch) -> None:
    """Or else a victim would look at an attacker's account and take it for their own."""
    watch.expect("status of 403")
    watch.expect("favicon")
    async with evil_site(f"{site.server.url}/sign-in", email=OWNER, password=demo.PASSWORD) as url:
        await page.goto(url)
        await expect(page.get_by_text("This form was sent from another site's page")).to_be_visible()
    assert "farebox" not in {cookie["name"] for cookie in await page.context.cookies()}


async def test_a_session_that_was_stolen_ends_when_its_owner_signs_out(
    site: Site, page: Page, new_context: NewContext
) -> None:
    await site.sign_in(page, OWNER)
    stolen = await page.context.cookies()
    thief = await new_context()
    for cookie in stolen:
        await thief.add_cookies([{"name": cookie["name"], "value": cookie["value"], "url": site.server.url}])
    elsewhere = await thief.new_page()
    await elsewhere.goto(site.account)
    await expect(elsewhere.get_by_role("heading", name="Northwind Imaging")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    await elsewhere.goto(site.account)
    await expect(elsewhere.get_by_role("button", name="Sign in")).to_be_visible()
