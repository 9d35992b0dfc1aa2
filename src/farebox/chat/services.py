"""Which chats there may be: the URL of one, as Apprise writes it, read without asking the network."""

import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from farebox.chat.apprise_log import listening
from farebox.service.address_guard import AddressGuard
from farebox.service.destination_url import InvalidUrl, read_destination_url

if TYPE_CHECKING:
    from apprise.plugins.base import NotifyBase

URL_CHARS_MAX: Final = 2_000
MISSING: Final = "Chat needs Apprise, which is not installed: pip install 'farebox[chat]'."

SERVICES: Final = frozenset(
    {
        *(
            "bark",
            "barks",
            "betterstack",
            "cliq",
            "dingtalk",
            "discord",
            "feishu",
            "flock",
            "gchat",
            "gotify",
            "gotifys",
        ),
        *("guilded", "humhub", "humhubs", "ifttt", "incidentio", "join", "lark", "line", "mmost", "mmosts", "mastodon"),
        *("mastodons", "misskey", "misskeys", "nctalk", "nctalks", "ntfy", "ntfys", "opsgenie", "pagerduty"),
        *("pbul", "pover", "pushdeer", "pushdeers", "revolt", "ringc", "rocket", "rockets", "ryver", "schan", "signal"),
        *("signals", "signl4", "simplepush", "slack", "spike", "squadcast", "synology", "synologys", "tgram", "twist"),
        *("webex", "wxteams", "wecombot", "workflow", "workflows", "zoom", "zulip"),
    }
)
"""The chats and on-call services that may be used: each posts by HTTPS. What starts programs, speaks to the machine
itself, opens sockets of its own, or posts JSON anywhere, is none of them: for the last there are webhooks."""

_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{1,29})://", re.ASCII)


class ChatServices:
    """Reads chats' URLs."""

    def __init__(self, guard: AddressGuard) -> None:
        """Prepare; `guard` tells which addresses are allowed."""
        self._guard = guard

    def read(self, text: str) -> str:
        """Check a chat's URL, without sending anything, and return it.

        Raises:
            InvalidUrl: it is none, or none that may be used; nothing of it is quoted, as all of it may be secret.
        """
        plugin = self.plugin(text)
        if self.host_of(plugin) is not None:
            scheme = "https" if plugin.secure else "http"
            port = f":{plugin.port}" if plugin.port else ""
            read_destination_url(f"{scheme}://{_bracketed(str(plugin.host))}{port}/", self._guard)
        return text

    def shown(self, text: str) -> str:
        """Write what may be shown of a chat's URL: its service, and its host if it has one of its own."""
        plugin = self.plugin(text)
        scheme = _written(plugin).partition("://")[0]
        return f"{scheme}://{self.host_of(plugin) or '…'}"

    def called(self, text: str) -> str:
        """Name the service of a chat's URL."""
        return str(self.plugin(text).service_name)

    def plugin(self, text: str) -> "NotifyBase":
        """Make what sends to a chat, with the bounds that hold for every chat.

        Raises:
            InvalidUrl: the URL is none that may be used.
        """
        apprise = _apprise()
        if len(text) > URL_CHARS_MAX or not text.isprintable():
            raise InvalidUrl(f"A chat's URL is one line of {URL_CHARS_MAX:,} characters at most.")
        asset = apprise.AppriseAsset(
            app_id="Farebox",
            app_desc="Farebox",
            app_url="",
            # No picture is shown: it would come from another's server, which would see who reads.
            image_url_mask="",
            image_url_logo="",
            http_redirects=False,
            async_mode=False,
            allow_templates=False,
            storage_mode="memory",
        )
        with listening():
            plugin = apprise.Apprise.instantiate(text, asset=asset, suppress_exceptions=True)
        if plugin is None:
            raise InvalidUrl(_advice(text))
        if SERVICES.isdisjoint(_schemes(plugin)):
            raise InvalidUrl(f"{plugin.service_name} is none of the chats that messages are sent to.")
        return _bounded(plugin)

    def host_of(self, plugin: Any) -> str | None:
        """Return the host that somebody chose; None for a service that has one of its own."""
        return str(plugin.host) if any("{host}" in template for template in plugin.templates) else None


@cache
def _apprise() -> Any:
    """Load Apprise; one of its services imports what Python warns of.

    Raises:
        InvalidUrl: it is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            import apprise
        except ImportError:
            raise InvalidUrl(MISSING) from None
        # All services are loaded by the first that is asked for.
        with listening():
            apprise.Apprise.instantiate("json://localhost")
    return apprise


def _bounded(plugin: Any) -> "NotifyBase":
    """Take back what a URL may loosen: TLS is verified, nothing is followed, and nothing waits long."""
    plugin.verify_certificate = True
    plugin.redirects = False
    plugin.socket_connect_timeout = 4.0
    plugin.socket_read_timeout = 10.0
    plugin.retry = 0
    return plugin  # type: ignore[no-any-return]


def _written(plugin: Any) -> str:
    """Write a service's URL, with most of what is secret left out."""
    return str(plugin.url(privacy=True))


def _schemes(plugin: Any) -> set[str]:
    """List how URLs of a service may begin."""
    schemes = set[str]()
    for named in (plugin.protocol, plugin.secure_protocol):
        schemes.update((named,) if isinstance(named, str) else named or ())
    return schemes


def _advice(text: str) -> str:
    """Say what is wrong with a URL of which nothing may be quoted but a scheme that is known."""
    scheme = _SCHEME.match(text.lower())
    if scheme is None or scheme[1] not in SERVICES:
        return (
            "This is no chat that is known; write it as Apprise does, such as slack://TokenA/TokenB/TokenC/#channel, "
            "discord://ID/TOKEN or tgram://TOKEN/CHAT."
        )
    return f"A part of this {scheme[1]}:// URL is missing or wrong; see how Apprise writes it."


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
