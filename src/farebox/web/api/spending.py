"""What the operator's services do with their key: charge, hold, capture, release, refund."""

from typing import Final

from starlette.types import Receive, Scope

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome
from farebox.core.transfers import Transfer
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Refused
from farebox.services import Services
from farebox.web import security
from farebox.web.api.base import (
    NO_HEADERS,
    REPLAY,
    SERVICE,
    SUPPORT,
    Endpoints,
    Route,
    answer,
    replay_headers,
    transfer_of,
)
from farebox.web.client_address import Addresses
from farebox.web.endpoint import Answer, BodyDecoder, read_body
from farebox.web.envelope import ApiError, success_body
from farebox.web.schemas import spending as bodies

_SPEND_REFUSALS: Final = (
    Code.MERCHANT_NOT_FOUND,
    Code.IDEMPOTENCY_CONFLICT,
    Code.MERCHANT_FROZEN,
    Code.UNKNOWN_TYPE,
    Code.AMOUNT_REQUIRED,
    Code.AMOUNT_NOT_ALLOWED,
    Code.AMOUNT_TOO_LARGE,
    Code.BALANCE_LIMIT_EXCEEDED,
    Code.INSUFFICIENT_BALANCE,
)
_HOLD_REFUSALS: Final = (
    Code.IDEMPOTENCY_CONFLICT,
    Code.HOLD_NOT_FOUND,
    Code.HOLD_ALREADY_CAPTURED,
    Code.HOLD_ALREADY_RELEASED,
    Code.HOLD_EXPIRED,
)


class Spending(Endpoints):
    """The endpoints for services' keys."""

    def __init__(self, services: Services, addresses: Addresses) -> None:
        """Answer from these services."""
        super().__init__(services, addresses)
        self._charge_decoder = BodyDecoder(bodies.ChargeRequest)
        self._hold_decoder = BodyDecoder(bodies.HoldRequest)
        self._capture_decoder = BodyDecoder(bodies.CaptureRequest)
        self._release_decoder = BodyDecoder(bodies.ReleaseRequest)
        self._refund_decoder = BodyDecoder(bodies.RefundRequest)

    def routes(self) -> list[Route]:
        """List them."""
        return [
            Route(
                *("POST", "/api/charges", self.charge, "Deduct the cost of a request", SERVICE),
                *(bodies.ChargeData, bodies.ChargeRequest, _SPEND_REFUSALS),
            ),
            Route(
                *("POST", "/api/holds", self.hold, "Set aside the cost of a request", SERVICE),
                *(bodies.HoldData, bodies.HoldRequest, _SPEND_REFUSALS),
            ),
            Route(
                *("POST", "/api/holds/{hold_id:str}/capture", self.capture, "Take a hold's money, or part of it"),
                *(SERVICE, bodies.CaptureData, bodies.CaptureRequest),
                (*_HOLD_REFUSALS, Code.CAPTURE_EXCEEDS_HOLD, Code.BALANCE_LIMIT_EXCEEDED),
            ),
            Route(
                *("POST", "/api/holds/{hold_id:str}/release", self.release, "Give a hold's money back"),
                *(SERVICE, bodies.ReleaseData, bodies.ReleaseRequest, _HOLD_REFUSALS),
            ),
            Route(
                *("POST", "/api/refunds", self.refund, "Give back a charge or capture, or part of it"),
                *(SERVICE | SUPPORT, bodies.RefundData, bodies.RefundRequest),
                (
                    Code.IDEMPOTENCY_CONFLICT,
                    Code.TRANSFER_NOT_FOUND,
                    Code.TRANSFER_NOT_REFUNDABLE,
                    Code.REFUND_EXCEEDS_TRANSFER,
                    Code.BALANCE_LIMIT_EXCEEDED,
                ),
            ),
        ]

    async def charge(self, scope: Scope, receive: Receive) -> Answer:
        """Deduct the cost of a request; the key is looked up in the charge's own transaction."""
        key = security.required_key(scope)
        try:
            request = self._charge_decoder.decode(await read_body(scope, receive))
            outcome = await self._services.operations.charge(
                merchant=request.merchant,
                request_type=request.type,
                quantity=request.quantity,
                idempotency_key=request.idempotency_key,
                amount=request.amount,
                reference=request.reference,
                caller=key.caller,
            )
        except (ApiError, InvalidInput):
            # Whoever may not charge is told so first, whatever was wrong with what came along.
            await self._authorize(scope, SERVICE)
            raise
        if outcome.code is Code.MERCHANT_NOT_FOUND:
            await self._authorize(scope, SERVICE)
        return Answer(success_body(charge_data(transfer_of(outcome))), REPLAY if outcome.is_replay else NO_HEADERS)

    async def hold(self, scope: Scope, receive: Receive) -> Answer:
        """Set aside the cost of a request, to be captured or released later."""
        key = await self._authorize(scope, SERVICE)
        request = self._hold_decoder.decode(await read_body(scope, receive))
        outcome = await self._services.operations.hold(
            merchant=request.merchant,
            request_type=request.type,
            quantity=request.quantity,
            idempotency_key=request.idempotency_key,
            amount=request.amount,
            reference=request.reference,
            ttl_seconds=request.ttl_seconds,
            caller=key.caller,
        )
        transfer, hold = transfer_of(outcome), outcome.hold
        assert hold is not None  # noqa: S101 - what makes a hold answers with it.
        data = bodies.HoldData(
            hold_id=hold.id,
            transfer_id=transfer.id,
            amount=format_amount(transfer.amount),
            expires_at=inputs.format_time(hold.expires_at),
            balance=format_amount(transfer.posted_after),
            available=format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(outcome))

    async def capture(self, scope: Scope, receive: Receive) -> Answer:
        """Take a hold's money, or a part of it; the rest goes back at once."""
        key = await self._authorize(scope, SERVICE)
        request = self._capture_decoder.decode(await read_body(scope, receive))
        outcome = await self._services.operations.capture(
            scope["path_params"]["hold_id"],
            idempotency_key=request.idempotency_key,
            amount=request.amount,
            reference=request.reference,
            caller=key.caller,
        )
        transfer = transfer_of(outcome)
        hold_id, held = _hold_of(outcome)
        released = held - transfer.amount
        data = bodies.CaptureData(
            hold_id=hold_id,
            transfer_id=transfer.id,
            captured=format_amount(transfer.amount),
            released=format_amount(released),
            balance=format_amount(transfer.posted_after),
            # The rest goes back by a transfer of its own, right after this one.
            available=format_amount(transfer.wallet_after + released),
        )
        return answer(data, replay_headers(outcome))

    async def release(self, scope: Scope, receive: Receive) -> Answer:
        """Give a hold's money back."""
        key = await self._authorize(scope, SERVICE)
        request = self._release_decoder.decode(await read_body(scope, receive))
        outcome = await self._services.operations.release(
            scope["path_params"]["hold_id"],
            idempotency_key=request.idempotency_key,
            reference=request.reference,
            caller=key.caller,
        )
        transfer = transfer_of(outcome)
        data = bodies.ReleaseData(
            hold_id=_hold_of(outcome)[0],
            transfer_id=transfer.id,
            released=format_amount(transfer.amount),
            balance=format_amount(transfer.posted_after),
            available=format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(outcome))

    async def refund(self, scope: Scope, receive: Receive) -> Answer:
        """Give back a charge or capture, in whole or in part."""
        key = security.required_key(scope)
        principal = await self._support(scope) if key.kind is KeyKind.SUPPORT else None
        if principal is None:
            await self._authorize(scope, SERVICE)
        request = self._refund_decoder.decode(await read_body(scope, receive))
        outcome = await self._services.operations.refund(
            request.transfer_id,
            idempotency_key=request.idempotency_key,
            amount=request.amount,
            reference=request.reference,
            note=request.note,
            caller=key.caller,
            principal=principal,
        )
        transfer = transfer_of(outcome)
        original = transfer.refers_to or 0
        data = bodies.RefundData(
            transfer_id=transfer.id,
            refers_to=ids.book_id(ids.TRANSFER, merchant_id=transfer.merchant_id, seq=original),
            amount=format_amount(transfer.amount),
            balance=format_amount(transfer.posted_after),
            available=format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(outcome))


def charge_data(transfer: Transfer) -> bytes:
    """Write a charge's data; this runs for every charge, so its JSON is put together by hand."""
    return (
        f'{{"transferId":"{transfer.id}","cost":"{format_amount(transfer.amount)}",'
        f'"balance":"{format_amount(transfer.posted_after)}","available":"{format_amount(transfer.wallet_after)}"}}'
    ).encode()


def _hold_of(outcome: Outcome) -> tuple[str, int]:
    """Return the id and the amount of the hold that a command ended."""
    if outcome.hold is None:
        raise Refused(outcome)
    return outcome.hold.id, outcome.hold.amount
