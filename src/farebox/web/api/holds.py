"""Holds: money set aside, then captured or released."""

from typing import Final

from farebox.core.holds import Hold
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome
from farebox.service import inputs
from farebox.service.errors import Refused, transfer_of
from farebox.web.api.answers import answer, replay_headers
from farebox.web.api.charges import SPEND_REFUSALS
from farebox.web.api.paths import text_in_path
from farebox.web.api_route import SERVICE, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas import spending as schemas

_HOLD_REFUSALS: Final = (
    Code.IDEMPOTENCY_CONFLICT,
    Code.HOLD_NOT_FOUND,
    Code.HOLD_ALREADY_CAPTURED,
    Code.HOLD_ALREADY_RELEASED,
    Code.HOLD_EXPIRED,
)


class HoldEndpoints(Endpoints):
    """Setting money aside, and taking it or giving it back."""

    @route(
        method="POST",
        path="/api/holds",
        keys=SERVICE,
        summary="Set aside the cost of a request",
        data=schemas.HoldData,
        refusals=SPEND_REFUSALS,
    )
    async def hold(self, request: ApiRequest, body: schemas.HoldRequest) -> Answer:
        """Set aside the cost of a request, to be captured or released later."""
        outcome = await self._services.operations.hold(body, caller=request.caller)
        transfer, hold = transfer_of(outcome), _hold_of(outcome)
        data = schemas.HoldData(
            hold_id=hold.id,
            transfer_id=transfer.id,
            amount=format_amount(transfer.amount),
            expires_at=inputs.format_time(hold.expires_at),
            balance=format_amount(transfer.posted_after),
            available=format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(is_replay=outcome.is_replay))

    @route(
        method="POST",
        path="/api/holds/{hold_id:str}/capture",
        keys=SERVICE,
        summary="Take a hold's money, or part of it",
        data=schemas.CaptureData,
        refusals=(
            *_HOLD_REFUSALS,
            Code.UNKNOWN_QUANTITY,
            Code.QUANTITIES_REQUIRED,
            Code.AMOUNT_REQUIRED,
            Code.AMOUNT_NOT_ALLOWED,
            Code.COST_TOO_LARGE,
            Code.CAPTURE_EXCEEDS_HOLD,
            Code.BALANCE_LIMIT_EXCEEDED,
        ),
    )
    async def capture(self, request: ApiRequest, body: schemas.CaptureRequest) -> Answer:
        """Take a hold's money, or a part of it; the rest goes back at once."""
        outcome = await self._services.operations.capture(
            text_in_path(request, "hold_id"),
            idempotency_key=body.idempotency_key,
            quantity=body.quantity,
            quantities=body.quantities,
            amount=body.amount,
            reference=body.reference,
            caller=request.caller,
        )
        transfer, hold = transfer_of(outcome), _hold_of(outcome)
        released = hold.amount - transfer.amount
        data = schemas.CaptureData(
            hold_id=hold.id,
            transfer_id=transfer.id,
            quantity=transfer.quantity or hold.quantity,
            captured=format_amount(transfer.amount),
            released=format_amount(released),
            balance=format_amount(transfer.posted_after),
            # The rest goes back by a transfer of its own, right after this one.
            available=format_amount(transfer.wallet_after + released),
        )
        return answer(data, replay_headers(is_replay=outcome.is_replay))

    @route(
        method="POST",
        path="/api/holds/{hold_id:str}/release",
        keys=SERVICE,
        summary="Give a hold's money back",
        data=schemas.ReleaseData,
        refusals=_HOLD_REFUSALS,
    )
    async def release(self, request: ApiRequest, body: schemas.ReleaseRequest) -> Answer:
        """Give a hold's money back."""
        outcome = await self._services.operations.release(
            text_in_path(request, "hold_id"),
            idempotency_key=body.idempotency_key,
            reference=body.reference,
            caller=request.caller,
        )
        transfer = transfer_of(outcome)
        data = schemas.ReleaseData(
            hold_id=_hold_of(outcome).id,
            transfer_id=transfer.id,
            released=format_amount(transfer.amount),
            balance=format_amount(transfer.posted_after),
            available=format_amount(transfer.wallet_after),
        )
        return answer(data, replay_headers(is_replay=outcome.is_replay))


def _hold_of(outcome: Outcome) -> Hold:
    """Return the hold that a command made or ended, or raise its refusal."""
    if outcome.hold is None:
        raise Refused(outcome)
    return outcome.hold
