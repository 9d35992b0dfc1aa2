"""API keys for support: a merchant's, and those of services and support themselves. A key's text is shown once."""

from collections.abc import Awaitable
from typing import Any, Final

from litestar import Response

from farebox.core import ids
from farebox.core.commands import KeyKind
from farebox.service.errors import InvalidInput, Missing, ServiceError
from farebox.service.merchants import NewKey
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url, number_of, typed_time
from farebox.web.pages.house import Ask, PageRoute, Who

_STAFF: Final = "/support/keys"
_KEY: Final = "{key:str}"
_OVERLAPS: Final = frozenset({"0", "3600", "86400", "604800", "2592000"})
"""How many seconds a rotated key may be told to go on: not at all, an hour, a day, a week, 30 days."""

_KINDS: Final = {"service": KeyKind.SERVICE, "support": KeyKind.SUPPORT}
_FIELDS: Final = {"overlapSeconds": "overlap"}


class Keys:
    """The keys of one merchant, or with none those of services and support."""

    def __init__(self, *, is_merchants: bool) -> None:
        """Show a merchant's keys, or the operator's own."""
        self._is_merchants = is_merchants

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        root = f"{MERCHANT}/keys" if self._is_merchants else _STAFF
        return [
            PageRoute(root, Who.SUPPORT, get=self.show, post=self.create, is_console=True),
            PageRoute(f"{root}/{_KEY}", Who.SUPPORT, get=self.show_one, is_console=True),
            PageRoute(f"{root}/{_KEY}/rotate", Who.SUPPORT, post=self.rotate, is_console=True),
            PageRoute(f"{root}/{_KEY}/end", Who.SUPPORT, post=self.end, is_console=True),
            PageRoute(f"{root}/{_KEY}/revoke", Who.SUPPORT, post=self.revoke, is_console=True),
        ]

    async def show(self, ask: Ask) -> Response[Any]:
        """List the keys."""
        return await self._list(ask)

    async def create(self, ask: Ask) -> Response[Any]:
        """Make a key."""
        form = ask.form
        try:
            expires = typed_time("expires", form.text("expires"), ask.zone)
            if self._is_merchants:
                key = await ask.services.merchants.create_key(
                    KeyKind.MERCHANT, merchant_id=merchant_of(ask), expires=expires, actor=ask.actor
                )
            else:
                kind = _KINDS.get(form.text("kind"))
                if kind is None:
                    raise InvalidInput("kind", "choose whose key it is")
                key = await ask.services.merchants.create_key(
                    kind, name=form.text("name"), expires=expires, actor=ask.actor
                )
        except ServiceError as error:
            form.fail(error)
            return await self._list(ask, 422)
        return await self._made(ask, key)

    async def show_one(self, ask: Ask) -> Response[Any]:
        """Show one key, and what can be done about it."""
        return await self._one(ask)

    async def rotate(self, ask: Ask) -> Response[Any]:
        """Make a key's successor; the old one goes on for a while."""
        key_id = await self._own(ask)
        try:
            text = ask.form.text("overlap")
            if text not in _OVERLAPS:
                raise InvalidInput("overlap", "choose how long the old key goes on")
            key = await ask.services.merchants.rotate_key(key_id, overlap_seconds=int(text), actor=ask.actor)
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
        return ask.redirect(self._root(ask), "key_expiry_saved")

    async def revoke(self, ask: Ask) -> Response[Any]:
        """Close a key at once and for ever."""
        await ask.services.merchants.revoke_key(await self._own(ask), actor=ask.actor)
        return ask.redirect(self._root(ask), "key_revoked")

    async def _own(self, ask: Ask) -> int:
        """Return the number of the key that the path names, if it belongs on this page.

        Raises:
            Missing: it does not.
        """
        key = await ask.services.merchants.key(number_of(ask, "key", ids.KEY))
        if key.merchant_id != (merchant_of(ask) if self._is_merchants else None):
            raise Missing("no such key is here")
        return key.key_id

    async def _list(self, ask: Ask, status: int = 200) -> Response[Any]:
        keys = await ask.services.merchants.keys(merchant_of(ask) if self._is_merchants else None)
        return await self._page(ask, "keys", status, keys=keys[::-1])

    async def _one(self, ask: Ask, status: int = 200) -> Response[Any]:
        key = await ask.services.merchants.key(await self._own(ask))
        return await self._page(ask, "key", status, key=key)

    async def _made(self, ask: Ask, key: NewKey) -> Response[Any]:
        return await self._page(ask, "key_made", key=key)

    def _page(self, ask: Ask, name: str, status: int = 200, **values: Any) -> Awaitable[Response[Any]]:
        known = {
            "keys_root": self._root(ask),
            "now": ask.services.desk.now(),
            "frame": _frame(self._is_merchants),
            "kinds": {int(kind): word for word, kind in _KINDS.items()},
        }
        if self._is_merchants:
            return merchant_page(ask, f"console/{name}.html", status, **known, **values)
        return _page(ask, f"console/{name}.html", status, **known, **values)

    def _root(self, ask: Ask) -> str:
        return f"{merchant_url(merchant_of(ask))}/keys" if self._is_merchants else _STAFF


async def _page(ask: Ask, template: str, status: int, **values: Any) -> Response[Any]:
    return ask.page(template, status, **values)


def _frame(is_merchants: bool) -> str:
    return "console/frame.html" if is_merchants else "console/plain.html"
