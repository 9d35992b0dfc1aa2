"""Warnings: the thresholds, what each is told and by what, who is told, what was told when, and a mail to try it."""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

from msgspec import Struct
from starlette.responses import Response

from farebox.presenters.event_words import EVENT_WORDS
from farebox.service.errors import ServiceError, ensure_done
from farebox.service.event_types import offered_types, types_of
from farebox.service.people.choices import fixed_types
from farebox.service.people.destinations import Destination
from farebox.service.people.users import User
from farebox.service.typed_amounts import amount_to_type
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.amounts import (
    runway_threshold_fields,
    threshold_fields,
    typed_runway_thresholds,
    typed_thresholds,
)
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.request import PageRequest
from farebox.web.pages.routes import Audience, PageRoute

ALERTS_MAX: Final = 20
_AMOUNT: Final = "amount"
_DAYS: Final = "days"
_MAIL: Final = "mail"


class ChoiceColumn(Struct, frozen=True):
    """What a user is told by one channel: the field's name, its words, the types chosen, and those that are fixed."""

    name: str
    words: str
    chosen: Collection[str]
    fixed: Collection[str] = ()


class AlertPages:
    """A merchant's warnings."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(f"{ROOT}/alerts", Audience.VIEWER, get=self.show, post=self.save, posts=Audience.MEMBER),
            PageRoute(f"{ROOT}/alerts/choices", Audience.VIEWER, post=self.save_choices),
            PageRoute(f"{ROOT}/alerts/test", Audience.MEMBER, post=self.test, is_done_once=True),
        ]

    async def show(self, request: PageRequest) -> Response:
        """Show the thresholds, who is told, and what was told."""
        return await self._page(request)

    async def save(self, request: PageRequest) -> Response:
        """Set the thresholds anew, those in money and those in days left."""
        _, account = await request.services.merchants.get(request.merchant_id)
        try:
            amounts = typed_thresholds(request.form, _AMOUNT, account.currency, account.credit_limit, request.language)
            days = typed_runway_thresholds(request.form, _DAYS)
            ensure_done(
                await request.services.operations.set_thresholds(
                    request.merchant_id, amounts, principal=request.principal
                )
            )
            await request.services.runway_thresholds.set(request.merchant_id, days, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error, {"thresholds": _AMOUNT, "runwayThresholds": _DAYS})
            return await self._page(request, 422)
        return request.redirect(f"{account_url(request)}/alerts", "thresholds_saved")

    async def save_choices(self, request: PageRequest) -> Response:
        """Save what who asks wants to be told, by mail and by each webhook or chat of their own."""
        form, services = request.form, request.services
        try:
            for destination in await _own(request, await _who_asks(request)):
                await services.destinations.change(
                    destination, types=form.all(destination.id), principal=request.principal
                )
            await services.choices.set_mailed(
                request.merchant_id, request.login.email, form.all(_MAIL), principal=request.principal
            )
        except ServiceError as error:
            form.fail(error)
            return await self._page(request, 422)
        return request.redirect(f"{account_url(request)}/alerts", "choices_saved")

    async def test(self, request: PageRequest) -> Response:
        """Mail who asks, to show that warnings reach them."""
        try:
            send = partial(request.services.sign_in.send_test, request.login, request.merchant_id)
            return await request.do_once(send, f"{account_url(request)}/alerts", "test_sent")
        except ServiceError as error:
            request.form.fail(error)
            return await self._page(request, 422)

    async def _page(self, request: PageRequest, status: int = 200) -> Response:
        merchant, account = await request.services.merchants.get(request.merchant_id)
        spoken = request.language
        amounts = [amount_to_type(threshold.amount, account.currency, spoken) for threshold in account.thresholds]
        return await account_page(
            request,
            "account/alerts.html",
            status,
            read=(merchant, account),
            alerts=await request.services.queries.alerts(request.merchant_id, ALERTS_MAX),
            members=await request.services.users.members(request.merchant_id),
            typed=threshold_fields(request.form, _AMOUNT, amounts),
            typed_days=runway_threshold_fields(request.form, _DAYS, merchant.runway_days),
            episodes={
                item.days: item for item in await request.services.runway_thresholds.episodes(request.merchant_id)
            },
            choices=await _choices(request),
            offered=[(name, spoken.gettext(EVENT_WORDS[name])) for name in offered_types(is_operator=False)],
        )


async def _who_asks(request: PageRequest) -> User:
    return await request.services.choices.user(request.merchant_id, request.login.email)


async def _own(request: PageRequest, user: User) -> list[Destination]:
    """List the webhooks and chats that are a user's own."""
    there = await request.services.destinations.list(request.merchant_id)
    return [destination for destination in there if destination.user_id == user.user_id]


async def _choices(request: PageRequest) -> Sequence[ChoiceColumn]:
    """Read what who asks is told, by each channel; nothing of staff, who only look."""
    if request.role is None:
        return []
    user = await _who_asks(request)
    fixed = fixed_types(user.role)
    mail = ChoiceColumn(_MAIL, request.language.gettext("E-mail"), {*types_of(user.mail_kinds), *fixed}, fixed)
    own = [ChoiceColumn(each.id, each.name, types_of(each.kinds)) for each in await _own(request, user)]
    return [mail, *own]
