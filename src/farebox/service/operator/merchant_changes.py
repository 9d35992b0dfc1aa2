"""Changing several things of a merchant at once: all is checked before anything is changed."""

from collections.abc import Sequence

from msgspec import Struct

from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.errors import ensure_done
from farebox.service.ledger.operations import Operations
from farebox.service.operator.annotations import Annotations
from farebox.service.operator.merchants import Merchants
from farebox.service.operator.runway_thresholds import RunwayThresholds
from farebox.service.people.api_keys import Principal


class MerchantFields(Struct, frozen=True):
    """What to change of a merchant; None stays as it is."""

    name: str | None = None
    thresholds: Sequence[str] | None = None
    """All of them; none to be silent."""
    runway_thresholds: Sequence[int] | None = None
    """Days left, all of them; none to be silent."""
    credit_limit: str | None = None
    tags: Sequence[str] | None = None
    """All of them; none to have no tag."""


class MerchantChanges:
    """Changes merchants, by the API and the command line alike."""

    def __init__(
        self,
        merchants: Merchants,
        operations: Operations,
        annotations: Annotations,
        runway_thresholds: RunwayThresholds,
    ) -> None:
        """Change what these know of."""
        self._merchants = merchants
        self._annotations = annotations
        self._operations = operations
        self._runway_thresholds = runway_thresholds

    async def apply(self, merchant_id: int, change: MerchantFields, *, principal: Principal) -> Outcome | None:
        """Change what is named; return what became of the credit limit, which may wait for a second person.

        Raises:
            Forbidden: the principal may not change one of these; nothing is changed.
            InvalidInput: one of them is not valid; nothing is changed.
            Refused: the credit limit is refused, and nothing is changed; or the thresholds are, because somebody else
                lowered it at this moment.
        """
        thresholds = None if change.thresholds is None else list(change.thresholds)
        for value, operation in (
            (change.name, Operation.MANAGE_MERCHANTS),
            (thresholds, Operation.SET_THRESHOLDS),
            (change.runway_thresholds, Operation.SET_THRESHOLDS),
            (change.credit_limit, Operation.SET_CREDIT_LIMIT),
            (change.tags, Operation.ANNOTATE),
        ):
            if value is not None:
                principal.ensure_may(operation)
        if change.name is not None:
            inputs.name("name", change.name)
        if change.tags is not None:
            inputs.tags("tags", change.tags)
        if thresholds is not None:
            _, account = await self._merchants.get(merchant_id)
            limit = account.credit_limit
            if change.credit_limit is not None:
                limit = inputs.amount("creditLimit", change.credit_limit, is_zero_allowed=True)
            inputs.thresholds("thresholds", thresholds, credit_limit=limit, currency=account.currency)
        if change.runway_thresholds is not None:
            inputs.runway_thresholds("runwayThresholds", change.runway_thresholds)
        operations = self._operations
        limited = None
        if change.credit_limit is not None:
            limited = await operations.set_credit_limit(merchant_id, change.credit_limit, principal=principal)
            ensure_done(limited)
        if thresholds is not None:
            ensure_done(await operations.set_thresholds(merchant_id, thresholds, principal=principal))
        if change.runway_thresholds is not None:
            await self._runway_thresholds.set(merchant_id, change.runway_thresholds, principal=principal)
        if change.name is not None:
            await self._merchants.rename(merchant_id, change.name, principal=principal)
        if change.tags is not None:
            await self._annotations.set_tags(merchant_id, change.tags, principal=principal)
        return limited
