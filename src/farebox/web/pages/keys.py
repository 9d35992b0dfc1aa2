"""API keys on pages: make, rotate, end and revoke them. A key's text is shown once, on the page that answers."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.presenters.keys import KEY_KIND_WORDS, has_ended, is_working
from farebox.service.errors import InvalidInput, Missing, ServiceError
from farebox.service.languages import Language
from farebox.service.operator.merchants import ApiKey, NewKey
from farebox.service.repeats import RequestKey
from farebox.web.pages.forms import typed_time
from farebox.web.pages.key_budgets import budget_preview, budget_units, typed_budget, usage_of_keys
from farebox.web.pages.preview import Preview, facts_of
from farebox.web.pages.render import clock_time, moment
from farebox.web.pages.request import PageRequest

KEY: Final = "{key:str}"
"""The part of a path that names a key."""

_FIELDS: Final = {"overlapSeconds": "overlap"}
_NO_OVERLAP: Final = "0"
_IS_SURE: Final = "is_sure"
_IN_USE_MICROS: Final = 24 * 3600 * 1_000_000
"""A key that was used within so long is in use."""


class KeyPages(ABC):
    """The pages of some keys: a merchant's, on its own side or in the console, or those of services and support."""

    overlaps: ClassVar[dict[str, str]]
    """How long a rotated key may go on: words, by the seconds as a form sends them."""

    @abstractmethod
    def merchant(self, request: PageRequest) -> int | None:
        """Return whose keys they are; None for services' and support's."""

    @abstractmethod
    def url(self, request: PageRequest) -> str:
        """Write where the list is."""

    @abstractmethod
    def make(self, request: PageRequest, expires: str | None, request_key: RequestKey) -> Awaitable[NewKey]:
        """Make the key that the form asks for.

        Raises:
            ServiceError: it can't be made.
        """

    @abstractmethod
    def page(self, request: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Answer with a page: `keys`, `key` or `key_made`."""

    async def show(self, request: PageRequest) -> Response:
        """List the keys."""
        return await self._list(request)

    async def create(self, request: PageRequest) -> Response:
        """Make a key."""
        try:
            expires = typed_time("expires", request.form.text("expires"), request.zone)
            made = await request.make_once(partial(self.make, request, expires), request.services.merchants.made_key)
        except ServiceError as error:
            request.form.fail(error)
            return await self._list(request, 422)
        return await self._page(request, "key_made", key=made.thing)

    async def show_one(self, request: PageRequest) -> Response:
        """Show one key, and what can be done about it."""
        return await self._one(request)

    async def rotate(self, request: PageRequest) -> Response:
        """Make a key's successor; the old one goes on for a while."""
        key = await self._own(request)
        try:
            text = request.form.text("overlap")
            if text not in self.overlaps:
                raise InvalidInput("overlap", "choose how long the old key goes on")
            is_asked = text == _NO_OVERLAP and is_working(key, request.services.console.now())
            if is_asked and _IS_SURE not in request.form:
                return await self._ask_rotate(request, key)
            merchants = request.services.merchants
            rotate = partial(merchants.rotate_key, key.key_id, overlap_seconds=int(text), principal=request.principal)
            made = await request.make_once(rotate, merchants.made_key)
        except ServiceError as error:
            request.form.fail(error, _FIELDS)
            return await self._one(request, 422)
        return await self._page(request, "key_made", key=made.thing)

    async def end(self, request: PageRequest) -> Response:
        """Let a key end at a time to come."""
        key = await self._own(request)
        try:
            expires = typed_time("expires", request.form.text("expires"), request.zone)
            if expires is None:
                raise InvalidInput("expires", "say when")
            await request.services.merchants.expire_key(key.key_id, expires, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error)
            return await self._one(request, 422)
        return request.redirect(self.url(request), "key_expiry_saved")

    async def rename(self, request: PageRequest) -> Response:
        """Give a key another name."""
        key = await self._own(request)
        try:
            name = request.form.text("name") or None
            await request.services.key_budgets.rename(key.key_id, name, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error)
            return await self._one(request, 422)
        return request.redirect(self._url(request, key), "key_renamed")

    async def set_budget(self, request: PageRequest) -> Response:
        """Set what a merchant's key may spend; what it comes to is told first, and nothing is changed by that."""
        key = await self._own(request)
        try:
            form = await typed_budget(request, key)
            if _IS_SURE not in request.form:
                return await self._page(
                    request, "preview", preview=await budget_preview(request, key, form, self._url(request, key))
                )
            await request.services.key_budgets.set(key.key_id, form.limits, zone=form.zone, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error, {"timeZone": "zone"})
            return await self._one(request, 422)
        return request.redirect(self._url(request, key), "budget_saved" if form.limits else "budget_removed")

    async def ask_revoke(self, request: PageRequest) -> Response:
        """Tell what it comes to to revoke a key; nothing is changed."""
        key, now = await self._own(request), request.services.console.now()
        if has_ended(key, now):
            return request.redirect(self._url(request, key))
        others = [item for item in await self._keys(request) if is_working(item, now) and item.key_id != key.key_id]
        return await self._page(request, "preview", preview=self._revocation(request, key, others))

    async def revoke(self, request: PageRequest) -> Response:
        """Close a key at once and for ever."""
        key = await self._own(request)
        is_done_now = await request.services.merchants.revoke_key(key.key_id, principal=request.principal)
        return request.redirect(self.url(request), "key_revoked" if is_done_now else "key_was_revoked")

    async def ask_suspend(self, request: PageRequest) -> Response:
        """Tell what it comes to to suspend a key; nothing is changed."""
        key = await self._own(request)
        if not is_working(key, request.services.console.now()):
            return request.redirect(self._url(request, key))
        return await self._page(request, "preview", preview=self._suspension(request, key))

    async def suspend(self, request: PageRequest) -> Response:
        """Let a key open nothing until it is resumed."""
        return await self._set_suspended(request, request.services.merchants.suspend_key, "key_suspended")

    async def resume(self, request: PageRequest) -> Response:
        """Let a suspended key open what it did before."""
        return await self._set_suspended(request, request.services.merchants.resume_key, "key_resumed")

    async def _set_suspended(
        self, request: PageRequest, change: Callable[..., Awaitable[bool]], flash: str
    ) -> Response:
        key = await self._own(request)
        try:
            await change(key.key_id, principal=request.principal)
        except ServiceError as error:
            request.form.fail(error)
            return await self._one(request, 422)
        return request.redirect(self._url(request, key), flash)

    async def _own(self, request: PageRequest) -> ApiKey:
        """Read the key that the path names, if it belongs on this page.

        Raises:
            Missing: it does not.
        """
        key = await request.services.merchants.key(request.number("key", ids.KEY))
        if key.merchant_id != self.merchant(request):
            raise Missing("no such key is here")
        return key

    def _url(self, request: PageRequest, key: ApiKey) -> str:
        return f"{self.url(request)}/{ids.public_id(ids.KEY, key.key_id)}"

    async def _keys(self, request: PageRequest) -> Sequence[ApiKey]:
        return await request.services.merchants.keys(self.merchant(request))

    def _revocation(self, request: PageRequest, key: ApiKey, others: Sequence[ApiKey]) -> Preview:
        """Tell what it comes to to revoke a key, beside which these others work."""
        here, is_merchants = self._url(request, key), key.merchant_id is not None
        spoken, notice, link = request.language, "", None
        say = spoken.gettext
        if is_merchants and not others:
            notice = say("No other key works: until one is made, no program can read the balance.")
        elif key.used_at is not None and request.services.console.now() - key.used_at < _IN_USE_MICROS:
            notice = say("It is in use. To let its program go on until it has another key, make a successor instead.")
            link = (here, say("To the key"))
        return Preview(
            action=f"{here}/revoke",
            back=here,
            question=say("Revoke the key %(key)s?", key=key.hint),
            facts=[
                *_key_facts(request, key),
                *_others(others, spoken, is_shown=is_merchants),
                (say("From then on"), say("every request with it is refused, at once")),
                (say("Taking it back"), say("is not possible; a new key can be made at any time")),
            ],
            button=say("Revoke the key"),
            notice=notice,
            link=link,
            is_danger=True,
        )

    def _suspension(self, request: PageRequest, key: ApiKey) -> Preview:
        here, say = self._url(request, key), request.language.gettext
        return Preview(
            action=f"{here}/suspend",
            back=here,
            question=say("Suspend the key %(key)s?", key=key.hint),
            facts=[
                *_key_facts(request, key),
                (say("From then on"), say("every request with it is refused, at once; what other keys do goes on")),
                (say("Taking it back"), say("is possible at any time: resume the key")),
            ],
            button=say("Suspend the key"),
            is_danger=True,
        )

    async def _ask_rotate(self, request: PageRequest, key: ApiKey) -> Response:
        """Tell what it comes to to make a key's successor that takes its place at once; nothing is changed."""
        here, say = self._url(request, key), request.language.gettext
        preview = Preview(
            action=f"{here}/rotate",
            back=here,
            question=say("End the key %(key)s now?", key=key.hint),
            facts=[
                *_key_facts(request, key),
                (say("From then on"), say("every request with it is refused, at once; its successor works")),
                (
                    say("Taking it back"),
                    say("is not possible; to let the old key go on for a while, choose how long"),
                ),
            ],
            button=say("Make its successor and end it"),
            fields={"overlap": _NO_OVERLAP, _IS_SURE: "yes"},
            is_danger=True,
            is_done_once=True,
        )
        return await self._page(request, "preview", preview=preview)

    async def _list(self, request: PageRequest, status: int = 200) -> Response:
        keys = await self._keys(request)
        merchant_id, values = self.merchant(request), dict[str, Any]()
        if merchant_id is not None:
            budgets = await request.services.key_budgets.of(keys)
            values = {"budgets": budgets, "usage": await usage_of_keys(request, merchant_id, keys)}
        return await self._page(request, "keys", status, keys=keys[::-1], **values)

    async def _one(self, request: PageRequest, status: int = 200) -> Response:
        key = await self._own(request)
        budget = await request.services.key_budgets.of_key(key)
        return await self._page(
            request,
            "key",
            status,
            key=key,
            here=self._url(request, key),
            overlaps=[(seconds, request.language.gettext(words)) for seconds, words in self.overlaps.items()],
            budget=budget,
            units=budget_units(budget, request.language),
        )

    async def _page(self, request: PageRequest, name: str, status: int = 200, **values: Any) -> Response:
        return await self.page(
            request, name, status, keys_root=self.url(request), now=request.services.console.now(), **values
        )


def _others(others: Sequence[ApiKey], spoken: Language, *, is_shown: bool) -> list[tuple[str, str]]:
    """Tell how many other keys work."""
    count = spoken.number(len(others)) if others else spoken.gettext("none")
    return [(spoken.gettext("Other keys that work"), count)] if is_shown else []


def _key_facts(request: PageRequest, key: ApiKey) -> list[tuple[str, str]]:
    """Tell which key it is, and whether it is used."""
    spoken, say = request.language, request.language.gettext
    kind = KEY_KIND_WORDS[key.kind] if key.merchant_id is None else say("merchant")
    used = say("not yet") if key.used_at is None else clock_time(key.used_at, request.zone, spoken=spoken)
    return facts_of(
        (say("Whose"), f"{key.name}, {kind}" if key.name else None),
        (say("Made"), moment(key.created_at, request.zone, spoken=spoken)),
        (say("Last used"), used),
    )
