"""The statement: the book in pages, one line of it explained, and exports to keep and to verify."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response, StreamingResponse

from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import Page, Selection
from farebox.web.pages import render
from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.forms import Form
from farebox.web.pages.house import Audience, PageRequest, PageRoute

ROWS: Final = 50
_FILTERS: Final = ("from", "to", "kind", "type", "reference")
_NOTHING: Final = Page([], None)


class Statement:
    """A merchant's book."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{ROOT}/statement", Audience.VIEWER, get=self.show),
            PageRoute(f"{ROOT}/statement/{{transfer:str}}", Audience.VIEWER, get=self.show_one),
            PageRoute(f"{ROOT}/statement.csv", Audience.VIEWER, get=self.export_csv),
            PageRoute(f"{ROOT}/statement.jsonl", Audience.VIEWER, get=self.export_lines),
        ]

    async def show(self, ask: PageRequest) -> Response:
        """List transfers, newest first: those that agree with the filters."""
        ask.form = Form({name: [ask.query(name)] for name in _FILTERS})
        cursor = ask.query("cursor") or None
        try:
            page = await ask.services.statements.page(ask.merchant_id, _selection(ask), cursor=cursor, limit=ROWS)
        except InvalidInput as error:
            ask.form.fail(error)
            page = _NOTHING
        chosen = {name: ask.query(name) for name in _FILTERS if ask.query(name)}
        return await account_page(
            ask,
            "account/statement.html",
            422 if ask.form.errors else 200,
            page=page,
            kinds=[("", "All kinds"), *((kind, kind.replace("_", " ").capitalize()) for kind in KINDS)],
            cursor=cursor,
            chosen=urlencode(chosen),
            stretch=urlencode({name: text for name, text in chosen.items() if name in ("from", "to")}),
        )

    async def show_one(self, ask: PageRequest) -> Response:
        """Explain one line: why was this charged?"""
        transfer, refers_to = await ask.services.console.transfer(ask.merchant_id, ask.param("transfer"))
        prices = [*await ask.services.merchants.prices(None), *await ask.services.merchants.prices(ask.merchant_id)]
        price = next((it for it in prices if it.price_id == transfer.price_id), None)
        return await account_page(ask, "account/transfer.html", transfer=transfer, refers_to=refers_to, price=price)

    async def export_csv(self, ask: PageRequest) -> Response:
        """Give the chosen transfers as CSV, oldest first."""
        pieces = await ask.services.statements.export_csv(ask.merchant_id, _selection(ask))
        return _download(ask, pieces, "text/csv", "csv")

    async def export_lines(self, ask: PageRequest) -> Response:
        """Give a stretch of the book as JSON lines, which can be verified offline."""
        wanted = _selection(ask)
        pieces = await ask.services.statements.export_lines(ask.merchant_id, start=wanted.start, end=wanted.end)
        return _download(ask, pieces, "application/x-ndjson", "jsonl")


def _selection(ask: PageRequest) -> Selection:
    """Read which transfers are wanted; days are the reader's, both ends included.

    Raises:
        InvalidInput: a day that is none.
    """
    first, last = ask.query("from"), ask.query("to")
    return Selection(
        start=_midnight(inputs.day("from", first), ask.zone) if first else None,
        end=_midnight(inputs.day("to", last) + timedelta(days=1), ask.zone) if last else None,
        kind=ask.query("kind") or None,
        request_type=ask.query("type") or None,
        reference=ask.query("reference") or None,
    )


def _midnight(day: date, zone: ZoneInfo) -> str:
    """Write when a day begins in a zone, as RFC 3339."""
    return f"{datetime.combine(day, time(), zone).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _download(ask: PageRequest, pieces: AsyncIterator[bytes], media: str, suffix: str) -> Response:
    name = f"{ids.public_id(ids.MERCHANT, ask.merchant_id)}.{suffix}"
    headers = {**render.HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, media_type=media, headers=headers)
