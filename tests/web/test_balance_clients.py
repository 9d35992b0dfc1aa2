"""The Balance API as its clients meet it: over a socket, and from programs that were never changed."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import httpx
import pytest

from tests.support.server import Seeds, Server, open_farebox, seed
from tests.support.wire import exchange

POLLS_MAX = 20


@dataclass(frozen=True)
class Site:
    """A running server and a merchant on it."""

    server: Server
    seeds: Seeds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    async def prepare() -> Seeds:
        async with open_farebox(database) as farebox:
            return await seed(farebox, balance="1250.75")

    seeds = asyncio.run(prepare())
    with Server(database) as server:
        yield Site(server, seeds)


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


def test_server_writes_nothing_about_what_it_serves(site: Site) -> None:
    assert "fbm_" not in site.server.log()
    assert "Traceback" not in site.server.log()
