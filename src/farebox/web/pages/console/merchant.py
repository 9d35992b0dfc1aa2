"""One merchant at a glance, and its settings: name, credit limit, thresholds, freezing."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.core.approvals import ApprovalState
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.core.permissions import Operation
from farebox.service.errors import ServiceError, ensure_done
from farebox.service.people.users import ROLE_WORDS
from farebox.service.statements.reader import Selection
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageHandler, PageRoute

_LATEST: Final = 8
_APPROVALS: Final = 100
_FIELDS: Final = {"creditLimit": "credit_limit"}
_EVERYTHING: Final = Selection()


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
            setting("/credit-limit", Operation.SET_CREDIT_LIMIT, self.set_credit_limit),
            setting("/thresholds", Operation.SET_THRESHOLDS, self.set_thresholds),
            setting("/freeze", Operation.FREEZE, self.freeze),
            setting("/unfreeze", Operation.FREEZE, self.unfreeze),
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
        return await merchant_page(
            request,
            "console/merchant.html",
            runway=view.runway,
            latest=latest.transfers,
            waiting=[approval for approval in approvals if approval.state == ApprovalState.PENDING],
            audit_entries=audit_entries,
            members=await services.users.members(number),
            role_words=ROLE_WORDS,
            keys=[key for key in keys if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)],
            prices=await services.merchants.prices(number),
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

    async def set_credit_limit(self, request: PageRequest) -> Response:
        """Change how far below zero the merchant may spend."""
        amount = request.form.text("credit_limit")
        action = request.services.operations.set_credit_limit(merchant_of(request), amount, principal=request.principal)
        return await self._set(request, action, "credit_limit_saved")

    async def set_thresholds(self, request: PageRequest) -> Response:
        """Change the amounts that the merchant is warned below."""
        amounts = request.form.text("thresholds").split()
        action = request.services.operations.set_thresholds(merchant_of(request), amounts, principal=request.principal)
        return await self._set(request, action, "thresholds_saved")

    async def freeze(self, request: PageRequest) -> Response:
        """Stop the merchant's spending."""
        action = request.services.operations.set_frozen(
            merchant_of(request), is_frozen=True, principal=request.principal
        )
        return await self._set(request, action, "frozen")

    async def unfreeze(self, request: PageRequest) -> Response:
        """Let the merchant spend again."""
        action = request.services.operations.set_frozen(
            merchant_of(request), is_frozen=False, principal=request.principal
        )
        return await self._set(request, action, "unfrozen")

    async def _set(self, request: PageRequest, action: Awaitable[Outcome | None], flash: str) -> Response:
        """Do what a form of the settings asks for."""
        try:
            outcome = await action
            if outcome is not None:
                ensure_done(outcome)
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await _settings(request, 422)
        return request.redirect(f"{merchant_url(merchant_of(request))}/settings", flash)


async def _settings(request: PageRequest, status: int = 200) -> Response:
    """Show the settings as they are, in the words of the forms that change them."""
    _, account = await request.services.merchants.get(merchant_of(request))
    return await merchant_page(
        request,
        "console/settings.html",
        status,
        thresholds=" ".join(format_amount(threshold.amount) for threshold in account.thresholds),
        credit_limit=format_amount(account.credit_limit),
    )
