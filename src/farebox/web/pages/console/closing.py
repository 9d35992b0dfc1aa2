"""Closing a merchant, with what that comes to, and opening one again."""

from typing import Final

from starlette.responses import Response

from farebox.core.approvals import ApprovalState
from farebox.core.batch.closing import close_refusal
from farebox.core.book import Book
from farebox.core.money import format_amount
from farebox.core.permissions import Operation
from farebox.presenters.keys import is_working
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url, outcome_of
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_APPROVALS: Final = 100


class ClosingPages:
    """The page by which a merchant is closed, and opened again."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""

        def route(path: str, **handlers: object) -> PageRoute:
            return PageRoute(
                f"{MERCHANT}/{path}",
                Audience.SUPPORT,
                is_console=True,
                operation=Operation.MANAGE_MERCHANTS,
                **handlers,  # type: ignore[arg-type]
            )

        return [route("close", get=self.show, post=self.close), route("reopen", post=self.reopen)]

    async def show(self, request: PageRequest) -> Response:
        """Tell what stops when the merchant is closed, and what is to be settled before; nothing is changed."""
        return await self._page(request)

    async def close(self, request: PageRequest) -> Response:
        """Close the merchant."""
        return await self._set_closed(request, is_closed=True)

    async def reopen(self, request: PageRequest) -> Response:
        """Open the merchant again."""
        return await self._set_closed(request, is_closed=False)

    async def _set_closed(self, request: PageRequest, *, is_closed: bool) -> Response:
        number = merchant_of(request)
        outcome = await outcome_of(
            request,
            request.services.operations.set_closed(
                number, is_closed=is_closed, reason=request.form.text("reason"), principal=request.principal
            ),
        )
        if outcome is None:
            return await self._page(request, 422)
        return request.redirect(merchant_url(number), "closed" if is_closed else "reopened")

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        number, services = merchant_of(request), request.services
        merchant, account = await services.merchants.get(number)
        refusal = close_refusal(Book(account))
        approvals = await services.approvals.page(merchant_id=number, before=None, limit=_APPROVALS)
        now = services.console.now()
        # An adjustment that brings money first pays what is owed for reversed top-ups.
        paid = account.paid - account.owed
        return await merchant_page(
            request,
            "console/close.html",
            status,
            read=(merchant, account),
            paid=paid,
            rest=format_amount(abs(paid)),
            in_the_way="" if refusal is None else refusal.message,
            keys_count=sum(is_working(key, now) for key in await services.merchants.keys(number)),
            users_count=len(await services.merchants.users(number)),
            waiting_count=sum(approval.state == ApprovalState.PENDING for approval in approvals),
        )
