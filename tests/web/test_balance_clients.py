"""The Balance API as its clients meet it: over a socket, from programs that were never changed, and in a browser."""

import asyncio
import html
import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.support.browser import text_of_page
from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import exchange

POLLS_MAX = 20

# The first of these tests may have to install the browser.
in_a_browser = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Site:
    """A running server, a merchant on it, and the other server whose pages may read it."""

    server: Server
    seeds: Seeds
    pages: "Pages"


class Pages:
    """A web server of somebody else's: it has one page, and hands requests for /api/ on, so they are same-origin to it.

    The page asks for a balance as its query says, and writes what it could read of the answer into itself.
    """

    PAGE = b"""<!doctype html><pre id="seen">nothing yet</pre><script>
        const asked = new URLSearchParams(location.search)
        fetch(asked.get("url"), {headers: {"x-api-key": asked.get("key")}})
            .then(async answer => ({
                status: answer.status, body: await answer.json(), code: answer.headers.get("x-error-code")
            }))
            .catch(error => ({blocked: String(error)}))
            .then(seen => { document.getElementById("seen").textContent = JSON.stringify(seen) })
    </script>"""

    def __init__(self) -> None:
        self.behind = ""
        self.forwarded: list[str] = []
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.path.startswith("/api/"):
                    self._answer(200, "text/html", pages.PAGE)
                    return
                pages.forwarded.append(self.command)
                reply = httpx.get(
                    pages.behind + self.path, headers={"x-api-key": self.headers["x-api-key"]}, trust_env=False
                )
                self._answer(reply.status_code, reply.headers["content-type"], reply.content)

            def do_OPTIONS(self) -> None:
                pages.forwarded.append(self.command)
                self._answer(405, "text/plain", b"")

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", content_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def seen(self, url: str, key: str, *, host: str = "127.0.0.1") -> dict[str, Any]:
        """Open the page in a browser and return what it could read of the answer."""
        query = httpx.QueryParams({"url": url, "key": key})
        document = text_of_page(f"http://{host}:{self.port}/page?{query}")
        found = re.search(r'<pre id="seen">(.*?)</pre>', document, re.DOTALL)
        assert found, document
        seen = json.loads(html.unescape(found[1]))
        assert isinstance(seen, dict)
        return seen


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> Seeds:
        async with open_farebox(database) as farebox:
            return await seed(farebox, balance="1250.75")

    seeds = asyncio.run(prepare())
    pages = Pages()
    try:
        allowed = f"https://elsewhere.example, http://127.0.0.1:{pages.port}"
        with Server(database, environment={"FAREBOX_CORS_ORIGINS": allowed}) as server:
            pages.behind = server.url
            yield Site(server, seeds, pages)
    finally:
        pages.close()


class SomeonesClient:
    """A client as they were written before Farebox: it knows the contract's words and nothing else."""

    def __init__(self, url: str, key: str) -> None:
        self._request = urllib.request.Request(f"{url}/api/balance", headers={"x-api-key": key})

    def read(self) -> str:
        with urllib.request.urlopen(self._request, timeout=30) as response:
            envelope = json.load(response)
        if not envelope["isSuccess"]:
            raise RuntimeError(envelope["errorMessage"])
        data = envelope["data"]
        assert isinstance(data, str)
        return data.replace(",", "")

    def is_low(self, threshold: str) -> bool:
        return Decimal(self.read()) < Decimal(threshold)


def _charge(site: Site, amount: str, idempotency_key: str) -> None:
    content = {"merchant": site.seeds.merchant, "type": "call", "amount": amount, "idempotencyKey": idempotency_key}
    reply = httpx.post(
        f"{site.server.url}/api/charges", headers={"x-api-key": site.seeds.service_key}, json=content, trust_env=False
    )
    assert reply.status_code == 200, reply.text


def _lines(answer: bytes) -> list[bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return [*(line for line in head.split(b"\r\n") if not line.startswith(b"date: ")), body]


def test_clients_in_the_field_go_on_working_unchanged(site: Site) -> None:
    client = SomeonesClient(site.server.url, site.seeds.merchant_key)
    assert Decimal("1250.75") == Decimal(client.read())
    assert 1250.75 == float(client.read())
    seen = []
    for number in range(POLLS_MAX):
        seen.append(Decimal(client.read()))
        if client.is_low("1000"):
            break
        _charge(site, "100.25", f"poll-{number}")
    assert [Decimal("1250.75"), Decimal("1150.50"), Decimal("1050.25"), Decimal("950")] == seen


def test_clients_that_raise_on_an_error_status_raise(site: Site) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        SomeonesClient(site.server.url, "wrong").read()
    assert 401 == raised.value.code
    assert b'{"isSuccess":false,"statusCode":401,"errorMessage":"Invalid API key","data":null}' == raised.value.read()
    raised.value.close()
    reply = httpx.get(f"{site.server.url}/api/balance", headers={"x-api-key": "wrong"}, trust_env=False)
    with pytest.raises(httpx.HTTPStatusError):
        reply.raise_for_status()


def test_answers_on_the_wire_are_indistinguishable_for_bad_keys(site: Site) -> None:
    def ask(*lines: bytes) -> list[bytes]:
        return _lines(exchange(site.server.port, b"GET /api/balance HTTP/1.1", *lines))

    key = site.seeds.merchant_key.encode()
    missing = ask()
    assert b"HTTP/1.1 401 Unauthorized" == missing[0]
    assert b'{"isSuccess":false,"statusCode":401,"errorMessage":"Invalid API key","data":null}' == missing[-1]
    for line in (
        b"x-api-key:",
        b"x-api-key: " + key.lower(),
        b"x-api-key: " + key[:20] + b" " + key[20:],
        b"x-api-key: " + key + b"," + key,
        b"x-api-key: " + key + b"\r\nx-api-key: " + key,
        b"x-api-key: \xff\xfe\xfd",
        b"x-api-key: " + b"k" * 10_000,
    ):
        assert missing == ask(line)


def test_spaces_around_a_header_are_no_part_of_the_key(site: Site) -> None:
    for before, after in ((b"", b""), (b" ", b""), (b" \t ", b" \t ")):
        line = b"X-API-KEY:" + before + site.seeds.merchant_key.encode() + after
        answer = exchange(site.server.port, b"GET /api/balance HTTP/1.1", line)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_head_has_the_headers_of_get_and_no_body(site: Site) -> None:
    line = b"x-api-key: " + site.seeds.merchant_key.encode()
    full = _lines(exchange(site.server.port, b"GET /api/balance HTTP/1.1", line))
    head = _lines(exchange(site.server.port, b"HEAD /api/balance HTTP/1.1", line))
    assert full[:-1] == head[:-1]
    assert b"" == head[-1]


def test_older_protocols_are_answered(site: Site) -> None:
    line = b"x-api-key: " + site.seeds.merchant_key.encode()
    answer = exchange(site.server.port, b"GET /api/balance HTTP/1.0", line)
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b'"errorMessage":null' in answer


def test_connections_are_kept_for_the_next_poll(site: Site) -> None:
    with httpx.Client(base_url=site.server.url, trust_env=False, headers={"x-api-key": "wrong"}) as client:
        ports = {
            client.get("/api/balance").extensions["network_stream"].get_extra_info("client_addr") for _ in range(5)
        }
    assert 1 == len(ports)


@in_a_browser
def test_browser_reads_balances_from_an_allowed_origin(site: Site) -> None:
    seen = site.pages.seen(f"{site.server.url}/api/balance", site.seeds.merchant_key)
    assert 200 == seen["status"]
    assert seen["body"]["isSuccess"] is True
    assert Decimal(seen["body"]["data"]) <= Decimal("1250.75")
    refused = site.pages.seen(f"{site.server.url}/api/balance", "wrong")
    assert (401, "invalid_api_key") == (refused["status"], refused["code"])
    assert {"isSuccess": False, "statusCode": 401, "errorMessage": "Invalid API key", "data": None} == refused["body"]


@in_a_browser
def test_browser_keeps_balances_from_other_origins(site: Site) -> None:
    # The same page under another name of its host is of another origin.
    seen = site.pages.seen(f"{site.server.url}/api/balance", site.seeds.merchant_key, host="localhost")
    assert {"blocked": "TypeError: Failed to fetch"} == seen


@in_a_browser
def test_browser_reads_balances_from_the_same_origin_without_asking_first(site: Site) -> None:
    site.pages.forwarded.clear()
    seen = site.pages.seen("/api/balance", site.seeds.merchant_key, host="localhost")
    assert 200 == seen["status"]
    assert seen["body"]["isSuccess"] is True
    assert ["GET"] == site.pages.forwarded


def test_server_writes_nothing_about_what_it_serves(site: Site) -> None:
    assert "fbm_" not in site.server.log()
    assert "Traceback" not in site.server.log()
