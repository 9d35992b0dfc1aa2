"""The Balance API as a browser's pages meet it: those of its own origin, of one that is allowed, and of others."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from farebox.web.examples import balance_examples
from tests.support import plain_http
from tests.support.browser import Watch
from tests.support.local_http import answer, serving
from tests.support.server import Seeds, Server, open_farebox, seed

ASK = """
    ([url, key]) => fetch(url, {headers: {"x-api-key": key}})
        .then(async answer => ({
            status: answer.status, body: await answer.json(), code: answer.headers.get("x-error-code")
        }))
        .catch(error => ({blocked: String(error)}))
"""

# A page imports the module, as it would from a file beside it.
RUN_EXAMPLE = """
    async ([source, url, key]) => {
        const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})))
        const balance = await module.readBalance(url, key)
        return [balance, ...[balance, "-0.5", "9007199254740.993001"].map(amount => String(module.micros(amount)))]
    }
"""


@dataclass(frozen=True)
class Site:
    """A running server, a merchant on it, and the other server whose pages may read it."""

    server: Server
    seeds: Seeds
    pages: "Pages"


class Pages:
    """A web server of somebody else's: it has one page, and hands on what is asked of it under /api/."""

    def __init__(self) -> None:
        self.behind = ""
        self.forwarded: list[str] = []
        pages = self

        class HandingOn(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.path.startswith("/api/"):
                    answer(self, 200, b"<!doctype html><title>shop</title>", {"content-type": "text/html"})
                    return
                pages.forwarded.append(self.command)
                reply = plain_http.get(pages.behind + self.path, headers={"x-api-key": self.headers["x-api-key"]})
                answer(self, reply.status_code, reply.content, {"content-type": reply.headers["content-type"]})

            def do_OPTIONS(self) -> None:
                pages.forwarded.append(self.command)
                answer(self, 405, b"", {"content-type": "text/plain"})

            def log_message(self, *_: object) -> None:
                pass

        self._serving = ExitStack()
        self.port = self._serving.enter_context(serving(HandingOn))

    def close(self) -> None:
        self._serving.close()

    async def seen(self, page: Page, url: str, key: str, *, host: str = "127.0.0.1") -> dict[str, Any]:
        """Ask for a balance from the page, and return what it could read of the answer."""
        await page.goto(f"http://{host}:{self.port}/page")
        seen = await page.evaluate(ASK, [url, key])
        assert isinstance(seen, dict)
        return seen


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"
    async with open_farebox(database) as farebox:
        seeds = await seed(farebox, balance="1250.75")
    pages = Pages()
    try:
        allowed = f"https://elsewhere.example, http://127.0.0.1:{pages.port}"
        with Server(database, environment={"FAREBOX_CORS_ORIGINS": allowed}) as server:
            pages.behind = server.url
            yield Site(server, seeds, pages)
    finally:
        pages.close()


async def test_browser_reads_balances_from_an_allowed_origin(site: Site, page: Page, watch: Watch) -> None:
    seen = await site.pages.seen(page, f"{site.server.url}/api/balance", site.seeds.merchant_key)
    assert 200 == seen["status"]
    assert seen["body"]["isSuccess"] is True
    assert Decimal("1250.75") == Decimal(seen["body"]["data"])
    watch.expect("status of 401")
    refused = await site.pages.seen(page, f"{site.server.url}/api/balance", "wrong")
    assert (401, "invalid_api_key") == (refused["status"], refused["code"])
    assert {"isSuccess": False, "statusCode": 401, "errorMessage": "Invalid API key", "data": None} == refused["body"]


async def test_browser_keeps_balances_from_other_origins(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("blocked by CORS policy")
    watch.expect("net::ERR_FAILED")
    # The same page under another name of its host is of another origin.
    seen = await site.pages.seen(page, f"{site.server.url}/api/balance", site.seeds.merchant_key, host="localhost")
    assert {"blocked": "TypeError: Failed to fetch"} == seen


async def test_browser_reads_balances_from_the_same_origin_without_asking_first(site: Site, page: Page) -> None:
    site.pages.forwarded.clear()
    seen = await site.pages.seen(page, "/api/balance", site.seeds.merchant_key, host="localhost")
    assert 200 == seen["status"]
    assert seen["body"]["isSuccess"] is True
    assert ["GET"] == site.pages.forwarded


async def test_example_for_javascript_reads_a_balance_in_a_page(site: Site, page: Page, watch: Watch) -> None:
    [example] = [one for one in balance_examples(site.server.url) if one.name == "balance.mjs"]
    await page.goto(f"http://127.0.0.1:{site.pages.port}/page")
    asked = [example.text, site.server.url, site.seeds.merchant_key]
    read = ["1250.75", "1250750000", "-500000", "9007199254740993001"]
    assert read == await page.evaluate(RUN_EXAMPLE, asked)
    watch.expect("status of 401")
    with pytest.raises(PlaywrightError, match="Farebox answered 401: Invalid API key"):
        await page.evaluate(RUN_EXAMPLE, [*asked[:2], "wrong"])
