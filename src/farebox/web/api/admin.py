"""What support does with its key: merchants and their money."""

import msgspec
from litestar.types import HTTPScope, Receive

from farebox.core import ids
from farebox.core.money import format_amount
from farebox.core.outcomes import Code
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.web.api.base import (
    SUPPORT,
    Room,
    Route,
    Services,
    answer,
    merchant_in_path,
    replay_headers,
    thresholds_data,
    transfer_of,
)
from farebox.web.bodies import admin as bodies
from farebox.web.endpoint import Answer, decode_body, read_body


class Admin(Room):
    """The endpoints for support's keys."""

    def __init__(self, services: Services) -> None:
        """Answer from these services."""
        super().__init__(services)
        self._merchant_decoder = msgspec.json.Decoder(bodies.MerchantRequest)
        self._top_up_decoder = msgspec.json.Decoder(bodies.TopUpRequest)

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                *("POST", "/api/admin/merchants", self.create_merchant, "Add a merchant", SUPPORT),
                *(bodies.NewMerchantData, bodies.MerchantRequest),
            ),
            Route(
                *("POST", "/api/admin/merchants/{merchant_id:str}/topups", self.top_up, "Top a merchant up", SUPPORT),
                *(bodies.MoveData, bodies.TopUpRequest),
                (Code.MERCHANT_NOT_FOUND, Code.IDEMPOTENCY_CONFLICT, Code.BALANCE_LIMIT_EXCEEDED),
            ),
        ]

    async def create_merchant(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Add a merchant and show its first key, this once."""
        await self._authorize(scope, SUPPORT)
        request = decode_body(await read_body(scope, receive), self._merchant_decoder)
        if request.threshold is not None and request.thresholds is not None:
            raise InvalidInput("thresholds", "name one threshold, or a list of thresholds, not both")
        thresholds = request.thresholds or []
        if request.threshold is not None:
            inputs.amount("threshold", request.threshold)
            thresholds = [request.threshold]
        merchant, account, key = await self._services.merchants.create(
            name=request.name, currency=request.currency, thresholds=thresholds, credit_limit=request.credit_limit
        )
        return answer(
            bodies.NewMerchantData(
                merchant_id=ids.public_id(ids.MERCHANT, merchant.merchant_id),
                name=merchant.name,
                currency=account.currency,
                credit_limit=format_amount(account.credit_limit),
                thresholds=thresholds_data(account.thresholds),
                api_key=key.text,
            )
        )

    async def top_up(self, scope: HTTPScope, receive: Receive) -> Answer:
        """Add money that the merchant has paid."""
        key = await self._authorize(scope, SUPPORT)
        request = decode_body(await read_body(scope, receive), self._top_up_decoder)
        outcome = await self._services.operations.top_up(
            merchant_in_path(scope),
            amount=request.amount,
            reference=request.reference,
            note=request.note,
            caller=key.caller,
        )
        transfer = transfer_of(outcome)
        data = bodies.MoveData(
            transfer.id,
            format_amount(transfer.amount),
            format_amount(transfer.posted_after),
            format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(outcome))
