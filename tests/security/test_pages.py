"""The pages' authorization matrix: everybody at every page, reading and posting, gets what the table of pages says.

It is made from the table, so that a page which is added later is in it.
"""

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from farebox.web.pages import render
from farebox.web.pages.live import Live
from farebox.web.pages.routes import Audience, PageRoute
from farebox.web.pages.table import page_routes
from farebox.web.pages.throttle import SignInThrottle
from tests.security.people import SIGNED_IN, WHO, Site, open_site
from tests.support.app_client import Reply
from tests.web.console.visitor import words

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAY: Final = {
    Audience.ANYONE: set(WHO),
    Audience.USER: set(SIGNED_IN),
    Audience.VIEWER: {"viewer", "member", "owner"},
    Audience.MEMBER: {"member", "owner"},
    Audience.OWNER: {"owner"},
    Audience.SUPPORT: {"support"},
}
ACCOUNT: Final = {Audience.VIEWER, Audience.MEMBER, Audience.OWNER}


def table() -> list[PageRoute]:
    return page_routes(SignInThrottle(), Live())


ROUTES: Final = table()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with open_site(tmp_path_factory.mktemp("ledger")) as site:
        yield site


def verdict(reply: Reply, *, is_posted: bool) -> str:
    """Say what became of a request: let in, or why not. Those who may post are refused for the CSRF token alone."""
    target = reply.header("location") or ""
    if reply.status == 303 and target.partition("?")[0] in ("/sign-in", "/support/sign-in"):
        return f"to {target.partition('?')[0]}"
    if is_posted and reply.status == 403 and "This form is from another session" in words(reply):
        return "in"
    return str(reply.status) if is_posted or reply.status in (403, 404, 405) else "in"


def expected(route: PageRoute, who: str, *, is_posted: bool) -> str:
    """Say what the table has for somebody."""
    handler = route.post if is_posted else route.get
    sees = (route.posts or route.sees) if is_posted else route.sees
    if handler is None:
        return "405"
    if who in MAY[sees] or (sees == Audience.VIEWER and who == "support" and not is_posted):
        return "in"
    if sees == Audience.SUPPORT:
        return "to /support/sign-in"
    if sees in ACCOUNT and who == "stranger":
        return "404"
    return "403" if sees in ACCOUNT and who in SIGNED_IN else "to /sign-in"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
async def test_everybody_gets_what_the_table_says(site: Site, route: PageRoute) -> None:
    path = site.path(route.path)
    for who in WHO:
        for is_posted in (False, True):
            reply = await site.ask("POST" if is_posted else "GET", path, who, b"csrf_token=wrong" if is_posted else b"")
            has_session = who == "support" if route.is_console else who in SIGNED_IN
            if route.path.startswith("/unsubscribe/"):
                # A link tells by itself whose mails it ends, and this one ends nobody's.
                assert reply.status in (403, 404), (who, is_posted, reply)
            elif route.sees == Audience.ANYONE and not has_session:
                # Nobody's form carries a token; what it asks for is then refused by the page itself.
                assert reply.status in (200, 303, 401, 405, 410, 422), (who, is_posted, reply)
            else:
                assert expected(route, who, is_posted=is_posted) == verdict(reply, is_posted=is_posted), (
                    *(who, is_posted, reply.status, words(reply)),
                )
            assert_safe(reply)


@pytest.mark.parametrize("route", [it for it in ROUTES if it.get is not None], ids=lambda route: route.path)
async def test_the_head_of_a_page_is_that_of_the_page(site: Site, route: PageRoute) -> None:
    who = "support" if route.sees == Audience.SUPPORT or route.is_console else "owner"
    path = site.path(route.path)
    page, head = await site.ask("GET", path, who), await site.ask("HEAD", path, who)
    assert (page.status, page.header("content-type")) == (head.status, head.header("content-type"))
    assert_safe(head)


async def test_nothing_was_done_by_all_these_forms(site: Site) -> None:
    """The last test of this file: what others here have asked for was refused, so the ledger is as it was."""
    entries, _ = await site.farebox.services.audit_log.page(merchant_id=None, cursor=None, limit=100)
    actions = {entry.action for entry in entries}
    assert actions <= {"look_as_merchant"}, actions


def assert_safe(reply: Reply) -> None:
    """Every answer, whatever it is, may not be framed, sniffed or kept."""
    found = {name.lower(): value for name, value in reply.headers}
    headers = render.MAIL_HEADERS if found["content-security-policy"] == render.MAIL_POLICY else render.HEADERS
    assert {name.lower(): value for name, value in headers.items()}.items() <= found.items(), reply
