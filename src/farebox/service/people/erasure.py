"""Deleting a person: what is kept of a merchant's former user goes, at the word of the operator."""

from farebox.core import ids
from farebox.core.audit_log import Action
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Conflict, Missing, translated
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.storage.people.erasure import KeptOfPerson
from farebox.storage.stores import Stores

__all__ = ["Erasure", "KeptOfPerson"]


class Erasure:
    """Deletes people. Every method may raise Unavailable, Forbidden and, if it writes, FateUnknown."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock

    async def kept(self, email: str, *, principal: Principal | None) -> KeptOfPerson:
        """Count what `delete` would delete.

        Raises:
            InvalidInput: this is no address.
            Conflict: they are a user of an account still.
            Missing: nothing is kept of them.
        """
        ensure_may(principal, Operation.MANAGE_USERS)
        address = inputs.email("EMAIL", email)
        with translated():
            accounts = await self._stores.users.memberships(address)
            kept = await self._stores.erasure.kept(address)
        if accounts:
            named = ", ".join(ids.public_id(ids.MERCHANT, account.merchant_id) for account in accounts)
            raise Conflict(f"{address} is a user of {named}; take them off first: farebox user remove MERCHANT EMAIL")
        if kept.is_nothing:
            raise Missing(f"nothing is kept of {address}")
        return kept

    async def delete(self, email: str, *, principal: Principal | None) -> KeptOfPerson:
        """Delete a person, and return what was kept of them until then.

        Login, sessions, reports and mails about the account are deleted. Alerts' mails and the audit log go on telling
        what happened, without an address. The books are not concerned.

        Raises:
            InvalidInput: this is no address.
            Conflict: they are a user of an account still.
            Missing: nothing is kept of them.
        """
        await self.kept(email, principal=principal)
        address = inputs.email("EMAIL", email)
        audit_entry = audit_entry_by(principal, self._clock.now(), Action.DELETE_PERSON)
        with translated(conflict=f"{address} was made a user of an account at this moment; take them off first"):
            return await self._stores.erasure.delete(address, audit_entry)
