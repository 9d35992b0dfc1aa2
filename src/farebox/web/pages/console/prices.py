"""Prices for support: the defaults, and a merchant's own; versions are added, never edited."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.currencies import format_money
from farebox.core.permissions import Operation
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.presenters.price_words import rule_summary
from farebox.presenters.prices import VARIABLE, PriceVersions, price_versions
from farebox.service import inputs
from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.access import HTMX_HEADER
from farebox.web.pages.calculator import Calculator, calculator
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.console.price_previews import ending, new_type, withdrawal
from farebox.web.pages.console.rule_previews import RulePreview, rule_preview, typed_rule
from farebox.web.pages.forms import typed_time
from farebox.web.pages.once import ONCE_FIELD
from farebox.web.pages.paging import TypePage
from farebox.web.pages.preview import Preview
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_DEFAULTS: Final = "/support/prices"
_FIELDS: Final = {"unitPrice": "unit_price", "from": "starts"}
_SENT: Final = ("type", "unit_price", "is_variable", "rule", "starts", ONCE_FIELD)
_IS_NEW: Final = "is_new"


class ConsolePricePages:
    """The prices of one merchant, or with none the default ones."""

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's own prices, or the defaults."""
        self._is_merchants = is_merchants

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/prices" if self._is_merchants else _DEFAULTS
        common: dict[str, Any] = {"is_console": True, "operation": Operation.SET_PRICE}
        return [
            PageRoute(root, Audience.SUPPORT, get=self.show, post=self.add, is_done_once=True, **common),
            PageRoute(f"{root}/preview", Audience.SUPPORT, post=self.preview, **common),
            PageRoute(
                f"{root}/end",
                *(Audience.SUPPORT, self.ask_end, self.end),
                is_form=True,
                is_done_once=True,
                **common,
            ),
            PageRoute(
                f"{root}/withdraw",
                *(Audience.SUPPORT, self.ask_withdraw, self.withdraw),
                is_form=True,
                **common,
            ),
        ]

    async def show(self, request: PageRequest) -> Response:
        """List the prices, every version, and work out what a request would cost."""
        if HTMX_HEADER in request.http.headers:
            return request.page("calculator.html", calculator=await self._calculator(request))
        return await self._page(request)

    async def add(self, request: PageRequest) -> Response:
        """Add a version; for a request type that has no price so far, ask first whether it is meant."""
        form = request.form
        merchant_id = self._merchant_id(request)
        try:
            request_type = inputs.request_type("type", form.text("type"))
            currency = await _currency(request, merchant_id)
            unit_price, rule = _asked(request, currency)
            starts = typed_time("starts", form.text("starts"), request.zone)
            if _IS_NEW not in form and (others := await self._others(request, merchant_id, request_type)):
                words = _words(unit_price, rule, currency)
                fields = {field: form.text(field) for field in _SENT if field in form} | {_IS_NEW: "yes"}
                return await self._ask(request, new_type(self._root(request), request_type, words, others, fields))
            set_price = partial(
                request.services.prices.set,
                *(request_type, unit_price),
                rule=rule,
                merchant_id=merchant_id,
                starts=starts,
                principal=request.principal,
            )
            return await request.do_once(set_price, self._root(request), "price_saved")
        except ServiceError as error:
            form.fail(error, _FIELDS)
            return await self._page(request, 422)

    async def preview(self, request: PageRequest) -> Response:
        """Tell what a rule that is being typed says: as a part of the page, or as the whole page without scripts."""
        preview = await self._preview(request)
        if HTMX_HEADER in request.http.headers:
            return request.page("console/rule_preview.html", preview=preview)
        return await self._page(request, preview=preview)

    async def ask_end(self, request: PageRequest) -> Response:
        """Tell what it comes to to end the price of a type; nothing is changed."""
        versions = await self._versions(request)
        of_type = next((found for found in versions if found.request_type == request.query("type")), None)
        if of_type is None or of_type.in_force is None or of_type.in_force.is_end:
            return request.redirect(self._root(request))
        default = None
        if self._is_merchants:
            defaults = {price.request_type: price for price in await request.services.prices.in_force(None)}
            default = defaults.get(of_type.request_type)
        currency = await _currency(request, self._merchant_id(request))
        preview = ending(self._root(request), of_type, default, currency, is_merchants=self._is_merchants)
        return await self._ask(request, preview)

    async def end(self, request: PageRequest) -> Response:
        """End the price of a type, from now on."""
        try:
            end = partial(
                request.services.prices.end,
                inputs.request_type("type", request.form.text("type")),
                merchant_id=self._merchant_id(request),
                principal=request.principal,
            )
            return await request.do_once(end, self._root(request), "price_ended")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    async def ask_withdraw(self, request: PageRequest) -> Response:
        """Tell what it comes to to withdraw a version; nothing is changed."""
        price = await self._to_come(request)
        if price is None:
            return request.redirect(self._root(request))
        currency = await _currency(request, price.merchant_id)
        return await self._ask(request, withdrawal(self._root(request), price, currency, request.zone))

    async def withdraw(self, request: PageRequest) -> Response:
        """Withdraw a version that has not started."""
        try:
            await request.services.prices.withdraw(
                inputs.public_id("price", ids.PRICE, request.form.text("price")),
                merchant_id=self._merchant_id(request),
                principal=request.principal,
            )
            return request.redirect(self._root(request), "price_withdrawn")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    def _merchant_id(self, request: PageRequest) -> int | None:
        return merchant_of(request) if self._is_merchants else None

    async def _versions(self, request: PageRequest) -> list[PriceVersions]:
        prices = await request.services.prices.list(self._merchant_id(request))
        return price_versions(prices, request.services.console.now())

    async def _to_come(self, request: PageRequest) -> Price | None:
        """Read which version a page is about; None if there is no such version that is still to come."""
        coming = [price for versions in await self._versions(request) for price in versions.coming]
        name = request.query("price")
        return next((price for price in coming if ids.public_id(ids.PRICE, price.price_id) == name), None)

    def _root(self, request: PageRequest) -> str:
        return f"{merchant_url(merchant_of(request))}/prices" if self._is_merchants else _DEFAULTS

    async def _others(self, request: PageRequest, merchant_id: int | None, request_type: str) -> list[str]:
        """List the types that have a price; none of them if this type is among them."""
        names = sorted(await request.services.prices.request_types(merchant_id))
        return [] if request_type in names else names

    async def _ask(self, request: PageRequest, preview: Preview) -> Response:
        if self._is_merchants:
            return await merchant_page(request, "console/preview.html", preview=preview)
        return request.page("console/preview.html", frame="console/plain.html", preview=preview)

    async def _preview(self, request: PageRequest) -> RulePreview:
        form = request.form
        currency = await _currency(request, self._merchant_id(request))
        now = request.services.console.now()
        return rule_preview(form.text("rule"), form.text("sample"), currency=currency, now=now)

    async def _page(self, request: PageRequest, status: int = 200, preview: RulePreview | None = None) -> Response:
        in_force = await request.services.prices.in_force(self._merchant_id(request))
        types, type_page = await self._versions(request), TypePage.asked_for(request)
        lists = (types, in_force) if self._is_merchants else (types,)
        shown: dict[str, Any] = {
            "types": type_page.of(types),
            "type_page": type_page,
            "has_search": type_page.is_needed(*lists),
            "has_more": type_page.has_more(*lists),
            "preview": preview,
            "calculator": await self._calculator(request, in_force),
        }
        if not self._is_merchants:
            return request.page("console/prices.html", status, **shown)
        return await merchant_page(request, "console/own_prices.html", status, in_force=type_page.of(in_force), **shown)

    async def _calculator(self, request: PageRequest, in_force: Sequence[Price] | None = None) -> Calculator | None:
        merchant_id = self._merchant_id(request)
        if in_force is None:
            in_force = await request.services.prices.in_force(merchant_id)
        return await calculator(request, self._root(request), in_force, merchant_id)


async def _currency(request: PageRequest, merchant_id: int | None) -> str:
    """Tell what prices are in; a default price is a number in whatever currency the merchant has, so that is ""."""
    return "" if merchant_id is None else (await request.services.merchants.get(merchant_id))[1].currency


def _words(unit_price: str | None, rule: Rule | None, currency: str) -> str:
    if rule is not None:
        return rule_summary(rule, currency)
    if unit_price is None:
        return VARIABLE
    return f"{format_money(inputs.amount('unit_price', unit_price, is_zero_allowed=True), currency)} a request"


def _asked(request: PageRequest, currency: str) -> tuple[str | None, Rule | None]:
    """Read what requests cost: a unit price, or a rule, or neither if the caller names each amount.

    Raises:
        InvalidInput: it is no price, or more than one.
    """
    form = request.form
    is_variable, rule_text, unit_price = "is_variable" in form, form.text("rule"), form.text("unit_price")
    if sum((is_variable, bool(rule_text), bool(unit_price))) > 1:
        field = "rule" if rule_text else "unit_price"
        raise InvalidInput(field, "a price is one of three: a unit price, variable, or a rule; leave the others empty")
    if is_variable:
        return None, None
    if rule_text:
        return None, typed_rule(rule_text)
    return typed_amount("unit_price", unit_price, currency, is_zero_allowed=True), None
