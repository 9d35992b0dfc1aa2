"""How much time, room and how many lines a connection may take of the server; tests pass shorter ones."""

from typing import Final

from msgspec import Struct


class HttpLimits(Struct, frozen=True):
    """What the server lets connections have."""

    connections: int = 8_192
    """How many connections a process has at once, idle ones among them; further ones wait to be accepted."""

    head_seconds: int = 30
    """How long a request's head may take to come, and how long a connection may be idle."""

    body_seconds: int = 20
    """How long a body may take, and a second more for every 64 KiB of it."""

    pause_seconds: int = 60
    """How long lines without end may pause between one piece and the next."""

    unwanted_seconds: int = 5
    """How long what still comes of a body is read and thrown away after its answer, before the connection is closed."""

    unread_seconds: int = 60
    """How long a connection may take nothing of an answer that waits to be read, before the system closes it."""

    lines: int = 1_000_000
    """How many lines of charges one connection may send."""


HTTP_LIMITS: Final = HttpLimits()
