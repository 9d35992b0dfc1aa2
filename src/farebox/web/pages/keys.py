"""API keys on pages: make, rotate, end and revoke them. A key's text is shown once, on the page that answers."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any, ClassVar, Final

from starlette.responses import Response

from farebox.core import ids
from farebox.service.errors import InvalidInput, Missing, ServiceError
from farebox.service.operator.merchants import NewKey
from farebox.web.pages.forms import typed_time
from farebox.web.pages.house import PageRequest, number_of

KEY: Final = "{key:str}"
"""The part of a path that names a key."""

_FIELDS: Final = {"overlapSeconds": "overlap"}


class KeyPages(ABC):
    """The pages of some keys: a merchant's, on its own side or in the console, or those of services and support."""

    overlaps: ClassVar[dict[str, str]]
    """How long a rotated key may go on, by the seconds of it."""

    @abstractmethod
    def merchant(self, ask: PageRequest) -> int | None:
        """Return whose keys they are; None for services' and support's."""

    @abstractmethod
    def url(self, ask: PageRequest) -> str:
        """Write where the list is."""

    @abstractmethod
    def make(self, ask: PageRequest, expires: str | None) -> Awaitable[NewKey]:
        """Make the key that the form asks for.

        Raises:
            ServiceError: it can't be made.
        """

    @abstractmethod
    def page(self, ask: PageRequest, name: str, status: int, **values: Any) -> Awaitable[Response]:
        """Answer with a page: `keys`, `key` or `key_made`."""

    async def show(self, ask: PageRequest) -> Response:
        """List the keys."""
        return await self._list(ask)

    async def create(self, ask: PageRequest) -> Response:
        """Make a key."""
        try:
            key = await self.make(ask, typed_time("expires", ask.form.text("expires"), ask.zone))
        except ServiceError as error:
            ask.form.fail(error)
            return await self._list(ask, 422)
        return await self._page(ask, "key_made", key=key)

    async def show_one(self, ask: PageRequest) -> Response:
        """Show one key, and what can be done about it."""
        return await self._one(ask)

    async def rotate(self, ask: PageRequest) -> Response:
        """Make a key's successor; the old one goes on for a while."""
        key_id = await self._own(ask)
        try:
            text = ask.form.text("overlap")
            if text not in self.overlaps:
                raise InvalidInput("overlap", "choose how long the old key goes on")
            key = await ask.services.merchants.rotate_key(key_id, overlap_seconds=int(text), principal=ask.principal)
        except ServiceError as error:
            ask.form.fail(error, _FIELDS)
            return await self._one(ask, 422)
        return await self._page(ask, "key_made", key=key)

    async def end(self, ask: PageRequest) -> Response:
        """Let a key end at a time to come."""
        key_id = await self._own(ask)
        try:
            expires = typed_time("expires", ask.form.text("expires"), ask.zone)
            if expires is None:
                raise InvalidInput("expires", "say when")
            await ask.services.merchants.expire_key(key_id, expires, principal=ask.principal)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._one(ask, 422)
        return ask.redirect(self.url(ask), "key_expiry_saved")

    async def revoke(self, ask: PageRequest) -> Response:
        """Close a key at once and for ever."""
        await ask.services.merchants.revoke_key(await self._own(ask), principal=ask.principal)
        return ask.redirect(self.url(ask), "key_revoked")

    async def _own(self, ask: PageRequest) -> int:
        """Return the number of the key that the path names, if it belongs on this page.

        Raises:
            Missing: it does not.
        """
        key = await ask.services.merchants.key(number_of(ask, "key", ids.KEY))
        if key.merchant_id != self.merchant(ask):
            raise Missing("no such key is here")
        return key.key_id

    async def _list(self, ask: PageRequest, status: int = 200) -> Response:
        keys = await ask.services.merchants.keys(self.merchant(ask))
        return await self._page(ask, "keys", status, keys=keys[::-1])

    async def _one(self, ask: PageRequest, status: int = 200) -> Response:
        key = await ask.services.merchants.key(await self._own(ask))
        return await self._page(ask, "key", status, key=key, overlaps=list(self.overlaps.items()))

    async def _page(self, ask: PageRequest, name: str, status: int = 200, **values: Any) -> Response:
        return await self.page(ask, name, status, keys_root=self.url(ask), now=ask.services.console.now(), **values)
