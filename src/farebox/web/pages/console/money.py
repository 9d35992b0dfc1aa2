"""Moves of money by hand: a top-up or an adjustment is shown as it would be, then made."""

from collections.abc import Awaitable
from typing import Final

from msgspec.structs import replace
from starlette.responses import Response

from farebox.core.accounts import Account
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.service.errors import InvalidInput
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url, outcome_of
from farebox.web.pages.console.previews import (
    NEEDS_APPROVAL,
    balance_fact,
    change_of,
    made_before,
    owed_fact,
    pays_owed,
    signed,
)
from farebox.web.pages.preview import Preview, facts_of
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_ADD: Final = "add"
_TAKE: Final = "take"
_TOP_UP_FIELDS: Final = ("amount", "reference", "note")
_ADJUSTMENT_FIELDS: Final = ("amount", "reference", "reason", "sign")


class MoneyPages:
    """Top-ups and adjustments."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        top_up, adjust = f"{MERCHANT}/top-up", f"{MERCHANT}/adjust"
        return [
            PageRoute(
                top_up,
                Audience.SUPPORT,
                get=self.show_top_up,
                post=self.preview_top_up,
                is_console=True,
                operation=Operation.TOP_UP,
                is_form=True,
            ),
            PageRoute(
                f"{top_up}/confirm", Audience.SUPPORT, post=self.top_up, is_console=True, operation=Operation.TOP_UP
            ),
            PageRoute(
                adjust,
                Audience.SUPPORT,
                get=self.show_adjust,
                post=self.preview_adjust,
                is_console=True,
                operation=Operation.ADJUST,
                is_form=True,
            ),
            PageRoute(
                f"{adjust}/confirm", Audience.SUPPORT, post=self.adjust, is_console=True, operation=Operation.ADJUST
            ),
        ]

    async def show_top_up(self, request: PageRequest) -> Response:
        """Ask what was paid."""
        return await merchant_page(request, "console/top_up.html")

    async def show_adjust(self, request: PageRequest) -> Response:
        """Ask what is to be corrected."""
        return await merchant_page(request, "console/adjust.html")

    async def preview_top_up(self, request: PageRequest) -> Response:
        """Show what the top-up would come to; nothing moves."""
        _, account = await request.services.merchants.get(merchant_of(request))
        outcome = await outcome_of(request, _top_up(request, account, is_dry_run=True))
        if outcome is None:
            return await merchant_page(request, "console/top_up.html", 422)
        return await _show(request, "top-up", outcome)

    async def preview_adjust(self, request: PageRequest) -> Response:
        """Show what the adjustment would come to; nothing moves."""
        _, account = await request.services.merchants.get(merchant_of(request))
        outcome = await outcome_of(request, _adjust(request, account, is_dry_run=True))
        if outcome is None:
            return await merchant_page(request, "console/adjust.html", 422)
        return await _show(request, "adjust", outcome)

    async def top_up(self, request: PageRequest) -> Response:
        """Make the top-up, or request it if it is above the operator's limit."""
        _, account = await request.services.merchants.get(merchant_of(request))
        return await self._make(request, _top_up(request, account), "console/top_up.html", "topped_up")

    async def adjust(self, request: PageRequest) -> Response:
        """Make the adjustment, or request it if it is above the operator's limit."""
        _, account = await request.services.merchants.get(merchant_of(request))
        return await self._make(request, _adjust(request, account), "console/adjust.html", "adjusted")

    async def _make(self, request: PageRequest, action: Awaitable[Outcome], template: str, flash: str) -> Response:
        """Make a move and say what became of it; show its form again if it was refused."""
        outcome = await outcome_of(request, action)
        if outcome is None:
            return await merchant_page(request, template, 422)
        if outcome.transfer is None:
            return request.redirect(merchant_url(merchant_of(request)), "waits")
        return request.redirect(merchant_url(merchant_of(request)), "was_made" if outcome.is_replay else flash)


async def _top_up(request: PageRequest, account: Account, *, is_dry_run: bool = False) -> Outcome:
    """Make the top-up that the form asks for.

    Raises:
        ServiceError: it can't be made.
    """
    form = request.form
    return await request.services.operations.top_up(
        account.merchant_id,
        amount=typed_amount("amount", form.text("amount"), account.currency),
        reference=form.text("reference"),
        note=form.text("note") or None,
        principal=request.principal,
        is_dry_run=is_dry_run,
    )


async def _adjust(request: PageRequest, account: Account, *, is_dry_run: bool = False) -> Outcome:
    """Make the adjustment that the form asks for, whose amount has no sign of its own.

    Raises:
        ServiceError: it can't be made.
    """
    form = request.form
    amount = typed_amount("amount", form.text("amount"), account.currency)
    sign = {_ADD: "", _TAKE: "-"}.get(form.text("sign"))
    if sign is None:
        raise InvalidInput("sign", "choose whether to add or to take away")
    return await request.services.operations.adjust(
        account.merchant_id,
        amount=sign + amount,
        reference=form.text("reference"),
        reason=form.text("reason"),
        principal=request.principal,
        is_dry_run=is_dry_run,
    )


async def _show(request: PageRequest, action: str, outcome: Outcome) -> Response:
    """Show what a move would come to."""
    merchant, account = await request.services.merchants.get(merchant_of(request))
    preview = _preview(request, action, outcome, account, merchant.name)
    return await merchant_page(request, "console/preview.html", read=(merchant, account), preview=preview)


def _preview(request: PageRequest, action: str, outcome: Outcome, account: Account, name: str) -> Preview:
    is_top_up, change = action == "top-up", change_of(outcome)
    names = _TOP_UP_FIELDS if is_top_up else _ADJUSTMENT_FIELDS
    root, form = merchant_url(account.merchant_id), request.form
    about = Preview(
        amount=format_money(change, account.currency) if is_top_up else signed(change, account.currency),
        beside=f"{account.currency} {'from' if change < 0 else 'to'} {name}",
        action=f"{root}/{action}/confirm",
        back=f"{root}/{action}",
    )
    if outcome.is_replay:
        return made_before(about, outcome, root)
    verb = "Top up" if is_top_up else "Take away" if change < 0 else "Add"
    if outcome.approval is not None:
        verb = f"Ask for {'a top-up of' if is_top_up else 'taking away' if change < 0 else 'adding'}"
    pays = pays_owed(account, outcome)
    remark = ("Note" if is_top_up else "Reason", form.text(names[2]))
    return replace(
        about,
        question="Is this the top-up?" if is_top_up else "Is this the adjustment?",
        facts=facts_of(
            balance_fact(account, change - pays),
            owed_fact(account, pays),
            ("Reference", form.text("reference")),
            remark,
        ),
        button=f"{verb} {format_money_with_code(abs(change), account.currency)}",
        fields={field: form.text(field) for field in names},
        notice="" if outcome.approval is None else _approval_notice(account, change),
        is_danger=change < 0,
    )


def _approval_notice(account: Account, change: int) -> str:
    if account.available + account.credit_limit + change < 0:
        return (
            f"{NEEDS_APPROVAL} As things stand there is too little on the account, and approving it would be refused."
        )
    return NEEDS_APPROVAL
