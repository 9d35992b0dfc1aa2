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
from farebox.presenters.notes import NoteData, note_data
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ensure_done
from farebox.service.operator.merchant_changes import MerchantFields
from farebox.service.operator.merchant_export import merchants_csv
from farebox.service.operator.merchants import Merchant, NewKey, merchant_filter
from farebox.web.api.answers import answer, answer_once, replay_headers, waiting_answer
from farebox.web.api.downloads import CSV, download
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import SUPPORT, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.schemas.admin import (
    ClosingRequest,
    MerchantChange,
    MerchantRequest,
    MerchantsData,
    MerchantsQuery,
    NoteRequest,
    NotesData,
    PageQuery,
)

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
        media=(CSV,),
        description="Closed ones stand among them, unless the query says which are wanted. As CSV they come without "
        "pages, each with its balances, state and tags.",
    )
    async def list_merchants(self, request: ApiRequest, query: MerchantsQuery) -> Answer | Stream:
        """List a page of merchants, or all of them as CSV."""
        is_closed = None if query.closed is None else query.closed == "true"
        wanted = merchant_filter(is_closed=is_closed, tag=query.tag)
        if query.format == "csv":
            if query.cursor is not None:
                raise InvalidInput("cursor", "format=csv gives all at once, without pages")
            return download(request, "merchants.csv", merchants_csv(self._services.merchants, wanted), CSV)
        after = None if query.cursor is None else inputs.public_id("cursor", ids.MERCHANT, query.cursor)
        page = await self._services.merchants.page(after=after, limit=query.limit, wanted=wanted)
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
        summary="Change a merchant's name, rules or tags",
        data=MerchantData,
        accepted=ApprovalData,
        operations=(
            *(Operation.MANAGE_MERCHANTS, Operation.SET_THRESHOLDS, Operation.SET_CREDIT_LIMIT),
            Operation.ANNOTATE,
        ),
        refusals=(
            *_UNKNOWN,
            Code.MERCHANT_CLOSED,
            Code.IDEMPOTENCY_CONFLICT,
            Code.CREDIT_LIMIT_IN_USE,
            Code.AMOUNT_TOO_FINE,
        ),
        description=(
            "Thresholds are replaced as a whole, and so are tags. Nothing is changed if the credit limit is refused. "
            "If it is raised above the operator's limit, it waits for another person's approval: then the answer is "
            "202, and all else is done."
        ),
    )
    async def change_merchant(self, request: ApiRequest, body: MerchantChange) -> Answer:
        """Change what is named; what is not named stays."""
        merchant_id = merchant_in_path(request)
        change = MerchantFields(
            name=_named(body.name),
            thresholds=_named(body.thresholds),
            runway_thresholds=_named(body.runway_thresholds),
            credit_limit=_named(body.credit_limit),
            tags=_named(body.tags),
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
        refusals=(*_UNKNOWN, Code.MERCHANT_CLOSED),
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
        refusals=(*_UNKNOWN, Code.MERCHANT_CLOSED),
    )
    async def unfreeze_merchant(self, request: ApiRequest) -> Answer:
        """Let a merchant spend again."""
        return await self._set_frozen(request, is_frozen=False)

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/close",
        keys=SUPPORT,
        summary="Close a merchant",
        data=MerchantData,
        operations=(Operation.MANAGE_MERCHANTS,),
        refusals=(*_UNKNOWN, Code.MERCHANT_NOT_EMPTY),
        is_replayable=True,
        description="What it paid must be spent before, or paid out or written off by an adjustment, and no hold may "
        "be open; given credit ends. Then its keys open nothing, and no money of it moves. Its users can still read.",
    )
    async def close_merchant(self, request: ApiRequest, body: ClosingRequest) -> Answer:
        """Close a merchant."""
        return await self._set_closed(request, body, is_closed=True)

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/reopen",
        keys=SUPPORT,
        summary="Open a closed merchant again",
        data=MerchantData,
        operations=(Operation.MANAGE_MERCHANTS,),
        refusals=_UNKNOWN,
        is_replayable=True,
        description="Its keys that were neither revoked nor expired work again.",
    )
    async def reopen_merchant(self, request: ApiRequest, body: ClosingRequest) -> Answer:
        """Open a closed merchant again."""
        return await self._set_closed(request, body, is_closed=False)

    async def _set_closed(self, request: ApiRequest, body: ClosingRequest, *, is_closed: bool) -> Answer:
        merchant_id, operations = merchant_in_path(request), self._services.operations
        outcome = await operations.set_closed(
            merchant_id, is_closed=is_closed, reason=body.reason, principal=request.principal
        )
        ensure_done(outcome)
        data = merchant_data(*await self._services.merchants.get(merchant_id))
        return answer(data, replay_headers(is_replay=outcome.is_replay))

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/notes",
        keys=SUPPORT,
        summary="Read what was noted about a merchant",
        data=NotesData,
        refusals=_UNKNOWN,
    )
    async def list_notes(self, request: ApiRequest, query: PageQuery) -> Answer:
        """List a page of a merchant's notes."""
        merchant_id = merchant_in_path(request)
        await self._services.merchants.get(merchant_id)
        before = None if query.cursor is None else inputs.public_id("cursor", ids.NOTE, query.cursor)
        notes = await self._services.annotations.notes(merchant_id, before=before, limit=query.limit)
        data = [note_data(note) for note in notes]
        return answer(NotesData(data, data[-1].note_id if len(data) == query.limit else None))

    @route(
        method="POST",
        path=f"{MERCHANT_PATH}/notes",
        keys=SUPPORT,
        summary="Note something about a merchant",
        data=NoteData,
        operations=(Operation.ANNOTATE,),
        refusals=_UNKNOWN,
        is_made_once=True,
        description="For the staff alone; notes stay, and stand in the audit log too.",
    )
    async def add_note(self, request: ApiRequest, body: NoteRequest) -> Answer:
        """Note something about a merchant."""
        merchant_id, annotations = merchant_in_path(request), self._services.annotations
        make = partial(annotations.note, merchant_id, body.text)
        find = partial(annotations.made, merchant_id)
        return await answer_once(self._services.repeats, request, body, make=make, find=find, data=note_data)

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
