"""A merchant's API keys, for its owners to make, rotate, end and revoke; everybody sees which there are."""

from typing import Any, Final

from litestar import Response

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.errors import InvalidInput, Missing, ServiceError
from farebox.service.merchants import NewKey
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.console.common import number_of, typed_time
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.house import Ask, PageRoute, Who

OVERLAPS: Final = {"0": "not at all", "3600": "for an hour", "86400": "for a day", "604800": "for a week"}
"""How long a rotated key may go on, by the seconds of it."""

_FIELDS: Final = {"overlapSeconds": "overlap"}


class Keys:
    """A merchant's keys."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        one = f"{ROOT}/keys/{{key:str}}"
        return [
            PageRoute(f"{ROOT}/keys", Who.VIEWER, get=self.show, post=self.create, posts=Who.OWNER),
            PageRoute(one, Who.OWNER, get=self.show_one),
            PageRoute(f"{one}/rotate", Who.OWNER, post=self.rotate),
            PageRoute(f"{one}/end", Who.OWNER, post=self.end),
            PageRoute(f"{one}/revoke", Who.OWNER, post=self.revoke),
        ]

    async def show(self, ask: Ask) -> Response[Any]:
        """List the keys."""
        return await self._list(ask)

    async def create(self, ask: Ask) -> Response[Any]:
        """Make a key."""
        try:
            key = await ask.services.merchants.create_key(
                KeyKind.MERCHANT,
                merchant_id=ask.merchant_id,
                expires=typed_time("expires", ask.form.text("expires"), ask.zone),
                actor=ask.actor,
            )
        except ServiceError as error:
            ask.form.fail(error)
            return await self._list(ask, 422)
        return await self._made(ask, key)

    async def show_one(self, ask: Ask) -> Response[Any]:
        """Show one key, and what can be done about it."""
        return await self._one(ask)

    async def rotate(self, ask: Ask) -> Response[Any]:
        """Make a key's successor; the old one goes on for a while."""
        key_id = await self._own(ask)
        try:
            if ask.form.text("overlap") not in OVERLAPS:
                raise InvalidInput("overlap", "choose how long the old key goes on")
            key = await ask.services.merchants.rotate_key(
                key_id, overlap_seconds=int(ask.form.text("overlap")), actor=ask.actor
            )
        except ServiceError as error:
            ask.form.fail(error, _FIELDS)
            return await self._one(ask, 422)
        return await self._made(ask, key)

    async def end(self, ask: Ask) -> Response[Any]:
        """Let a key end at a time to come."""
        key_id = await self._own(ask)
        try:
            expires = typed_time("expires", ask.form.text("expires"), ask.zone)
            if expires is None:
                raise InvalidInput("expires", "say when")
            await ask.services.merchants.expire_key(key_id, expires, actor=ask.actor)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._one(ask, 422)
        return ask.redirect(f"{account_url(ask)}/keys", "key_expiry_saved")

    async def revoke(self, ask: Ask) -> Response[Any]:
        """Close a key at once and for ever."""
        await ask.services.merchants.revoke_key(await self._own(ask), actor=ask.actor)
        return ask.redirect(f"{account_url(ask)}/keys", "key_revoked")

    async def _own(self, ask: Ask) -> int:
        """Return the number of the key that the path names.

        Raises:
            Missing: it is none of the merchant's.
        """
        key = await ask.services.merchants.key(number_of(ask, "key", ids.KEY))
        if key.merchant_id != ask.merchant_id:
            raise Missing("no such key is here")
        return key.key_id

    async def _list(self, ask: Ask, status: int = 200) -> Response[Any]:
        keys = await ask.services.merchants.keys(ask.merchant_id)
        return await account_page(ask, "account/keys.html", status, keys=keys[::-1], now=ask.services.desk.now())

    async def _one(self, ask: Ask, status: int = 200) -> Response[Any]:
        key = await ask.services.merchants.key(await self._own(ask))
        return await account_page(
            ask, "account/key.html", status, key=key, now=ask.services.desk.now(), overlaps=list(OVERLAPS.items())
        )

    async def _made(self, ask: Ask, key: NewKey) -> Response[Any]:
        return await account_page(ask, "account/key_made.html", key=key)
