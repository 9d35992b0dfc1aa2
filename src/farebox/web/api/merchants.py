"""Merchants and their rules, as support sets them up."""

from functools import partial
from typing import Final, TypeVar

import msgspec

from farebox.core import ids
from farebox.core.accounts import Account
from farebox.core.outcomes import Code
from farebox.core.permissions import Operation
from farebox.presenters.approvals import ApprovalData
from farebox.presenters.merchants import MerchantData, NewMerchantData, merchant_data, new_merchant_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ensure_done
from farebox.service.operator.merchant_changes import MerchantFields
from farebox.service.operator.merchants import Merchant, NewKey
from farebox.web.api.answers import answer, answer_once, waiting_answer
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, route
from farebox.web.schemas.admin import MerchantChange, MerchantRequest, MerchantsData, PageQuery

_Value = TypeVar("_Value")
_UNKNOWN: Final = (Code.MERCHANT_NOT_FOUND,)


class MerchantEndpoints(Endpoints):
    """Adding merchants, reading and changing them."""

    @route(
        method="GET",
        path="/api/admin/merchants",
        keys=SUPPORT,
        summary="List merchants, oldest first",
        data=MerchantsData,
    )
    async def list_merchants(self, request: ApiRequest, query: PageQuery) -> Answer:
        """List a page of merchants."""
        after = None if query.cursor is None else inputs.public_id("cursor", ids.MERCHANT, query.cursor)
        page = await self._services.merchants.page(after=after, limit=query.limit)
        more = len(page) == query.limit
        return answer(
            MerchantsData(
                [merchant_data(merchant, account) for merchant, account in page], page[-1][0].id if more else None
            )
        )

    @route(
        method="POST",
        path="/api/admin/merchants",
        keys=SUPPORT,
        summary="Add a merchant",
        data=NewMerchantData,
        operations=(Operation.MANAGE_MERCHANTS,),
        is_made_once=True,
    )
    async def create_merchant(self, request: ApiRequest, body: MerchantRequest) -> Answer:
        """Add a merchant and show its first key, this once."""
        if body.threshold is not None and body.thresholds is not None:
            raise InvalidInput("thresholds", "name one threshold, or a list of thresholds, not both")
        thresholds = body.thresholds or []
        if body.threshold is not None:
            limit = inputs.amount("creditLimit", body.credit_limit, is_zero_allowed=True)
            code = inputs.currency("currency", body.currency)
            inputs.thresholds("threshold", [body.threshold], credit_limit=limit, currency=code)
            thresholds = [body.threshold]
        services = self._services
        return await answer_once(
            services.repeats,
            request,
            body,
            make=partial(
                services.merchants.create,
                name=body.name,
                currency=body.currency,
                thresholds=thresholds,
                credit_limit=body.credit_limit,
            ),
            find=services.merchants.made,
            data=_new_merchant,
        )

    @route(
        method="GET",
        path=MERCHANT_PATH,
        keys=SUPPORT,
        summary="Read a merchant",
        data=MerchantData,
        refusals=_UNKNOWN,
    )
    async def get_merchant(self, request: ApiRequest) -> Answer:
        """Read a merchant and its account."""
        return await self._merchant(merchant_in_path(request))

    @route(
        method="PATCH",
        path=MERCHANT_PATH,
        keys=SUPPORT,
        summary="Change a merchant's name or rules",
        data=MerchantData,
        accepted=ApprovalData,
        operations=(Operation.MANAGE_MERCHANTS, Operation.SET_THRESHOLDS, Operation.SET_CREDIT_LIMIT),
        refusals=(*_UNKNOWN, Code.IDEMPOTENCY_CONFLICT, Code.CREDIT_LIMIT_IN_USE, Code.AMOUNT_TOO_FINE),
        description=(
            "Thresholds are replaced as a whole. Nothing is changed if the credit limit is refused. If it is raised "
            "above the operator's limit, it waits for another person's approval: then the answer is 202, and all else "
            "is done."
        ),
    )
    async def change_merchant(self, request: ApiRequest, body: MerchantChange) -> Answer:
        """Change what is named; what is not named stays."""
        merchant_id = merchant_in_path(request)
        change = MerchantFields(
            name=_named(body.name), thresholds=_named(body.thresholds), credit_limit=_named(body.credit_limit)
        )
        limited = await self._services.merchant_changes.apply(merchant_id, change, principal=request.principal)
        waits = None if limited is None else waiting_answer(limited)
        return waits or await self._merchant(merchant_id)

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/freeze",
        keys=SUPPORT,
        summary="Stop a merchant's spending",
        data=MerchantData,
        operations=(Operation.FREEZE,),
        refusals=_UNKNOWN,
    )
    async def freeze_merchant(self, request: ApiRequest) -> Answer:
        """Stop a merchant's spending."""
        return await self._set_frozen(request, is_frozen=True)

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/unfreeze",
        keys=SUPPORT,
        summary="Let a merchant spend again",
        data=MerchantData,
        operations=(Operation.FREEZE,),
        refusals=_UNKNOWN,
    )
    async def unfreeze_merchant(self, request: ApiRequest) -> Answer:
        """Let a merchant spend again."""
        return await self._set_frozen(request, is_frozen=False)

    async def _set_frozen(self, request: ApiRequest, *, is_frozen: bool) -> Answer:
        merchant_id, operations = merchant_in_path(request), self._services.operations
        ensure_done(await operations.set_frozen(merchant_id, is_frozen=is_frozen, principal=request.principal))
        return await self._merchant(merchant_id)

    async def _merchant(self, merchant_id: int) -> Answer:
        return answer(merchant_data(*await self._services.merchants.get(merchant_id)))


def _new_merchant(made: tuple[Merchant, Account, NewKey]) -> NewMerchantData:
    merchant, account, key = made
    return new_merchant_data(merchant, account, key.text)


def _named(value: _Value | msgspec.UnsetType) -> _Value | None:
    return None if isinstance(value, msgspec.UnsetType) else value
