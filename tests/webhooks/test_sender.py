"""One POST: to allowed addresses alone, whatever names resolve to; over verified TLS; bounded in time and size."""

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Final

import pytest
import trustme

from farebox.service.address_guard import AddressGuard
from farebox.webhooks.connecting import Resolver
from farebox.webhooks.send_result import ANSWER_CHARS_MAX, SendResult
from farebox.webhooks.sender import GuardedClient
from tests.service.test_address_guard import FORBIDDEN
from tests.webhooks.receiver import (
    DIES,
    FLOODS,
    HANGS,
    INFORMS,
    LONG_HEADERS,
    NO_HTTP,
    TRICKLES,
    TRICKLES_BODY,
    receiving,
)

AUTHORITY: Final = trustme.CA()
LOOPBACK: Final = AddressGuard([ip_network("127.0.0.0/8"), ip_network("::1/128")])
SHORT_S: Final = 0.4
HEADERS: Final = {"webhook-id": "id"}


def presenting(*names: str) -> ssl.SSLContext:
    """Make a receiver's side of TLS, with a certificate for names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    """Make a sender's side of TLS that trusts the tests' authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


class Names:
    """A resolver that knows what a test says, and how often it was asked."""

    def __init__(self, addresses: Mapping[str, Sequence[str]]) -> None:
        self._addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self._addresses:
            raise OSError("Name or service not known")
        return self._addresses[host]


@asynccontextmanager
async def sending(
    guard: AddressGuard = LOOPBACK,
    *,
    names: Mapping[str, Sequence[str]] | Names | None = None,
    seconds_max: float = 15.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[GuardedClient]:
    resolve = names if names is None or isinstance(names, Names) else Names(names)
    sender = GuardedClient(guard, resolve=resolve, tls=tls or trusting(), send_seconds_max=seconds_max)
    try:
        yield sender
    finally:
        await sender.close()


async def post(sender: GuardedClient, url: str) -> SendResult:
    return await sender.post(url, b'{"a":1}', HEADERS)


async def test_what_is_sent() -> None:
    async with receiving(answer="200 thanks") as receiver, sending() as sender:
        answer = await post(sender, f"{receiver.url}/hooks?key=1")
    (request,) = receiver.received
    assert ("/hooks?key=1", '{"a":1}') == (request.path, request.body)
    expected = {"webhook-id": "id", "content-type": "application/json", "user-agent": "Farebox-Webhooks/1"}
    assert expected.items() <= request.headers.items()
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert (200, "thanks", True) == (answer.status, answer.text, answer.is_delivered)
    assert 0 < answer.took < 15_000_000


async def test_tls_by_name_and_by_address() -> None:
    tls = presenting("hooks.example", "127.0.0.1")
    async with (
        receiving(tls=tls) as receiver,
        sending(names={"hooks.example": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"]}) as sender,
    ):
        assert (await post(sender, f"https://hooks.example:{receiver.port}/")).is_delivered
        assert (await post(sender, f"https://127.0.0.1:{receiver.port}/")).is_delivered


@pytest.mark.parametrize("fault", ["another name", "an authority nobody trusts"])
async def test_a_receiver_that_is_not_whom_the_url_names_gets_nothing(fault: str) -> None:
    tls = presenting("other.example" if fault == "another name" else "hooks.example")
    trust = ssl.create_default_context() if fault == "an authority nobody trusts" else trusting()
    async with receiving(tls=tls) as receiver, sending(names={"hooks.example": ["127.0.0.1"]}, tls=trust) as sender:
        answer = await post(sender, f"https://hooks.example:{receiver.port}/")
    assert answer.status is None
    assert answer.is_of_server
    assert [] == receiver.received
    assert "certificate" in answer.text.lower()


async def test_a_receiver_that_speaks_no_tls_gets_nothing() -> None:
    async with receiving() as receiver, sending(names={"hooks.example": ["127.0.0.1"]}, seconds_max=SHORT_S) as sender:
        answer = await post(sender, f"https://hooks.example:{receiver.port}/")
    assert answer.status is None
    assert [] == receiver.received


@pytest.mark.parametrize("address", [text for text in FORBIDDEN if "%" not in text])
async def test_a_name_that_resolves_to_a_forbidden_address(address: str) -> None:
    async with sending(AddressGuard(), names={"hooks.example": [address]}) as sender:
        answer = await post(sender, "https://hooks.example/")
    assert answer.status is None
    assert "where nothing is sent to" in answer.text


@pytest.mark.parametrize(
    "addresses", [["93.184.215.14", "127.0.0.1"], ["127.0.0.1", "93.184.215.14"], ["2606:2800:21f::1", "::1"]]
)
async def test_a_name_with_one_good_and_one_bad_address_is_refused_whole(addresses: Sequence[str]) -> None:
    async with receiving() as receiver, sending(AddressGuard(), names={"hooks.example": addresses}) as sender:
        answer = await post(sender, f"https://hooks.example:{receiver.port}/")
    assert "where nothing is sent to" in answer.text
    assert 0 == receiver.connections


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.1", "localhost", "0"]
)
async def test_hosts_that_the_systems_resolver_takes_for_this_machine(host: str) -> None:
    """Such URLs are refused when they are set up; if one stands in the database all the same, nothing is sent."""
    async with receiving() as receiver, sending(AddressGuard()) as sender:
        answer = await post(sender, f"https://{host}:{receiver.port}/")
        assert answer.status is None
        assert "where nothing is sent to" in answer.text
    assert 0 == receiver.connections


async def test_ipv6_written_as_mapped_ipv4_is_refused() -> None:
    async with receiving() as receiver, sending(AddressGuard()) as sender:
        answer = await post(sender, f"https://[::ffff:127.0.0.1]:{receiver.port}/")
    assert "an address of this machine" in answer.text
    assert 0 == receiver.connections


async def test_a_name_is_asked_for_once_for_each_connection() -> None:
    """The addresses that were checked are connected to, even if a name server changes its mind in between."""
    names = Names({"hooks.example": ["127.0.0.1"]})
    async with receiving() as receiver, sending(names=names) as sender:
        assert (await post(sender, f"http://hooks.example:{receiver.port}/")).is_delivered
    assert ["hooks.example"] == names.asked
    assert 1 == receiver.connections


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
async def test_a_redirect_is_a_failure_and_not_followed(status: str) -> None:
    async with receiving() as private, receiving(answer=status) as receiver, sending() as sender:
        receiver.headers["location"] = f"{private.url}/secret"
        answer = await post(sender, receiver.url + "/")
    assert int(status) == answer.status
    assert not answer.is_delivered
    assert 0 == private.connections


async def test_plain_http_is_for_networks_that_are_allowed() -> None:
    """A name that resolves to a public address is refused over http, before anything is connected to."""
    async with sending(names={"hooks.example": ["93.184.215.14"]}) as sender:
        answer = await post(sender, "http://hooks.example/")
    assert "use https://" in answer.text


async def test_the_next_address_is_tried_if_one_does_not_answer() -> None:
    async with receiving(address="::1") as receiver, sending(names={"hooks.example": ["127.0.0.1", "::1"]}) as sender:
        assert (await post(sender, f"http://hooks.example:{receiver.port}/")).is_delivered


@pytest.mark.parametrize("names", [{}, {"hooks.example": []}])
async def test_a_name_without_an_address(names: Mapping[str, Sequence[str]]) -> None:
    async with sending(names=names) as sender:
        answer = await post(sender, "https://hooks.example/")
    assert answer.status is None
    assert "address" in answer.text


@pytest.mark.parametrize("way", [HANGS, TRICKLES, INFORMS])
async def test_a_receiver_that_takes_too_long_to_answer(way: str) -> None:
    async with receiving(answer=way) as receiver, sending(seconds_max=SHORT_S) as sender:
        answer = await post(sender, receiver.url + "/")
    assert answer.status is None
    assert answer.is_of_server
    assert answer.took < 10 * SHORT_S * 1_000_000
    assert answer.text


async def test_a_receiver_whose_headers_never_end() -> None:
    async with receiving(answer=LONG_HEADERS) as receiver, sending() as sender:
        answer = await post(sender, receiver.url + "/")
    assert answer.status is None


async def test_a_body_that_trickles_does_not_undo_the_answer() -> None:
    async with receiving(answer=TRICKLES_BODY) as receiver, sending(seconds_max=SHORT_S) as sender:
        answer = await post(sender, receiver.url + "/")
    assert answer.is_delivered
    assert answer.text.strip("x") == ""
    assert answer.took < 10 * SHORT_S * 1_000_000


async def test_a_body_without_an_end_is_cut() -> None:
    async with receiving(answer=FLOODS) as receiver, sending() as sender:
        answer = await post(sender, receiver.url + "/")
    assert ("x" * ANSWER_CHARS_MAX, True) == (answer.text, answer.is_delivered)


@pytest.mark.parametrize("way", [DIES, NO_HTTP])
async def test_what_is_no_answer(way: str) -> None:
    async with receiving(answer=way) as receiver, sending() as sender:
        answer = await post(sender, receiver.url + "/")
    assert (None, True) == (answer.status, answer.is_of_server)
    assert answer.text


async def test_nobody_listens() -> None:
    async with sending() as sender:
        answer = await post(sender, "http://127.0.0.1:9/")
    assert (None, True) == (answer.status, answer.is_of_server)


@pytest.mark.parametrize(
    ("status", "is_of_server"),
    [("400", False), ("404", False), ("500", False), ("429", True), ("502", True), ("503", True), ("504", True)],
)
async def test_whose_failure_it_is(status: str, is_of_server: bool) -> None:
    async with receiving(answer=f"{status} no\x1b[31m\r\nbye") as receiver, sending() as sender:
        answer = await post(sender, receiver.url + "/")
    assert (int(status), "no [31m bye", is_of_server) == (answer.status, answer.text, answer.is_of_server)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("999999999999", 3600),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0),
        ("soon", None),
        ("-1", None),
    ],
)
async def test_how_long_a_receiver_asks_to_be_left_alone(words: str, seconds: int | None) -> None:
    async with receiving(answer="429") as receiver, sending() as sender:
        receiver.headers["retry-after"] = words
        answer = await post(sender, receiver.url + "/")
    assert seconds == answer.retry_after_seconds


async def test_many_hanging_receivers_hold_up_nobody() -> None:
    async with receiving(answer=HANGS) as hanging, receiving() as receiver, sending(seconds_max=2) as sender:
        stuck = [asyncio.create_task(post(sender, f"{hanging.url}/{number}")) for number in range(100)]
        await asyncio.sleep(0.2)
        began = time.monotonic()
        assert (await post(sender, receiver.url + "/")).is_delivered
        assert time.monotonic() - began < 1
        assert all(answer.status is None for answer in await asyncio.gather(*stuck))


async def test_lookups_that_hang_take_no_thread_of_others_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: go_on.wait(30) or [])
    resolve = Resolver(lookups_max=2)
    stuck = [asyncio.create_task(resolve(name, 443)) for name in ("a.example", "b.example")]
    await asyncio.sleep(0.05)
    try:
        assert "still here" == await asyncio.wait_for(asyncio.to_thread(lambda: "still here"), 5)
        with pytest.raises(OSError, match="too many names"):
            await resolve("c.example", 443)
    finally:
        go_on.set()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_a_real_name_is_looked_up() -> None:
    assert {"127.0.0.1", "::1"} >= set(await Resolver()("localhost", 80))
