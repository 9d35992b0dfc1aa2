"""URLs that messages may be sent to: their normal form, and every kind that is refused before anything is sent."""

from ipaddress import ip_network
from typing import Final

import pytest

from farebox.service.address_guard import AddressGuard
from farebox.service.destination_url import URL_CHARS_MAX, InvalidUrl, read_destination_url

PUBLIC: Final = AddressGuard()
OPEN: Final = AddressGuard([ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8")])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://hooks.example/farebox", "https://hooks.example/farebox"),
        ("HTTPS://Hooks.Example:443", "https://hooks.example/"),
        ("https://hooks.example:8443/a%20b?key=x&y=%2F", "https://hooks.example:8443/a%20b?key=x&y=%2F"),
        ("https://hooks.example/ä?ö=ü", "https://hooks.example/%C3%A4?%C3%B6=%C3%BC"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://93.184.215.14/x", "https://93.184.215.14/x"),
        ("https://[2606:2800:21F:CB07::1]:8443/x", "https://[2606:2800:21f:cb07::1]:8443/x"),
        ("https://hooks.example?x=1", "https://hooks.example/?x=1"),
        ("https://my_host.example/", "https://my_host.example/"),
    ],
)
def test_the_normal_form(text: str, normal: str) -> None:
    assert normal == read_destination_url(text, PUBLIC)
    assert normal == read_destination_url(normal, PUBLIC)


@pytest.mark.parametrize(
    "text",
    [
        *("", "hooks.example", "/path", "//hooks.example/x", "https://", "https:///x", "https://?x", "https://:443/x"),
        *("ftp://hooks.example/", "file:///etc/passwd", "gopher://hooks.example/", "javascript:alert(1)", "data:,x"),
        *("http://hooks.example/", "https://user@hooks.example/", "https://user:pw@hooks.example/"),
        *("https://hooks.example#@127.0.0.1/", "https://hooks.example/#x", "https://hooks.example/#"),
        *("https://hooks.example:0/", "https://hooks.example:65536/", "https://hooks.example:x/"),
        *(
            "https://hooks example/",
            "https://hooks.example/a b",
            "https://hooks.example\\@127.0.0.1/",
            "https://a\n.b/",
        ),
        *("https://hooks.example/\r\nx: y", "https://hooks.example/\x00", " https://hooks.example/"),
        *("https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://0.0.0.0/"),
        *("https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://017700000001/"),
        *("https://127.1/", "https://0x7f.1/", "https://127.0.0.01/", "https://1.2.3.4.5/", "https://256.1.1.1/"),
        *("https://\uff11\uff12\uff17.0.0.1/", "https://127\u30020\u30020\u30021/", "https://\u246027.0.0.1/"),
        *("https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
        *("https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/"),
        *("https://[fd00:ec2::254]/", "https://[ff02::1]/", "https://[2001:db8::1]/", "https://[v1.x]/", "https://[/"),
        *(
            "https://localhost/",
            "https://LOCALHOST/",
            "https://a.localhost/",
            "https://printer/",
            "https://db.internal/",
        ),
        *("https://metadata.google.internal/", "https://printer.local/", "https://router.home.arpa/"),
        *("https://hooks..example/", "https://.example/", "https://hooks.example./", "https://-a.example/"),
        *("https://" + "a" * 64 + ".example/", "https://" + "a." * 130 + "example/", "https://%31.example/"),
        *("https://ho%6fks.example/", "https://xn--/", "https://hooks.example/" + "x" * URL_CHARS_MAX),
    ],
)
def test_a_url_that_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl, match=r"^[A-Z].+\.$"):
        read_destination_url(text, PUBLIC)


@pytest.mark.parametrize(
    "text", ["http://10.1.2.3:8080/x", "https://10.1.2.3/", "http://gateway.internal/x", "http://printer/"]
)
def test_what_an_operator_allows(text: str) -> None:
    assert text == read_destination_url(text, OPEN)


@pytest.mark.parametrize(
    "text", ["http://192.168.0.1/", "https://169.254.169.254/", "https://[::1]/", "http://2130706433/"]
)
def test_what_an_operator_does_not_allow_is_refused_all_the_same(text: str) -> None:
    with pytest.raises(InvalidUrl):
        read_destination_url(text, OPEN)
