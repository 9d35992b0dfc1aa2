"""Thresholds in days left: set by a merchant's users or by support, beside those in money."""

from collections.abc import Sequence

from farebox.core.alerting.runway_thresholds import RunwayEpisode
from farebox.core.audit_log import Action
from farebox.core.batch.closing import MERCHANT_CLOSED
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.clock import Clock
from farebox.service.errors import Refused, translated
from farebox.service.operator.merchants import Merchants
from farebox.service.people.api_keys import Principal, audit_entry_by, ensure_may
from farebox.storage.stores import Stores


class RunwayThresholds:
    """Sets how many days left are to be told of. Every method may raise UnknownMerchant or Unavailable."""

    def __init__(self, stores: Stores, clock: Clock, merchants: Merchants) -> None:
        """Work on these stores."""
        self._stores = stores
        self._clock = clock
        self._merchants = merchants

    async def set(self, merchant_id: int, days: Sequence[int], *, principal: Principal | None = None) -> None:
        """Replace the days left that a merchant is warned below, all of them; what was among them keeps its state.

        The runway is worked out anew at the next walk over the merchants, which tells of one that it is short of.

        Raises:
            InvalidInput: too many, or one that is not between 1 and 90.
            Forbidden: the principal may not.
            Refused: the merchant is closed.
        """
        ensure_may(principal, Operation.SET_THRESHOLDS)
        checked = inputs.runway_thresholds("runwayThresholds", days)
        merchant, account = await self._merchants.get(merchant_id)
        if account.closed_at is not None:
            raise Refused(MERCHANT_CLOSED)
        if list(checked) == merchant.runway_days:
            return
        entry = audit_entry_by(
            principal,
            self._clock.now(),
            Action.SET_RUNWAY_THRESHOLDS,
            merchant_id=merchant_id,
            subject=merchant.id,
            detail=", ".join(str(item) for item in checked) or "none",
        )
        with translated():
            await self._stores.runway_episodes.set_thresholds(merchant_id, checked, entry)

    async def episodes(self, merchant_id: int) -> Sequence[RunwayEpisode]:
        """List the thresholds that a merchant's money is near, ascending, and whether they were told of."""
        with translated():
            return await self._stores.runway_episodes.list(merchant_id)
