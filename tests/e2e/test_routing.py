"""The configuration of nginx in docs/how-to/postgresql.md, which sends a merchant's requests to one server.

It is a hint: what is shown besides is that a server that is away stops nobody, and that nothing is sent to two.
"""

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import httpx
import pytest

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.people.api_keys import make_key
from tests.docs.pages import fences
from tests.e2e.proxies import Proxy, shipped_proxy
from tests.tidy.files import ROOT

SAMPLE: Final = fences(ROOT / "docs" / "how-to" / "postgresql.md", "nginx")[0]
ADDRESSES: Final = [f"10.0.0.1{number}:8000" for number in (1, 2, 3)]
MERCHANTS: Final = [ids.new_number(1_800_000_000_000 + 997 * number, 7 * number) for number in range(60)]
SHARE_MIN: Final = 2
"""How many of the merchants each server has at least: a third of them, more or less."""
SERVICE_KEY: Final = make_key(KeyKind.SERVICE)
MERCHANT_KEY: Final = make_key(KeyKind.MERCHANT, MERCHANTS[0])
CONNECT_TIMEOUT_S: Final = 2
QUEUE: Final = 4
"""More connections than wait at a port that nobody takes them from."""


class Upstream(ThreadingHTTPServer):
    """A server that answers with its own number, and counts what reached it."""

    daemon_threads = True

    def __init__(self, number: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.number = number
        self.asked = 0
        self.status = 200
        self.hangs_up = False
        self._connections: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def end(self) -> None:
        """End as a killed process does: with its port and all of its connections."""
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Upstream

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.server.asked += 1
        if self.server.hangs_up:
            self.close_connection = True
            return
        content = str(self.server.number).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Be silent."""


@dataclass(frozen=True)
class Site:
    """Three servers behind nginx."""

    proxy: Proxy
    servers: list[Upstream]

    def ask(self, client: httpx.Client, method: str, path: str, **headers: str) -> httpx.Response:
        """Send a request with headers, `_` for `-` in their names."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.proxy.ask(client, method, path, headers=named, content=b"{}" if method == "POST" else None)

    def charge(self, client: httpx.Client, merchant_id: int) -> httpx.Response:
        """Charge a merchant, as a service does that sends the header."""
        merchant = ids.public_id(ids.MERCHANT, merchant_id)
        return self.ask(client, "POST", "/api/charges", x_api_key=SERVICE_KEY, x_merchant=merchant)

    def servers_of(self, client: httpx.Client) -> dict[int, str]:
        """Charge each merchant, and tell which server answered."""
        answers = {merchant_id: self.charge(client, merchant_id) for merchant_id in MERCHANTS}
        assert {200} == {answer.status_code for answer in answers.values()}
        return {merchant_id: answer.text for merchant_id, answer in answers.items()}


@pytest.fixture
def site() -> Iterator[Site]:
    """The shipped nginx with what the page tells to put into it, the addresses excepted."""
    with ExitStack() as stack:
        servers = [Upstream(number) for number in range(len(ADDRESSES))]
        for server in servers:
            stack.callback(server.end)
        sample = SAMPLE
        for address, server in zip(ADDRESSES, servers, strict=True):
            assert address in sample
            sample = sample.replace(address, f"127.0.0.1:{server.server_port}")
        proxy = stack.enter_context(shipped_proxy("nginx", lambda shipped: _with_sample(shipped, sample)))
        yield Site(proxy, servers)


def _with_sample(shipped: str, sample: str) -> str:
    edited, times = re.subn(r"^    upstream farebox \{.*?^    \}$", lambda _: sample, shipped, flags=re.M | re.S)
    assert 1 == times
    return edited


def test_each_request_that_names_a_merchant_goes_to_the_merchants_server(site: Site) -> None:
    with closing(site.proxy.client()) as client:
        servers = site.servers_of(client)
        shares = Counter(servers.values())
        assert len(site.servers) == len(shares)
        assert min(shares.values()) >= SHARE_MIN
        for merchant_id in MERCHANTS:
            merchant = ids.public_id(ids.MERCHANT, merchant_id)
            hold = ids.book_id(ids.HOLD, merchant_id=merchant_id, seq=7)
            answers = [
                site.ask(client, "POST", f"/api/holds/{hold}/capture", x_api_key=SERVICE_KEY),
                site.ask(client, "GET", f"/api/holds?limit=9&merchant={merchant}", x_api_key=SERVICE_KEY),
                site.ask(client, "GET", f"/accounts/{merchant}"),
                site.ask(client, "GET", "/api/balance", x_api_key=make_key(KeyKind.MERCHANT, merchant_id)),
            ]
            assert [servers[merchant_id]] * len(answers) == [answer.text for answer in answers]


def test_requests_that_name_no_merchant_go_to_any_server(site: Site) -> None:
    with closing(site.proxy.client()) as client:
        answers = [site.ask(client, "POST", "/api/charges", x_api_key=SERVICE_KEY) for _ in MERCHANTS]
    assert {str(server.number) for server in site.servers} == {answer.text for answer in answers}


def test_a_server_that_is_down_stops_nobody_and_moves_no_others(site: Site) -> None:
    with closing(site.proxy.client()) as client:
        before = site.servers_of(client)
        down = site.servers[0]
        down.end()
        after = site.servers_of(client)
    gone = str(down.number)
    assert gone not in after.values()
    moved = {merchant_id for merchant_id in MERCHANTS if before[merchant_id] != after[merchant_id]}
    assert moved == {merchant_id for merchant_id in MERCHANTS if before[merchant_id] == gone}


def test_a_machine_that_is_gone_without_a_word_is_waited_for_once(site: Site) -> None:
    """As a port whose queue is full: what comes to it is not answered."""
    gone = site.servers[0]
    gone.end()
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(gone.server_address, backlog=0))
        for _ in range(QUEUE):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        client = stack.enter_context(closing(site.proxy.client()))
        answers = [site.charge(client, merchant_id) for merchant_id in MERCHANTS]
    assert {200} == {answer.status_code for answer in answers}
    assert 1 == sum(answer.elapsed.total_seconds() >= CONNECT_TIMEOUT_S for answer in answers)


def test_a_server_that_answers_with_503_is_not_away(site: Site) -> None:
    for server in site.servers:
        server.status = 503
    with closing(site.proxy.client()) as client:
        told = [site.ask(client, "GET", "/api/account", x_api_key=MERCHANT_KEY) for _ in range(3)]
    assert 1 == len({(answer.status_code, answer.text) for answer in told})
    assert [0, 0, 3] == sorted(server.asked for server in site.servers)


def test_a_charge_that_reached_a_server_is_not_sent_to_another(site: Site) -> None:
    for server in site.servers:
        server.hangs_up = True
    with closing(site.proxy.client()) as client:
        assert 502 == site.charge(client, MERCHANTS[0]).status_code
    assert [0, 0, 1] == sorted(server.asked for server in site.servers)
