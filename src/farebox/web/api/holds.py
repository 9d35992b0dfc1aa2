"""Holds: money set aside, then captured or released; those that are open can be listed and extended."""

from typing import Final

from farebox.core.holds import Hold
from farebox.core.money import format_amount
from farebox.core.outcomes import Code, Outcome
from farebox.core.permissions import Operation
from farebox.presenters.fields import amount_or_none
from farebox.presenters.holds import ExtendData, ReleaseData, extend_data, open_hold_data, release_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Refused, transfer_of
from farebox.web.api.answers import answer, replay_headers
from farebox.web.api.charges import SPEND_REFUSALS
from farebox.web.api.paths import merchant_in_query, own_or_named, text_in_path
from farebox.web.api_route import MERCHANT, SERVICE, SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas import spending as schemas
from farebox.web.schemas.admin import MerchantPageQuery

_HOLD_REFUSALS: Final = (
    Code.MERCHANT_CLOSED,
    Code.HOLD_NOT_FOUND,
    Code.HOLD_ALREADY_CAPTURED,
    Code.HOLD_ALREADY_RELEASED,
    Code.HOLD_EXPIRED,
)


class HoldEndpoints(Endpoints):
    """Setting money aside, seeing what is, and taking it or giving it back."""

    @route(
        method="GET",
        path="/api/holds",
        keys=MERCHANT | SERVICE,
        summary="List a merchant's open holds",
        data=schemas.HoldsData,
        refusals=(Code.MERCHANT_NOT_FOUND,),
        description="A merchant is told of its own holds, a service of those of the merchant that it names.",
    )
    async def list_holds(self, request: ApiRequest, query: schemas.HoldsQuery) -> Answer:
        """Tell what is set aside of a merchant's money."""
        merchant_id = own_or_named(request, merchant_in_query(query), "A merchant's key reads that merchant's holds")
        if merchant_id is None:
            raise InvalidInput("merchant", "a service names the merchant whose holds it wants")
        await self._services.merchants.get(merchant_id)
        return await self._page(merchant_id, query)

    @route(
        method="GET",
        path="/api/admin/holds",
        keys=SUPPORT,
        summary="List open holds of all merchants, or of one",
        data=schemas.HoldsData,
    )
    async def list_all_holds(self, request: ApiRequest, query: MerchantPageQuery) -> Answer:
        """Tell what is set aside."""
        return await self._page(merchant_in_query(query), query)

    @route(
        method="POST",
        path="/api/holds",
        keys=SERVICE,
        summary="Set aside the cost of a request",
        data=schemas.HoldData,
        refusals=SPEND_REFUSALS,
    )
    async def open_hold(self, request: ApiRequest, body: schemas.HoldRequest) -> Answer:
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
            Code.IDEMPOTENCY_CONFLICT,
            *_HOLD_REFUSALS,
            Code.UNKNOWN_QUANTITY,
            Code.QUANTITIES_REQUIRED,
            Code.AMOUNT_REQUIRED,
            Code.AMOUNT_NOT_ALLOWED,
            Code.COST_TOO_LARGE,
            Code.MERCHANT_FROZEN,
            Code.CAPTURE_EXCEEDS_HOLD,
            Code.AMOUNT_TOO_LARGE,
            Code.BALANCE_LIMIT_EXCEEDED,
            Code.KEY_BUDGET_EXCEEDED,
            Code.MONEY_OWED,
            Code.INSUFFICIENT_BALANCE,
        ),
    )
    async def capture_hold(self, request: ApiRequest, body: schemas.CaptureRequest) -> Answer:
        """Take a hold's money, or a part of it; the rest goes back at once."""
        outcome = await self._services.operations.capture(
            text_in_path(request, "hold_id"),
            idempotency_key=body.idempotency_key,
            quantity=body.quantity,
            quantities=body.quantities,
            amount=body.amount,
            reference=body.reference,
            above=body.above,
            caller=request.caller,
        )
        transfer, hold, charge = transfer_of(outcome), _hold_of(outcome), outcome.charge
        last = transfer if charge is None else charge
        released = hold.amount - transfer.amount
        data = schemas.CaptureData(
            hold_id=hold.id,
            transfer_id=transfer.id,
            quantity=(transfer.quantity or hold.quantity) + (0 if charge is None else charge.quantity or 0),
            captured=format_amount(transfer.amount),
            released=format_amount(released),
            balance=format_amount(last.posted_after),
            # The rest goes back by a transfer of its own, right after this one.
            available=format_amount(last.wallet_after + released),
            above=None
            if charge is None
            else schemas.AboveData(charge.id, format_amount(charge.amount), amount_or_none(charge.uncollected)),
        )
        return answer(data, replay_headers(is_replay=outcome.is_replay))

    @route(
        method="POST",
        path="/api/holds/{hold_id:str}/release",
        keys=SERVICE | SUPPORT,
        summary="Give a hold's money back",
        data=ReleaseData,
        operations=(Operation.MANAGE_HOLDS,),
        refusals=(*_HOLD_REFUSALS, Code.IDEMPOTENCY_CONFLICT),
        description="Support releases holds too, with a reason.",
    )
    async def release_hold(self, request: ApiRequest, body: schemas.ReleaseRequest) -> Answer:
        """Give a hold's money back."""
        outcome = await self._services.operations.release(
            text_in_path(request, "hold_id"),
            idempotency_key=body.idempotency_key,
            reference=body.reference,
            reason=body.reason,
            caller=request.caller,
            principal=request.support,
        )
        data = release_data(_hold_of(outcome).id, transfer_of(outcome))
        return answer(data, replay_headers(is_replay=outcome.is_replay))

    @route(
        method="POST",
        path="/api/holds/{hold_id:str}/extend",
        keys=SERVICE | SUPPORT,
        summary="Let a hold last longer",
        data=ExtendData,
        operations=(Operation.MANAGE_HOLDS,),
        refusals=(*_HOLD_REFUSALS, Code.HOLD_END_OUT_OF_BOUNDS),
        is_replayable=True,
        description="A hold that lasts longer already is left as it is, so to repeat this changes nothing.",
    )
    async def extend_hold(self, request: ApiRequest, body: schemas.ExtendRequest) -> Answer:
        """Let a hold last for so many seconds from now, or until a time."""
        outcome = await self._services.operations.extend(
            text_in_path(request, "hold_id"),
            ttl_seconds=body.ttl_seconds,
            expires_at=body.expires_at,
            caller=request.caller,
            principal=request.support,
        )
        return answer(extend_data(_hold_of(outcome)), replay_headers(is_replay=outcome.is_replay))

    async def _page(self, merchant_id: int | None, query: schemas.HoldsQuery | MerchantPageQuery) -> Answer:
        page = await self._services.open_holds.page(merchant_id, cursor=query.cursor, limit=query.limit)
        return answer(schemas.HoldsData([open_hold_data(hold) for hold in page.holds], page.next_cursor))


def _hold_of(outcome: Outcome) -> Hold:
    """Return the hold that a command made or ended, or raise its refusal."""
    if outcome.hold is None:
        raise Refused(outcome)
    return outcome.hold
