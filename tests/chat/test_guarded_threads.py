"""In guarded threads a library reaches allowed addresses alone, whatever it does; elsewhere nothing changes."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from typing import Any, Final

import pytest

from farebox.chat.guarded_threads import ForbiddenConnection, GuardedThreads
from farebox.service.address_guard import AddressGuard

LOOPBACK: Final = AddressGuard([ip_network("127.0.0.0/8")])


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def threads() -> GuardedThreads:
    return GuardedThreads(AddressGuard())


def connect(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=5):
        return "connected"


async def test_an_allowed_address_is_reached(port: int) -> None:
    assert "connected" == await GuardedThreads(LOOPBACK).run(lambda: connect("127.0.0.1", port))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_forbidden_address_is_not_however_it_is_written(threads: GuardedThreads, port: int, host: str) -> None:
    with pytest.raises(ForbiddenConnection, match="address of this machine"):
        await threads.run(lambda: connect(host, port))


def send_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", ("127.0.0.1", 9))


def connect_to_this_machine() -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect("no-such-socket")


def connect_to_a_name() -> None:
    with socket.socket() as made:
        made.connect(("localhost", 9))


def run_a_program() -> None:
    subprocess.run([sys.executable, "-V"], check=True)


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (send_datagram, "does more"),
        (connect_to_this_machine, "this machine itself"),
        (connect_to_a_name, "not looked up"),
        (run_a_program, "does more"),
    ],
)
async def test_nor_is_anything_reached_by_other_ways(
    threads: GuardedThreads, work: Callable[[], Any], reason: str
) -> None:
    with pytest.raises(ForbiddenConnection, match=reason):
        await threads.run(work)


async def test_a_refusal_is_told_even_if_a_library_keeps_it_to_itself(threads: GuardedThreads, port: int) -> None:
    def quiet() -> str:
        try:
            return connect("127.0.0.1", port)
        except OSError:
            return "failed"

    with pytest.raises(ForbiddenConnection):
        await threads.run(quiet)
    assert "fine" == await threads.run(lambda: "fine")


async def test_other_threads_are_not_guarded(threads: GuardedThreads, port: int) -> None:
    await threads.run(lambda: None)
    assert "connected" == await asyncio.to_thread(connect, "127.0.0.1", port)
