"""Which addresses a merchant's or the operator's URL may lead to: those of the public internet, and what was allowed.

The table is IANA's registries of special addresses, and what clouds serve their machines' secrets on. It stands here,
as `ipaddress` of each Python knows another state of those registries.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_FORBIDDEN_4: Final = tuple(
    (IPv4Network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an address of this machine's own network"),
        ("10.0.0.0/8", "a private address"),
        ("100.64.0.0/10", "a private address of a provider"),
        ("127.0.0.0/8", "an address of this machine"),
        # Azure answers its machines here, under an address that looks like any other.
        ("168.63.129.16/32", "the address of a cloud's own services"),
        # What clouds tell their machines (169.254.169.254) is here, too.
        ("169.254.0.0/16", "an address of the local link"),
        ("172.16.0.0/12", "a private address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "an address for documentation"),
        ("192.88.99.0/24", "an address of 6to4"),
        ("192.168.0.0/16", "a private address"),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", "an address for documentation"),
        ("203.0.113.0/24", "an address for documentation"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved address"),
    )
)
_FORBIDDEN_6: Final = tuple(
    (IPv6Network(network), kind)
    for network, kind in (
        ("::1/128", "an address of this machine"),
        ("::/128", "an address of this machine"),
        ("fc00::/7", "a private address"),
        ("fe80::/10", "an address of the local link"),
        ("fec0::/10", "a private address"),
        ("ff00::/8", "a multicast address"),
        ("64:ff9b:1::/48", "an address of a local NAT64"),
        ("2001::/32", "an address of Teredo"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "an address for documentation"),
        ("2002::/16", "an address of 6to4"),
        ("3fff::/20", "an address for documentation"),
    )
)
_GLOBAL_6: Final = IPv6Network("2000::/3")
"""What IPv6 has given out so far; all else is reserved."""

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
"""Both carry an IPv4 address, which is where they lead."""


class AddressGuard:
    """Tells which addresses may be connected to."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        """Prepare.

        Args:
            networks: what the operator allows beside the public internet.
        """
        self._networks = tuple(networks)

    @property
    def allows_any(self) -> bool:
        """Whether the operator allows any network at all that is not public."""
        return bool(self._networks)

    def is_allowed(self, address: Address) -> bool:
        """Tell whether the operator allows an address by name, so that not even TLS is asked of it."""
        return any(
            candidate in network
            for candidate in (address, embedded(address))
            for network in self._networks
            if candidate is not None and candidate.version == network.version
        )

    def refusal(self, address: Address) -> str | None:
        """Tell why an address may not be connected to; None if it may."""
        return None if self.is_allowed(address) else _kind(address)


def read_address(text: str) -> Address:
    """Read an address as getaddrinfo writes it, perhaps with the link that it belongs to (`fe80::1%eth0`).

    Raises:
        ValueError: it is none.
    """
    return ip_address(text.partition("%")[0])


def embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to; None if it leads nowhere else."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _kind(address: Address) -> str | None:
    """Say what a forbidden address is; None for one of the public internet."""
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _FORBIDDEN_4 if address in network), None)
    inner = embedded(address)
    if inner is not None:
        return _kind(inner)
    for network, kind in _FORBIDDEN_6:
        if address in network:
            return kind
    return None if address in _GLOBAL_6 else "a reserved address"
