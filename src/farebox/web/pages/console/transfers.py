"""A merchant's transfers for support: the book in pages, and one transfer, to give back or take back."""

from typing import Final

from msgspec.structs import replace
from starlette.responses import Response

from farebox.core.accounts import Kind
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.core.transfers import Transfer
from farebox.service.errors import ensure_done
from farebox.service.statements.lines import KINDS
from farebox.service.statements.reader import Selection
from farebox.web.pages.amounts import optional_amount
from farebox.web.pages.console.common import CURSOR, MERCHANT, merchant_of, merchant_page, merchant_url, outcome_of
from farebox.web.pages.console.previews import (
    NEEDS_APPROVAL,
    balance_fact,
    change_of,
    made_before,
    owed_fact,
    pays_owed,
    signed,
)
from farebox.web.pages.explanations import explanation
from farebox.web.pages.given_parts import given_parts
from farebox.web.pages.once import ONCE_FIELD, sent_once
from farebox.web.pages.preview import Preview, facts_of
from farebox.web.pages.render import what
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageHandler, PageRoute

ROWS: Final = 50
_REFUNDABLE: Final = frozenset({Kind.CHARGE, Kind.CAPTURE})
_FIELDS: Final = {"idempotencyKey": ONCE_FIELD}
_OWED: Final = "owed"
_SENT: Final = {"refund": (ONCE_FIELD, "reference", "note"), "take-back": ("reference", "reason", _OWED)}
"""The fields of each form, beside the amount."""

_OWED_NOTICE: Final = (
    "What is owed is paid by the money that comes in next, before all else. Until then the merchant can spend nothing, "
    "given credit and its credit limit included."
)


class TransferPages:
    """A merchant's book."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        one = f"{MERCHANT}/transfers/{{transfer:str}}"

        def move(path: str, operation: Operation, post: PageHandler, *, is_done_once: bool = False) -> PageRoute:
            return PageRoute(
                f"{one}/{path}",
                Audience.SUPPORT,
                post=post,
                is_console=True,
                operation=operation,
                is_done_once=is_done_once,
            )

        return [
            PageRoute(f"{MERCHANT}/transfers", Audience.SUPPORT, get=self.show, is_console=True),
            PageRoute(one, Audience.SUPPORT, get=self.show_one, is_console=True),
            move("refund", Operation.REFUND, self.preview_refund, is_done_once=True),
            move("refund/confirm", Operation.REFUND, self.refund, is_done_once=True),
            move("take-back", Operation.REVERSE_TOP_UP, self.preview_take_back),
            move("take-back/confirm", Operation.REVERSE_TOP_UP, self.take_back),
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

    async def preview_refund(self, request: PageRequest) -> Response:
        """Show what a refund would come to; nothing moves."""
        transfer = await _transfer(request)
        outcome = await outcome_of(request, _refund(request, transfer, is_dry_run=True), _FIELDS)
        if outcome is None:
            return await self._one(request, status=422)
        return await _show(request, outcome, transfer, "refund")

    async def refund(self, request: PageRequest) -> Response:
        """Give a charge or capture back, in whole or in part, or request it if a second person has to approve it."""
        transfer = await _transfer(request)
        outcome = await outcome_of(request, _refund(request, transfer), _FIELDS)
        if outcome is None:
            return await self._one(request, status=422)
        return request.redirect(_url(transfer), "waits" if outcome.transfer is None else "refunded")

    async def preview_take_back(self, request: PageRequest) -> Response:
        """Show what it would come to to take a top-up back; nothing moves."""
        transfer = await _transfer(request)
        outcome = await outcome_of(request, _take_back(request, transfer, is_dry_run=True))
        if outcome is None:
            return await self._one(request, status=422)
        return await _show(request, outcome, transfer, "take-back")

    async def take_back(self, request: PageRequest) -> Response:
        """Take a top-up back, in whole or in part."""
        transfer = await _transfer(request)
        outcome = await outcome_of(request, _take_back(request, transfer))
        if outcome is None:
            return await self._one(request, status=422)
        return request.redirect(_url(transfer), "was_made" if outcome.is_replay else "reversed")

    async def _one(self, request: PageRequest, status: int = 200) -> Response:
        transfer, refers_to = await request.services.console.transfer(merchant_of(request), request.param("transfer"))
        read = await request.services.merchants.get(merchant_of(request))
        return await merchant_page(
            request,
            "console/transfer.html",
            status,
            read=read,
            transfer=transfer,
            refers_to=refers_to,
            explained=await explanation(request, transfer, refers_to, read[1].currency),
            can=_can(transfer),
            returns=await request.services.console.returns(transfer),
            given=await given_parts(request, transfer),
        )


async def _transfer(request: PageRequest) -> Transfer:
    """Read the transfer that the page is about.

    Raises:
        Missing: the page's merchant has none of this id; that another has it is none of this page's.
    """
    transfer, _ = await request.services.console.transfer(merchant_of(request), request.param("transfer"))
    return transfer


async def _refund(request: PageRequest, transfer: Transfer, *, is_dry_run: bool = False) -> Outcome:
    """Give back as much as the form says.

    Raises:
        ServiceError: it can't be given back.
    """
    form = request.form
    _, account = await request.services.merchants.get(transfer.merchant_id)
    with sent_once():
        outcome = await request.services.operations.refund(
            transfer.id,
            idempotency_key=f"console-{form.text(ONCE_FIELD)}",
            amount=optional_amount(form, "amount", account.currency),
            reference=form.text("reference") or None,
            note=form.text("note") or None,
            caller=None,
            principal=request.principal,
            is_dry_run=is_dry_run,
        )
        ensure_done(outcome)
    return outcome


async def _take_back(request: PageRequest, transfer: Transfer, *, is_dry_run: bool = False) -> Outcome:
    """Take back as much of a top-up as the form says.

    Raises:
        ServiceError: it can't be taken back.
    """
    form = request.form
    _, account = await request.services.merchants.get(transfer.merchant_id)
    return await request.services.operations.reverse_top_up(
        transfer.merchant_id,
        transfer=transfer.id,
        amount=optional_amount(form, "amount", account.currency),
        reference=form.text("reference"),
        reason=form.text("reason"),
        is_owed=bool(form.text(_OWED)),
        principal=request.principal,
        is_dry_run=is_dry_run,
    )


async def _show(request: PageRequest, outcome: Outcome, transfer: Transfer, action: str) -> Response:
    """Show what it would come to to give a transfer back."""
    merchant, account = await request.services.merchants.get(transfer.merchant_id)
    returns = await request.services.console.returns(transfer)
    change, form, is_refund = change_of(outcome), request.form, action == "refund"
    currency, url = account.currency, _url(transfer)
    about = Preview(
        action=f"{url}/{action}/confirm",
        back=url,
        amount=signed(change, currency),
        beside=f"{currency} {'to' if is_refund else 'from'} {merchant.name}",
    )
    if outcome.is_replay:
        preview = made_before(about, outcome, merchant_url(transfer.merchant_id))
        return await merchant_page(request, "console/preview.html", read=(merchant, account), preview=preview)
    owed = 0 if outcome.transfer is None else outcome.transfer.uncollected or 0
    due, pays = abs(change) + owed, pays_owed(account, outcome)
    left = returns.left - due
    verb = "Take back" if not is_refund else "Refund" if outcome.approval is None else "Ask for a refund of"
    preview = replace(
        about,
        question="Is this the refund?" if is_refund else "Take this top-up back?",
        facts=facts_of(
            balance_fact(account, change - pays),
            owed_fact(account, pays),
            ("Owed", f"{format_money_with_code(owed, currency)}, which was spent already" if owed else None),
            ("Of", f"{what(transfer, currency)}, {format_money_with_code(transfer.amount, currency)}"),
            ("Given back so far", format_money_with_code(transfer.amount - returns.left, currency)),
            ("Left after this", format_money_with_code(left, currency)),
            ("Reference", form.text("reference")),
            ("Note", form.text("note")),
            ("Reason", form.text("reason")),
        ),
        button=f"{verb} {format_money_with_code(due, currency)}",
        notice=_OWED_NOTICE if owed else "" if outcome.approval is None else NEEDS_APPROVAL,
        # The amount by name: what is left may be less by the time the button is pressed.
        fields={**{name: form.text(name) for name in _SENT[action]}, "amount": format_money(due, currency)},
        is_danger=not is_refund,
    )
    return await merchant_page(request, "console/preview.html", read=(merchant, account), preview=preview)


def _url(transfer: Transfer) -> str:
    """Write where a transfer's page is."""
    return f"{merchant_url(transfer.merchant_id)}/transfers/{transfer.id}"


def _can(transfer: Transfer) -> str:
    """Tell what support can do about a transfer."""
    if transfer.kind in _REFUNDABLE:
        return "refund"
    return "take_back" if transfer.kind == Kind.TOP_UP else ""
