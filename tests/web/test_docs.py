"""The page of the API's description: from this server alone, under a policy that would let nothing else in."""

import asyncio
import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.support import plain_http
from tests.support.app_client import AppClient
from tests.support.server import Server, open_farebox

ASSETS: Final = {
    "docs.css": "text/css; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
PATHS: Final = ["/docs", *(f"/docs/assets/{name}" for name in ASSETS)]

on_the_loop_of_the_client = pytest.mark.asyncio(loop_scope="module")


@on_the_loop_of_the_client
@pytest.mark.parametrize("path", PATHS)
async def test_page_and_assets_come_with_a_strict_policy(client: AppClient, path: str) -> None:
    reply = await client.get(path)
    assert 200 == reply.status
    policy = dict(
        part.strip().partition(" ")[::2] for part in (reply.header("content-security-policy") or "").split(";")
    )
    assert {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    } == policy
    assert ("nosniff", "DENY") == (reply.header("x-content-type-options"), reply.header("x-frame-options"))


@on_the_loop_of_the_client
@pytest.mark.parametrize(("name", "content_type"), ASSETS.items())
async def test_assets_have_their_types(client: AppClient, name: str, content_type: str) -> None:
    reply = await client.get(f"/docs/assets/{name}")
    assert content_type == reply.header("content-type")
    assert str(len(reply.body)) == reply.header("content-length")


@on_the_loop_of_the_client
@pytest.mark.parametrize(
    "path",
    [
        *("/docs/assets/", "/docs/assets/docs.html", "/docs/assets/swagger.html", "/docs/assets/LICENSE"),
        *(
            "/docs/assets/..%2fdocs.html",
            "/docs/assets/../../app.py",
            "/docs/assets/javascripts%2fswagger-ui-bundle.js",
        ),
    ],
)
async def test_nothing_else_is_served(client: AppClient, path: str) -> None:
    assert 404 == (await client.get(path)).status


@on_the_loop_of_the_client
async def test_page_names_only_what_this_server_has_and_no_script_of_its_own(client: AppClient) -> None:
    reply = await client.get("/docs")
    assert "text/html; charset=utf-8" == reply.header("content-type")
    page = reply.body.decode()
    assert "<title>Farebox API</title>" in page
    assert {"/openapi.json", *PATHS[1:]} == set(re.findall(r'(?:src|href)="(/[^"]*)"', page))
    assert ["data:,"] == re.findall(r'(?:src|href)="([^/"][^"]*)"', page)
    assert [] == re.findall(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page)


@on_the_loop_of_the_client
@pytest.mark.parametrize("path", PATHS)
async def test_what_a_browser_has_is_not_sent_again(client: AppClient, path: str) -> None:
    first = await client.get(path)
    tag = first.header("etag")
    assert tag
    assert "no-cache" == first.header("cache-control")
    again = await client.get(path, headers=[("if-none-match", tag)])
    assert (304, b"", tag) == (again.status, again.body, again.header("etag"))
    assert 200 == (await client.get(path, headers=[("if-none-match", '"older"')])).status


@on_the_loop_of_the_client
async def test_page_is_for_reading(client: AppClient) -> None:
    for path in PATHS:
        reply = await client.send("POST", path)
        assert (405, "text/plain; charset=utf-8") == (reply.status, reply.header("content-type"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> None:
        async with open_farebox(database):
            pass

    asyncio.run(prepare())
    with Server(database) as server:
        yield server


@pytest.mark.parametrize("path", PATHS)
def test_head_tells_what_get_would_send(server: Server, path: str) -> None:
    with plain_http.client(base_url=server.url) as client:
        whole, head = client.get(path), client.head(path)
    assert (200, b"") == (head.status_code, head.content)
    assert str(len(whole.content)) == whole.headers["content-length"] == head.headers["content-length"]
    assert whole.headers["etag"] == head.headers["etag"]
