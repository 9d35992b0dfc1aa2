"""Paths beside the API's plain ones: how they are matched, and the methods that they take."""

import pytest

from tests.support.app_client import AppClient

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("path", ["/sign-in/", "//sign-in", "/docs/", "/support//sign-in//"])
async def test_several_slashes_count_as_one_and_one_at_the_end_as_none(client: AppClient, path: str) -> None:
    assert 200 == (await client.get(path)).status


@pytest.mark.parametrize("path", ["/sign-in%0A", "/docs%0A", "/healthz%0A", "/sign-in%20", "/sign-in/x", "/Sign-in"])
async def test_a_path_is_matched_to_its_end(client: AppClient, path: str) -> None:
    assert 404 == (await client.get(path)).status


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/sign-in", "GET, HEAD, OPTIONS, POST"),
        ("/sign-out", "OPTIONS, POST"),
        ("/docs", "GET, HEAD, OPTIONS"),
        ("/docs/assets/docs.css", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, OPTIONS"),
        ("/openapi.json", "GET, OPTIONS"),
        ("/support/merchants/new", "GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_a_path_tells_every_method_that_it_takes(client: AppClient, path: str, allowed: str) -> None:
    options = await client.send("OPTIONS", path)
    assert (204, b"", allowed) == (options.status, options.body, options.header("allow"))
    for method in ("PUT", "DELETE", "TRACE"):
        reply = await client.send(method, path)
        assert (405, allowed) == (reply.status, reply.header("allow"))
