"""Clients that hold a place and send next to nothing: each loses it, and honest slow ones do not."""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from farebox.http.limits import HTTP_LIMITS
from farebox.web.body_timeout import BODY_BYTES_PER_SECOND, BodyReader, BodyTimeouts
from farebox.web.envelope import ApiError
from tests.security import short_limits_server
from tests.support import plain_http
from tests.support.server import Seeds, Server, seeded
from tests.support.wire import TIMEOUT_S, read_all

ROOT: Final = Path(__file__).parents[2]
BREATH_S: Final = 0.3
"""How often a slow client sends a little."""


# The rule, a look at a time.


class Client:
    """What a server hears of a client: pieces of a body, as a test sends them."""

    def __init__(self) -> None:
        self.timeouts = BodyTimeouts(HTTP_LIMITS)
        self._pieces: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reader = self.timeouts.reader(self._receive)
        self.count = 0
        self.task = asyncio.create_task(self._read())

    async def _receive(self) -> Any:
        return await self._pieces.get()

    async def _read(self) -> None:
        while (await self.reader()).get("more_body", False):
            self.count += 1

    async def send(self, length: int, *, more: bool = True) -> None:
        self._pieces.put_nowait({"type": "http.request", "body": b"x" * length, "more_body": more})
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.settle()
            self.timeouts._tick()
            await self.settle()

    def is_turned_away(self) -> bool:
        if not self.task.done():
            return False
        error = self.task.exception()
        assert isinstance(error, ApiError), error
        assert (408, "request_timeout") == (error.status, error.code)
        return True


async def test_a_body_may_take_so_long_and_no_longer_however_it_is_cut() -> None:
    for piece_every in (1, 3, HTTP_LIMITS.body_seconds + 1):
        client = Client()
        for second in range(HTTP_LIMITS.body_seconds):
            await client.wait(1)
            if second % piece_every == 0:
                await client.send(1)
        assert not client.is_turned_away()
        await client.wait(1)
        assert client.is_turned_away()
        assert not client.timeouts.waiting


async def test_a_large_body_may_take_a_second_more_for_each_piece_that_a_slow_line_carries() -> None:
    client = Client()
    for _ in range(10 * HTTP_LIMITS.body_seconds):
        await client.wait(1)
        await client.send(BODY_BYTES_PER_SECOND)
    assert not client.is_turned_away()
    await client.send(0, more=False)
    await client.task
    half = Client()
    for _ in range(3 * HTTP_LIMITS.body_seconds):
        await half.wait(1)
        await half.send(BODY_BYTES_PER_SECOND // 2)
    assert half.is_turned_away()


async def test_lines_without_end_may_pause_between_one_and_the_next() -> None:
    client = Client()
    await client.settle()
    client.reader.allow_pauses()
    await client.send(1)
    for _ in range(5):
        await client.wait(HTTP_LIMITS.pause_seconds)
        await client.send(1)
    assert not client.is_turned_away()
    await client.wait(HTTP_LIMITS.pause_seconds + 1)
    assert client.is_turned_away()


async def test_whoever_ends_a_request_for_another_reason_is_heard() -> None:
    client = Client()
    await client.settle()
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.task
    late = Client()
    await late.wait(HTTP_LIMITS.body_seconds)
    late.timeouts._tick()
    late.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late.task
    assert not late.timeouts.waiting


async def test_after_its_body_a_request_may_listen_as_long_as_it_likes() -> None:
    client = Client()
    await client.send(1, more=False)
    listening = asyncio.create_task(_next(client.reader))
    await client.wait(10 * HTTP_LIMITS.pause_seconds)
    assert not listening.done()
    await client.send(0, more=False)
    assert listening.done()


async def _next(reader: BodyReader) -> None:
    await reader()


async def test_nobody_is_looked_after_where_nobody_waits() -> None:
    client = Client()
    await client.send(1, more=False)
    assert client.timeouts.timer is not None
    client.timeouts._tick()
    assert client.timeouts.timer is None


# A server that is in a hurry, and slow clients of all sorts at once.


@dataclass(frozen=True)
class Site:
    server: Server
    seeds: Seeds

    @property
    def key_line(self) -> bytes:
        return b"x-api-key: " + self.seeds.service_key.encode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), TIMEOUT_S)

    def charge(self, idempotency_key: str) -> bytes:
        content = {"merchant": self.seeds.merchant, "type": "image", "idempotencyKey": idempotency_key}
        return json.dumps(content).encode()

    def balance(self) -> str:
        key = {"x-api-key": self.seeds.merchant_key}
        answer = plain_http.get(f"{self.server.url}/api/balance", headers=key, timeout=TIMEOUT_S)
        assert 200 == answer.status_code
        return str(answer.json()["data"])


@pytest.fixture(scope="module")
def stream(site: Site) -> Iterator["Future[bytes]"]:
    """A stream that sends a line a second for longer than another body may take, and then neither more nor an end.

    It does so while other tests go on.
    """

    def run() -> bytes:
        with site.connect() as connection:
            connection.sendall(_head("/api/charges/batch", site.key_line, NDJSON, CHUNKED))
            for number in range(STREAM_LINES):
                line = site.charge(f"s-{number}") + b"\n"
                connection.sendall(b"%x\r\n%b\r\n" % (len(line), line))
                time.sleep(1)
            return read_all(connection)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(run)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'farebox.db'}"

    seeds = seeded(database)
    environment = {"PYTHONPATH": str(ROOT)}
    with Server(database, program="tests.security.short_limits_server", environment=environment) as server:
        yield Site(server, seeds)


def _trickle(connection: socket.socket, start: bytes, drop: Callable[[int], bytes]) -> bytes:
    """Send a start and then a drop every now and then, until the server ends it; return what it said."""
    received = b""
    connection.sendall(start)
    connection.settimeout(BREATH_S)
    deadline = time.monotonic() + TIMEOUT_S
    for number in range(10_000):
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            assert time.monotonic() < deadline, "the server waits for ever"
            with suppress(ConnectionError):
                connection.sendall(drop(number))
            continue
        except ConnectionError:
            break
        if not piece:
            break
        received += piece
    return received


def _head(path: str, *lines: bytes) -> bytes:
    return b"\r\n".join([f"POST {path} HTTP/1.1".encode(), b"host: x", *lines, b"", b""])


STREAM_LINES: Final = 5
LENGTH: Final = b"content-length: 60000"
CHUNKED: Final = b"transfer-encoding: chunked"
NDJSON: Final = b"content-type: application/x-ndjson"
FORM: Final = b"content-type: application/x-www-form-urlencoded"


def test_what_comes_after_an_answer_is_not_read_for_ever(site: Site) -> None:
    with site.connect() as connection:
        start = _head("/api/charges", site.key_line, b"content-length: 1000000000")
        assert _trickle(connection, start, lambda _: b" ").startswith(b"HTTP/1.1 413 ")


@pytest.mark.usefixtures("stream")
def test_slow_bodies_and_heads_are_given_up_while_others_are_served(site: Site) -> None:
    hold = "/api/holds/hold_000000000000100000001/capture"
    nothing, space, chunk = (lambda _: b""), (lambda _: b" "), (lambda _: b"1\r\n \r\n")
    bodies = [
        (_head("/api/charges", site.key_line, LENGTH), nothing),
        (_head("/api/charges", site.key_line, LENGTH), space),
        (_head("/api/charges", site.key_line, CHUNKED), chunk),
        (_head("/api/charges/batch", site.key_line, LENGTH), space),
        (_head(hold, site.key_line, LENGTH), space),
        (_head("/api/admin/keys", b"x-api-key: " + site.seeds.support_key.encode(), LENGTH), space),
        (_head("/sign-in", FORM, b"origin: http://x", LENGTH), space),
    ]
    heads = [
        (b"", nothing),
        (b"GET /api/balance HTTP/1.1\r\nhost: x\r\n", lambda number: b"x-%d: 1\r\n" % number),
        (b"GET /api/balance HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n", nothing),
    ]

    def run(case: tuple[bytes, Callable[[int], bytes]]) -> bytes:
        with site.connect() as connection:
            return _trickle(connection, *case)

    with ThreadPoolExecutor(20) as pool:
        body_answers = [pool.submit(run, case) for case in bodies]
        head_answers = [pool.submit(run, case) for case in heads]
        assert site.balance()
        *api_answers, page = [answer.result() for answer in body_answers]
        idle, slow_head, kept = [answer.result() for answer in head_answers]
    for answer in api_answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 "), answer
        assert b"x-error-code: request_timeout" in head
        assert b"connection: close" in head
        envelope = json.loads(body)
        assert ["isSuccess", "statusCode", "errorMessage", "data"] == list(envelope)
        assert 408 == envelope["statusCode"]
    assert page.startswith(b"HTTP/1.1 408 "), page
    assert b"connection: close" in page
    assert (b"", b"") == (idle, slow_head)
    assert kept.startswith(b"HTTP/1.1 401 ")
    assert "Traceback" not in site.server.log()


def test_a_stream_may_take_its_time_and_when_it_stops_is_told_what_became_of_it(stream: "Future[bytes]") -> None:
    head, _, body = stream.result().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    outcomes = [json.loads(line) for line in body.splitlines() if line.startswith(b"{")]
    assert [200] * STREAM_LINES + [408] == [outcome["statusCode"] for outcome in outcomes]
    assert "request_timeout" == outcomes[-1]["errorCode"]


def test_idle_connections_that_take_all_places_give_them_back(site: Site) -> None:
    connections = [site.connect() for _ in range(short_limits_server.LIMITS.connections + 10)]
    try:
        assert site.balance()
    finally:
        for connection in connections:
            connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux closes connections whose answers are not taken")
def test_who_does_not_take_an_answer_is_not_waited_for(site: Site) -> None:
    def is_there(port: int) -> bool:
        found = [
            item for process in psutil.Process().children(recursive=True) for item in process.net_connections("tcp")
        ]
        return any(site.server.port == item.laddr.port and port == getattr(item.raddr, "port", None) for item in found)

    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", site.server.port))
        port = connection.getsockname()[1]
        connection.settimeout(BREATH_S)
        # Until there is no room for more questions either, because nobody takes the answers.
        with suppress(TimeoutError, ConnectionError):
            while True:
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 100)
        deadline = time.monotonic() + TIMEOUT_S
        while is_there(port):
            assert time.monotonic() < deadline, "the server waits for ever"
            time.sleep(0.1)
    assert site.balance()
