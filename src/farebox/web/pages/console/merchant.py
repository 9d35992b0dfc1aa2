"""One merchant at a glance, and its settings: name, credit limit, thresholds, freezing."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec.structs import replace
from starlette.responses import Response

from farebox.core.accounts import Account
from farebox.core.approvals import ApprovalState
from farebox.core.credit.grants import GrantState
from farebox.core.currencies import format_money, format_money_with_code
from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.presenters.keys import is_working
from farebox.presenters.prices import price_versions, standing
from farebox.presenters.refusals import refused_today
from farebox.service import inputs
from farebox.service.errors import ServiceError, ensure_done
from farebox.service.statements.reader import Selection
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.amounts import (
    runway_threshold_fields,
    threshold_fields,
    typed_runway_thresholds,
    typed_thresholds,
)
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url, outcome_of
from farebox.web.pages.console.previews import NEEDS_APPROVAL
from farebox.web.pages.preview import Preview
from farebox.web.pages.refusals import refusals_of
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageHandler, PageRoute

_LATEST: Final = 8
_NOTES: Final = 3
_REFUSED_DAYS: Final = 7
_APPROVALS: Final = 100
_THRESHOLDS: Final = "thresholds"
_RUNWAY_THRESHOLDS: Final = "runway_thresholds"
_LIMIT: Final = "credit_limit"
_FIELDS: Final = {"creditLimit": _LIMIT, "amount": _LIMIT, "runwayThresholds": _RUNWAY_THRESHOLDS}
_EVERYTHING: Final = Selection()

WritePreview = Callable[[PageRequest, str, Account], Preview]
"""Writes a preview, given the merchant's name and its account."""


class MerchantPages:
    """A merchant's page and settings."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""

        def route(path: str, **handlers: Any) -> PageRoute:
            return PageRoute(f"{MERCHANT}{path}", Audience.SUPPORT, is_console=True, **handlers)

        def setting(path: str, operation: Operation, post: PageHandler) -> PageRoute:
            return route(path, post=post, operation=operation)

        return [
            route("", get=self.show),
            # Whose roles let them freeze a merchant may also do one or another of the rest of that page.
            route("/settings", get=self.settings, operation=Operation.FREEZE, is_form=True),
            setting("/name", Operation.MANAGE_MERCHANTS, self.rename),
            setting("/credit-limit", Operation.SET_CREDIT_LIMIT, self.preview_credit_limit),
            setting("/credit-limit/confirm", Operation.SET_CREDIT_LIMIT, self.set_credit_limit),
            setting("/thresholds", Operation.SET_THRESHOLDS, self.set_thresholds),
            setting("/freeze", Operation.FREEZE, self.preview_freeze),
            setting("/freeze/confirm", Operation.FREEZE, self.freeze),
            setting("/unfreeze", Operation.FREEZE, self.preview_unfreeze),
            setting("/unfreeze/confirm", Operation.FREEZE, self.unfreeze),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show a merchant at a glance."""
        number, services = merchant_of(request), request.services
        view = await services.queries.account_view(number)
        latest = await services.statements.page(number, _EVERYTHING, limit=_LATEST)
        approvals = await services.approvals.page(merchant_id=number, before=None, limit=_APPROVALS)
        audit_entries, _ = await services.audit_log.page(merchant_id=number, cursor=None, limit=_LATEST)
        now = services.console.now()
        keys = await services.merchants.keys(number)
        grants = (
            (await services.grants.page(number, cursor=None, limit=_LATEST)).grants if view.account.grants_count else []
        )
        return await merchant_page(
            request,
            "console/merchant.html",
            read=(view.merchant, view.account),
            owed=await services.shortfalls.owed(number, view.account.owed),
            forecast=view.forecast,
            latest=latest.transfers,
            undelivered=await services.queries.undelivered(number),
            unusual=await services.unusual_spendings.of(number),
            refused=refused_today(await services.refusals.today(number, request.zone)),
            refusals=await refusals_of(request, number, days=_REFUSED_DAYS, rows=_LATEST),
            waiting=[approval for approval in approvals if approval.state == ApprovalState.PENDING],
            audit_entries=audit_entries,
            actors=await services.audit_log.names(),
            members=await services.users.members(number),
            keys=[key for key in keys if is_working(key, now)],
            grants=[grant for grant in grants if grant.state != GrantState.ENDED],
            notes=await services.annotations.notes(number, before=None, limit=_NOTES),
            prices=standing(price_versions(await services.prices.list(number), now)),
            now=now,
        )

    async def settings(self, request: PageRequest) -> Response:
        """Show the settings."""
        return await _settings(request)

    async def rename(self, request: PageRequest) -> Response:
        """Change the name."""
        name = request.form.text("name")
        return await self._set(
            request,
            request.services.merchants.rename(merchant_of(request), name, principal=request.principal),
            "renamed",
        )

    async def preview_credit_limit(self, request: PageRequest) -> Response:
        """Show what another credit limit would come to."""
        return await self._preview(request, _set_credit_limit(request, is_dry_run=True), _credit_limit_preview)

    async def set_credit_limit(self, request: PageRequest) -> Response:
        """Change how far below zero the merchant may spend."""
        return await self._set(request, _set_credit_limit(request), "credit_limit_saved")

    async def set_thresholds(self, request: PageRequest) -> Response:
        """Change the amounts and the days left that the merchant is warned below."""
        return await self._set(request, _set_thresholds(request), "thresholds_saved")

    async def preview_freeze(self, request: PageRequest) -> Response:
        """Show what it would come to to stop the merchant's spending."""
        return await self._preview(request, _set_frozen(request, is_frozen=True, is_dry_run=True), _freeze_preview)

    async def freeze(self, request: PageRequest) -> Response:
        """Stop the merchant's spending."""
        return await self._set(request, _set_frozen(request, is_frozen=True), "frozen")

    async def preview_unfreeze(self, request: PageRequest) -> Response:
        """Show what it would come to to let the merchant spend again."""
        return await self._preview(request, _set_frozen(request, is_frozen=False, is_dry_run=True), _unfreeze_preview)

    async def unfreeze(self, request: PageRequest) -> Response:
        """Let the merchant spend again."""
        return await self._set(request, _set_frozen(request, is_frozen=False), "unfrozen")

    async def _preview(self, request: PageRequest, action: Awaitable[Outcome], write: WritePreview) -> Response:
        """Show what a form of the settings would come to; nothing is changed."""
        outcome = await outcome_of(request, action, _FIELDS)
        if outcome is None:
            return await _settings(request, 422)
        merchant, account = await request.services.merchants.get(merchant_of(request))
        preview = write(request, merchant.name, account)
        if outcome.approval is not None:
            preview = replace(preview, notice=NEEDS_APPROVAL)
        return await merchant_page(request, "console/preview.html", read=(merchant, account), preview=preview)

    async def _set(self, request: PageRequest, action: Awaitable[Outcome | None], flash: str) -> Response:
        """Do what a form of the settings asks for."""
        try:
            outcome = await action
            if outcome is not None:
                ensure_done(outcome)
                flash = flash if outcome.approval is None else "waits"
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await _settings(request, 422)
        return request.redirect(f"{merchant_url(merchant_of(request))}/settings", flash)


async def _set_credit_limit(request: PageRequest, *, is_dry_run: bool = False) -> Outcome:
    """Set the credit limit that the form asks for.

    Raises:
        ServiceError: it can't be set.
    """
    _, account = await request.services.merchants.get(merchant_of(request))
    amount = typed_amount(_LIMIT, request.form.text(_LIMIT), account.currency, is_zero_allowed=True)
    return await request.services.operations.set_credit_limit(
        account.merchant_id, amount, principal=request.principal, is_dry_run=is_dry_run
    )


async def _set_thresholds(request: PageRequest) -> Outcome:
    """Set the thresholds that the form asks for.

    Raises:
        ServiceError: one is no amount, or no number of days.
    """
    _, account = await request.services.merchants.get(merchant_of(request))
    amounts = typed_thresholds(request.form, _THRESHOLDS, account.currency, account.credit_limit)
    days = typed_runway_thresholds(request.form, _RUNWAY_THRESHOLDS)
    services, principal = request.services, request.principal
    outcome = await services.operations.set_thresholds(account.merchant_id, amounts, principal=principal)
    if outcome.is_ok:
        await services.runway_thresholds.set(account.merchant_id, days, principal=principal)
    return outcome


def _set_frozen(request: PageRequest, *, is_frozen: bool, is_dry_run: bool = False) -> Awaitable[Outcome]:
    return request.services.operations.set_frozen(
        merchant_of(request), is_frozen=is_frozen, principal=request.principal, is_dry_run=is_dry_run
    )


def _credit_limit_preview(request: PageRequest, name: str, account: Account) -> Preview:
    text = request.form.text(_LIMIT)
    amount = typed_amount(_LIMIT, text, account.currency, is_zero_allowed=True)
    limit = inputs.amount(_LIMIT, amount, is_zero_allowed=True)
    before, after = (max(account.available + amount, 0) for amount in (account.credit_limit, limit))
    root, currency = merchant_url(account.merchant_id), account.currency
    return Preview(
        action=f"{root}/credit-limit/confirm",
        back=f"{root}/settings",
        question="Is this the credit limit?",
        amount=format_money(limit, currency),
        beside=f"{currency} for {name}",
        facts=[
            (
                "Credit limit",
                f"{format_money(account.credit_limit, currency)} → {format_money_with_code(limit, currency)}",
            ),
            ("Balance", format_money_with_code(account.available, currency)),
            ("Can be spent", f"{format_money(before, currency)} → {format_money_with_code(after, currency)}"),
        ],
        button=f"Set the credit limit to {format_money_with_code(limit, currency)}",
        fields={_LIMIT: text},
    )


def _freeze_preview(request: PageRequest, name: str, account: Account) -> Preview:
    root = merchant_url(account.merchant_id)
    return Preview(
        action=f"{root}/freeze/confirm",
        back=f"{root}/settings",
        question=f"Freeze {name}?",
        facts=[*_spending_facts(account), ("From then on", "every charge and hold is refused; top-ups go on")],
        button="Freeze it",
        notice="It is frozen already." if account.is_frozen else "",
        is_danger=True,
    )


def _unfreeze_preview(request: PageRequest, name: str, account: Account) -> Preview:
    root = merchant_url(account.merchant_id)
    return Preview(
        action=f"{root}/unfreeze/confirm",
        back=f"{root}/settings",
        question=f"Let {name} spend again?",
        facts=[*_spending_facts(account), ("From then on", "charges and holds are taken again")],
        button="Let it spend again",
        notice="" if account.is_frozen else "It is not frozen.",
    )


def _spending_facts(account: Account) -> list[tuple[str, str]]:
    """Tell what could be spent, and what holds may still take."""
    return [
        ("Balance", format_money_with_code(account.available, account.currency)),
        ("Credit limit", format_money_with_code(account.credit_limit, account.currency)),
        ("Held", f"{format_money_with_code(account.held, account.currency)}, which holds made before may still take"),
    ]


async def _settings(request: PageRequest, status: int = 200) -> Response:
    """Show the settings as they are, in the words of the forms that change them."""
    merchant, account = await request.services.merchants.get(merchant_of(request))
    return await merchant_page(
        request,
        "console/settings.html",
        status,
        read=(merchant, account),
        thresholds=threshold_fields(
            request.form,
            _THRESHOLDS,
            [format_money(threshold.amount, account.currency) for threshold in account.thresholds],
        ),
        runway_thresholds=runway_threshold_fields(request.form, _RUNWAY_THRESHOLDS, merchant.runway_days),
        credit_limit=format_money(account.credit_limit, account.currency),
    )
