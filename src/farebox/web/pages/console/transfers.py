"""A merchant's transfers for support: the book in pages, and one transfer, to give back or take back."""

import secrets
from typing import Final

from starlette.responses import Response

from farebox.core.accounts import Kind
from farebox.core.transfers import Transfer
from farebox.service.errors import ServiceError
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import Selection
from farebox.web.pages.console.common import CURSOR, MERCHANT, ensure_done, merchant_of, merchant_page, merchant_url
from farebox.web.pages.house import Audience, PageRequest, PageRoute

ROWS: Final = 50
_REFUNDABLE: Final = frozenset({Kind.CHARGE, Kind.CAPTURE})
_ONCE_BYTES: Final = 16
_FIELDS: Final = {"idempotencyKey": "once"}


class Transfers:
    """A merchant's book."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        one = f"{MERCHANT}/transfers/{{transfer:str}}"
        return [
            PageRoute(f"{MERCHANT}/transfers", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(one, Audience.SUPPORT, get=self.show_one, is_console=True),
            PageRoute(f"{one}/refund", Audience.SUPPORT, post=self.refund, is_console=True),
            PageRoute(f"{one}/take-back", Audience.SUPPORT, post=self.take_back, is_console=True),
        ]

    async def show(self, ask: PageRequest) -> Response:
        """List transfers, newest first."""
        kind = ask.query("kind") if ask.query("kind") in KINDS else ""
        cursor = ask.query(CURSOR) or None
        page = await ask.services.statements.page(
            merchant_of(ask), Selection(kind=kind or None), cursor=cursor, limit=ROWS
        )
        return await merchant_page(ask, "console/transfers.html", page=page, kind=kind, kinds=KINDS, cursor=cursor)

    async def show_one(self, ask: PageRequest) -> Response:
        """Show one transfer, and the form by which it is given back or taken back, if it can be."""
        return await self._one(ask)

    async def refund(self, ask: PageRequest) -> Response:
        """Give a charge or capture back, in whole or in part."""
        form = ask.form
        # A transfer of another merchant's is none of this page's.
        transfer, _ = await ask.services.console.transfer(merchant_of(ask), ask.param("transfer"))
        try:
            ensure_done(
                await ask.services.operations.refund(
                    transfer.id,
                    idempotency_key=f"console-{form.text('once')}",
                    amount=form.text("amount") or None,
                    reference=form.text("reference") or None,
                    note=form.text("note") or None,
                    caller=None,
                    principal=ask.principal,
                )
            )
        except ServiceError as error:
            form.fail(error, _FIELDS)
            return await self._one(ask, status=422)
        return ask.redirect(f"{merchant_url(transfer.merchant_id)}/transfers/{transfer.id}", "refunded")

    async def take_back(self, ask: PageRequest) -> Response:
        """Take a top-up back, in whole or in part."""
        form = ask.form
        try:
            ensure_done(
                await ask.services.operations.reverse_top_up(
                    merchant_of(ask),
                    transfer=ask.param("transfer"),
                    amount=form.text("amount") or None,
                    reference=form.text("reference"),
                    reason=form.text("reason"),
                    principal=ask.principal,
                )
            )
        except ServiceError as error:
            form.fail(error)
            return await self._one(ask, status=422)
        return ask.redirect(f"{merchant_url(merchant_of(ask))}/transfers/{ask.param('transfer')}", "reversed")

    async def _one(self, ask: PageRequest, status: int = 200) -> Response:
        transfer, refers_to = await ask.services.console.transfer(merchant_of(ask), ask.param("transfer"))
        return await merchant_page(
            ask,
            "console/transfer.html",
            status,
            transfer=transfer,
            refers_to=refers_to,
            can=_can(transfer),
            # A form that is sent twice moves money once.
            once=ask.form.text("once") or secrets.token_hex(_ONCE_BYTES),
        )


def _can(transfer: Transfer) -> str:
    """Tell what support can do about a transfer."""
    if transfer.kind in _REFUNDABLE:
        return "refund"
    return "take_back" if transfer.kind == Kind.TOP_UP else ""
