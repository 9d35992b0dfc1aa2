"""Charges, one at a time."""

from typing import Final

from farebox.core.money import format_amount
from farebox.core.outcomes import Code
from farebox.core.transfers import Transfer
from farebox.service.errors import transfer_of
from farebox.web.api.answers import replay_headers
from farebox.web.api_route import SERVICE, Answer, ApiRequest, Endpoints, route
from farebox.web.envelope import success_body
from farebox.web.schemas.spending import ChargeData, ChargeRequest

PRICE_REFUSALS: Final = (
    Code.TYPE_RETIRED,
    Code.UNKNOWN_TYPE,
    Code.UNKNOWN_QUANTITY,
    Code.QUANTITIES_REQUIRED,
    Code.AMOUNT_REQUIRED,
    Code.AMOUNT_NOT_ALLOWED,
    Code.REQUESTED_AT_OUT_OF_BOUNDS,
    Code.COST_TOO_LARGE,
)
"""Refusals of what a request would cost, of which a quote tells as well."""

SPEND_REFUSALS: Final = (
    Code.MERCHANT_NOT_FOUND,
    Code.MERCHANT_CLOSED,
    Code.IDEMPOTENCY_CONFLICT,
    Code.MERCHANT_FROZEN,
    Code.CLOCK_BEHIND,
    *PRICE_REFUSALS,
    Code.KEY_BUDGET_EXCEEDED,
    Code.AMOUNT_TOO_LARGE,
    Code.BALANCE_LIMIT_EXCEEDED,
    Code.MONEY_OWED,
    Code.INSUFFICIENT_BALANCE,
)


class ChargeEndpoints(Endpoints):
    """Deducting the cost of a request."""

    @route(
        method="POST",
        path="/api/charges",
        keys=SERVICE,
        summary="Deduct the cost of a request",
        data=ChargeData,
        refusals=SPEND_REFUSALS,
        is_key_checked_later=True,
    )
    async def charge(self, request: ApiRequest, body: ChargeRequest) -> Answer:
        """Deduct the cost of a request; the key is looked up in the charge's own transaction."""
        outcome = await self._services.operations.charge(body, caller=request.caller)
        return Answer(
            success_body(charge_data(transfer_of(outcome)).encode()), replay_headers(is_replay=outcome.is_replay)
        )


def charge_data(transfer: Transfer) -> str:
    """Write a charge's data; this runs for every charge, so its JSON is put together by hand."""
    missing = transfer.uncollected
    available = format_amount(transfer.wallet_after)
    balance = format_amount(transfer.posted_after) if transfer.held_after else available
    uncollected = "" if missing is None else f',"uncollected":"{format_amount(missing)}"'
    return (
        f'{{"transferId":"{transfer.id}","cost":"{format_amount(transfer.amount)}",'
        f'"balance":"{balance}","available":"{available}"{uncollected}}}'
    )
