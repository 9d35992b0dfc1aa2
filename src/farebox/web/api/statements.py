"""Statements: a merchant's book in pages of JSON, as CSV, or as JSON lines that can be verified offline."""

from typing import Final, TypeVar

from msgspec import UnsetType

from farebox.core import ids
from farebox.core.outcomes import Code
from farebox.service.errors import InvalidInput
from farebox.service.statements.lines import transfer_data
from farebox.service.statements.reader import PAGE_TRANSFERS_DEFAULT, Selection
from farebox.web.api.answers import answer
from farebox.web.api.charge_batches import NDJSON
from farebox.web.api.downloads import CSV, download
from farebox.web.api.paths import MERCHANT_PATH, merchant_in_path
from farebox.web.api_route import MERCHANT, SUPPORT, Answer, ApiRequest, Endpoints, Stream, route
from farebox.web.schemas.statement import TransfersData, TransfersQuery

_ABOUT: Final = (
    "A page is made from a bounded part of the book: where few transfers are wanted it may be short or even empty, and "
    "there are more as long as it has a nextCursor. Transfers that come meanwhile are on no later page. The format of "
    "JSON lines is documented in docs/how-to/verify-a-statement.md; they end with a trailer, without which they were "
    "cut off."
)

_T = TypeVar("_T")


class StatementEndpoints(Endpoints):
    """Reading a book."""

    @route(
        method="GET",
        path="/api/transfers",
        keys=MERCHANT,
        summary="Read the statement",
        data=TransfersData,
        media=(CSV, NDJSON),
        description=_ABOUT,
    )
    async def list_transfers(self, request: ApiRequest, query: TransfersQuery) -> Answer | Stream:
        """Show a merchant its own book."""
        return await self._transfers(request, request.merchant_id, query)

    @route(
        method="GET",
        path=f"{MERCHANT_PATH}/transfers",
        keys=SUPPORT,
        summary="Read a merchant's statement",
        data=TransfersData,
        media=(CSV, NDJSON),
        refusals=(Code.MERCHANT_NOT_FOUND,),
        description=_ABOUT,
    )
    async def list_merchant_transfers(self, request: ApiRequest, query: TransfersQuery) -> Answer | Stream:
        """Show support a merchant's book."""
        return await self._transfers(request, merchant_in_path(request), query)

    async def _transfers(self, request: ApiRequest, merchant_id: int, query: TransfersQuery) -> Answer | Stream:
        selection = Selection(
            start=_given(query.start),
            end=_given(query.end),
            kind=_given(query.kind),
            request_type=_given(query.type),
            reference=_given(query.reference),
        )
        cursor, limit = _given(query.cursor), _given(query.limit)
        statements = self._services.statements
        merchant = ids.public_id(ids.MERCHANT, merchant_id)
        if query.format == "json":
            page = await statements.page(
                merchant_id, selection, cursor=cursor, limit=PAGE_TRANSFERS_DEFAULT if limit is None else limit
            )
            return answer(TransfersData([transfer_data(transfer) for transfer in page.transfers], page.next_cursor))
        for name, value in (("cursor", cursor), ("limit", limit)):
            if value is not None:
                raise InvalidInput(name, f"format={query.format} gives all at once, without pages")
        if query.format == "csv":
            pieces = await statements.export_csv(merchant_id, selection)
            return download(request, f"{merchant}.csv", pieces, CSV)
        for name, text in (("kind", selection.kind), ("type", query.type), ("reference", query.reference)):
            if isinstance(text, str):
                raise InvalidInput(
                    name, "format=jsonl is a whole stretch of the book, or it could not be verified; take from and to"
                )
        pieces = await statements.export_lines(merchant_id, start=selection.start, end=selection.end)
        return download(request, f"{merchant}.jsonl", pieces, NDJSON)


def _given(value: _T | UnsetType) -> _T | None:
    return None if isinstance(value, UnsetType) else value
