"""Every page that can be read, in a real browser: light and dark, on a desktop and on a phone; nobody is hindered.

The pages come from the table of pages, so one that is added later is looked at by itself. With FAREBOX_TEST_SCREENSHOTS
set to a folder, the pictures of the documentation are taken.
"""

import os
import re
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from playwright.async_api import Page

from farebox.bootstrap import Farebox
from farebox.cli import demo
from farebox.core import ids
from farebox.core.alerts import AlertKind
from farebox.service.people.warnings import PATH as WARNINGS_PATH
from farebox.service.reports.choices import ReportKind
from farebox.service.reports.links import PATH as REPORTS_PATH
from farebox.service.statements.reader import Selection
from farebox.storage.records import Realm
from farebox.web.pages.live import Live
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.pages.table import page_routes
from farebox.web.pages.throttle import SignInThrottle
from tests.browser.conftest import NewContext
from tests.browser.site import CODES, OWNER, VIEWER, Site
from tests.support.browser import DESKTOP, PHONE, PICTURE_SCALE, axe, screenshot
from tests.support.server import open_farebox

TABLE = page_routes(SignInThrottle(), Live())
# Streams, downloads and parts of other pages are no pages; a link from a mail is read elsewhere.
NO_PAGES = re.compile(r".*(/live|/now|/charts|/runs|\.csv|\.jsonl|/sign-out)|/link/.*")

QUERIES = {
    "/people/remove": f"?user={VIEWER}",
    "/prices/imported": "?price=price_01K9ABCDEFGHJ",
    "/prices/end": "?type=image",
    "/staff/close": f"?staff={demo.STAFF}",
    "/staff/codes": f"?staff={CODES}",
    "/staff/confirm": f"?staff={CODES}",
}
"""Whom pages are about that ask before they do something to somebody."""

PICTURES = {"account-phone-dark"}
"""Of a phone this one is kept."""

# Each theme and each size once; each theme on a desktop for the pictures of the documentation.
SCREENS = [("light", "desktop"), ("dark", "phone")]
if "FAREBOX_TEST_SCREENSHOTS" in os.environ:
    SCREENS += [("dark", "desktop")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    await site.charge("review", 50)
    await site.hold(40, reference="job-8812")
    await site.hold(2_500, ttlSeconds=7_200)
    yield site
    site.server.kill()


def pages(who: Callable[[PageRoute], bool]) -> list[str]:
    return [line.path for line in TABLE if line.get is not None and who(line) and not NO_PAGES.fullmatch(line.path)]


def is_console(line: PageRoute) -> bool:
    return line.sees == Audience.SUPPORT


async def path_of(site: Site, path: str) -> str:
    """Put what the ledger has into a path."""
    async with open_farebox(site.database_url) as farebox:
        key = (await farebox.services.merchants.keys(site.merchant_id if "{merchant" in path else None))[0]
        grants = (await farebox.services.grants.page(site.merchant_id, cursor=None, limit=1)).grants
        holds = (await farebox.services.open_holds.page(site.merchant_id, cursor=None, limit=1)).holds
        latest = await farebox.services.statements.page(site.merchant_id, Selection(kind="charge"), limit=1)
        there = await site.destinations(farebox)
        link = await link_of(farebox, site, path) if "{link" in path else ""
    values = {
        "merchant": site.merchant,
        "transfer": latest.transfers[0].id,
        "key": ids.public_id(ids.KEY, key.key_id),
        "approval": site.approval,
        "kind": "weekly",
        "destination": there["destination" if "{merchant" in path else "operators"],
        "event": there["event"],
        "link": link,
        "grant": grants[0].id,
        "hold": holds[0].hold.id if holds else await site.hold(1),
    }
    query = next((query for end, query in QUERIES.items() if path.endswith(end)), "")
    return re.sub(r"\{(\w+):str\}", lambda match: values[match[1]], path) + query


async def link_of(farebox: Farebox, site: Site, path: str) -> str:
    """Write what a link to end mails names: the owner's of an alert, or reports, or warnings of the staff."""
    if path.startswith(WARNINGS_PATH):
        staff = await farebox.stores.logins.find(Realm.SUPPORT, demo.STAFF)
        assert staff is not None
        url = await farebox.services.warning_choices.url(staff.login_id, AlertKind.UNUSUAL_SPENDING, public_url="")
        return url.removeprefix(WARNINGS_PATH)
    login = await farebox.stores.logins.find(Realm.MERCHANT, OWNER)
    assert login is not None
    if path.startswith(REPORTS_PATH):
        url = await farebox.services.report_links.url(
            login.login_id, site.merchant_id, ReportKind.WEEKLY, public_url=""
        )
        return url.removeprefix(REPORTS_PATH)
    owner = next(user for user in await farebox.stores.users.list(site.merchant_id) if user.email == OWNER)
    return await farebox.services.unsubscribing.link_text(owner, AlertKind.LOW_BALANCE)


def name_of(path: str) -> str:
    words = re.sub(r"/accounts/\{merchant:str\}", "account", path).replace("{", "").replace(":str}", "")
    return re.sub(r"[^a-z]+", "-", words.strip("/")) or "start"


async def look(page: Page, site: Site, path: str, name: str) -> None:
    """Open a page and find nothing wrong with it."""
    await page.goto(site.server.url + await path_of(site, path))
    await page.wait_for_load_state()
    if name in PICTURES or "-desktop-" in name:
        await screenshot(page, name)
    await axe(page)
    viewport = page.viewport_size
    assert viewport is not None
    assert viewport["width"] == await page.evaluate("document.documentElement.scrollWidth"), f"{path} is too wide"


@pytest.mark.parametrize(("scheme", "size"), SCREENS)
@pytest.mark.parametrize("side", ["sign-in", "dashboard", "console"])
async def test_every_page_is_readable(site: Site, new_context: NewContext, side: str, scheme: str, size: str) -> None:
    scale = PICTURE_SCALE if "FAREBOX_TEST_SCREENSHOTS" in os.environ else 1
    viewport = PHONE if size == "phone" else DESKTOP
    context = await new_context(viewport=viewport, color_scheme=scheme, device_scale_factor=scale)
    page = await context.new_page()
    if side == "sign-in":
        paths = pages(lambda line: line.sees == Audience.ANYONE and line.path != "/")
    elif side == "dashboard":
        await site.sign_in(page, OWNER)
        paths = pages(lambda line: line.sees not in (Audience.ANYONE, Audience.SUPPORT))
    else:
        await site.sign_in(page, demo.STAFF)
        paths = pages(is_console)
    for path in paths:
        await look(page, site, path, f"{name_of(path)}-{size}-{scheme}")
