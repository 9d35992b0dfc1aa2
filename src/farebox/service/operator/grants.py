"""Grants of credit: what support gives without payment, takes back, and lists; and what a merchant is told of them."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core import commands, ids
from farebox.core.credit.grants import PRIORITY_MAX, TYPES_MAX, Grant
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.permissions import Operation
from farebox.service import inputs, parsing
from farebox.service.errors import InvalidInput, Missing, Refused, translated
from farebox.service.ledger.operations import Operations
from farebox.service.people.api_keys import Principal
from farebox.storage.stores import Stores

__all__ = ["Grant", "GrantFields", "GrantPage", "Grants"]


class GrantFields(Struct, frozen=True):
    """What a grant is to be; the texts are unchecked. None stands for at once, without an end, and every type."""

    amount: str
    reference: str
    reason: str
    starts_at: str | None = None
    expires_at: str | None = None
    types: Sequence[str] | None = None
    priority: int = 0


class GrantPage(Struct, frozen=True):
    """Some grants, the newest first, and where the next page goes on; None once there is no more."""

    grants: Sequence[Grant]
    next_cursor: str | None


class Grants:
    """Given credit. Every method may raise Unavailable; one that writes, Forbidden and what `Committer.submit` raises.

    With `is_dry_run` the outcome is told, by the same checks and the same decision, and nothing is done.
    """

    def __init__(self, stores: Stores, operations: Operations) -> None:
        """Read from these stores, and give and end by these operations."""
        self._stores = stores
        self._operations = operations

    async def give(
        self, merchant_id: int, fields: GrantFields, *, principal: Principal, is_dry_run: bool = False
    ) -> Outcome:
        """Give credit that was not paid for; the same reference twice is the same grant once.

        Above the operator's limit it is requested, and given when another person approves it.
        """
        principal.ensure_may(Operation.GIVE_CREDIT)
        move = commands.GiveCredit(
            merchant_id,
            inputs.amount("amount", fields.amount),
            inputs.reference("reference", fields.reference),
            inputs.note("reason", fields.reason),
            None if fields.starts_at is None else inputs.time("startsAt", fields.starts_at),
            None if fields.expires_at is None else inputs.time("expiresAt", fields.expires_at),
            _types(fields.types),
            _priority(fields.priority),
            principal.caller,
            principal.actor(),
        )
        return await self._operations.make(move, is_dry_run=is_dry_run)

    async def end(self, merchant_id: int, grant: str, *, reason: str, principal: Principal) -> Outcome:
        """Take back what is left of a grant, or let one that waits never start; `grant` is its id."""
        principal.ensure_may(Operation.GIVE_CREDIT)
        note = inputs.note("reason", reason)
        number = _number_of(merchant_id, grant)
        if number is None:
            return _NOT_FOUND
        command = commands.EndGrant(merchant_id, number, note, principal.caller, principal.actor())
        return await self._operations.submit(command, is_dry_run=False)

    async def get(self, merchant_id: int, grant: str) -> Grant:
        """Read a grant by its id.

        Raises:
            Missing: the merchant has none of this id.
        """
        number = _number_of(merchant_id, grant)
        with translated():
            found = None if number is None else await self._stores.grants.find(merchant_id, number)
        if found is None:
            raise Missing("no grant has this id")
        return found

    async def page(self, merchant_id: int, *, cursor: str | None, limit: int) -> GrantPage:
        """List a merchant's grants, the newest first.

        Raises:
            InvalidInput: this method gave out no such cursor.
        """
        before = ids.SEQ_MAX if cursor is None else _number_of(merchant_id, cursor)
        if before is None:
            raise InvalidInput("cursor", "not a cursor that a page of this list came with")
        with translated():
            grants = await self._stores.grants.list(merchant_id, before=before, limit=limit + 1)
        shown = grants[:limit]
        return GrantPage(shown, shown[-1].id if len(grants) > limit else None)

    async def named(self, merchant_id: int, numbers: Sequence[int]) -> dict[int, Grant]:
        """Read several of a merchant's grants, by their numbers."""
        if not numbers:
            return {}
        with translated():
            return {grant.number: grant for grant in await self._stores.grants.at(merchant_id, numbers)}


def grant_of(outcome: Outcome) -> Grant:
    """Return the grant of a command that gave credit or ended it.

    Raises:
        Refused: it was refused.
    """
    if outcome.grant is None:
        raise Refused(outcome)
    return outcome.grant


def merchant_of_grant(grant: str) -> int:
    """Tell whose a grant is by its id.

    Raises:
        Missing: it is no grant's id.
    """
    try:
        return parsing.parse_book_id(ids.GRANT, grant)[0]
    except parsing.InvalidId as error:
        raise Missing("no grant has this id") from error


_NOT_FOUND: Final = refused(Code.GRANT_NOT_FOUND, "The merchant has no grant of this id")


def _number_of(merchant_id: int, grant: str) -> int | None:
    """Read a grant's number out of its id; None if it is no id of this merchant's grants."""
    try:
        owner, number = parsing.parse_book_id(ids.GRANT, grant)
    except parsing.InvalidId:
        return None
    return number if owner == merchant_id else None


def _types(types: Sequence[str] | None) -> str | None:
    """Check which request types a grant pays for, and write them as the ledger has them; None for all."""
    if types is None:
        return None
    checked = sorted({inputs.request_type("types", name) for name in types})
    if not 1 <= len(checked) <= TYPES_MAX:
        raise InvalidInput("types", f"name 1 to {TYPES_MAX} request types, or none for credit that pays for all")
    return " ".join(checked)


def _priority(value: int) -> int:
    if not 0 <= value <= PRIORITY_MAX:
        raise InvalidInput("priority", f"a priority is a whole number from 0 to {PRIORITY_MAX}; the lowest goes first")
    return value
