"""Which chats there may be: read without asking the network, and nothing of a URL is shown that may be secret."""

import inspect
import sys
from ipaddress import ip_network
from typing import Any, Final

import apprise
import pytest

from farebox.chat import services
from farebox.chat.services import SERVICES, ChatServices
from farebox.service.address_guard import AddressGuard
from farebox.service.destination_url import InvalidUrl

PUBLIC_ONES: Final = ChatServices(AddressGuard())
TOKENS: Final = ("T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ")
SLACK: Final = f"slack://{'/'.join(TOKENS)}/#general"
HOOK: Final = "3ccdd113474722377935511fc85d3dd4"

GOOD: Final = {
    SLACK: ("slack://…", "Slack"),
    f"https://hooks.slack.com/services/{'/'.join(TOKENS)}": ("slack://…", "Slack"),
    "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js": ("discord://…", "Discord"),
    "tgram://123456789:abcdefg_hijklmnop/12315544/": ("tgram://…", "Telegram"),
    f"mmosts://chat.example.com/{HOOK}": ("mmosts://chat.example.com", "Mattermost"),
    "rockets://user:password@host.example.com/#Channel": ("rockets://host.example.com", "Rocket.Chat"),
    "ntfys://ntfy.example.com/topic": ("ntfys://ntfy.example.com", "ntfy"),
}

BAD: Final = {
    "": "no chat that is known",
    "slack://": "missing or wrong",
    "slack://T1JJ3T3L2/short/": "missing or wrong",
    "https://example.com/hook": "no chat that is known",
    "no-such-chat://token": "no chat that is known",
    "json://example.com/hook": "none of the chats",
    "jsons://example.com/hook": "none of the chats",
    "xmls://example.com/hook": "none of the chats",
    "forms://example.com/hook": "none of the chats",
    "mailto://user:password@gmail.com": "none of the chats",
    "syslog://": "none of the chats",
    f"mmosts://127.0.0.1/{HOOK}": "an address of this machine",
    f"mmosts://10.1.2.3/{HOOK}": "a private address",
    f"mmosts://169.254.169.254/{HOOK}": "the local link",
    f"mmosts://localhost/{HOOK}": "a local network",
    f"mmost://chat.example.com/{HOOK}": "begins with https",
    f"{SLACK}\nX": "one line",
    f"slack://{'x' * 2000}": "2,000 characters",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_chat_is_named_and_shown_without_its_secrets(url: str) -> None:
    read = PUBLIC_ONES.read(url)
    assert url == read
    assert GOOD[url] == (PUBLIC_ONES.shown(read), PUBLIC_ONES.called(read))


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_chat_is_refused_without_quoting_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidUrl, match=BAD[url]) as refusal:
        PUBLIC_ONES.read(url)
    assert not any(token in str(refusal.value) + caplog.text for token in (*TOKENS, "short", "password", HOOK))


def test_networks_that_the_operator_allows_may_have_chats_without_tls() -> None:
    url = f"mmost://127.0.0.1:8065/{HOOK}"
    local_ones = ChatServices(AddressGuard([ip_network("127.0.0.0/8")]))
    assert url == local_ones.read(url)
    assert "mmost://127.0.0.1" == local_ones.shown(url)


def test_a_url_loosens_no_bound() -> None:
    plugin = PUBLIC_ONES.plugin(f"{SLACK}?verify=no&redirect=yes&rto=900&cto=900&retry=9")
    assert plugin.verify_certificate
    assert not plugin.redirects
    assert (4.0, 10.0, 0) == (plugin.socket_connect_timeout, plugin.socket_read_timeout, plugin.retry)


@pytest.mark.parametrize("scheme", sorted(SERVICES))
def test_each_chat_is_known_to_apprise_and_speaks_http(scheme: str) -> None:
    manager: Any = apprise.manager_plugins
    kind = manager.NotificationManager()[scheme]
    assert kind is not None
    rooms = [base.__module__ for base in kind.__mro__ if base.__module__.startswith("apprise.plugins.")]
    sources = [inspect.getsource(sys.modules[room]) for room in rooms if room != "apprise.plugins.base"]
    assert any("requests." in source for source in sources)
    assert not any(word in source for word in ("subprocess", "socket.socket(", "Thread(") for source in sources)


def test_without_apprise_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    services._apprise.cache_clear()
    with pytest.raises(InvalidUrl, match=r"pip install 'farebox\[chat\]'"):
        PUBLIC_ONES.read(SLACK)
