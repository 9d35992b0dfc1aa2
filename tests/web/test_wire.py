"""What happens on a connection: bodies that are too large, slow, cut off or no HTTP, and what comes after them."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.support import plain_http
from tests.support.server import Seeds, Server, seeded
from tests.support.wire import TIMEOUT_S, end_sending, exchange, read_all

MEGABYTE: Final = 1_000_000
CHARGE_LINE: Final = b"POST /api/charges HTTP/1.1"


@dataclass(frozen=True)
class Site:
    server: Server
    seeds: Seeds

    @property
    def key_line(self) -> bytes:
        return b"x-api-key: " + self.seeds.service_key.encode()

    def body(self, idempotency_key: str) -> bytes:
        content = {"merchant": self.seeds.merchant, "type": "image", "idempotencyKey": idempotency_key}
        return json.dumps(content).encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT_S)

    def balance(self) -> str:
        key = {"x-api-key": self.seeds.merchant_key}
        data = plain_http.get(f"{self.server.url}/api/balance", headers=key).json()["data"]
        assert isinstance(data, str)
        return data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    seeds = seeded(database)
    with Server(database) as server:
        yield Site(server, seeds)


def _envelope(answer: bytes) -> tuple[int, str, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    envelope = json.loads(body)
    assert ["isSuccess", "statusCode", "errorMessage", "data"] == list(envelope)
    status = int(lines[0].split()[1])
    assert status == envelope["statusCode"]
    return status, headers.get("x-error-code", ""), envelope


def test_ten_megabytes_are_refused_before_they_are_sent(site: Site) -> None:
    answer = exchange(site.server.port, CHARGE_LINE, site.key_line, b"content-length: %d" % (10 * MEGABYTE))
    status, code, envelope = _envelope(answer)
    assert (413, "payload_too_large") == (status, code)
    assert "65536 bytes at most" in envelope["errorMessage"]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_ten_megabytes_sent_all_the_same_are_thrown_away_and_the_answer_arrives(site: Site, is_chunked: bool) -> None:
    before = site.balance()
    announced = b"transfer-encoding: chunked" if is_chunked else b"content-length: %d" % (10 * MEGABYTE)
    head = b"\r\n".join([CHARGE_LINE, b"host: x", site.key_line, announced, b"", b""])
    piece = b"x" * 100_000
    # The refusal is there after the head already; a connection closed then would be reset by what is still sent.
    with site.connect() as connection:
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        connection.sendall(b"0\r\n\r\n" if is_chunked else b"")
        end_sending(connection)
        assert b" 413 " in read_all(connection)
    assert before == site.balance()


def test_chunks_without_a_length_that_come_to_too_much_are_a_413(site: Site) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (1000, b"x" * 1000) for _ in range(70)) + b"0\r\n\r\n"
    answer = exchange(site.server.port, CHARGE_LINE, site.key_line, b"transfer-encoding: chunked", body=body)
    assert (413, "payload_too_large") == _envelope(answer)[:2]


def test_chunks_are_a_body_like_another(site: Site) -> None:
    body = site.body("chunks")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    answer = exchange(
        site.server.port, CHARGE_LINE, site.key_line, b"transfer-encoding: chunked", body=chunks + b"0\r\n\r\n"
    )
    assert 200 == _envelope(answer)[0]


def test_slow_body_holds_up_nobody_else(site: Site) -> None:
    body = site.body("slow")
    with site.connect() as connection:
        lines = [
            CHARGE_LINE,
            b"host: x",
            b"connection: close",
            site.key_line,
            b"content-length: %d" % len(body),
            b"",
            b"",
        ]
        connection.sendall(b"\r\n".join(lines))
        for at in range(0, len(body), 8):
            connection.sendall(body[at : at + 8])
            assert site.balance()
        assert 200 == _envelope(read_all(connection))[0]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_client_that_disconnects_within_its_body_moves_nothing(site: Site, is_chunked: bool) -> None:
    before = site.balance()
    body = site.body("cut-off")
    for length in range(0, len(body), 16):
        with site.connect() as connection:
            announced = b"transfer-encoding: chunked" if is_chunked else b"content-length: %d" % len(body)
            connection.sendall(b"\r\n".join([CHARGE_LINE, b"host: x", site.key_line, announced, b"", b""]))
            start = body[:length]
            connection.sendall(b"%x\r\n%b" % (len(body), start) if is_chunked else start)
    assert before == site.balance()
    assert "Traceback" not in site.server.log()


def test_client_that_disconnects_before_the_answer_is_charged_once(site: Site) -> None:
    body = site.body("early")
    with site.connect() as connection:
        lines = [CHARGE_LINE, b"host: x", site.key_line, b"content-length: %d" % len(body), b"", b""]
        connection.sendall(b"\r\n".join(lines) + body)
    url, key = f"{site.server.url}/api/charges", {"x-api-key": site.seeds.service_key}
    replies = [plain_http.post(url, headers=key, content=body) for _ in range(2)]
    assert [200, 200] == [reply.status_code for reply in replies]
    assert 1 == len({reply.json()["data"]["transferId"] for reply in replies})


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /api/balance\r\n\r\n",
        b"GET /api/balance HTTP/9.9\r\n\r\n",
        b"GET /api/\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/balance HTTP/1.1\r\nhost: x\r\nx-api-key: a\x00b\r\n\r\n",
        b"GET /api/balance HTTP/1.1\r\nhost: x\r\n" + b"x-a: %b\r\n" % (b"a" * 900_000) + b"\r\n",
        b"POST /api/charges HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/charges HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        b"POST /api/charges HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_turned_away_and_the_server_stays_up(site: Site, bytes_sent: bytes) -> None:
    with site.connect() as connection, suppress(ConnectionError):
        connection.sendall(bytes_sent)
        end_sending(connection)
        answer = read_all(connection)
        assert not answer.startswith(b"HTTP/1.1 2")
        assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert site.balance()
    assert "Traceback" not in site.server.log()


@pytest.mark.parametrize(
    ("bytes_sent", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"GET /api/balance HTTP/9.9\r\n\r\n", 400),
        (b"GET /api/\xff HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /api/balance HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n", 400),
        (b"GET /api/balance HTTP/1.1\r\nhost: x\r\nx-a: a\x00b\r\n\r\n", 400),
        (b"POST /api/charges HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST /api/charges HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}", 400),
        (b"POST /api/charges HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n{}", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"FOO /api/balance HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        (b"GET /api/balance HTTP/1.1\r\n\r\n", 400),
        (b"GET /api/balance HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET /api/balance?" + b"a" * 65_522 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /api/balance HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 100 + b"\r\n", 431),
    ],
)
def test_what_never_becomes_a_request_is_refused_outside_the_envelope(
    site: Site, bytes_sent: bytes, status: int
) -> None:
    with site.connect() as connection:
        connection.sendall(bytes_sent)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert b"HTTP/1.1 %d " % status == head[:13]
    assert b"" == body
    assert b"content-length: 0" in head
    assert b"x-error-code" not in head


def test_the_longest_path_and_the_most_headers_are_a_request(site: Site) -> None:
    for line, more in ((b"?" + b"a" * 65_521, 0), (b"", 97)):
        answer = exchange(
            site.server.port, b"GET /api/account" + line + b" HTTP/1.1", *[b"x-a: b"] * more, site.key_line
        )
        assert _envelope(answer)[0] in (400, 403)


def test_half_closed_connection_is_answered_and_charged_once(site: Site) -> None:
    url, key = f"{site.server.url}/api/charges", {"x-api-key": site.seeds.service_key}
    before = site.balance()
    for number in range(20):
        body = site.body(f"half-closed-{number}")
        with site.connect() as connection:
            lines = [CHARGE_LINE, b"host: x", site.key_line, b"content-length: %d" % len(body), b"", b""]
            connection.sendall(b"\r\n".join(lines) + body)
            end_sending(connection)
            answer = read_all(connection)
        assert 200 == _envelope(answer)[0]
        for _ in range(2):
            again = plain_http.post(url, headers=key, content=body)
            assert 200 == again.status_code
    assert Decimal("0.20") == Decimal(before) - Decimal(site.balance())


def test_connection_half_closed_within_its_body_moves_nothing(site: Site) -> None:
    before, body = site.balance(), site.body("half-body")
    with site.connect() as connection:
        lines = [CHARGE_LINE, b"host: x", site.key_line, b"content-length: %d" % len(body), b"", b""]
        connection.sendall(b"\r\n".join(lines) + body[:20])
        end_sending(connection)
        answer = read_all(connection)
    assert (400, "malformed_request") == _envelope(answer)[:2]
    assert before == site.balance()


def test_connection_goes_on_after_errors(site: Site) -> None:
    key = {"x-api-key": site.seeds.service_key}
    with plain_http.client(base_url=site.server.url, headers=key) as client:
        replies = [
            client.post("/api/charges", content=b"{"),
            client.get("/api/nothing"),
            client.get("/api/charges"),
            client.post("/api/charges", content=site.body("after-errors")),
        ]
        addresses = {reply.extensions["network_stream"].get_extra_info("client_addr") for reply in replies}
    assert [400, 404, 405, 200] == [reply.status_code for reply in replies]
    assert 1 == len(addresses)


def test_requests_sent_at_once_are_answered_in_order(site: Site) -> None:
    bodies = [site.body(f"pipelined-{number}") for number in range(5)]
    with site.connect() as connection:
        for number, body in enumerate(bodies):
            last = [b"connection: close"] if number == len(bodies) - 1 else []
            lines = [CHARGE_LINE, b"host: x", site.key_line, b"content-length: %d" % len(body), *last, b"", b""]
            connection.sendall(b"\r\n".join(lines) + body)
        answers = read_all(connection)
    ids = [part.partition(b'"')[0] for part in answers.split(b'"transferId":"')[1:]]
    assert 5 == len(ids)
    assert sorted(ids) == ids


@pytest.mark.parametrize("path", [b"/api/../x", b"/api/%2e%2e/x", b"//api", b"/api", b"/api/", b"http://x/api/x"])
def test_paths_reach_the_api_as_they_are(site: Site, path: bytes) -> None:
    answer = exchange(site.server.port, b"GET " + path + b" HTTP/1.1")
    assert (404, "not_found") == _envelope(answer)[:2]
