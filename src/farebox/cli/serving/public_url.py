"""The address that links begin with, if the operator sets none: where the server listens, as a browser may reach it."""

import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from farebox.setting_types import PublicUrl, url_host

_PORT_OF_HTTP: Final = 80
_LOOPBACK_V4: Final = "127.0.0.1"
_LOOPBACK_V6: Final = "::1"


def served_url(host: str, port: int) -> PublicUrl:
    """Write where a server that listens on a host and port is reached.

    One that listens on all addresses is reached at this machine's own. Which of the others leads here from elsewhere,
    only the operator knows; the same goes for an address that a URL can't hold, such as an IPv6 one with a zone.
    """
    name = host.lower()
    if name in ("", "0.0.0.0"):  # noqa: S104 - it is compared, not listened on.
        name = _LOOPBACK_V4
    elif _is_wildcard(name) or "%" in name:
        name = _LOOPBACK_V6
    shown_port = "" if port == _PORT_OF_HTTP else f":{port}"
    return PublicUrl(f"http://{url_host(name)}{shown_port}")


def public_url_warning(url: str, host: str, port: int) -> str | None:
    """Warn of links that lead nowhere: to this machine itself, where the server listens on another address or port."""
    parts = urlsplit(url)
    if not _is_loopback(parts.hostname or ""):
        return None
    if _is_loopback(host) and (parts.port or _PORT_OF_HTTP) == port:
        return None
    return (
        f"links in mails begin with {url}, which leads to each reader's own machine, while the server listens on "
        f"{url_host(host)}:{port}; set FAREBOX_PUBLIC_URL to where people reach it"
    )


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    """Tell whether an address, or every address of a name, is one of this machine to itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)
