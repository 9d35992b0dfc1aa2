"""Moves of money by hand: a top-up or an adjustment is shown as it would be, then made."""

from typing import Any, Final

from litestar import Response

from farebox.core.outcomes import Outcome
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Refused, ServiceError
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.house import Audience, PageRequest, PageRoute

_ADD: Final = "add"
_TAKE: Final = "take"


class Money:
    """Top-ups and adjustments."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        top_up, adjust = f"{MERCHANT}/top-up", f"{MERCHANT}/adjust"
        return [
            PageRoute(top_up, Audience.SUPPORT, get=self.ask_top_up, post=self.preview_top_up, is_console=True),
            PageRoute(f"{top_up}/confirm", Audience.SUPPORT, post=self.top_up, is_console=True),
            PageRoute(adjust, Audience.SUPPORT, get=self.ask_adjust, post=self.preview_adjust, is_console=True),
            PageRoute(f"{adjust}/confirm", Audience.SUPPORT, post=self.adjust, is_console=True),
        ]

    async def ask_top_up(self, ask: PageRequest) -> Response[Any]:
        """Ask what was paid."""
        return await merchant_page(ask, "console/top_up.html")

    async def ask_adjust(self, ask: PageRequest) -> Response[Any]:
        """Ask what is to be corrected."""
        return await merchant_page(ask, "console/adjust.html")

    async def preview_top_up(self, ask: PageRequest) -> Response[Any]:
        """Show what the top-up would come to; nothing moves."""
        form = ask.form
        try:
            amount = inputs.amount("amount", form.text("amount"))
            inputs.reference("reference", form.text("reference"))
            if form.text("note"):
                inputs.note("note", form.text("note"))
        except InvalidInput as error:
            form.fail(error)
            return await merchant_page(ask, "console/top_up.html", 422)
        return await self._preview(ask, "top-up", amount, "note")

    async def preview_adjust(self, ask: PageRequest) -> Response[Any]:
        """Show what the adjustment would come to; nothing moves."""
        form = ask.form
        try:
            amount = inputs.amount("amount", form.text("amount"))
            sign = _sign(ask)
            inputs.reference("reference", form.text("reference"))
            inputs.note("reason", form.text("reason"))
        except InvalidInput as error:
            form.fail(error)
            return await merchant_page(ask, "console/adjust.html", 422)
        return await self._preview(ask, "adjust", sign * amount, "reason")

    async def top_up(self, ask: PageRequest) -> Response[Any]:
        """Make the top-up, or request it if it is above the operator's limit."""
        form = ask.form
        try:
            outcome = await ask.services.operations.top_up(
                merchant_of(ask),
                amount=form.text("amount"),
                reference=form.text("reference"),
                note=form.text("note") or None,
                principal=ask.principal,
            )
            return self._done(ask, outcome, "topped_up")
        except ServiceError as error:
            form.fail(error)
            return await merchant_page(ask, "console/top_up.html", 422)

    async def adjust(self, ask: PageRequest) -> Response[Any]:
        """Make the adjustment, or request it if it is above the operator's limit."""
        form = ask.form
        try:
            outcome = await ask.services.operations.adjust(
                merchant_of(ask),
                amount=("-" if _sign(ask) < 0 else "") + form.text("amount"),
                reference=form.text("reference"),
                reason=form.text("reason"),
                principal=ask.principal,
            )
            return self._done(ask, outcome, "adjusted")
        except ServiceError as error:
            form.fail(error)
            return await merchant_page(ask, "console/adjust.html", 422)

    async def _preview(self, ask: PageRequest, deed: str, change: int, words: str) -> Response[Any]:
        names = ("amount", "reference", words, *(("sign",) if deed == "adjust" else ()))
        return await merchant_page(
            ask,
            "console/preview.html",
            deed=deed,
            change=change,
            amount=abs(change),
            waits=ask.services.operations.needs_approval(abs(change)),
            fields=[(name, ask.form.text(name)) for name in names],
            reference=ask.form.text("reference"),
            words=ask.form.text(words),
        )

    def _done(self, ask: PageRequest, outcome: Outcome, said: str) -> Response[Any]:
        """Say what became of it.

        Raises:
            Refused: the ledger refused.
        """
        if not outcome.is_ok:
            raise Refused(outcome)
        if outcome.transfer is None:
            return ask.redirect(merchant_url(merchant_of(ask)), "waits")
        return ask.redirect(merchant_url(merchant_of(ask)), "was_made" if outcome.is_replay else said)


def _sign(ask: PageRequest) -> int:
    """Read which way an adjustment goes.

    Raises:
        InvalidInput: neither.
    """
    found = {_ADD: 1, _TAKE: -1}.get(ask.form.text("sign"))
    if found is None:
        raise InvalidInput("sign", "choose whether to add or to take away")
    return found
