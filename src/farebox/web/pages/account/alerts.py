"""Warnings: the thresholds, who is told, what was told when, and a mail to try it."""

from typing import Final

from starlette.responses import Response

from farebox.core.money import format_amount
from farebox.core.thresholds import THRESHOLDS_MAX
from farebox.service.errors import Refused, ServiceError
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.house import Audience, PageRequest, PageRoute

FIRINGS: Final = 20
_AMOUNT: Final = "amount"


class Alerts:
    """A merchant's warnings."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{ROOT}/alerts", Audience.VIEWER, get=self.show, post=self.save, posts=Audience.MEMBER),
            PageRoute(f"{ROOT}/alerts/test", Audience.MEMBER, post=self.test),
        ]

    async def show(self, ask: PageRequest) -> Response:
        """Show the thresholds, who is told, and what was told."""
        return await self._page(ask)

    async def save(self, ask: PageRequest) -> Response:
        """Set the thresholds anew."""
        try:
            outcome = await ask.services.operations.set_thresholds(
                ask.merchant_id, ask.form.all(_AMOUNT), principal=ask.principal
            )
            if not outcome.is_ok:
                raise Refused(outcome)
        except ServiceError as error:
            ask.form.fail(error, {"thresholds": _AMOUNT})
            return await self._page(ask, 422)
        return ask.redirect(f"{account_url(ask)}/alerts", "thresholds_saved")

    async def test(self, ask: PageRequest) -> Response:
        """Mail whoever asks, to show that warnings reach them."""
        try:
            await ask.services.sign_in.send_test(ask.signed_in.login, ask.merchant_id)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(f"{account_url(ask)}/alerts", "test_sent")

    async def _page(self, ask: PageRequest, status: int = 200) -> Response:
        _, account = await ask.services.merchants.get(ask.merchant_id)
        amounts = [format_amount(threshold.amount) for threshold in account.thresholds]
        typed = ask.form.all(_AMOUNT) if _AMOUNT in ask.form else amounts
        return await account_page(
            ask,
            "account/alerts.html",
            status,
            alerts=await ask.services.queries.alerts(ask.merchant_id, FIRINGS),
            members=await ask.services.users.members(ask.merchant_id),
            typed=[*typed, *[""] * THRESHOLDS_MAX][:THRESHOLDS_MAX],
        )
