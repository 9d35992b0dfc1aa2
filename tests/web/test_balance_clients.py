"""The Balance API as its clients meet it: byte by byte over a socket."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import plain_http
from tests.support.server import Seeds, Server, seeded
from tests.support.wire import exchange


@dataclass(frozen=True)
class Site:
    """A running server and a merchant on it."""

    server: Server
    seeds: Seeds


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    seeds = seeded(database, balance="1250.75")
    with Server(database) as server:
        yield Site(server, seeds)


def _lines(answer: bytes) -> list[bytes]:
    """Read an answer's lines, but those that no two answers have alike."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return [*(line for line in head.split(b"\r\n") if not line.startswith((b"date: ", b"x-request-id: "))), body]


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
    """An answer has the server's version, and nothing that HTTP/1.0 does not know. Source: RFC 9110, section 6.2."""
    line = b"x-api-key: " + site.seeds.merchant_key.encode()
    answer = exchange(site.server.port, b"GET /api/balance HTTP/1.0", line)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: %d" % len(body) in head.split(b"\r\n")
    assert b"transfer-encoding" not in head
    assert b'"errorMessage":null' in body


def test_connections_are_kept_for_the_next_poll(site: Site) -> None:
    with plain_http.client(base_url=site.server.url, headers={"x-api-key": "wrong"}) as client:
        ports = {
            client.get("/api/balance").extensions["network_stream"].get_extra_info("client_addr") for _ in range(5)
        }
    assert 1 == len(ports)


def test_server_writes_nothing_about_what_it_serves(site: Site) -> None:
    assert "fbm_" not in site.server.log()
    assert "Traceback" not in site.server.log()
