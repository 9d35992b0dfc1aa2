"""A merchant's people for support: invite, change roles, remove."""

from collections.abc import Awaitable
from typing import Any, Final

from litestar import Response

from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.team import ROLE_WORDS, ROLES, Role
from farebox.web.pages.console.common import MERCHANT, merchant_of, merchant_page, merchant_url
from farebox.web.pages.house import Ask, PageRoute, Who

_PEOPLE: Final = f"{MERCHANT}/people"


class People:
    """The people registered on a merchant's account."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_PEOPLE, Who.SUPPORT, get=self.show, post=self.invite, is_console=True),
            PageRoute(f"{_PEOPLE}/again", Who.SUPPORT, post=self.invite_again, is_console=True),
            PageRoute(f"{_PEOPLE}/role", Who.SUPPORT, post=self.set_role, is_console=True),
            PageRoute(f"{_PEOPLE}/remove", Who.SUPPORT, post=self.remove, is_console=True),
        ]

    async def show(self, ask: Ask) -> Response[Any]:
        """List the people."""
        return await self._page(ask)

    async def invite(self, ask: Ask) -> Response[Any]:
        """Register somebody, and mail them how to sign in."""
        try:
            await ask.services.team.invite(merchant_of(ask), ask.form.text("email"), _role(ask), actor=ask.actor)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(self._url(ask), "invited")

    async def invite_again(self, ask: Ask) -> Response[Any]:
        """Mail somebody once more how to sign in."""
        deed = ask.services.team.invite_again(merchant_of(ask), ask.form.text("person"), actor=ask.actor)
        return await self._do(ask, deed, "invited")

    async def set_role(self, ask: Ask) -> Response[Any]:
        """Change what somebody may do; support may leave an account without an owner."""
        try:
            role = _role(ask)
        except InvalidInput as error:
            ask.form.fail(error, {"role": ""})
            return await self._page(ask, 422)
        deed = ask.services.team.set_role(
            merchant_of(ask), ask.form.text("person"), role, is_owner_needed=False, actor=ask.actor
        )
        return await self._do(ask, deed, "role_saved")

    async def remove(self, ask: Ask) -> Response[Any]:
        """Take somebody off the account."""
        deed = ask.services.team.remove(
            merchant_of(ask), ask.form.text("person"), is_owner_needed=False, actor=ask.actor
        )
        return await self._do(ask, deed, "person_removed")

    async def _do(self, ask: Ask, deed: Awaitable[object], said: str) -> Response[Any]:
        """Do what a button beside a person asks for."""
        try:
            await deed
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(self._url(ask), said)

    async def _page(self, ask: Ask, status: int = 200) -> Response[Any]:
        members = await ask.services.team.members(merchant_of(ask))
        return await merchant_page(ask, "console/people.html", status, members=members, role_words=ROLE_WORDS)

    def _url(self, ask: Ask) -> str:
        return f"{merchant_url(merchant_of(ask))}/people"


def _role(ask: Ask) -> Role:
    """Read a role.

    Raises:
        InvalidInput: it is none.
    """
    role = ROLES.get(ask.form.text("role"))
    if role is None:
        raise InvalidInput("role", f"a role is one of {', '.join(ROLES)}")
    return role
