"""The URLs that messages may be sent to: read without asking the network, in one normal form.

What a name resolves to is looked at whenever a connection is made, by the same `AddressGuard`.
"""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from farebox.service.address_guard import AddressGuard

URL_CHARS_MAX: Final = 2_000
_PORTS: Final = {"https": 443, "http": 80}
_HOST_CHARS_MAX: Final = 253
_INVISIBLE_OR_BAD: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\<>\"^`{|}]")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""What makes a host an IPv4 address for those who read URLs generously: 0x7f.1, 017700000001, 2130706433."""

_LOCAL_NAMES: Final = ("localhost", "local", "internal", "home.arpa", "lan", "intranet", "private", "corp")
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~-._[]"
_QUERY_SAFE: Final = _PATH_SAFE + "?"


class InvalidUrl(ValueError):
    """The URL can't be sent to; the text says why, as one sentence."""


def read_destination_url(text: str, guard: AddressGuard) -> str:
    """Read a URL that messages may be sent to; return it in its normal form.

    Plain http is for networks that the operator allows: whether the host is in one shows when it is connected to.

    Raises:
        InvalidUrl: it is none, or can never be sent to.
    """
    if len(text) > URL_CHARS_MAX:
        raise InvalidUrl(f"The URL has more than {URL_CHARS_MAX:,} characters.")
    if _INVISIBLE_OR_BAD.search(text):
        raise InvalidUrl("The URL has a space, a backslash or another character in it that URLs don't have.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise InvalidUrl("The URL can't be read; write https://host/path.") from None
    if parts.scheme not in _PORTS or not parts.netloc:
        raise InvalidUrl("Write a URL that begins with https://.")
    if parts.scheme == "http" and not guard.allows_any:
        raise InvalidUrl("Write a URL that begins with https://: what is sent must not be read on its way.")
    if "@" in parts.netloc:
        raise InvalidUrl("Leave user and password out of the URL: each message is signed instead.")
    if "#" in text:
        raise InvalidUrl("Leave the part from # on out of the URL: it is never sent.")
    if port == 0:
        raise InvalidUrl("The URL's port can't be 0.")
    host = _read_host(parts.hostname or "", guard, is_bracketed="[" in parts.netloc)
    netloc = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    path, query = quote(parts.path or "/", safe=_PATH_SAFE), quote(parts.query, safe=_QUERY_SAFE)
    return urlunsplit((parts.scheme, netloc, path, query, ""))


def _read_host(host: str, guard: AddressGuard, *, is_bracketed: bool) -> str:
    """Return a host as it stands in the URL's normal form: in ASCII and lower case, an IPv6 address in brackets."""
    if is_bracketed:
        return f"[{_read_literal(host, guard)}]"
    name = _in_ascii(host)
    labels = name.split(".")
    if len(name) > _HOST_CHARS_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidUrl("The URL names no host; write https://host/path.")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _read_literal(name, guard)
    is_local = len(labels) == 1 or any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES)
    if is_local and not guard.allows_any:
        raise InvalidUrl("The URL's host is one of a local network, where nothing is sent to.")
    return name


def _read_literal(host: str, guard: AddressGuard) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        raise InvalidUrl("The URL's host is a number; write a name, or an address as in 93.184.215.14.") from None
    if getattr(address, "scope_id", None):
        raise InvalidUrl("The URL's address names a link of this machine.")
    kind = guard.refusal(address)
    if kind is not None:
        raise InvalidUrl(f"The URL's address is {kind}, where nothing is sent to.")
    return str(address)


def _in_ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    import idna  # noqa: PLC0415 - it is large, and few hosts need it.

    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        raise InvalidUrl("The URL names no host; write https://host/path.") from None
