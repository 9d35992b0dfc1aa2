"""Lines that come as syslog's datagrams or by standard input, with the headers that proxies write, are applied once."""

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farebox.settle.lines import UnreadableLine
from farebox.settle.positions import Positions
from farebox.settle.streams import Datagrams, Spool, StreamError
from farebox.settle.syslog import message_of
from tests.settle.site import Site, failed, nginx, open_site, stop


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as made:
        yield made


MESSAGE = b'{"proxy":"haproxy","uri":"/]}<1>"}'


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"<190>Nov 29 15:54:16 nginx: ",
        b"<190>Nov  9 15:54:16 host nginx: ",
        b"<134>Nov 29 15:54:16 localhost haproxy[6541]: ",
        b"<134>1 2026-11-29T15:54:16.706085+00:00 - haproxy 6541 - - ",
        b'<134>1 2026-11-29T15:54:16Z host haproxy 1 ID47 [ex@32473 iut="3" source="a{b\\"]"][b x=""] ',
        b"<134>1 2026-11-29T15:54:16Z host haproxy 1 - - \xef\xbb\xbf",
        b"<134>Nov 29 15:54:16 host app: @cee: ",
    ],
)
def test_a_header_is_taken_off(header: bytes) -> None:
    assert MESSAGE == message_of(header + MESSAGE + b"\n")


@pytest.mark.parametrize("datagram", [b"", b"\n", b"<134>1 2026-11-29T15:54:16Z host haproxy 1 - -", b"<134>nothing"])
def test_a_datagram_without_a_message_is_told(datagram: bytes) -> None:
    with pytest.raises(UnreadableLine):
        message_of(datagram)


def _addresses(site: Site, port: int) -> tuple[list[str], Path]:
    path = site.folder / "settle.sock"
    return ["--syslog-udp", f"127.0.0.1:{port}", "--syslog-unix", str(path)], path


def test_datagrams_over_udp_and_a_unix_socket_are_applied(site: Site, free_port: int) -> None:
    options, path = _addresses(site, free_port)
    with site.following(*options) as process:
        _wait_for(path)
        assert 0o660 == path.stat().st_mode & 0o777
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        unix = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for number in range(20):
            line = (nginx if number % 3 else failed)(site.ask()).encode()
            udp.sendto(b"<190>Nov 29 15:54:16 host nginx: " + line, ("127.0.0.1", free_port))
            unix.sendto(b"<190>1 2026-11-29T15:54:16Z host nginx - - - " + line, str(path))
        unix.sendto(b"garbage", str(path))
        unix.sendto(b"", str(path))
        site.wait_until_settled()
        printed = stop(process)
    assert not path.exists()
    assert "applied 40 " in printed
    assert {"garbage"} == {reject["text"] for reject in site.rejects}
    udp.close()
    unix.close()


def test_datagrams_that_came_while_farebox_was_away_outlive_a_kill(site: Site, free_port: int) -> None:
    options, path = _addresses(site, free_port)
    lines = [(nginx if number % 3 else failed)(site.ask()).encode() for number in range(50)]
    site.server.kill()
    with site.following(*options) as process:
        _wait_for(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
            for line in lines:
                unix.sendto(line, str(path))
        time.sleep(1.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    site.server.start()
    with site.following(*options) as process:
        site.wait_until_settled()
        stop(process)


def test_standard_input_from_a_pipe_is_kept_over_a_stop(site: Site) -> None:
    site.server.kill()
    with subprocess.Popen(
        site.command("-", once=False),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=site.folder,
        env=site.environment(),
    ) as process:
        site.server.start()
        lines = [nginx(site.ask()), failed(site.ask())]
        site.server.kill()
        assert process.stdin is not None
        process.stdin.write("\n".join([*lines, ""]).encode())
        process.stdin.flush()
        time.sleep(2.5)
        process.terminate()
        process.wait(30)
    site.server.start()
    with site.following("-") as process:
        site.wait_until_settled()


async def test_an_address_that_is_none_and_one_that_is_taken_are_told(tmp_path: Path, free_port: int) -> None:
    positions = Positions(tmp_path / "settle.db")
    spool = Spool(positions)
    for address in ("nowhere", "5140", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:http"):
        with pytest.raises(StreamError, match="no address"):
            Datagrams.over_udp(address, spool)
    taken = Datagrams.over_udp(f"127.0.0.1:{free_port}", spool)
    with pytest.raises(StreamError, match="in use"):
        Datagrams.over_udp(f"127.0.0.1:{free_port}", spool)
    taken.close()
    (tmp_path / "a file").write_text("precious")
    with pytest.raises(StreamError, match="can't be listened on"):
        Datagrams.over_unix(tmp_path / "a file", spool, 0o600)
    assert "precious" == (tmp_path / "a file").read_text()
    positions.close()


async def test_no_more_is_kept_than_there_is_room_for(tmp_path: Path, free_port: int) -> None:
    positions = Positions(tmp_path / "settle.db")
    spool = Spool(positions, lines_max=10)
    stream = Datagrams.over_udp(f"127.0.0.1:{free_port}", spool)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for round_number in range(3):
            for number in range(10):
                udp.sendto(f"{{{round_number}{number}}}".encode(), ("127.0.0.1", free_port))
            await asyncio.sleep(0.1)
            stream.keep_arrived()
    assert 10 == positions.spooled_count()
    for line in spool.read():
        line.finish()
    positions.save([], spool.take_applied())
    stream.keep_arrived()
    assert 20 == positions.spooled_count()
    stream.close()
    positions.close()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
