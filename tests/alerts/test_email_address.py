"""Addresses as mail systems take them."""

from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from farebox.alerts.email_address import InvalidAddress, mailbox, named_mailbox, needs_smtputf8, one_line


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@example.com, eve@example.com",
        "Ann <ann@example.com>",
        "ann@example.com\r\nBcc: eve@example.com",
        "ann@example.com\nBcc: eve@example.com",
        "ann@exam ple.com",
        "a..b@example.com",
        "jürgen@example.com\r\nBcc: eve@example.com",
        "jürgen <x>@example.com",
        "jürgen",
        "jürgen@münchen@example.com",
        "=?utf-8?q?=0D=0ABcc=3A_eve=40example.com?=@example.com",
        "=?utf-8?q?=0D=0ABcc=3A_eve=40example.com?=ü@example.com",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        mailbox(address)
    assert 1 == len(str(caught.value).splitlines())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ann@example.com", "ann@example.com"),
        ("o'neil+alerts@example.com", "o'neil+alerts@example.com"),
        ('"a b"@example.com', '"a b"@example.com'),
        ("farebox@localhost", "farebox@localhost"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@straße.example", "ann@xn--strae-oqa.example"),
        ("jürgen@bücher.example", "jürgen@xn--bcher-kva.example"),
    ],
)
def test_domains_are_written_in_ascii_and_the_rest_stays(address: str, expected: str) -> None:
    assert expected == mailbox(address).addr_spec


def test_only_an_address_that_can_not_be_ascii_needs_smtputf8() -> None:
    assert not needs_smtputf8(mailbox("ann@example.com"), mailbox("ann@bücher.example"))
    assert needs_smtputf8(mailbox("ann@example.com"), mailbox("jürgen@example.com"))


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("alerts@example.com", "Farebox", "alerts@example.com"),
        ("<alerts@example.com>", "Farebox", "alerts@example.com"),
        ("Northwind <alerts@example.com>", "Northwind", "alerts@example.com"),
        ('"Müller, Söhne" <alerts@example.com>', "Müller, Söhne", "alerts@example.com"),
    ],
)
def test_a_sender_may_carry_a_name(text: str, name: str, address: str) -> None:
    sender = named_mailbox(text, default_name="Farebox")
    assert (name, address) == (sender.display_name, sender.addr_spec)


@pytest.mark.parametrize("text", ["", "Northwind", "Northwind <alerts>", "a@example.com <b@example.com", "a@b@c"])
def test_a_sender_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        named_mailbox(text, default_name="Farebox")


@given(st.text())
@example("a\r\nb\x00\x1b[31mc\u2028d\x85e\udcff")
def test_one_line_is_one_line_that_can_be_stored_and_shown(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert line.encode().decode() == line
    assert not any(char < " " or "\x7f" <= char < "\xa0" for char in line)
    assert one_line(line) == line


def test_one_line_keeps_what_people_write() -> None:
    assert "Bücher & Söhne 👩‍💻 株式会社" == one_line(" Bücher &  Söhne 👩‍💻 株式会社\n")


def test_no_name_of_a_sender_hides_a_line_end() -> None:
    sender = mailbox("a@example.com", display_name="=?utf-8?q?=0D=0ABcc:_eve=40example.com?=")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    assert b'From: "= ?utf-8?q?=0D=0ABcc:_eve=40example.com?=" <a@example.com>\r\n\r\n' == message.as_bytes()
