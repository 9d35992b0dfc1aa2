"""A merchant's transfers for support: the book in pages, and one transfer, to give back or take back."""

import secrets
from typing import Final

from starlette.responses import Response

from farebox.core.accounts import Kind
from farebox.core.permissions import Operation
from farebox.core.transfers import Transfer
from farebox.service.errors import ServiceError, ensure_done
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import Selection
from farebox.web.pages.console.common import CURSOR, MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50
_REFUNDABLE: Final = frozenset({Kind.CHARGE, Kind.CAPTURE})
_ONCE_BYTES: Final = 16
_FIELDS: Final = {"idempotencyKey": "once"}


class TransferPages:
    """A merchant's book."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        one = f"{MERCHANT}/transfers/{{transfer:str}}"
        return [
            PageRoute(f"{MERCHANT}/transfers", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(one, Audience.SUPPORT, get=self.show_one, is_console=True),
            PageRoute(f"{one}/refund", Audience.SUPPORT, post=self.refund, is_console=True, operation=Operation.REFUND),
            PageRoute(
                f"{one}/take-back",
                Audience.SUPPORT,
                post=self.take_back,
                is_console=True,
                operation=Operation.REVERSE_TOP_UP,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List transfers, newest first."""
        kind = request.query("kind") if request.query("kind") in KINDS else ""
        cursor = request.query(CURSOR) or None
        page = await request.services.statements.page(
            merchant_of(request), Selection(kind=kind or None), cursor=cursor, limit=ROWS
        )
        return await merchant_page(request, "console/transfers.html", page=page, kind=kind, kinds=KINDS, cursor=cursor)

    async def show_one(self, request: PageRequest) -> Response:
        """Show one transfer, and the form by which it is given back or taken back, if it can be."""
        return await self._one(request)

    async def refund(self, request: PageRequest) -> Response:
        """Give a charge or capture back, in whole or in part."""
        form = request.form
        # A transfer of another merchant's is none of this page's.
        transfer, _ = await request.services.console.transfer(merchant_of(request), request.param("transfer"))
        try:
            ensure_done(
                await request.services.operations.refund(
                    transfer.id,
                    idempotency_key=f"console-{form.text('once')}",
                    amount=form.text("amount") or None,
                    reference=form.text("reference") or None,
                    note=form.text("note") or None,
                    caller=None,
                    principal=request.principal,
                )
            )
        except ServiceError as error:
            form.fail(error, _FIELDS)
            return await self._one(request, status=422)
        return request.redirect(f"{merchant_url(transfer.merchant_id)}/transfers/{transfer.id}", "refunded")

    async def take_back(self, request: PageRequest) -> Response:
        """Take a top-up back, in whole or in part."""
        form = request.form
        try:
            ensure_done(
                await request.services.operations.reverse_top_up(
                    merchant_of(request),
                    transfer=request.param("transfer"),
                    amount=form.text("amount") or None,
                    reference=form.text("reference"),
                    reason=form.text("reason"),
                    principal=request.principal,
                )
            )
        except ServiceError as error:
            form.fail(error)
            return await self._one(request, status=422)
        return request.redirect(
            f"{merchant_url(merchant_of(request))}/transfers/{request.param('transfer')}", "reversed"
        )

    async def _one(self, request: PageRequest, status: int = 200) -> Response:
        transfer, refers_to = await request.services.console.transfer(merchant_of(request), request.param("transfer"))
        return await merchant_page(
            request,
            "console/transfer.html",
            status,
            transfer=transfer,
            refers_to=refers_to,
            can=_can(transfer),
            # A form that is sent twice moves money once.
            once=request.form.text("once") or secrets.token_hex(_ONCE_BYTES),
        )


def _can(transfer: Transfer) -> str:
    """Tell what support can do about a transfer."""
    if transfer.kind in _REFUNDABLE:
        return "refund"
    return "take_back" if transfer.kind == Kind.TOP_UP else ""
