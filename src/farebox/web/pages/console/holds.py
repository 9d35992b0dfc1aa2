"""Open holds for support: of all merchants, of one, and releasing one whose service will not."""

from typing import Final

from starlette.responses import Response

from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.service.errors import Missing, ensure_done
from farebox.service.ledger.open_holds import OpenHold
from farebox.web.pages.console.common import CURSOR, MERCHANT, merchant_of, merchant_page, merchant_url, outcome_of
from farebox.web.pages.once import ONCE_FIELD, sent_once
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ROWS: Final = 50
_FIELDS: Final = {"idempotencyKey": ONCE_FIELD}


class ConsoleHoldPages:
    """Open holds, and what support does about one."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute("/support/holds", Audience.SUPPORT, get=self.show_all, is_console=True),
            PageRoute(f"{MERCHANT}/holds", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(
                f"{MERCHANT}/holds/{{hold:str}}/release",
                Audience.SUPPORT,
                get=self.ask_release,
                post=self.release,
                is_console=True,
                operation=Operation.MANAGE_HOLDS,
                is_form=True,
                is_done_once=True,
            ),
        ]

    async def show_all(self, request: PageRequest) -> Response:
        """List open holds of all merchants, the soonest end first."""
        cursor = request.query(CURSOR) or None
        page = await request.services.open_holds.page(None, cursor=cursor, limit=ROWS)
        merchants = await request.services.console.merchants_of(row.hold.merchant_id for row in page.holds)
        return request.page(
            "console/all_holds.html",
            page=page,
            cursor=cursor,
            merchants=merchants,
            urls={number: merchant_url(number) for number in merchants},
            now=request.services.open_holds.now(),
        )

    async def show(self, request: PageRequest) -> Response:
        """List a merchant's open holds, the soonest end first."""
        cursor = request.query(CURSOR) or None
        page = await request.services.open_holds.page(merchant_of(request), cursor=cursor, limit=ROWS)
        now = request.services.open_holds.now()
        return await merchant_page(request, "console/holds.html", page=page, cursor=cursor, now=now)

    async def ask_release(self, request: PageRequest) -> Response:
        """Tell what it comes to to release a hold, and ask why; nothing is changed."""
        return await self._ask(request, await _hold(request))

    async def release(self, request: PageRequest) -> Response:
        """Give a hold's money back."""
        outcome = await outcome_of(request, _release(request), _FIELDS)
        if outcome is None:
            return await self._ask(request, await _hold(request), 422)
        url = f"{merchant_url(merchant_of(request))}/holds"
        return request.redirect(url, "hold_released", *(["sent_twice"] if outcome.is_replay else []))

    async def _ask(self, request: PageRequest, row: OpenHold, status: int = 200) -> Response:
        now = request.services.open_holds.now()
        return await merchant_page(request, "console/release_hold.html", status, row=row, now=now)


async def _hold(request: PageRequest) -> OpenHold:
    """Read the open hold that the path names.

    Raises:
        Missing: the page's merchant has no such hold that is open.
    """
    row = await request.services.open_holds.get(request.param("hold"))
    if row.hold.merchant_id != merchant_of(request):
        raise Missing("the merchant has no such hold")
    return row


async def _release(request: PageRequest) -> Outcome:
    """Give the money of the hold that the path names back.

    Raises:
        ServiceError: it can't be released.
    """
    request.services.open_holds.ensure_of(merchant_of(request), request.param("hold"))
    with sent_once():
        outcome = await request.services.operations.release(
            request.param("hold"),
            idempotency_key=f"console-{request.form.text(ONCE_FIELD)}",
            reference=None,
            reason=request.form.text("reason") or None,
            caller=None,
            principal=request.principal,
        )
        ensure_done(outcome)
    return outcome
