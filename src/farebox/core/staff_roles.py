"""The roles of the operator's staff: what each person, and each of support's API keys, is there to do."""

from collections.abc import Iterable
from enum import IntFlag
from typing import Final, Literal

StaffRoleWord = Literal["viewer", "support", "administrator"]


class StaffRole(IntFlag):
    """A role, or several together, which is how the database stores them; a number never changes its meaning."""

    VIEWER = 1
    """See all that there is."""
    SUPPORT = 2
    """Move money and decide what may be spent."""
    ADMINISTRATOR = 4
    """Set up staff, keys, prices and merchants."""


NO_ROLE: Final = StaffRole(0)
EVERY_ROLE: Final = StaffRole.SUPPORT | StaffRole.ADMINISTRATOR
"""Support and administrator together, as one person who does everything has them; to see is part of either."""

STAFF_ROLE_WORDS: Final[dict[StaffRole, StaffRoleWord]] = {
    StaffRole.VIEWER: "viewer",
    StaffRole.SUPPORT: "support",
    StaffRole.ADMINISTRATOR: "administrator",
}
STAFF_ROLES: Final[dict[str, StaffRole]] = {word: role for role, word in STAFF_ROLE_WORDS.items()}


def together(roles: Iterable[StaffRole]) -> StaffRole:
    """Put roles together; to see is part of the others, so none of them is a viewer as well."""
    joined = NO_ROLE
    for role in roles:
        joined |= role
    others = joined & ~StaffRole.VIEWER
    return others or joined


def role_words(roles: int) -> list[StaffRoleWord]:
    """List roles by their words."""
    return [word for role, word in STAFF_ROLE_WORDS.items() if role & roles]


def roles_in_words(roles: int, *, between: str = "and") -> str:
    """Write roles in a sentence: support and administrator; "no role" for none."""
    return f" {between} ".join(role_words(roles)) or "no role"
