"""Prices for support: the defaults, and a merchant's own; versions are added, never edited."""

from functools import partial
from typing import Final

from starlette.responses import Response

from farebox.core.currencies import format_money
from farebox.core.permissions import Operation
from farebox.presenters.prices import price_versions
from farebox.service import inputs
from farebox.service.errors import ServiceError
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages import render
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.forms import typed_time
from farebox.web.pages.once import ONCE_FIELD
from farebox.web.pages.preview import Preview
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_DEFAULTS: Final = "/support/prices"
_FIELDS: Final = {"unitPrice": "unit_price", "from": "starts"}
_SENT: Final = ("type", "unit_price", "is_variable", "starts", ONCE_FIELD)
_IS_NEW: Final = "is_new"
_OTHERS_MAX: Final = 12
"""How many of the types that have a price are named beside one that has none."""


class ConsolePricePages:
    """The prices of one merchant, or with none the default ones."""

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's own prices, or the defaults."""
        self._is_merchants = is_merchants

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/prices" if self._is_merchants else _DEFAULTS
        return [
            PageRoute(
                root,
                Audience.SUPPORT,
                get=self.show,
                post=self.add,
                is_console=True,
                operation=Operation.SET_PRICE,
                is_done_once=True,
            )
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the prices, every version."""
        return await self._page(request)

    async def add(self, request: PageRequest) -> Response:
        """Add a version; for a request type that has no price so far, ask first whether it is meant."""
        form = request.form
        merchant_id = merchant_of(request) if self._is_merchants else None
        try:
            request_type = inputs.request_type("type", form.text("type"))
            currency = await _currency(request, merchant_id)
            unit_price = _unit_price(request, currency)
            starts = typed_time("starts", form.text("starts"), request.zone)
            if _IS_NEW not in form and (others := await self._others(request, merchant_id, request_type)):
                return await self._ask(request, unit_price, currency, others)
            set_price = partial(
                request.services.prices.set,
                *(request_type, unit_price),
                merchant_id=merchant_id,
                starts=starts,
                principal=request.principal,
            )
            return await request.do_once(set_price, self._root(request), "price_saved")
        except ServiceError as error:
            form.fail(error, _FIELDS)
            return await self._page(request, 422)

    def _root(self, request: PageRequest) -> str:
        return f"{merchant_url(merchant_of(request))}/prices" if self._is_merchants else _DEFAULTS

    async def _others(self, request: PageRequest, merchant_id: int | None, request_type: str) -> list[str]:
        """List the types that have a price; none of them if this type is among them."""
        names = sorted(await request.services.prices.request_types(merchant_id))
        return [] if request_type in names else names

    async def _ask(self, request: PageRequest, unit_price: str | None, currency: str, others: list[str]) -> Response:
        """Ask whether a request type that was not used so far is meant."""
        form = request.form
        name, shown = form.text("type"), others[:_OTHERS_MAX]
        micros = 0 if unit_price is None else inputs.amount("unit_price", unit_price)
        more = f" and {len(others) - len(shown):,} more" if len(others) > len(shown) else ""
        preview = Preview(
            action=self._root(request),
            back=self._root(request),
            question=f"“{name}” was not used so far: really?",
            facts=[
                ("Request type", name),
                ("Unit price", "variable" if unit_price is None else format_money(micros, currency)),
                ("Used so far", render.joined(shown) if not more else f"{', '.join(shown)}{more}"),
            ],
            button=f"Set a price for the new type {name}",
            fields={field: form.text(field) for field in _SENT if field in form} | {_IS_NEW: "yes"},
            notice="A price counts only for requests of exactly this name. Nothing is set yet.",
        )
        if self._is_merchants:
            return await merchant_page(request, "console/preview.html", preview=preview)
        return request.page("console/preview.html", frame="console/plain.html", preview=preview)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        prices = request.services.prices
        now = request.services.console.now()
        defaults = await prices.list(None)
        if not self._is_merchants:
            return request.page("console/prices.html", status, types=price_versions(defaults, now))
        own = price_versions(await prices.list(merchant_of(request)), now)
        in_force = await prices.in_force(merchant_of(request))
        return await merchant_page(request, "console/own_prices.html", status, types=own, in_force=in_force)


async def _currency(request: PageRequest, merchant_id: int | None) -> str:
    """Tell what prices are in; a default price is a number in whatever currency the merchant has, so that is ""."""
    return "" if merchant_id is None else (await request.services.merchants.get(merchant_id))[1].currency


def _unit_price(request: PageRequest, currency: str) -> str | None:
    """Read what one request costs; None if the caller names each amount.

    Raises:
        InvalidInput: it is no amount.
    """
    if "is_variable" in request.form:
        return None
    return typed_amount("unit_price", request.form.text("unit_price"), currency)
