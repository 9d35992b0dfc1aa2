"""One attempt: what is known of one that failed, and connections that are nobody else's."""

import copy
import os
import pickle
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme

from farebox_client import AsyncFarebox, Farebox, InsufficientBalance, UnexpectedAnswer, Unreachable, messages, new_key
from farebox_client.transport import Answer, BlockingHttpTransport
from tests.client.conftest import Connect, Site


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose listener takes no more connections, as a host that is cut off."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in waiting:
            each.close()


async def test_a_host_that_takes_no_connection_was_sent_nothing(connect: Connect, full_port: int) -> None:
    client = connect(f"http://127.0.0.1:{full_port}", key="k", attempts=1, timeout=2)
    try:
        with pytest.raises(Unreachable, match="no connection") as lost:
            await client.charge(merchant="m", type="image")
    finally:
        await client.aclose()
    assert lost.value.is_known


async def test_a_certificate_that_is_not_trusted_was_sent_nothing(connect: Connect) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            accepted, _ = listener.accept()
            try:
                context.wrap_socket(accepted, server_side=True).close()
            except OSError:
                accepted.close()

        thread = threading.Thread(target=greet)
        thread.start()
        client = connect(f"https://127.0.0.1:{listener.getsockname()[1]}", key="k", attempts=1)
        try:
            with pytest.raises(Unreachable, match="certificate") as lost:
                await client.charge(merchant="m", type="image")
        finally:
            await client.aclose()
            thread.join(10)
    assert lost.value.is_known


def test_a_redirection_tells_where_to() -> None:
    with pytest.raises(UnexpectedAnswer, match=r"leads elsewhere, to https://farebox\.example"):
        messages.account().read(Answer(301, {"location": "https://farebox.example/api/account"}, b"moved"))


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "schlüssel", "\0"])
def test_a_key_that_can_be_none_is_refused_and_not_told(key: str) -> None:
    for kind in (Farebox, AsyncFarebox):
        with pytest.raises(ValueError, match="visible ASCII") as refused:
            kind("http://127.0.0.1:1", key=key)
        assert not key or key not in str(refused.value)


@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_has_connections_and_keys_of_its_own(site: Site) -> None:
    """Two processes on one connection would read each other's answers."""
    with Farebox(site.server.url, key=site.seeds.service_key) as farebox:
        farebox.charge(merchant=site.seeds.merchant, type="image")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                charges = [farebox.charge(merchant=site.seeds.merchant, type="image") for _ in range(20)]
                os.write(writing, "\n".join([*(charge.transfer_id for charge in charges), new_key()]).encode())
            finally:
                # No test of the parent's goes on here.
                os._exit(0)
        charges = [farebox.charge(merchant=site.seeds.merchant, type="image") for _ in range(20)]
        assert (child, 0) == os.waitpid(child, 0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            *others, key = pipe.read().splitlines()
    assert 40 == len({*others, *(charge.transfer_id for charge in charges)})
    assert key != new_key()


def test_an_answer_that_never_ends_does_not_last() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle() -> None:
            accepted, _ = listener.accept()
            accepted.recv(4096)
            accepted.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            try:
                for _ in range(200):
                    accepted.sendall(b"x")
                    if threading.Event().wait(0.05):
                        break
            except OSError:
                accepted.close()

        thread = threading.Thread(target=trickle)
        thread.start()
        transport = BlockingHttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(Unreachable, match=r"within 0\.3 s") as lost:
            transport.send("GET", "/", None, {}, timeout=0.3)
        transport.close()
        thread.join(20)
    assert not lost.value.is_known


def test_a_request_that_meets_the_end_of_its_client_leaves_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends: list[bytes] = []

        def answer() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.settimeout(20)
                accepted.recv(4096)
                accepted.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                ends.append(accepted.recv(1))

        thread = threading.Thread(target=answer)
        thread.start()
        transport = BlockingHttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}")
        transport.close()
        assert transport.send("GET", "/", None, {}, timeout=5).status == 200
        thread.join(20)
    assert ends == [b""]


def test_an_error_may_be_copied_and_sent_to_another_process() -> None:
    error = InsufficientBalance("too little", status=402, key="k", retry_after=1.5)
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (type(error), vars(error), str(error)) == (type(other), vars(other), str(other))
