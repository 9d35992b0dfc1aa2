"""A merchant's pages in every language, in one session: on a phone nothing is too wide, and nobody is hindered.

German has the longest words, so all pages are looked at in it; of the others, those that have most.
"""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from farebox.service.languages import LANGUAGE_NAMES
from farebox.storage.records import Realm
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.routes import Audience
from tests.browser.conftest import NewContext
from tests.browser.site import OWNER, Site
from tests.browser.test_layout import faults_of
from tests.browser.test_screens import pages, path_of
from tests.support.browser import DESKTOP, PHONE, axe, screenshot
from tests.support.server import open_farebox

FULLEST: Final = (ROOT, f"{ROOT}/alerts", f"{ROOT}/keys/{{key:str}}", f"{ROOT}/prices", f"{ROOT}/webhooks/new")
OTHERS: Final = sorted(set(LANGUAGE_NAMES) - {"en", "de"})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site.serve(tmp_path_factory.mktemp("ledger"))
    await site.charge("review", 50)
    yield site
    site.server.kill()


async def speak(site: Site, code: str) -> None:
    """Let the owner choose a language."""
    async with open_farebox(site.database_url) as farebox:
        login = await farebox.stores.logins.find(Realm.MERCHANT, OWNER)
        assert login is not None
        await farebox.stores.logins.set_language(login.login_id, code)


async def test_pages_fit_and_hinder_nobody_in_every_language(site: Site, new_context: NewContext) -> None:
    page = await (await new_context(viewport=PHONE)).new_page()
    await site.sign_in(page, OWNER)
    of_the_merchant = pages(lambda line: line.sees not in (Audience.ANYONE, Audience.SUPPORT))
    faults = []
    for code, paths in (("de", of_the_merchant), *((code, FULLEST) for code in OTHERS)):
        await speak(site, code)
        for path in paths:
            await page.goto(site.server.url + await path_of(site, path))
            if await page.locator("main").count():
                assert code == await page.locator("html").get_attribute("lang"), path
            await axe(page)
            faults += [f"{code} {path}: {fault}" for fault in await faults_of(page) if "points" not in fault]
    for path in FULLEST:
        await page.goto(site.server.url + await path_of(site, path))
        await page.evaluate("document.documentElement.dir = 'rtl'")
        width = await page.evaluate("document.documentElement.scrollWidth")
        faults += [f"from right to left, {path} is {width} wide"] if width != PHONE["width"] else []
    assert not faults, "\n".join(faults)


async def test_the_overview_in_german(site: Site, new_context: NewContext) -> None:
    """Its amounts have their decimals below one another, too, and a copy is a picture of the documentation."""
    page = await (await new_context(viewport=DESKTOP)).new_page()
    await site.sign_in(page, OWNER)
    await speak(site, "de")
    await page.goto(site.account)
    await page.wait_for_load_state()
    assert "Verfügbares Guthaben" in await page.locator("main").inner_text()
    await screenshot(page, "account-desktop-german")
