"""Every kind of address that nothing is sent to, and the networks that an operator allows."""

from ipaddress import ip_address, ip_network
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farebox.service.address_guard import AddressGuard, read_address

FORBIDDEN: Final = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1"),
    *("127.255.255.255", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1"),
    *("64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::1", "64:ff9b:1::8.8.8.8", "100::1", "100:0:0:1::1"),
    *("2001::1", "2001:0:7f00:1::", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:a00:1::1", "2002:808:808::1", "3fff::1", "4000::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
)
ALLOWED: Final = (
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "100.63.255.255", "100.128.0.0"),
    *("126.255.255.255", "128.0.0.0", "168.63.129.15", "172.15.255.255", "172.32.0.0", "192.167.255.255"),
    *("223.255.255.255", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4001:82b::200e", "2001:4860:4860::8888"),
    *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
)


@pytest.mark.parametrize("text", FORBIDDEN)
def test_an_address_that_nothing_is_sent_to(text: str) -> None:
    kind = AddressGuard().refusal(read_address(text))
    assert kind is not None
    assert kind.startswith(("a ", "an ", "the "))


@pytest.mark.parametrize("text", ALLOWED)
def test_an_address_of_the_public_internet(text: str) -> None:
    assert AddressGuard().refusal(read_address(text)) is None
    assert not AddressGuard().is_allowed(read_address(text))


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.1.0.0/16", ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3"), ("10.2.0.1", "127.0.0.1", "::1")),
        ("fd00:1::/32", ("fd00:1::5",), ("fd00:2::5", "fe80::1", "10.0.0.1")),
        ("127.0.0.1/32", ("127.0.0.1",), ("127.0.0.2", "169.254.169.254")),
    ],
)
def test_a_network_that_the_operator_allows(network: str, inside: tuple[str], outside: tuple[str]) -> None:
    guard = AddressGuard([ip_network(network)])
    assert guard.allows_any
    assert all(guard.refusal(read_address(text)) is None and guard.is_allowed(read_address(text)) for text in inside)
    assert all(guard.refusal(read_address(text)) is not None for text in outside)


@given(st.ip_addresses(v=4))
def test_no_address_is_let_through_that_python_calls_private_or_that_is_no_unicast(address: object) -> None:
    """Python's table knows the same registry: what it calls not global must be refused, here and within IPv6."""
    four = ip_address(str(address))
    guard = AddressGuard()
    if not four.is_global or four.is_multicast or four.is_reserved:
        assert guard.refusal(four) is not None
    assert guard.refusal(four) == guard.refusal(ip_address(f"::ffff:{four}"))
    assert guard.refusal(four) == guard.refusal(ip_address(f"64:ff9b::{four}"))
    assert guard.refusal(ip_address(f"2002:{int(four) >> 16:x}:{int(four) & 0xFFFF:x}::1")) is not None
