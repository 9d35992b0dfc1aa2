"""Pages with the longest names and the finest amounts, on phones and desktops: nothing is wider than the screen."""

import re
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Page

from farebox.bootstrap import Farebox
from farebox.cli import demo
from farebox.config import Settings
from farebox.core.commands import KeyKind
from farebox.core.staff_roles import EVERY_ROLE, StaffRole
from farebox.service.people.api_keys import Principal
from farebox.service.people.users import Role
from farebox.web.pages.routes import Audience
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.browser.test_screens import pages, path_of
from tests.support.browser import DESKTOP, PHONE
from tests.support.server import open_farebox

LONGEST: Final = "W" * 200
COMPOUND: Final = (
    "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetzabteilung Donaudampfschifffahrtsgesellschaft"
)
REFERENCE: Final = "INV" + "9" * 125
NOTE: Final = "n" * 500
TYPE: Final = f"1024-x-1024/50-steps/{'W' * 150}/amazon.nova-canvas-v1:0"[:200]
ADDRESS: Final = f"{'a' * 60}@{'b' * 60}.{'c' * 60}.example"
HOST: Final = f"{'h' * 60}.{'i' * 60}.{'j' * 60}.invalid"
DESTINATION: Final = "W" * 80
SAM: Final = Principal("w" * 120 + "@farebox.example", roles=EVERY_ROLE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    farebox = Farebox.build(Settings.of(database_url=site.database_url, approval_above="5000000000"))
    async with farebox.running():
        services = farebox.services
        other = site.other_id
        await services.merchants.rename(site.merchant_id, LONGEST, principal=SAM)
        await services.merchants.rename(other, COMPOUND, principal=SAM)
        await services.prices.set(TYPE, None)
        await services.prices.set(TYPE, "0.000001", merchant_id=site.merchant_id)
        moves: dict[str, Any] = {"principal": SAM}
        await services.operations.top_up(
            site.merchant_id, amount="1234567890.12", reference=REFERENCE, note=NOTE, **moves
        )
        await services.operations.set_credit_limit(site.merchant_id, "1234567890.12", **moves)
        await services.operations.set_thresholds(site.merchant_id, ["1234567.12", "0.1", "3000000000"], **moves)
        for address in (ADDRESS, "z@shop.example"):
            await services.users.invite(site.merchant_id, address, Role.MEMBER, principal=None)
        await services.merchants.create_key(KeyKind.SERVICE, name=LONGEST)
        await services.merchants.create_key(KeyKind.SUPPORT, name=COMPOUND, roles=[StaffRole.SUPPORT])
        await services.staff.add(ADDRESS, LONGEST, roles=[StaffRole.VIEWER], principal=None)
        for reference in (REFERENCE, f"{REFERENCE[:-1]}8"):
            await services.operations.top_up(
                site.merchant_id, amount="999999999999.12", reference=f"B{reference[1:]}", note=NOTE, **moves
            )
        await site.destinations(farebox, name=DESTINATION, url=f"https://{HOST}/{'p' * 500}?token={'q' * 200}")
        (approval, *_) = await services.approvals.page(merchant_id=site.merchant_id, before=None, limit=1)
        await services.approvals.reject(site.merchant_id, approval.approval_id, principal=SAM)
    await site.charge(TYPE, 934_567)
    await site.charge("review", 50)
    await site.charge("annotation", 7, amount="1234567.123456", reference=REFERENCE)
    yield site
    site.server.kill()


WIDE: Final = """() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => element && element !== document.documentElement
    && (["auto", "scroll"].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  return [...document.querySelectorAll("body *")]
    .filter((element) => element.getClientRects().length && !element.closest(".unseen, .skip, svg") && !scrolls(element)
      && element.getBoundingClientRect().right > width + 1)
    .slice(0, 3)
    .map((element) => `${element.outerHTML.slice(0, 160)} ends at ${element.getBoundingClientRect().right}`);
}"""
"""Elements that end beyond the screen, outside of what may be scrolled by itself."""

POINTS: Final = """() => {
  const faults = [];
  for (const table of document.querySelectorAll("table")) {
    const columns = {};
    for (const cell of table.querySelectorAll("tbody td.num")) {
      if (!cell.getClientRects().length) continue;
      const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const point = walker.currentNode.data.search(/[.]/);
        if (point < 0) continue;
        const range = document.createRange();
        range.setStart(walker.currentNode, point);
        range.setEnd(walker.currentNode, point + 1);
        (columns[cell.cellIndex] ??= []).push(range.getBoundingClientRect().left);
        break;
      }
    }
    for (const [column, lefts] of Object.entries(columns)) {
      if (Math.max(...lefts) - Math.min(...lefts) > 1) faults.push(`column ${column}: ${lefts}`);
    }
  }
  return faults;
}"""
"""Columns whose decimal points do not stand below one another."""

SCROLLERS: Final = """() => [...document.querySelectorAll("main *")]
  .filter((element) => element.scrollWidth > element.clientWidth + 1
    && !element.matches("pre, input, select, nav, .unseen")
    && ["auto", "scroll"].includes(getComputedStyle(element).overflowX))
  .map((element) => element.outerHTML.slice(0, 160))"""
"""Boxes within a page that have to be scrolled sideways; programs and rows of links may."""

OUT_OF_SIGHT: Final = """() => [...document.querySelectorAll("nav [aria-current]")]
  .filter((link) => {
    const box = link.getBoundingClientRect(), row = link.parentElement.getBoundingClientRect();
    return box.left < row.left - 1 || box.right > row.right + 1;
  }).map((link) => link.textContent)"""


SCRIPTS: Final = {"too wide": WIDE, "scrolls": SCROLLERS, "points": POINTS, "out of sight": OUT_OF_SIGHT}


async def faults_of(page: Page) -> list[str]:
    """List what is wrong with how a page is laid out."""
    viewport = page.viewport_size
    assert viewport is not None
    faults = [f"{name}: {fault}" for name, script in SCRIPTS.items() for fault in await page.evaluate(script)]
    if (width := await page.evaluate("document.documentElement.scrollWidth")) != viewport["width"]:
        faults.append(f"the page is {width} wide")
    return faults


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("side", ["dashboard", "console"])
async def test_long_names_and_fine_amounts_fit(
    site: Site, new_context: NewContext, side: str, viewport: dict[str, int]
) -> None:
    page = await (await new_context(viewport=viewport)).new_page()
    is_console = side == "console"
    await site.sign_in(page, demo.STAFF if is_console else OWNER)
    faults = []
    for path in pages(lambda line: (line.sees == Audience.SUPPORT) == is_console and line.sees != Audience.ANYONE):
        for filled in await site_paths(site, path):
            answer = await page.goto(site.server.url + filled)
            assert answer is not None
            assert 200 == answer.status, filled
            faults += [f"{filled}: {fault}" for fault in await faults_of(page)]
    assert not faults, "\n".join(faults)


async def site_paths(site: Site, path: str) -> list[str]:
    """Fill a path in, with each kind of what it may show."""
    filled = [await path_of(site, path)]
    if "{transfer:" in path:
        async with open_farebox(site.database_url) as farebox:
            account = await farebox.stores.accounts.find(site.merchant_id)
            assert account is not None
            book = await farebox.stores.transfers.page(
                site.merchant_id, first_seq=1, last_seq=account.seq, limit=4, newest_first=True
            )
        filled += [re.sub(r"xfer_\w+", transfer.id, filled[0]) for transfer in book]
    if path == "/support":
        filled += ["/support?q=WWW", "/support?sort=balance", "/support?q=nobody"]
    return filled
