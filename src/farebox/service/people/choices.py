"""Choices: which events each user of a merchant is mailed about."""

from collections.abc import Sequence

from farebox.core.alerts import MAILED_TO_OWNERS
from farebox.core.audit_log import Action
from farebox.core.permissions import Operation
from farebox.service.clock import Clock
from farebox.service.errors import Missing, translated
from farebox.service.event_types import kinds_of, types_of
from farebox.service.people.api_keys import Principal, audit_entry_by
from farebox.service.people.sign_in import normal_email
from farebox.storage.records import Role, User
from farebox.storage.stores import Stores


class Choices:
    """What users chose. Every method may raise Unavailable and, if it writes, Forbidden and FateUnknown."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock

    async def user(self, merchant_id: int, email: str) -> User:
        """Read a user of a merchant, with what they chose.

        Raises:
            Missing: nobody of this address is registered there.
        """
        with translated():
            user = await self._stores.users.find(merchant_id, email)
        if user is None:
            raise Missing(f"{email} is not registered there")
        return user

    async def set_mailed(
        self, merchant_id: int, email: str, types: Sequence[str], *, principal: Principal | None
    ) -> User:
        """Choose which types of events a user is mailed about; it replaces what they had chosen.

        A merchant's user chooses for themselves, which the pages see to; staff choose for others if they manage users.

        Raises:
            InvalidInput: there is no such type.
            Missing: nobody of this address is registered there.
        """
        if principal is not None and principal.roles is not None:
            principal.ensure_may(Operation.MANAGE_USERS)
        address = normal_email(email)
        kinds = kinds_of("types", types, is_operator=False)
        audit_entry = audit_entry_by(
            principal,
            self._clock.now(),
            Action.SET_MAIL_KINDS,
            merchant_id=merchant_id,
            subject=address,
            detail=", ".join(types_of(kinds)) or "none",
        )
        with translated(missing=f"{email} is not registered there"):
            await self._stores.users.set_mail_kinds(merchant_id, address, kinds, audit_entry)
        return await self.user(merchant_id, address)


def mailed_types(user: User) -> list[str]:
    """Name the types of events that a user is mailed about: chosen, or an owner's in any case."""
    return types_of(user.mail_kinds | (MAILED_TO_OWNERS if user.role == Role.OWNER else 0))


def fixed_types(role: int | None) -> list[str]:
    """Name the types of events that users of a role are mailed about whatever they chose."""
    return types_of(MAILED_TO_OWNERS) if role == Role.OWNER else []
