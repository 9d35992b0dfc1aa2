"""Given credit: support gives it, lists it and ends it; a merchant reads what it was given."""

from typing import Final

from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.approvals import ApprovalData
from farebox.presenters.grants import EndedGrantData, GrantData, ended_grant_data, grant_data
from farebox.service.operator.grants import GrantFields, grant_of
from farebox.web.api.answers import answer, replay_headers, waiting_answer
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path, text_in_path
from farebox.web.api_route import MERCHANT, SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import PageQuery
from farebox.web.schemas.grants import EndGrantRequest, GrantRequest, GrantsData

_GRANTS_PATH: Final = f"{MERCHANT_PATH}/grants"


class GrantEndpoints(Endpoints):
    """Credit that was not paid for."""

    @route(
        method="GET",
        path="/api/grants",
        keys=MERCHANT,
        summary="List the credit that was given, newest first",
        data=GrantsData,
    )
    async def list_grants(self, request: ApiRequest, query: PageQuery) -> Answer:
        """List a page of a merchant's own grants."""
        return await self._page(request.merchant_id, query)

    @route(
        method="GET",
        path=_GRANTS_PATH,
        keys=SUPPORT,
        summary="List the credit that a merchant was given, newest first",
        data=GrantsData,
        refusals=(Code.MERCHANT_NOT_FOUND,),
    )
    async def list_merchant_grants(self, request: ApiRequest, query: PageQuery) -> Answer:
        """List a page of a merchant's grants."""
        merchant_id = merchant_in_path(request)
        await self._services.merchants.get(merchant_id)
        return await self._page(merchant_id, query)

    @route(
        method="POST",
        path=_GRANTS_PATH,
        keys=SUPPORT,
        summary="Give a merchant credit that was not paid for",
        data=GrantData,
        operations=(Operation.GIVE_CREDIT,),
        accepted=ApprovalData,
        refusals=(
            Code.MERCHANT_NOT_FOUND,
            Code.MERCHANT_CLOSED,
            Code.IDEMPOTENCY_CONFLICT,
            Code.APPROVAL_ALREADY_REJECTED,
            Code.GRANT_TIMES_OUT_OF_BOUNDS,
            Code.AMOUNT_TOO_FINE,
            Code.BALANCE_LIMIT_EXCEEDED,
        ),
        description="Above the operator's limit it waits for another support person's approval: then the answer is "
        "202.",
        is_made_once=True,
    )
    async def give_grant(self, request: ApiRequest, body: GrantRequest) -> Answer:
        """Give credit."""
        await self._services.repeats.bind(request.request_key(body))
        fields = GrantFields(
            amount=body.amount,
            reference=body.reference,
            reason=body.reason,
            starts_at=body.starts_at,
            expires_at=body.expires_at,
            types=body.types,
            priority=body.priority,
        )
        outcome = await self._services.grants.give(merchant_in_path(request), fields, principal=request.principal)
        return waiting_answer(outcome) or answer(
            grant_data(grant_of(outcome)), replay_headers(is_replay=outcome.is_replay)
        )

    @route(
        method="POST",
        path=f"{_GRANTS_PATH}/{{grant_id:str}}/end",
        keys=SUPPORT,
        summary="Take back what is left of a grant",
        data=EndedGrantData,
        operations=(Operation.GIVE_CREDIT,),
        refusals=(Code.MERCHANT_NOT_FOUND, Code.MERCHANT_CLOSED, Code.GRANT_NOT_FOUND, Code.GRANT_ALREADY_ENDED),
        is_replayable=True,
        description="One that waits never starts. What holds have set aside of it stays set aside; what of that is not "
        "captured ends when it goes back.",
    )
    async def end_grant(self, request: ApiRequest, body: EndGrantRequest) -> Answer:
        """End a grant before its time."""
        outcome = await self._services.grants.end(
            merchant_in_path(request),
            text_in_path(request, "grant_id"),
            reason=body.reason,
            principal=request.principal,
        )
        data = ended_grant_data(grant_of(outcome), outcome.transfer)
        return answer(data, replay_headers(is_replay=outcome.is_replay))

    async def _page(self, merchant_id: int, query: PageQuery) -> Answer:
        page = await self._services.grants.page(merchant_id, cursor=query.cursor, limit=query.limit)
        return answer(GrantsData([grant_data(grant) for grant in page.grants], page.next_cursor))
