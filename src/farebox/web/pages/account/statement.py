"""The statement: the book in pages, one line of it explained, and exports to keep and to verify."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.responses import Response

from farebox.core import ids
from farebox.service import inputs
from farebox.service.errors import InvalidInput
from farebox.service.languages import gettext_noop
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import Page, Selection
from farebox.web.pages.account.common import account_page
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.explanations import explanation
from farebox.web.pages.forms import Form
from farebox.web.pages.given_parts import given_parts
from farebox.web.pages.reader_check import Download
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50
_KIND_LABELS: Final = {
    "top_up": gettext_noop("Top up"),
    "top_up_reversal": gettext_noop("Top up reversal"),
    "charge": gettext_noop("Charge"),
    "refund": gettext_noop("Refund"),
    "hold": gettext_noop("Hold"),
    "capture": gettext_noop("Capture"),
    "release": gettext_noop("Release"),
    "expire": gettext_noop("Expire"),
    "adjustment": gettext_noop("Adjustment"),
    "grant": gettext_noop("Grant"),
    "grant_expiry": gettext_noop("Grant expiry"),
}
_FILTERS: Final = ("from", "to", "kind", "type", "reference")
_NOTHING: Final = Page([], None)


class StatementPages:
    """A merchant's book."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{ROOT}/statement", Audience.VIEWER, get=self.show),
            PageRoute(f"{ROOT}/statement/{{transfer:str}}", Audience.VIEWER, get=self.show_one),
            PageRoute(f"{ROOT}/statement.csv", Audience.VIEWER, get=self.export_csv),
            PageRoute(f"{ROOT}/statement.jsonl", Audience.VIEWER, get=self.export_lines),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List transfers, newest first: those that agree with the filters."""
        request.form = Form({name: [request.query(name)] for name in _FILTERS})
        cursor = request.query("cursor") or None
        try:
            page = await request.services.statements.page(
                request.merchant_id, _selection(request), cursor=cursor, limit=ROWS
            )
        except InvalidInput as error:
            request.form.fail(error)
            page = _NOTHING
        say = request.language.gettext
        chosen = {name: request.query(name) for name in _FILTERS if request.query(name)}
        return await account_page(
            request,
            "account/statement.html",
            422 if request.form.errors else 200,
            page=page,
            kinds=[("", say("All kinds")), *((kind, say(_KIND_LABELS[kind])) for kind in KINDS)],
            cursor=cursor,
            chosen=urlencode(chosen),
            stretch=urlencode({name: text for name, text in chosen.items() if name in ("from", "to")}),
        )

    async def show_one(self, request: PageRequest) -> Response:
        """Explain one line: why was this charged?"""
        transfer, refers_to = await request.services.console.transfer(request.merchant_id, request.param("transfer"))
        read = await request.services.merchants.get(request.merchant_id)
        returns = await request.services.console.returns(transfer)
        return await account_page(
            request,
            "account/transfer.html",
            read=read,
            transfer=transfer,
            refers_to=refers_to,
            explained=await explanation(request, transfer, refers_to, read[1].currency),
            returns=returns,
            given=await given_parts(request, transfer),
        )

    async def export_csv(self, request: PageRequest) -> Response:
        """Give the chosen transfers as CSV, oldest first."""
        pieces = await request.services.statements.export_csv(request.merchant_id, _selection(request))
        return _download(request, pieces, "text/csv", "csv")

    async def export_lines(self, request: PageRequest) -> Response:
        """Give a stretch of the book as JSON lines, which can be verified offline."""
        wanted = _selection(request)
        pieces = await request.services.statements.export_lines(request.merchant_id, start=wanted.start, end=wanted.end)
        return _download(request, pieces, "application/x-ndjson", "jsonl")


def _selection(request: PageRequest) -> Selection:
    """Read which transfers are wanted; days are the reader's, both ends included.

    Raises:
        InvalidInput: a day is not one.
    """
    first, last = request.query("from"), request.query("to")
    return Selection(
        start=_midnight(inputs.day("from", first), request.zone) if first else None,
        end=_midnight(inputs.day("to", last) + timedelta(days=1), request.zone) if last else None,
        kind=request.query("kind") or None,
        request_type=request.query("type") or None,
        reference=request.query("reference") or None,
    )


def _midnight(day: date, zone: ZoneInfo) -> str:
    """Write when a day begins in a zone, as RFC 3339."""
    return f"{datetime.combine(day, time(), zone).astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def _download(request: PageRequest, pieces: AsyncIterator[bytes], media: str, suffix: str) -> Response:
    name = f"{ids.public_id(ids.MERCHANT, request.merchant_id)}.{suffix}"
    return Download(request, pieces, name=name, media_type=media)
