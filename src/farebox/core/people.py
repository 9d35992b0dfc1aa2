"""People, as approvals compare them: whom an API key, a staff account or the command line counts as.

A person is a number: a staff account's login_id, or one of the two below. A key is no person of its own: it counts as
the people who made it. An account counts as itself and, until another person has confirmed it, as the people who
invited it as well. So each counts as a set of people, which is written down with what it makes and what it asks for.
"""

from typing import Final, TypeAlias

People: TypeAlias = frozenset[int]

UNKNOWN: Final = 0
"""Nobody knows who made it; it might be anybody's, so nobody is another person than this."""

COMMAND_LINE: Final = 1
"""The operator's own command line: all who can use the machine are one person."""


def read_people(text: str) -> People:
    """Read people as they are stored: numbers, with commas between them; empty for none."""
    return frozenset(int(number) for number in text.split(",")) if text else frozenset()


def write_people(people: People) -> str:
    """Write people as they are stored."""
    return ",".join(map(str, sorted(people)))


def account_people(login_id: int, counts_as: str) -> People:
    """Tell whom a staff account counts as: itself, and beside itself those of its column `counts_as`."""
    return read_people(counts_as) | {login_id}


def are_others(people: People, than: People) -> bool:
    """Tell whether these people are others than those: none in common, and none unknown."""
    return UNKNOWN not in people | than and people.isdisjoint(than)
