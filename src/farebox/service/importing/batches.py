"""The steps of an import over one batch of rows: what is there already, and what is written."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from farebox.core.accounts import Account
from farebox.core.approvals import ApprovalLimits
from farebox.core.audit_log import AuditEntry
from farebox.core.commands import Adjust, KeyKind, RequestApproval
from farebox.core.outcomes import Code, Outcome
from farebox.core.thresholds import Threshold
from farebox.service.clock import Clock
from farebox.service.errors import translated
from farebox.service.id_generator import IdGenerator
from farebox.service.importing.rows import ImportedBalance, ImportedKey, ImportedMerchant
from farebox.service.ledger.committer import Committer
from farebox.service.people.api_keys import Principal
from farebox.storage.records import ApiKey, Merchant, Role, User
from farebox.storage.stores import Stores

BATCH_ROWS: Final = 500
"""How many rows are written in one transaction; as many may be missing after a kill, and come when it is run again."""

BALANCE_REFERENCE: Final = "balance before the import"
"""The reference of the adjustment that a merchant's balance begins with: a merchant has one such, so one balance."""

_MEANWHILE: Final = "somebody else imports the same rows at this moment; run this again when that has ended"


class BalanceResult(Struct, frozen=True):
    """What an opening balance comes to."""

    row: ImportedBalance
    outcome: Outcome

    @property
    def is_there(self) -> bool:
        """Whether it was brought over before, or waits for a second person."""
        return self.outcome.is_ok and self.outcome.is_replay

    @property
    def is_waiting(self) -> bool:
        """Whether a second person has to approve it."""
        return self.outcome.is_ok and self.outcome.transfer is None

    @property
    def is_of_nobody(self) -> bool:
        """Whether its merchant is not there yet."""
        return self.outcome.code == Code.MERCHANT_NOT_FOUND


class Batches:
    """Reads and writes batches. Every method may raise Unavailable, those that write Conflict and FateUnknown."""

    def __init__(self, stores: Stores, committer: Committer, clock: Clock, limits: ApprovalLimits) -> None:
        """Work on these stores; `limits` is how much one person may move alone."""
        self._stores = stores
        self._committer = committer
        self._clock = clock
        self._limits = limits
        self._id_generator = IdGenerator(clock)

    async def currencies(self, merchant_ids: Sequence[int]) -> dict[int, str]:
        """Tell which of these merchants are there, and in which currency."""
        with translated():
            return dict(await self._stores.merchants.currencies(merchant_ids))

    async def owners(self, keys: Sequence[ImportedKey]) -> dict[bytes, int]:
        """Tell which of these keys are there, and whose they are."""
        with translated():
            return dict(await self._stores.api_keys.imported_owners([key.digest for key in keys]))

    async def priced_types(self) -> set[str]:
        """Tell which request types have a default price, had one, or are to have one."""
        with translated():
            return {version.request_type for version in await self._stores.prices.list(None)}

    async def note(self, audit_entry: AuditEntry) -> None:
        """Write an entry of the audit log."""
        with translated():
            await self._stores.audit_log.append(audit_entry)

    async def add_merchants(self, merchants: Sequence[ImportedMerchant], tag: str) -> None:
        """Add merchants with their empty books; the tag is what they are found by."""
        now = self._clock.now()
        added = [
            (
                Merchant(row.merchant_id, row.name, now, tags=f",{tag},"),
                Account(
                    row.merchant_id,
                    row.currency,
                    thresholds=tuple(Threshold(amount, True) for amount in row.thresholds),
                ),
                self._user(row, now),
            )
            for row in merchants
        ]
        with translated(conflict=_MEANWHILE):
            await self._stores.merchants.add_all(added)

    async def add_keys(self, keys: Sequence[ImportedKey]) -> None:
        """Add keys."""
        now = self._clock.now()
        added = [
            ApiKey(
                key_id=self._id_generator.next(),
                kind=KeyKind.MERCHANT,
                digest=row.digest,
                hint=row.hint,
                created_at=now,
                merchant_id=row.merchant_id,
                name=row.name,
                expires_at=row.expires_at,
            )
            for row in keys
        ]
        with translated(conflict=_MEANWHILE):
            await self._stores.api_keys.add_imported(added)

    async def preview_balances(self, balances: Sequence[ImportedBalance], principal: Principal) -> list[BalanceResult]:
        """Tell what balances would come to, by the ledger's own decision."""
        outcomes = await self._committer.dry_run_all(self._commands(balances, principal))
        return [BalanceResult(row, outcome) for row, outcome in zip(balances, outcomes, strict=True)]

    async def add_balances(self, balances: Sequence[ImportedBalance], principal: Principal) -> list[BalanceResult]:
        """Bring balances over; one that was brought before stays as it is."""
        results = []
        for row, outcome in zip(
            balances, await self._committer.submit_all(self._commands(balances, principal)), strict=True
        ):
            if not isinstance(outcome, Outcome):
                raise outcome
            results.append(BalanceResult(row, outcome))
        return results

    def is_above_limit(self, amount: int, currency: str) -> bool:
        """Tell whether a balance in micros is more than one person may move alone."""
        limit = self._limits.of(currency)
        return limit is not None and amount > limit

    def _commands(self, balances: Sequence[ImportedBalance], principal: Principal) -> list[Adjust | RequestApproval]:
        """Write balances as moves by hand; what one person may not move alone is requested, by this principal."""
        if self._limits.are_none:
            # The import's own entry in the audit log tells of all of them.
            return [_adjustment(row, None) for row in balances]
        return [
            RequestApproval(_adjustment(row, principal), self._id_generator.next(), self._limits) for row in balances
        ]

    def _user(self, row: ImportedMerchant, now: int) -> User | None:
        if row.email is None:
            return None
        return User(row.merchant_id, self._id_generator.next(), row.email, now, Role.OWNER)


def _adjustment(row: ImportedBalance, principal: Principal | None) -> Adjust:
    return Adjust(
        row.merchant_id,
        row.amount,
        True,
        BALANCE_REFERENCE,
        f"brought over from another system, where this is {row.reference}",
        None if principal is None else principal.caller,
        None if principal is None else principal.actor(),
    )
