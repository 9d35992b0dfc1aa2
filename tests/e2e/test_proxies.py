"""The shipped configurations of nginx and Caddy, with TLS, before a real server: what passes, what a restart costs."""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import httpx
import psutil
import pytest

from farebox.storage.records import Login, Realm, Role
from tests.e2e.proxies import CLIENT, FILES, HOST, TIMEOUT_S, Proxy, shipped_proxy
from tests.e2e.restarts import Succeeded
from tests.support.server import Seeds, open_farebox, seed

EMAIL: Final = "ann@shop.example"
PASSWORD: Final = "seven quiet lanterns"
CLIENTS: Final = 16


@dataclass(frozen=True)
class Site:
    """A server with a proxy before it."""

    server: Succeeded
    seeds: Seeds
    proxy: Proxy


@pytest.fixture(scope="module", params=list(FILES))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server behind each proxy in turn."""
    database_url = f"sqlite:///{tmp_path_factory.mktemp('site') / 'farebox.db'}"
    seeds = asyncio.run(_prepare(database_url))
    environment = {"FAREBOX_PUBLIC_URL": f"https://{HOST}", "FAREBOX_TRUSTED_PROXIES": "127.0.0.1"}
    with (
        Succeeded(database_url, environment=environment) as server,
        shipped_proxy(request.param, lambda text: text.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")) as proxy,
    ):
        yield Site(server, seeds, proxy)


async def _prepare(database_url: str) -> Seeds:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox, balance="10000")
        await farebox.services.merchants.add_user(seeds.merchant_id, EMAIL, role=Role.OWNER)
        hashed = await farebox.passwords.hash(PASSWORD)
        await farebox.stores.logins.add(Login(1, Realm.MERCHANT, EMAIL, EMAIL, 0, hashed))
    return seeds


def _sign_in(site: Site, client: httpx.Client, **headers: str) -> httpx.Response:
    form = {"email": EMAIL, "password": PASSWORD}
    return site.proxy.ask(client, "POST", "/sign-in", data=form, headers={"Origin": f"https://{HOST}", **headers})


def test_one_signs_in_with_secure_cookies_and_from_the_address_that_one_has(site: Site) -> None:
    with closing(site.proxy.client()) as client:
        answer = _sign_in(site, client, **{"X-Forwarded-For": "203.0.113.9"})
        assert 303 == answer.status_code, answer.text
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-")
        assert "; secure" in cookie.lower()
        assert "max-age=31536000" == answer.headers["strict-transport-security"]
        profile = site.proxy.ask(client, "GET", "/profile")
        assert 200 == profile.status_code
        # What the client made up of itself is nowhere.
        assert CLIENT in profile.text
        assert "203.0.113.9" not in profile.text


def test_a_stream_passes_at_once(site: Site) -> None:
    with (
        closing(site.proxy.client()) as client,
        closing(site.proxy.client(**{"X-Api-Key": site.seeds.service_key})) as service,
    ):
        _sign_in(site, client)
        path = f"/accounts/{site.seeds.merchant}/live"
        with client.stream("GET", path, extensions={"sni_hostname": HOST}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            assert "retry: 3000" == next(lines)
            began = time.monotonic()
            _charge(site, service, "stream")
            while next(lines) != "event: changed":
                pass
            assert time.monotonic() - began < 5


def _charge(site: Site, client: httpx.Client, key: str) -> httpx.Response:
    content = {"merchant": site.seeds.merchant, "type": "image", "idempotencyKey": key}
    answer = site.proxy.ask(client, "POST", "/api/charges", json=content)
    assert 200 == answer.status_code, answer.text
    return answer


def test_the_largest_body_passes_and_farebox_says_itself_what_is_too_large(site: Site) -> None:
    with closing(site.proxy.client(**{"X-Api-Key": site.seeds.service_key})) as client:
        charge = {"merchant": site.seeds.merchant, "type": "image", "idempotencyKey": "large"}
        line = json.dumps(charge) + " " * 60_000
        body = f'{{"charges": [{line}{" " * (15 * 1024 * 1024)}]}}'
        answer = site.proxy.ask(client, "POST", "/api/charges/batch", content=body.encode())
        assert 200 == answer.status_code, answer.text[:300]
        answer = site.proxy.ask(client, "POST", "/api/charges/batch", content=body.encode() + b" " * 1_500_000)
        assert (413, "payload_too_large") == (answer.status_code, answer.headers.get("x-error-code"))


def test_http_2_is_spoken_and_connections_to_farebox_are_kept(site: Site) -> None:
    with closing(site.proxy.client(**{"X-Api-Key": site.seeds.service_key})) as client:
        for number in range(50):
            _charge(site, client, f"kept-{number}")
    workers = site.server.first_process().children() if site.server.first is None else site.server.first.children()
    held = [each for each in workers[0].net_connections() if each.status == psutil.CONN_ESTABLISHED]
    assert 1 <= len(held) <= 10
    context = ssl.create_default_context()
    site.proxy.authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", site.proxy.port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as tls,
    ):
        assert "h2" == tls.selected_alpn_protocol()


async def test_no_request_fails_while_farebox_is_restarted_behind_it(site: Site) -> None:
    is_over, counts = asyncio.Event(), [0] * CLIENTS

    async def work(number: int) -> None:
        transport = httpx.AsyncHTTPTransport(verify=site.proxy.context)
        async with httpx.AsyncClient(transport=transport, base_url=site.proxy.url) as client:
            while not is_over.is_set():
                key = f"restart-{number}-{counts[number]}"
                content = {"merchant": site.seeds.merchant, "type": "image", "idempotencyKey": key}
                answer = await client.post(
                    "/api/charges",
                    json=content,
                    headers={"Host": HOST, "X-Api-Key": site.seeds.service_key},
                    extensions={"sni_hostname": HOST},
                    timeout=TIMEOUT_S,
                )
                assert 200 == answer.status_code, answer.text
                counts[number] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(work(number))
        for _ in range(2):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(site.server.hand_over)
        await asyncio.sleep(0.5)
        is_over.set()
    assert min(counts) > 0
