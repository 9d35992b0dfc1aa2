"""The shipped configurations of nginx and Caddy, with TLS, before a real server: what passes, what a restart costs."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest
import trustme

from farebox.storage.records import Login, Realm, Role
from tests.e2e.restarts import Succeeded
from tests.gateways.programs import PROGRAMS, takes_connections
from tests.support.server import Seeds, free_port, open_farebox, seed, start_guard
from tests.tidy.files import ROOT

HOST: Final = "pay.example"
EMAIL: Final = "ann@shop.example"
PASSWORD: Final = "seven quiet lanterns"
CLIENT: Final = "127.0.0.2"
CLIENTS: Final = 16
TIMEOUT_S: Final = 60
CERTIFICATE: Final = re.compile(r"/etc/farebox/tls/fullchain\.pem")
KEY: Final = re.compile(r"/etc/farebox/tls/key\.pem")

FILES: Final = {"nginx": "nginx.conf", "caddy": "Caddyfile"}


@dataclass(frozen=True)
class Site:
    """A server with a proxy before it."""

    server: Succeeded
    seeds: Seeds
    port: int
    authority: trustme.CA
    context: ssl.SSLContext

    def client(self, **more: Any) -> httpx.Client:
        """Make a client at an address of its own, which takes the proxy for the site's host."""
        transport = httpx.HTTPTransport(verify=self.context, local_address=CLIENT)
        return httpx.Client(
            transport=transport,
            base_url=f"https://127.0.0.1:{self.port}",
            headers={"Host": HOST, **more},
            timeout=TIMEOUT_S,
        )

    def ask(self, client: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask, by the name that the certificate has."""
        return client.request(method, path, extensions={"sni_hostname": HOST}, **more)


@pytest.fixture(scope="module", params=list(FILES))
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A server behind each proxy in turn."""
    # Not one of pytest's: the workers of a proxy that root starts are somebody else, who has to get in.
    folder = Path(tempfile.mkdtemp(prefix="farebox-proxy-"))
    folder.chmod(0o755)
    database_url = f"sqlite:///{folder / 'farebox.db'}"
    seeds = asyncio.run(_prepare(database_url))
    environment = {"FAREBOX_PUBLIC_URL": f"https://{HOST}", "FAREBOX_TRUSTED_PROXIES": "127.0.0.1"}
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    certificate.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    try:
        with (
            Succeeded(database_url, environment=environment) as server,
            _proxy(request.param, folder, server.port) as port,
        ):
            yield Site(server, seeds, port, authority, context)
    finally:
        shutil.rmtree(folder)


async def _prepare(database_url: str) -> Seeds:
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox, balance="10000")
        await farebox.services.merchants.add_user(seeds.merchant_id, EMAIL, role=Role.OWNER)
        hashed = await farebox.passwords.hash(PASSWORD)
        await farebox.stores.logins.add(Login(1, Realm.MERCHANT, EMAIL, EMAIL, 0, hashed))
    return seeds


@contextmanager
def _proxy(name: str, folder: Path, farebox_port: int) -> Iterator[int]:
    """Run a proxy with its shipped configuration, but for the ports and the certificate."""
    program = PROGRAMS[name]
    path = program.find()
    assert path is not None
    port, plain_port = free_port(), free_port()
    text = (ROOT / "deploy" / "proxy" / FILES[name]).read_text()
    told: Mapping[str, str] = {
        "127.0.0.1:8000": f"127.0.0.1:{farebox_port}",
        "listen 443 ssl": f"listen {port} ssl",
        "listen 80;": f"listen {plain_port};",
        f"{HOST} {{": f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n\nhttps://{HOST}:{port} {{",
        "# tls ": "tls ",
    }
    for written, changed in told.items():
        text = text.replace(written, changed)
    text = KEY.sub(str(folder / "key.pem"), CERTIFICATE.sub(str(folder / "fullchain.pem"), text))
    (folder / FILES[name]).write_text(text)
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [path, *program.arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
            start_new_session=True,
        )
    guard = start_guard(process)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not takes_connections(port):
            assert process.poll() is None, (folder / "proxy.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        guard.communicate()


def _sign_in(site: Site, client: httpx.Client, **headers: str) -> httpx.Response:
    form = {"email": EMAIL, "password": PASSWORD}
    return site.ask(client, "POST", "/sign-in", data=form, headers={"Origin": f"https://{HOST}", **headers})


def test_one_signs_in_with_secure_cookies_and_from_the_address_that_one_has(site: Site) -> None:
    with closing(site.client()) as client:
        answer = _sign_in(site, client, **{"X-Forwarded-For": "203.0.113.9"})
        assert 303 == answer.status_code, answer.text
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-")
        assert "; secure" in cookie.lower()
        assert "max-age=31536000" == answer.headers["strict-transport-security"]
        profile = site.ask(client, "GET", "/profile")
        assert 200 == profile.status_code
        # What the client made up of itself is nowhere.
        assert CLIENT in profile.text
        assert "203.0.113.9" not in profile.text


def test_a_stream_passes_at_once(site: Site) -> None:
    with closing(site.client()) as client, closing(site.client(**{"X-Api-Key": site.seeds.service_key})) as service:
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
    answer = site.ask(client, "POST", "/api/charges", json=content)
    assert 200 == answer.status_code, answer.text
    return answer


def test_the_largest_body_passes_and_farebox_says_itself_what_is_too_large(site: Site) -> None:
    with closing(site.client(**{"X-Api-Key": site.seeds.service_key})) as client:
        charge = {"merchant": site.seeds.merchant, "type": "image", "idempotencyKey": "large"}
        line = json.dumps(charge) + " " * 60_000
        body = f'{{"charges": [{line}{" " * (15 * 1024 * 1024)}]}}'
        answer = site.ask(client, "POST", "/api/charges/batch", content=body.encode())
        assert 200 == answer.status_code, answer.text[:300]
        answer = site.ask(client, "POST", "/api/charges/batch", content=body.encode() + b" " * 1_500_000)
        assert (413, "payload_too_large") == (answer.status_code, answer.headers.get("x-error-code"))


def test_http_2_is_spoken_and_connections_to_farebox_are_kept(site: Site) -> None:
    with closing(site.client(**{"X-Api-Key": site.seeds.service_key})) as client:
        for number in range(50):
            _charge(site, client, f"kept-{number}")
    workers = site.server.first_process().children() if site.server.first is None else site.server.first.children()
    held = [each for each in workers[0].net_connections() if each.status == psutil.CONN_ESTABLISHED]
    assert 1 <= len(held) <= 10
    context = ssl.create_default_context()
    site.authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", site.port)) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as tls,
    ):
        assert "h2" == tls.selected_alpn_protocol()


async def test_no_request_fails_while_farebox_is_restarted_behind_it(site: Site) -> None:
    is_over, counts = asyncio.Event(), [0] * CLIENTS

    async def work(number: int) -> None:
        transport = httpx.AsyncHTTPTransport(verify=site.context)
        async with httpx.AsyncClient(transport=transport, base_url=f"https://127.0.0.1:{site.port}") as client:
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
