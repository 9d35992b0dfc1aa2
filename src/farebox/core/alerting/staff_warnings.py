"""Which alerts the operator's staff are mailed of as warnings: those that one of their roles may do something about."""

from collections.abc import Mapping
from typing import Final

from farebox.core.alerts import AlertKind, kind_set
from farebox.core.permissions import ALLOWED_ROLES, Operation
from farebox.core.staff_roles import StaffRole

WARNED_ROLES: Final[Mapping[AlertKind, StaffRole]] = {
    AlertKind.UNUSUAL_SPENDING: ALLOWED_ROLES[Operation.SUSPEND_MERCHANT_KEY],
    AlertKind.DESTINATION_DISABLED: ALLOWED_ROLES[Operation.MANAGE_DESTINATIONS],
}
"""The roles that are warned of each kind; of a destination, if it is the operator's own."""

WARNED_FROM_THE_START: Final = kind_set(*WARNED_ROLES)
"""What one of the staff is warned of who has chosen nothing."""


def offered_warnings(roles: int) -> int:
    """Tell which kinds somebody of these roles may be warned of, as bits."""
    return kind_set(*(kind for kind, warned in WARNED_ROLES.items() if warned & roles))
