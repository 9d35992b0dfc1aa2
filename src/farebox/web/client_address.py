"""Where a request comes from: the peer, or whom a proxy of the operator's says that it speaks for."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from starlette.types import Scope

FORWARDED_MAX: Final = 20
"""How many entries of X-Forwarded-For are looked at, from its end."""

# Some proxies add the port that the client came from; an IPv6 address then stands in brackets.
_WITH_PORT: Final = re.compile(r"\[(?P<long>[^\[\]]+)\](?::[0-9]{1,5})?|(?P<short>[0-9.]+):[0-9]{1,5}", re.ASCII)


class Addresses:
    """Tells clients' addresses.

    X-Forwarded-For is believed as far as trusted proxies wrote it: from its end on, up to the first address that is not
    a trusted proxy's. The client may have made up everything before that.
    """

    def __init__(self, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        """Trust the proxies of these networks."""
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> str | None:
        """Return a request's address; None if the server does not know, as on a socket file."""
        client: tuple[str, int] | None = scope["client"]
        if client is None:
            return None
        if not self._trusted or not self._is_trusted(client[0]):
            return client[0]
        nearest = client[0]
        for text in self._forwarded(scope):
            address = _address(text)
            if address is None:
                break
            nearest = str(address)
            if not self._is_trusted(nearest):
                break
        return nearest

    def is_proxied(self, scope: Scope) -> bool:
        """Tell whether a trusted proxy hands a request on."""
        if not self._trusted:
            return False
        client: tuple[str, int] | None = scope["client"]
        return client is not None and self._is_trusted(client[0])

    def _is_trusted(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._trusted)

    def _forwarded(self, scope: Scope) -> list[str]:
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        entries = [entry.strip() for value in values for entry in value.split(",")]
        return [_without_port(entry) for entry in entries[: -FORWARDED_MAX - 1 : -1]]


def source_of(address: str | None) -> str:
    """Name what one subscriber of the network can't easily change: an IPv4 address, the first half of an IPv6 one."""
    parsed = None if address is None else _address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed) >> 64 << 64, 64)))
    return address or ""


def _without_port(entry: str) -> str:
    match = _WITH_PORT.fullmatch(entry)
    return entry if match is None else match["long"] or match["short"]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A socket for both writes IPv4 addresses this way. A zone (RFC 4007) can be any text, and tells nothing here.
        return address.ipv4_mapped or IPv6Address(int(address))
    return address
