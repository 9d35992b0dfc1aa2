"""Requests above the operator's limit for one person, which wait for a second one."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from farebox.core import commands, ids
from farebox.core.approvals import NO_LIMITS, Approval, ApprovalLimits, RequestKind
from farebox.core.credit.grants import read_terms
from farebox.core.outcomes import Code, Outcome, refused
from farebox.core.people import People, account_people, are_others, read_people
from farebox.core.permissions import ALLOWED_ROLES, Operation
from farebox.service.errors import Missing, translated
from farebox.service.ledger.committer import Committer
from farebox.service.people.api_keys import Principal, maker_of
from farebox.storage.records import Login, Realm
from farebox.storage.stores import Stores

PAGE_ROWS_MAX: Final = 1_000
WAITING_MAX: Final = 1_000
"""How many requests are looked at to tell how many wait for somebody."""


class WaitingFor(Struct, frozen=True):
    """What one of the staff may decide: requests, oldest first, and accounts that another person has to confirm."""

    approvals: Sequence[Approval]
    accounts: Sequence[Login]

    def __len__(self) -> int:
        return len(self.approvals) + len(self.accounts)


class Approvals:
    """Requests for approval. Every method may raise Unavailable, Forbidden, and what `Committer.submit` raises."""

    def __init__(self, stores: Stores, committer: Committer, *, limits: ApprovalLimits = NO_LIMITS) -> None:
        """Read from these stores, decide through this committer; `limits` is how much one person may move alone."""
        self._stores = stores
        self._committer = committer
        self._limits = limits

    async def find(self, merchant_id: int, approval_id: int) -> Approval:
        """Read one request.

        Raises:
            Missing: the merchant has none of this id.
        """
        with translated():
            approval = await self._stores.approvals.find(merchant_id, approval_id)
        if approval is None:
            raise Missing("there is no such request")
        return approval

    async def approve(
        self, merchant_id: int, approval_id: int, *, principal: Principal, is_dry_run: bool = False
    ) -> Outcome:
        """Approve a request, whose move is then made; another person than its requester has to.

        With `is_dry_run` the outcome is told, by the same decision, and nothing is done.
        """
        principal.ensure_may(Operation.DECIDE_APPROVAL)
        with translated():
            approval = await self._stores.approvals.find(merchant_id, approval_id)
        if approval is None:
            return _NOT_FOUND
        command = commands.Approve(_move(approval, principal), approval_id)
        return await (self._committer.dry_run(command) if is_dry_run else self._committer.submit(command))

    async def reject(self, merchant_id: int, approval_id: int, *, principal: Principal) -> Outcome:
        """Reject a request, or take one's own back."""
        principal.ensure_may(Operation.DECIDE_APPROVAL)
        return await self._committer.submit(
            commands.Reject(merchant_id, approval_id, principal.caller, principal.actor())
        )

    async def page(self, *, merchant_id: int | None, before: int | None, limit: int) -> Sequence[Approval]:
        """List requests, newest first: those before the one of this id."""
        with translated():
            return await self._stores.approvals.list(
                merchant_id=merchant_id, before=ids.NUMBER_MAX if before is None else before, limit=limit
            )

    async def pending(self) -> Sequence[Approval]:
        """List the requests that wait, oldest first, WAITING_MAX at most."""
        with translated():
            return await self._stores.approvals.pending(WAITING_MAX)

    async def people(self, principal: Principal) -> People:
        """Tell whom somebody counts as at this moment."""
        with translated():
            return await self._stores.logins.people(maker_of(principal))

    async def waiting_for(self, login: Login) -> WaitingFor:
        """List what waits and one of the staff may decide: requests, and accounts to be confirmed."""
        people = account_people(login.login_id, login.counts_as)
        may_decide = login.roles & ALLOWED_ROLES[Operation.DECIDE_APPROVAL]
        may_confirm = login.roles & ALLOWED_ROLES[Operation.CONFIRM_STAFF]
        pending = await self.pending() if may_decide else []
        return WaitingFor(
            [item for item in pending if are_others(people, read_people(item.requested_people))],
            await self.accounts_to_confirm(people) if may_confirm else [],
        )

    async def accounts_to_confirm(self, people: People) -> Sequence[Login]:
        """List the open staff accounts that these people may confirm; none while nothing needs a second person."""
        if self._limits.are_none:
            return []
        with translated():
            staff = await self._stores.logins.list(Realm.SUPPORT)
        return [
            login
            for login in staff
            if login.counts_as
            and login.disabled_at is None
            and are_others(people, account_people(login.login_id, login.counts_as))
        ]


_NOT_FOUND: Final = refused(Code.APPROVAL_NOT_FOUND, "The merchant has no such request for approval")


def _move(approval: Approval, principal: Principal) -> commands.Move:
    """Make the command that was requested, with the one who approves it in the requester's place."""
    asked_by = (principal.caller, principal.actor())
    merchant_id, amount, reference = approval.merchant_id, approval.amount, approval.reference or ""
    if approval.kind == RequestKind.CREDIT_LIMIT:
        return commands.SetCreditLimit(merchant_id, amount, *asked_by)
    if approval.kind == RequestKind.TOP_UP:
        return commands.TopUp(merchant_id, amount, reference, approval.note, *asked_by)
    if approval.kind == RequestKind.REFUND:
        return _refund(approval, principal)
    if approval.kind == RequestKind.GRANT:
        return _grant(approval, principal)
    is_credit = approval.kind == RequestKind.ADJUSTMENT_CREDIT
    return commands.Adjust(merchant_id, amount, is_credit, reference, approval.note or "", *asked_by)


def _grant(approval: Approval, principal: Principal) -> commands.GiveCredit:
    """Make the grant that was requested, on the terms that were named then."""
    _, terms = read_terms(approval.terms or "")
    return commands.GiveCredit(
        approval.merchant_id,
        approval.amount,
        approval.reference or "",
        approval.note or "",
        terms.starts_at,
        terms.expires_at,
        terms.types,
        terms.priority,
        principal.caller,
        principal.actor(),
    )


def _refund(approval: Approval, principal: Principal) -> commands.Refund:
    """Make the refund that was requested: of an amount that was named, or of all that was left."""
    named = commands.Refund(
        approval.merchant_id,
        approval.refers_to or 0,
        approval.idempotency_key,
        approval.amount,
        approval.reference,
        approval.note,
        principal.caller,
        principal.actor(),
    )
    of_all = replace(named, amount=None)
    return of_all if of_all.fingerprint() == approval.fingerprint else named
