"""The console's first page: merchants in an order or by search; and adding one."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.responses import Response

from farebox.core import ids
from farebox.core.permissions import Operation
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError, UnknownMerchant
from farebox.service.insight.forecast import RUNWAY_MAX
from farebox.service.insight.runway_words import lasts
from farebox.service.operator.console import SOON_DAYS, MerchantOrder, MerchantRow
from farebox.service.operator.merchant_export import merchants_csv
from farebox.service.operator.merchants import merchant_filter
from farebox.service.operator.unusual_spending import UnusualNow
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.amounts import threshold_fields, typed_thresholds
from farebox.web.pages.console.common import merchant_url
from farebox.web.pages.dashboard import state_of
from farebox.web.pages.paging import cut, page_of
from farebox.web.pages.reader_check import Download
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 25
SOON_ROWS: Final = 25
_QUERY_CHARS_MAX: Final = 200
_ORDERS: Final = {
    "age": MerchantOrder.AGE,
    "runway": MerchantOrder.RUNS_OUT,
    "balance": MerchantOrder.AVAILABLE,
    "last": MerchantOrder.LAST,
    "closed": MerchantOrder.CLOSING,
}
_THRESHOLDS: Final = "thresholds"
_UNUSUAL: Final = 5
"""How many merchants that spend unusually are shown above the others."""

_LIMIT: Final = "credit_limit"
_FIELDS: Final = {"creditLimit": _LIMIT}


class MerchantListPages:
    """Merchants, those first whose money runs out soon."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute("/support", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute("/support/merchants", Audience.SUPPORT, get=self.start, is_console=True),
            PageRoute("/support/merchants.csv", Audience.SUPPORT, get=self.export, is_console=True),
            PageRoute(
                "/support/merchants/new",
                Audience.SUPPORT,
                get=self.new,
                post=self.create,
                is_console=True,
                operation=Operation.MANAGE_MERCHANTS,
                is_form=True,
                is_done_once=True,
            ),
        ]

    async def start(self, request: PageRequest) -> Response:
        """Send on to where the merchants are."""
        return request.redirect("/support")

    async def show(self, request: PageRequest) -> Response:
        """List merchants: by search, in an order, or as they come, below those who run out soon."""
        text = request.query("q").strip()[:_QUERY_CHARS_MAX]
        sort = request.query("sort") if request.query("sort") in _ORDERS else ""
        tag = request.query("tag").strip().lower()[:_QUERY_CHARS_MAX]
        page = page_of(request)
        console = request.services.console
        soon: Sequence[MerchantRow] = []
        unusual: Sequence[UnusualNow] = []
        more_soon = False
        if text:
            if (url := await self._exact(request, text)) is not None:
                return request.redirect(url)
            found_rows = await console.search(text, limit=ROWS + 1, offset=page * ROWS)
        elif tag:
            found_rows = []
            with suppress(InvalidInput):
                found_rows = await console.with_tag(inputs.tag("tag", tag), limit=ROWS + 1, offset=page * ROWS)
        else:
            found_rows = await console.merchants(_ORDERS[sort or "age"], limit=ROWS + 1, offset=page * ROWS)
        rows, more = cut(found_rows, ROWS)
        now = console.now()
        if sort:
            # Some orders are as of some minutes ago; within a page the figures of now go one after the other.
            rows = sorted(rows, key=_IN_ORDER[sort](now))
        if not text and not tag and not sort and not page:
            unusual = await request.services.unusual_spendings.latest(_UNUSUAL)
            soon, more_soon = cut(await console.soon(SOON_ROWS + 1, request.zone, beside=rows), SOON_ROWS)
        numbers = sorted({row.merchant.merchant_id for row in (*soon, *rows)})
        refused = await request.services.refusals.today_of(numbers, request.zone)
        return request.page(
            "console/merchants.html",
            unusual=unusual,
            now=now,
            soon=[_shown(row, now, request.zone, refused) for row in soon],
            more_soon=more_soon,
            rows=[_shown(row, now, request.zone, refused) for row in rows],
            more=more,
            number=page,
            sort=sort,
            text=text,
            tag=tag,
            days=SOON_DAYS,
        )

    async def export(self, request: PageRequest) -> Response:
        """Give all merchants as CSV, or those that have a tag."""
        wanted = merchant_filter(tag=request.query("tag") or None)
        pieces = merchants_csv(request.services.merchants, wanted)
        return Download(request, pieces, name="merchants.csv", media_type="text/csv")

    async def new(self, request: PageRequest) -> Response:
        """Show the form by which a merchant is added."""
        return _form(request)

    async def create(self, request: PageRequest) -> Response:
        """Add a merchant; its first key is shown this once."""
        form = request.form
        try:
            currency = _currency(form.text("currency"))
            credit_limit = typed_amount(_LIMIT, form.text(_LIMIT) or "0", currency, is_zero_allowed=True)
            limit = inputs.amount(_LIMIT, credit_limit, is_zero_allowed=True)
            create = partial(
                request.services.merchants.create,
                name=form.text("name"),
                currency=currency,
                thresholds=typed_thresholds(form, _THRESHOLDS, currency, limit),
                credit_limit=credit_limit,
                principal=request.principal,
            )
            made = await request.make_once(create, request.services.merchants.made)
        except ServiceError as error:
            form.fail(error, _FIELDS)
            return _form(request, 422)
        merchant, account, key = made.thing
        root = merchant_url(merchant.merchant_id)
        return request.page("console/merchant_made.html", merchant=merchant, account=account, key=key, root=root)

    async def _exact(self, request: PageRequest, text: str) -> str | None:
        """Return the page of the merchant whose id was typed."""
        try:
            number = inputs.public_id("q", ids.MERCHANT, text)
            await request.services.merchants.get(number)
        except (InvalidInput, UnknownMerchant):
            return None
        return merchant_url(number)


def _form(request: PageRequest, status: int = 200) -> Response:
    """Show the form by which a merchant is added."""
    return request.page("console/merchant_new.html", status, thresholds=threshold_fields(request.form, _THRESHOLDS))


def _currency(text: str) -> str:
    """Read a currency's code, in capitals or not.

    Raises:
        InvalidInput: it is none; the message has it as it was typed.
    """
    with suppress(InvalidInput):
        return inputs.currency("currency", text.upper())
    return inputs.currency("currency", text)


def _shown(row: MerchantRow, now: int, zone: ZoneInfo, refused: Mapping[int, int]) -> dict[str, Any]:
    """Prepare a merchant's line."""
    runway = row.runway(now)
    return {
        "url": merchant_url(row.merchant.merchant_id),
        "name": row.merchant.name,
        "merchant": row.merchant,
        "account": row.account,
        "lasts": "" if runway is None else lasts(runway, zone),
        "state": state_of(row.account),
        "refused": refused.get(row.merchant.merchant_id, 0),
    }


def _until(row: MerchantRow, now: int) -> int:
    runway = row.runway(now)
    return now + RUNWAY_MAX if runway is None else runway.until


_IN_ORDER: Final[dict[str, Callable[[int], Callable[[MerchantRow], int]]]] = {
    "age": lambda now: lambda row: -row.merchant.merchant_id,
    "runway": lambda now: lambda row: _until(row, now),
    "balance": lambda now: lambda row: row.account.available,
    "last": lambda now: lambda row: -row.account.last_at,
    "closed": lambda now: lambda row: -(row.account.closed_at or 0),
}
"""By what merchants are sorted, at a moment."""
