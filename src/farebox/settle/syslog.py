"""Syslog's header, taken off a datagram: as RFC 3164 has it, as RFC 5424 has it, or none at all."""

import re
from typing import Final

from farebox.settle.lines import UnreadableLine

_RFC_5424: Final = re.compile(
    rb'<[0-9]{1,3}>1 \S+ \S+ \S+ \S+ \S+ (?:-|(?:\[(?:[^\]"\\]|\\.|"(?:[^"\\]|\\.)*")*\])+)(?: (?:\xef\xbb\xbf)?|$)',
    re.DOTALL,
)
_RFC_3164: Final = re.compile(rb"<[0-9]{1,3}>[^{]*")
_COOKIE: Final = re.compile(rb"@cee:\s*")


def message_of(datagram: bytes) -> bytes:
    """Return what a datagram says, without syslog's header.

    Raises:
        UnreadableLine: it has nothing behind the header.
    """
    header = _RFC_5424.match(datagram) or _RFC_3164.match(datagram)
    message = datagram[header.end() :] if header else datagram
    cookie = _COOKIE.match(message)
    text = (message[cookie.end() :] if cookie else message).strip(b"\0\r\n ")
    if not text:
        raise UnreadableLine("a syslog message without a text")
    return text
