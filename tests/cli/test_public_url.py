"""Links begin with where people reach the server: as set, or where it listens, and a warning if that leads nowhere."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from farebox.cli.serving.public_url import public_url_warning, served_url
from farebox.setting_types import PublicUrl
from farebox.storage.records import Role
from tests.alerts.mailserver import until
from tests.cli.shell import Shell
from tests.support.server import Server, open_farebox, seed

LOOPBACK: Final = ("127.0.0.1", "127.0.0.2", "localhost", "::1")


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("127.0.0.1", 8321, "http://127.0.0.1:8321"),
        ("localhost", 8321, "http://localhost:8321"),
        ("Pay.Example", 8321, "http://pay.example:8321"),
        ("192.0.2.7", 80, "http://192.0.2.7"),
        ("::1", 8321, "http://[::1]:8321"),
        ("2001:DB8::7", 80, "http://[2001:db8::7]"),
        ("0.0.0.0", 8321, "http://127.0.0.1:8321"),
        ("", 8321, "http://127.0.0.1:8321"),
        ("::", 8321, "http://[::1]:8321"),
        ("0:0::0", 8321, "http://[::1]:8321"),
        ("fe80::1%eth0", 8321, "http://[::1]:8321"),
    ],
)
def test_a_server_is_reached_where_it_listens(host: str, port: int, url: str) -> None:
    assert url == served_url(host, port)
    # A worker reads it as the operator's setting would be read.
    assert url == PublicUrl.read(url)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_server_for_this_machine_alone_warns_of_nothing(host: str) -> None:
    assert public_url_warning(served_url(host, 8321), host, 8321) is None
    assert public_url_warning(served_url(host, 80), host, 80) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "fe80::1%lo"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:8321", "http://localhost:8321", "http://[::1]:8321"])
def test_links_to_oneself_are_warned_of_where_others_are_served(host: str, url: str) -> None:
    warning = public_url_warning(url, host, 8321)
    assert warning is not None
    assert f"begin with {url}, which leads to each reader's own machine" in warning
    assert public_url_warning("https://pay.example", host, 8321) is None
    assert public_url_warning("http://192.0.2.7:8321", host, 8321) is None


@pytest.mark.parametrize("host", LOOPBACK)
def test_links_to_another_port_of_this_machine_are_warned_of(host: str) -> None:
    assert "set FAREBOX_PUBLIC_URL" in (public_url_warning("http://127.0.0.1:8000", host, 8321) or "")
    assert public_url_warning("https://pay.example", host, 8321) is None


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_mail_links_to_the_port_that_is_served(tmp_path: Path, workers: int) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(database_url) as farebox:
        seeds = await seed(farebox)
        await farebox.services.users.invite(seeds.merchant_id, "ann@x.example", Role.OWNER, principal=None)
        await farebox.services.operations.set_thresholds(seeds.merchant_id, ["1000"], principal=None)
    folder = tmp_path / "served"
    folder.mkdir()
    with Server(database_url, workers=workers, folder=folder) as server:
        await until(lambda: 2 == len(list(folder.glob("mail/*.eml"))))
        assert f"Links in mails begin with {server.url}.\n" in server.log()
        assert "leads to each reader's own machine" not in server.log()
        for mail in folder.glob("mail/*.eml"):
            text = await asyncio.to_thread(mail.read_text)
            assert f"http://127.0.0.1:{server.port}/" in text.replace("=\n", "")
            assert "http://127.0.0.1:8000" not in text


async def test_a_public_url_that_leads_elsewhere_is_kept_and_warned_of(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'farebox.db'}"
    async with open_farebox(database_url):
        pass
    with Server(database_url, environment={"FAREBOX_PUBLIC_URL": "http://127.0.0.1:8000"}) as server:
        assert "Links in mails begin with http://127.0.0.1:8000.\n" in server.log()
        assert f"while the server listens on 127.0.0.1:{server.port}; set FAREBOX_PUBLIC_URL" in server.log()


def test_a_command_that_prints_a_link_says_what_it_takes_for_the_server(shell: Shell) -> None:
    out = shell.ok("staff", "add", "sam@x.example", "--name", "Sam").out
    assert "http://127.0.0.1:8000/link/" in out
    assert "FAREBOX_PUBLIC_URL is not set" in out
