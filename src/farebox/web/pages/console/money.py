"""Moves of money by hand: a top-up or an adjustment is shown as it would be, then made."""

from collections.abc import Sequence
from typing import Final, TypedDict

from starlette.responses import Response

from farebox.core.outcomes import Outcome
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Refused, ServiceError
from farebox.service.ledger.operations import CheckedMove
from farebox.service.people.api_keys import Principal
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_ADD: Final = "add"
_TAKE: Final = "take"


class MoneyPages:
    """Top-ups and adjustments."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        top_up, adjust = f"{MERCHANT}/top-up", f"{MERCHANT}/adjust"
        return [
            PageRoute(top_up, Audience.SUPPORT, get=self.show_top_up, post=self.preview_top_up, is_console=True),
            PageRoute(f"{top_up}/confirm", Audience.SUPPORT, post=self.top_up, is_console=True),
            PageRoute(adjust, Audience.SUPPORT, get=self.show_adjust, post=self.preview_adjust, is_console=True),
            PageRoute(f"{adjust}/confirm", Audience.SUPPORT, post=self.adjust, is_console=True),
        ]

    async def show_top_up(self, request: PageRequest) -> Response:
        """Ask what was paid."""
        return await merchant_page(request, "console/top_up.html")

    async def show_adjust(self, request: PageRequest) -> Response:
        """Ask what is to be corrected."""
        return await merchant_page(request, "console/adjust.html")

    async def preview_top_up(self, request: PageRequest) -> Response:
        """Show what the top-up would come to; nothing moves."""
        try:
            move = request.services.operations.check_top_up(merchant_of(request), **_top_up_fields(request))
        except InvalidInput as error:
            request.form.fail(error)
            return await merchant_page(request, "console/top_up.html", 422)
        return await self._preview(request, "top-up", move, ("amount", "reference", "note"))

    async def preview_adjust(self, request: PageRequest) -> Response:
        """Show what the adjustment would come to; nothing moves."""
        try:
            move = request.services.operations.check_adjustment(merchant_of(request), **_adjustment_fields(request))
        except InvalidInput as error:
            request.form.fail(error)
            return await merchant_page(request, "console/adjust.html", 422)
        return await self._preview(request, "adjust", move, ("amount", "reference", "reason", "sign"))

    async def top_up(self, request: PageRequest) -> Response:
        """Make the top-up, or request it if it is above the operator's limit."""
        try:
            outcome = await request.services.operations.top_up(merchant_of(request), **_top_up_fields(request))
            return self._done(request, outcome, "topped_up")
        except ServiceError as error:
            request.form.fail(error)
            return await merchant_page(request, "console/top_up.html", 422)

    async def adjust(self, request: PageRequest) -> Response:
        """Make the adjustment, or request it if it is above the operator's limit."""
        try:
            outcome = await request.services.operations.adjust(merchant_of(request), **_adjustment_fields(request))
            return self._done(request, outcome, "adjusted")
        except ServiceError as error:
            request.form.fail(error)
            return await merchant_page(request, "console/adjust.html", 422)

    async def _preview(self, request: PageRequest, action: str, move: CheckedMove, names: Sequence[str]) -> Response:
        return await merchant_page(
            request,
            "console/preview.html",
            action=action,
            change=move.change,
            amount=abs(move.change),
            waits=move.needs_approval,
            fields=[(name, request.form.text(name)) for name in names],
            reference=request.form.text("reference"),
            words=request.form.text(names[2]),
        )

    def _done(self, request: PageRequest, outcome: Outcome, flash: str) -> Response:
        """Say what became of it.

        Raises:
            Refused: the ledger refused.
        """
        if not outcome.is_ok:
            raise Refused(outcome)
        if outcome.transfer is None:
            return request.redirect(merchant_url(merchant_of(request)), "waits")
        return request.redirect(merchant_url(merchant_of(request)), "was_made" if outcome.is_replay else flash)


class _TopUpFields(TypedDict):
    amount: str
    reference: str
    note: str | None
    principal: Principal


def _top_up_fields(request: PageRequest) -> _TopUpFields:
    form = request.form
    return {
        "amount": form.text("amount"),
        "reference": form.text("reference"),
        "note": form.text("note") or None,
        "principal": request.principal,
    }


class _AdjustmentFields(TypedDict):
    amount: str
    reference: str
    reason: str
    principal: Principal


def _adjustment_fields(request: PageRequest) -> _AdjustmentFields:
    """Read an adjustment out of the form, whose amount has no sign of its own.

    Raises:
        InvalidInput: the amount is not one, or the form does not say which way it goes.
    """
    form = request.form
    amount = form.text("amount")
    inputs.amount("amount", amount)
    sign = {_ADD: "", _TAKE: "-"}.get(form.text("sign"))
    if sign is None:
        raise InvalidInput("sign", "choose whether to add or to take away")
    return {
        "amount": sign + amount,
        "reference": form.text("reference"),
        "reason": form.text("reason"),
        "principal": request.principal,
    }
