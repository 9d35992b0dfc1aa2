"""E-mail addresses as mail systems take them: the domain in ASCII, the part before it as it is written."""

import re
import unicodedata
from email.errors import MessageError
from email.headerregistry import Address
from typing import Final

_NAMED: Final = re.compile(r"\s*(?P<name>.*?)\s*<(?P<address>[^<>]*)>\s*", re.DOTALL)
_BREAKING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories that end a line, drive a terminal or can't be encoded."""


_ENCODED_WORD: Final = "=?"
"""What a header's encoded word begins with. Python decodes those even in a header it is to write: a line end hidden in
one would come out as a line end."""


class InvalidAddress(ValueError):
    """Mail can't go to or come from this address."""


def one_line(text: str) -> str:
    """Make one line of a text: control characters and runs of spaces become one space."""
    return " ".join("".join(" " if unicodedata.category(char) in _BREAKING else char for char in text).split())


def header_text(text: str) -> str:
    """Make of a text what can stand in a header: one line that no mail program takes for encoded."""
    return one_line(text).replace(_ENCODED_WORD, "= ?")


def mailbox(address: str, *, display_name: str = "") -> Address:
    """Read an address such as `ann@example.com`.

    A domain in another alphabet is written in ASCII (`xn--…`), which every mail server takes. The part before
    it can't be: a server must know SMTPUTF8 to take one that is not ASCII.

    Args:
        address: without a name or angle brackets.
        display_name: put before it in a header.

    Raises:
        InvalidAddress: anything else.
    """
    name = header_text(display_name)
    try:
        if _ENCODED_WORD in address:
            raise ValueError("an encoded word")
        if address.isascii():
            return Address(name, addr_spec=address)
        import email_validator

        found = email_validator.validate_email(address, check_deliverability=False)
        return Address(name, username=found.local_part, domain=found.ascii_domain)
    except (ValueError, MessageError, IndexError) as error:
        raise InvalidAddress(f"{one_line(address)!r} is not an e-mail address") from error


def named_mailbox(text: str, *, default_name: str) -> Address:
    """Read an address that may carry a name, such as `Northwind <alerts@example.com>`.

    Raises:
        InvalidAddress: neither that nor a plain address.
    """
    found = _NAMED.fullmatch(text)
    if found is None:
        return mailbox(text.strip(), display_name=default_name)
    return mailbox(found["address"].strip(), display_name=found["name"].strip('"') or default_name)


def needs_smtputf8(*addresses: Address) -> bool:
    """Tell whether a mail server must know SMTPUTF8 for these addresses."""
    return not all(address.username.isascii() for address in addresses)
