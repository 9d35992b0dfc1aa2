"""Prices for support: the defaults, and a merchant's own; versions are added, never edited."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.core.permissions import Operation
from farebox.core.prices import Price
from farebox.core.pricing.rules import Rule
from farebox.presenters.prices import PriceVersions, price_versions, request_cost_words
from farebox.service import inputs
from farebox.service.errors import InvalidInput, Missing, ServiceError
from farebox.service.price_life import by_type, following, met_at
from farebox.service.typed_amounts import typed_amount
from farebox.web.pages.access import HTMX_HEADER
from farebox.web.pages.calculator import Calculator, calculator
from farebox.web.pages.console.common import merchant_page
from farebox.web.pages.console.price_previews import (
    PriceEnd,
    PriceNeighbours,
    ending,
    new_type,
    retired_type,
    withdrawal,
)
from farebox.web.pages.console.rule_previews import RulePreview, rule_preview, typed_rule
from farebox.web.pages.console.whose_prices import WhosePrices
from farebox.web.pages.forms import sentence, typed_time
from farebox.web.pages.once import ONCE_FIELD
from farebox.web.pages.paging import TypePage
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

_FIELDS: Final = {"unitPrice": "unit_price", "from": "starts"}
_ABOVE: Final = {"from": "", "starts": "", "type": "", "price": ""}
"""Faults of a button's form stand above the page: its fields are not those that the page has."""
_SENT: Final = ("type", "unit_price", "is_variable", "rule", "starts", ONCE_FIELD)
_IS_NEW: Final = "is_new"
_IS_MEANT: Final = "is_meant"


class ConsolePricePages(WhosePrices):
    """The prices of one merchant, or with none the default ones."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        common: dict[str, Any] = {"is_console": True, "operation": Operation.SET_PRICE}
        return [
            PageRoute(self._path, Audience.SUPPORT, get=self.show, post=self.add, is_done_once=True, **common),
            PageRoute(f"{self._path}/preview", Audience.SUPPORT, post=self.preview, **common),
            PageRoute(
                f"{self._path}/end",
                *(Audience.SUPPORT, self.ask_end, self.end),
                is_form=True,
                is_done_once=True,
                **common,
            ),
            PageRoute(
                f"{self._path}/withdraw",
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
        """Add a version; ask first about a type that has no price so far, or that is retired then."""
        form = request.form
        merchant_id = self._merchant_id(request)
        try:
            request_type = inputs.request_type("type", form.text("type"))
            currency = await self._currency(request)
            unit_price, rule = _asked(request, currency)
            starts = typed_time("starts", form.text("starts"), request.zone)
            if _IS_NEW not in form and (others := await self._others(request, merchant_id, request_type)):
                words = _words(unit_price, rule, currency)
                fields = {field: form.text(field) for field in _SENT if field in form} | {_IS_NEW: "yes"}
                asked = new_type(self._root(request), request_type, words, others, fields)
                return await self._answer(request, "console/preview.html", preview=asked)
            if _IS_MEANT not in form and await self._is_retired(request, request_type, starts):
                words = _words(unit_price, rule, currency)
                fields = {field: form.text(field) for field in (*_SENT, _IS_NEW) if field in form} | {_IS_MEANT: "yes"}
                asked = retired_type(self._root(request), request_type, words, fields)
                return await self._answer(request, "console/preview.html", preview=asked)
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
        """Tell what it comes to to end the price of a type, now or at a time to come; nothing is changed."""
        at, text = request.services.console.now(), request.query("starts").strip()
        is_now = not text
        try:
            request_type = inputs.request_type("type", request.query("type"))
        except InvalidInput:
            return request.redirect(self._root(request))
        try:
            at = _typed_end(request, at)
        except InvalidInput as error:
            request.form.errors["starts"], is_now = sentence(error.message), True
        end = await self._ending(request, request_type, at, is_now=is_now)
        if end is None:
            return request.redirect(self._root(request), "price_has_ended")
        currency = await self._currency(request)
        preview = ending(self._root(request), end, currency, request.zone)
        status = 422 if request.form.errors else 200
        asked = {"request_type": request_type, "starts": text}
        return await self._answer(request, "console/price_end.html", status, preview=preview, **asked)

    async def _ending(self, request: PageRequest, request_type: str, at: int, *, is_now: bool) -> PriceEnd | None:
        """Read what would end at a time; None if nothing is in force then."""
        prices = request.services.prices

        async def versions(merchant_id: int | None) -> Sequence[Price]:
            return by_type(await prices.versions(merchant_id, request_type)).get(request_type, ())

        known = await versions(self._merchant_id(request))
        started = [price for price in known if price.starts_at <= at]
        if not started or started[-1].is_end:
            return None
        again = next((price for price in known if price.starts_at > at and not price.is_end), None)
        default, own_count = None, 0
        if self._is_merchants:
            default = met_at(await versions(None), request_type, at)
        else:
            own_count = await prices.own_count(request_type, at)
        return PriceEnd(started[-1], at, is_now, default, again, own_count)

    async def end(self, request: PageRequest) -> Response:
        """End the price of a type."""
        try:
            starts = typed_time("starts", request.form.text("starts"), request.zone)
            end = partial(
                request.services.prices.end,
                inputs.request_type("type", request.form.text("type")),
                merchant_id=self._merchant_id(request),
                starts=starts,
                principal=request.principal,
            )
            return await request.do_once(end, self._root(request), "price_end_saved" if starts else "price_ended")
        except ServiceError as error:
            request.form.fail(error, _ABOVE)
            return await self._page(request, 422)

    async def ask_withdraw(self, request: PageRequest) -> Response:
        """Tell what it comes to to withdraw a version; nothing is changed."""
        prices, root = request.services.prices, self._root(request)
        try:
            price_id = inputs.public_id("price", ids.PRICE, request.query("price"))
            price = await prices.get(self._merchant_id(request), price_id)
        except (InvalidInput, Missing):
            return request.redirect(root)
        if price.withdrawn_at is not None:
            return request.redirect(root, "price_was_withdrawn")
        if price.starts_at <= request.services.console.now():
            return request.redirect(root, "price_has_started")
        known = by_type(await prices.versions(price.merchant_id, price.request_type))[price.request_type]
        before = [version for version in known if version.starts_at < price.starts_at]
        currency = await self._currency(request)
        neighbours = PriceNeighbours(price, before[-1] if before else None, following(price, known))
        preview = withdrawal(root, neighbours, currency, request.zone)
        return await self._answer(request, "console/preview.html", preview=preview)

    async def withdraw(self, request: PageRequest) -> Response:
        """Withdraw a version that has not started."""
        prices, merchant_id = request.services.prices, self._merchant_id(request)
        try:
            price_id = inputs.public_id("price", ids.PRICE, request.form.text("price"))
            was_withdrawn = (await prices.get(merchant_id, price_id)).withdrawn_at is not None
            await prices.withdraw(price_id, merchant_id=merchant_id, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error, _ABOVE)
            return await self._page(request, 422)
        return request.redirect(self._root(request), "price_was_withdrawn" if was_withdrawn else "price_withdrawn")

    async def _versions(self, request: PageRequest) -> list[PriceVersions]:
        prices = await request.services.prices.list(self._merchant_id(request))
        return price_versions(prices, request.services.console.now())

    async def _others(self, request: PageRequest, merchant_id: int | None, request_type: str) -> list[str]:
        """List the types that have a price; none of them if this type is among them."""
        names = sorted(await request.services.prices.request_types(merchant_id))
        return [] if request_type in names else names

    async def _is_retired(self, request: PageRequest, request_type: str, starts: str | None) -> bool:
        """Tell whether a merchant's own price would start while its type is retired."""
        if not self._is_merchants:
            return False
        at = request.services.console.now() if starts is None else inputs.time("starts", starts)
        versions = by_type(await request.services.prices.versions(None, request_type)).get(request_type, ())
        started = [price for price in versions if price.starts_at <= at]
        return bool(started) and started[-1].is_end

    async def _preview(self, request: PageRequest) -> RulePreview:
        form = request.form
        currency = await self._currency(request)
        now = request.services.console.now()
        return rule_preview(form.text("rule"), form.text("sample"), currency=currency, now=now)

    async def _page(self, request: PageRequest, status: int = 200, preview: RulePreview | None = None) -> Response:
        life = await request.services.prices.life(self._merchant_id(request))
        types, type_page = await self._versions(request), TypePage.asked_for(request)
        lists = (types, life.in_force, life.to_come) if self._is_merchants else (types,)
        shown: dict[str, Any] = {
            "types": type_page.of(types),
            "type_page": type_page,
            "has_search": type_page.is_needed(*lists),
            "has_more": type_page.has_more(*lists),
            "preview": preview,
            "calculator": await self._calculator(request, life.in_force),
        }
        if not self._is_merchants:
            return request.page("console/prices.html", status, **shown)
        return await merchant_page(
            request,
            "console/own_prices.html",
            status,
            in_force=type_page.of(life.in_force),
            to_come=type_page.of(life.to_come),
            retired={change.request_type for change in life.ended if change.is_retired},
            **shown,
        )

    async def _calculator(self, request: PageRequest, in_force: Sequence[Price] | None = None) -> Calculator | None:
        merchant_id = self._merchant_id(request)
        if in_force is None:
            in_force = await request.services.prices.in_force(merchant_id)
        return await calculator(request, self._root(request), in_force, merchant_id)


def _typed_end(request: PageRequest, now: int) -> int:
    """Read when a price is to end; now, if nothing was typed.

    Raises:
        InvalidInput: it is no time to come.
    """
    starts = typed_time("starts", request.query("starts").strip(), request.zone)
    at = now if starts is None else inputs.time("starts", starts)
    if at < now:
        raise InvalidInput("starts", "a price can't end in the past")
    return at


def _words(unit_price: str | None, rule: Rule | None, currency: str) -> str:
    micros = None if unit_price is None else inputs.amount("unit_price", unit_price, is_zero_allowed=True)
    return request_cost_words(micros, rule, currency)


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
