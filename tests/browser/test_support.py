"""What the browser's tests rely on: a fault in a page is seen, and nothing beyond this machine is reached."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.support.browser import Watch, axe, open_context, screenshot
from tests.support.local_http import answer, serving

TIMEOUT_S = 60

PAGES = {
    # Some browsers ask for this by themselves.
    "/favicon.ico": "none",
    "/plain": "<!doctype html><html lang=en><title>plain</title><main><h1>plain</h1></main>",
    "/console": "<script>console.error('out of paper')</script>",
    "/throws": "<script>throw new Error('out of ink')</script>",
    "/blocked": "<meta http-equiv=content-security-policy content=\"style-src 'none'\"><style>p { color: red }</style>",
    "/missing": "<img src=/nowhere>",
    "/name": "<img src=http://elsewhere.example/a.png>",
    "/address": "<img src=http://192.0.2.1/a.png>",
    "/socket": "<script>new WebSocket('ws://elsewhere.example/')</script>",
    "/unlabelled": "<!doctype html><html lang=en><title>form</title><main><h1>form</h1><input id=amount></main>",
}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = PAGES.get(self.path, "").encode()
            answer(self, 200 if body else 404, body, {"content-type": "text/html"})

        def log_message(self, *_: object) -> None:
            pass

    with serving(Site) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/console", "console: out of paper"),
        ("/throws", "uncaught: out of ink"),
        ("/blocked", "Content Security Policy"),
        ("/missing", "status of 404"),
        ("/name", "beyond this machine: http://elsewhere.example/a.png"),
        ("/address", "beyond this machine: http://192.0.2.1/a.png"),
        ("/socket", "beyond this machine: ws://elsewhere.example/"),
    ],
)
async def test_faults_of_a_page_are_seen(browser: Browser, site: str, path: str, fault: str) -> None:
    watch = Watch()
    context = await open_context(browser, watch)
    page = await context.new_page()
    await page.goto(site + path)
    async with asyncio.timeout(TIMEOUT_S):
        while not any(fault in seen for seen in watch.faults()):
            await asyncio.sleep(0.01)
    await context.close()
    watch.expect(".")
    assert [] == watch.faults()


async def test_a_page_without_a_fault_has_none(page: Page, site: str, watch: Watch) -> None:
    await page.goto(f"{site}/plain")
    await axe(page)
    assert [] == watch.faults()


@pytest.mark.parametrize("url", ["http://elsewhere.example/", "http://192.0.2.1/", "http://[2001:db8::1]/"])
async def test_nothing_beyond_this_machine_is_reached(page: Page, watch: Watch, site: str, url: str) -> None:
    """The browser itself gives up, at once: it does not even look the name up."""
    watch.expect(f"beyond this machine: {url}".replace("[", r"\["))
    watch.expect("ERR_NAME_NOT_RESOLVED")
    await page.goto(f"{site}/plain")
    failed = "url => fetch(url, {mode: 'no-cors'}).then(() => 'reached', error => error.message)"
    async with page.expect_event("requestfailed") as told:
        assert "Failed to fetch" == await page.evaluate(failed, url)
    assert "net::ERR_NAME_NOT_RESOLVED" == (await told.value).failure


async def test_axe_tells_what_hinders_people(page: Page, site: str) -> None:
    await page.goto(f"{site}/unlabelled")
    with pytest.raises(pytest.fail.Exception, match=r"(?s)critical: Form elements must have labels.*#amount: <input"):
        await axe(page)


async def test_pictures_are_kept_where_they_are_asked_for(
    page: Page, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await page.goto(f"{site}/plain")
    monkeypatch.delenv("FAREBOX_TEST_SCREENSHOTS", raising=False)
    await screenshot(page, "plain")
    assert [] == list(tmp_path.iterdir())
    monkeypatch.setenv("FAREBOX_TEST_SCREENSHOTS", str(tmp_path / "pictures"))
    await screenshot(page, "plain")
    picture = (tmp_path / "pictures" / "plain.jpg").read_bytes()
    assert b"\xff\xd8\xff" == picture[:3]
