"""Who is registered on the account: everybody sees them, owners invite, change roles and remove; one owner stays."""

from collections.abc import Awaitable
from typing import Any, Final

from litestar import Response

from farebox.service.errors import InvalidInput, ServiceError
from farebox.service.team import ROLE_WORDS, ROLES, Role
from farebox.web.pages.account.common import account_page, account_url
from farebox.web.pages.dashboard import ROOT
from farebox.web.pages.house import Ask, PageRoute, Who

_PEOPLE: Final = f"{ROOT}/people"


class People:
    """The people registered on a merchant's account."""

    def routes(self) -> list[PageRoute]:
        """List the pages."""
        return [
            PageRoute(_PEOPLE, Who.VIEWER, get=self.show, post=self.invite, posts=Who.OWNER),
            PageRoute(f"{_PEOPLE}/again", Who.OWNER, post=self.invite_again),
            PageRoute(f"{_PEOPLE}/role", Who.OWNER, post=self.set_role),
            PageRoute(f"{_PEOPLE}/remove", Who.OWNER, post=self.remove),
        ]

    async def show(self, ask: Ask) -> Response[Any]:
        """List the people."""
        return await self._page(ask)

    async def invite(self, ask: Ask) -> Response[Any]:
        """Register somebody, and mail them how to sign in."""
        try:
            await ask.services.team.invite(ask.merchant_id, ask.form.text("email"), _role(ask), actor=ask.actor)
        except ServiceError as error:
            ask.form.fail(error)
            return await self._page(ask, 422)
        return ask.redirect(f"{account_url(ask)}/people", "invited")

    async def invite_again(self, ask: Ask) -> Response[Any]:
        """Mail somebody once more how to sign in."""
        deed = ask.services.team.invite_again(ask.merchant_id, ask.form.text("person"), actor=ask.actor)
        return await self._do(ask, deed, "invited")

    async def set_role(self, ask: Ask) -> Response[Any]:
        """Change what somebody may do."""
        try:
            role = _role(ask)
        except InvalidInput as error:
            ask.form.fail(error, {"role": ""})
            return await self._page(ask, 422)
        deed = ask.services.team.set_role(
            ask.merchant_id, ask.form.text("person"), role, is_owner_needed=True, actor=ask.actor
        )
        return await self._do(ask, deed, "role_saved")

    async def remove(self, ask: Ask) -> Response[Any]:
        """Take somebody off the account."""
        deed = ask.services.team.remove(ask.merchant_id, ask.form.text("person"), is_owner_needed=True, actor=ask.actor)
        return await self._do(ask, deed, "person_removed")

    async def _do(self, ask: Ask, deed: Awaitable[object], said: str) -> Response[Any]:
        """Do what a button beside a person asks for."""
        try:
            await deed
        except ServiceError as error:
            ask.form.fail(error, {"role": "", "email": ""})
            return await self._page(ask, 422)
        return ask.redirect(f"{account_url(ask)}/people", said)

    async def _page(self, ask: Ask, status: int = 200) -> Response[Any]:
        members = await ask.services.team.members(ask.merchant_id)
        return await account_page(ask, "account/people.html", status, members=members, role_words=ROLE_WORDS)


def _role(ask: Ask) -> Role:
    """Read a role.

    Raises:
        InvalidInput: it is none.
    """
    role = ROLES.get(ask.form.text("role"))
    if role is None:
        raise InvalidInput("role", f"a role is one of {', '.join(ROLES)}")
    return role
