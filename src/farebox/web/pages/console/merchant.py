"""One merchant at a glance, and its settings: name, credit limit, thresholds, freezing."""

from collections.abc import Awaitable
from typing import Any, Final

from starlette.responses import Response

from farebox.core.approvals import ApprovalState
from farebox.core.money import format_amount
from farebox.core.outcomes import Outcome
from farebox.service.errors import ServiceError
from farebox.service.people.users import ROLE_WORDS
from farebox.service.statements.reader import Selection
from farebox.web.pages.console.common import MERCHANT, ensure_done, merchant_of, merchant_page, merchant_url
from farebox.web.pages.house import Audience, PageRequest, PageRoute

_LATEST: Final = 8
_APPROVALS: Final = 100
_FIELDS: Final = {"creditLimit": "credit_limit"}
_EVERYTHING: Final = Selection()


class Merchant:
    """A merchant's page and settings."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""

        def route(path: str, **handlers: Any) -> PageRoute:
            return PageRoute(f"{MERCHANT}{path}", Audience.SUPPORT, is_console=True, **handlers)

        return [
            route("", get=self.show),
            route("/settings", get=self.settings),
            route("/name", post=self.rename),
            route("/credit-limit", post=self.set_credit_limit),
            route("/thresholds", post=self.set_thresholds),
            route("/freeze", post=self.freeze),
            route("/unfreeze", post=self.unfreeze),
        ]

    async def show(self, ask: PageRequest) -> Response:
        """Show a merchant at a glance."""
        number, services = merchant_of(ask), ask.services
        view = await services.queries.account_view(number)
        latest = await services.statements.page(number, _EVERYTHING, limit=_LATEST)
        approvals = await services.approvals.page(merchant_id=number, before=None, limit=_APPROVALS)
        deeds, _ = await services.audit_log.page(merchant_id=number, cursor=None, limit=_LATEST)
        now = services.console.now()
        keys = await services.merchants.keys(number)
        return await merchant_page(
            ask,
            "console/merchant.html",
            runway=view.runway,
            latest=latest.transfers,
            waiting=[it for it in approvals if it.state == ApprovalState.PENDING],
            deeds=deeds,
            members=await services.users.members(number),
            role_words=ROLE_WORDS,
            keys=[key for key in keys if key.revoked_at is None and (key.expires_at is None or key.expires_at > now)],
            prices=await services.merchants.prices(number),
            now=now,
        )

    async def settings(self, ask: PageRequest) -> Response:
        """Show the settings."""
        return await _settings(ask)

    async def rename(self, ask: PageRequest) -> Response:
        """Change the name."""
        name = ask.form.text("name")
        return await self._set(
            ask, ask.services.merchants.rename(merchant_of(ask), name, principal=ask.principal), "renamed"
        )

    async def set_credit_limit(self, ask: PageRequest) -> Response:
        """Change how far below zero the merchant may spend."""
        amount = ask.form.text("credit_limit")
        deed = ask.services.operations.set_credit_limit(merchant_of(ask), amount, principal=ask.principal)
        return await self._set(ask, deed, "credit_limit_saved")

    async def set_thresholds(self, ask: PageRequest) -> Response:
        """Change the amounts that the merchant is warned below."""
        amounts = ask.form.text("thresholds").split()
        deed = ask.services.operations.set_thresholds(merchant_of(ask), amounts, principal=ask.principal)
        return await self._set(ask, deed, "thresholds_saved")

    async def freeze(self, ask: PageRequest) -> Response:
        """Stop the merchant's spending."""
        deed = ask.services.operations.set_frozen(merchant_of(ask), is_frozen=True, principal=ask.principal)
        return await self._set(ask, deed, "frozen")

    async def unfreeze(self, ask: PageRequest) -> Response:
        """Let the merchant spend again."""
        deed = ask.services.operations.set_frozen(merchant_of(ask), is_frozen=False, principal=ask.principal)
        return await self._set(ask, deed, "unfrozen")

    async def _set(self, ask: PageRequest, deed: Awaitable[Outcome | None], said: str) -> Response:
        """Do what a form of the settings asks for."""
        try:
            outcome = await deed
            if outcome is not None:
                ensure_done(outcome)
        except ServiceError as error:
            ask.form.fail(error, _FIELDS)
            return await _settings(ask, 422)
        return ask.redirect(f"{merchant_url(merchant_of(ask))}/settings", said)


async def _settings(ask: PageRequest, status: int = 200) -> Response:
    """Show the settings as they are, in the words of the forms that change them."""
    _, account = await ask.services.merchants.get(merchant_of(ask))
    return await merchant_page(
        ask,
        "console/settings.html",
        status,
        thresholds=" ".join(format_amount(it.amount) for it in account.thresholds),
        credit_limit=format_amount(account.credit_limit),
    )
